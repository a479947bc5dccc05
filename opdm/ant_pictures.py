"""Matched segments as a picture, for the eye."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from opdm.data.cel_pairs import SegmentedDrawing, SegmentPair

SIDE = 224
"""Height and width of a drawing in the picture, in pixels."""
GOLDEN_TURN = 180 * (5**0.5 - 1)
"""Degrees from one hue to the next: however many there are, they lie far apart."""


def draw_matches(pairs: Sequence[SegmentPair], matches: Sequence[Tensor]) -> list[Tensor]:
    """Three rows (B, 3, H, W) in [0, 1]: references with each segment in a color of its own, targets in the colors of
    their matches (N,), and targets in those of their true matches, gray where there is none."""
    columns = []
    for pair, match in zip(pairs, matches, strict=True):
        palette = choose_colors(len(pair.reference.regions))
        true_match = torch.where(pair.is_match.any(dim=0), pair.is_match.int().argmax(dim=0), len(palette))
        gray = palette.new_full((1, 3), 0.6)
        truth = torch.cat([palette, gray])[true_match]
        columns.append((fill(pair.reference, palette), fill(pair.target, palette[match]), fill(pair.target, truth)))
    return [torch.stack(row) for row in zip(*columns, strict=True)]


def choose_colors(count: int) -> Tensor:
    """(count, 3) light colors, neighbors in number far apart in hue."""
    number = np.arange(count)
    hls = np.stack([number * GOLDEN_TURN % 360, 0.55 + 0.1 * (number % 4), np.full(count, 0.75)], axis=1)
    return torch.from_numpy(cv2.cvtColor(hls[None].astype(np.float32), cv2.COLOR_HLS2RGB)[0])


def fill(drawing: SegmentedDrawing, colors: Tensor) -> Tensor:
    """(3, SIDE, SIDE): the drawing with its segments in (S, 3) colors."""
    padded = torch.cat([colors, colors.new_ones(1, 3)])  # negative labels are paper
    frame = padded[drawing.labels.clamp(min=-1)].permute(2, 0, 1) * drawing.lines
    return F.interpolate(frame[None], (SIDE, SIDE), mode="bilinear", antialias=True)[0]
