"""The painting behind the figures: found at rest and panned, and not where there is none."""

import math

import pytest
import torch

from opdm.backdrop import fill_from_around, find_backdrop, hide_backdrop, measure_contrast
from opdm.layers import Layers
from opdm.line_learning import trace_keyframes
from opdm.line_style import choose_extractor
from opdm.motion import FLOWS, Motion, estimate_motion
from opdm.pan import estimate_pan, find_ground
from opdm.proposals import Fill, each_proposal, name_proposals
from opdm.segments import find_regions
from opdm.staging import set_up

SIZE, RADIUS, LINE = 96, 14, 2
RED = torch.tensor([0.8, 0.2, 0.2]).view(3, 1, 1)
Y, X = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
PLACES = ((24, 30), (48, 52), (72, 66))
"""Of a figure in the first keyframe, the drawing and the second keyframe, (x, y): nowhere is it twice."""


def paint_scenery(shift=(0.0, 0.0)):
    """(3, SIZE, SIZE): a sum of waves, so that it can be shifted by parts of a pixel."""
    generator = torch.Generator().manual_seed(0)
    x, y = X + shift[0], Y + shift[1]
    color = torch.full((3, SIZE, SIZE), 0.5)
    for _ in range(12):
        angle, phase, length = torch.rand(3, generator=generator).tolist()
        frequency = 2 * math.pi / (8 + 30 * length)
        wave = torch.sin(frequency * (x * math.cos(7 * angle) + y * math.sin(7 * angle)) + 7 * phase)
        color += wave * (torch.rand(3, 1, 1, generator=generator) - 0.5) / 5
    return color.clamp(0, 1)


def within(place, radius):
    """(SIZE, SIZE) bool: a disc."""
    return (X - place[0]).square() + (Y - place[1]).square() < radius**2


def ring(place, radius):
    """(SIZE, SIZE) bool: the outline of a disc."""
    return within(place, radius) & ~within(place, radius - LINE)


def draw(scenery, place, paint=RED, radius=RADIUS):
    """A disc with an outline in front of a scenery without lines."""
    outline = ring(place, radius)
    color = torch.where(outline, 0.0, torch.where(within(place, radius), paint, scenery))
    return Layers(color, (~outline).float()[None])


def follow_figure(places=PLACES):
    """The motion of the figure everywhere, as what has no lines is given it."""
    flow_px = torch.zeros(2, FLOWS, 2, SIZE, SIZE)
    for flow, place in zip(flow_px, (places[0], places[2]), strict=True):
        flow += torch.tensor([there - here for there, here in zip(place, places[1], strict=True)]).view(2, 1, 1)
    return Motion(flow_px, torch.zeros(2, FLOWS, 1, SIZE, SIZE))


def find(first, drawing, second, motion=None, **options):
    regions = find_regions(drawing.lines)
    motion = motion or follow_figure()
    return regions, find_backdrop(regions, [first, second], motion, count=int(regions.max()), **options)


def test_all_proposals_show_a_painting_at_rest_wherever_the_drawing_does():
    scenery = paint_scenery()
    first, drawing, second = (draw(scenery, place) for place in PLACES)
    regions, backdrop = find(first, drawing, second)
    assert backdrop is not None
    view = backdrop.view(drawing.lines, regions, [first, second])
    assert torch.equal(view.is_shown, ~within(PLACES[1], RADIUS))
    assert torch.allclose(view.color, scenery, atol=1e-6), "one of the two shows it everywhere"
    fills = [Fill(torch.zeros(int(regions.max()), 3), torch.ones(int(regions.max())))]
    plain, behind = (
        torch.stack(list(each_proposal(drawing.lines, [first, second], follow_figure(), regions, fills, shown)))
        for shown in (None, view)
    )
    around = ~within(PLACES[1], RADIUS)
    assert torch.allclose(behind[:, :, around], scenery[:, around].expand(len(behind), -1, -1), atol=1e-4)
    assert (plain[:, :, around] - scenery[:, around]).abs().mean() > 0.05
    inner = within(PLACES[1], RADIUS - LINE)
    assert torch.equal(behind[:, :, inner], plain[:, :, inner])


@pytest.mark.parametrize("eye_px", [0, 10])
def test_a_face_whose_eye_has_shut_is_no_painting(eye_px):
    scenery, face = paint_scenery(), within(PLACES[1], 30)
    open_eye, shut = draw(scenery, PLACES[1], scenery, 30), draw(scenery, PLACES[1], scenery, 30)
    open_eye = Layers(open_eye.color, open_eye.lines.masked_fill(ring(PLACES[1], eye_px), 0))
    motion = follow_figure(((45, 45), PLACES[1], (51, 55)))
    regions, backdrop = find(open_eye, shut, open_eye.resize((SIZE, SIZE)), motion)
    assert backdrop is not None
    view = backdrop.view(shut.lines, regions, [open_eye, open_eye])
    inside = view.is_shown[within(PLACES[1], 30 - LINE)]
    assert view.is_shown[~face].all()
    assert inside.all() if eye_px == 0 else not inside.any(), "with nothing gone it rests like the rest"


def test_ink_that_is_wider_than_the_lines_stays_over_the_painting():
    scenery = paint_scenery()
    drawn = [draw(scenery, place) for place in PLACES]
    rims = [within(place, RADIUS + 1) & ~within(place, RADIUS) for place in PLACES]
    wide = [Layers(k.color * (1 - 0.6 * rim), k.lines) for k, rim in zip(drawn, rims, strict=True)]
    first, drawing, second = wide
    regions, backdrop = find(first, drawing, second)
    assert backdrop is not None
    view = backdrop.view(drawing.lines, regions, [first, second])
    frames = each_proposal(drawing.lines, [first, second], follow_figure(), regions, [], view)
    moved, inked, *_ = frames
    shown = ~within(PLACES[1], RADIUS)
    assert torch.allclose(moved[:, shown], drawing.color[:, shown], atol=0.01)
    assert torch.allclose(inked[:, shown], drawn[1].color[:, shown], atol=0.01), "of which nothing can be known"


def test_a_drawing_that_is_set_up_has_the_painting_behind_it():
    scenery = paint_scenery()
    first, drawing, second = (draw(scenery, place) for place in PLACES)
    regions = find_regions(drawing.lines)
    motion = estimate_motion(drawing.lines, regions, [first, second])
    is_moved = torch.tensor([name.endswith("as it is") for name in name_proposals(2, 1)])

    def worst(proposals):
        """Of the moved keyframes, whose edges are where their motion leads, and of the others."""
        errors = (proposals - scenery).abs().amax(dim=1)
        around = ~within(PLACES[1], RADIUS + 4), ~within(PLACES[1], RADIUS)
        return max(errors[is_moved][:, around[0]].max(), errors[~is_moved][:, around[1]].max())

    stage = set_up(drawing.lines, regions, [first, second], shorter_side=SIZE, multiple=1, motion=motion)
    for proposals in (stage.conditions.proposals, torch.stack(list(stage.proposals()))):
        assert worst(proposals) < 0.01
    half = set_up(drawing.lines, regions, [first, second], shorter_side=SIZE // 2, multiple=1, motion=motion)
    assert worst(torch.stack(list(half.proposals()))) < 0.01


@pytest.mark.parametrize("pan", [(12.0, -3.0), (-7.3, 2.6)])
def test_a_pan_is_followed_where_the_time_is_known(pan):
    time = 0.4
    sceneries = [paint_scenery((-pan[0] * t, -pan[1] * t)) for t in (0, time, 1)]
    first, drawing, second = (draw(*pair) for pair in zip(sceneries, PLACES, strict=True))
    assert estimate_pan([first, second], [find_ground(k) for k in (first, second)]).tolist() == pytest.approx(
        pan, abs=0.03
    )
    assert find(first, drawing, second)[1] is None
    regions, backdrop = find(first, drawing, second, time=time)
    assert backdrop is not None
    assert backdrop.camera_px.flatten().tolist() == pytest.approx(
        [-time * pan[0], -time * pan[1], (1 - time) * pan[0], (1 - time) * pan[1]], abs=0.03
    )
    view = backdrop.view(drawing.lines, regions, [first, second])
    around = ~within(PLACES[1], RADIUS)
    assert (view.color - sceneries[1])[:, around].abs().mean() < 0.01


def test_there_is_no_backdrop_without_two_keyframes_that_show_it():
    scenery, other = paint_scenery(), paint_scenery().flip(1)
    first, drawing, second = (draw(scenery, place) for place in PLACES)
    assert find(first, drawing, first)[1] is None, "a single keyframe"
    turned = draw(other, PLACES[2])
    assert find(first, drawing, turned, time=0.5)[1] is None, "another scene"
    paper = torch.full((3, SIZE, SIZE), 0.9)
    assert find(*(draw(paper, place) for place in PLACES), time=0.5)[1] is None, "nothing that would show its motion"
    assert find(first, drawing, second)[1] is not None, "or the others prove nothing"


def test_a_shaded_figure_that_hardly_moves_is_no_backdrop():
    paper, shades = torch.full((3, SIZE, SIZE), 0.9), paint_scenery()
    places = [(48 + step, 48) for step in (0, 0.4, 0)]
    first, drawing, second = (draw(paper, place, shades) for place in places)
    motion = Motion(follow_figure(places).flow_px + 3, torch.zeros(2, FLOWS, 1, SIZE, SIZE))
    assert find(first, drawing, second, motion)[1] is None


def test_what_moves_before_a_figure_that_rests_is_no_backdrop():
    scenery, shades = paint_scenery(), paint_scenery().flip(1)
    resting, hands = draw(scenery, (48, 48), shades, radius=36), ((30, 36), (48, 52), (66, 60))
    first, drawing, second = (
        Layers(torch.where(within(hand, 7), RED, resting.color), resting.lines * (~ring(hand, 7))) for hand in hands
    )
    is_still = ~within(hands[1], 7) & within((48, 48), 36)
    motion = Motion(follow_figure().flow_px * ~is_still, follow_figure().error_px)  # and that of the hand is not right
    regions, backdrop = find(first, drawing, second, motion)
    assert backdrop is not None
    assert torch.equal(backdrop.view(drawing.lines, regions, [first, second]).is_shown, ~within((48, 48), 36))


def test_what_no_keyframe_shows_is_filled_from_around():
    torch.manual_seed(0)
    weights = (torch.rand(37, 50) > 0.7).float() * 2
    weights[5:30, 10:40] = 0
    color = torch.rand(3, 37, 50)
    filled = fill_from_around(color * weights, weights)
    known = weights > 0
    assert torch.allclose(filled[:, known], color[:, known])
    low, high = color[:, known].amin(dim=1), color[:, known].amax(dim=1)
    assert (filled >= low[:, None, None] - 1e-5).all() and (filled <= high[:, None, None] + 1e-5).all()
    assert filled[:, 17, 25].tolist() == pytest.approx([0.5] * 3, abs=0.2), "far from all that is known: their mean"
    even = fill_from_around(torch.full((3, 37, 50), 0.25) * weights, weights)
    assert torch.allclose(even, torch.full_like(even, 0.25), atol=1e-5)


def test_white_is_filled_with_white():
    """And with no more, which every extractor would refuse."""
    weights = torch.ones(165, 165)
    weights[5:-9, 7:-4] = 0
    assert fill_from_around(weights.expand(3, -1, -1), weights).max() <= 1


def test_a_keyframe_is_traced_without_the_painting_behind_it():
    scenery = paint_scenery()
    first, drawing, second = (draw(scenery, place) for place in PLACES)
    hidden = hide_backdrop(first.color, [second.color], draw(scenery, (28, 34)).lines)
    figure = within(PLACES[0], RADIUS)
    assert torch.equal(hidden[:, figure], first.color[:, figure])
    far = ~within(PLACES[0], 2 * RADIUS) & ~within(PLACES[2], 2 * RADIUS)
    assert measure_contrast(hidden)[far].mean() < measure_contrast(first.color)[far].mean() / 3
    lines, second_lines = trace_keyframes([first.color, second.color], drawing.lines)
    with_scenery = choose_extractor([first.color], [drawing.lines])(first.color[None])[0]
    stray, strayed = (float((1 - traced)[0, ~figure].sum()) for traced in (lines, with_scenery))
    assert stray < 0.7 * strayed
    assert (1 - lines)[0, figure].sum() > 100
    regions = find_regions(drawing.lines)
    traced = [Layers(first.color, lines), Layers(second.color, second_lines)]
    assert find_backdrop(regions, traced, follow_figure(), count=int(regions.max())) is not None


def test_a_keyframe_is_left_as_it_is_where_hiding_would_do_no_good():
    scenery, paper = paint_scenery(), torch.full((3, SIZE, SIZE), 0.9)
    first, drawing, second = (draw(scenery, place) for place in PLACES)
    plain = draw(paper, PLACES[0]).color
    assert hide_backdrop(first.color, [], drawing.lines) is first.color, "a single keyframe"
    assert hide_backdrop(first.color, [first.color], drawing.lines) is first.color, "a figure that has come back"
    assert hide_backdrop(plain, [draw(paper, PLACES[2]).color], drawing.lines) is plain, "paper"
    assert hide_backdrop(first.color, [second.color], drawing.lines) is not first.color


def test_a_pan_of_a_painting_with_lines_is_left_to_the_lines():
    pan = 12.0
    sceneries = [paint_scenery((-pan * t, 0)) for t in (0, 0.5, 1)]
    frames = [draw(*pair) for pair in zip(sceneries, PLACES, strict=True)]
    assert find(*frames, time=0.5)[1] is not None
    ruled = []
    for frame, t in zip(frames, (0, 0.5, 1), strict=True):
        lines = frame.lines.clone()
        lines[0, :, (X[0] - round(pan * t)) % 12 == 0] = 0
        ruled.append(Layers(frame.color, lines))
    assert find(*ruled, time=0.5)[1] is None
