"""Offset estimators, trained before the model that they guide (section 3.2)."""

from dataclasses import replace

from configs.opdm import OPDM, OPDM_TINY
from opdm.config import AlignmentObjectiveConfig, CelDataConfig, FlowObjectiveConfig, OptimizerConfig, Run

OFFSETS = Run(
    description="Offset estimator by deformable alignment, as in the paper.",
    model=OPDM,
    objective=AlignmentObjectiveConfig(),
    optimizer=OptimizerConfig(lr=1e-4),
    steps=39_000,
    batch_size=10,
)

PRETRAINING_RUNS = {
    "offset-pretraining": OFFSETS,
    "offset-supervised": replace(
        OFFSETS,
        description="Offset estimator supervised by the true flow of generated shots.",
        objective=FlowObjectiveConfig(),
    ),
    "offset-pretraining-tiny": replace(
        OFFSETS,
        description="Offset estimator by deformable alignment, at a size that trains in minutes.",
        model=OPDM_TINY,
        data=CelDataConfig(shot_sizes=(96, 96), crop_size=96, longest_gap=3),
        steps=300,
        batch_size=4,
    ),
}
