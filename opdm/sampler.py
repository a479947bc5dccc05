"""The noise schedule and the reverse process; one step function serves training and painting."""

from diffusers import DDIMScheduler
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from opdm.config import ScheduleConfig
from opdm.heads import PredictionType
from opdm.model import Guidance, OPDMModel

BETA_RANGE_AT_1000 = (1e-4, 2e-2)


def make_scheduler(config: ScheduleConfig, prediction_type: PredictionType) -> DDIMScheduler:
    """DDIM (Song et al. 2021) over a linear schedule.

    Ours: the paper gives T = 500 and 10 steps only. The sampling grid contains the last timestep.
    """
    scale = 1000 / config.timesteps if config.betas == "scaled" else 1
    first, last = (beta * scale for beta in BETA_RANGE_AT_1000)
    return DDIMScheduler(
        num_train_timesteps=config.timesteps,
        beta_start=first,
        beta_end=last,
        beta_schedule="linear",
        timestep_spacing="trailing",
        prediction_type=prediction_type,
        clip_sample=False,
        rescale_betas_zero_snr=config.zero_terminal_snr,
    )


def denoise_step(
    model: OPDMModel, scheduler: DDIMScheduler, noisy_frame: Tensor, timestep: Tensor, lines: Tensor, guidance: Guidance
) -> Tensor:
    """From one timestep of the sampling grid to the next, deterministic (eta 0), in float32.

    noisy_frame (B, 3, H, W); timestep a scalar of `scheduler.timesteps`; lines (B, 1, H, W) in [0, 1].
    """
    times = timestep.to(noisy_frame.device).expand(noisy_frame.shape[0])
    prediction = model.denoise(noisy_frame, times, lines, guidance)
    return scheduler.step(prediction, timestep, noisy_frame).prev_sample


def reverse_process(
    model: OPDMModel,
    scheduler: DDIMScheduler,
    noise: Tensor,
    lines: Tensor,
    guidance: Guidance,
    *,
    steps: int,
    checkpointed: bool = False,
) -> Tensor:
    """From noise (B, 3, H, W) to frames in about [-1, 1], with gradients where they are enabled.

    `checkpointed` recomputes each step's activations in the backward pass.
    """
    frame = noise
    for timestep in sampling_grid(scheduler, steps):
        arguments = (model, scheduler, frame, timestep, lines, guidance)
        frame = checkpoint(denoise_step, *arguments, use_reentrant=False) if checkpointed else denoise_step(*arguments)
    return frame


def sampling_grid(scheduler: DDIMScheduler, steps: int) -> Tensor:
    """The timesteps of a reverse process of so many steps, last first; the scheduler is set to them."""
    scheduler.set_timesteps(steps)
    return scheduler.timesteps
