"""What the Animation Transformer sees of a segment: a crop of its drawing and its mask, and its box (AnT, section 3).

Everything is linear in the pixels of a drawing, plus a constant per segment.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from opdm.errors import InputError

MASK_SAMPLES = 2
"""Samples of the mask in each pixel of a crop, along each axis."""


@dataclass(frozen=True)
class SegmentCrops:
    """The S segments of one drawing."""

    crops: Tensor
    """(S, 2, C, C) float32 in [0, 1]: share of ink, and of the segment itself, in each pixel of the crop."""
    boxes: Tensor
    """(S, 4) float32: center x and y of the segment's box from the frame's center, its height and width, all in units
    of the frame's longer side."""


@dataclass(frozen=True)
class SegmentBatch:
    """The segments of D drawings, packed one after the other; R of them together."""

    crops: Tensor
    """(R, 2, C, C)."""
    boxes: Tensor
    """(R, 4)."""
    is_segment: Tensor
    """(D, S) bool: which places are taken when each drawing gets as many as the drawing with the most."""

    @classmethod
    def pack(cls, drawings: Sequence[SegmentCrops]) -> "SegmentBatch":
        """Put drawings of any numbers of segments into one batch."""
        counts = torch.tensor([len(drawing.crops) for drawing in drawings], device=drawings[0].crops.device)
        places = torch.arange(int(counts.max()), device=counts.device)
        return cls(
            crops=torch.cat([drawing.crops for drawing in drawings]),
            boxes=torch.cat([drawing.boxes for drawing in drawings]),
            is_segment=places < counts[:, None],
        )

    def to(self, device: torch.device | str) -> "SegmentBatch":
        """The same batch on another device."""
        return SegmentBatch(self.crops.to(device), self.boxes.to(device), self.is_segment.to(device))


def crop_segments(lines: Tensor, labels: Tensor, *, side: int, margin: float) -> SegmentCrops:
    """Crop every segment of a drawing by its box, enlarged by `margin` of its sides, to `side` x `side` pixels.

    lines (1, H, W) in [0, 1]; labels (H, W) integers, 0 to S - 1 without a gap, negative where there is no segment.
    Ours: a crop is stretched to a square, ink is averaged over the area of each pixel of the crop, so that a thin line
    survives in the crop of a large segment, and beyond the frame there is neither ink nor segment. Raises InputError
    for a drawing without segments.
    """
    if lines.shape[1:] != labels.shape:
        raise InputError(f"lines of shape {tuple(lines.shape)} for labels of {tuple(labels.shape)}; give the same size")
    if not labels.numel() or int(labels.max()) < 0:
        raise InputError("a drawing without segments: there is nothing to match; give one whose lines enclose areas")
    boxes = find_boxes(labels)
    sizes = boxes[:, 2:] - boxes[:, :2]
    starts, sizes = boxes[:, :2] - margin * sizes, (1 + 2 * margin) * sizes  # x, y
    ink = average_ink(lines[0], starts, sizes, side)
    mask = sample_masks(labels, starts, sizes, side)
    crops = torch.stack([ink, mask], dim=1)  # (S, 2, C, C)
    return SegmentCrops(crops, encode_boxes(boxes, labels.shape))


def find_boxes(labels: Tensor) -> Tensor:
    """(S, 4) float64: left, top, right and bottom edge of each segment, in pixels."""
    # The first and the last pixels of a segment in the rows know as much as all of its pixels.
    is_rim = torch.ones_like(labels, dtype=torch.bool)
    is_rim[:, 1:-1] = (labels[:, 1:-1] != labels[:, :-2]) | (labels[:, 1:-1] != labels[:, 2:])
    y, x = torch.nonzero(is_rim & (labels >= 0), as_tuple=True)
    places = torch.stack([x, y], dim=1)  # (rim, 2)
    segment = labels[y, x].long()[:, None].expand_as(places)
    count = int(labels.max()) + 1
    first = places.new_zeros(count, 2).scatter_reduce(0, segment, places, "amin", include_self=False)
    last = places.new_zeros(count, 2).scatter_reduce(0, segment, places, "amax", include_self=False)
    return torch.cat([first, last + 1], dim=1).double()


def encode_boxes(boxes: Tensor, size: torch.Size) -> Tensor:
    """(S, 4) boxes in pixels as the network takes them: x, y, h, w of `SegmentCrops.boxes`."""
    height, width = size
    center = (boxes[:, :2] + boxes[:, 2:] - boxes.new_tensor([width, height])) / 2
    extent = (boxes[:, 2:] - boxes[:, :2]).flip(1)
    return (torch.cat([center, extent], dim=1) / max(height, width)).float()


def average_ink(lines: Tensor, starts: Tensor, sizes: Tensor, side: int) -> Tensor:
    """(S, side, side): mean ink of each pixel of the crops, by differences of a summed-area table.

    lines (H, W), 1 = paper; starts and sizes (S, 2), x and y, in pixels.
    """
    height, width = lines.shape
    table = torch.nn.functional.pad((1 - lines.double()).cumsum(0).cumsum(1), (1, 0, 1, 0))  # (H + 1, W + 1)
    steps = torch.arange(side + 1, device=lines.device, dtype=torch.float64) / side
    edges = starts[:, :, None] + sizes[:, :, None] * steps  # (S, 2, side + 1)
    x, y = edges[:, 0].clamp(0, width), edges[:, 1].clamp(0, height)
    left, top = x.long().clamp(max=width - 1), y.long().clamp(max=height - 1)
    right_share, bottom_share = (x - left)[:, None, :], (y - top)[:, :, None]

    def look_up(down: int, right: int) -> Tensor:
        return table[top[:, :, None] + down, left[:, None, :] + right]  # (S, side + 1, side + 1)

    # Inside a pixel the table is bilinear.
    upper = torch.lerp(look_up(0, 0), look_up(0, 1), right_share)
    lower = torch.lerp(look_up(1, 0), look_up(1, 1), right_share)
    sums = torch.lerp(upper, lower, bottom_share).diff(dim=1).diff(dim=2)  # (S, side, side)
    return (sums * side**2 / sizes.prod(dim=1)[:, None, None]).float()


def sample_masks(labels: Tensor, starts: Tensor, sizes: Tensor, side: int) -> Tensor:
    """(S, side, side): share of the samples in each pixel of its crop that are of the segment; arguments as above."""
    height, width = labels.shape
    count = side * MASK_SAMPLES
    steps = (torch.arange(count, device=labels.device, dtype=torch.float64) + 0.5) / count
    x, y = (starts[:, :, None] + sizes[:, :, None] * steps).floor().long().unbind(1)  # (S, count) each
    is_inside = ((y >= 0) & (y < height))[:, :, None] & ((x >= 0) & (x < width))[:, None, :]
    found = labels[y.clamp(0, height - 1)[:, :, None], x.clamp(0, width - 1)[:, None, :]]  # (S, count, count)
    is_own = is_inside & (found == torch.arange(len(starts), device=labels.device)[:, None, None])
    return is_own.float().unflatten(1, (side, -1)).unflatten(3, (side, -1)).mean(dim=(2, 4))
