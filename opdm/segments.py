"""Regions of a drawing, the areas that its lines enclose, and their colors: what an animator paints.

Regions are maps (H, W) of int32: 1 to S without a gap, 0 = line.
"""

import math

import cv2
import numpy as np
import torch
from torch import Tensor

from opdm.compositing import LINE_COVERAGE, find_lines, nearest

GAP_PX = 6
"""Widest gap in a line that is closed unless said otherwise."""
SMALLEST_PX = 8
"""Fewest pixels of a region."""
GAP_SHARE = 2 / 3
"""A narrow passage is a gap in a line only up to this share of the width of either room that it joins; wider ones are
how a thin shape, a strand of hair, happens to swell."""
TRACE_CHROMA = 0.5
"""Least chroma, per coverage, of a color-trace line; dark colored ink has less."""
BIN_LEVELS = 16
"""Of 256; the pixels that vote for one color lie within two neighboring bins of each channel."""
BINS = 256 // BIN_LEVELS
REGIONS_AT_ONCE = 1024
"""Regions whose histograms are made together: each takes BINS^3 numbers."""

CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


def find_regions(drawing: Tensor, *, gap_px: int = GAP_PX, smallest_px: int = SMALLEST_PX) -> Tensor:
    """Regions (H, W) of lines (1, H, W) or of a colored drawing (3, H, W), in [0, 1], 1 = paper.

    Every pixel of paper belongs to one region, linear in pixels. Lines that lack up to `gap_px` pixels are closed, with
    discs as in trapped-ball segmentation (Zhang et al. 2009, Vectorizing Cartoon Animations); as a disc has an odd
    diameter, an odd number is as good as the next even one. What is smaller than `smallest_px` goes to the nearest
    region. Saturated lines of a colored drawing are color traces: borders that belong to the nearest region.
    """
    if drawing.ndim != 3 or drawing.shape[0] not in (1, 3) or not drawing.numel():
        raise ValueError(f"a drawing must be (1, H, W) or (3, H, W), got {tuple(drawing.shape)}")
    if gap_px < 0:
        raise ValueError(f"gap_px={gap_px}: must be 0, which closes none, or more")
    # The darkest channel, so that a line of any color covers the paper.
    coverage = 1 - drawing.amin(dim=0).float().numpy()
    is_line = find_lines(coverage, LINE_COVERAGE)
    regions = absorb_specks(flood(is_line, math.ceil(gap_px / 2)), smallest_px)
    if drawing.shape[0] == 3:
        chroma = (drawing.amax(dim=0) - drawing.amin(dim=0)).float().numpy()
        spread(regions, is_line & (chroma > TRACE_CHROMA * coverage))
    return torch.from_numpy(regions)


def grow_over_lines(regions: Tensor) -> Tensor:
    """Regions (H, W) in which every pixel of a line belongs to the nearest region: the color layer beneath lines."""
    grown = regions.numpy().copy()
    spread(grown, grown == 0)
    return torch.from_numpy(grown)


def resize_regions(regions: Tensor, size: tuple[int, int]) -> Tensor:
    """Ids (H, W) int32 at another (height, width)."""
    if regions.shape == size:
        return regions
    return torch.from_numpy(cv2.resize(regions.numpy(), size[::-1], interpolation=cv2.INTER_NEAREST))


def spread(regions: np.ndarray, wanted: np.ndarray) -> None:
    """Give each wanted pixel the nearest region, in place; `wanted` and `regions` are (H, W)."""
    known = (regions > 0) & ~wanted
    if known.any() and wanted.any():
        pixels, sources = nearest(known, wanted)
        regions.reshape(-1)[pixels] = regions.reshape(-1)[sources]


def absorb_specks(labels: np.ndarray, smallest_px: int) -> np.ndarray:
    """Give regions of fewer pixels to the nearest larger one; where all are smaller, the largest stays."""
    areas = np.bincount(labels.reshape(-1))
    areas[0] = 0
    kept = areas >= max(smallest_px, 1)
    kept[areas.argmax()] |= bool(areas.any())
    numbers = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    regions = numbers[labels]
    spread(regions, (labels > 0) & (regions == 0))
    return regions


def flood(is_line: np.ndarray, radius_px: int) -> np.ndarray:
    """Rooms between lines, (H, W) int32 from 1: ever smaller discs reach ever narrower corners, each from its room.

    A room is what a disc can sweep. Where smaller discs find a room that no larger one could enter, it is a new one;
    where they find a passage between rooms, the rooms stay two if the passage is a gap in a line, and else are joined.
    """
    if not is_line.any():
        return np.ones(is_line.shape, np.int32)
    distance_px = cv2.distanceTransform((~is_line).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # A border that is never paper, so that neighbors in flat order are neighbors in the image.
    distance_px = cv2.copyMakeBorder(distance_px, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    labels = np.zeros(distance_px.shape, np.int32)
    # Of each label, from 0 = none, a pixel and the radius in pixels of the largest disc.
    pixel_of, reach_px = np.zeros(1, np.int64), np.zeros(1, np.float32)
    for level in range(radius_px, -1, -1):
        count, rooms = cv2.connectedComponents((distance_px > level).view(np.uint8), connectivity=4)
        room_of = rooms.reshape(-1)[pixel_of[1:]]
        tenants = np.bincount(room_of, minlength=count)
        is_new, is_shared = tenants == 0, tenants > 1
        is_new[0] = False
        label_of = np.zeros(count, np.int32)
        label_of[room_of] = np.arange(1, len(pixel_of))
        label_of[is_new] = np.arange(len(pixel_of), len(pixel_of) + is_new.sum())
        in_shared = is_shared[rooms]
        labels = np.where(in_shared, labels, label_of[rooms])
        pixel_of, reach_px = admit(np.flatnonzero(is_new[rooms]), labels, distance_px, pixel_of, reach_px)
        if is_shared.any():
            reached = grow(labels, in_shared)
            owner = join(labels, reached, reach_px, (level + 1) / GAP_SHARE)
            kept, numbers = np.unique(owner, return_inverse=True)
            labels, pixel_of, reach_px = numbers.astype(np.int32)[labels], pixel_of[kept], reach_px[kept]
    return np.ascontiguousarray(labels[1:-1, 1:-1])


def admit(
    pixels: np.ndarray, labels: np.ndarray, distance_px: np.ndarray, pixel_of: np.ndarray, reach_px: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Extend `pixel_of` and `reach_px` by the new labels, given all of their pixels."""
    found = labels.reshape(-1)[pixels]
    added = int(found.max(initial=len(pixel_of) - 1)) + 1 - len(pixel_of)
    pixel_of, reach_px = np.pad(pixel_of, (0, added)), np.pad(reach_px, (0, added))
    pixel_of[found] = pixels
    np.maximum.at(reach_px, found, distance_px.reshape(-1)[pixels])
    return pixel_of, reach_px


def grow(labels: np.ndarray, is_open: np.ndarray) -> np.ndarray:
    """Spread labels step by step over the open pixels without one, in place; the pixels reached, as flat indices."""
    todo = is_open & (labels == 0)
    front = np.flatnonzero((cv2.dilate(todo.view(np.uint8), CROSS) > 0) & (labels > 0))
    todo, flat = todo.reshape(-1), labels.reshape(-1)
    reached = [front[:0]]
    while len(front):
        steps = []
        for offset in neighbors(labels):
            ahead = front + offset
            is_free = todo[ahead]
            ahead = ahead[is_free]
            flat[ahead] = flat[front[is_free]]
            todo[ahead] = False
            steps.append(ahead)
        front = np.concatenate(steps)
        reached.append(front)
    return np.concatenate(reached)


def neighbors(labels: np.ndarray) -> tuple[int, int, int, int]:
    """Steps in flat order to the four neighbors of a pixel."""
    width = labels.shape[1]
    return -width, -1, 1, width


def join(labels: np.ndarray, reached: np.ndarray, reach_px: np.ndarray, enough_px: float) -> np.ndarray:
    """Label (L,) that each label becomes: of two that meet at the pixels reached, unless both reach far enough, one.

    The longest borders come first, so that what lies between two rooms goes to one of them and does not join them.
    `reach_px` becomes that of the joined.
    """
    flat, meetings = labels.reshape(-1), []
    for offset in neighbors(labels):
        here, there = flat[reached].astype(np.int64), flat[reached + offset]
        differ = (there > 0) & (here != there)
        here, there = here[differ], there[differ]
        meetings.append(np.minimum(here, there) * len(reach_px) + np.maximum(here, there))
    pairs, lengths = np.unique(np.concatenate(meetings), return_counts=True)
    owner = list(range(len(reach_px)))

    def find(label: int) -> int:
        while owner[label] != label:
            owner[label] = label = owner[owner[label]]
        return label

    for pair in pairs[np.argsort(-lengths, kind="stable")].tolist():
        first, second = sorted(find(label) for label in divmod(pair, len(reach_px)))
        if first != second and min(reach_px[first], reach_px[second]) < enough_px:
            owner[second] = first
            reach_px[first] = max(reach_px[first], reach_px[second])
    return np.array([find(label) for label in owner])


def vote_colors(regions: Tensor, frame: Tensor, weights: Tensor | None = None) -> Tensor:
    """The color (S, 3) that most pixels of each region have; NaN for a region without a pixel of any weight.

    regions (H, W), frame (3, H, W) in [0, 1], weights (H, W) from 0, 1 each unless given. Of the cluster that most
    pixels lie in, 1/8 wide in each channel, the median in steps of 1/255 and then the mean within that step: a color
    that more than half of the cluster have exactly is met exactly.
    """
    check_sizes(regions, frame, weights)
    votes = regions.numpy() if weights is None else regions.numpy() * (weights.numpy() > 0)
    pixels = np.flatnonzero(votes)
    numbers = votes.reshape(-1)[pixels] - 1
    values = frame.numpy().reshape(3, -1)[:, pixels].clip(0, 1)  # (3, N)
    levels = np.rint(values * 255).astype(np.uint8)
    shares = None if weights is None else weights.numpy().reshape(-1)[pixels]
    count = int(regions.max()) if regions.numel() else 0
    corners = densest_windows(numbers, levels // BIN_LEVELS, shares, count)
    is_inside = np.ones(len(numbers), bool)
    for corner, channel in zip(corners, levels, strict=True):
        is_inside &= channel // BIN_LEVELS - corner[numbers] <= 1  # of uint8, where -1 is large
    numbers, shares = numbers[is_inside], None if shares is None else shares[is_inside]
    medians = [
        median_step(numbers, value[is_inside], level[is_inside], shares, count)
        for value, level in zip(values, levels, strict=True)
    ]
    return torch.from_numpy(np.stack(medians, axis=1).astype(np.float32))


def check_sizes(regions: Tensor, frame: Tensor, weights: Tensor | None = None) -> None:
    """Raise ValueError unless all are of one size."""
    if frame.ndim != 3 or regions.shape != frame.shape[1:] or (weights is not None and weights.shape != regions.shape):
        sizes = [tuple(tensor.shape) for tensor in (regions, frame, weights) if tensor is not None]
        raise ValueError(f"regions (H, W), frame (3, H, W) and weights (H, W) must be of one size, got {sizes}")


def densest_windows(numbers: np.ndarray, bins: np.ndarray, shares: np.ndarray | None, count: int) -> np.ndarray:
    """Of each region the two neighboring bins in each channel that hold most pixels: the lower bin, (3, S) uint8.

    Of N pixels: numbers (N,) of their regions from 0, bins (3, N), shares (N,).
    """
    keys = ((numbers.astype(np.int64) * BINS + bins[0]) * BINS + bins[1]) * BINS + bins[2]
    corners = np.zeros((3, count), np.uint8)
    for start in range(0, count, REGIONS_AT_ONCE):
        size = min(REGIONS_AT_ONCE, count - start)
        if size < count:
            is_here = (numbers >= start) & (numbers < start + size)
            here, lengths = keys[is_here] - start * BINS**3, None if shares is None else shares[is_here]
        else:
            here, lengths = keys, shares
        cube = np.bincount(here, lengths, size * BINS**3).reshape(size, BINS, BINS, BINS)
        cube = cube[:, 1:] + cube[:, :-1]
        cube = cube[:, :, 1:] + cube[:, :, :-1]
        cube = cube[..., 1:] + cube[..., :-1]
        corners[:, start : start + size] = np.unravel_index(cube.reshape(size, -1).argmax(axis=1), cube.shape[1:])
    return corners


def median_step(
    numbers: np.ndarray, values: np.ndarray, levels: np.ndarray, shares: np.ndarray | None, count: int
) -> np.ndarray:
    """Per region, (S,), the mean of the values that round to the same 1/255 as the median; NaN without values."""
    keys = numbers.astype(np.int64) * 256 + levels
    sizes = np.bincount(keys, shares, count * 256).reshape(count, 256)
    sums = np.bincount(keys, values if shares is None else values * shares, count * 256).reshape(count, 256)
    below = np.cumsum(sizes, axis=1)
    middle = (below * 2 < below[:, -1:]).sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN of an empty region
        return (np.take_along_axis(sums, middle, axis=1) / np.take_along_axis(sizes, middle, axis=1))[:, 0]


def fill_regions(regions: Tensor, colors: Tensor, beneath: Tensor) -> Tensor:
    """Paint (3, H, W) with colors (S, 3), one per region (H, W); lines and NaN show `beneath` (3, H, W)."""
    if regions.shape != beneath.shape[1:] or int(regions.max()) > len(colors):
        size, count = tuple(regions.shape), int(regions.max())
        raise ValueError(f"{count} regions {size} do not fit {len(colors)} colors over {tuple(beneath.shape)}")
    table = torch.cat([torch.full((1, 3), torch.nan), colors])
    painted = table.T[:, regions.long()]
    return torch.where(painted.isnan(), beneath, painted)
