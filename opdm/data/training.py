"""What training consumes: one drawing of a shot, its keyframes, and what is true about both.

Every sample is a pure function of (seed, index), so any number of workers and processes, and any resumed run, sees the
same ones.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor
from torch.utils.data import Sampler

from opdm.conditions import Conditions


@dataclass(frozen=True, kw_only=True)
class Batch:
    """B samples; of one sample before they are stacked, without the B."""

    conditions: Conditions
    target: Tensor
    """(B, 3, H, W) in [0, 1]: the true color frame."""
    true_flow_px: Tensor
    """(B, K, 2, H, W), from target to keyframe."""
    is_occluded: Tensor
    """(B, K, 1, H, W): target pixels that the keyframe does not show."""
    seeds: Tensor
    """(B,) int64: what the noise of each sample is drawn from."""

    def map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """The same with every image changed, the seeds kept."""
        images = {e.name: getattr(self, e.name) for e in fields(self) if e.name not in ("conditions", "seeds")}
        changed = {name: change(image) for name, image in images.items()}
        return replace(self, conditions=self.conditions.map(change), **changed)

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on another device."""
        return replace(self.map(lambda image: image.to(device)), seeds=self.seeds.to(device))


def stack(samples: Sequence[Batch]) -> Batch:
    """One batch of single samples."""
    others = {f.name: torch.stack([getattr(s, f.name) for s in samples]) for f in fields(Batch)[1:]}
    return Batch(conditions=Conditions.stack([s.conditions for s in samples]), **others)


class StepSampler(Sampler[list[int]]):
    """The indices of one process, a list for each of some numbered loads of samples."""

    def __init__(self, *, loads: range, batch_size: int, process: int, processes: int):
        self.loads = loads
        self.batch_size, self.process, self.processes = batch_size, process, processes

    def __iter__(self) -> Iterator[list[int]]:
        for load in self.loads:
            start = (load * self.processes + self.process) * self.batch_size
            yield list(range(start, start + self.batch_size))

    def __len__(self) -> int:
        return len(self.loads)
