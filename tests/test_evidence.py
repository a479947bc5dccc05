"""What the lines say of each keyframe: against a loop, the same of all, and weights of models that had none of it."""

from dataclasses import replace

import pytest
import torch

from opdm.checkpoint import copy_weights
from opdm.config import ChoiceHeadConfig, FlowAdapterConfig
from opdm.evidence import AGAINST_APPEARED, AGAINST_VANISHED, INSIDE_PX, LINE_REACH_PX, Evidence, foreign_ink
from opdm.model import OPDMModel
from opdm.motion import FLOWS
from opdm.proposals import name_proposals
from tiny import make_conditions, model_config

MATCHES = FlowAdapterConfig(encodes="matches", blocks_per_level=1)
FILLS = 3
NAMES = name_proposals(2, FILLS)


def make_evidence() -> Evidence:
    torch.manual_seed(0)
    evidence = Evidence(4, fills=FILLS)
    with torch.no_grad():
        for parameter in evidence.parameters():
            parameter.normal_()
    return evidence


@torch.no_grad()
def test_ink_is_foreign_where_a_loop_finds_it():
    torch.manual_seed(0)
    lines, other = ((torch.rand(1, 1, 20, 24) > share).float() for share in (0.01, 0.05))
    there, ink = [(drawn[0, 0] == 0).nonzero().tolist() for drawn in (lines, other)]
    alone = [(y, x) for y, x in ink if all(max(abs(y - a), abs(x - b)) > LINE_REACH_PX for a, b in there)]
    assert 0 < len(alone) < len(ink)
    expected = torch.zeros(20, 24)
    for y, x in alone:
        expected[max(y - INSIDE_PX, 0) : y + INSIDE_PX + 1, max(x - INSIDE_PX, 0) : x + INSIDE_PX + 1] = 1
    assert torch.equal(foreign_ink(lines, other)[0, 0], expected)


@torch.no_grad()
def test_a_new_one_speaks_against_lines_of_which_the_drawing_has_none():
    conditions = make_conditions(1, adapter=MATCHES)
    paper = {name: torch.ones_like(value) for name, value in vars(conditions).items() if name.endswith("lines")}
    nothing = replace(conditions, **paper)
    assert not Evidence(4, fills=FILLS)(nothing).any()
    moved, still = nothing.moved_lines.clone(), nothing.keyframe_lines.clone()
    moved[0, 1, 2, 0, 10, 10], still[0, 0, 0, 20, 20] = 0, 0
    logits = Evidence(4, fills=FILLS)(replace(nothing, moved_lines=moved, keyframe_lines=still))[0]
    near = slice(10 - INSIDE_PX, 11 + INSIDE_PX)
    for name, found in zip(NAMES, logits, strict=True):
        expected = torch.zeros(32, 32)
        if name.startswith("keyframe 1 by flow 2"):
            expected[near, near] = AGAINST_VANISHED
        elif name == "keyframe 0":
            expected[20 - INSIDE_PX : 21 + INSIDE_PX, 20 - INSIDE_PX : 21 + INSIDE_PX] = AGAINST_VANISHED
        assert torch.allclose(found, expected, atol=1e-5), name


@torch.no_grad()
def test_a_new_one_speaks_against_keyframes_without_the_drawing_s_lines_unless_re_inked():
    conditions = make_conditions(1, adapter=MATCHES)
    paper = {name: torch.ones_like(value) for name, value in vars(conditions).items() if name.endswith("lines")}
    paper["lines"][0, 0, 10, 10] = 0
    logits = Evidence(4, fills=FILLS)(replace(conditions, **paper))[0, :, 10, 10]
    for name, found in zip(NAMES, logits.tolist(), strict=True):
        is_as_drawn = name.endswith("inked") or name.startswith("fill")
        assert found == pytest.approx(0 if is_as_drawn else AGAINST_APPEARED, abs=1e-5), name


@torch.no_grad()
def test_every_keyframe_is_judged_alike():
    evidence, conditions = make_evidence(), make_conditions(adapter=MATCHES)
    logits = evidence(conditions)
    assert logits.shape == (2, len(NAMES), 32, 32) and not logits[:, -FILLS:].any()
    other, flows = [1, 0], [2, 0, 1]
    moved = 2 * 2 * FLOWS
    proposals = conditions.proposals.clone()
    proposals[:, :moved] = proposals[:, :moved].unflatten(1, (2, FLOWS, 2))[:, other][:, :, flows].flatten(1, 3)
    proposals[:, moved : moved + 2] = proposals[:, moved : moved + 2][:, other]
    changed = replace(
        conditions,
        proposals=proposals,
        keyframe_lines=conditions.keyframe_lines[:, other],
        moved_lines=conditions.moved_lines[:, other][:, :, flows],
        flow_error_px=conditions.flow_error_px[:, other][:, :, flows],
    )
    expected = logits.clone()
    expected[:, :moved] = logits[:, :moved].unflatten(1, (2, FLOWS, 2))[:, other][:, :, flows].flatten(1, 3)
    expected[:, moved : moved + 2] = logits[:, moved : moved + 2][:, other]
    assert torch.allclose(evidence(changed), expected, atol=1e-3)
    assert not torch.allclose(logits, expected, atol=1e-1)


@torch.no_grad()
def test_weights_of_a_model_without_evidence_gain_it():
    torch.manual_seed(0)
    without = OPDMModel.from_model_config(model_config(MATCHES, ChoiceHeadConfig()))
    given = OPDMModel.from_model_config(model_config(MATCHES, ChoiceHeadConfig(evidence_width=4)))
    copy_weights(given, without, "a model without evidence")
    conditions, frame, times = make_conditions(adapter=MATCHES), torch.randn(2, 3, 32, 32), torch.tensor([3, 50])
    outputs = [model.evaluate(frame, times, conditions.lines, model.encode(conditions)) for model in (without, given)]
    assert torch.allclose(outputs[1][:, :-3] - outputs[0][:, :-3], given.evidence(conditions), atol=1e-5)
    assert torch.equal(outputs[1][:, -3:], outputs[0][:, -3:]), "the residual is the U-Net's own"
    with pytest.raises(ValueError, match="a model with evidence: a model of another shape"):
        copy_weights(without, given, "a model with evidence")
