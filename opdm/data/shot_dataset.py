"""Shots as training samples: drawings between two keyframes, cropped."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from opdm.ant import load_ant
from opdm.backdrop import hide_backdrop
from opdm.config import ShotDataConfig
from opdm.data.line_augmentation import choose_augmentation, mix_lines
from opdm.data.sample import Frame
from opdm.data.training import Batch
from opdm.flow import TRACKING_SIDE, track_px
from opdm.frames import resize
from opdm.layers import Layers
from opdm.line_style import choose_extractor
from opdm.lines import CLASSICAL, extract_lines
from opdm.matching import Matcher
from opdm.motion import estimate_motion
from opdm.segments import find_regions
from opdm.staging import set_up, working_size

HELD_OUT = 2**40
"""Samples from this index on are never trained on."""


class TrueShot(Protocol):
    """What is known of a shot; `opdm.data.cel_animation.CelShot` knows it of generated ones."""

    def __len__(self) -> int:
        """Frames, at least 3."""

    def frame(self, i: int) -> Frame:
        """Frame i."""

    def flow_px(self, i: int, j: int) -> Tensor:
        """(2, H, W) from frame i to frame j."""

    def is_occluded(self, i: int, j: int) -> Tensor:
        """(H, W) bool: pixels of frame i that frame j does not show, or of which that is not known."""


@dataclass(frozen=True)
class KeyedShot:
    """A shot with two keyframes, its first frame and its last, and some of the drawings between."""

    shot: TrueShot
    places: list[int]
    """Frames of the shot that are drawn, the keyframes included."""
    colors: dict[int, Tensor]
    """(3, H, W) by place."""
    lines: dict[int, Tensor]
    """(1, H, W) by place."""
    tracks_px: dict[int, Tensor] | None
    """(2, 2, h, w) by place: where the drawings between lead, to the first keyframe and to the last."""


class ShotDataset(Dataset[Batch]):
    """Base: several drawings from each of many shots; samples from `HELD_OUT` on are for validation."""

    def __init__(
        self, config: ShotDataConfig, *, references: int, uses_motion: bool, seed: int, matcher: str | None = None
    ):
        self.config, self.references, self.uses_motion, self.seed = config, references, uses_motion, seed
        self.matcher = None if matcher is None else Matcher(load_ant(matcher))
        self._kept_shot: tuple[int, KeyedShot] | None = None
        self._kept_target: tuple[int, Batch] | None = None

    def __len__(self) -> int:
        return 2 * HELD_OUT

    def __getitem__(self, index: int) -> Batch:
        random = np.random.default_rng((self.seed, index))
        return crop(self.whole(index // self.config.crops_per_target), self.config.crop_size, random)

    def whole(self, target_index: int) -> Batch:
        """A drawing of which crops are samples; it is kept until another one is asked for."""
        if self._kept_target is None or self._kept_target[0] != target_index:
            self._kept_target = target_index, self._make_target(target_index)
        return self._kept_target[1]

    def make_shot(self, random: np.random.Generator, *, is_held_out: bool) -> TrueShot:
        """A shot to be keyed by its first and its last frame."""
        raise NotImplementedError

    def held_out(self, shots: int) -> list[int]:
        """Indices of one sample from each of so many shots that no run trains on."""
        return [(self._first_held_out + shot) * self._samples_per_shot for shot in range(shots)]

    @property
    def _samples_per_shot(self) -> int:
        return self.config.targets_per_shot * self.config.crops_per_target

    @property
    def _first_held_out(self) -> int:
        return -(-HELD_OUT // self._samples_per_shot)

    def _make_target(self, target_index: int) -> Batch:
        """A whole frame, to be cropped."""
        shot_index, nth = divmod(target_index, self.config.targets_per_shot)
        if self._kept_shot is None or self._kept_shot[0] != shot_index:
            self._kept_shot = shot_index, self._draw_shot(shot_index)
        keyed = self._kept_shot[1]
        random = np.random.default_rng((self.seed, target_index, 1))
        between = keyed.places[1:-1]
        target = between[(nth + int(random.integers(len(between)))) % len(between)]
        ends = [0, len(keyed.places) - 1]
        if self.references == 1 or random.random() < self.config.single_keyframe_share:
            ends = [ends[int(random.integers(2))]] * self.references
        return self._whole_sample(keyed, target, ends)

    def _draw_shot(self, index: int) -> KeyedShot:
        random = np.random.default_rng((self.seed, index, 2))
        shot = self.make_shot(random, is_held_out=index >= self._first_held_out)
        gap = len(shot) - 1
        count = min(gap - 1, self.config.most_drawings)
        between = 1 + np.sort(random.permutation(gap - 1)[:count])
        places = [0, *between.tolist(), gap]
        frames = {place: shot.frame(place) for place in places}
        compress = choose_compression(self.config.compressed_share, random)
        colors = {place: compress(frame.color) for place, frame in frames.items()}
        painted = {place: Frame(colors[place], frames[place].lines, frames[place].regions) for place in places}
        lines = self._draw_lines(painted, random)
        has_tracks = self.uses_motion and random.random() >= self.config.untracked_share
        return KeyedShot(shot, places, colors, lines, track_both_ways(places, lines) if has_tracks else None)

    def _draw_lines(self, frames: dict[int, Frame], random: np.random.Generator) -> dict[int, Tensor]:
        """Lines by place, all by one hand; or the keyframes', which then come without, as painting extracts them."""
        config, kinds = self.config, ["drawn", *CLASSICAL]
        choice = random.random()
        if choice < config.extracted_lines_share:
            kind = kinds[1 + int(random.integers(len(CLASSICAL)))]
            lines = {place: lines_of(frame, kind) for place, frame in frames.items()}
        elif choice < config.extracted_lines_share + config.blended_lines_share:
            one, other = random.permutation(kinds)[:2]
            lines = {
                place: mix_lines(lines_of(frame, one), lines_of(frame, other), random)
                for place, frame in frames.items()
            }
        else:
            lines = {place: frame.lines for place, frame in frames.items()}
        if random.random() < config.augmented_lines_share:
            hand = choose_augmentation(random)
            lines = {place: hand(one, random) for place, one in lines.items()}
        if random.random() >= config.mixed_lines_share:
            return lines
        places = list(frames)
        first, last = frames[places[0]].color, frames[places[-1]].color
        figures = [hide_backdrop(first, [last], lines[places[1]]), hide_backdrop(last, [first], lines[places[-2]])]
        extract = choose_extractor(figures[:1], [lines[places[1]]])
        return lines | {places[end]: extract(figures[end][None])[0] for end in (0, -1)}

    def _whole_sample(self, keyed: KeyedShot, target: int, ends: list[int]) -> Batch:
        keyframe_places = [keyed.places[end] for end in ends]
        keyframes = [Layers(keyed.colors[place], keyed.lines[place]) for place in keyframe_places]
        tracks_px = None if keyed.tracks_px is None else keyed.tracks_px[target][[int(end > 0) for end in ends]]
        lines, motion = keyed.lines[target], None
        regions = find_regions(lines)
        if self.uses_motion:
            motion = estimate_motion(lines, regions, keyframes, tracks_px)
        first, last = keyframe_places[0], keyframe_places[-1]
        stage = set_up(
            lines,
            regions,
            keyframes,
            shorter_side=min(lines.shape[-2:]),
            multiple=1,
            motion=motion,
            time=None if first == last else (target - first) / (last - first),
            matcher=self.matcher,
        )
        return Batch(
            conditions=stage.conditions,
            target=keyed.colors[target],
            true_flow_px=torch.stack([keyed.shot.flow_px(target, place) for place in keyframe_places]),
            is_occluded=torch.stack([keyed.shot.is_occluded(target, place)[None] for place in keyframe_places]),
            seeds=torch.tensor(0),
        )


def crop(sample: Batch, side: int, random: np.random.Generator) -> Batch:
    """A random square of a sample, with a seed of its own."""
    height, width = sample.target.shape[-2:]
    top, left = int(random.integers(height - side + 1)), int(random.integers(width - side + 1))
    window = sample.map(lambda image: image[..., top : top + side, left : left + side].contiguous())
    return Batch(
        conditions=window.conditions,
        target=window.target,
        true_flow_px=window.true_flow_px,
        is_occluded=window.is_occluded,
        seeds=torch.tensor(int(random.integers(2**62))),
    )


def track_both_ways(places: list[int], lines: dict[int, Tensor]) -> dict[int, Tensor]:
    """Tracks of every drawing to the first and to the last, (2, 2, h, w) in pixels of their own size."""
    height, width = lines[places[0]].shape[-2:]
    size = working_size((height, width), TRACKING_SIDE)
    small = [resize(lines[place], size) for place in places]
    to_first, to_last = track_px(small), track_px(small[::-1])[::-1]
    return {place: torch.stack(pair) for place, *pair in zip(places, to_first, to_last, strict=True)}


def lines_of(frame: Frame, kind: str) -> Tensor:
    """The (1, H, W) lines of a frame: `drawn`, or by the extractor of that name."""
    return frame.lines if kind == "drawn" else extract_lines(frame.color[None], kind)[0]


def choose_compression(share: float, random: np.random.Generator) -> Callable[[Tensor], Tensor]:
    """What happens to all frames of a shot: nothing, or JPEG of some quality, as in frames taken from video."""
    quality = int(random.integers(50, 96))
    return (lambda color: compress(color, quality)) if random.random() < share else (lambda color: color)


def compress(color: Tensor, quality: int) -> Tensor:
    """A (3, H, W) frame after JPEG compression."""
    levels = (color * 255).round().byte().permute(1, 2, 0).numpy()
    _, data = cv2.imencode(".jpg", levels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return torch.from_numpy(decoded).permute(2, 0, 1).float() / 255
