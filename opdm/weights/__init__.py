"""Models that come with the package, by name: one folder each beside this file, a saved pipeline with its checksum."""

import hashlib
from pathlib import Path

FOLDER = Path(__file__).parent
WEIGHTS_FILE = "model/diffusion_pytorch_model.safetensors"
CHECKSUM_FILE = "sha256.txt"


def embedded_models() -> list[str]:
    """Names of the models inside the package."""
    return sorted(file.parent.name for file in FOLDER.glob("*/model_index.json"))


def resolve(name: str) -> str:
    """The folder of an embedded model, or `name` itself: a folder or the id of a hub's repository.

    Raises ValueError when the embedded weights are not those that were released.
    """
    if name not in embedded_models():
        return name
    folder = FOLDER / name
    if checksum(folder) != (folder / CHECKSUM_FILE).read_text().strip():
        raise ValueError(f"{folder / WEIGHTS_FILE}: damaged, its checksum is not the released one; install opdm again")
    return str(folder)


def checksum(folder: Path) -> str:
    """SHA-256 of a saved pipeline's weights, in hexadecimal."""
    return hashlib.sha256((folder / WEIGHTS_FILE).read_bytes()).hexdigest()
