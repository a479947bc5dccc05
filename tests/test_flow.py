import cv2
import numpy as np
import torch

from opdm.flow import ENCODINGS, estimate_flow_px, track_px
from opdm.motion import FLOWS, estimate_motion


def drawing(dx=0.0, dy=0.0, size=96):
    """A few outlined shapes, moved by (dx, dy)."""
    image = np.full((size, size), 255, np.uint8)
    for (x, y), radius in [((40, 40), 22), ((60, 66), 14), ((30, 70), 9)]:
        cv2.circle(image, (round((x + dx) * 16), round((y + dy) * 16)), radius * 16, 0, 2, cv2.LINE_AA, 4)
    return torch.from_numpy(image)[None] / 255


def test_flow_points_from_the_drawing_to_the_keyframe():
    flow_px = estimate_flow_px(drawing(), drawing(5, -3))
    assert flow_px.shape == (ENCODINGS, 2, 96, 96)
    on_lines = drawing()[0] < 0.5
    for encoding in flow_px:
        assert abs(float(encoding[0][on_lines].median()) - 5) < 1
        assert abs(float(encoding[1][on_lines].median()) + 3) < 1


def test_equal_drawings_do_not_move():
    motion = estimate_motion(drawing(), torch.stack([drawing(), drawing()]))
    assert motion.flow_px.shape == (2, FLOWS, 2, 96, 96) and motion.error_px.shape == (2, FLOWS, 1, 96, 96)
    assert motion.flow_px.abs().max() < 0.5 and motion.error_px.max() < 0.5


def test_tracks_follow_motion_that_is_too_large_to_find_at_once():
    drawings = [drawing(dx) for dx in range(0, 31, 5)]
    on_lines = drawings[-1][0] < 0.5
    track = track_px(drawings)[-1]
    assert abs(float(track[0][on_lines].median()) + 30) < 1.5 and abs(float(track[1][on_lines].median())) < 1
    alone = estimate_flow_px(drawings[-1], drawings[0])[:, 0, on_lines]
    assert abs(float(alone[1].median()) + 30) > 5, "or the test shows nothing"


def test_motion_grows_with_the_frame():
    motion = estimate_motion(drawing(), drawing(5, -3)[None])
    larger = motion.resize((192, 192))
    assert larger.flow_px.shape == (1, FLOWS, 2, 192, 192)
    assert torch.allclose(larger.flow_px.mean(dim=(-1, -2)), 2 * motion.flow_px.mean(dim=(-1, -2)), atol=0.1)


def test_an_empty_drawing_has_finite_flow():
    blank = torch.ones(1, 64, 64)
    assert estimate_flow_px(blank, drawing(size=64)).isfinite().all()
