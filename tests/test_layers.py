import torch

from opdm.data.cel_animation import CelShot, CelStyle
from opdm.layers import Layers, lay_lines, separate


def test_ink_laid_over_paint_gives_the_keyframe_again():
    frame = CelShot(11, height=160, width=160, frames=2, style=CelStyle(background="flat")).frame(0)
    paint, ink = separate(frame.color, frame.lines)
    again = lay_lines(paint, ink, frame.lines)
    assert (again - frame.color).abs().mean() < 2 / 255
    assert (paint - frame.color).abs().mean() > 3 * (again - frame.color).abs().mean(), "the lines are gone"


def test_a_flat_fill_is_continued_beneath_a_line():
    lines, color = torch.ones(1, 40, 40), torch.full((3, 40, 40), 0.8)
    lines[0, :, 19:21] = 0
    color[:, :, 21:] = 0.3
    color[0, :, 19:21], color[1:, :, 19:21] = 0.6, 0.0
    layers = Layers(color, lines)
    assert (layers.paint[:, :, :20] - 0.8).abs().max() < 0.02
    assert (layers.paint[:, :, 22:] - 0.3).abs().max() < 0.02
    assert (layers.ink - torch.tensor([0.6, 0, 0]).view(3, 1, 1)).abs().max() < 0.05


def test_a_frame_without_lines_is_all_paint():
    color = torch.rand(3, 16, 16)
    paint, ink = separate(color, torch.ones(1, 16, 16))
    assert torch.equal(paint, color) and not ink.any()
