import cv2
import numpy as np
import pytest
import torch

from opdm.data.cel_animation import CelShot, CelStyle
from opdm.flow import estimate_flow_px
from opdm.line_style import LinesLike, candidates, choose_extractor, extract_like, measure_style
from opdm.lines import Inked, Pencil, XDoG, extract_lines
from opdm.metrics.image import psnr
from opdm.warp import backward_warp


def bars(width_px, gray=0.0, height=96, spacing_px=24):
    """(1, H, W) vertical lines: one every `spacing_px`."""
    lines = torch.ones(1, height, 240)
    for left in range(6, 240, spacing_px):
        lines[..., left : left + width_px] = gray
    return lines


def slow_shot(seed, size=192):
    return CelShot(seed, height=size, width=size, frames=9, style=CelStyle(kind="character", speed=0.3, camera=False))


@pytest.mark.parametrize("width_px", [1, 2, 3, 4])
def test_width_and_density_of_bars_are_measured(width_px):
    style = measure_style(bars(width_px))
    assert style.width_px == pytest.approx(width_px, rel=0.02)
    assert style.density == pytest.approx(10 / 240, rel=0.02)
    assert style.mean_ink == pytest.approx(10 * width_px / 240)
    assert style.darkness == pytest.approx(1)
    assert style.softness == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("width_px", [2, 3.5, 5])
def test_a_ring_has_the_width_and_length_that_it_was_made_with(width_px):
    y, x = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
    from_middle_px = ((x - 63.5).square() + (y - 63.5).square()).sqrt().sub(40).abs()
    style = measure_style((from_middle_px - width_px / 2 + 0.5).clamp(0, 1)[None])
    assert style.width_px == pytest.approx(width_px, rel=0.1)
    assert style.density == pytest.approx(2 * np.pi * 40 / 128**2, rel=0.1)


def test_gray_lines_are_less_dark_and_as_wide():
    black, gray = measure_style(bars(2)), measure_style(bars(2, gray=0.6))
    assert gray.darkness == pytest.approx(0.4)
    assert gray.width_px == pytest.approx(black.width_px)
    assert gray.density == pytest.approx(black.density)
    assert gray.softness == pytest.approx(4 * 0.4 * 0.6)


def test_filled_blacks_do_not_count_as_wide_lines():
    lines = bars(2, height=200)
    lines[..., 120:180, 100:160] = 0
    assert measure_style(lines).width_px == pytest.approx(2, rel=0.1)
    assert measure_style(lines).mean_ink > measure_style(bars(2, height=200)).mean_ink + 0.05


def test_a_blank_drawing_has_no_style():
    assert measure_style(torch.ones(1, 40, 50)).is_blank
    assert not measure_style(bars(1)).is_blank


def test_a_drawing_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="must be \\(1, H, W\\)"):
        measure_style(torch.ones(1, 1, 40, 50))


@pytest.mark.parametrize("width_px", [2.5, 3.0, 5.0])
def test_extracted_lines_get_the_width_and_darkness_of_the_style(width_px):
    frame = bars(3).expand(3, -1, -1)[None].contiguous()
    style = measure_style(bars(3))
    wanted = type(style)(**{**vars(style), "width_px": width_px, "darkness": 0.7})
    lines = extract_like(frame, wanted)
    assert lines.shape == (1, 1, 96, 240)
    assert measure_style(lines[0]).width_px == pytest.approx(width_px, rel=0.12)
    assert measure_style(lines[0]).darkness == pytest.approx(0.7, rel=0.05)


def test_a_frame_without_lines_stays_paper():
    lines = extract_like(torch.full((2, 3, 40, 50), 0.4), measure_style(bars(3)))
    assert lines.min() > 0.99


@pytest.mark.parametrize("made_with", [XDoG(), Pencil(), Inked(), XDoG(sigma_px=0.4)], ids=str)
def test_the_extractor_that_made_the_drawings_is_found_though_figures_moved(made_with):
    shot = slow_shot(5)
    frames = [shot.frame(i).color for i in (0, 8)]
    drawings = [extract_lines(shot.frame(i).color[None], made_with)[0] for i in (1, 7)]
    found = choose_extractor(frames, drawings)
    assert isinstance(found, LinesLike)
    assert found.extractor == made_with


def test_matched_lines_give_better_flow_than_fixed_ones():
    gains = []
    for seed in (1, 2, 3):
        shot = slow_shot(seed)
        target, keyframe = shot.frame(2), shot.frame(0)
        bold = torch.from_numpy(cv2.erode(target.lines[0].numpy(), np.ones((3, 3), np.uint8)))[None]
        scores = []
        for extractor in (XDoG(), choose_extractor([keyframe.color], [bold])):
            flow_px = estimate_flow_px(bold, extract_lines(keyframe.color[None], extractor)[0])[:1]
            scores.append(float(psnr(backward_warp(keyframe.color[None], flow_px).clamp(0, 1), target.color[None])))
        gains.append(scores[1] - scores[0])
    assert np.mean(gains) > 1


def test_blank_drawings_leave_the_default():
    assert choose_extractor([torch.rand(3, 64, 64)], [torch.ones(1, 64, 64)]) == XDoG()


@pytest.mark.parametrize("size", [(8, 30), (700, 410)])
def test_tiny_and_large_frames_are_taken(size):
    drawing = torch.ones(1, *size)
    drawing[:, 2:4, 5:-2] = 0
    choose_extractor([drawing.expand(3, -1, -1)], [drawing])


def test_candidates_are_few():
    assert len(candidates(measure_style(bars(2)))) <= 12


def test_each_frame_needs_a_drawing_of_its_size():
    frame, drawing = torch.rand(3, 32, 32), torch.ones(1, 32, 32)
    with pytest.raises(ValueError, match="2 frames and 1 drawings"):
        choose_extractor([frame, frame], [drawing])
    with pytest.raises(ValueError, match="size of its drawing"):
        choose_extractor([frame], [torch.ones(1, 32, 40)])
