import cv2
import numpy as np
import pytest
import torch

import opdm.line_learning
from opdm.data.cel_animation import CelShot, CelStyle
from opdm.frames import resize
from opdm.line_learning import (
    REACH_PX,
    is_by_hand_of,
    learn,
    learn_extractor,
    respond,
    respond_finely,
    trace_keyframes,
)
from opdm.line_style import choose_extractor
from opdm.lines import XDoG, extract_lines

SIZE = 128


def slow_shot(seed):
    return CelShot(seed, height=SIZE, width=SIZE, frames=4, style=CelStyle(kind="character", speed=0.4, camera=False))


def by_edges(frames):
    """Edges as steep as they are: what no extractor of the project draws."""
    gray = frames.mean(dim=1).numpy()
    blurred = [cv2.GaussianBlur(image, (5, 5), 1) for image in gray]
    slopes = [np.hypot(cv2.Sobel(b, cv2.CV_32F, 1, 0), cv2.Sobel(b, cv2.CV_32F, 0, 1)) for b in blurred]
    return 1 - torch.from_numpy(np.stack(slopes)).clamp(0, 1)[:, None]


def by_threshold(frames):
    """Ink where a pixel is darker than around it, without any gray."""
    gray = (frames.mean(dim=1).numpy() * 255).astype(np.uint8)
    mean, below = cv2.ADAPTIVE_THRESH_GAUSSIAN_C, cv2.THRESH_BINARY
    return torch.stack(
        [torch.from_numpy(cv2.adaptiveThreshold(g, 255, mean, below, 9, 6) / np.float32(255)) for g in gray]
    )[:, None]


def error(extract, frame, wanted):
    return float((extract(frame[None]) - wanted(frame[None])).square().mean())


@pytest.mark.parametrize(("hand", "seed", "share"), [(by_edges, 3, 0.3), (by_threshold, 4, 0.5)])
def test_the_hand_of_drawings_is_learned_though_figures_moved(hand, seed, share):
    shot = slow_shot(seed)
    keyframe, neighbor = (shot.frame(i).color for i in (0, 1))
    drawing = hand(neighbor[None])[0]
    chosen, learned = (find([keyframe], [drawing]) for find in (choose_extractor, learn_extractor))
    assert error(learned, keyframe, hand) < share * error(chosen, keyframe, hand)
    other = shot.frame(3).color  # which it has not seen
    assert error(learned, other, hand) < share * error(chosen, other, hand)


def test_lines_of_larger_frames_are_learned_better_from_wide_ones(monkeypatch):
    """Frames of a film that were brought to a square, and their lines with them."""
    shot = CelShot(3, height=216, width=384, frames=4, style=CelStyle(kind="character", speed=0.4, camera=False))
    frames = [shot.frame(i).color[None] for i in (0, 1, 3)]
    keyframe, _, other = (resize(frame, (SIZE, SIZE)) for frame in frames)
    _, drawing, wanted = (resize(by_edges(frame), (SIZE, SIZE)) for frame in frames)
    fine = learn_extractor([keyframe[0]], [drawing[0]])
    monkeypatch.setattr(opdm.line_learning, "SMALL_PX", 0)
    coarse = learn_extractor([keyframe[0]], [drawing[0]])
    errors = [float((extract(other) - wanted).square().mean()) for extract in (fine, coarse)]
    assert errors[0] < 0.9 * errors[1]


def test_an_extractor_of_the_project_stays():
    shot = slow_shot(5)
    drawing = extract_lines(shot.frame(1).color[None], "xdog")[0]
    learned = learn_extractor([shot.frame(0).color], [drawing])
    assert learned == choose_extractor([shot.frame(0).color], [drawing])


def test_blank_drawings_leave_the_default():
    assert learn_extractor([torch.rand(3, 64, 64)], [torch.ones(1, 64, 64)]) == XDoG()


def test_regression_finds_ink_that_ends_at_paper_and_black():
    generator = torch.Generator().manual_seed(1)
    responses = torch.randn(4000, 5, generator=generator)
    slope = torch.tensor([2.0, -1, 0.5, 0, 0])
    ink = (responses @ slope).clamp(0, 1)  # most of it beyond either end: a line through all would miss it
    learned = learn(respond, responses[:3000].T, ink[:3000], torch.ones(3000))
    drawn = learned.draw(responses[3000:].T[:, None])[0, 0]
    assert (1 - drawn - ink[3000:]).abs().mean() < 0.05
    inside = torch.linalg.lstsq(responses[:3000], ink[:3000, None]).solution
    assert ((responses[3000:] @ inside)[:, 0].clamp(0, 1) - ink[3000:]).abs().mean() > 0.1, "without letting go"


@pytest.mark.parametrize("seed", range(4))
def test_regression_takes_responses_that_are_all_alike(seed):
    ink = torch.rand(20_000, generator=torch.Generator().manual_seed(seed)).round()
    responses = torch.cat([1 - ink.expand(100, -1), torch.full((18, len(ink)), 0.3)])  # as of flat paint
    extract = learn(lambda frame: frame, responses, ink, torch.full_like(ink, 1 / 0.15))
    assert torch.allclose(1 - extract.draw(responses[:, None]).flatten(), ink, atol=1e-3)


def test_a_frame_in_strips_is_the_frame_at_once(monkeypatch):
    shot = slow_shot(3)
    frame, drawing = shot.frame(0).color, by_edges(shot.frame(1).color[None])[0]
    learned = learn_extractor([frame], [drawing])
    whole = learned(frame[None])
    monkeypatch.setattr(opdm.line_learning, "STRIP_PX", 30 * SIZE)
    assert torch.allclose(learned(frame[None]), whole, atol=1e-4)


@pytest.mark.parametrize("respond", [respond, respond_finely])
def test_responses_reach_no_farther_than_said(respond):
    frame = torch.rand(3, 80, 90, generator=torch.Generator().manual_seed(0))
    changed = frame.clone()
    changed[:, 40, 45] = 1 - changed[:, 40, 45]
    rows, columns = torch.nonzero((respond(frame) != respond(changed)).any(dim=0)).T
    assert (rows - 40).abs().max() <= REACH_PX
    assert (columns - 45).abs().max() <= REACH_PX


def test_learning_is_the_same_each_time():
    shot = slow_shot(3)
    frame, drawing = shot.frame(0).color, by_edges(shot.frame(1).color[None])[0]
    one, other = (trace_keyframes([frame], drawing)[0] for _ in range(2))
    assert torch.equal(one, other)
    assert one.shape == (1, SIZE, SIZE)
    assert 0 <= one.min() < one.max() <= 1


@pytest.mark.parametrize("size", [(8, 30), (9, 9), (700, 410)])
def test_tiny_and_large_frames_are_taken(size):
    drawing = torch.ones(1, *size)
    drawing[:, 2:4, 3:-2] = 0
    lines = learn_extractor([drawing.expand(3, -1, -1)], [drawing])(drawing.expand(1, 3, -1, -1))
    assert lines.shape == (1, 1, *size)
    assert lines.isfinite().all()


def test_each_frame_needs_a_drawing():
    with pytest.raises(ValueError, match="2 frames and 1 drawings"):
        learn_extractor([torch.rand(3, 32, 32)] * 2, [torch.ones(1, 32, 32)])


@pytest.mark.parametrize(("own", "beside", "is_same"), [("xdog", "xdog", True), ("inked", "xdog", False)])
def test_hands_are_told_apart(own, beside, is_same, monkeypatch):
    monkeypatch.setattr(opdm.line_learning, "ALIKE", 0)
    shot = slow_shot(3)
    keyframe, neighbor = (shot.frame(i).color for i in (0, 1))
    drawing = extract_lines(neighbor[None], beside)[0]
    traced = learn_extractor([keyframe], [drawing])(keyframe[None])[0]
    assert is_by_hand_of(drawing, extract_lines(keyframe[None], own)[0], lambda: traced) == is_same


def test_nothing_is_traced_where_drawings_are_alike():
    drawing = slow_shot(3).frame(0).lines
    assert is_by_hand_of(drawing, drawing, lambda: pytest.fail("not needed"))
