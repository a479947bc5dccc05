"""Where a drawing may move as the whole picture does, by its lines, it moves just so: at rest, or with the camera.

Ours. Dense inverse search is a part of a pixel off everywhere, and by many pixels where lines that were traced of a
keyframe are not quite the drawing's. In flat paint that does not show, in the detail of a painting it does.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from opdm.flow import move

Image = np.ndarray
"""(H, W) float32."""
Flow = np.ndarray
"""(H, W, 2) float32 in pixels, (dx, dy)."""

COARSE = 2
"""Every so many pixels, each way, it is decided what settles."""
BLUR_PX = 1.5
"""Of ink that is compared: standard deviation."""
WINDOW, VOTE, AROUND = 1 / 14, 1 / 50, 1 / 7
"""Of squares, in shorter sides: over which lines are compared, neighbors agree, and places without lines take over what
is known around them."""
NEAR, SAME = 1 / 150, 1 / 750
"""In shorter sides: how far a flow may be off where it settles, and motions differ that are one."""
FITS, USUAL = 1.15, 1.5
"""A motion fits where lines mismatch by it so many times as much as by the flow, and so much of what is usual more."""
BETTER = 0.9
"""It fits better where they mismatch by less than this share."""
TIE = 0.25
"""By so much of what is usual the camera's motion must fit better than rest."""
INKED = 0.024
"""Mean ink, from 0 to 1, from which on lines tell something."""
MAJORITY, LEAST_SHARE = 2.0, 0.02
"""How much more often than not a motion must fit around a place without lines, and in which share of it at least."""
SAMPLES_APART, LED_BACK_PX, SAMPLE_INK = 8, 1.0, 0.016
"""The camera's motion is that of every so many pixels, each way, where the flow leads back as far and there is ink."""
LEAST_SAMPLES, LEAST_MOVED = 50, 0.15
"""Samples in all, and the share of them that a camera must move."""


def settle(flows: Sequence[Flow], error_px: Image, drawing: Image, keyframe: Image) -> tuple[list[Flow], np.ndarray]:
    """Flows from a drawing to a keyframe, at rest or with the camera where that fits; and where lines say so, (H, W).

    error_px is the first flow's forward-backward error; drawing and keyframe are blurred ink in [0, 1], as `blur_ink`
    gives it. The second answer is about the first flow.
    """
    motions = find_motions(flows[0], error_px, drawing)
    mismatches = [compare_lines(drawing, keyframe, motion) for motion in motions]
    has_ink = average(np.maximum(drawing, keyframe), WINDOW)[::COARSE, ::COARSE] > INKED
    settled = [
        _settle_flow(flow, compare_lines(drawing, keyframe, flow), motions, mismatches, has_ink) for flow in flows
    ]
    return [flow for flow, _ in settled], settled[0][1]


def _settle_flow(
    flow: Flow, mismatch: Image, motions: Sequence[Flow], mismatches: Sequence[Image], has_ink: np.ndarray
) -> tuple[Flow, np.ndarray]:
    """One flow, by how lines mismatch (h, w) by it and by each of the motions; and where lines say so."""
    usual = float(np.median(mismatch[has_ink])) if has_ink.any() else 0.0
    least = np.full(mismatch.shape, np.inf, np.float32)
    result, is_told = flow.copy(), np.zeros(mismatch.shape, bool)
    for motion, other in zip(motions, mismatches, strict=True):
        fits = other <= FITS * mismatch + USUAL * usual
        off = (flow - motion)[::COARSE, ::COARSE]
        is_near = np.square(off).sum(axis=-1) < (NEAR * min(flow.shape[:2])) ** 2
        moves_so = fits & (is_near | (has_ink & (other < BETTER * mismatch)))
        votes = average(moves_so, VOTE)
        is_majority = votes > average(~fits, VOTE)
        # Where lines allow it and nothing else speaks for it, what is around decides.
        around, against = average(moves_so, AROUND), average(~fits, AROUND)
        is_taken_over = (around > MAJORITY * against) & (around > LEAST_SHARE)
        settles = fits & np.where(moves_so, is_majority, is_taken_over) & (other + TIE * usual < least)
        least[settles] = other[settles]
        is_told |= settles & (votes > 0.5)
        np.copyto(result, motion, where=_enlarge(settles, flow)[..., None])
    return result, _enlarge(is_told, flow)


def _enlarge(mask: np.ndarray, flow: Flow) -> np.ndarray:
    """A coarse mask at the size of a flow."""
    height, width = flow.shape[:2]
    return mask.repeat(COARSE, axis=0)[:height].repeat(COARSE, axis=1)[:, :width]


def find_motions(flow: Flow, error_px: Image, drawing: Image) -> list[Flow]:
    """Rest, and the affine motion of most of what is drawn where that is another one."""
    height, width = drawing.shape
    rest = np.zeros_like(flow)
    y, x = (
        axis.ravel()
        for axis in np.mgrid[SAMPLES_APART // 2 : height : SAMPLES_APART, SAMPLES_APART // 2 : width : SAMPLES_APART]
    )
    side = 2 * SAMPLES_APART + 1
    is_sure = (error_px[y, x] < LED_BACK_PX) & (cv2.blur(drawing, (side, side))[y, x] > SAMPLE_INK)
    here = np.stack([x, y], axis=1)[is_sure].astype(np.float32)
    if len(here) < LEAST_SAMPLES:
        return [rest]
    matrix, moved = cv2.estimateAffine2D(here, here + flow[y, x][is_sure], ransacReprojThreshold=1.0, maxIters=500)
    if matrix is None or moved.mean() < LEAST_MOVED:
        return [rest]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    points = np.dstack([columns, rows, np.ones_like(rows)])
    camera = (points @ matrix.T.astype(np.float32) - points[..., :2]).astype(np.float32)
    return [rest] if np.abs(camera).max() < SAME * min(height, width) else [rest, camera]


def blur_ink(lines: Image) -> Image:
    """Of lines (H, W), 1 = paper."""
    return cv2.GaussianBlur(1 - lines, (0, 0), BLUR_PX)


def compare_lines(drawing: Image, keyframe: Image, flow: Flow) -> Image:
    """How far blurred ink of a drawing differs from a keyframe's that a flow moves, (h, w): mean squares around every
    `COARSE`-th pixel."""
    return average(np.square(drawing - move(keyframe, flow)), WINDOW)[::COARSE, ::COARSE]


def average(image: np.ndarray, side: float) -> Image:
    """The mean of (H, W) over a square around each pixel, so wide in shorter sides."""
    width = 2 * round(side * min(image.shape) / 2) + 1
    return cv2.blur(image.astype(np.float32), (width, width))
