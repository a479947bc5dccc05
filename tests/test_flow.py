import cv2
import numpy as np
import torch

from opdm.conditions import build_conditions, estimate_motion
from opdm.flow import ENCODINGS, estimate_flow_px


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
    flow_px, error_px = estimate_motion(drawing(), torch.stack([drawing(), drawing()]))
    assert flow_px.shape == (2, ENCODINGS, 2, 96, 96) and error_px.shape == (2, ENCODINGS, 1, 96, 96)
    assert flow_px.abs().max() < 0.5 and error_px.max() < 0.5


def test_an_empty_drawing_has_finite_flow():
    blank = torch.ones(1, 64, 64)
    assert estimate_flow_px(blank, drawing(size=64)).isfinite().all()


def test_conditions_do_not_depend_on_the_batch():
    lines = torch.stack([drawing(), drawing(3, 1)])
    drawings = torch.stack([torch.stack([drawing(1), drawing(6)]), torch.stack([drawing(), drawing(5, 4)])])
    keyframes = torch.rand(2, 2, 3, 96, 96)
    together = build_conditions(lines, keyframes, drawings)
    alone = build_conditions(lines[1:], keyframes[1:], drawings[1:])
    assert torch.equal(together.flow_px[1:], alone.flow_px)
