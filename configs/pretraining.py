"""Offset estimators, trained before the model that they guide (section 3.2)."""

from dataclasses import replace

from configs.opdm import OPDM
from opdm.config import AlignmentObjectiveConfig, FlowObjectiveConfig, OptimizerConfig, Run

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
}
