"""A region of a drawing moves as its outline does: lines inside, as of a lid that closes, do not take paint along.

Ours. Between lines dense inverse search can only continue what it found at the nearest ones, so that the shadow below a
fringe follows the lids. And where lines have gone, as those of an eye that has shut, the keyframe shows what is there
no more: instead there is what it shows of the region beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from opdm.ant_crops import find_boxes
from opdm.compositing import nearest
from opdm.settling import Flow, Image

LEAST_AREA, MOST_AREA = 1 / 1000, 1 / 20
"""Of regions that are looked at, of the frame: smaller ones have no inside, larger ones do not move as one."""
RIM_PX = 5
"""Width of what belongs to an outline, across."""
INSIDE_PX = 6
"""From an outline on, lines are inside of it."""
INKED, INNER_INK, INNER_PIXELS = 0.1, 0.3, 20
"""Blurred ink from which on a pixel tells of an outline, and of a line inside, and the fewest of the latter."""
LEAST_POINTS, MOST_POINTS = 40, 400
"""Of an outline, to fit its motion."""
FALLOFFS_PX = (16, 8, 8, 4, 4, 2, 2, 2)
"""Of the weights of points that are off, one fit after the other."""
STIFFNESS = 0.002
"""How much of a motion that is not a shift counts, in points that are off by as much."""
FOLLOWS_PX, LEAST_SHARE = 2.5, 0.65
"""How near to its motion, across its lines, most points of an outline are, and how many of them."""
LARGEST_SCALE = 1.4
"""By which an outline may grow or shrink."""
OFF_PX = 5.0
"""From there on a flow inside is another one than the outline's."""
CLEAR_PX = 4
"""Around lines of the drawing nothing is changed, for they move as they are found to."""
LINE_REACH_PX, BETWEEN_PX, BESIDE_PX = 3, 20, 4
"""Lines no farther apart may be the same; so far to each side, lines that have gone stand for what is between them, and
so far beyond."""
GONE = 0.1
"""Blurred ink of lines that have gone."""


@dataclass(frozen=True)
class Outline:
    """The outline of a region that has lines inside."""

    box: tuple[slice, slice]
    """Rows and columns of the region in the frame."""
    inside: np.ndarray
    """(h, w) bool, of the box: the region away from lines."""
    points: np.ndarray
    """(N, 2) int, x and y in the frame."""
    normals: np.ndarray
    """(N, 2) float, across its lines: along them, motion is not known."""


def find_outlines(regions: np.ndarray, ink: Image) -> list[Outline]:
    """Of regions (H, W) int32 from 1, lines grown over, in a drawing's blurred ink (H, W) in [0, 1]."""
    is_clear = cv2.dilate((ink > INKED).view(np.uint8), square(CLEAR_PX)) == 0
    gradient = np.dstack([cv2.Sobel(ink, cv2.CV_32F, 1, 0), cv2.Sobel(ink, cv2.CV_32F, 0, 1)])
    gradient = gradient / (np.linalg.norm(gradient, axis=-1, keepdims=True) + 1e-6)
    areas = np.bincount(regions.reshape(-1), minlength=2)[1:] / regions.size
    boxes = find_boxes(torch.from_numpy(regions) - 1).long().tolist()
    found = []
    for region in np.flatnonzero((areas >= LEAST_AREA) & (areas <= MOST_AREA)).tolist():
        left, top, right, bottom = boxes[region]
        box = slice(top, bottom), slice(left, right)
        here = regions[box] == region + 1
        rim, within = trace_outline(here)
        if np.count_nonzero(within & (ink[box] > INNER_INK)) < INNER_PIXELS:
            continue
        y, x = np.nonzero(rim & (ink[box] > INKED))
        y, x = y + top, x + left
        is_whole = (np.minimum(x, y) >= RIM_PX) & (x < ink.shape[1] - RIM_PX) & (y < ink.shape[0] - RIM_PX)
        if np.count_nonzero(is_whole) < LEAST_POINTS:
            continue
        step = -(-np.count_nonzero(is_whole) // MOST_POINTS)
        y, x = y[is_whole][::step], x[is_whole][::step]
        found.append(Outline(box, here & is_clear[box], np.stack([x, y], axis=1), gradient[y, x]))
    return found


def trace_outline(region: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What belongs to the outer outline of a region (h, w) bool, and what is within it, its holes too."""
    padded = cv2.copyMakeBorder(region.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    outer = max(cv2.findContours(padded, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0], key=len)
    rim, filled = np.zeros_like(padded), np.zeros_like(padded)
    cv2.drawContours(rim, [outer], -1, 1, RIM_PX)
    cv2.drawContours(filled, [outer], -1, 1, cv2.FILLED)
    within = cv2.erode(filled, square(INSIDE_PX), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    inner = slice(1, -1), slice(1, -1)
    return rim[inner] > 0, within[inner] > 0


def follow_outlines(flow: Flow, outlines: Sequence[Outline], drawing: Image, keyframe: Image) -> Flow:
    """A flow from a drawing to a keyframe that, away from lines, is that of the outlines around.

    drawing and keyframe are blurred ink in [0, 1], as `opdm.settling.blur_ink` gives it.
    """
    followed = flow.copy()
    for outline in outlines:
        matrix, share = fit_motion(outline, flow)
        if share < LEAST_SHARE or not 1 / LARGEST_SCALE < np.sqrt(abs(np.linalg.det(matrix[:, :2]))) < LARGEST_SCALE:
            continue
        rows, columns = np.mgrid[outline.box].astype(np.float32)
        places = np.dstack([columns, rows])
        there = places @ matrix[:, :2].T + matrix[:, 2]
        is_seen = (there >= 0).all(axis=-1) & (there <= np.array(flow.shape[1::-1]) - 1).all(axis=-1)
        there = there.astype(np.float32)
        gone = find_gone(drawing[outline.box], move_box(keyframe, there))
        own = outline.inside & is_seen
        changed = own & (np.square(flow[outline.box] - (there - places)).sum(axis=-1) > OFF_PX**2)
        if (own & ~gone).any():
            pixels, sources = nearest(own & ~gone, changed & gone)
            there.reshape(-1, 2)[pixels] = there.reshape(-1, 2)[sources]
        else:
            changed &= ~gone
        np.copyto(followed[outline.box], there - places, where=changed[..., None])
    return followed


def fit_motion(outline: Outline, flow: Flow) -> tuple[np.ndarray, float]:
    """The affine motion (2, 3) of most of an outline, from here to there; and the share of its points that follow it.

    By least squares with the weights of Geman and McClure (1987), narrower each time.
    """
    x, y = outline.points.T
    center, spread = outline.points.mean(axis=0), max(outline.points.std(axis=0).max(), 1)
    u, v = ((outline.points - center) / spread).T
    across = outline.normals.astype(np.float64)
    found = (across * flow[y, x]).sum(axis=1)
    unknown = np.concatenate([across * u[:, None], across * v[:, None], across], axis=1)  # (N, 6)
    stiffness = np.diag([1, 1, 1, 1, 0, 0]) * STIFFNESS * len(x) + 1e-6 * np.eye(6)
    motion = np.concatenate([np.zeros(4), np.median(flow[y, x], axis=0)])
    for falloff in FALLOFFS_PX:
        weights = (1 + np.square((unknown @ motion - found) / falloff)) ** -2
        weighted = unknown.T * weights
        motion = np.linalg.solve(weighted @ unknown + stiffness, weighted @ found)
    share = float((np.abs(unknown @ motion - found) < FOLLOWS_PX).mean())
    linear = motion[:4].reshape(2, 2).T / spread
    return np.hstack([np.eye(2) + linear, (motion[4:] - linear @ center)[:, None]]), share


def find_gone(drawing: Image, moved: Image) -> np.ndarray:
    """Where moved blurred ink (h, w) has none of the drawing's near, with what is between and beside, bool."""
    alone = moved - cv2.dilate(drawing, square(LINE_REACH_PX)) > GONE
    gone = cv2.morphologyEx(alone.view(np.uint8), cv2.MORPH_CLOSE, square(BETWEEN_PX))
    return cv2.dilate(gone, square(BESIDE_PX)) > 0


def move_box(image: Image, there: Flow) -> Image:
    """An image (H, W) at places (h, w, 2) of it, x and y."""
    return cv2.remap(image, there[..., 0], there[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def square(reach_px: int) -> np.ndarray:
    """So many pixels to each side."""
    return np.ones((2 * reach_px + 1, 2 * reach_px + 1), np.uint8)
