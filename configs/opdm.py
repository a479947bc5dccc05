"""The model sizes and their training."""

from dataclasses import replace

from opdm.config import (
    CelDataConfig,
    ChoiceHeadConfig,
    DeformableAdapterConfig,
    FlowAdapterConfig,
    FrameHeadConfig,
    JointObjectiveConfig,
    ModelConfig,
    OffsetAdapterConfig,
    OptimizerConfig,
    ReferenceConfig,
    ReverseConfig,
    Run,
    ScheduleConfig,
    UNetConfig,
)

OPDM = ModelConfig()

OPDM_BASE = ModelConfig(
    unet=UNetConfig(widths=(64, 128, 256, 512), blocks_per_level=2, attention_levels=(3,)),
    reference=ReferenceConfig(blocks_per_level=2),
    adapter=OffsetAdapterConfig(widths=(32, 64, 128, 256)),
)

OPDM_SMALL = ModelConfig(
    unet=UNetConfig(
        widths=(32, 64, 96, 128),
        blocks_per_level=1,
        attention_levels=(3,),
        attention_head_width=32,
        region_levels=(0, 1),
        norm_groups=8,
    ),
    reference=ReferenceConfig(blocks_per_level=1),
    adapter=FlowAdapterConfig(encodes="matches", blocks_per_level=1),
    head=ChoiceHeadConfig(evidence="lines", ranking_width=24),
    sampling_steps=1,  # more make it no better: docs/experiments.md
    working_size=256,
)

DCM = replace(OPDM, adapter=DeformableAdapterConfig(), head=FrameHeadConfig(), sampling_steps=1)

DCM_SMALL = replace(
    OPDM_SMALL,
    unet=replace(OPDM_SMALL.unet, region_levels=()),
    adapter=DeformableAdapterConfig(kernel_size=3, widths=(32, 64, 96, 128), blocks_per_level=2),
    head=FrameHeadConfig(),
    sampling_steps=1,
)

SMALL_DATA = CelDataConfig(shot_sizes=(192, 256), crop_size=160)
SMALL_OBJECTIVE = JointObjectiveConfig(
    noise_weight=0.25,
    region_weight=1,
    perceptual_weight=0,
    last_timestep_share=0.5,
    reverse=ReverseConfig(gradient="one-step"),
)
SMALL_OPTIMIZER = OptimizerConfig(lr=4e-4, warmup_steps=200, decay="cosine", ema_decay=0.999)

OPDM_TINY = ModelConfig(
    unet=UNetConfig(
        widths=(8, 8, 8, 8), blocks_per_level=1, attention_levels=(3,), attention_head_width=4, norm_groups=4
    ),
    reference=ReferenceConfig(blocks_per_level=1),
    adapter=OffsetAdapterConfig(kernel_size=3, widths=(8, 8, 8, 8), blocks_per_level=1),
    sampling_steps=2,
    working_size=64,
)

SMALL = Run(
    description="The weights inside the package: 5 M parameters, trained on a CPU.",
    model=OPDM_SMALL,
    objective=SMALL_OBJECTIVE,
    data=SMALL_DATA,
    optimizer=SMALL_OPTIMIZER,
    steps=1800,
    batch_size=8,
    precision="bf16",
    workers=2,  # one needs 1.4 training steps for a batch: `scripts/benchmark.py data`
    checkpoint_every=100,
    validate_every=500,
    validation_shots=24,
)

OPDM_RUNS = {
    "opdm": Run(
        description="The paper's model and training: 206 M parameters, 224 px, batch 1, 150 k steps.", model=OPDM
    ),
    "opdm-base": Run(description="The paper's training of a model a quarter of the size.", model=OPDM_BASE),
    "opdm-small": SMALL,
    "dcm": Run(
        description="The single-pass rival of Table 4: keyframes aligned by deformable convolution, then a U-Net.",
        model=DCM,
        schedule=ScheduleConfig(zero_terminal_snr=True),
        objective=JointObjectiveConfig(
            noise_weight=0, last_timestep_share=1.0, reverse=ReverseConfig(gradient="one-step")
        ),
    ),
    "dcm-small": replace(
        SMALL,
        description="The same at the size and with the training of opdm-small.",
        model=DCM_SMALL,
        schedule=ScheduleConfig(zero_terminal_snr=True),
        objective=JointObjectiveConfig(
            noise_weight=0,
            perceptual_weight=0,
            last_timestep_share=1.0,
            reverse=ReverseConfig(gradient="one-step"),
        ),
    ),
    "smoke": Run(
        description="Four steps of a tiny model, to see that everything works.",
        model=OPDM_TINY,
        objective=JointObjectiveConfig(perceptual_weight=0),
        data=CelDataConfig(shot_sizes=(64, 64), crop_size=64, longest_gap=3),
        steps=4,
        batch_size=2,
        checkpoint_every=2,
        validate_every=4,
        log_every=1,
        validation_shots=2,
        workers=0,
    ),
}
