"""What is minimized: each objective maps a batch to named losses, one value per sample.

An objective holds the model, so that a training step is one forward call, which is what distributed training needs.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import deform_conv2d

from opdm.adapters import OffsetAdapter
from opdm.adapters.offset import mean_kernel
from opdm.ant import AnT
from opdm.ant_losses import cycle_loss, forward_match_loss
from opdm.config import (
    AlignmentObjectiveConfig,
    FlowObjectiveConfig,
    JointObjectiveConfig,
    MatchingObjectiveConfig,
    ObjectiveConfig,
    ScheduleConfig,
)
from opdm.data.cel_pairs import PairBatch
from opdm.data.training import Batch
from opdm.losses import PerceptualLoss, content_loss, end_point_error, ghost_loss, noise_loss, psnr_loss, region_loss
from opdm.model import Guidance, OPDMModel
from opdm.sampler import denoise_step, make_scheduler, reverse_process, sampling_grid
from opdm.warp import mean_offset_px


class Objective(nn.Module):
    """Base: `weights` says what each loss counts for; `forward` returns them unweighted."""

    weights: dict[str, float]

    def __init__(self, model: Any, config: Any, schedule: ScheduleConfig):
        super().__init__()
        self.model = model

    def forward(self, batch: Any) -> dict[str, Tensor]:
        """Named losses, each (B,)."""
        raise NotImplementedError


class JointObjective(Objective):
    """Section 3.3 and equation 10: the noise at one random timestep, and the frame that the model generates."""

    def __init__(self, model: OPDMModel, config: JointObjectiveConfig, schedule: ScheduleConfig):
        super().__init__(model, config, schedule)
        self.config = config
        self.scheduler = make_scheduler(schedule, model.head.prediction_type)
        self.generate = REVERSE_PASSES[config.reverse.gradient]
        self.weights = {"noise": config.noise_weight}
        if config.reverse.gradient != "none":
            self.weights["content"] = config.content_weight
            if config.region_weight:
                self.weights["region"] = config.region_weight
            if config.ghost_weight:
                self.weights["ghost"] = config.ghost_weight
            if config.psnr_weight:
                self.weights["psnr"] = config.psnr_weight
            if config.perceptual_weight:
                self.weights["perceptual"] = config.perceptual_weight
        self.perceptual = PerceptualLoss(config.vgg_weights) if "perceptual" in self.weights else None

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Losses `noise`, and `content`, `region`, `ghost`, `psnr` and `perceptual` where a frame is generated."""
        target = batch.target * 2 - 1
        guidance = self.model.encode(batch.conditions)
        noise, start, timestep = self.draw(batch)
        noisy_frame = self.scheduler.add_noise(target, noise, timestep)
        prediction = self.model.denoise(noisy_frame, timestep, batch.conditions.lines, guidance)
        truth = noise if self.model.head.prediction_type == "epsilon" else target
        losses = {"noise": noise_loss(prediction, truth)}
        if "content" in self.weights:
            estimate = self.clean_frame(prediction, noisy_frame, timestep)
            if self.config.reverse.start == "noised-target":
                last = torch.full_like(timestep, self.scheduler.config.num_train_timesteps - 1)
                start = self.scheduler.add_noise(target, start, last)
            frame = (self.generate(self, estimate, start, batch, guidance) + 1) / 2
            losses["content"] = content_loss(frame, batch.target)
            if "region" in self.weights:
                losses["region"] = region_loss(frame, batch.target, batch.conditions.regions)
            if "ghost" in self.weights:
                conditions = batch.conditions
                moved = conditions.keyframe_lines if conditions.moved_lines is None else conditions.moved_lines
                losses["ghost"] = ghost_loss(frame, batch.target, conditions.lines, moved.flatten(1, -3))
            if "psnr" in self.weights:
                losses["psnr"] = psnr_loss(frame, batch.target)
            if self.perceptual is not None:
                losses["perceptual"] = self.perceptual(frame, batch.target)
        return losses

    def draw(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Noise, the start of the reverse pass, and timesteps: functions of each sample's seed alone, so that batch
        size, number of processes and resuming change nothing."""
        shape = batch.target.shape[1:]
        drawn = [self.draw_one(int(seed), shape) for seed in batch.seeds]
        noise, start, timestep = (torch.stack(tensors).to(batch.target.device) for tensors in zip(*drawn, strict=True))
        return noise, start, timestep

    def draw_one(self, seed: int, shape: torch.Size) -> tuple[Tensor, Tensor, Tensor]:
        """The same for one sample."""
        generator = torch.Generator().manual_seed(seed)
        last = self.scheduler.config.num_train_timesteps - 1
        is_last = torch.rand((), generator=generator) < self.config.last_timestep_share
        timestep = torch.randint(0, last + 1, (), generator=generator)
        timestep = torch.where(is_last, torch.tensor(last), timestep)
        return torch.randn(shape, generator=generator), torch.randn(shape, generator=generator), timestep

    def clean_frame(self, prediction: Tensor, noisy_frame: Tensor, timestep: Tensor) -> Tensor:
        """The frame that a prediction at (B,) timesteps amounts to, in about [-1, 1]."""
        if self.model.head.prediction_type == "sample":
            return prediction
        signal = self.scheduler.alphas_cumprod.to(prediction.device)[timestep].view(-1, 1, 1, 1)
        return (noisy_frame - (1 - signal).sqrt() * prediction) / signal.sqrt()


ReversePass = Callable[..., Tensor]


def one_step(objective: JointObjective, estimate: Tensor, *_: object) -> Tensor:
    """No reverse pass: the estimate from the noised frame."""
    return estimate


def full_reverse(
    objective: JointObjective, estimate: Tensor, start: Tensor, batch: Batch, guidance: Guidance
) -> Tensor:
    """From noise to frame with gradients through every step."""
    return reverse_process(
        objective.model,
        objective.scheduler,
        start,
        batch.conditions.lines,
        guidance,
        steps=objective.model.sampling_steps,
        checkpointed=objective.config.reverse.checkpoint,
    )


def last_steps_reverse(
    objective: JointObjective, estimate: Tensor, start: Tensor, batch: Batch, guidance: Guidance
) -> Tensor:
    """From noise to frame with gradients through the last steps only."""
    grid = sampling_grid(objective.scheduler, objective.model.sampling_steps)
    frame, first = start, len(grid) - objective.config.reverse.last_steps
    for index, timestep in enumerate(grid):
        with torch.set_grad_enabled(index >= first and torch.is_grad_enabled()):
            frame = denoise_step(
                objective.model, objective.scheduler, frame, timestep, batch.conditions.lines, guidance
            )
    return frame


REVERSE_PASSES: dict[str, ReversePass] = {
    "full": full_reverse,
    "last-k": last_steps_reverse,
    "one-step": one_step,
    "none": one_step,
}


class AlignmentObjective(Objective):
    """Section 3.2: a deformable convolution with the estimated offsets turns each keyframe into the target.

    Ours: DCNv1 on the keyframe itself at every level, L1 to the target, levels weighted alike. Only the offsets are
    kept; the kernels live and die with the objective.
    """

    def __init__(self, model: OPDMModel, config: AlignmentObjectiveConfig, schedule: ScheduleConfig):
        super().__init__(model, config, schedule)
        self.adapter = offset_adapter(model)
        kernel = round((self.adapter.estimator.channels / 2) ** 0.5)
        self.kernels = nn.ParameterList(nn.Parameter(mean_kernel(kernel)) for _ in self.adapter.projections)
        self.weights = {"alignment": 1.0}

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Loss `alignment`: L1 between the aligned keyframes and the target, over all levels."""
        keyframes = batch.conditions.keyframes
        count = keyframes.shape[1]
        target = batch.target.repeat_interleave(count, dim=0)  # (B K, 3, H, W)
        source = keyframes.flatten(0, 1)
        offsets = self.adapter.estimate(batch.conditions.inside_model())
        errors = []
        for kernel, level_offsets in zip(self.kernels, offsets, strict=True):
            aligned = deform_conv2d(
                source.float(), level_offsets.flatten(0, 1).float(), kernel.float(), padding=kernel.shape[-1] // 2
            )
            errors.append((aligned - target).abs().mean(dim=(1, 2, 3)))
            source, target = F.avg_pool2d(source, 2), F.avg_pool2d(target, 2)
        return {"alignment": torch.stack(errors).mean(dim=0).unflatten(0, (-1, count)).mean(dim=1)}


class FlowObjective(Objective):
    """Supervises the mean offset of every level by the true flow, off the occlusions."""

    def __init__(self, model: OPDMModel, config: FlowObjectiveConfig, schedule: ScheduleConfig):
        super().__init__(model, config, schedule)
        self.adapter = offset_adapter(model)
        self.weights = {"end_point_error_px": 1.0}

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Loss `end_point_error_px`: mean over levels, in pixels of full resolution."""
        count = batch.conditions.keyframes.shape[1]
        truth, is_occluded = batch.true_flow_px.flatten(0, 1), batch.is_occluded.flatten(0, 1)
        errors = []
        for level, offsets in enumerate(self.adapter.estimate(batch.conditions.inside_model())):
            flow_px = mean_offset_px(offsets.flatten(0, 1)).float() * 2**level
            full = F.interpolate(flow_px, scale_factor=2**level, mode="bilinear") if level else flow_px
            errors.append(end_point_error(full, truth, is_occluded))
        return {"end_point_error_px": torch.stack(errors).mean(dim=0).unflatten(0, (-1, count)).mean(dim=1)}


def offset_adapter(model: OPDMModel) -> OffsetAdapter:
    """The model's Offset-Adapter, everything else frozen; only its estimator is trained.

    Raises ValueError where the model has another adapter.
    """
    if not isinstance(model.adapter, OffsetAdapter):
        raise ValueError("only the offset adapter has offsets to train: set model.adapter.kind to offset")
    model.requires_grad_(False)
    model.adapter.estimator.requires_grad_(True)
    return model.adapter


class MatchingObjective(Objective):
    """The Animation Transformer's losses (equation 8 of its paper): the target's labels, and the way there and back."""

    def __init__(self, model: AnT, config: MatchingObjectiveConfig, schedule: ScheduleConfig):
        super().__init__(model, config, schedule)
        self.supervision = config.supervision
        self.weights = {"forward_match": 1.0, "cycle": config.cycle_weight}

    def forward(self, batch: PairBatch) -> dict[str, Tensor]:
        """Losses `forward_match` and `cycle`; the latter is computed, and reported, at weight 0, too."""
        similarity, is_pair = self.model(batch.segments), batch.is_pair
        return {
            "forward_match": forward_match_loss(similarity, is_pair, batch.matches[self.supervision]),
            "cycle": cycle_loss(similarity, is_pair),
        }


OBJECTIVES: dict[type[ObjectiveConfig], type[Objective]] = {
    JointObjectiveConfig: JointObjective,
    AlignmentObjectiveConfig: AlignmentObjective,
    FlowObjectiveConfig: FlowObjective,
    MatchingObjectiveConfig: MatchingObjective,
}
