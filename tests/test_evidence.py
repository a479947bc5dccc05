"""What the lines of each keyframe say for it: against a loop, of which proposals, and lines of another hand."""

import itertools
import math
from dataclasses import replace

import pytest
import torch

from opdm.checkpoint import copy_weights
from opdm.config import ChoiceHeadConfig, FlowAdapterConfig
from opdm.evidence import (
    AGAINST_APPEARED,
    AGAINST_VANISHED,
    APART,
    BESIDE_PX,
    BETWEEN_PX,
    FOR_SETTLED,
    LINE_REACH_PX,
    SAME_HAND,
    find_settled,
    foreign_ink,
    same_hand,
    same_kind,
    weigh_lines,
)
from opdm.model import OPDMModel
from opdm.proposals import name_proposals
from tiny import make_conditions, model_config

MATCHES = FlowAdapterConfig(encodes="matches", blocks_per_level=1)
NAMES = name_proposals(2, 0)
"""Of all proposals but the fills."""


def draw(*rows, size=32):
    """(size, size) with lines from the left to the right."""
    lines = torch.ones(size, size)
    lines[list(rows)] = 0
    return lines


def conditions_of(drawing, keyframe, moved):
    """One drawing, nothing settled, and the lines of both keyframes and of all that is moved, but for what is given."""
    conditions = make_conditions(1, adapter=MATCHES)
    moved_lines = keyframe.expand_as(conditions.moved_lines).clone()
    for (k, flow), lines in moved.items():
        moved_lines[0, k, flow, 0] = lines
    return replace(
        conditions,
        lines=drawing[None, None],
        keyframe_lines=keyframe.expand_as(conditions.keyframe_lines),
        moved_lines=moved_lines,
        settled=torch.zeros_like(conditions.settled),
    )


def test_ink_is_foreign_where_a_loop_finds_it():
    torch.manual_seed(0)
    lines, other = ((torch.rand(1, 1, 20, 24) > share).float() for share in (0.01, 0.02))
    there, ink = [(drawn[0, 0] == 0).nonzero().tolist() for drawn in (lines, other)]
    alone = [(y, x) for y, x in ink if all(max(abs(y - a), abs(x - b)) > LINE_REACH_PX for a, b in there)]
    assert 0 < len(alone) < len(ink)

    def within(reach, y, x, pixels):
        return any(max(abs(y - a), abs(x - b)) <= reach for a, b in pixels)

    def is_between(y, x):
        """Whether no square of that reach, over the border or not, can hold the pixel and none of the ink."""
        steps = range(-BETWEEN_PX, BETWEEN_PX + 1)
        return all(within(BETWEEN_PX, y + down, x + right, alone) for down in steps for right in steps)

    every = list(itertools.product(range(20), range(24)))
    between = [pixel for pixel in every if is_between(*pixel)]
    assert len(alone) < len(between)
    expected = [within(BESIDE_PX, y, x, alone) or within(LINE_REACH_PX, y, x, between) for y, x in every]
    assert foreign_ink(lines, other)[0, 0].flatten().tolist() == expected


@pytest.mark.parametrize(("apart", "is_one"), [(2 * BETWEEN_PX, True), (2 * BETWEEN_PX + 2, False)])
def test_what_is_between_two_foreign_lines_is_foreign_too(apart, is_one):
    nothing, eye = draw(size=64)[None, None], draw(8, 8 + apart, size=64)[None, None]
    foreign = foreign_ink(nothing, eye)[0, 0, :, 32]
    assert foreign[8 + apart // 2] == is_one
    assert not foreign[8 + apart + BESIDE_PX + 1 :].any(), "what is beyond them is not"


def test_a_moved_keyframe_is_held_against_for_lines_that_only_it_or_the_drawing_has():
    moved = {(1, 2): draw(8, 24), (0, 1): draw()}  # one brings a second line, one has lost the first
    logits = weigh_lines(conditions_of(draw(8), draw(8), moved))[0]
    for name, found in zip(NAMES, logits, strict=True):
        expected = torch.zeros(32, 32)
        if name.startswith("keyframe 1 by flow 2"):
            expected[24 - BESIDE_PX : 25 + BESIDE_PX] = AGAINST_VANISHED
        elif name == "keyframe 0 by flow 1, as it is":  # re-inked, it has the drawing's line
            expected[8 - BESIDE_PX : 9 + BESIDE_PX] = AGAINST_APPEARED
        assert torch.allclose(found, expected), name


def test_so_is_an_unmoved_one():
    moved = {(k, 0): draw(8) for k in (0, 1)}  # motion has told that they are by one hand
    logits = weigh_lines(conditions_of(draw(8), draw(24), moved))[0, :, :, 0]
    for name, found in zip(NAMES, logits, strict=True):
        if "by flow 0" in name:
            assert not found.any(), name
            continue
        vanished, appeared = found[24].item(), found[8].item()
        assert vanished == AGAINST_VANISHED, name
        assert appeared == (0 if name.endswith("inked") else AGAINST_APPEARED), name


def test_lines_of_another_hand_say_nothing():
    one, two, four = (draw(*range(0, 4 * count, 4))[None, None] for count in (1, 2, 4))
    assert same_hand(two, two).item() == 1
    assert same_hand(two, torch.cat([one, two, four], dim=1)).flatten().tolist() == pytest.approx(
        [math.exp(-((math.log(2) / SAME_HAND) ** 2)), 1, math.exp(-((math.log(2) / SAME_HAND) ** 2))], rel=1e-4
    )
    paper = draw()[None, None]
    assert same_hand(paper, paper).item() == 1 and same_hand(paper, two).item() < 1e-6
    told = weigh_lines(conditions_of(draw(8), draw(9), {}))
    scribbled = weigh_lines(conditions_of(draw(8), draw(8, 16, 24), {}))
    assert not told.any() and scribbled.abs().max() < 1e-6


def test_lines_that_were_traced_say_little_where_they_never_fit():
    rows = range(0, 64, 8)
    drawing = draw(*rows, size=64)[None, None]
    stray, fitting = draw(*(row + 4 for row in rows), size=64), draw(*rows, size=64)
    once = fitting.clone()
    once[20, :8] = 0  # something that vanished in one place
    kinds = same_kind(drawing, torch.stack([fitting, once, stray])[None]).flatten().tolist()
    assert kinds[:2] == [1, 1] and kinds[2] < 1e-6
    tiles = torch.ones(1, 1, 64, 64)
    assert same_kind(tiles, tiles).item() == 1, "of no ink nothing is known"


def test_half_of_the_tiles_decide_of_which_kind_lines_are():
    drawing, other = torch.ones(1, 1, 64, 64), torch.ones(1, 1, 64, 64)
    drawing[..., 8::16, :] = other[..., 8::16, :] = 0
    for row, expected in ((1, 1.0), (2, 1.0), (3, 0.0)):  # of four rows of tiles so many have stray ink
        other[..., 16 * row - 16, :] = 0
        assert same_kind(drawing, other).item() == pytest.approx(expected, abs=1e-6)


def test_what_is_settled_is_believed_where_lines_cannot_tell():
    settled = torch.zeros(1, 2, 1, 32, 32)
    settled[0, 1, 0, :16] = 1
    own = replace(conditions_of(draw(8), draw(8), {}), settled=settled)
    assert not weigh_lines(own).any(), "lines of one hand tell enough"
    traced = replace(conditions_of(draw(8), draw(24), {}), settled=settled)
    unsettled = replace(traced, settled=torch.zeros_like(settled))
    gained = (weigh_lines(traced) - weigh_lines(unsettled))[0]
    for name, found in zip(NAMES, gained, strict=True):
        expected = torch.zeros(32, 32)
        if name == "keyframe 1 by flow 0, as it is":
            expected[:16] = FOR_SETTLED
        assert torch.allclose(found, expected, atol=1e-5), name


def test_two_that_are_settled_and_differ_are_not_believed():
    conditions = conditions_of(draw(8), draw(24), {})
    proposals = torch.zeros_like(conditions.proposals)
    proposals[:, 0, :, :, 16:] = 2 * APART
    both = replace(conditions, settled=torch.ones(1, 2, 1, 32, 32), proposals=proposals)
    assert find_settled(both)[0, :, :, :12].min() == 1 and not find_settled(both)[0, :, :, 20:].any()
    one = replace(both, settled=torch.tensor([1.0, 0.0]).view(1, 2, 1, 1, 1).expand(1, 2, 1, 32, 32))
    assert find_settled(one)[0, 0].min() == 1 and not find_settled(one)[0, 1].any()
    assert not find_settled(replace(one, settled=None)).any()


@torch.no_grad()
def test_it_is_added_to_what_the_network_says_of_the_proposals():
    torch.manual_seed(0)
    without, given = (
        OPDMModel.from_model_config(model_config(MATCHES, ChoiceHeadConfig(evidence=evidence)))
        for evidence in ("none", "lines")
    )
    copy_weights(given, without, "the same weights")
    conditions = conditions_of(draw(8), draw(8), {(1, 2): draw(8, 24)})
    frame, times = torch.randn(1, 3, 32, 32), torch.tensor([3])
    before, after = (
        model.evaluate(frame, times, conditions.lines, model.encode(conditions)) for model in (without, given)
    )
    logits = weigh_lines(conditions)
    count = len(NAMES)
    assert torch.allclose(after[:, :count] - before[:, :count], logits, atol=1e-5) and logits.any()
    assert torch.equal(after[:, count:], before[:, count:]), "fills and the residual are the network's own"
