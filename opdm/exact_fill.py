"""Exact paint: each area of a painted drawing in one color of the keyframes' palette, as an animator fills it.

An area is a region, or the part of it that has one tone where light and shadow meet without a line. What the model
painted flat, and near a color of the palette, becomes that color to the last bit. Everything else, painted
backgrounds, gradients and colors that no keyframe has, stays as the model painted it. `eval/exact_fill.py` measures
what the numbers below decide.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from opdm.compositing import Composite, compose, nearest
from opdm.layers import Layers
from opdm.region_colors import choose_entries, color_distance, extract_palette, interior_weights, pick, sum_by_region
from opdm.segments import fill_regions, find_regions, grow_over_lines, vote_colors

MOST_TONES = 3
"""Areas of one region: light, shadow, highlight."""
FLAT_TOLERANCE = 5 / 255
"""Of each channel: how far paint may be from a tone and still have it."""
FLAT_SHARE = 0.85
"""Of what is within twice that of a tone, the least that is within it; of a gradient, half is."""
SMALLEST_SHARE = 0.02
"""Of a region: what has a tone of its own is at least as large."""
ENTRY_TOLERANCE = 6 / 255
"""Of each channel: how far a tone may be from the entry of the palette that it becomes."""
AS_PAINTED = -1
"""In the place of an entry: the area stays as it is."""


@dataclass(frozen=True)
class AreaPaint:
    """A frame whose areas know their colors."""

    composite: Composite
    areas: Tensor
    """(H, W) int32: 1 to A, 0 = line."""
    palette: Tensor
    """(N, 3) in [0, 1]."""
    entries: Tensor
    """(A,) int64: the color of the palette that each area has, `AS_PAINTED` where it has none of them."""


def collect_palette(keyframes: Iterable[Layers]) -> Tensor:
    """The flat colors (N, 3) of keyframes, most used first, rounded to 8 bits as files have them."""
    colors = extract_palette((find_regions(keyframe.lines), keyframe.color) for keyframe in keyframes)
    return colors.mul(255).round().div(255)


def leave_as_painted(composite: Composite, regions: Tensor) -> AreaPaint:
    """A frame none of whose regions takes a color of a palette."""
    return AreaPaint(composite, regions, torch.zeros(0, 3), torch.full((int(regions.max()),), AS_PAINTED))


def fill_exactly(frame: Tensor, lines: Tensor, regions: Tensor, palette: Tensor) -> AreaPaint:
    """Fill a painted frame (3, H, W) with colors of the palette (N, 3), all in [0, 1].

    lines (1, H, W) are the drawing's, regions (H, W) what they enclose.
    """
    layers = compose(frame, lines)
    areas, tones = split_by_tone(regions, layers.fill)
    entries = choose_entries(tones, palette)
    distance = (entry_colors(palette, entries) - tones).abs().amax(dim=1)
    entries = torch.where(distance <= ENTRY_TOLERANCE, entries, AS_PAINTED)  # NaN is within nothing
    layers = repaint(frame, layers, areas, entry_colors(palette, entries))
    rounded = [
        layer.mul(255).round().div(255) for layer in (layers.fill, layers.ink, layers.lines)
    ]  # as files have them
    return refill(AreaPaint(Composite(*rounded), areas, palette, entries), palette)


def repaint(frame: Tensor, layers: Composite, areas: Tensor, colors: Tensor) -> Composite:
    """A frame (3, H, W) with areas (H, W) in colors (A, 3) of their own, beneath lines as beside them.

    Those whose color is NaN stay as they are in the frame, whose `layers` these are.
    """
    areas = grow_over_lines(areas)
    is_changed = pick(~colors.isnan().any(dim=1), areas)
    painted = layers.give(frame)
    fill = fill_regions(areas, colors, torch.where(is_changed, layers.fill, painted.fill))
    return replace(layers, fill=fill, ink=torch.where(is_changed, layers.ink, painted.ink))


def split_by_tone(regions: Tensor, fill: Tensor) -> tuple[Tensor, Tensor]:
    """Areas (H, W) of regions (H, W) that are painted in one tone each, and the tones (A, 3).

    fill (3, H, W) is paint without lines. What has no tone of a region is one area, whose tone is NaN.
    """
    count = int(regions.max())
    areas, tones = regions, [torch.full((count, 3), torch.nan)]
    weights = interior_weights(regions)
    sizes = sum_by_region(regions, weights, count)
    for number in range(1, MOST_TONES + 1):
        colors = vote_colors(regions, fill, weights)
        distance = color_distance(regions, fill, colors)
        near = sum_by_region(regions, weights * (distance <= FLAT_TOLERANCE), count)
        around = sum_by_region(regions, weights * (distance <= 2 * FLAT_TOLERANCE), count)
        is_tone = (near >= FLAT_SHARE * around) & (near > SMALLEST_SHARE * sizes)
        is_here = (areas == regions) & (distance <= 2 * FLAT_TOLERANCE) & pick(is_tone, regions)
        areas = torch.where(is_here, regions + count * number, areas)
        weights = weights * (distance > 2 * FLAT_TOLERANCE)
        tones.append(colors)
    numbers, areas = torch.unique(remove_slivers(areas, regions), return_inverse=True)
    has_lines = int(numbers[0] == 0)
    return (areas + 1 - has_lines).int(), torch.cat(tones)[numbers[has_lines:].long() - 1]


def remove_slivers(areas: Tensor, regions: Tensor) -> Tensor:
    """Areas (H, W) of which no part is thinner than two pixels: such go to the nearest other area of their region.

    Where two tones meet, the pixels between them may look like a third one.
    """
    numbers = areas.numpy().astype(np.float32)  # exact below 2^24, and OpenCV erodes no int32
    block = np.ones((2, 2), np.uint8)
    is_block = cv2.erode(numbers, block, anchor=(0, 0)) == cv2.dilate(numbers, block, anchor=(0, 0))
    is_kept = cv2.dilate(is_block.view(np.uint8), block, anchor=(1, 1)) > 0
    ids, parents = areas.numpy().copy(), regions.numpy()
    if not is_kept.any():
        return areas
    pixels, sources = nearest(is_kept & (parents > 0), ~is_kept & (parents > 0))
    is_same = parents.reshape(-1)[pixels] == parents.reshape(-1)[sources]
    ids.reshape(-1)[pixels[is_same]] = ids.reshape(-1)[sources[is_same]]
    return torch.from_numpy(ids)


def refill(paint: AreaPaint, palette: Tensor) -> AreaPaint:
    """The same frame with the colors (N, 3) of another palette in its entries; beneath lines as beside them."""
    colors = entry_colors(palette, paint.entries)
    fill = fill_regions(grow_over_lines(paint.areas), colors, paint.composite.fill)
    is_border = find_borders(paint.areas) & pick(paint.entries != AS_PAINTED, paint.areas)
    blurred = cv2.GaussianBlur(np.ascontiguousarray(fill.permute(1, 2, 0).numpy()), (3, 3), 0)
    fill = torch.where(is_border, torch.from_numpy(blurred).permute(2, 0, 1), fill)  # anti-aliased
    return replace(paint, composite=replace(paint.composite, fill=fill), palette=palette)


def find_borders(areas: Tensor) -> Tensor:
    """Where areas (H, W) meet without a line between, a pixel of either side: (H, W) bool."""
    numbers = areas.numpy().astype(np.float32)
    square = np.ones((3, 3), np.uint8)
    least = cv2.erode(numbers, square)
    return torch.from_numpy((least > 0) & (least < cv2.dilate(numbers, square)))


def entry_colors(palette: Tensor, entries: Tensor) -> Tensor:
    """The colors (A, 3) of entries (A,) of a palette (N, 3); NaN for `AS_PAINTED`."""
    return torch.cat([palette, torch.full((1, 3), torch.nan)])[entries]  # AS_PAINTED is the last row
