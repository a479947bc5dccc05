"""The colors of a keyframe's regions: whether a region has one, and the palette that they make together."""

from collections.abc import Iterable, Iterator

import cv2
import numpy as np
import torch
from torch import Tensor

from opdm.segments import check_sizes, vote_colors

FLAT_TOLERANCE = 12 / 255
"""Of each channel: compression and a model's painting stay within it, gradients and shadows leave it."""
FLAT_SHARE = 0.84
"""Least `flatness` of a flat region. Both numbers part flat regions of generated shots from painted, shaded and graded
ones best, on average over clean, compressed, and blurred and noisy frames."""
SAME_COLOR = 8 / 255
"""Of each channel: two regions' colors nearer than this are one color of the palette."""
MOST_TONES = 3
"""Flat colors that are looked for in one region."""
TONE_PX = 25
"""Fewest pixels of a flat color, without those at the edges of regions."""
EDGE_WEIGHT = 1e-3
"""Of pixels beside a line or another region, where colors mix: they only decide where a region has no others."""


def interior_weights(regions: Tensor) -> Tensor:
    """How much each pixel (H, W) tells about its region's color: 1 within, `EDGE_WEIGHT` at its edge, 0 on lines."""
    ids = regions.numpy().astype(np.float32)  # exact below 2^24, and OpenCV erodes no int32
    kernel = np.ones((3, 3), np.uint8)
    is_interior = cv2.erode(ids, kernel) == cv2.dilate(ids, kernel)
    return torch.from_numpy(np.where(ids > 0, np.where(is_interior, 1, EDGE_WEIGHT), 0).astype(np.float32))


def measure_flatness(regions: Tensor, frame: Tensor, colors: Tensor, *, tolerance: float = FLAT_TOLERANCE) -> Tensor:
    """Share (S,) of each region's interior that has the region's color (S, 3); NaN for a region without a pixel.

    regions (H, W), frame (3, H, W) in [0, 1]. From `FLAT_SHARE` on a region is painted in one color.
    """
    weights = interior_weights(regions)
    is_near = color_distance(regions, frame, colors) <= tolerance
    return sum_by_region(regions, weights * is_near, len(colors)) / sum_by_region(regions, weights, len(colors))


def color_distance(regions: Tensor, frame: Tensor, colors: Tensor) -> Tensor:
    """(H, W), in the channel where it is largest, from each pixel (3, H, W) to the color (S, 3) of its region."""
    check_sizes(regions, frame)
    distance = torch.zeros(regions.shape)
    for channel, color in zip(frame, colors.T, strict=True):
        distance = torch.maximum(distance, (channel - pick(color, regions)).abs())
    return distance


def pick(values: Tensor, regions: Tensor) -> Tensor:
    """What each pixel's region (H, W) has of values (S,); 0 on lines."""
    return torch.cat([values.new_zeros(1), values])[regions.long()]


def sum_by_region(regions: Tensor, values: Tensor, count: int) -> Tensor:
    """Sums (S,) of values (H, W)."""
    return torch.bincount(regions.flatten(), values.flatten().double(), count + 1)[1:].float()


def extract_palette(keyframes: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """The flat colors (N, 3) of keyframes, each its regions (H, W) and colors (3, H, W) in [0, 1], most used first.

    A region may have several, as light and shadow; of a gradient none is flat. Each is the exact color of the largest
    area that has it. (0, 3) where nothing is painted flat.
    """
    found = [tone for regions, frame in keyframes for tone in each_tone(regions, frame)]
    colors = torch.cat([torch.zeros(0, 3), *[color for color, _ in found]])
    return merge_colors(colors, torch.cat([torch.zeros(0), *[area for _, area in found]]))


def each_tone(regions: Tensor, frame: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Flat colors (T, 3) and their areas in pixels (T,): each region's first, then of those with more the second."""
    weights = interior_weights(regions)
    for _ in range(MOST_TONES):
        colors = vote_colors(regions, frame, weights)
        distance = color_distance(regions, frame, colors)
        around = sum_by_region(regions, weights * (distance <= 2 * FLAT_TOLERANCE), len(colors))
        near = sum_by_region(regions, weights * (distance <= FLAT_TOLERANCE), len(colors))
        is_flat = (near >= TONE_PX) & (near >= FLAT_SHARE * around)
        yield colors[is_flat], near[is_flat]
        weights = weights * (distance > 2 * FLAT_TOLERANCE)


def merge_colors(colors: Tensor, areas: Tensor, *, tolerance: float = SAME_COLOR) -> Tensor:
    """Of colors (S, 3) that differ by more than `tolerance` in a channel, (N, 3), by falling sum of areas (S,).

    The largest area has its color in the palette; what is nearer than `tolerance` to an entry counts for it.
    """
    entries = torch.zeros(0, 3)
    sums: list[float] = []
    for index in torch.argsort(areas, descending=True, stable=True).tolist():
        color, area = colors[index], areas[index].item()
        distance = (entries - color).abs().amax(dim=1)
        if len(entries) and distance.min() <= tolerance:
            sums[int(distance.argmin())] += area
        else:
            entries, sums = torch.cat([entries, color[None]]), [*sums, area]
    return entries[torch.argsort(torch.tensor(sums), descending=True, stable=True)]


def choose_entries(colors: Tensor, palette: Tensor) -> Tensor:
    """The entry of the palette (N, 3) nearest to each color (S, 3): (S,) int64, -1 for NaN or an empty palette."""
    if not len(palette):
        return torch.full((len(colors),), -1)
    nearest = torch.cdist(colors.nan_to_num(), palette).argmin(dim=1)
    return torch.where(colors.isnan().any(dim=1), -1, nearest)
