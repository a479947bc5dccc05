"""Models, conditions and runs small enough for a test: width 8, 32 pixels."""

from dataclasses import fields

import torch
from torch import Tensor

from opdm.adapters import ADAPTERS
from opdm.conditions import Conditions
from opdm.config import (
    AdapterConfig,
    AnTConfig,
    CelDataConfig,
    CelPairDataConfig,
    ChoiceHeadConfig,
    DeformableAdapterConfig,
    FlowAdapterConfig,
    HeadConfig,
    IdentityAdapterConfig,
    JointObjectiveConfig,
    MatchingObjectiveConfig,
    ModelConfig,
    NoiseHeadConfig,
    OffsetAdapterConfig,
    OptimizerConfig,
    RaftAdapterConfig,
    ReferenceConfig,
    Run,
    ScheduleConfig,
    UNetConfig,
)
from opdm.data.training import Batch
from opdm.layers import Layers
from opdm.matching import Matcher
from opdm.model import OPDMModel
from opdm.motion import FLOWS, estimate_motion
from opdm.proposals import count_proposals
from opdm.segments import find_regions
from opdm.staging import Stage, set_up

UNET = UNetConfig(
    widths=(8, 8),
    blocks_per_level=1,
    attention_levels=(1,),
    attention_head_width=4,
    region_levels=(0, 1),
    norm_groups=4,
)
OFFSET = OffsetAdapterConfig(kernel_size=3, widths=(8, 8), blocks_per_level=1)
ADAPTER_CONFIGS: list[AdapterConfig] = [
    IdentityAdapterConfig(),
    OFFSET,
    DeformableAdapterConfig(kernel_size=3, widths=(8, 8), blocks_per_level=1),
    FlowAdapterConfig(encodes="flow", blocks_per_level=1),
    FlowAdapterConfig(encodes="alignment", blocks_per_level=1),
    FlowAdapterConfig(encodes="matches", blocks_per_level=1),
]
NOISE = NoiseHeadConfig()
SCHEDULE = ScheduleConfig(timesteps=100)
ANT = AnTConfig(width=16, layers=2, heads=2, crop_size=8, crop_widths=(8, 8, 16), norm_groups=4)

assert {type(config) for config in ADAPTER_CONFIGS} | {RaftAdapterConfig} == set(ADAPTERS), "each that needs no file"


def model_config(adapter: AdapterConfig = OFFSET, head: HeadConfig = NOISE, references=2) -> ModelConfig:
    return ModelConfig(
        references=references,
        unet=UNET,
        reference=ReferenceConfig(blocks_per_level=1),
        adapter=adapter,
        head=head,
        sampling_steps=2,
        working_size=32,
    )


def make_model(adapter: AdapterConfig = OFFSET, head: HeadConfig = NOISE, references=2) -> OPDMModel:
    """A model whose zero-initialized convolutions are not zero, so that every part shows in the output."""
    torch.manual_seed(0)
    model = OPDMModel.from_model_config(model_config(adapter, head, references))
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1)
    return model


def make_conditions(batch=2, references=2, size=32, adapter: AdapterConfig = OFFSET) -> Conditions:
    """As a model with this adapter is given them."""
    fills = model_config(adapter, references=references).fills
    generator = torch.Generator().manual_seed(1)
    return Conditions(
        lines=torch.rand(batch, 1, size, size, generator=generator),
        keyframes=torch.rand(batch, references, 3, size, size, generator=generator),
        keyframe_lines=torch.rand(batch, references, 1, size, size, generator=generator),
        regions=torch.arange(size * size, dtype=torch.int32).view(1, 1, size, size).expand(batch, -1, -1, -1) // 64,
        flow_px=torch.randn(batch, references, FLOWS, 2, size, size, generator=generator),
        flow_error_px=torch.rand(batch, references, FLOWS, 1, size, size, generator=generator),
        moved_lines=torch.rand(batch, references, FLOWS, 1, size, size, generator=generator),
        proposals=torch.rand(batch, count_proposals(references, fills), 3, size, size, generator=generator),
        fill_sureness=torch.rand(batch, fills, 1, size, size, generator=generator),
        settled=torch.rand(batch, references, 1, size, size, generator=generator),
    )


def set_up_moved(lines: Tensor, keyframes: list[Layers], matcher: Matcher | None = None) -> Stage:
    """A drawing at its own size with its motion, as for a model that takes sides of multiples of 8."""
    regions, side = find_regions(lines), min(lines.shape[1:])
    motion = estimate_motion(lines, regions, keyframes)
    return set_up(lines, regions, keyframes, shorter_side=side, multiple=8, motion=motion, matcher=matcher)


def equal(a: Batch, b: Batch) -> bool:
    """Whether two samples are the same to the last bit."""
    return all(
        torch.equal(getattr(a.conditions, f.name), getattr(b.conditions, f.name)) for f in fields(Conditions)
    ) and all(torch.equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(Batch)[1:])


def make_batch(batch=2, references=2, size=32) -> Batch:
    generator = torch.Generator().manual_seed(2)
    return Batch(
        conditions=make_conditions(batch, references, size),
        target=torch.rand(batch, 3, size, size, generator=generator),
        true_flow_px=torch.randn(batch, references, 2, size, size, generator=generator),
        is_occluded=torch.zeros(batch, references, 1, size, size, dtype=torch.bool),
        seeds=torch.arange(batch),
    )


def make_run(**changes) -> Run:
    settings = {
        "description": "A test.",
        "model": model_config(FlowAdapterConfig(blocks_per_level=1), ChoiceHeadConfig(evidence="lines")),
        "schedule": SCHEDULE,
        "objective": JointObjectiveConfig(perceptual_weight=0),
        "data": CelDataConfig(shot_sizes=(32, 32), crop_size=32, longest_gap=3),
        "optimizer": OptimizerConfig(lr=1e-3),
        "steps": 4,
        "batch_size": 2,
        "checkpoint_every": 2,
        "validate_every": 4,
        "log_every": 1,
        "validation_shots": 2,
        "workers": 0,
    }
    return Run(**(settings | changes))


def make_matching_run(**changes) -> Run:
    settings = {
        "model": ANT,
        "objective": MatchingObjectiveConfig(),
        "data": CelPairDataConfig(shot_sizes=(64, 64), longest_gap=2),
    }
    return make_run(**(settings | changes))
