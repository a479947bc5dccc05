"""Put a trained model inside the package: `python scripts/release.py runs/opdm-small/pipeline opdm-small`.

Half precision, at most 16 MiB, with its checksum; the model card beside it (README.md) stays as it is. Of several
folders, runs that went on from each other, the weights are averaged (Wortsman et al. 2022, "Model soups"), or those of
a run and of what it started from (the same, "Robust fine-tuning of zero-shot models"). A folder given twice counts
twice.
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from opdm.ant import AnT, load_ant
from opdm.pipeline import OPDMPipeline
from opdm.weights import CHECKSUM_FILE, FOLDER, checksum, weights_file

LARGEST_MIB = 16


def main() -> int:
    """Exit status 0, or 2 for a model that cannot be released."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pipelines", type=Path, nargs="+", metavar="pipeline", help="folder that training wrote")
    parser.add_argument("name", help="what users will call it")
    options = parser.parse_args()
    try:
        model = average([load(folder) for folder in options.pipelines])
    except ValueError as error:
        parser.error(str(error))
    folder = FOLDER / options.name
    with tempfile.TemporaryDirectory(dir=FOLDER) as temporary:
        saved = Path(temporary) / options.name
        model.save_pretrained(saved)
        size_mib = weights_file(saved).stat().st_size / 2**20
        if size_mib > LARGEST_MIB:
            parser.error(f"{size_mib:.1f} MiB in half precision; the package takes {LARGEST_MIB} MiB at most")
        forget_origin(saved)
        weights_file(saved).chmod(0o644)  # the saver lets only its user read them
        (saved / CHECKSUM_FILE).write_text(checksum(saved) + "\n")
        if (folder / "README.md").exists():
            shutil.copy(folder / "README.md", saved)
        shutil.rmtree(folder, ignore_errors=True)
        saved.rename(folder)
    print(f"{folder}: {size_mib:.1f} MiB")
    return 0


def load(folder: Path) -> OPDMPipeline | AnT:
    """A pipeline or an Animation Transformer in half precision. Raises ValueError."""
    if (folder / "config.json").is_file():
        return load_ant(folder).half()
    return OPDMPipeline.from_pretrained(folder, dtype=torch.float16)


def average(loaded: list[OPDMPipeline | AnT]) -> OPDMPipeline | AnT:
    """The first of them with the mean weights of all. Raises ValueError where they are of several shapes.

    A layer that some runs had not yet added nothing there: its weights that start at zero count as zero for them.
    """
    networks = [each.model if isinstance(each, OPDMPipeline) else each for each in loaded]
    first, states = networks[0], [dict(network.named_parameters()) for network in networks]
    new = dict(type(first).from_config(first.config).named_parameters())
    idle = getattr(first, "idle_when_new", ())
    for state in states:
        fits = all(name in new and weight.shape == new[name].shape for name, weight in state.items())
        if not fits or not all(name.startswith(idle) for name in new.keys() - state.keys()):
            raise ValueError("these pipelines are models of several shapes; give runs that went on from each other")
    with torch.no_grad():
        for name, weight in first.named_parameters():
            values = [state[name].float() for state in states if name in state]
            weight.copy_(sum(values) / (len(values) if new[name].any() else len(states)))
    return loaded[0]


def forget_origin(folder: Path) -> None:
    """Remove the folder that the pipeline was read from, which diffusers writes down."""
    for file in folder.rglob("*.json"):
        values = json.loads(file.read_text(encoding="utf-8"))
        if values.pop("_name_or_path", None) is not None:
            file.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
