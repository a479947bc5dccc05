"""Models that come with the package, by name: one folder each beside this file, as saved, with its checksum."""

import hashlib
from pathlib import Path

FOLDER = Path(__file__).parent
WEIGHTS_FILE = "model/diffusion_pytorch_model.safetensors"
"""Of a pipeline."""
NETWORK_FILE = "diffusion_pytorch_model.safetensors"
"""Of a network alone."""
CHECKSUM_FILE = "sha256.txt"


def embedded_models() -> list[str]:
    """Names of the pipelines inside the package."""
    return sorted(file.parent.name for file in FOLDER.glob("*/model_index.json"))


def embedded_networks() -> list[str]:
    """Names of the other networks inside the package."""
    return sorted(file.parent.name for file in FOLDER.glob("*/config.json"))


def resolve(name: str) -> str:
    """The folder of an embedded model, or `name` itself: a folder or the id of a hub's repository.

    Raises ValueError when the embedded weights are not those that were released.
    """
    folder = folder_of(name)
    if folder.parent != FOLDER:
        return name
    if checksum(folder) != (folder / CHECKSUM_FILE).read_text().strip():
        raise ValueError(f"{weights_file(folder)}: damaged, its checksum is not the released one; install opdm again")
    return str(folder)


def folder_of(name: str) -> Path:
    """Where an embedded model is; any other name is taken for a folder."""
    return FOLDER / name if name in (*embedded_models(), *embedded_networks()) else Path(name)


def weights_file(folder: Path) -> Path:
    """The weights of a saved pipeline or network."""
    return folder / (NETWORK_FILE if (folder / NETWORK_FILE).is_file() else WEIGHTS_FILE)


def checksum(folder: Path) -> str:
    """SHA-256 of a saved model's weights, in hexadecimal."""
    return hashlib.sha256(weights_file(folder).read_bytes()).hexdigest()
