"""Checkpoints: everything that has a state, complete or not there at all, and a model that can be loaded."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from diffusers import DiffusionPipeline, ModelMixin
from torch import Tensor, nn

KEPT = 2
"""Checkpoints that stay; older ones are removed."""
RGB = ("red", "green", "blue")
"""What the channels of a frame are called among `Channels`."""


def save_checkpoint(accelerator: Accelerator, folder: Path, step: int, progress: dict[str, int | float]) -> None:
    """Write `folder/step-XXXXXXXX`, on every process at once, under a temporary name until it is complete."""
    final = folder / f"step-{step:08d}"
    temporary = folder / f"tmp-{step:08d}"
    if accelerator.is_main_process:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(temporary))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        (temporary / "progress.json").write_text(json.dumps({"step": step, **progress}))
        shutil.rmtree(final, ignore_errors=True)
        temporary.rename(final)
        for old in complete_checkpoints(folder)[:-KEPT]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()


def load_checkpoint(accelerator: Accelerator, folder: Path) -> dict[str, int | float] | None:
    """Restore the newest complete checkpoint and return its progress; None where there is none."""
    found = complete_checkpoints(folder)
    if not found:
        return None
    accelerator.load_state(str(found[-1]))
    return json.loads((found[-1] / "progress.json").read_text())


def complete_checkpoints(folder: Path) -> list[Path]:
    """Checkpoints that were written to the end, oldest first."""
    return sorted(path for path in folder.glob("step-*") if (path / "progress.json").exists())


def export(model: DiffusionPipeline | ModelMixin, folder: Path) -> None:
    """Write a loadable model to `folder`, taking the place of an older one only when complete."""
    temporary, old = folder.with_name(folder.name + ".tmp"), folder.with_name(folder.name + ".old")
    for leftover in (temporary, old):
        shutil.rmtree(leftover, ignore_errors=True)
    model.save_pretrained(temporary)
    if folder.exists():
        os.rename(folder, old)
    os.rename(temporary, folder)
    shutil.rmtree(old, ignore_errors=True)


@dataclass(frozen=True)
class Channels:
    """What the channels of a weight are for, so that another model's can be found among them."""

    dim: int
    """Of the weight."""
    names: tuple[str, ...]
    new: float = 0.0
    """Value for channels that the other model does not have."""


def copy_weights(model: nn.Module, trained: nn.Module, source: str) -> None:
    """Give a model the weights of another one, read from `source`, which may know fewer inputs and outputs.

    `channels` of a model names those of its weights that may have more, `idle_when_new` how the names of those begin
    that may be missing, as they change nothing before they are trained. Raises ValueError where the weights do not fit.
    """
    wanted, there = getattr(model, "channels", {}), getattr(trained, "channels", {})
    idle = getattr(model, "idle_when_new", ())
    new = {name: value for name, value in model.state_dict().items() if name.startswith(idle)}
    state = {name: widen(value, there.get(name), wanted.get(name)) for name, value in trained.state_dict().items()}
    try:
        model.load_state_dict(new | state)
    except RuntimeError as error:
        raise ValueError(
            f"{source}: a model of another shape than this run's; {str(error).splitlines()[-1].strip()}"
        ) from error


def widen(weight: Tensor, there: Channels | None, wanted: Channels | None) -> Tensor:
    """A weight with the channels that are wanted; as it is where it has some that are not."""
    if there is None or wanted is None or not set(there.names) <= set(wanted.names):
        return weight
    shape = list(weight.shape)
    shape[wanted.dim] = len(wanted.names)
    places = torch.tensor([wanted.names.index(name) for name in there.names])
    return weight.new_full(shape, wanted.new).index_copy_(wanted.dim, places, weight)
