"""From the model's small painting to a frame of the drawing's own size, with the artist's lines as drawn on top.

The model paints colors and, roughly, the lines. Its lines are taken out, its colors are brought to the drawing's size
so that they meet beneath the drawn lines, and the drawn lines are laid over them in the color that the model gave its
own. Coverage is how much of a pixel a line takes, 1 - lines: 0 = none of it, 1 = all.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from opdm.frames import resize

LINE_COVERAGE = 0.1
"""From here on a pixel belongs to a line; grain of paper and noise of JPEG stay below."""
SMALL_LINE_COVERAGE = 0.05
"""The same once shrunk, where noise has averaged out and thin lines are faint."""
WIDEST_LINE = 0.03
"""Of the frame's shorter side. Wider gray is a tone that the artist laid: it is painted like paper."""
DARKEST_TONE = 0.6
"""Coverage up to which something wide is a tone; beyond, it is a spotted black, treated as a very wide line."""
SMALL_MARGIN_PX = 1.0
MARGIN_PX = 1.25
"""How far the model's blurred line, and then the blur of enlarging, reach beyond the drawn line, in its pixels."""
INK_WINDOW_PX = 2.0
"""Sigma of the window, in pixels of the painting, within which lines have one color."""
PAPER_WHITE = 0.96
"""Paint as light as this in every channel is paper, where it is connected to the border of the frame."""


@dataclass(frozen=True)
class Composite:
    """One finished frame, in layers."""

    fill: Tensor
    """(3, H, W) in [0, 1]: the paint, continued beneath the lines."""
    ink: Tensor
    """(3, H, W) in [0, 1]: the color of the lines."""
    lines: Tensor
    """(1, H, W) in [0, 1]: 1 = paper, 0 = ink."""

    @property
    def frame(self) -> Tensor:
        """(3, H, W) in [0, 1]."""
        return self.fill + (1 - self.lines) * (self.ink - self.fill)  # where no line is, the fill to the last bit

    def give(self, frame: Tensor) -> "Composite":
        """These layers, changed where they must be for `frame` to be the one (3, H, W) that they give."""
        coverage = 1 - self.lines
        is_ink = coverage >= 0.5
        fill = (frame - coverage * self.ink) / (1 - coverage).clamp(min=0.5)
        ink = (frame - (1 - coverage) * self.fill) / coverage.clamp(min=0.5)
        fill, ink = torch.where(is_ink, self.fill, fill.clamp(0, 1)), torch.where(is_ink, ink.clamp(0, 1), self.ink)
        return replace(self, fill=fill, ink=ink)

    @property
    def color_layer(self) -> Tensor:
        """(4, H, W) RGBA in [0, 1]: the paint without the lines, transparent where the paper is unpainted."""
        pixels = np.ascontiguousarray(self.fill.permute(1, 2, 0).numpy())
        is_unpainted = find_unpainted_paper(pixels, 1 - self.lines[0].numpy())
        return torch.cat([self.fill, torch.from_numpy(~is_unpainted).float()[None]])

    @property
    def line_layer(self) -> Tensor:
        """(4, H, W) RGBA in [0, 1]: the lines in their color, transparent between them."""
        return torch.cat([self.ink, 1 - self.lines])


def compose(paint: Tensor, lines: Tensor) -> Composite:
    """Bring paint (3, h, w) to the size of lines (1, H, W) and lay the lines over it; all in [0, 1]."""
    size = (lines.shape[-2], lines.shape[-1])
    small_size = (paint.shape[-2], paint.shape[-1])
    scale = size[0] / small_size[0]
    coverage = 1 - lines[0].numpy()  # (H, W)
    small_coverage = 1 - resize(lines, small_size)[0].numpy()  # (h, w)
    is_small_line = find_lines(small_coverage, SMALL_LINE_COVERAGE if scale > 1 else LINE_COVERAGE)

    painted = np.ascontiguousarray(paint.permute(1, 2, 0).numpy())  # (h, w, 3)
    fill = fill_lines(painted, is_small_line, SMALL_MARGIN_PX)
    ink = estimate_ink(painted, fill, small_coverage)
    without_lines = (painted - small_coverage[..., None] * (ink - fill)).clip(0, 1)
    fill = fill_lines(without_lines, is_small_line, SMALL_MARGIN_PX)
    if size != small_size:
        is_line = find_lines(coverage, LINE_COVERAGE)
        fill = fill_lines(resize_pixels(fill, size), is_line, MARGIN_PX * scale)  # (H, W, 3)
        ink = resize_pixels(ink, size, cv2.INTER_LINEAR)
    return Composite(to_tensor(fill), to_tensor(ink), lines)


def find_lines(coverage: np.ndarray, threshold: float) -> np.ndarray:
    """Where lines are, (H, W) bool: what covers more than wide tones around it do."""
    width = max(3, round(WIDEST_LINE * min(coverage.shape)) | 1)
    levels = np.rint(coverage * 255).astype(np.uint8)  # 8 bits: this is the slow filter, and they are enough
    tone = cv2.morphologyEx(levels, cv2.MORPH_OPEN, np.ones((width, width), np.uint8))
    tone[tone > DARKEST_TONE * 255] = 0
    return cv2.subtract(levels, tone) > threshold * 255


def fill_lines(image: np.ndarray, is_line: np.ndarray, margin_px: float) -> np.ndarray:
    """Replace lines, and what lies within `margin_px` of them, by the nearest color beyond: (H, W, 3) float32.

    Beside a line only a color in sight counts, one not behind another line; where none is in sight, between lines that
    stand close, smaller margins are tried, and in the end the image's own color stays.
    """
    is_free = ~is_line
    if is_free.all() or not is_free.any():
        return image
    distance_px = cv2.distanceTransform(is_free.view(np.uint8), cv2.DIST_L2, 5)
    filled = image.copy()
    unsure = is_free & (distance_px <= margin_px)
    for margin in (margin_px, margin_px / 2):
        known = distance_px > margin
        if not known.any():
            continue
        pixels, sources = nearest(known, unsure & ~known)
        in_sight = ~crosses(is_line, pixels, sources)
        pixels, sources = pixels[in_sight], sources[in_sight]
        filled.reshape(-1, 3)[pixels] = image.reshape(-1, 3)[sources]
        unsure.reshape(-1)[pixels] = False
    pixels, sources = nearest(is_free, is_line)
    filled.reshape(-1, 3)[pixels] = filled.reshape(-1, 3)[sources]
    return filled


def nearest(known: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flat indices of the wanted pixels, and for each that of the nearest known one; both given (H, W) bool."""
    unknown = (~known).view(np.uint8)
    _, labels = cv2.distanceTransformWithLabels(unknown, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    position_of = np.empty(labels.max() + 1, np.int32)
    known_positions = np.flatnonzero(known)
    position_of[labels.reshape(-1)[known_positions]] = known_positions
    pixels = np.flatnonzero(wanted)
    return pixels, position_of[labels.reshape(-1)[pixels]]


def crosses(is_line: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Whether the straight way between two pixels, given as flat indices (N,), meets a line: (N,) bool."""
    width = is_line.shape[1]
    (y, x), (end_y, end_x) = np.divmod(starts, width), np.divmod(ends, width)
    dy, dx = (end_y - y).astype(np.float32), (end_x - x).astype(np.float32)
    longest = int(max(np.abs(dy).max(initial=0), np.abs(dx).max(initial=0)))
    met = np.zeros(len(starts), bool)
    for share in np.linspace(0, 1, longest + 1, dtype=np.float32)[1:-1]:
        met |= is_line.reshape(-1)[
            np.rint(y + share * dy).astype(np.int32) * width + np.rint(x + share * dx).astype(np.int32)
        ]
    return met


def estimate_ink(painted: np.ndarray, fill: np.ndarray, coverage: np.ndarray) -> np.ndarray:
    """The color of the model's lines, (h, w, 3), such that around each pixel they add up to what the model painted.

    That is, painted = (1 - coverage) * fill + coverage * ink in the mean over a window, which holds however much the
    model blurs its lines. Where it painted none, the answer is a mean of the fill, so nothing shows.
    """
    share = coverage[..., None]
    added = cv2.GaussianBlur(painted - (1 - share) * fill, (0, 0), INK_WINDOW_PX)
    shares = cv2.GaussianBlur(coverage, (0, 0), INK_WINDOW_PX)[..., None]
    # The faintest line outweighs this much of the fill: it only answers where there is no line at all.
    return ((added + 1e-6 * fill) / (shares + 1e-6)).clip(0, 1)


def find_unpainted_paper(fill: np.ndarray, coverage: np.ndarray) -> np.ndarray:
    """White paint that reaches the border without crossing a line, and the nearest parts of lines: (H, W) bool."""
    is_open = coverage < 0.5
    # Enlarging overshoots 1 a little beside an edge.
    is_white = cv2.inRange(fill, (PAPER_WHITE,) * 3, (2.0,) * 3) > 0
    # Of 4 neighbors, so that a line one pixel wide holds on a diagonal too.
    _, regions = cv2.connectedComponents((is_white & is_open).view(np.uint8), connectivity=4)
    at_border = np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]])
    is_paper = np.zeros(regions.max() + 1, bool)
    is_paper[at_border] = True
    is_paper[0] = False  # everything that is not white
    is_unpainted = is_paper[regions]
    if is_open.any():
        pixels, sources = nearest(is_open, ~is_open)
        is_unpainted.reshape(-1)[pixels] = is_unpainted.reshape(-1)[sources]
    return is_unpainted & is_white


def resize_pixels(pixels: np.ndarray, size: tuple[int, int], enlarging: int = cv2.INTER_CUBIC) -> np.ndarray:
    """Bring (h, w, 3) to `size`, (height, width)."""
    shrinks = size[0] < pixels.shape[0]
    return cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_AREA if shrinks else enlarging)


def to_tensor(pixels: np.ndarray) -> Tensor:
    """(H, W, C) -> (C, H, W), within [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32)).clamp_(0, 1)
