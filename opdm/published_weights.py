"""Weights of published networks: from a file, or from where their authors put them.

What random weights give would look like any other result, so there is no third way.
"""

from pathlib import Path

import torch
from torch import Tensor

from opdm.errors import InputError


def find_weights(name: str, url: str, file: Path | None) -> Path:
    """The file given, or else the published one, downloaded once into PyTorch's own cache. Raises InputError."""
    if file is not None:
        if not Path(file).is_file():
            raise InputError(f"{name}: no file {file}; give the weights of {url}")
        return Path(file)
    target = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    if not target.is_file():
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(target), _hash_in(target), progress=False)
        except Exception as error:  # networks and disks fail in many ways
            reason = " ".join(str(error).split())[:160] or type(error).__name__
            raise InputError(
                f"{name}: its weights could not be downloaded ({reason}); fetch {url} elsewhere and give the file, "
                f"or put it at {target}"
            ) from error
    return target


def load_weights(name: str, url: str, file: Path | None) -> dict[str, Tensor]:
    """The state of a network, by `find_weights`. Raises InputError where the file is not one."""
    path = find_weights(name, url, file)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickles fail in many ways
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise InputError(f"{name}: {path} cannot be read as weights ({reason}); give the file of {url}") from error


def _hash_in(path: Path) -> str | None:
    """Published files end in the first digits of their hash, which the download is checked against."""
    digits = path.stem.rsplit("-", 1)[-1]
    return digits if len(digits) == 8 and set(digits) <= set("0123456789abcdef") else None
