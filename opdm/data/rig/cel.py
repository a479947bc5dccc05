"""From rendered samples to a cel: ink, paint, regions, and what other frames hide. Numpy and OpenCV alone."""

from dataclasses import dataclass

import cv2
import numpy as np

from opdm.data.rig.camera import TAN_HALF_VIEW
from opdm.data.rig.render import SUPERSAMPLING, Landing, Samples, part_of

INK = (34, 24, 32)
"""The color of lines, 8 bits."""
LINE_WIDTH = 1 / 300
"""Of an outline, as a share of the frame's height: 1.7 px at 512."""
INNER_WIDTH = 0.6
"""Of a line where paints meet or the form breaks, as a share of an outline."""
JUMP = 0.012
"""A step in depth that is an outline, as a share of the frame's height at that depth."""
CREASE = 0.45
"""Cosine between neighboring normals below which the form breaks: 63 degrees, more than low-poly models have on
what should look round."""
SHORTEST = 1 / 60
"""Lines that touch no others and are shorter are noise; a share of the frame's height, 8.5 px at 512."""
TOUCH = 0.0025
"""How near surfaces of one part must be to count as the same point, as a share of the frame's height there."""


@dataclass(frozen=True)
class Cel:
    """A frame, (H, W)."""

    color: np.ndarray
    """(H, W, 3) uint8: finished, ink on paint on the ground."""
    paint: np.ndarray
    """(H, W, 3) uint8: the same without ink."""
    lines: np.ndarray
    """(H, W) uint8: 255 paper, 0 ink."""
    regions: np.ndarray
    """(H, W) int32 of the pixels' centers, under the ink too; 0 behind the figure."""


def make_cel(samples: Samples, ground: np.ndarray) -> Cel:
    """Paint and draw a frame on a ground (H, W, 3) uint8."""
    height, width = ground.shape[:2]
    is_figure = samples.surface > 0
    covered = _shrink(is_figure.astype(np.float32), (width, height))[..., None]
    figure = _shrink(np.where(is_figure[..., None], samples.paint, 0).astype(np.float32), (width, height))
    paint = figure + (1 - covered) * ground
    ink = _shrink(find_ink(samples, height).astype(np.float32), (width, height))
    color = paint + ink[..., None] * (np.array(INK) - paint)
    middle = SUPERSAMPLING // 2
    return Cel(
        color=_to_8_bit(color),
        paint=_to_8_bit(paint),
        lines=_to_8_bit(255 * (1 - ink)),
        regions=samples.surface[middle::SUPERSAMPLING, middle::SUPERSAMPLING],
    )


def _shrink(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _to_8_bit(image: np.ndarray) -> np.ndarray:
    return np.round(image).clip(0, 255).astype(np.uint8)


def find_ink(samples: Samples, height: int) -> np.ndarray:
    """Which samples, (S H, S W) bool, are ink.

    Lines lie on the nearer of the two surfaces that they part, so that ink moves with what it outlines. They are
    drawn where parts meet, depth jumps, flat colors meet, and the form breaks.
    """
    ink = np.zeros(samples.surface.shape, bool)
    rows, columns = np.nonzero(samples.surface.any(axis=1))[0], np.nonzero(samples.surface.any(axis=0))[0]
    if not len(rows):
        return ink
    window = (
        slice(max(rows[0] - 1, 0), rows[-1] + 2),
        slice(max(columns[0] - 1, 0), columns[-1] + 2),
    )
    near = Samples(samples.paint[window], samples.facing[window], samples.surface[window], samples.depth[window])
    part, nearness = (
        part_of(near.surface),
        np.divide(1, near.depth, out=np.zeros_like(near.depth), where=near.depth > 0),
    )
    outline, inner = np.zeros(part.shape, bool), np.zeros(part.shape, bool)
    for axis in (0, 1):
        _mark(near, part, nearness, axis, outline, inner)
    is_line = _drop_specks(outline | inner, SHORTEST * height * SUPERSAMPLING)
    outline, inner = outline & is_line, inner & is_line & ~outline
    outline_px = LINE_WIDTH * height * SUPERSAMPLING
    grown = _grow(outline, outline_px, part, nearness)
    ink[window] = grown | _grow(inner, outline_px * INNER_WIDTH, near.surface, nearness)
    return ink


def _mark(
    near: Samples, part: np.ndarray, nearness: np.ndarray, axis: int, outline: np.ndarray, inner: np.ndarray
) -> None:
    """Mark, of each two neighbors along an axis with a line between them, the one that has the line."""
    first = (slice(None),) * axis + (slice(None, -1),)
    second = (slice(None),) * axis + (slice(1, None),)
    # The inverse of depth is linear along a plane: a step that neither side continues is a jump.
    step = np.diff(nearness, axis=axis)
    steepness = np.abs(step)
    beside = np.zeros_like(steepness)
    beside[second] = steepness[first]
    beside[first] = np.maximum(beside[first], steepness[second])
    threshold = 2 * TAN_HALF_VIEW * JUMP * np.maximum(nearness[first], nearness[second])
    is_jump = steepness > threshold + 1.5 * beside
    is_border = part[first] != part[second]
    is_far = steepness > threshold
    # Where surfaces touch, the lower part has the line: which is nearer changes from pixel to pixel.
    lower_first = (part[first] < part[second]) & (part[first] > 0) | (part[second] == 0)
    on_first = np.where(is_far | is_jump, step < 0, lower_first)
    is_outline = is_border | is_jump
    outline[first] |= is_outline & on_first
    outline[second] |= is_outline & ~on_first
    cosine = np.einsum("yxc,yxc->yx", near.facing[first], near.facing[second], dtype=np.int32)
    is_break = (cosine < CREASE * 127**2) & (part[first] > 0)
    is_inner = ~is_outline & (is_break | (near.surface[first] != near.surface[second]))
    lower = near.surface[first] <= near.surface[second]
    inner[first] |= is_inner & lower
    inner[second] |= is_inner & ~lower


def _drop_specks(lines: np.ndarray, shortest: float) -> np.ndarray:
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(lines.astype(np.uint8), connectivity=8)
    is_long = statistics[:, cv2.CC_STAT_AREA] >= shortest
    return lines & is_long[labels]


def _grow(seeds: np.ndarray, radius: float, ids: np.ndarray, nearness: np.ndarray) -> np.ndarray:
    """Samples less than `radius` from a seed, on the same id and not behind it."""
    if not seeds.any():
        return seeds
    distance, nearest = cv2.distanceTransformWithLabels(
        (~seeds).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    y, x = np.nonzero(distance < radius)
    seed_of = np.zeros(nearest.max() + 1, np.int64)
    seed_of[nearest[seeds]] = np.flatnonzero(seeds)
    seed = seed_of[nearest[y, x]]
    is_same = ids[y, x] == ids.reshape(-1)[seed]
    behind = nearness.reshape(-1)[seed] - nearness[y, x]
    keep = is_same & (behind < 2 * TAN_HALF_VIEW * JUMP * nearness.reshape(-1)[seed])
    grown = np.zeros_like(seeds)
    grown[y[keep], x[keep]] = True
    return grown


def find_occluded(landing: Landing, other: Samples) -> np.ndarray:
    """(H, W) bool: pixels of a frame that another frame does not show, by a depth test where they land.

    A point is seen if, next to where it lands, a sample of its part is as far away as the point itself.
    """
    height, width = landing.surface.shape
    y, x = np.nonzero(landing.surface)
    part = part_of(landing.surface[y, x])
    depth, slope = landing.depth[y, x], landing.slope[y, x]
    dx, dy = landing.flow_px[y, x].T
    is_inside = (x + dx >= -0.5) & (x + dx < width - 0.5) & (y + dy >= -0.5) & (y + dy < height - 0.5)
    column = np.floor((x + dx + 0.5) * SUPERSAMPLING).astype(np.int64)
    row = np.floor((y + dy + 0.5) * SUPERSAMPLING).astype(np.int64)
    # On a slanting surface depth changes on the way to the next sample; edge-on it says nothing any more.
    tolerance = 2 * TAN_HALF_VIEW * depth * (TOUCH + np.minimum(slope / SUPERSAMPLING / depth, 4 * TOUCH))
    is_seen = np.zeros(len(y), bool)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            at = (
                (row + down).clip(0, height * SUPERSAMPLING - 1),
                (column + right).clip(0, width * SUPERSAMPLING - 1),
            )
            is_seen |= (part_of(other.surface[at]) == part) & (np.abs(other.depth[at] - depth) <= tolerance)
    middle = SUPERSAMPLING // 2
    # What is behind the figure stands still: it is hidden where the figure is then.
    occluded = (landing.surface == 0) & (other.surface[middle::SUPERSAMPLING, middle::SUPERSAMPLING] > 0)
    occluded[y, x] = ~(is_seen & is_inside)
    return occluded
