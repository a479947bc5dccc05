from dataclasses import replace

import pytest
import torch

from opdm.config import (
    AlignmentObjectiveConfig,
    ChoiceHeadConfig,
    FlowAdapterConfig,
    FlowObjectiveConfig,
    IdentityAdapterConfig,
    JointObjectiveConfig,
    NoiseHeadConfig,
    ReverseConfig,
    ScheduleConfig,
)
from opdm.objectives import OBJECTIVES, AlignmentObjective, FlowObjective, JointObjective, MatchingObjective
from opdm.sampler import reverse_process
from tiny import NOISE, SCHEDULE, make_batch, make_model

FLOW = FlowAdapterConfig(blocks_per_level=1)
GRADIENTS = ["full", "last-k", "one-step", "none"]


def joint(gradient="full", head=NOISE, adapter=FLOW, **settings):
    config = JointObjectiveConfig(perceptual_weight=0, reverse=ReverseConfig(gradient=gradient), **settings)
    return JointObjective(make_model(adapter, head), config, SCHEDULE)


@pytest.mark.parametrize("head", [NoiseHeadConfig(), ChoiceHeadConfig(evidence="lines")], ids=lambda head: head.kind)
@pytest.mark.parametrize("gradient", GRADIENTS)
def test_every_strategy_trains_every_parameter(gradient, head):
    objective = joint(gradient, head)
    losses = objective(make_batch())
    assert set(losses) == set(objective.weights)
    assert all(values.shape == (2,) and values.isfinite().all() for values in losses.values())
    sum(values.sum() for values in losses.values()).backward()
    assert [name for name, p in objective.named_parameters() if p.grad is None] == []


def test_only_the_noise_loss_remains_without_a_reverse_pass():
    assert set(joint("none").weights) == {"noise"}


def test_the_colors_of_regions_are_a_loss_where_they_count():
    objective, batch = joint("one-step", region_weight=0.5), make_batch()
    assert objective.weights["region"] == 0.5 and "region" not in joint("one-step").weights
    assert "region" not in joint("none", region_weight=0.5).weights, "no frame is generated"
    conditions = replace(batch.conditions, regions=torch.ones_like(batch.conditions.regions))
    whole = replace(batch, conditions=conditions)
    objective.generate = lambda _, estimate, *rest: 2 * batch.target - 1 + 0.2  # a tenth too bright
    assert torch.allclose(objective(whole)["region"], torch.full((2,), 0.1), atol=1e-5)


def test_ghosts_of_moved_keyframes_are_a_loss_or_of_unmoved_ones_where_no_motion_is_known():
    objective, batch = joint("one-step", adapter=IdentityAdapterConfig(), ghost_weight=0.5), make_batch()
    assert objective.weights["ghost"] == 0.5 and "ghost" not in joint("one-step").weights
    objective.generate = lambda _, estimate, *rest: 2 * batch.target - 1 + 0.2  # a tenth too bright
    paper, ink = torch.ones_like(batch.conditions.lines), torch.zeros_like(batch.conditions.keyframe_lines)
    moved = torch.ones_like(batch.conditions.moved_lines)
    for moved_lines, loss in [(moved, 0), (1 - moved, 0.1), (None, 0.1)]:
        conditions = replace(batch.conditions, lines=paper, keyframe_lines=ink, moved_lines=moved_lines)
        found = objective(replace(batch, conditions=conditions))["ghost"]
        assert torch.allclose(found, torch.full((2,), float(loss)), atol=1e-5)


def test_the_generated_frame_is_what_painting_gives():
    objective, batch = joint("full"), make_batch()
    with torch.no_grad():
        guidance = objective.model.encode(batch.conditions)
        _, start, _ = objective.draw(batch)
        arguments = objective.model, objective.scheduler, start, batch.conditions.lines, guidance
        painted = reverse_process(*arguments, steps=2)
        for gradient in ("full", "last-k"):
            generate = joint(gradient).generate
            assert torch.allclose(generate(objective, None, start, batch, guidance), painted, atol=1e-5)


@pytest.mark.parametrize("start", ["noise", "noised-target"])
@torch.no_grad()
def test_the_reverse_pass_starts_where_it_is_told(start):
    config = JointObjectiveConfig(perceptual_weight=0, reverse=ReverseConfig(start=start))
    # Unscaled, the last timestep still shows the target.
    objective = JointObjective(make_model(), config, ScheduleConfig(betas="unscaled"))
    begins = []
    objective.generate = lambda _, estimate, begin, *rest: begins.append(begin) or estimate
    batch = make_batch()
    objective(batch)
    _, noise, _ = objective.draw(batch)
    signal = torch.linspace(1e-4, 2e-2, 500).neg().log1p().sum().exp()
    noised = signal.sqrt() * (2 * batch.target - 1) + (1 - signal).sqrt() * noise
    assert torch.allclose(begins[0], noise if start == "noise" else noised, atol=1e-4)
    assert not torch.allclose(noise, noised, atol=1e-2)


def test_randomness_belongs_to_the_sample_and_not_to_the_batch():
    objective = joint("one-step")
    together = objective(make_batch(batch=2))
    batch = make_batch(batch=2)
    conditions = type(batch.conditions)(**{name: value[1:] for name, value in vars(batch.conditions).items()})
    others = {name: value[1:] for name, value in vars(batch).items() if name != "conditions"}
    alone = objective(replace(batch, conditions=conditions, **others))
    for name in together:
        assert torch.allclose(together[name][1:], alone[name], rtol=1e-4)


def test_the_last_timestep_can_be_asked_for():
    timestep = joint(last_timestep_share=1.0).draw(make_batch())[2]
    assert timestep.tolist() == [SCHEDULE.timesteps - 1] * 2


def test_the_estimated_frame_inverts_the_noising():
    objective, batch = joint("one-step"), make_batch()
    noise, _, timestep = objective.draw(batch)
    noisy_frame = objective.scheduler.add_noise(batch.target, noise, timestep)
    assert torch.allclose(objective.clean_frame(noise, noisy_frame, timestep), batch.target, atol=1e-3)


@pytest.mark.parametrize("kind", [AlignmentObjective, FlowObjective])
def test_estimator_objectives_train_the_estimator_only(kind):
    objective = kind(make_model(), None, SCHEDULE)
    losses = objective(make_batch())
    sum(values.sum() for values in losses.values()).backward()
    trained = {name for name, p in objective.named_parameters() if p.grad is not None and p.grad.any()}
    assert trained and all("estimator" in name or name.startswith("kernels") for name in trained)


def test_true_offsets_have_no_end_point_error():
    objective, batch = FlowObjective(make_model(), FlowObjectiveConfig(), SCHEDULE), make_batch()
    for level in objective.adapter.estimator.levels:
        torch.nn.init.zeros_(level.project.weight)
        level.project.bias.data[0::2], level.project.bias.data[1::2] = -2.0, 3.0  # dy, dx in pixels of the level
    flow_px = torch.zeros_like(batch.true_flow_px)
    flow_px[:, :, 0], flow_px[:, :, 1] = 3 * 1.5, -2 * 1.5  # mean over the levels 1 and 1/2
    error = objective(replace(batch, true_flow_px=flow_px))["end_point_error_px"]
    assert torch.allclose(error, torch.full((2,), 0.5 * 13**0.5), atol=1e-3)


def test_alignment_of_a_moved_keyframe_teaches_its_motion():
    torch.manual_seed(0)
    objective = AlignmentObjective(make_model(), AlignmentObjectiveConfig(), SCHEDULE)
    batch = make_batch()
    optimizer = torch.optim.Adam([p for p in objective.parameters() if p.requires_grad], lr=3e-3)
    first = objective(batch)["alignment"].mean().item()
    for _ in range(30):
        optimizer.zero_grad()
        loss = objective(batch)["alignment"].mean()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.95 * first


def test_estimator_objectives_need_an_estimator():
    with pytest.raises(ValueError, match=r"model.adapter.kind"):
        AlignmentObjective(make_model(IdentityAdapterConfig()), AlignmentObjectiveConfig(), SCHEDULE)


def test_every_objective_is_listed():
    assert set(OBJECTIVES.values()) == {JointObjective, AlignmentObjective, FlowObjective, MatchingObjective}
