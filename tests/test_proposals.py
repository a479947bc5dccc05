import pytest
import torch

from opdm.layers import Layers
from opdm.motion import FLOWS, Motion
from opdm.proposals import (
    VOTE_FALLOFF_PX,
    Fill,
    cast_votes,
    count_proposals,
    each_proposal,
    fill_by_vote,
    move_lines,
)
from opdm.segments import find_regions

SIZE = 48


def keyframe(shift=0, left=(0.9, 0.1, 0.1), right=(0.1, 0.1, 0.9)):
    """Two colors, parted by a black line."""
    lines, color = torch.ones(1, SIZE, SIZE), torch.empty(3, SIZE, SIZE)
    border = SIZE // 2 + shift
    color[:, :, :border] = torch.tensor(left).view(3, 1, 1)
    color[:, :, border:] = torch.tensor(right).view(3, 1, 1)
    lines[:, :, border - 1 : border + 1], color[:, :, border - 1 : border + 1] = 0, 0
    return Layers(color, lines)


def shifted(shift, references):
    flow_px = torch.zeros(references, FLOWS, 2, SIZE, SIZE)
    flow_px[:, :, 0] = shift
    return Motion(flow_px, torch.zeros(references, FLOWS, 1, SIZE, SIZE))


@pytest.mark.parametrize("references", [1, 2])
def test_right_motion_proposes_the_right_frame(references):
    target, keyframes = keyframe(0), [keyframe(6)] * references
    motion, regions = shifted(6, references), find_regions(target.lines)
    fills = [fill_by_vote(cast_votes(keyframes, motion, regions))]
    proposals = torch.stack(list(each_proposal(target.lines, keyframes, motion, regions, fills)))
    assert proposals.shape == (count_proposals(references, 1), 3, SIZE, SIZE)
    unmoved = 2 * FLOWS * references
    for index, proposal in enumerate(proposals):
        if unmoved <= index < unmoved + references:
            assert torch.equal(proposal, keyframes[0].color)
        else:
            assert (proposal - target.color).abs().max() < 0.03, index


def test_drawn_lines_stay_where_they_are_drawn_though_the_motion_is_wrong():
    target, keyframes = keyframe(0), [keyframe(3)]
    regions = find_regions(target.lines)
    motion = shifted(0, 1)
    fill = fill_by_vote(cast_votes(keyframes, motion, regions))
    moved, relined, *_, voted = each_proposal(target.lines, keyframes, motion, regions, [fill])
    assert torch.allclose(moved, keyframes[0].color, atol=1e-5)
    on_line = target.lines[0] == 0
    assert relined[:, on_line].max() < 0.05
    assert (voted - target.color).abs().max() < 0.05, "most of each region has the right color, so all of it gets that"


def test_what_layers_leave_out_stays_with_lines_that_stay_and_goes_with_those_that_go():
    plain, motion = keyframe(0), shifted(0, 1)
    uneven = 0.4 * torch.rand(3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    shaded = Layers((plain.color + uneven).clamp(0, 1), plain.lines)
    assert shaded.remainder.abs().max() > 0.1, "or the test shows nothing"
    _, same, *_ = each_proposal(shaded.lines, [shaded], motion, find_regions(shaded.lines), [])
    assert torch.allclose(same, shaded.color, atol=1e-5)
    empty = torch.ones_like(shaded.lines)
    _, gone, *_ = each_proposal(empty, [shaded], motion, find_regions(empty), [])
    on_line = shaded.lines[0] == 0
    assert torch.allclose(gone[:, on_line], shaded.paint[:, on_line], atol=1e-5)


def test_a_sure_keyframe_outvotes_an_unsure_one():
    keyframes = [keyframe(0), keyframe(0, left=(0.1, 0.9, 0.1))]
    motion = shifted(0, 2)
    motion.error_px[1] = 40
    fill = fill_by_vote(cast_votes(keyframes, motion, find_regions(keyframes[0].lines)))
    assert (fill.colors - torch.tensor([[0.9, 0.1, 0.1], [0.1, 0.1, 0.9]])).abs().max() < 0.02


def test_sureness_is_the_share_of_the_votes():
    keyframes = [keyframe(0), keyframe(0, left=(0.1, 0.9, 0.1))]
    motion = shifted(0, 2)
    motion.error_px[1] = 2 * VOTE_FALLOFF_PX  # a third of a vote
    regions = find_regions(keyframes[0].lines)
    fill = fill_by_vote(cast_votes(keyframes, motion, regions))
    assert fill.sureness.tolist() == pytest.approx([0.75, 1.0])
    other = cast_votes(keyframes, motion, regions).share(torch.tensor([[0.1, 0.9, 0.1], [0.5, 0.5, 0.5]]))
    assert other.tolist() == pytest.approx([0.25, 0.0])


def test_a_new_line_has_the_ink_of_a_shared_one_and_not_of_one_that_is_gone():
    black = keyframe(0)  # its line is drawn again
    drawing, color, lines = black.lines.clone(), black.color.clone(), black.lines.clone()
    lines[:, :, 29:31], color[:, :, 29:31] = 0, torch.tensor([0.0, 0.5, 0.0]).view(3, 1, 1)  # a green one is not
    drawing[:, :, 27:29] = 0
    both, regions = Layers(color, lines), find_regions(drawing)
    fill = fill_by_vote(cast_votes([both], shifted(0, 1), regions))
    *_, filled = each_proposal(drawing, [both], shifted(0, 1), regions, [fill])
    assert both.ink[1, :, 27:29].min() > 0.4, "the nearest line is the green one"
    assert filled[:, :, 27:29].max() < 0.1


def test_without_a_shared_line_the_nearest_one_tells_the_ink():
    drawing = torch.ones(1, SIZE, SIZE)
    drawing[:, 8:10] = 0
    gone = keyframe(0)
    color = gone.color + 0.3 * (1 - gone.lines)
    gone = Layers(color, torch.where(drawing == 0, torch.ones(()), gone.lines))
    fill = Fill(torch.full((2, 3), 0.9), torch.ones(2))
    *_, filled = each_proposal(drawing, [gone], shifted(0, 1), find_regions(drawing), [fill])
    assert (filled - gone.ink)[:, 8:10].abs().max() < 1e-5


def test_fills_come_last_and_in_their_order():
    target, motion = keyframe(0), shifted(0, 1)
    regions = find_regions(target.lines)
    one, other = torch.tensor([[0.0, 1.0, 0.0], [1.0, 1.0, 0.0]]), torch.tensor([[torch.nan] * 3, [0.0, 0.0, 1.0]])
    fills = [Fill(colors, torch.ones(2)) for colors in (one, other)]
    first, second = list(each_proposal(target.lines, [target], motion, regions, fills))[-2:]
    is_left = (regions == regions[0, 0]) & (target.lines[0] == 1)
    assert (first[:, is_left] - one[0, :, None]).abs().max() < 1e-6
    assert (second[:, is_left] - target.color[:, is_left]).abs().max() < 0.02, "no color shows the moved paint"
    assert (second[:, -1, -1] - other[1]).abs().max() < 1e-6


def test_lines_move_with_the_keyframe():
    moved = move_lines([keyframe(6)], shifted(6, 1))
    assert moved.shape == (1, FLOWS, 1, SIZE, SIZE)
    assert torch.equal(moved[0, 0, :, :, :40], keyframe(0).lines[:, :, :40])
