"""Checkpoints: everything that has a state, complete or not there at all, and a model that can be loaded."""

import json
import os
import shutil
from pathlib import Path

from accelerate import Accelerator
from diffusers import DiffusionPipeline, ModelMixin
from torch import nn

KEPT = 2
"""Checkpoints that stay; older ones are removed."""


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


def copy_weights(model: nn.Module, trained: nn.Module, source: str) -> None:
    """Give a model the weights of another one, read from `source`. Raises ValueError where they do not fit."""
    try:
        model.load_state_dict(trained.state_dict())
    except RuntimeError as error:
        raise ValueError(
            f"{source}: a model of another shape than this run's; {str(error).splitlines()[-1].strip()}"
        ) from error
