"""Drawings that are drawn again: crops of all that the workers have made so far, where the device is faster than them.

Making the flows and fills of a drawing takes a processor seconds; a large GPU trains on dozens of crops meanwhile. The
drawings stay on the device, in the few bytes that their frames and flows have to tell, and each pass sees other crops
of them, mirrored and with their colors exchanged.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import count
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from opdm.conditions import Conditions
from opdm.data.shot_dataset import ShotDataset
from opdm.data.training import Batch

FLOWS = ("flow_px", "true_flow_px")
"""What points the other way in a mirror."""
FRAMES = ("keyframes", "proposals", "target")
"""What has colors."""
LEVELS = 255
AHEAD = 4
"""Batches of drawings that there are before the first pass."""

Layout = tuple[tuple[str, str, tuple[int, ...]], ...]
"""Of every tensor its name, its kind (`level`, `px` or `id`) and its shape but for height and width."""


@dataclass(frozen=True)
class Packed:
    """A `Batch` of one whole drawing: its tensors, by kind one below the other, (N, H, W)."""

    layout: Layout
    planes: dict[str, Any]
    """Arrays, or tensors on a device: 8 bits for what is in [0, 1], half precision for pixels, int32 for ids."""

    def to(self, device: torch.device) -> "Packed":
        """The same with tensors on a device."""
        return Packed(self.layout, {kind: torch.from_numpy(part).to(device) for kind, part in self.planes.items()})


class WholeDrawings(Dataset[Packed]):
    """Every drawing of a data set, uncropped."""

    def __init__(self, shots: ShotDataset):
        self.shots = shots

    def __len__(self) -> int:
        return len(self.shots)

    def __getitem__(self, index: int) -> Packed:
        return pack(self.shots.whole(index))


def pack(sample: Batch) -> Packed:
    """A sample in its few bytes; arrays, which processes hand over without shared memory."""
    tensors = dict(name_tensors(sample))
    layout = tuple((name, kind_of(name, tensor), tuple(tensor.shape[:-2])) for name, tensor in tensors.items())
    rows: dict[str, list[np.ndarray]] = {}
    for name, kind, _ in layout:
        rows.setdefault(kind, []).append(encode(tensors[name], kind).reshape(-1, *tensors[name].shape[-2:]))
    return Packed(layout, {kind: np.concatenate(parts) for kind, parts in rows.items()})


def name_tensors(sample: Batch) -> Iterator[tuple[str, Tensor]]:
    """All that a sample has but its seed."""
    for part, others in ((sample.conditions, ()), (sample, ("conditions", "seeds"))):
        for entry in fields(part):
            tensor = getattr(part, entry.name)
            if entry.name not in others and tensor is not None:
                yield entry.name, tensor


def kind_of(name: str, tensor: Tensor) -> str:
    """How a tensor is kept."""
    if name.endswith("_px"):
        return "px"
    return "id" if tensor.dtype == torch.int32 else "level"


def encode(tensor: Tensor, kind: str) -> np.ndarray:
    """A tensor as `Packed` has it."""
    if kind == "level":
        return (tensor.float().clamp(0, 1) * LEVELS).round().to(torch.uint8).numpy()
    return tensor.half().numpy() if kind == "px" else tensor.numpy()


class Replay:
    """The newest drawings that were made, and random crops of them."""

    def __init__(self, *, side: int, most: int, device: torch.device):
        self.side, self.device = side, device
        self.kept: deque[Packed] = deque(maxlen=most)

    def add(self, drawings: Sequence[Packed]) -> None:
        """Keep more; the oldest go where there are too many."""
        self.kept.extend(drawing.to(self.device) for drawing in drawings)

    def draw(self, size: int, random: np.random.Generator) -> Batch:
        """A batch of crops of as many drawings, with seeds of their own."""
        chosen = [self.kept[int(place)] for place in random.integers(len(self.kept), size=size)]
        is_mirrored = random.random(size) < 0.5
        windows = [self._cut(drawing, mirror, random) for drawing, mirror in zip(chosen, is_mirrored, strict=True)]
        planes = {kind: torch.stack([window[kind] for window in windows]) for kind in windows[0]}
        tensors = dict(unpack(planes, chosen[0].layout))
        sign = torch.ones(size, 2, 1, 1, device=self.device)
        sign[torch.from_numpy(is_mirrored), 0] = -1
        order = torch.from_numpy(random.permuted(np.tile(np.arange(3), (size, 1)), axis=1)).to(self.device)
        for name, tensor in tensors.items():
            if name in FLOWS:
                tensors[name] = tensor * sign.view(size, *[1] * (tensor.dim() - 4), 2, 1, 1)
            elif name in FRAMES:
                places = order.view(size, *[1] * (tensor.dim() - 4), 3, 1, 1).expand_as(tensor)
                tensors[name] = tensor.gather(-3, places)
        of_sample = {name: tensors.pop(name) for name in ("target", "true_flow_px", "is_occluded")}
        of_sample["is_occluded"] = of_sample["is_occluded"] > 0.5
        seeds = torch.from_numpy(random.integers(2**62, size=size))
        return Batch(conditions=Conditions(**tensors), seeds=seeds, **of_sample)

    def _cut(self, drawing: Packed, is_mirrored: bool, random: np.random.Generator) -> dict[str, Tensor]:
        height, width = drawing.planes["level"].shape[-2:]
        top, left = (int(random.integers(length - self.side + 1)) for length in (height, width))
        window = (..., slice(top, top + self.side), slice(left, left + self.side))
        return {kind: part[window].flip(-1) if is_mirrored else part[window] for kind, part in drawing.planes.items()}


def unpack(planes: dict[str, Tensor], layout: Layout) -> Iterator[tuple[str, Tensor]]:
    """The tensors of planes (B, N, H, W), (B, *shape, H, W) each."""
    used = dict.fromkeys(planes, 0)
    for name, kind, shape in layout:
        size = int(np.prod(shape))
        part = planes[kind][:, used[kind] : used[kind] + size].unflatten(1, shape)
        used[kind] += size
        yield name, part.float() / LEVELS if kind == "level" else part.float() if kind == "px" else part


def draw_again(
    made: Iterator[Sequence[Packed]], replay: Replay, *, reuse: int, size: int, seed: tuple[int, ...], first_pass: int
) -> Iterator[Batch]:
    """Batches without end of what `made` brings, as much of it as makes each drawing good for `reuse` crops, and some
    ahead. Which crops a pass sees is a function of seed and pass, and of where the run was last resumed."""
    read = 0
    for nth in count():
        while read < count_drawings(nth, reuse=reuse, size=size):
            drawings = next(made)
            replay.add(drawings)
            read += len(drawings)
        yield replay.draw(size, np.random.default_rng((*seed, first_pass + nth)))


def count_drawings(passes: int, *, reuse: int, size: int) -> int:
    """How many drawings are there after so many passes."""
    return AHEAD * size + -(-passes * size // reuse)
