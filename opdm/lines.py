"""Line art from painted frames, through interchangeable extractors behind one call.

Used where no drawing exists: a keyframe that came without its line art, or a data set of finished frames.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from opdm.line_networks import NETWORK_EXTRACTORS


@dataclass(frozen=True, kw_only=True)
class XDoG:
    """Crisp ink by the extended difference of Gaussians (Winnemöller et al. 2012), per color channel.

    Dark lines keep their width; where two fills meet without a line, the darker one gets a thin one.
    """

    sigma_px: float = 0.7
    """Blur of the line itself: lines thinner than this fade."""
    ratio: float = 2.5
    """Blur of the surroundings, in units of `sigma_px`; a line wider than about four such blurs turns hollow."""
    sensitivity: float = 0.98
    """Weight of the surroundings. Below 1, bright fills need more contrast than dark ones, as for the eye."""
    threshold: float = 0.03
    """Contrast that is still paper: compression noise and gentle gradients stay below it."""
    sharpness: float = 25.0
    """Slope from paper to ink."""

    def __call__(self, frame: Tensor) -> Tensor:
        """Lines of (B, 3, H, W) frames in [0, 1]: (B, 1, H, W) in [0, 1], 1 = paper."""
        return _for_each_frame(frame, self._draw)

    def _draw(self, image: np.ndarray) -> np.ndarray:
        contrast = _strongest_contrast(image, self.sigma_px, self.sigma_px * self.ratio, self.sensitivity)
        return 1 + np.tanh(self.sharpness * np.minimum(contrast + self.threshold, 0))


@dataclass(frozen=True, kw_only=True)
class Pencil:
    """Soft gray strokes: a difference of Gaussians, as dark as the contrast it stands for."""

    sigma_px: float = 0.8
    """Blur of the stroke."""
    ratio: float = 2.0
    """Blur of the surroundings, in units of `sigma_px`."""
    strength: float = 5.0
    """Ink per contrast; the faintest strokes stay visible, the strongest saturate."""

    def __call__(self, frame: Tensor) -> Tensor:
        """Lines of (B, 3, H, W) frames in [0, 1]: (B, 1, H, W) in [0, 1], 1 = paper."""
        return _for_each_frame(frame, self._draw)

    def _draw(self, image: np.ndarray) -> np.ndarray:
        contrast = _strongest_contrast(image, self.sigma_px, self.sigma_px * self.ratio, sensitivity=1)
        return np.clip(1 + self.strength * contrast, 0, 1)


@dataclass(frozen=True, kw_only=True)
class Inked:
    """Only what was drawn as a line: dark shapes that are narrow, by a morphological closing per color channel.

    Ink over a fill leaves of it what it does not cover, so 1 - color / fill is the ink's coverage, anti-aliasing and
    all. Two fills that meet without a line get none, and a line beside a fill as dark as itself is lost.
    """

    fills_from_px: int = 9
    """Dark shapes narrower than this are lines; odd."""
    threshold: float = 0.1
    """Coverage that is still paper: compression noise, and fills not much darker than those around them."""
    strength: float = 1.5
    """Ink per coverage above the threshold; above 1, because ink is seldom quite black."""

    def __call__(self, frame: Tensor) -> Tensor:
        """Lines of (B, 3, H, W) frames in [0, 1]: (B, 1, H, W) in [0, 1], 1 = paper."""
        return _for_each_frame(frame, self._draw)

    def _draw(self, image: np.ndarray) -> np.ndarray:
        brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (self.fills_from_px, self.fills_from_px))
        fills = [cv2.morphologyEx(c, cv2.MORPH_CLOSE, brush, borderType=cv2.BORDER_REPLICATE) for c in image]
        # Where a channel of the fill is nearly black itself, its ratio to the ink says nothing.
        coverage = np.max([(fill - c) / (fill + 0.05) for fill, c in zip(fills, image, strict=True)], axis=0)
        return np.clip(1 - self.strength * (coverage - self.threshold), 0, 1)


Extractor = Callable[[Tensor], Tensor]
"""Turns (B, 3, H, W) frames in [0, 1] into (B, 1, H, W) lines in [0, 1], 1 = paper, 0 = ink."""

CLASSICAL: dict[str, Extractor] = {
    "xdog": XDoG(),
    "pencil": Pencil(),
    "inked": Inked(),
}
"""Those that need no weights."""
EXTRACTORS: dict[str, Extractor] = CLASSICAL | NETWORK_EXTRACTORS
"""The extractors by name, with the options that they have by default."""


def extract_lines(frame: Tensor, extractor: str | Extractor = "xdog") -> Tensor:
    """Line art of painted frames, without gradients.

    frame: (B, 3, H, W) RGB in [0, 1]. extractor: a name of `EXTRACTORS`, or one with other options.
    Returns (B, 1, H, W) float32 in [0, 1], 1 = paper, 0 = ink, on the device of `frame`.
    Raises ValueError for another shape or range, or an unknown name; InputError for a network without its weights.
    """
    if isinstance(extractor, str):
        if extractor not in EXTRACTORS:
            raise ValueError(f"no line extractor is called {extractor!r}; there are {', '.join(EXTRACTORS)}")
        extractor = EXTRACTORS[extractor]
    if frame.ndim != 4 or frame.shape[1] != 3:
        raise ValueError(f"frames must be (B, 3, H, W), got {tuple(frame.shape)}")
    if frame.numel() and not (frame.amin() >= 0 and frame.amax() <= 1):
        raise ValueError(f"frames must lie in [0, 1] without NaN, got {frame.amin():g} to {frame.amax():g}")
    return extractor(frame)


def _for_each_frame(frames: Tensor, draw: Callable[[np.ndarray], np.ndarray]) -> Tensor:
    """Apply `draw`, (3, H, W) -> (H, W) float32 arrays, to each of (B, 3, H, W) frames: (B, 1, H, W)."""
    images = frames.detach().float().cpu().contiguous().numpy()
    lines = torch.empty(frames.shape[0], 1, *frames.shape[2:])
    for index, image in enumerate(images):
        lines[index, 0] = torch.from_numpy(draw(image))
    return lines.to(frames.device)


def _strongest_contrast(image: np.ndarray, line_px: float, surroundings_px: float, sensitivity: float) -> np.ndarray:
    """Difference of Gaussians of each channel, and of these the most negative: (3, H, W) -> (H, W), below 0 = ink.

    The strongest channel decides, so that fills of equal lightness and another hue still part.
    """
    contrasts = [
        cv2.addWeighted(_blur(channel, line_px), 1, _blur(channel, surroundings_px), -sensitivity, 0)
        for channel in image
    ]
    return cv2.min(cv2.min(contrasts[0], contrasts[1]), contrasts[2])


def _blur(channel: np.ndarray, sigma_px: float) -> np.ndarray:
    # Three sigma on each side: OpenCV's own choice for floats is four, a third slower and not visibly different.
    width = 2 * math.ceil(3 * sigma_px) + 1
    # Repeating the border keeps a fill that touches it flat: no ink along the frame's edge.
    return cv2.GaussianBlur(channel, (width, width), sigma_px, borderType=cv2.BORDER_REPLICATE)
