"""What a run tells about itself: progress bar, metrics.jsonl, TensorBoard, sample grids."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from opdm.frames import write_frame


class Report:
    """Writes the run folder's records; on all but the main process it does nothing."""

    def __init__(self, folder: Path, *, first_step: int, steps: int, enabled: bool):
        self.folder, self.enabled = folder, enabled
        self.bar = tqdm(total=steps, initial=first_step, unit="step", disable=not enabled, dynamic_ncols=True)
        self.board = open_board(folder) if enabled else None
        if enabled:
            drop_records_after(folder / "metrics.jsonl", first_step)

    def advance(self, step: int, loss: float) -> None:
        """Move the bar."""
        self.bar.update(step - self.bar.n)
        self.bar.set_postfix(loss=f"{loss:.4f}", refresh=False)

    def record(self, step: int, values: dict[str, float]) -> None:
        """A line of metrics.jsonl and a point of each curve."""
        if not self.enabled:
            return
        with open(self.folder / "metrics.jsonl", "a") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        if self.board is not None:
            for name, value in values.items():
                self.board.add_scalar(name, value, step)

    def picture(self, step: int, rows: list[Tensor]) -> None:
        """samples/step-XXXXXXXX.png: each row (N, 3, H, W) in [0, 1] beside each other, rows below each other."""
        if self.enabled:
            grid = torch.cat([torch.cat(list(row), dim=-1) for row in rows], dim=-2)
            (self.folder / "samples").mkdir(exist_ok=True)
            write_frame(self.folder / "samples" / f"step-{step:08d}.png", grid)

    def say(self, text: str) -> None:
        """A line above the bar."""
        if self.enabled:
            self.bar.write(text)

    def close(self) -> None:
        """Flush everything."""
        self.bar.close()
        if self.board is not None:
            self.board.close()


def open_board(folder: Path) -> Any:
    """A TensorBoard writer, or None where TensorBoard is not installed (extra `train`)."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"))


def drop_records_after(file: Path, step: int) -> None:
    """Remove lines that a killed run wrote after its last checkpoint; the resumed run writes them again."""
    if not file.exists():
        return
    kept = [line for line in file.read_text().splitlines() if complete_step(line) <= step]
    temporary = file.with_suffix(".tmp")
    temporary.write_text("".join(line + "\n" for line in kept))
    temporary.replace(file)


def complete_step(line: str) -> float:
    """The step of a record; infinity for a line that was cut off while being written."""
    try:
        return json.loads(line)["step"]
    except ValueError:
        return float("inf")
