import cv2
import numpy as np
import pytest
import torch

from opdm.flow import ENCODINGS, estimate_flow_px, track_px
from opdm.frames import resize
from opdm.layers import Layers
from opdm.motion import FLOWS, LARGEST_SIDE, estimate_motion
from opdm.segments import find_regions


def drawing(dx=0.0, dy=0.0, size=96):
    """A few outlined shapes, moved by (dx, dy)."""
    image = np.full((size, size), 255, np.uint8)
    for (x, y), radius in [((40, 40), 22), ((60, 66), 14), ((30, 70), 9)]:
        cv2.circle(image, (round((x + dx) * 16), round((y + dy) * 16)), radius * 16, 0, 2, cv2.LINE_AA, 4)
    return torch.from_numpy(image)[None] / 255


def motion_of(lines, *drawings):
    """Between a drawing and keyframes without any paint."""
    keyframes = [Layers(other.expand(3, -1, -1), other) for other in drawings]
    return estimate_motion(lines, find_regions(lines), keyframes)


def test_flow_points_from_the_drawing_to_the_keyframe():
    flow_px = estimate_flow_px(drawing(), drawing(5, -3))
    assert flow_px.shape == (ENCODINGS, 2, 96, 96)
    on_lines = drawing()[0] < 0.5
    for encoding in flow_px:
        assert abs(float(encoding[0][on_lines].median()) - 5) < 1
        assert abs(float(encoding[1][on_lines].median()) + 3) < 1


def test_equal_drawings_do_not_move():
    motion = motion_of(drawing(), drawing(), drawing())
    assert motion.flow_px.shape == (2, FLOWS, 2, 192, 192) and motion.error_px.shape == (2, FLOWS, 1, 192, 192)
    assert motion.settled.shape == (2, 1, 192, 192) and motion.settled.min() == 1
    assert motion.flow_px.abs().max() < 0.5 and motion.error_px.max() < 0.5


def test_tracks_follow_motion_that_is_too_large_to_find_at_once():
    drawings = [drawing(dx) for dx in range(0, 31, 5)]
    on_lines = drawings[-1][0] < 0.5
    track = track_px(drawings)[-1]
    assert abs(float(track[0][on_lines].median()) + 30) < 1.5 and abs(float(track[1][on_lines].median())) < 1
    alone = estimate_flow_px(drawings[-1], drawings[0])[:, 0, on_lines]
    assert abs(float(alone[1].median()) + 30) > 5, "or the test shows nothing"


def test_motion_grows_with_the_frame():
    motion = motion_of(drawing(), drawing(5, -3))
    larger = motion.resize((384, 384))
    assert larger.flow_px.shape == (1, FLOWS, 2, 384, 384)
    assert torch.allclose(larger.flow_px.mean(dim=(-1, -2)), 2 * motion.flow_px.mean(dim=(-1, -2)), atol=0.1)


@pytest.mark.parametrize(("side", "searched"), [(96, 192), (400, LARGEST_SIDE), (900, LARGEST_SIDE)])
def test_motion_is_searched_on_larger_drawings_up_to_a_limit(side, searched):
    lines = resize(drawing(), (side, side))
    assert motion_of(lines, lines).flow_px.shape[-2:] == (searched, searched)


def test_small_shapes_have_a_motion_of_their_own():
    centers, size = [(24, 24), (68, 30), (30, 70), (70, 70)], 96

    def nested(dx):
        """Circles that rest, and in each of them a small one that is moved."""
        image = np.full((size, size), 255, np.uint8)
        for x, y in centers:
            cv2.circle(image, (x, y), 16, 0, 1, cv2.LINE_AA)
            cv2.circle(image, (x + dx, y), 6, 0, 1, cv2.LINE_AA)
        return torch.from_numpy(image)[None] / 255

    lines, moved = nested(0), nested(3)
    y, x = np.mgrid[:size, :size]
    is_inner = np.any([(x - cx) ** 2 + (y - cy) ** 2 < 100 for cx, cy in centers], axis=0)
    truth_px = torch.zeros(2, size, size)
    truth_px[0] = torch.from_numpy(is_inner) * 3

    def error_px(flows):
        return (flows - truth_px).square().sum(dim=1).sqrt()[:, lines[0] < 0.7].mean(dim=1)

    flow_px = motion_of(lines, moved).resize((size, size)).flow_px[0]
    assert error_px(flow_px).max() < 0.05
    assert error_px(estimate_flow_px(lines, moved)).min() > 0.1, (
        "at the drawing's own size they drag their surroundings"
    )


def test_an_empty_drawing_has_finite_flow():
    blank = torch.ones(1, 64, 64)
    assert estimate_flow_px(blank, drawing(size=64)).isfinite().all()
