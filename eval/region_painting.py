"""Which color each region of a drawing gets: `python eval/region_painting.py`.

Every method answers with one color a region, and sees the drawings and the painted frames that it starts from: the
first and the last frame of a shot (`two keyframes`), or only the frame before, as the method itself painted it, ten
frames on (`recursive`).

    nearest      the color that most of the region has in the nearest painted frame, unmoved
    flow         the vote of the painted frames, moved along classical flow between the drawings
    ant          the color of the region that the Animation Transformer finds most similar
    diffusion    the color that most of the region has in what the model painted
    both         of what the last three answer, the color with most of their votes; the model's answer is first brought
                 to the nearest color of the keyframes

The methods paint the regions that they find in the drawing. Judged are the true regions, where the data have them,
that are flat in the true frame: by the color that most of each is painted in. A color is right within 8/255 in every
channel; mIoU is over the true colors of a frame, in pixels.
"""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import tyro

from confidence import load_pipeline, set_up_clip
from opdm.errors import InputError
from proposals import Options, find_clips

if TYPE_CHECKING:
    from torch import Tensor

    from opdm.data.clips import Clip
    from opdm.matching import Match, Matcher
    from opdm.pipeline import OPDMPipeline
    from opdm.staging import Stage

COLUMNS = ("regions", "pixels", "mIoU")


@dataclass(frozen=True)
class RegionPaintingOptions(Options):
    """Colors of regions."""

    shots: int = 24
    """How many, at most."""
    model: str = "opdm-small"
    """A model that makes use of motion: a name, a folder, or the id of a hub's repository."""
    ant: str = "ant-small"
    """An Animation Transformer: a name, or the pipeline/ folder of a run."""


@dataclass(frozen=True)
class Task:
    """A drawing to color, with everything a method may use, made when first asked for."""

    stage: "Stage"
    nearest: int
    """Of the stage's keyframes."""
    pipeline: "OPDMPipeline"
    matcher: "Matcher"

    @property
    def regions(self) -> "Tensor":
        """(H, W) of the drawing."""
        assert self.stage.moved is not None, "the model makes use of motion"
        return self.stage.regions

    @cached_property
    def painted(self) -> "Tensor":
        """What the model painted, without lines, (3, H, W)."""
        from opdm.compositing import compose

        (finished,) = self.pipeline.paint([self.stage], seeds=[0])
        return compose(finished.frame, self.stage.lines).fill

    def fill(self, colors: "Tensor") -> "Tensor":
        """The color layer (3, H, W) with its regions in colors (S, 3)."""
        from opdm.segments import fill_regions, grow_over_lines

        return fill_regions(grow_over_lines(self.regions), colors, self.stage.keyframes[self.nearest].paint)

    @cached_property
    def matches(self) -> "list[Match]":
        """With each keyframe."""
        return [self.matcher(self.stage.lines, self.regions, keyframe) for keyframe in self.stage.keyframes]


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0, or 2 for a bad request, told in one line."""
    options = tyro.cli(RegionPaintingOptions, args=arguments, description=__doc__)
    try:
        scores = measure(options)
    except InputError as error:
        print(f"region_painting.py: error: {error}", file=sys.stderr)
        return 2
    for setting, rows in scores.items():
        print(f"\n{setting}\n\n| method | " + " | ".join(f"{name}, %" for name in COLUMNS) + " |\n|---|---:|---:|---:|")
        for name, values in rows.items():
            shares = 100 * np.nanmean(np.array(values), axis=0)
            print(f"| `{name}` | " + " | ".join(f"{share:.2f}" for share in shares) + " |")
    return 0


def measure(options: RegionPaintingOptions) -> dict[str, dict[str, list[list[float]]]]:
    """By setting and method the columns of every drawing. Raises InputError."""
    clips = find_clips(options)
    pipeline = load_pipeline(options.model)
    from tqdm import tqdm

    from opdm.ant import load_ant
    from opdm.matching import Matcher

    if not pipeline.uses_motion:
        raise InputError(f"{options.model}: makes no use of motion; take opdm-small")
    matcher = Matcher(load_ant(options.ant, str(pipeline.device)))
    scores: dict[str, dict[str, list[list[float]]]] = defaultdict(lambda: defaultdict(list))
    for clip in tqdm(clips, unit="shot", leave=False, disable=None):
        for i, stage in set_up_clip(clip, pipeline, options.frames, range(1, options.frames - 1)):
            task = Task(stage, int(i > (options.frames - 1) / 2), pipeline, matcher)
            for name, method in METHODS.items():
                scores["two keyframes"][name].append(judge(task.fill(method(task)), clip, i, task.regions))
        for name, method in METHODS.items():
            for fill, regions, i in hand_on(clip, options.frames, method, pipeline, matcher):
                scores["recursive"][name].append(judge(fill, clip, i, regions))
    return scores


def hand_on(
    clip: "Clip", frames: int, method: "Method", pipeline: "OPDMPipeline", matcher: "Matcher"
) -> "Iterator[tuple[Tensor, Tensor, int]]":
    """Color layer and regions of every drawing but the first, each painted from the one before as it came out."""
    from opdm.layers import Layers, lay_lines

    assert clip.lines is not None, "find_clips sees to it"
    keyframe = Layers(clip.color(0), clip.lines(0))
    for i in range(1, frames):
        lines = clip.lines(i)
        task = Task(pipeline.set_up(lines, [keyframe] * pipeline.references), 0, pipeline, matcher)
        fill = task.fill(method(task))
        yield fill, task.regions, i
        keyframe = Layers(lay_lines(fill, keyframe.ink, lines), lines)


def judge(fill: "Tensor", clip: "Clip", i: int, found: "Tensor") -> list[float]:
    """The columns of the color layer (3, H, W) of a drawing, in whose lines the regions (H, W) were found."""
    from opdm.data.region_labels import split_regions

    if clip.regions is None:
        return score(fill, found, clip.color(i))
    assert clip.lines is not None, "find_clips sees to it"
    true = split_regions(clip.regions(i), clip.lines(i)).labels
    return score(fill, (true.clamp(min=-1) + 1).int(), clip.color(i))


def score(fill: "Tensor", regions: "Tensor", true: "Tensor") -> list[float]:
    """The columns of one drawing: its color layer against the true frame, both (3, H, W), in regions (H, W)."""
    import torch

    from opdm.metrics.segments import label_scores
    from opdm.region_colors import FLAT_SHARE, SAME_COLOR, interior_weights, measure_flatness, merge_colors
    from opdm.segments import vote_colors

    weights = interior_weights(regions)
    colors, truth = vote_colors(regions, fill, weights), vote_colors(regions, true, weights)
    is_flat = measure_flatness(regions, true, truth) >= FLAT_SHARE
    areas = torch.bincount(regions.flatten(), minlength=len(truth) + 1)[1:]
    if not is_flat.any():
        return [float("nan")] * len(COLUMNS)
    is_right = (colors - truth).abs().amax(dim=1)[is_flat] <= SAME_COLOR
    areas, classes = areas[is_flat].double(), merge_colors(truth[is_flat], areas[is_flat].float())
    labels, true_labels = (
        torch.where(distance.amin(dim=1) <= SAME_COLOR, distance.argmin(dim=1), -1).repeat_interleave(areas.long())
        for distance in ((c[is_flat, None] - classes).abs().amax(dim=2).nan_to_num(torch.inf) for c in (colors, truth))
    )
    return [
        is_right.double().mean().item(),
        (areas * is_right).sum().item() / areas.sum().item(),
        label_scores(labels, true_labels)["miou"],
    ]


def nearest(task: Task) -> "Tensor":
    """The nearest painted frame, unmoved."""
    from opdm.segments import vote_colors

    return vote_colors(task.regions, task.stage.keyframes[task.nearest].paint)


def flow(task: Task) -> "Tensor":
    """The vote along classical flow."""
    assert task.stage.moved is not None
    return task.stage.moved.voted.colors


def diffusion(task: Task) -> "Tensor":
    """The vote over what the model painted."""
    from opdm.region_colors import interior_weights
    from opdm.segments import vote_colors

    return vote_colors(task.regions, task.painted, interior_weights(task.regions))


def ant(task: Task) -> "Tensor":
    """The color of the most similar region."""
    from opdm.region_pipelines import most_alike

    return most_alike(task.matches)


def both(task: Task) -> "Tensor":
    """Of the colors that `flow`, `ant` and `diffusion` answer with, the one that has most votes of them."""
    from opdm.region_pipelines import elect_colors

    return elect_colors(task.regions, task.painted, diffusion(task), task.stage.moved, task.matches)


Method = Callable[[Task], Any]
METHODS: dict[str, Method] = {
    "nearest": nearest,
    "flow": flow,
    "ant": ant,
    "diffusion": diffusion,
    "both": both,
}

if __name__ == "__main__":
    sys.exit(main())
