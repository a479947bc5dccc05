"""The rows of the paper's Tables 2 to 5, and the questions that it leaves open, at full size and tiny.

`scripts/sweep.py` trains and scores them by group. The paper names v1 to v4 without defining them; the order of their
scores and its text allow one reading.
"""

from dataclasses import dataclass, replace
from typing import Literal

from configs.opdm import OPDM, OPDM_RUNS, OPDM_SMALL, SMALL, SMALL_OBJECTIVE
from configs.pretraining import OFFSETS, PRETRAINING_RUNS
from opdm.config import (
    AdapterConfig,
    CelDataConfig,
    ChoiceHeadConfig,
    DeformableAdapterConfig,
    FlowAdapterConfig,
    FrameHeadConfig,
    IdentityAdapterConfig,
    JointObjectiveConfig,
    ModelConfig,
    NoiseHeadConfig,
    OffsetAdapterConfig,
    OptimizerConfig,
    RaftAdapterConfig,
    ReferenceConfig,
    ReverseConfig,
    Run,
    ScheduleConfig,
)


@dataclass(frozen=True)
class Ablation:
    """One row of a table."""

    group: str
    """The table."""
    name: str
    """Of the run; its tiny one has the suffix `-tiny`."""
    run: Run
    published_psnr: float | None = None
    """In the paper, in dB; None where the paper has no such row."""


PAPER = OPDM_RUNS["opdm"]


def paper(
    description: str,
    *,
    model: ModelConfig = OPDM,
    objective: JointObjectiveConfig | None = None,
    schedule: ScheduleConfig | None = None,
    data: CelDataConfig | None = None,
) -> Run:
    """The paper's run with something else in its place."""
    return replace(
        PAPER,
        description=description,
        model=model,
        objective=objective or PAPER.objective,
        schedule=schedule or PAPER.schedule,
        data=data or PAPER.data,
    )


def reverse(**settings: object) -> JointObjectiveConfig:
    """The paper's objective with another reverse pass, and without the perceptual loss, as in v2 and v4."""
    return JointObjectiveConfig(perceptual_weight=0, reverse=ReverseConfig(**settings))  # type: ignore[arg-type]


def small(
    description: str,
    *,
    model: ModelConfig = OPDM_SMALL,
    gradient: Literal["full", "one-step", "none"] = "one-step",
    ghost_weight: float = 0,
) -> Run:
    """The run of the package's weights with another model, another reverse pass or another weight of ghosts."""
    objective = replace(SMALL_OBJECTIVE, reverse=ReverseConfig(gradient=gradient), ghost_weight=ghost_weight)
    return replace(SMALL, description=description, model=model, objective=objective)


SMALL_OFFSETS = replace(
    OPDM_SMALL, adapter=OffsetAdapterConfig(kernel_size=3, widths=OPDM_SMALL.unet.widths, blocks_per_level=2)
)
NO_OFFSETS = replace(OPDM, adapter=IdentityAdapterConfig())
FRAME_HEAD = replace(OPDM, head=FrameHeadConfig())
NO_REVERSE = reverse(gradient="none")
NO_PERCEPTUAL = JointObjectiveConfig(perceptual_weight=0)
ZERO_SNR = ScheduleConfig(zero_terminal_snr=True)
SIZE_160 = CelDataConfig(shot_sizes=(160, 192), crop_size=160)
DRAWN_LINES = CelDataConfig(
    extracted_lines_share=0, mixed_lines_share=0, blended_lines_share=0, augmented_lines_share=0
)


def kernel(size: Literal[1, 3, 5]) -> ModelConfig:
    """The paper's model with N x N offsets."""
    return replace(OPDM, adapter=OffsetAdapterConfig(kernel_size=size))


V2 = paper("Offsets, no reverse pass.", objective=NO_REVERSE)
V4 = paper("Joint training and offsets, no perceptual loss.", objective=NO_PERCEPTUAL)
ABLATIONS = (
    Ablation("table-2", "one-input", paper("Painted from one keyframe.", model=replace(OPDM, references=1)), 29.38),
    Ablation("table-2", "opdm", PAPER, 31.19),
    Ablation("table-3", "rdm", paper("Neither offsets nor a reverse pass.", model=NO_OFFSETS,
             objective=NO_REVERSE), 13.86),
    Ablation("table-3", "v1", paper("Joint training, no offsets.", model=NO_OFFSETS, objective=NO_PERCEPTUAL), 33.85),
    Ablation("table-3", "v2", V2, 14.80),
    Ablation("table-3", "v3", paper("Joint training with the perceptual loss, no offsets.", model=NO_OFFSETS), 34.08),
    Ablation("table-3", "v4", V4, 34.41),
    Ablation("table-3", "opdm", PAPER, 34.63),
    Ablation("flow", "flowdm", paper("Optical flow between the drawings in the place of offsets, 160 px.",
             model=replace(OPDM, adapter=FlowAdapterConfig(encodes="flow"), working_size=160), data=SIZE_160), 32.30),
    Ablation("flow", "flowdm-raft", paper("RAFT, frozen, from drawing to keyframes in the place of offsets, 160 px.",
             model=replace(OPDM, adapter=RaftAdapterConfig(), working_size=160), data=SIZE_160), 32.30),
    Ablation("flow", "opdm-160", paper("The paper's model at 160 px.", model=replace(OPDM, working_size=160),
             data=SIZE_160), 34.08),
    Ablation("kernel", "kernel-1", paper("One offset for each pixel.", model=kernel(1)), 34.32),
    Ablation("kernel", "kernel-3", paper("3 x 3 offsets for each pixel.", model=kernel(3)), 34.50),
    Ablation("kernel", "opdm", PAPER, 34.63),
    Ablation("single-pass", "dcm", OPDM_RUNS["dcm"], 33.65),
    Ablation("single-pass", "opdm", PAPER, 34.63),
    Ablation("steps", "steps-5", paper("Five sampling steps in training and painting.",
             model=replace(OPDM, sampling_steps=5)), 34.44),
    Ablation("steps", "opdm", PAPER, 34.63),
    Ablation("lines", "lines-drawn", paper("Lines as drawn, of one kind.", data=DRAWN_LINES)),
    Ablation("lines", "lines-mixed", paper("Lines drawn and extracted, not augmented.",
             data=CelDataConfig(augmented_lines_share=0))),
    Ablation("lines", "opdm", PAPER),
    Ablation("gradient", "v2", V2, 14.80),
    Ablation("gradient", "gradient-one-step", paper("The frame estimated from the noised one is scored.",
             objective=reverse(gradient="one-step"))),
    Ablation("gradient", "gradient-last-1", paper("Gradients through the last step of the reverse pass.",
             objective=reverse(gradient="last-k", last_steps=1))),
    Ablation("gradient", "gradient-last-3", paper("Gradients through the last three steps of the reverse pass.",
             objective=reverse(gradient="last-k", last_steps=3))),
    Ablation("gradient", "gradient-kept", paper("All of the reverse pass, its activations kept, not computed again.",
             objective=reverse(checkpoint=False))),
    Ablation("gradient", "v4", V4, 34.41),
    Ablation("why-joint", "v2", V2, 14.80),
    Ablation("why-joint", "frame-v2", paper("Predicts the frame; offsets, no reverse pass.", model=FRAME_HEAD,
             objective=NO_REVERSE)),
    Ablation("why-joint", "zero-snr-v2", paper("Predicts the frame from pure noise on; offsets, no reverse pass.",
             model=FRAME_HEAD, objective=NO_REVERSE, schedule=ZERO_SNR)),
    Ablation("why-joint", "frame-v4", paper("Predicts the frame, with joint training.", model=FRAME_HEAD,
             objective=NO_PERCEPTUAL)),
    Ablation("why-joint", "zero-snr-v4", paper("Predicts the frame from pure noise on, with joint training.",
             model=FRAME_HEAD, objective=NO_PERCEPTUAL, schedule=ZERO_SNR)),
    Ablation("why-joint", "v4", V4, 34.41),
    Ablation("switches", "start-noised-target", paper("The reverse pass of the training starts at the noised target.",
             objective=JointObjectiveConfig(reverse=ReverseConfig(start="noised-target")))),
    Ablation("switches", "betas-unscaled", paper("Noise schedule of T = 1000, cut at T = 500.",
             schedule=ScheduleConfig(betas="unscaled"))),
    Ablation("switches", "inject-every-block", paper("Features are added in every block of the encoder.",
             model=replace(OPDM, unet=replace(OPDM.unet, injection="every_block")))),
    Ablation("switches", "opdm", PAPER),
    Ablation("small", "opdm-small", SMALL),
    Ablation("small", "small-joint", small("opdm-small, trained through its ten steps.",
             model=replace(OPDM_SMALL, sampling_steps=10), gradient="full")),
    Ablation("small", "small-noise", small("opdm-small without a reverse pass: the noise loss alone.",
             gradient="none")),
    Ablation("small", "small-offsets", small("opdm-small with the paper's adapter in the place of the flow.",
             model=SMALL_OFFSETS)),
    Ablation("small", "small-offsets-joint", small("opdm-small with the paper's adapter, trained through ten steps.",
             model=replace(SMALL_OFFSETS, sampling_steps=10), gradient="full")),
    Ablation("small", "small-frame", small("opdm-small without a choice among proposals: it predicts the frame.",
             model=replace(OPDM_SMALL, head=FrameHeadConfig()))),
    Ablation("pooling", "opdm-small", SMALL),
    Ablation("pooling", "small-pixels", small("opdm-small without pooling over regions.",
             model=replace(OPDM_SMALL, unet=replace(OPDM_SMALL.unet, region_levels=())))),
    Ablation("ranking", "opdm-small", SMALL),
    Ablation("ranking", "small-unranked", small("opdm-small without the network that ranks the proposals.",
             model=replace(OPDM_SMALL, head=ChoiceHeadConfig(evidence="lines")))),
    Ablation("ghosts", "opdm-small", SMALL),
    Ablation("ghosts", "small-ghosts", small("opdm-small with the loss of ghosts.", ghost_weight=1)),
)  # fmt: skip
GROUPS = tuple(dict.fromkeys(ablation.group for ablation in ABLATIONS))


def tiny(run: Run) -> Run:
    """The same question at a size that trains in minutes on two cores: 0.5 M parameters, 64 px, 500 steps."""
    assert isinstance(run.model, ModelConfig) and isinstance(run.data, CelDataConfig), "those that match are in ant.py"
    widths = (16, 24, 32, 48)
    model = replace(
        run.model,
        unet=replace(
            run.model.unet,
            widths=widths,
            blocks_per_level=1,
            attention_levels=(3,),
            attention_head_width=16,
            norm_groups=8,
        ),
        reference=ReferenceConfig(blocks_per_level=1),
        adapter=tiny_adapter(run.model.adapter),
        working_size=64,
    )
    return replace(
        run,
        model=model,
        data=replace(run.data, shot_sizes=(64, 80), crop_size=64, longest_gap=4, most_drawings=3),
        optimizer=OptimizerConfig(lr=1e-3, warmup_steps=50, decay="cosine", ema_decay=0.99),
        steps=500,
        batch_size=4,
        checkpoint_every=100,
        validate_every=250,
        validation_shots=8,
        workers=1,
    )


def tiny_adapter(config: AdapterConfig) -> AdapterConfig:
    """The adapter at the widths of `tiny`."""
    if isinstance(config, OffsetAdapterConfig | DeformableAdapterConfig):
        return replace(config, widths=(8, 8, 16, 16), blocks_per_level=1)
    if isinstance(config, FlowAdapterConfig | RaftAdapterConfig):
        return replace(config, blocks_per_level=1)
    return config


TINY = "-tiny"
ESTIMATOR_RUNS = {
    "offset-pretraining": OFFSETS,
    "offset-pretraining-3": replace(OFFSETS, description="Estimator of 3 x 3 offsets for kernel-3.", model=kernel(3)),
    "offset-pretraining-1": replace(OFFSETS, description="Estimator of single offsets for kernel-1.", model=kernel(1)),
    "offset-pretraining-small": replace(
        SMALL,
        description="Estimator for small-offsets.",
        model=replace(SMALL_OFFSETS, head=NoiseHeadConfig()),  # which needs no proposals
        objective=OFFSETS.objective,
    ),
}
ESTIMATORS = {run.model.adapter: name for name, run in ESTIMATOR_RUNS.items() if isinstance(run.model, ModelConfig)}
"""The run that trains what an adapter has frozen into it."""

FULL_RUNS = {ablation.name: ablation.run for ablation in ABLATIONS} | PRETRAINING_RUNS | ESTIMATOR_RUNS
TINY_RUNS = {
    name + TINY: replace(tiny(run), description=f"{name} at a size that trains in minutes on two cores.")
    for name, run in FULL_RUNS.items()
}
ABLATION_RUNS = FULL_RUNS | TINY_RUNS
