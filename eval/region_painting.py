"""Which color each region of a drawing gets: `python eval/region_painting.py`.

Every method answers with one color a region, and sees the drawings and the painted frames that it starts from: the
first and the last frame of a shot (`two keyframes`), or only the frame before, as the method itself painted it, ten
frames on (`recursive`).

    nearest      the color that most of the region has in the nearest painted frame, unmoved
    flow         the vote of the painted frames, moved along classical flow between the drawings
    ant          the color of the region that the Animation Transformer finds most similar
    diffusion    the color that most of the region has in what the model painted
    both         of what the last three answer, the color with most of their votes

Regions are those of the drawing that are flat in the true frame. A color is right within 8/255 in every channel;
mIoU is over the true colors of a frame, in pixels.
"""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import tyro

from opdm.errors import InputError
from proposals import Options, find_clips

if TYPE_CHECKING:
    from torch import Tensor

    from opdm.data.clips import Clip
    from opdm.pipeline import OPDMPipeline
    from opdm.region_pipelines import Match, Matcher
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
    """A drawing to color, with everything a method may use; made once for all methods where that is the same."""

    stage: "Stage"
    nearest: int
    """Of the stage's keyframes."""
    pipeline: "OPDMPipeline"
    matcher: "Matcher"

    @property
    def regions(self) -> "Tensor":
        """(H, W) of the drawing."""
        assert self.stage.moved is not None, "the model makes use of motion"
        return self.stage.moved.regions


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
    from opdm.runtime import choose_device, choose_dtype, reuse_freed_memory

    clips = find_clips(options)
    reuse_freed_memory()  # before torch allocates anything
    from tqdm import tqdm

    from opdm.ant import load_ant
    from opdm.pipeline import OPDMPipeline
    from opdm.region_pipelines import Matcher

    device = choose_device("auto")
    pipeline = OPDMPipeline.from_pretrained(options.model).to(device=device, dtype=choose_dtype("auto", device))
    if not pipeline.uses_motion:
        raise InputError(f"{options.model}: makes no use of motion; take opdm-small")
    matcher = Matcher(load_ant(options.ant, device))
    scores: dict[str, dict[str, list[list[float]]]] = defaultdict(lambda: defaultdict(list))
    for clip in tqdm(clips, unit="shot", leave=False, disable=None):
        for task, i in between(clip, options.frames, pipeline, matcher):
            for name, method in METHODS.items():
                scores["two keyframes"][name].append(score(method(task), task.regions, clip.color(i)))
        for name, method in METHODS.items():
            for colors, regions, i in hand_on(clip, options.frames, method, pipeline, matcher):
                scores["recursive"][name].append(score(colors, regions, clip.color(i)))
    return scores


def between(clip: "Clip", frames: int, pipeline: "OPDMPipeline", matcher: "Matcher") -> Iterator[tuple[Task, int]]:
    """Every drawing between the first and the last frame, by its number."""
    import torch

    from opdm.flow import track_px
    from opdm.layers import Layers

    assert clip.lines is not None, "find_clips sees to it"
    lines = [clip.lines(i) for i in range(frames)]
    keyframes = [Layers(clip.color(k), lines[k]) for k in (0, frames - 1)]
    forward, backward = track_px(lines), track_px(lines[::-1])[::-1]
    for i in range(1, frames - 1):
        stage = pipeline.set_up(lines[i], keyframes, tracks_px=torch.stack([forward[i], backward[i]]))
        yield Task(stage, int(i > (frames - 1) / 2), pipeline, matcher), i


def hand_on(
    clip: "Clip", frames: int, method: "Method", pipeline: "OPDMPipeline", matcher: "Matcher"
) -> "Iterator[tuple[Tensor, Tensor, int]]":
    """Colors and regions of every drawing after the first frame, each colored from the one before as it came out."""
    from opdm.layers import Layers, lay_lines
    from opdm.segments import fill_regions, grow_over_lines

    assert clip.lines is not None, "find_clips sees to it"
    keyframe = Layers(clip.color(0), clip.lines(0))
    for i in range(1, frames):
        lines = clip.lines(i)
        stage = pipeline.set_up(lines, [keyframe] * pipeline.references)
        task = Task(stage, 0, pipeline, matcher)
        colors = method(task)
        yield colors, task.regions, i
        paint = fill_regions(grow_over_lines(task.regions), colors, keyframe.paint)
        keyframe = Layers(lay_lines(paint, keyframe.ink, lines), lines)


def score(colors: "Tensor", regions: "Tensor", true: "Tensor") -> list[float]:
    """The columns of one drawing: colors (S, 3) of regions (H, W) against the true frame (3, H, W)."""
    import torch

    from opdm.metrics.segments import label_scores
    from opdm.region_colors import FLAT_SHARE, SAME_COLOR, interior_weights, measure_flatness, merge_colors
    from opdm.segments import vote_colors

    truth = vote_colors(regions, true, interior_weights(regions))
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
    return task.stage.moved.region_colors


def diffusion(task: Task) -> "Tensor":
    """The vote over what the model painted."""
    from opdm.region_colors import interior_weights
    from opdm.segments import vote_colors

    return vote_colors(task.regions, paint(task), interior_weights(task.regions))


def paint(task: Task) -> "Tensor":
    """What the model painted, without lines, (3, H, W)."""
    from opdm.compositing import compose

    (finished,) = task.pipeline.paint([task.stage], seeds=[0])
    return compose(finished.frame, task.stage.lines).fill


def ant(task: Task) -> "Tensor":
    """The color of the most similar region."""
    from opdm.region_pipelines import most_alike

    return most_alike(match(task))


def both(task: Task) -> "Tensor":
    """Of the colors that `flow`, `ant` and `diffusion` answer with, the one that has most votes of them."""
    from opdm.region_colors import interior_weights
    from opdm.region_pipelines import elect_colors
    from opdm.segments import vote_colors

    painted, matches = paint(task), match(task)
    own = vote_colors(task.regions, painted, interior_weights(task.regions))
    return elect_colors(task.regions, painted, own, flow(task), matches)


def match(task: Task) -> "list[Match]":
    """With each keyframe."""
    return [task.matcher(task.stage.lines, task.regions, keyframe) for keyframe in task.stage.keyframes]


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
