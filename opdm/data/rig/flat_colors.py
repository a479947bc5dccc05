"""Textures as a painter of cels has them: a few flat colors in place of gradients, brush strokes and noise."""

import cv2
import numpy as np

MOST_COLORS = 255
"""Labels are bytes, and one stands for a hole."""
SAME_SHADE = 8.0
"""Texels of one shade differ by less; all differences are CIE 1976."""
SOFT_EDGE = 5.0
"""Shades that differ by less across their border, over three texels, are one color that runs."""
WIDEST_RUN = 36.0
"""Shades that differ by more are two colors, however softly they run into each other."""
SMALLEST_AREA = 1 / 16384
"""Of the texture: what is smaller is no color of its own but noise, or the rim of one."""
SAME_COLOR = 8.0
"""Colors that differ by less are one pot of paint."""


def flatten(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The flat colors (K, 3) in [0, 1] of an image (H, W, 3) uint8, and (H, W) uint8 which is where."""
    smooth = cv2.medianBlur(image, 5) if min(image.shape[:2]) > 5 else image
    lab = cv2.cvtColor(smooth.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    segments = split(find_shades(smooth))
    areas = np.bincount(segments.reshape(-1))
    groups = merge(segments, lab, areas)
    of_texel = groups[segments]
    weights = np.bincount(of_texel.reshape(-1))
    colors, shades = (
        np.stack([np.bincount(of_texel.reshape(-1), plane[..., c].reshape(-1)) for c in range(3)], axis=1)
        / weights[:, None]
        for plane in (smooth / 255, lab)
    )
    pots = gather(shades, weights, SAME_COLOR)
    totals = np.bincount(pots, weights)
    mixed = np.stack([np.bincount(pots, weights * colors[:, c]) for c in range(3)], axis=1) / totals[:, None]
    return mixed, pots[of_texel].astype(np.uint8)


def find_shades(image: np.ndarray) -> np.ndarray:
    """(H, W) uint8: texels of about one color."""
    bins = (image.astype(np.int32) >> 3) @ np.array([1024, 32, 1])
    _, of_texel, counts = np.unique(bins, return_inverse=True, return_counts=True)
    of_texel = of_texel.reshape(-1)
    sums = [np.bincount(of_texel, image[..., c].reshape(-1)) for c in range(3)]
    means = (np.stack(sums, axis=1) / counts[:, None] / 255).astype(np.float32)
    lab = cv2.cvtColor(means[None], cv2.COLOR_RGB2LAB)[0]
    return gather(lab, counts, SAME_SHADE)[of_texel].reshape(image.shape[:2]).astype(np.uint8)


def gather(lab: np.ndarray, weights: np.ndarray, radius: float) -> np.ndarray:
    """The group of each color, (N,) from 0 to at most MOST_COLORS - 1. lab (N, 3), weights (N,).

    Greedy: the weightiest color founds a group, each following one does if all groups are farther than `radius`; at
    the end each joins the nearest.
    """
    order = np.argsort(-weights, kind="stable")
    founders = [order[0]]
    nearest = np.linalg.norm(lab - lab[order[0]], axis=1)
    groups = np.zeros(len(lab), np.int64)
    for color in order[1:]:
        if nearest[color] > radius and len(founders) < MOST_COLORS:
            distance = np.linalg.norm(lab - lab[color], axis=1)
            groups[distance < nearest] = len(founders)
            nearest = np.minimum(nearest, distance)
            founders.append(color)
    return groups


def split(shades: np.ndarray) -> np.ndarray:
    """The connected pieces of shades, (H, W) int from 0."""
    height, width = shades.shape
    # Texels and the borders between them, as one binary image: a border is open where both sides are of one shade.
    grid = np.zeros((2 * height - 1, 2 * width - 1), np.uint8)
    grid[::2, ::2] = 1
    grid[::2, 1::2] = shades[:, 1:] == shades[:, :-1]
    grid[1::2, ::2] = shades[1:] == shades[:-1]
    return cv2.connectedComponents(grid, connectivity=4)[1][::2, ::2] - 1


def merge(segments: np.ndarray, lab: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """The group of each segment, (S,) from 0 without a gap: softest borders first, then specks to their neighbors."""
    pairs, contrasts = find_borders(segments, lab)
    sums = np.stack([np.bincount(segments.reshape(-1), lab[..., c].reshape(-1)) for c in range(3)], axis=1)
    masses = areas.astype(np.float64)
    parents = list(range(len(areas)))

    def root_of(segment: int) -> int:
        while parents[segment] != segment:
            parents[segment] = parents[parents[segment]]
            segment = parents[segment]
        return segment

    smallest = SMALLEST_AREA * segments.size
    for may_be_hard in (False, True):
        for border in np.argsort(contrasts, kind="stable"):
            a, b = root_of(int(pairs[border, 0])), root_of(int(pairs[border, 1]))
            if a == b:
                continue
            if may_be_hard:
                joins = min(masses[a], masses[b]) < smallest
            else:
                difference = np.linalg.norm(sums[a] / masses[a] - sums[b] / masses[b])
                joins = contrasts[border] < SOFT_EDGE and difference < WIDEST_RUN
            if joins:
                parents[b] = a
                sums[a] += sums[b]
                masses[a] += masses[b]
    roots = np.array([root_of(segment) for segment in range(len(areas))])
    return np.unique(roots, return_inverse=True)[1].reshape(-1)


def find_borders(segments: np.ndarray, lab: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Neighboring segments, (P, 2), and the mean difference of color across each border, (P,)."""
    count = int(segments.max()) + 1
    codes, steps = [], []
    for axis in (0, 1):
        first, second = (np.moveaxis(segments, axis, 0)[side] for side in (slice(None, -1), slice(1, None)))
        colors = np.moveaxis(lab, axis, 0)
        wide = np.concatenate([colors[:1], colors, colors[-1:]])
        y, x = np.nonzero(first != second)
        a, b = first[y, x].astype(np.int64), second[y, x].astype(np.int64)
        codes.append(np.minimum(a, b) * count + np.maximum(a, b))
        steps.append(np.linalg.norm(wide[y, x] - wide[y + 3, x], axis=1))
    pairs, border, lengths = np.unique(np.concatenate(codes), return_inverse=True, return_counts=True)
    contrasts = np.bincount(border.reshape(-1), np.concatenate(steps), minlength=len(pairs)) / lengths
    return np.stack([pairs // count, pairs % count], axis=1), contrasts
