"""Motion of outlines and of what they enclose: drawings whose motion is known."""

import cv2
import numpy as np
import pytest
import torch

from opdm.flow import move
from opdm.layers import Layers
from opdm.motion import estimate_motion
from opdm.outlines import find_outlines, fit_motion, follow_outlines
from opdm.segments import find_regions, grow_over_lines
from opdm.settling import blur_ink

SIZE, SHIFT = (400, 560), (6.0, -4.0)
FOREHEAD = (slice(111, 125), slice(220, 260))
LID_Y, BROW_Y = 178, 138
HEAD = (-46, -54), (0, -66), (46, -54), (52, 10), (0, 64), (-52, 10)
"""Corners, x and y from its center."""


def face(lids_y, center=(240.0, 160.0)):
    """Lines (H, W) of a face with ears, a nose and a mouth and, so low, the lids of its eyes, as a bar each."""
    ink, bits = np.zeros(SIZE, np.uint8), 4
    x, y = center

    def at(dx, dy):
        return round((x + dx) * 2**bits), round((y + dy) * 2**bits)

    cv2.polylines(ink, [np.array([at(*corner) for corner in HEAD])], True, 255, 2, cv2.LINE_AA, bits)
    for side in (-1, 1):
        cv2.ellipse(ink, at(62 * side, 0), (6 << bits, 14 << bits), 0, 0, 360, 255, 2, cv2.LINE_AA, bits)
        eye = at(20 * side - 12, lids_y - 160), at(20 * side + 12, lids_y - 160)
        cv2.line(ink, *eye, 255, 4, cv2.LINE_AA, bits)
    cv2.line(ink, at(-8, 40), at(8, 40), 255, 2, cv2.LINE_AA, bits)
    return 1 - ink.astype(np.float32) / 255


def look(lines):
    """Its blurred ink, and the outlines of its regions."""
    ink = blur_ink(lines)
    regions = grow_over_lines(find_regions(torch.from_numpy(lines)[None]))
    return ink, find_outlines(regions.numpy(), ink)


def drag(shift, by):
    """A flow of the whole frame by a shift, but of the eyes and all that is above them up to the hair by more."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    share = np.exp(-(((x - 240) / 30) ** 4) - ((y - 148) / 38) ** 4)
    return (np.float32(shift) + share[..., None] * np.float32(by)).astype(np.float32)


def moved_by(matrix):
    """A flow that moves the whole frame so."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    places = np.dstack([x, y, np.ones_like(x)])
    return (places @ np.asarray(matrix, np.float32).T - places[..., :2]).astype(np.float32)


def test_paint_inside_follows_the_outline_and_not_the_lids():
    drawing, keyframe = face(LID_Y), face(BROW_Y, (240 + SHIFT[0], 160 + SHIFT[1]))
    flow = drag(SHIFT, (0, BROW_Y - LID_Y))
    ink, outlines = look(drawing)
    followed = follow_outlines(flow, outlines, ink, blur_ink(keyframe))
    assert np.abs(flow[FOREHEAD] - SHIFT).max() > 20
    assert np.abs(followed[FOREHEAD] - SHIFT).max() < 2


def test_where_lines_have_gone_there_is_what_is_beside_them():
    drawing, keyframe = face(LID_Y), face(BROW_Y)
    ink, outlines = look(drawing)
    followed = follow_outlines(drag((0, 0), (0, 20)), outlines, ink, blur_ink(keyframe))
    shown = slice(BROW_Y - 5, BROW_Y + 6), slice(220, 260)  # where the keyframe has its lids, and the drawing paint
    assert keyframe[shown].min() < 0.1
    assert move(keyframe, followed)[shown].min() > 0.9


def test_near_lines_and_outside_nothing_changes():
    drawing, keyframe = face(LID_Y), face(BROW_Y)
    flow = drag((0, 0), (0, BROW_Y - LID_Y))
    ink, outlines = look(drawing)
    changed = (follow_outlines(flow, outlines, ink, blur_ink(keyframe)) != flow).any(axis=-1)
    within = np.zeros(SIZE, np.uint8)
    cv2.fillPoly(within, [np.add(HEAD, (240, 160))], 1)
    assert changed.any()
    assert not changed[within == 0].any()
    assert not changed[drawing < 0.5].any()


@pytest.mark.parametrize(
    "matrix",
    [
        ((1, 0, 12.0), (0, 1, -7.5)),
        ((0.98, -0.17, 30.0), (0.17, 0.98, -20.0)),
        ((1.1, 0.05, -10.0), (0, 0.9, 8.0)),
    ],
    ids=["shift", "turn", "stretch"],
)
def test_the_motion_of_an_outline_is_found_though_some_of_it_is_off(matrix):
    _, outlines = look(face(LID_Y))
    (outline,) = outlines
    flow = moved_by(matrix)
    flow[205:] += (15, 25)  # the chin
    found, share = fit_motion(outline, flow)
    assert 0.7 < share < 0.95
    corners = np.array([(200, 110, 1), (280, 110, 1), (240, 180, 1)], np.float64)
    assert np.allclose(corners @ found.T, corners @ np.array(matrix).T, atol=1.0)


def test_an_outline_that_does_not_move_as_one_says_nothing():
    drawing = face(LID_Y)
    ink, outlines = look(drawing)
    random = np.random.default_rng(0).normal(0, 30, (6, 9, 2)).astype(np.float32)
    flow = cv2.resize(random, SIZE[::-1], interpolation=cv2.INTER_CUBIC)
    assert np.array_equal(follow_outlines(flow, outlines, ink, ink), flow)


def test_a_region_without_lines_inside_has_no_outline_to_follow():
    ink = np.zeros(SIZE, np.uint8)
    cv2.circle(ink, (240, 160), 50, 255, 2, cv2.LINE_AA)
    assert look(1 - ink.astype(np.float32) / 255)[1] == []


def test_an_outline_that_leaves_the_frame_tells_by_what_is_seen_of_it():
    _, outlines = look(face(LID_Y, (240, 40)))
    assert outlines
    for outline in outlines:
        assert outline.points.min() > 3
    assert look(np.ones(SIZE, np.float32))[1] == []


def test_the_motion_of_a_drawing_follows_outlines(monkeypatch):
    drawing, keyframe = (torch.from_numpy(face(y))[None] for y in (LID_Y, BROW_Y))
    keyframes = [Layers(keyframe.expand(3, -1, -1), keyframe)]

    def measure():
        motion = estimate_motion(drawing, find_regions(drawing), keyframes).resize(SIZE)
        return float(motion.flow_px[0].norm(dim=1)[:, FOREHEAD[0], FOREHEAD[1]].max())

    followed = measure()
    monkeypatch.setattr("opdm.motion.find_outlines", lambda *_: [])
    assert measure() > 5
    assert followed < 3
