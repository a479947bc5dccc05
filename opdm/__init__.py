"""opdm paints line drawings between a few painted keyframes."""

from importlib.metadata import PackageNotFoundError, version
from typing import Any

try:
    __version__ = version("opdm")
except PackageNotFoundError:  # used from a checkout that is not installed
    __version__ = "0+unknown"


def __getattr__(name: str) -> Any:
    """`opdm.OPDMPipeline`, without importing torch for those who do not ask for it."""
    if name == "OPDMPipeline":
        from opdm.pipeline import OPDMPipeline

        return OPDMPipeline
    raise AttributeError(f"module 'opdm' has no attribute {name!r}")
