"""Generated cel animation as pairs of segmented drawings, and which of their segments match."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from opdm.ant_config import AnTConfig, CelPairDataConfig
from opdm.ant_crops import SegmentBatch, SegmentCrops, crop_segments
from opdm.data.cel_animation import CelShot, CelStyle
from opdm.data.line_augmentation import choose_augmentation
from opdm.data.region_labels import UNMATCHED, Pieces, match_regions, split_regions
from opdm.data.sample import Frame
from opdm.data.shot_dataset import HELD_OUT
from opdm.segments import vote_colors

FLAT = CelStyle(texture=False)
"""Grain and gradients are not in a drawing, and a segment is to have one color."""
SAME_COLOR = 4.5 / 255
"""Largest difference in any channel of what was painted with one color."""
CLEANNESS = 8
"""Power of the line value by which a pixel's vote for the color of its segment counts: ink at the rim is no paint."""
SMALLEST_PX = 16
"""Segments of fewer pixels are left out, as `split_regions` does."""


@dataclass(frozen=True)
class SegmentedDrawing:
    """A drawing and its S segments."""

    lines: Tensor
    """(1, H, W) in [0, 1]."""
    labels: Tensor
    """(H, W) int64: 0 to S - 1, negative where there is no segment."""
    regions: Tensor
    """(S,) int64: the region of the shot that each is a piece of."""
    colors: Tensor
    """(S, 3) in [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class SegmentPair:
    """One sample."""

    reference: SegmentedDrawing
    target: SegmentedDrawing
    crops: tuple[SegmentCrops, SegmentCrops]
    """Of the reference, and of the target."""
    is_match: Tensor
    """(M, N) bool: which segment of the reference each segment of the target is; none, one or many."""

    @property
    def is_same_color(self) -> Tensor:
        """(M, N) bool: which of them are painted alike."""
        return torch.cdist(self.reference.colors, self.target.colors, p=torch.inf) < SAME_COLOR


@dataclass(frozen=True, kw_only=True)
class PairBatch:
    """B samples, as the training takes them."""

    segments: SegmentBatch
    """Of the B references, then of the B targets; each has S places."""
    matches: dict[str, Tensor]
    """(B, S, S) bool by kind of supervision, reference by target: which may be called a match."""

    @property
    def is_pair(self) -> Tensor:
        """(B, S, S) bool: places where both drawings have a segment."""
        references, targets = self.segments.is_segment.chunk(2)
        return references[:, :, None] & targets[:, None, :]

    def to(self, device: torch.device | str) -> "PairBatch":
        """The same batch on another device."""
        matches = {name: tensor.to(device) for name, tensor in self.matches.items()}
        return PairBatch(segments=self.segments.to(device), matches=matches)


def stack_pairs(samples: Sequence[SegmentPair]) -> PairBatch:
    """One batch of single samples."""
    crops = [sample.crops[0] for sample in samples] + [sample.crops[1] for sample in samples]
    segments = SegmentBatch.pack(crops)
    places = segments.is_segment.shape[1]
    kinds = {
        "ids": [sample.is_match for sample in samples],
        "colors": [sample.is_same_color for sample in samples],
    }
    matches = {name: torch.stack([widen(one, places) for one in tables]) for name, tables in kinds.items()}
    return PairBatch(segments=segments, matches=matches)


def widen(table: Tensor, places: int) -> Tensor:
    """(M, N) to (S, S), False where nothing was."""
    wide = table.new_zeros(places, places)
    wide[: table.shape[0], : table.shape[1]] = table
    return wide


class CelPairDataset(Dataset[SegmentPair]):
    """Pairs of drawings of generated shots; shots from `HELD_OUT` on are for validation."""

    def __init__(self, config: CelPairDataConfig, *, model: AnTConfig, seed: int):
        self.config, self.seed = config, seed
        self.crop_size, self.crop_margin = model.crop_size, model.crop_margin
        self._kept: tuple[int, CelShot, dict[int, SegmentedDrawing]] | None = None

    def __len__(self) -> int:
        return 2 * HELD_OUT

    def __getitem__(self, index: int) -> SegmentPair:
        shot_index = index // self.config.pairs_per_shot
        if self._kept is None or self._kept[0] != shot_index:
            self._kept = shot_index, self._make_shot(shot_index), {}
        _, shot, drawn = self._kept
        random = np.random.default_rng((self.seed, index, 1))
        first, last = self._choose_frames(len(shot), random)
        for place in (first, last):
            if place not in drawn:
                drawn[place] = self._draw(shot, place, shot_index)
        reference, target = drawn[first], drawn[last]
        is_match = find_matches(reference, target, shot.flow_px(last, first), shot.is_occluded(last, first))
        (reference, rows), (target, columns) = (self._move(drawing, random) for drawing in (reference, target))
        return SegmentPair(
            reference=reference,
            target=target,
            crops=(self._crop(reference), self._crop(target)),
            is_match=is_match[rows][:, columns],
        )

    def held_out(self, shots: int) -> list[int]:
        """Indices of one pair from each of so many shots that no run trains on."""
        first = -(-HELD_OUT // self.config.pairs_per_shot)
        return [(first + shot) * self.config.pairs_per_shot for shot in range(shots)]

    def _make_shot(self, index: int) -> CelShot:
        random = np.random.default_rng((self.seed, index, 2))
        size = int(random.integers(self.config.shot_sizes[0], self.config.shot_sizes[1] + 1))
        frames = self.config.longest_gap + 1
        return CelShot(int(random.integers(2**62)), height=size, width=size, frames=frames, style=FLAT)

    def _choose_frames(self, frames: int, random: np.random.Generator) -> tuple[int, int]:
        """Two frames of a shot, in either order, at an evenly distributed distance."""
        gap = 1 + int(random.integers(min(self.config.longest_gap, frames - 1)))
        start = int(random.integers(frames - gap))
        return (start, start + gap) if random.random() < 0.5 else (start + gap, start)

    def _draw(self, shot: CelShot, place: int, shot_index: int) -> SegmentedDrawing:
        """A drawing with the pieces that its ink leaves; all drawings of a shot are by one hand."""
        frame = shot.frame(place)
        hand = np.random.default_rng((self.seed, shot_index, 3))
        is_augmented = hand.random() < self.config.augmented_lines_share
        augment = choose_augmentation(hand)
        random = np.random.default_rng((self.seed, shot_index, 4, place))
        lines = augment(frame.lines, random) if is_augmented else frame.lines
        return segment_drawing(frame, lines, split_regions(frame.regions, frame.lines, smallest_px=SMALLEST_PX))

    def _move(self, drawing: SegmentedDrawing, random: np.random.Generator) -> tuple[SegmentedDrawing, Tensor]:
        """The drawing as it is, or moved; and which of its segments are left, as numbers."""
        everything = drawing, torch.arange(len(drawing.regions))
        if random.random() >= self.config.moved_share:
            return everything
        moved = move_drawing(drawing, choose_motion(drawing.labels.shape, random))
        return moved if len(moved[1]) else everything

    def _crop(self, drawing: SegmentedDrawing) -> SegmentCrops:
        return crop_segments(drawing.lines, drawing.labels, side=self.crop_size, margin=self.crop_margin)


def segment_drawing(frame: Frame, lines: Tensor, pieces: Pieces) -> SegmentedDrawing:
    """A drawing with given lines and segments, in the colors of its frame."""
    is_clean = frame.lines[0] ** CLEANNESS
    colors = vote_colors(pieces.labels + 1, frame.color, is_clean)
    return SegmentedDrawing(lines, pieces.labels, pieces.regions, colors)


def find_matches(reference: SegmentedDrawing, target: SegmentedDrawing, flow_px: Tensor, is_occluded: Tensor) -> Tensor:
    """(M, N) bool: for each target segment, the reference segments that true flow takes it to, within its region.

    A segment that flow takes nowhere, because it is hidden or too thin, matches every piece of its region. flow_px
    (2, H, W) from target to reference, is_occluded (H, W).
    """
    is_same_region = reference.regions[:, None] == target.regions
    candidates = match_regions(target.labels, reference.labels, flow_px, is_occluded)
    is_met = torch.zeros_like(is_same_region)
    for segment, found in enumerate(candidates):
        if found[0] != UNMATCHED:
            is_met[found, segment] = True
    is_met &= is_same_region
    return torch.where(is_met.any(dim=0), is_met, is_same_region)


def choose_motion(size: torch.Size, random: np.random.Generator) -> np.ndarray:
    """A random affine map (2, 3) of a frame (H, W): scaled by up to a fifth, sheared, turned and shifted."""
    height, width = size
    scale = np.exp(random.uniform(-0.2, 0.2))
    turn, shear = random.uniform(-0.15, 0.15), random.uniform(-0.15, 0.15)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = scale * rotation @ np.array([[1, shear], [0, 1]])
    center = np.array([width - 1, height - 1]) / 2
    shift = random.uniform(-0.1, 0.1, 2) * (width, height)
    return np.column_stack([matrix, center + shift - matrix @ center])


def move_drawing(drawing: SegmentedDrawing, motion: np.ndarray) -> tuple[SegmentedDrawing, Tensor]:
    """The drawing under an affine map (2, 3) in pixels, and the numbers (S',) of the segments that are left of it.

    What comes in over the border is paper of no segment.
    """
    height, width = drawing.labels.shape
    size = (width, height)
    lines = cv2.warpAffine(drawing.lines[0].numpy(), motion, size, flags=cv2.INTER_LINEAR, borderValue=1)
    labels = cv2.warpAffine(
        drawing.labels.numpy().astype(np.float32),  # exact below 2^24; OpenCV warps no int64
        motion,
        size,
        flags=cv2.INTER_NEAREST,
        borderValue=UNMATCHED,
    ).astype(np.int64)
    areas = np.bincount(labels[labels >= 0], minlength=len(drawing.regions))
    kept = np.flatnonzero(areas >= SMALLEST_PX)
    numbers = np.full(len(areas) + 1, UNMATCHED, np.int64)  # the last is for UNMATCHED itself
    numbers[kept] = np.arange(len(kept))
    left = torch.from_numpy(kept)
    moved = SegmentedDrawing(
        torch.from_numpy(lines[None]), torch.from_numpy(numbers[labels]), drawing.regions[left], drawing.colors[left]
    )
    return moved, left
