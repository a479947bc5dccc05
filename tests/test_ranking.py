"""Ranking: what it is told, by loops; that keyframes may change places; that a new one adds nothing."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from opdm.checkpoint import copy_weights
from opdm.conditions import Conditions
from opdm.config import ChoiceHeadConfig, FlowAdapterConfig
from opdm.model import OPDMModel
from opdm.motion import FLOWS
from opdm.proposals import name_proposals
from opdm.ranking import NEAR, SHOWN, Candidates, Ranking, find, find_partners, number_kinds, show
from tiny import make_conditions, make_model, model_config

MATCHES = FlowAdapterConfig(encodes="matches", blocks_per_level=1)
RANKED = ChoiceHeadConfig(evidence="lines", ranking_width=4)
PLAIN = ChoiceHeadConfig(evidence="lines")


def matched_conditions(references=2) -> Conditions:
    return make_conditions(references=references, adapter=MATCHES)


def exchange(conditions: Conditions) -> tuple[Conditions, list[int]]:
    """The same with the two keyframes in the other order, and where each proposal comes from then."""
    count, moves = conditions.proposals.shape[1], 2 * FLOWS
    order = [*range(moves, 2 * moves), *range(moves), 2 * moves + 1, 2 * moves, count - 3, count - 1, count - 2]
    by_keyframe = ("keyframes", "keyframe_lines", "flow_px", "flow_error_px", "settled", "moved_lines")
    return replace(
        conditions,
        proposals=conditions.proposals[:, order],
        fill_sureness=conditions.fill_sureness[:, [0, 2, 1]],
        **{name: getattr(conditions, name).flip(1) for name in by_keyframe},
    ), order


def make_ranking(references=2, fills=3) -> Ranking:
    torch.manual_seed(0)
    ranking = Ranking(4, context_width=8, references=references, fills=fills)
    torch.nn.init.normal_(ranking.project.weight)
    return ranking


@pytest.mark.parametrize(("references", "fills"), [(1, 1), (2, 1), (2, 3), (1, 2)])
def test_partners_are_made_in_the_same_way_of_the_other_keyframe(references, fills):
    names = name_proposals(references, fills)
    partners = find_partners(references, fills)
    assert sorted(partners) == list(range(len(names)))
    for name, partner in zip(names, partners, strict=True):
        if name.startswith("keyframe"):
            k = int(name.split()[1].rstrip(","))
            assert names[partner] == name.replace(f"keyframe {k}", f"keyframe {references - 1 - k}")
        else:
            number = int(name.split()[1])
            assert names[partner] == f"fill {0 if number == 0 else fills - number}"


@pytest.mark.parametrize(("references", "fills"), [(1, 1), (2, 3)])
def test_kinds_are_as_the_names_say(references, fills):
    said = {"as it is": 0, "inked": 1}
    for name, kind in zip(name_proposals(references, fills), number_kinds(references, fills), strict=True):
        if "flow" in name:
            assert kind == said[name.split(", ")[1]]
        elif name.startswith("keyframe"):
            assert kind == 2
        else:
            assert kind == (3 if name == "fill 0" else 4)


def test_what_is_near_and_supported_is_that_of_a_loop():
    conditions = matched_conditions()
    torch.manual_seed(1)
    candidates = show(conditions, None)
    batch, count, _, height, width = candidates.frames.shape
    assert torch.allclose(candidates.frames[0, 3, 1, 2, 4], conditions.proposals[0, 3, 1, 4:6, 8:10].mean())
    logits, residual = torch.randn(batch, count, height, width), torch.randn(batch, 3, height, width) / 10
    found = find(logits, residual, candidates)
    for y, x in ((3, 5), (11, 15), (15, 0)):
        colors, weights = candidates.frames[0, :, :, y, x], logits[0, :, y, x].softmax(dim=0)
        near = [[bool((a - b).abs().max() <= NEAR) for b in colors] for a in colors]
        assert candidates.is_near[0, :, :, y, x].tolist() == near
        support = [sum(float(w) for w, n in zip(weights, row, strict=True) if n) for row in near]
        assert torch.allclose(found[0, :, 2, y, x], torch.tensor(support), atol=1e-5)
        answer = sum(w * c for w, c in zip(weights, colors, strict=True)) + residual[0, :, y, x] / 2
        assert torch.allclose(found[0, :, 3, y, x], (colors - answer).abs().amax(dim=1), atol=1e-5)
        inside = conditions.regions[0, 0, ::2, ::2] == conditions.regions[0, 0, 2 * y, 2 * x]
        assert torch.allclose(found[0, :, 7, y, x], found[0, :, 3][:, inside].mean(dim=1), atol=1e-5)


@pytest.mark.parametrize("references", [1, 2])
def test_everything_that_is_shown_has_its_place(references):
    conditions = matched_conditions(references)
    candidates = show(conditions, None)
    assert candidates.shown.shape == (*conditions.proposals.shape[:2], SHOWN, 16, 16)
    assert candidates.shown.isfinite().all()


def test_keyframes_may_change_places():
    """Nothing knows which keyframe is which: what is shown and the ranks change places with them."""
    conditions = matched_conditions()
    exchanged, order = exchange(conditions)
    one, other = show(conditions, None), show(exchanged, None)
    assert torch.equal(one.shown[:, order], other.shown)
    torch.manual_seed(1)
    size = conditions.lines.shape[-2:]
    logits, residual = torch.randn(len(one.frames), len(order), *size), torch.zeros(len(one.frames), 3, *size)
    context, ranking = torch.randn(len(one.frames), 8, *size), make_ranking()
    ranks = ranking(logits, residual, context, one)
    again = ranking(logits[:, order], residual, context, other)
    assert ranks.abs().max() > 0.1 and torch.allclose(ranks[:, order], again, atol=1e-5)


def test_one_of_the_same_kind_does_not_matter_by_its_place():
    """Two proposals of a kind that look alike are ranked alike."""
    conditions = matched_conditions()
    candidates = show(conditions, None)
    alike = Candidates(
        *(part.clone() for part in (candidates.frames, candidates.regions, candidates.is_near, candidates.shown)),
    )
    for part in (alike.frames, alike.is_near, alike.shown):
        part[:, 2] = part[:, 0]
    alike.is_near[:, :, 2] = alike.is_near[:, :, 0]
    size = conditions.lines.shape[-2:]
    logits = torch.zeros(len(alike.frames), alike.frames.shape[1], *size)
    context = torch.randn(len(alike.frames), 8, *size)
    ranks = make_ranking()(logits, torch.zeros(len(logits), 3, *size), context, alike)
    assert torch.allclose(ranks[:, 0], ranks[:, 2], atol=1e-6) and not torch.allclose(ranks[:, 0], ranks[:, 1])


def test_a_new_ranking_changes_nothing_and_takes_the_weights_of_a_model_without():
    before = make_model(MATCHES, PLAIN)
    torch.manual_seed(3)
    after = OPDMModel.from_model_config(model_config(MATCHES, RANKED))
    copy_weights(after, before, "before")
    conditions, times = matched_conditions(), torch.tensor([5, 50])
    noisy_frame = torch.randn(2, 3, *conditions.lines.shape[-2:])
    with torch.no_grad():
        assert torch.equal(before(noisy_frame, times, conditions), after(noisy_frame, times, conditions))


def test_the_ranking_learns_from_the_answer():
    model, conditions = make_model(MATCHES, RANKED), matched_conditions()
    answer = model(torch.randn(2, 3, *conditions.lines.shape[-2:]), torch.tensor([5, 50]), conditions)
    F.mse_loss(answer, torch.zeros_like(answer)).backward()
    assert all(parameter.grad is not None for parameter in model.ranking.parameters())
    assert all(float(p.grad.abs().sum()) > 0 for p in model.unet.project.parameters())
