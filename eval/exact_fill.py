"""What `opdm-sample --fill exact` and `--method both` give: `python eval/exact_fill.py`.

Shots are painted between their first and last frame, and filled with the colors of both. Off the lines, exact is the
share of pixels within 1/255 of the true frame in every channel, and filled the share that took a color of the palette;
wrong are regions with a mean ΔE2000 above 5.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import tyro

from confidence import ConfidenceOptions, paint_clips
from opdm.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from opdm.data.clips import Clip
    from opdm.staging import Stage


@dataclass(frozen=True)
class ExactFillOptions(ConfidenceOptions):
    """Exact paint against painted."""

    ant: str = "ant-small"
    """An Animation Transformer: a name, or the pipeline/ folder of a run."""


ROWS = ("`diffusion` | `model`", "`diffusion` | `exact`", "`both` | `model`", "`both` | `exact`")
COLUMNS = ("PSNR [dB]", "ΔE2000", "wrong regions", "exact", "filled")


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0, or 2 for a bad request, told in one line."""
    options = tyro.cli(ExactFillOptions, args=arguments, description=__doc__)
    try:
        scores = np.array(list(measure(options)))  # (drawings, 2, columns)
    except InputError as error:
        print(f"exact_fill.py: error: {error}", file=sys.stderr)
        return 2
    print("| method | fill | " + " | ".join(COLUMNS) + " |\n|---|---" + "|---:" * len(COLUMNS) + "|")
    for name, (psnr, error, *shares) in zip(ROWS, scores.mean(axis=0), strict=True):
        print(f"| {name} | {psnr:.2f} | {error:.3f} | " + " | ".join(f"{share:.1%}" for share in shares) + " |")
    return 0


def measure(options: ExactFillOptions) -> Iterator[list[list[float]]]:
    """Of each drawing the columns for every row. Raises InputError."""
    from opdm.ant import load_ant
    from opdm.exact_fill import AS_PAINTED, collect_palette, fill_exactly
    from opdm.matching import Matcher
    from opdm.region_colors import pick
    from opdm.region_pipelines import settle

    matcher = Matcher(load_ant(options.ant))
    palettes: dict[str, Tensor] = {}
    for clip, i, stage, finished in paint_clips(options):
        assert stage.moved is not None, "the model moves its keyframes"
        if clip.name not in palettes:
            palettes[clip.name] = collect_palette(stage.keyframes)
        columns = []
        matches = [matcher(stage.lines, stage.regions, keyframe) for keyframe in stage.keyframes]
        for frame in (finished.frame, settle(stage, finished.frame, matches)):
            paint = fill_exactly(frame, stage.lines, stage.regions, palettes[clip.name])
            is_filled = pick(paint.entries != AS_PAINTED, paint.areas)
            columns.append(score(frame, clip, i, stage, is_filled & False))
            columns.append(score(paint.composite.frame, clip, i, stage, is_filled))
        yield columns


def score(frame: "Tensor", clip: "Clip", i: int, stage: "Stage", is_filled: "Tensor") -> list[float]:
    """The columns for one frame (3, H, W), filled where (H, W) says."""
    from opdm.metrics import bounded_psnr
    from opdm.metrics.color import VISIBLY_WRONG, delta_e_2000, lab_colors, region_means

    assert stage.moved is not None
    regions, true = stage.regions, clip.color(i)
    is_paint = regions > 0
    error = delta_e_2000(lab_colors(frame), lab_colors(true))
    by_region = region_means(error[None], regions).means[0]
    is_exact = (frame - true).abs().amax(dim=0) <= 1.01 / 255
    return [
        bounded_psnr(frame[None], true[None]).item(),
        error[is_paint].mean().item(),
        (by_region > VISIBLY_WRONG).double().mean().item(),
        is_exact[is_paint].double().mean().item(),
        is_filled[is_paint].double().mean().item(),
    ]


if __name__ == "__main__":
    sys.exit(main())
