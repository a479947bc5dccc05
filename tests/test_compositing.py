import cv2
import numpy as np
import pytest
import torch

from opdm.compositing import compose, fill_lines
from opdm.frames import resize

WHITE, RED, BLUE, SKIN = (1.0, 1.0, 1.0), (0.8, 0.2, 0.15), (0.2, 0.3, 0.7), (0.95, 0.8, 0.7)
BLACK, BROWN, NAVY = (0.0, 0.0, 0.0), (0.4, 0.15, 0.05), (0.05, 0.1, 0.4)
OVERSAMPLING = 4


def render(height, width, line_px, inks=(BLACK,)):
    """A figure of overlapping shapes drawn in vectors: the finished frame (3, H, W), its lines (1, H, W), its fill."""
    size = (height * OVERSAMPLING, width * OVERSAMPLING)
    fill = np.ones((*size, 3), np.float32)
    ink = np.zeros((*size, 3), np.float32)
    coverage = np.zeros(size, np.float32)

    def shape(center, radii, angle, color, ink_color):
        scale = size[0]
        mask = np.zeros(size, np.uint8)
        ellipse = (int(center[0] * scale), int(center[1] * scale)), (int(radii[0] * scale), int(radii[1] * scale))
        cv2.ellipse(mask, *ellipse, angle, 0, 360, 1, -1)
        fill[mask > 0] = color
        coverage[mask > 0] = 0
        outline = np.zeros(size, np.uint8)
        cv2.ellipse(outline, *ellipse, angle, 0, 360, 1, round(line_px * OVERSAMPLING))
        coverage[outline > 0] = 1
        ink[outline > 0] = ink_color

    shape((0.45, 0.7), (0.25, 0.4), 10, BLUE, inks[0])
    shape((0.5, 0.35), (0.22, 0.27), 0, SKIN, inks[-1])
    shape((0.42, 0.3), (0.05, 0.03), 20, WHITE, inks[-1])
    shape((0.85, 0.6), (0.1, 0.33), 60, RED, inks[0])
    frame = np.where(coverage[..., None] > 0, ink, fill)
    return tuple(shrink(image) for image in (frame, 1 - coverage, fill))


def shrink(image):
    height, width = image.shape[0] // OVERSAMPLING, image.shape[1] // OVERSAMPLING
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(small.reshape(height, width, -1)).permute(2, 0, 1).contiguous()


def psnr(prediction, target):
    return -10 * (prediction - target).square().mean().clamp(min=1e-12).log10().item()


def test_an_exact_painting_comes_back_exactly():
    frame, lines, _ = render(180, 240, line_px=3)
    composed = compose(frame, lines).frame
    difference = (composed - frame).abs().amax(dim=0)
    assert difference.quantile(0.999) < 1 / 255
    assert psnr(composed, frame) > 50


@pytest.mark.parametrize(("scale", "gain_db"), [(2, 10), (4, 10)])
@pytest.mark.parametrize("inks", [(BLACK,), (NAVY, BROWN)], ids=["black", "colored"])
def test_enlarging_beats_bicubic_by_far(scale, gain_db, inks):
    frame, lines, _ = render(360, 480, line_px=3, inks=inks)
    paint = resize(frame, (360 // scale, 480 // scale))
    composed = compose(paint, lines).frame
    assert psnr(composed, frame) > psnr(resize(paint, (360, 480)), frame) + gain_db


def test_a_blurred_painting_gets_the_drawn_lines():
    frame, lines, _ = render(360, 480, line_px=3)
    paint = resize(frame, (180, 240))
    paint = torch.from_numpy(cv2.GaussianBlur(paint.permute(1, 2, 0).numpy(), (0, 0), 0.8)).permute(2, 0, 1)
    assert psnr(compose(paint, lines).frame, frame) > psnr(resize(paint, (360, 480)), frame) + 5


@pytest.mark.parametrize("scale", [1, 3])
def test_the_color_layer_has_no_trace_of_lines(scale):
    frame, lines, fill = render(240, 360, line_px=3)
    layer = compose(resize(frame, (240 // scale, 360 // scale)), lines).color_layer
    # Beneath lines the border between two colors may lie anywhere, but no third color may appear.
    palette = torch.tensor([WHITE, RED, BLUE, SKIN])
    distance = (layer[:3].flatten(1).T[:, None] - palette).abs().amax(dim=2).amin(dim=1)
    assert (distance > 4 / 255).float().mean() < 0.002
    off_lines = (lines == 1).expand(3, -1, -1)
    assert psnr(layer[:3][off_lines], fill[off_lines]) > 35


@pytest.mark.parametrize("scale", [1, 2.5, 4])
def test_flat_areas_stay_exactly_flat(scale):
    size = (round(120 / scale), round(160 / scale))
    color = torch.tensor([51, 128, 179]).view(3, 1, 1)
    paint = (color / 255).expand(3, *size).contiguous()
    lines = torch.ones(1, 120, 160)
    lines[0, 60, 20:140] = 0
    levels = (compose(paint, lines).frame * 255).round()
    assert (levels == color).all(), "no line painted, none shown"


def test_a_painting_without_the_lines_is_harmless():
    _, lines, fill = render(180, 240, line_px=3)
    composed = compose(resize(fill, (90, 120)), lines).frame
    assert composed.isfinite().all()
    assert psnr(composed, fill) > 25


def test_lines_keep_the_color_the_model_gave_them():
    frame, lines, _ = render(240, 360, line_px=4, inks=(NAVY, BROWN))
    composed = compose(resize(frame, (120, 180)), lines).frame
    is_line = (lines[0] == 0) & (composed.sum(dim=0) < 2)
    distances = [(composed[:, is_line] - torch.tensor(ink)[:, None]).abs().amax(dim=0) for ink in (NAVY, BROWN)]
    assert torch.stack(distances).amin(dim=0).median() < 4 / 255


def test_drawn_lines_lie_on_top_as_drawn():
    lines = torch.ones(1, 160, 160)
    lines[0, 40:120, 40:42] = torch.tensor([0.0, 0.5])
    paint = resize(lines, (40, 40)).expand(3, -1, -1).contiguous()
    assert torch.allclose(compose(paint, lines).frame[0], lines[0], atol=2 / 255)


def test_narrow_regions_keep_their_color():
    lines = torch.ones(1, 200, 200)
    frame = torch.ones(3, 200, 200)
    frame[:, :, 100:112] = torch.tensor(RED).view(3, 1, 1)
    for x in (99, 112):
        lines[0, :, x : x + 2] = 0
        frame[:, :, x : x + 2] = 0
    composed = compose(resize(frame, (50, 50)), lines).frame
    assert (composed[:, 100, 106] - torch.tensor(RED)).abs().max() < 0.1
    assert (composed[:, 100, 90] - 1).abs().max() < 1 / 255


def test_a_gray_tone_in_the_drawing_is_not_taken_for_a_line():
    lines = torch.ones(1, 120, 120)
    lines[0, 30:90, 30:90] = 0.75
    paint = torch.ones(3, 120, 120)
    paint[:, 30:90, 30:90] = torch.tensor(RED).view(3, 1, 1)
    assert (compose(paint, lines).frame - paint).abs()[:, 40:80, 40:80].max() < 2 / 255


def test_white_paint_at_the_border_is_transparent_and_enclosed_white_is_not():
    frame, lines, fill = render(180, 240, line_px=3)
    alpha = compose(frame, lines).color_layer[3]
    assert set(alpha.unique().tolist()) == {0, 1}
    assert alpha[0].max() == 0 and alpha[-1, 0] == 0
    assert alpha[54, 76] == 1, "the white of the eye"
    colored = (fill.amin(dim=0) < 0.9) & (lines[0] == 1)
    assert (alpha[colored] == 1).all()


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_all_ink_and_no_ink_are_no_trouble(value):
    paint = torch.rand(3, 16, 24)
    composite = compose(paint, torch.full((1, 64, 96), value))
    assert composite.frame.isfinite().all() and composite.color_layer.shape == (4, 64, 96)
    if value == 1:
        assert torch.allclose(composite.frame, resize(paint, (64, 96)), atol=1e-6)


def test_a_painting_larger_than_the_drawing_is_shrunk():
    frame, lines, _ = render(240, 360, line_px=4)
    small = resize(frame, (120, 180))
    assert psnr(compose(frame, resize(lines, (120, 180))).frame, small) > 30


def test_a_line_takes_the_nearest_color_in_sight():
    image = np.zeros((9, 30, 3), np.float32)
    image[:, :10], image[:, 11:20], image[:, 21:] = 0.1, 0.5, 0.9
    is_line = np.zeros((9, 30), bool)
    is_line[:, [10, 20]] = True
    image[is_line] = 0
    image[:, [9, 11, 19, 21]] = 0.3  # stained by the line
    filled = fill_lines(image, is_line, margin_px=1.5)[4, :, 0]
    assert filled == pytest.approx([0.1] * 10 + filled[10:11].tolist() + [0.5] * 9 + filled[20:21].tolist() + [0.9] * 9)
    assert filled[10] in np.float32([0.1, 0.5]) and filled[20] in np.float32([0.5, 0.9])
