"""Drawings as other hands and other tools would have made them, for training.

A model that has seen one kind of line reads no other. Everything here changes lines (1, H, W) in [0, 1], 1 = paper,
and is a pure function of them and of a random generator.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from opdm.line_style import widen

Ink = np.ndarray
"""(H, W) float32 in [0, 1], 1 = ink."""


@dataclass(frozen=True, kw_only=True)
class LineAugmentation:
    """What happens to a drawing, in this order; each default leaves it as it is.

    One object for all drawings of a shot gives them one hand; the generator of each call still moves gaps and noise.
    """

    wider_px: float = 0
    """On either side of the lines; below 0, thinner."""
    gaps: float = 0
    """Breaks per 1,000 pixels of ink."""
    wobble_px: float = 0
    """Standard deviation of the displacement, which changes over some ten pixels."""
    faintest: float = 0
    """Ink up to here vanishes, and twice as much stays as it is."""
    pressure: float = 0
    """Largest share of ink that a light hand leaves out here and there."""
    fading: float = 0
    """Share of ink that is missing everywhere."""
    blur_px: float = 0
    """Softer lines: standard deviation of a Gaussian."""
    hard_at: float | None = None
    """Only ink and paper, parted at this ink, as line art for filling is."""
    grain: float = 0
    """Noise of paper and scan: its standard deviation on paper; twice that in ink."""

    def __call__(self, lines: Tensor, random: Generator) -> Tensor:
        """The drawing (1, H, W), changed."""
        ink: Ink = np.ascontiguousarray(1 - lines[0].numpy(), dtype=np.float32)
        ink = widen(ink, self.wider_px) if self.wider_px else ink
        ink = break_lines(ink, self.gaps, random) if self.gaps else ink
        ink = wobble(ink, self.wobble_px, random) if self.wobble_px else ink
        ink = drop_faint(ink, self.faintest) if self.faintest else ink
        ink = press_lightly(ink, self.pressure, random) if self.pressure else ink
        ink = ink * np.float32(1 - self.fading) if self.fading else ink
        ink = cv2.GaussianBlur(ink, (0, 0), self.blur_px) if self.blur_px else ink
        ink = ink if self.hard_at is None else (ink > self.hard_at).astype(np.float32)
        ink = add_grain(ink, self.grain, random) if self.grain else ink
        return torch.from_numpy(1 - ink.clip(0, 1))[None]


UNCHANGED_SHARE = 0.3
"""Of drawings: as they are, so that clean line art stays the best-known case."""
CHANGE_SHARE = 0.35
"""Of the others, how many get each change: two or three of the eight, on average."""


def choose_augmentation(random: Generator) -> LineAugmentation:
    """A random hand: nothing for 3 in 10; else each change happens to 35 in 100, its strength even over its range.

    Ranges: lines 0.5 px thinner to 1.2 px wider on either side; up to 8 gaps per 1,000 px of ink; wobble up to
    0.6 px; ink below 0.05 to 0.3 dropped; up to 50 % of the ink lost to light pressure and up to 40 % by fading;
    either blur of 0.4 to 1 px or only black and white, parted at 0.2 to 0.5; grain up to 0.05.
    """
    if random.random() < UNCHANGED_SHARE:
        return LineAugmentation()
    ranges = {
        "wider_px": (-0.5, 1.2),
        "gaps": (0.0, 8.0),
        "wobble_px": (0.1, 0.6),
        "faintest": (0.05, 0.3),
        "pressure": (0.1, 0.5),
        "fading": (0.1, 0.4),
        "grain": (0.005, 0.05),
    }
    chosen = {name: random.uniform(*ends) for name, ends in ranges.items() if random.random() < CHANGE_SHARE}
    hand = LineAugmentation(**chosen)
    if random.random() >= CHANGE_SHARE:
        return hand
    if random.random() < 0.5:
        return replace(hand, blur_px=random.uniform(0.4, 1))
    # What faded or was pressed lightly is meant to stay visible: only then are lines made hard.
    visible = (1 - hand.fading) * (1 - hand.pressure)
    return replace(hand, hard_at=random.uniform(0.2, 0.5) * visible)


def augment_lines(lines: Tensor, random: Generator) -> Tensor:
    """A drawing (1, H, W) in [0, 1] as some other hand would have made it; see `choose_augmentation`."""
    return choose_augmentation(random)(lines, random)


def mix_lines(one: Tensor, other: Tensor, random: Generator) -> Tensor:
    """Two drawings (1, H, W) of the same frame, as of two extractors: one here, the other there, blended between."""
    height, width = one.shape[1:]
    share = np.clip(0.5 + 1.5 * _smooth_noise(height, width, max(height, width) / 4, random), 0, 1)
    return torch.lerp(one, other, torch.from_numpy(share)[None])


def break_lines(ink: Ink, per_1000_px: float, random: Generator) -> Ink:
    """Small gaps of 2 to 6 px at random places along the lines, with soft ends."""
    ys, xs = np.nonzero(ink > 0.5)
    count = min(random.poisson(per_1000_px * len(ys) / 1000), 100)
    if not count:
        return ink
    erased = np.zeros(ink.shape, np.uint8)
    for place, radius in zip(random.integers(len(ys), size=count), random.uniform(1, 3, size=count), strict=True):
        # Three bits after the point: centers and radii are fractions of a pixel.
        center = int(xs[place] * 8), int(ys[place] * 8)
        cv2.circle(erased, center, round(radius * 8), 255, cv2.FILLED, cv2.LINE_AA, shift=3)
    return ink * (1 - erased.astype(np.float32) * np.float32(1 / 255))


def wobble(ink: Ink, by_px: float, random: Generator) -> Ink:
    """Lines that leave their course by a fraction of a pixel, smoothly, as drawn by an unsteady hand."""
    height, width = ink.shape
    spacing_px = random.uniform(6, 16)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    x += np.float32(by_px) * _smooth_noise(height, width, spacing_px, random)
    y += np.float32(by_px) * _smooth_noise(height, width, spacing_px, random)
    return cv2.remap(ink, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def drop_faint(ink: Ink, up_to: float) -> Ink:
    """Ink up to `up_to` vanishes; from twice as much on, it stays; in between, a ramp."""
    return np.minimum(ink, np.maximum(2 * (ink - up_to), 0))


def press_lightly(ink: Ink, at_most: float, random: Generator) -> Ink:
    """Less ink here and there, by up to the share `at_most`."""
    height, width = ink.shape
    pressure = _smooth_noise(height, width, random.uniform(12, 48), random)
    return ink * (1 - np.float32(at_most) * np.clip(0.5 + pressure, 0, 1))


def add_grain(ink: Ink, sigma: float, random: Generator) -> Ink:
    """Noise of a sheet and its scan; the ink, whose pigment does not reach the pits of the paper, has more of it."""
    noise = random.standard_normal(ink.shape, dtype=np.float32)
    # Fibers and pencil strokes are larger than a pixel; the factor keeps the standard deviation.
    noise = cv2.GaussianBlur(noise, (3, 3), 0.6) * np.float32(1.75)
    return ink + noise * (1 + ink) * np.float32(sigma)


def _smooth_noise(height: int, width: int, spacing_px: float, random: Generator) -> np.ndarray:
    """(H, W) float32 of mean 0 and standard deviation near 0.9 that changes over some `spacing_px`."""
    rows, columns = (round(side / spacing_px) + 2 for side in (height, width))
    coarse = random.standard_normal((rows, columns), dtype=np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
