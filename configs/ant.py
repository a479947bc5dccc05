"""The Animation Transformer (AnT), and the rows of its paper's Table 2, at full size and tiny.

The table's columns are the two kinds of labels that a run learns from: true ids of segments (`ant`, there synthetic)
and only their colors (`ant-colors`, there real).
"""

from dataclasses import dataclass, replace
from typing import Literal

from configs.ablations import TINY
from opdm.config import AnTConfig, CelPairDataConfig, MatchingObjectiveConfig, OptimizerConfig, Run

MODEL = AnTConfig()
CYCLE_WEIGHT = MatchingObjectiveConfig().cycle_weight


@dataclass(frozen=True)
class AnTRow:
    """One row of Table 2, which is a run for each kind of labels."""

    suffix: str
    """Of the run's name."""
    description: str
    model: AnTConfig = MODEL
    cycle_weight: float = CYCLE_WEIGHT


# After each, its accuracy in the paper with ids and with colors, in percent.
ROWS = (
    AnTRow("", "The Animation Transformer as in its paper: 11 M parameters, 64 pairs, 100 k steps."),  # 92.17, 79.38
    AnTRow("-no-transformer", "Crops and boxes alone are compared.", replace(MODEL, layers=0)),  # 78.56, 65.91
    AnTRow("-no-position", "Segments without their boxes.", replace(MODEL, position="none")),  # 81.88, 68.23
    AnTRow("-no-cycle", "No cycle-consistency loss.", cycle_weight=0),  # 91.49, 68.48
    AnTRow("-3-layers", "Three layers in place of nine.", replace(MODEL, layers=3)),  # 88.03, 76.09
)


def paper(row: AnTRow, supervision: Literal["ids", "colors"]) -> Run:
    """A row's run with the paper's training (section 4.2)."""
    labels = "" if supervision == "ids" else " Learned from colors."
    return Run(
        description=row.description + labels,
        model=row.model,
        objective=MatchingObjectiveConfig(supervision=supervision, cycle_weight=row.cycle_weight),
        data=CelPairDataConfig(),
        optimizer=OptimizerConfig(lr=5e-4, warmup_steps=1000, weight_decay=1e-4),
        steps=100_000,
        batch_size=16,
        accumulation=4,
    )


FULL_RUNS = {"ant" + row.suffix: paper(row, "ids") for row in ROWS} | {
    "ant-colors" + row.suffix: paper(row, "colors") for row in ROWS
}

SMALL_MODEL = AnTConfig(width=128, layers=4, crop_widths=(16, 32, 64, 128, 128), dropout=0)
SMALL = replace(
    FULL_RUNS["ant"],
    description="AnT of 1.4 M parameters, trained on two CPU cores in forty minutes.",
    model=SMALL_MODEL,
    data=CelPairDataConfig(shot_sizes=(192, 288), pairs_per_shot=8),
    optimizer=OptimizerConfig(lr=1e-3, warmup_steps=100, decay="cosine", ema_decay=0.998, weight_decay=1e-4),
    steps=2400,
    accumulation=1,
    workers=1,
    checkpoint_every=200,
    validate_every=400,
    validation_shots=24,
)


def tiny(run: Run) -> Run:
    """The same question at a size that trains in minutes on two cores."""
    assert isinstance(run.model, AnTConfig)
    model = replace(SMALL_MODEL, layers=run.model.layers // 3, position=run.model.position)
    return replace(
        run,
        model=model,
        data=CelPairDataConfig(shot_sizes=(160, 192), pairs_per_shot=8),
        optimizer=replace(SMALL.optimizer, warmup_steps=50, ema_decay=0.99),
        steps=400,
        batch_size=16,
        accumulation=1,
        workers=1,
        checkpoint_every=100,
        validate_every=200,
        validation_shots=24,
    )


TINY_RUNS = {
    name + TINY: replace(tiny(run), description=f"{name} at a size that trains in minutes on two cores.")
    for name, run in FULL_RUNS.items()
}
ANT_RUNS = FULL_RUNS | {"ant-small": SMALL} | TINY_RUNS
