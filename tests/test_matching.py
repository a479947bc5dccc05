"""Regions matched with those of keyframes, and the fills that become of it."""

from dataclasses import replace

import pytest
import torch

from conftest import SHOT_SIZE as SIZE
from opdm.checkpoint import copy_weights
from opdm.config import ChoiceHeadConfig, FlowAdapterConfig
from opdm.errors import InputError
from opdm.layers import Layers
from opdm.matching import Match
from opdm.model import HARDLY_CHOSEN
from opdm.pipeline import OPDMPipeline
from opdm.proposals import count_proposals
from opdm.segments import find_regions, vote_colors
from tiny import SCHEDULE, make_conditions, make_model, set_up_moved


def test_a_fill_is_as_sure_as_the_match_is_of_the_color():
    red, blue = [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]
    chances = torch.tensor([[0.3, 0.3, 0.4], [0.1, 0.2, 0.7], [0.0, 0.0, 0.0]])
    fill = Match(chances, torch.tensor([red, red, blue])).fill
    assert fill.colors[:2].tolist() == [blue, blue]
    assert fill.colors[2].isnan().all(), "what was not matched has no color"
    assert fill.sureness.tolist() == pytest.approx([0.4, 0.7, 0.0])
    assert Match(chances, torch.tensor([red, red, blue])).chance_of(torch.tensor([red] * 3)).tolist() == pytest.approx(
        [0.6, 0.3, 0.0]
    )


def test_a_drawing_matches_itself(shot, matcher):
    keyframe = Layers(shot.color(0), shot.lines(0))
    regions = find_regions(keyframe.lines)
    fill = matcher(keyframe.lines, regions, keyframe).fill
    true = vote_colors(regions, keyframe.color)
    areas = torch.bincount(regions.flatten())[1:]
    is_right = (fill.colors - true).abs().amax(dim=1) < 0.04
    assert areas[is_right].sum() > 0.9 * areas.sum()
    assert fill.sureness.min() >= 0 and fill.sureness.max() <= 1 + 1e-5


def test_the_model_is_given_one_fill_by_vote_and_one_for_each_keyframe(shot, matcher):
    keyframes = [Layers(shot.color(i), shot.lines(i)) for i in (0, 4)]
    stage = set_up_moved(shot.lines(2), keyframes, matcher)
    config = FlowAdapterConfig(encodes="matches", blocks_per_level=1)
    assert len(stage.moved.fills) == config.count_fills(2) == 3
    assert stage.conditions.fill_sureness.shape == (3, 1, SIZE, SIZE)
    assert len(stage.conditions.proposals) == count_proposals(2, 3) == len(list(stage.proposals()))
    on_line = stage.regions == 0
    assert not stage.conditions.fill_sureness[:, 0, on_line].any()
    match = matcher(shot.lines(2), stage.regions, keyframes[1])
    assert torch.equal(stage.moved.fills[2].sureness, match.fill.sureness)


def test_a_pipeline_brings_its_matcher_along(shot, tmp_path):
    adapter = FlowAdapterConfig(encodes="matches", blocks_per_level=1)
    OPDMPipeline.from_model(make_model(adapter, ChoiceHeadConfig()), SCHEDULE).save_pretrained(tmp_path)
    pipeline = OPDMPipeline.from_pretrained(tmp_path)
    keyframes = [Layers(shot.color(i), shot.lines(i)) for i in (0, 4)]
    stage = pipeline.set_up(shot.lines(2), keyframes, size=SIZE)
    (finished,) = pipeline.paint([stage], seeds=[0])
    assert finished.frame.shape == (3, SIZE, SIZE) and finished.weights.shape[0] == count_proposals(2, 3)


def test_a_missing_matcher_is_named(shot):
    adapter = FlowAdapterConfig(encodes="matches", blocks_per_level=1, matcher="nowhere/at/all")
    pipeline = OPDMPipeline.from_model(make_model(adapter, ChoiceHeadConfig()), SCHEDULE)
    keyframe = Layers(shot.color(0), shot.lines(0))
    with pytest.raises(InputError, match="nowhere/at/all: no Animation Transformer"):
        pipeline.set_up(shot.lines(2), [keyframe, keyframe])


def test_no_region_no_match(matcher):
    black = torch.zeros(1, 32, 32)
    keyframe = Layers(torch.rand(3, 32, 32), torch.ones(1, 32, 32))
    match = matcher(black, find_regions(black), keyframe)
    assert match.chances.shape == (0, 1) and match.fill.colors.shape == (0, 3)
    nothing = matcher(keyframe.lines, find_regions(keyframe.lines), replace(keyframe, lines=black))
    assert nothing.fill.colors.isnan().all() and not nothing.fill.sureness.any()


def test_a_model_that_is_given_matches_goes_on_from_one_that_was_not():
    before = make_model(FlowAdapterConfig(encodes="alignment", blocks_per_level=1), ChoiceHeadConfig())
    given = FlowAdapterConfig(encodes="matches", blocks_per_level=1)
    after = make_model(given, ChoiceHeadConfig())
    conditions = make_conditions(adapter=given)
    copy_weights(after, before, "before")
    fewer = replace(conditions, proposals=conditions.proposals[:, :-2], fill_sureness=conditions.fill_sureness[:, :1])
    frame, timestep = torch.randn(2, 3, 32, 32), torch.tensor([3, 50])
    with torch.no_grad():
        answer = after.evaluate(frame, timestep, conditions.lines, after.encode(conditions))
        usual = before.evaluate(frame, timestep, fewer.lines, before.encode(fewer))
    assert torch.allclose(answer[:, :-5], usual[:, :-3], atol=1e-5), "the same choice among what both are given"
    assert torch.allclose(answer[:, -3:], usual[:, -3:], atol=1e-5), "the same residual"
    assert (answer[:, -5:-3] == HARDLY_CHOSEN).all()
    with pytest.raises(ValueError, match="after: a model of another shape"):
        copy_weights(before, after, "after")
