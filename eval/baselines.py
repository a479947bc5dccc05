"""Paint a shot without a model, by the trivial and classical answers that every score should stand beside.

    python eval/baselines.py --keyframes a.png b.png --lines drawings/ --output out/

Writes out/METHOD/STEM.png, one per drawing at the drawing's size, as `opdm-sample` does:

    nearest  the keyframe that is closer in the shot, unchanged
    blend    both keyframes, mixed by distance
    flow     both keyframes, warped by optical flow between the line drawings, mixed by distance
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from opdm.errors import InputError
from opdm.shot import Drawing, Keyframe, plan_shot

if TYPE_CHECKING:
    from torch import Tensor

FLOW_ENCODING = 1
"""Which of `opdm.flow`'s encodings the flow baseline takes: the distance to the lines, the better of the two alone."""


@dataclass(frozen=True, kw_only=True)
class Baselines:
    """Paint a shot by the trivial and classical answers."""

    keyframes: tuple[Path, ...]
    """Painted frames, as `opdm-sample` takes them."""
    lines: Path
    """Folder of the drawings."""
    output: Path
    """Folder that gets one folder per method."""
    methods: tuple[Literal["nearest", "blend", "flow"], ...] = ("nearest", "blend", "flow")
    """Which answers to paint."""


@dataclass(frozen=True)
class Reference:
    """A keyframe as one drawing sees it, both at the drawing's size."""

    frame: "Tensor"
    """(3, H, W) in [0, 1]."""
    lines: "Tensor"
    """(1, H, W) in [0, 1], 1 = paper."""
    weight: float
    """Nearness in the shot: the weights of all references sum to 1."""


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 when every frame was written, 2 for a bad request, told in one line."""
    baselines = tyro.cli(Baselines, args=arguments, description=__doc__)
    try:
        paint_shot(baselines)
    except (InputError, OSError) as error:
        print(f"baselines.py: error: {error}", file=sys.stderr)
        return 2
    return 0


def paint_shot(baselines: Baselines) -> None:
    """Paint every drawing by every method."""
    from tqdm import tqdm

    from opdm.frames import read_lines, write_frame

    shot = plan_shot(baselines.keyframes, baselines.lines)
    if baselines.output.resolve() == baselines.lines.resolve():
        raise InputError(f"{baselines.output}: the folder of the drawings; choose another --output")
    for drawing in tqdm(shot.drawings, unit="drawing", desc="painting", leave=False, disable=None):
        lines = read_lines(drawing.path).lines
        references = read_references(drawing, (lines.shape[-2], lines.shape[-1]))
        for method in baselines.methods:
            write_frame(baselines.output / method / f"{drawing.path.stem}.png", METHODS[method](lines, references))


def read_references(drawing: Drawing, size: tuple[int, int]) -> list[Reference]:
    """The nearest keyframes on either side, one or two, at `size` (height, width)."""
    keyframes = [keyframe for keyframe in (drawing.earlier, drawing.later) if keyframe is not None]
    distances = [abs(keyframe.place - drawing.place) for keyframe in keyframes]
    # The nearer one weighs more: each gets the other's share of the way. A single one gets all.
    weights = [1.0] if len(keyframes) == 1 else [1 - distance / sum(distances) for distance in distances]
    return [read_reference(keyframe, weight, size) for keyframe, weight in zip(keyframes, weights, strict=True)]


def read_reference(keyframe: Keyframe, weight: float, size: tuple[int, int]) -> Reference:
    """A keyframe with its own drawing, or with lines extracted from it where the folder has none."""
    from opdm.frames import read_frame, read_lines, resize
    from opdm.lines import extract_lines

    frame = resize(read_frame(keyframe.path), size)
    own_lines = None if keyframe.lines is None else resize(read_lines(keyframe.lines).lines, size)
    return Reference(frame, extract_lines(frame[None])[0] if own_lines is None else own_lines, weight)


def paint_nearest(lines: "Tensor", references: list[Reference]) -> "Tensor":
    """The closer keyframe as it is; the earlier one half-way."""
    return max(references, key=lambda reference: reference.weight).frame


def paint_blend(lines: "Tensor", references: list[Reference]) -> "Tensor":
    """The keyframes mixed by distance."""
    import torch

    return torch.stack([reference.weight * reference.frame for reference in references]).sum(dim=0)


def paint_flow(lines: "Tensor", references: list[Reference]) -> "Tensor":
    """The keyframes brought to the drawing by dense inverse search flow on lines, and mixed by distance."""
    from opdm.flow import estimate_flow_px
    from opdm.warp import backward_warp

    warped = []
    for reference in references:
        flow_px = estimate_flow_px(lines, reference.lines)[FLOW_ENCODING]  # (2, H, W)
        frame = backward_warp(reference.frame[None], flow_px[None])[0]
        warped.append(Reference(frame, lines, reference.weight))
    return paint_blend(lines, warped)


METHODS: dict[str, Callable[["Tensor", list[Reference]], "Tensor"]] = {
    "nearest": paint_nearest,
    "blend": paint_blend,
    "flow": paint_flow,
}
"""Each takes the drawing (1, H, W) and its references, and returns the painted frame (3, H, W) in [0, 1]."""


if __name__ == "__main__":
    sys.exit(main())
