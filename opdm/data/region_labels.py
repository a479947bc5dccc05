"""True matches between the regions of two frames, from true flow, as AnimeRun has them.

The regions of a frame are a map of (H, W) integers, 0 to S - 1 without a gap; a negative number is no region (ink).
"""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

UNMATCHED = -1

INK_BELOW = 0.5
"""A pixel whose line value is lower shows more ink than paint."""


@dataclass(frozen=True)
class Pieces:
    """The connected pieces in which a frame shows its regions."""

    labels: Tensor
    """(H, W) int64: 0 to S - 1, negative on ink and on specks."""
    regions: Tensor
    """(S,) int64: the region that each is a piece of."""


def split_regions(regions: Tensor, lines: Tensor, *, smallest_px: int = 16) -> Pieces:
    """What the ink of a drawing leaves of regions whose ids persist over a shot, as connected pieces.

    regions (H, W) integers, lines (1, H, W) in [0, 1]. Pieces of fewer than `smallest_px` pixels are left out. Linear
    in pixels.
    """
    ids, is_paint = regions.numpy(), lines[0].numpy() >= INK_BELOW
    # Pixels and the borders between them, as one binary image: a border is open where both sides are of one region.
    grid = np.zeros([2 * length - 1 for length in ids.shape], np.uint8)
    grid[::2, ::2] = is_paint
    grid[::2, 1::2] = is_paint[:, 1:] & is_paint[:, :-1] & (ids[:, 1:] == ids[:, :-1])
    grid[1::2, ::2] = is_paint[1:] & is_paint[:-1] & (ids[1:] == ids[:-1])
    components = cv2.connectedComponents(grid, connectivity=4)[1][::2, ::2]
    areas = np.bincount(components[is_paint], minlength=components.max() + 1)
    kept = np.flatnonzero(areas >= max(smallest_px, 1))
    numbers = np.full(len(areas), UNMATCHED, np.int64)
    numbers[kept] = np.arange(len(kept))
    labels = np.where(is_paint, numbers[components], UNMATCHED)
    of_piece = np.zeros(len(kept), np.int64)
    of_piece[labels[labels >= 0]] = ids[labels >= 0]
    return Pieces(torch.from_numpy(labels), torch.from_numpy(of_piece))


def match_regions(source: Tensor, target: Tensor, flow_px: Tensor, is_occluded: Tensor) -> list[list[int]]:
    """The target regions that each source region goes to, by falling share of its pixels; [-1] where there is none.

    AnimeRun (Siyao et al. 2022, section 3.2): regions are eroded by 3 x 3, occluded pixels are left out, every other
    pixel x votes for the region at x + flow. Ours, where the paper is silent: coordinates are rounded half up, what
    leaves the frame has no vote, the frame's border does not erode, and ties go to the lower number.

    source, target (H, W) integers; flow_px (2, H, W) from source to target; is_occluded (H, W) bool.
    """
    votes = count_votes(source, target, flow_px, ~is_occluded & is_interior(source))
    matches: list[list[int]] = [[] for _ in range(int(source.max()) + 1)]
    for region, candidate in votes.by_priority():
        matches[region].append(candidate)
    return [candidates or [UNMATCHED] for candidates in matches]


@dataclass(frozen=True)
class Votes:
    """How many pixels of which source region go to which target region: three columns of equal length."""

    source: np.ndarray
    target: np.ndarray
    pixels: np.ndarray

    def by_priority(self) -> list[tuple[int, int]]:
        """(source, target) by source, then by falling votes, then by target."""
        order = np.lexsort((self.target, -self.pixels, self.source))
        return list(zip(self.source[order].tolist(), self.target[order].tolist(), strict=True))


def count_votes(source: Tensor, target: Tensor, flow_px: Tensor, may_vote: Tensor) -> Votes:
    """Where the pixels of each source region land. source, target, may_vote (H, W); flow_px (2, H, W)."""
    height, width = source.shape
    y, x = np.nonzero((may_vote & (source >= 0)).numpy())
    dx, dy = flow_px[:, y, x].double().numpy()
    landed_x, landed_y = np.floor(x + dx + 0.5), np.floor(y + dy + 0.5)
    is_inside = (landed_x >= 0) & (landed_x < width) & (landed_y >= 0) & (landed_y < height)
    of_pixel = source.numpy()[y[is_inside], x[is_inside]].astype(np.int64)
    found = target.numpy()[landed_y[is_inside].astype(int), landed_x[is_inside].astype(int)].astype(np.int64)
    of_pixel, found = of_pixel[found >= 0], found[found >= 0]
    targets = int(target.max()) + 1
    pairs, pixels = np.unique(of_pixel * max(targets, 1) + found, return_counts=True)
    return Votes(pairs // max(targets, 1), pairs % max(targets, 1), pixels)


def is_interior(labels: Tensor) -> Tensor:
    """(H, W) bool: pixels whose 3 x 3 neighborhood, as far as it lies in the frame, is of one region."""
    values = labels.numpy().astype(np.float32)  # exact below 2^24, and OpenCV erodes no int32
    kernel = np.ones((3, 3), np.uint8)
    return torch.from_numpy(cv2.erode(values, kernel) == cv2.dilate(values, kernel))
