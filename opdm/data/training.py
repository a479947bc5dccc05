"""Training samples: one drawing of a shot, its keyframes, and what is true about both.

Every sample is a pure function of (seed, index), so any number of workers and processes, and any resumed run, sees the
same ones.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from opdm.conditions import Conditions, estimate_motion
from opdm.config import CelDataConfig
from opdm.data.cel_animation import CelShot
from opdm.data.sample import Frame
from opdm.lines import EXTRACTORS, extract_lines

HELD_OUT = 2**40
"""Shots from this index on are never trained on."""


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

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on another device."""
        return Batch(**{entry.name: getattr(self, entry.name).to(device) for entry in fields(self)})


def stack(samples: list[Batch]) -> Batch:
    """One batch of single samples."""
    conditions = Conditions(
        **{f.name: torch.stack([getattr(s.conditions, f.name) for s in samples]) for f in fields(Conditions)}
    )
    others = {f.name: torch.stack([getattr(s, f.name) for s in samples]) for f in fields(Batch)[1:]}
    return Batch(conditions=conditions, **others)


class CelDataset(Dataset[Batch]):
    """Generated shots, several drawings from each; indices from `HELD_OUT` on are for validation."""

    def __init__(self, config: CelDataConfig, *, references: int, seed: int):
        self.config, self.references, self.seed = config, references, seed
        self._cached: tuple[int, CelShot] | None = None

    def __len__(self) -> int:
        return 2 * HELD_OUT

    def __getitem__(self, index: int) -> Batch:
        shot_index, place = divmod(index, self.config.targets_per_shot)
        shot, gap = self._shot(shot_index)
        random = np.random.default_rng((self.seed, index))
        target = 1 + (place + int(random.integers(gap))) % max(gap - 1, 1)
        keyframes = self._choose_keyframes(gap, random)
        top, left = random.integers(0, shot.height - self.config.crop_size + 1, size=2)
        window = np.s_[..., top : top + self.config.crop_size, left : left + self.config.crop_size]
        return self._sample(shot, target, keyframes, window, random)

    def held_out(self, shots: int) -> list[int]:
        """Indices of one sample from each of so many shots that no run trains on."""
        per_shot = self.config.targets_per_shot
        first = -(-HELD_OUT // per_shot)
        return [(first + shot) * per_shot for shot in range(shots)]

    def _shot(self, index: int) -> tuple[CelShot, int]:
        """The shot of that index and the gap between its keyframes; kept, as the next sample mostly wants it too."""
        gap = 2 + int(np.random.default_rng((self.seed, index, 1)).integers(self.config.longest_gap - 1))
        if self._cached is None or self._cached[0] != index:
            random = np.random.default_rng((self.seed, index, 2))
            smallest, largest = self.config.shot_sizes
            size = int(random.integers(smallest, largest + 1))
            shot = CelShot(int(random.integers(2**62)), height=size, width=size, frames=gap + 1)
            self._cached = index, shot
        return self._cached[1], gap

    def _choose_keyframes(self, gap: int, random: np.random.Generator) -> list[int]:
        ends = [0, gap]
        if self.references == 1 or random.random() < self.config.single_keyframe_share:
            return [ends[int(random.integers(2))]] * self.references
        return ends

    def _sample(
        self, shot: CelShot, target: int, keyframes: list[int], window: tuple, random: np.random.Generator
    ) -> Batch:
        drawn = [crop(shot.frame(i), window) for i in [target, *keyframes]]
        lines = self._choose_lines(drawn, random)
        flow_px, flow_error_px = estimate_motion(lines[0], lines[1:])
        conditions = Conditions(
            lines=lines[0],
            keyframes=torch.stack([frame.color for frame in drawn[1:]]),
            keyframe_lines=lines[1:],
            flow_px=flow_px,
            flow_error_px=flow_error_px,
        )
        return Batch(
            conditions=conditions,
            target=drawn[0].color,
            true_flow_px=torch.stack([shot.flow_px(target, k)[window] for k in keyframes]),
            is_occluded=torch.stack([shot.is_occluded(target, k)[window][None] for k in keyframes]),
            seeds=torch.tensor(int(random.integers(2**62))),
        )

    def _choose_lines(self, frames: list[Frame], random: np.random.Generator) -> Tensor:
        """Lines of target and keyframes, (1 + K, 1, H, W): drawn, extracted, or of two different kinds."""
        kinds = ["drawn", *EXTRACTORS]
        kind = of_keyframes = "drawn"
        choice = random.random()
        if choice < self.config.extracted_lines_share:
            kind = of_keyframes = kinds[1 + int(random.integers(len(EXTRACTORS)))]
        elif choice < self.config.extracted_lines_share + self.config.mixed_lines_share:
            kind, of_keyframes = (kinds[i] for i in random.permutation(len(kinds))[:2])
        return torch.stack([lines_of(frame, kind if i == 0 else of_keyframes) for i, frame in enumerate(frames)])


def crop(frame: Frame, window: tuple) -> Frame:
    """The same frame inside a window, (..., rows, columns)."""
    return Frame(
        color=frame.color[window].contiguous(),
        lines=frame.lines[window].contiguous(),
        regions=frame.regions[window].contiguous(),
    )


def lines_of(frame: Frame, kind: str) -> Tensor:
    """The (1, H, W) lines of a frame: `drawn`, or by the extractor of that name."""
    return frame.lines if kind == "drawn" else extract_lines(frame.color[None], kind)[0]


class StepSampler(Sampler[list[int]]):
    """The indices of one process, a list per forward pass, from any step of a run on."""

    def __init__(
        self, *, first_step: int, steps: int, batch_size: int, accumulation: int, process: int, processes: int
    ):
        self.passes = range(first_step * accumulation, steps * accumulation)
        self.batch_size, self.process, self.processes = batch_size, process, processes

    def __iter__(self) -> Iterator[list[int]]:
        for forward_pass in self.passes:
            start = (forward_pass * self.processes + self.process) * self.batch_size
            yield list(range(start, start + self.batch_size))

    def __len__(self) -> int:
        return len(self.passes)
