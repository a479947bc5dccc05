import pytest
import torch

from opdm.config import ChoiceHeadConfig, FlowAdapterConfig, NoiseHeadConfig, ScheduleConfig
from opdm.sampler import denoise_step, make_scheduler, reverse_process, sampling_grid
from tiny import SCHEDULE, make_conditions, make_model


class KnownFrame:
    """Stands in for a model that always predicts the same clean frame, as noise or as frame."""

    def __init__(self, scheduler, frame):
        self.scheduler, self.frame = scheduler, frame

    def denoise(self, noisy_frame, timestep, lines, guidance):
        if self.scheduler.config.prediction_type == "sample":
            return self.frame
        signal = self.scheduler.alphas_cumprod[timestep].view(-1, 1, 1, 1)
        return (noisy_frame - signal.sqrt() * self.frame) / (1 - signal).sqrt()


def test_the_papers_schedule_ends_in_almost_pure_noise():
    scheduler = make_scheduler(ScheduleConfig(), "epsilon")
    assert len(scheduler.alphas_cumprod) == 500
    assert scheduler.alphas_cumprod[-1] < 1e-4
    assert scheduler.alphas_cumprod[0] > 0.999


def test_unscaled_betas_are_the_first_half_of_the_thousand():
    unscaled = make_scheduler(ScheduleConfig(betas="unscaled"), "epsilon")
    assert torch.allclose(unscaled.betas, torch.linspace(1e-4, 2e-2, 500))
    assert unscaled.alphas_cumprod[-1] > 1e-3, "the frame still shows"


@pytest.mark.parametrize("steps", [1, 2, 5, 10])
def test_the_grid_begins_at_the_last_timestep(steps):
    grid = sampling_grid(make_scheduler(ScheduleConfig(), "epsilon"), steps)
    assert len(grid) == steps and grid[0] == 499 and (grid.diff() < 0).all()


@pytest.mark.parametrize("prediction_type", ["epsilon", "sample"])
@pytest.mark.parametrize("steps", [1, 2, 10])
def test_a_perfect_prediction_is_reached_in_any_number_of_steps(prediction_type, steps):
    scheduler = make_scheduler(ScheduleConfig(), prediction_type)
    frame = torch.rand(2, 3, 8, 8) * 2 - 1
    model = KnownFrame(scheduler, frame)
    painted = reverse_process(model, scheduler, torch.randn(2, 3, 8, 8), frame, None, steps=steps)
    assert torch.allclose(painted, frame, atol=1e-3)


def test_one_step_follows_the_formula_of_ddim():
    scheduler = make_scheduler(ScheduleConfig(), "epsilon")
    grid = sampling_grid(scheduler, 10)
    frame = torch.rand(1, 3, 4, 4) * 2 - 1
    noisy_frame = torch.randn(1, 3, 4, 4)
    found = denoise_step(KnownFrame(scheduler, frame), scheduler, noisy_frame, grid[3], frame, None)
    now, then = scheduler.alphas_cumprod[grid[3]], scheduler.alphas_cumprod[grid[4]]
    noise = (noisy_frame - now.sqrt() * frame) / (1 - now).sqrt()
    assert torch.allclose(found, then.sqrt() * frame + (1 - then).sqrt() * noise, atol=1e-5)


@pytest.mark.parametrize("head", [NoiseHeadConfig(), ChoiceHeadConfig(evidence="lines")], ids=lambda head: head.kind)
def test_checkpointing_changes_memory_and_not_gradients(head):
    gradients = []
    for checkpointed in (False, True):
        model = make_model(FlowAdapterConfig(blocks_per_level=1), head)
        scheduler = make_scheduler(SCHEDULE, model.head.prediction_type)
        conditions = make_conditions()
        noise = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        guidance = model.encode(conditions)
        frame = reverse_process(model, scheduler, noise, conditions.lines, guidance, steps=3, checkpointed=checkpointed)
        frame.square().mean().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        assert torch.allclose(plain, recomputed, rtol=1e-4, atol=1e-7)
