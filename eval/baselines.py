"""Paint a shot without a model, by the trivial and classical answers that every score should stand beside.

    python eval/baselines.py --keyframes a.png b.png --lines drawings/ --output out/

Writes out/METHOD/STEM.png, one per drawing at the drawing's size, as `opdm-sample` does:

    nearest        the keyframe that is closer in the shot, unchanged
    blend          both keyframes, mixed by distance
    flow-forward   the earlier keyframe, warped by optical flow between the line drawings
    flow-backward  the later keyframe, warped so
    flow           both, mixed by distance where both show the place, else the one that shows it
    region-fill    each region of the drawing in the color that most of the warped paint in it has, lines on top
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from opdm.errors import InputError
from opdm.shot import Drawing, Shot, plan_shot

if TYPE_CHECKING:
    from torch import Tensor

    from opdm.layers import Layers
    from opdm.painting import ShotReader

Name = Literal["nearest", "blend", "flow-forward", "flow-backward", "flow", "region-fill"]
ALL: tuple[Name, ...] = ("nearest", "blend", "flow-forward", "flow-backward", "flow", "region-fill")

ENCODING = 1
"""Which of `opdm.flow`'s encodings is followed: the distance to the lines, the better of the two alone."""
AGREEMENT, SLACK_PX2 = 0.01, 0.5
"""Sundaram et al. 2010: a place is hidden where flows there and back differ by more, squared."""


@dataclass(frozen=True, kw_only=True)
class Baselines:
    """Paint a shot by the trivial and classical answers."""

    keyframes: tuple[Path, ...]
    """Painted frames, as `opdm-sample` takes them."""
    lines: Path
    """Folder of the drawings."""
    output: Path
    """Folder that gets one folder per method."""
    methods: tuple[Name, ...] = ALL
    """Which answers to paint."""


@dataclass(frozen=True)
class Reference:
    """A keyframe as one drawing sees it, both of one size."""

    lines: "Tensor"
    """(1, H, W) in [0, 1], of the drawing."""
    keyframe: "Layers"
    weight: float
    """Nearness in the shot: the weights of all references sum to 1."""

    @property
    def frame(self) -> "Tensor":
        """(3, H, W) in [0, 1]."""
        return self.keyframe.color

    @cached_property
    def flow_px(self) -> "Tensor":
        """(2, H, W), from the drawing to the keyframe: dense inverse search on the lines."""
        return self._search(self.lines, self.keyframe.lines)

    @cached_property
    def shows(self) -> "Tensor":
        """(H, W) of 0 and 1: where flows there and back agree."""
        from opdm.warp import backward_warp

        back_px = backward_warp(self._search(self.keyframe.lines, self.lines)[None], self.flow_px[None])[0]
        lengths = self.flow_px.square().sum(dim=0) + back_px.square().sum(dim=0)
        return ((self.flow_px + back_px).square().sum(dim=0) <= AGREEMENT * lengths + SLACK_PX2).float()

    def warp(self, image: "Tensor") -> "Tensor":
        """An image (C, H, W) of the keyframe moved to the drawing."""
        from opdm.warp import backward_warp

        return backward_warp(image[None], self.flow_px[None])[0]

    @staticmethod
    def _search(source: "Tensor", target: "Tensor") -> "Tensor":
        from opdm.flow import dense_inverse_search, encode_lines, flow_tensor

        return flow_tensor([dense_inverse_search(encode_lines(source)[ENCODING], encode_lines(target)[ENCODING])])[0]


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 when every frame was written, 2 for a bad request, told in one line."""
    baselines = tyro.cli(Baselines, args=arguments, description=__doc__)
    try:
        shot = plan_shot(baselines.keyframes, baselines.lines)
        if baselines.output.resolve() == baselines.lines.resolve():
            raise InputError(f"{baselines.output}: the folder of the drawings; choose another --output")
        folders = {method: baselines.output / method for method in baselines.methods}
        show_progress(paint_shot(shot, shot.drawings, folders), len(shot.drawings))
    except (InputError, OSError) as error:
        print(f"baselines.py: error: {error}", file=sys.stderr)
        return 2
    return 0


def show_progress(painted: Iterable[Drawing], total: int) -> None:
    """Paint under a progress bar."""
    from tqdm import tqdm

    for _ in tqdm(painted, total=total, unit="drawing", desc="painting", leave=False, disable=None):
        pass


def paint_shot(shot: Shot, drawings: Iterable[Drawing], folders: Mapping[Name, Path]) -> Iterable[Drawing]:
    """Paint drawings by every method into its folder; gives each one back when it is written."""
    from opdm.frames import write_frame
    from opdm.painting import ShotReader, usual_size

    reader = ShotReader(shot, usual_size(shot.drawings))
    for drawing in drawings:
        references = read_references(drawing, reader)
        for method, folder in folders.items():
            write_frame(folder / f"{drawing.path.stem}.png", METHODS[method](references))
        yield drawing


def read_references(drawing: Drawing, reader: "ShotReader") -> list[Reference]:
    """The nearest keyframes on either side, one or two, the earlier first, with lines as `opdm-sample` gives them."""
    from opdm.frames import read_lines

    lines = read_lines(drawing.path).lines
    keyframes = [keyframe for keyframe in (drawing.earlier, drawing.later) if keyframe is not None]
    distances = [abs(keyframe.place - drawing.place) for keyframe in keyframes]
    # The nearer one weighs more: each gets the other's share of the way. A single one gets all.
    weights = [1.0] if len(keyframes) == 1 else [1 - distance / sum(distances) for distance in distances]
    size = (lines.shape[-2], lines.shape[-1])
    return [Reference(lines, reader.keyframe(k, size), weight) for k, weight in zip(keyframes, weights, strict=True)]


def paint_nearest(references: list[Reference]) -> "Tensor":
    """The closer keyframe as it is; the earlier one half-way."""
    return max(references, key=lambda reference: reference.weight).frame


def paint_blend(references: list[Reference]) -> "Tensor":
    """The keyframes mixed by distance."""
    import torch

    return torch.stack([reference.weight * reference.frame for reference in references]).sum(dim=0)


def paint_flow_forward(references: list[Reference]) -> "Tensor":
    """The earlier keyframe, or the only one, brought to the drawing by dense inverse search flow on lines."""
    return references[0].warp(references[0].frame)


def paint_flow_backward(references: list[Reference]) -> "Tensor":
    """The later keyframe, or the only one, brought to the drawing so."""
    return references[-1].warp(references[-1].frame)


def paint_flow(references: list[Reference]) -> "Tensor":
    """Both brought to the drawing, mixed by distance where both or neither show the place, else the one that does."""
    import torch

    frames = torch.stack([reference.warp(reference.frame) for reference in references])
    return (frames * visible_weights(references)[:, None]).sum(dim=0)


def visible_weights(references: list[Reference]) -> "Tensor":
    """(K, H, W): how much each reference counts at each pixel, with a sum of 1."""
    import torch

    nearness = torch.tensor([reference.weight for reference in references])[:, None, None]
    seen = nearness * torch.stack([reference.shows for reference in references])
    total = seen.sum(dim=0)
    return torch.where(total > 0, seen / total.clamp(min=1e-6), nearness)


def paint_region_fill(references: list[Reference]) -> "Tensor":
    """A vote of the warped paint in every region, its lines in the keyframes' ink on top."""
    import torch

    from opdm.layers import lay_lines
    from opdm.segments import fill_regions, find_regions, vote_colors

    lines, weights = references[0].lines, visible_weights(references)
    paints = torch.stack([reference.warp(reference.keyframe.paint) for reference in references])
    inks = torch.stack([reference.warp(reference.keyframe.ink) for reference in references])
    regions = find_regions(lines)
    # Stacked on each other, so that all references vote at once.
    colors = vote_colors(regions.repeat(len(references), 1), torch.cat(list(paints), dim=1), weights.flatten(0, 1))
    beneath, ink = ((layer * weights[:, None]).sum(dim=0) for layer in (paints, inks))
    return lay_lines(fill_regions(regions, colors, beneath), ink, lines)


METHODS: dict[Name, Callable[[list[Reference]], "Tensor"]] = {
    "nearest": paint_nearest,
    "blend": paint_blend,
    "flow-forward": paint_flow_forward,
    "flow-backward": paint_flow_backward,
    "flow": paint_flow,
    "region-fill": paint_region_fill,
}
"""Each takes the references of a drawing, one or two, and returns the painted frame (3, H, W) in [0, 1]."""


if __name__ == "__main__":
    sys.exit(main())
