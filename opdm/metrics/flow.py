"""Scores of optical flow whose truth is known: end-point errors by kind of pixel, and which pixels flow cannot know.

The columns are those of AnimeRun (Siyao et al. 2022, table 2) and the two that LinkTo-Anime adds, fg and bg.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

COLUMNS = ("epe", "occ", "nonocc", "line", "flat", "s<10", "s10-50", "s>50", "fg", "bg")

SLOW_PX, FAST_PX = 10, 50
"""AnimeRun: speeds up to 10 px, up to 50 px, and above."""

OCCLUDED_PX = 0.5
"""AnimeRun: a pixel that ends further from its start, after going there and back, is not seen by the other frame."""

Masks = Sequence[Tensor | None]


class EndPointErrors:
    """Errors pooled over all pixels of all pairs, as AnimeRun's program does it: sums only, however many pairs."""

    def __init__(self) -> None:
        self.sums = torch.zeros(len(COLUMNS), dtype=torch.float64)
        self.pixels = torch.zeros(len(COLUMNS), dtype=torch.int64)

    def update(
        self,
        prediction_px: Tensor,
        truth_px: Tensor,
        is_occluded: Tensor | None = None,
        is_line: Tensor | None = None,
        is_foreground: Tensor | None = None,
    ) -> None:
        """Count the pixels of one pair: flows (2, H, W), masks (H, W) bool; None where the data set does not say."""
        if prediction_px.shape != truth_px.shape or truth_px.ndim != 3 or truth_px.shape[0] != 2:
            shapes = f"{tuple(prediction_px.shape)} and {tuple(truth_px.shape)}"
            raise ValueError(f"flows must both be (2, H, W), got {shapes}")
        truth = truth_px.double()
        error_px = (prediction_px.double() - truth).square().sum(dim=0).sqrt()
        for column, mask in _columns(truth, is_occluded, is_line, is_foreground).items():
            index = COLUMNS.index(column)
            self.sums[index] += error_px[mask].sum().cpu()
            self.pixels[index] += mask.sum().cpu()

    def merge(self, other: "EndPointErrors") -> None:
        """Count everything that `other` has counted."""
        self.sums += other.sums
        self.pixels += other.pixels

    def compute(self) -> dict[str, float]:
        """Mean error of each column in pixels, NaN where it has none."""
        return dict(zip(COLUMNS, (self.sums / self.pixels).tolist(), strict=True))


def epe_breakdown(
    prediction_px: Sequence[Tensor],
    truth_px: Sequence[Tensor],
    is_occluded: Masks | None = None,
    is_line: Masks | None = None,
    is_foreground: Masks | None = None,
) -> dict[str, float]:
    """Mean Euclidean error of flow in pixels, over all pixels of all pairs together, for each of `COLUMNS`.

    Flows (2, H, W) and masks (H, W) bool, one per pair, of any sizes. Speed is that of the truth: s<10 up to and with
    10 px, s10-50 up to and with 50 px. NaN for a column without pixels. `EndPointErrors` is the same, pair by pair.
    """
    errors = EndPointErrors()
    masks = ([None] * len(truth_px) if mask is None else mask for mask in (is_occluded, is_line, is_foreground))
    for pair in zip(prediction_px, truth_px, *masks, strict=True):
        errors.update(*pair)
    return errors.compute()


def occluded(forward_flow_px: Tensor, backward_flow_px: Tensor) -> Tensor:
    """(H, W) bool: where going along one flow and back along the other ends more than 0.5 px from the start.

    Both (2, H, W). As AnimeRun has it; ours, where it is silent: what leaves the frame is occluded.
    """
    forward = forward_flow_px.double()
    returned = forward + sample_bilinear(backward_flow_px.double(), forward)
    height, width = forward.shape[-2:]
    x, y = _landing(forward)
    is_outside = (x < 0) | (x > width - 1) | (y < 0) | (y > height - 1)
    return is_outside | (returned.square().sum(dim=0) > OCCLUDED_PX**2)


def sample_bilinear(field: Tensor, flow_px: Tensor) -> Tensor:
    """field[y + dy, x + dx], bilinear, borders repeated: (C, H, W) and (2, H, W) of one dtype -> (C, H, W).

    `grid_sample` sends coordinates through [-1, 1]; what it rounds there may tip a comparison with a threshold.
    """
    height, width = flow_px.shape[-2:]
    x, y = (coordinates.flatten() for coordinates in _landing(flow_px))
    left, top = x.floor(), y.floor()
    x_weight, y_weight = (x - left)[:, None], (y - top)[:, None]
    columns = [(left + step).clamp_(0, width - 1).long() for step in (0, 1)]
    rows = [(top + step).clamp_(0, height - 1).long() * width for step in (0, 1)]
    pixels = field.flatten(1).T.contiguous()  # (H W, C): the channels of a pixel are fetched together

    def between_columns(row: Tensor) -> Tensor:
        left_pixels, right_pixels = (pixels.index_select(0, row + column) for column in columns)
        return torch.lerp(left_pixels, right_pixels, x_weight)

    sampled = torch.lerp(between_columns(rows[0]), between_columns(rows[1]), y_weight)
    return sampled.T.reshape(-1, height, width)


def _landing(flow_px: Tensor) -> tuple[Tensor, Tensor]:
    """Column and row, each (H, W), at which every pixel arrives."""
    height, width = flow_px.shape[-2:]
    x = torch.arange(width, dtype=flow_px.dtype, device=flow_px.device)
    y = torch.arange(height, dtype=flow_px.dtype, device=flow_px.device)[:, None]
    return x + flow_px[0], y + flow_px[1]


def _columns(
    truth_px: Tensor, is_occluded: Tensor | None, is_line: Tensor | None, is_foreground: Tensor | None
) -> dict[str, Tensor]:
    """Which pixels each column is about, without the columns that the data set says nothing about."""
    speed_px = truth_px.square().sum(dim=0).sqrt()
    is_slow, is_fast = speed_px <= SLOW_PX, speed_px > FAST_PX
    columns = {"epe": torch.ones_like(is_slow), "s<10": is_slow, "s10-50": ~is_slow & ~is_fast, "s>50": is_fast}
    pairs = (("occ", "nonocc", is_occluded), ("line", "flat", is_line), ("fg", "bg", is_foreground))
    for inside, outside, mask in pairs:
        if mask is not None:
            columns |= {inside: mask.bool(), outside: ~mask.bool()}
    return columns
