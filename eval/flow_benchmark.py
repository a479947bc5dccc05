"""The optical-flow benchmark: end-point errors of models on pairs of frames whose true flow is known.

`correspondence.py flow` reads the clips, calls `score_flow` and writes what it returns.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import cv2
import torch
from torch import Tensor
from tqdm import tqdm

from flow_models import FlowModel, View
from opdm.data.region_labels import INK_BELOW
from opdm.errors import InputError
from opdm.metrics.flow import COLUMNS as SCORED
from opdm.metrics.flow import EndPointErrors, occluded

if TYPE_CHECKING:
    from opdm.data.clips import Clip

COLUMNS = {
    "epe": "EPE, px ↓",
    "nonocc": "non-occ.",
    "occ": "occ.",
    "line": "line",
    "flat": "flat",
    "s<10": "s<10",
    "s10-50": "s10-50",
    "s>50": "s>50",
    "bg": "bg",
    "fg": "fg",
}
"""Headings: those of AnimeRun's table 2, then those that LinkTo-Anime adds."""

PROTOCOL = {
    "score": "Euclidean distance of estimated and true flow, in pixels at the size of the frames; every column is the "
    "mean over all of its pixels of all pairs, not over pairs",
    "occ": "as the data set has it; where it has none, where forward and backward true flow disagree by over 0.5 px",
    "line": "within 10 px (Euclidean) of the drawing's ink, as the data set has it or else from its drawings",
    "s<10, s10-50, s>50": "by the length of the true flow: up to 10 px, to 50 px, and above",
    "bg, fg": "by the data set's mask of characters, or else by its regions",
}

LINE_PX = 10
"""AnimeRun, section 4.1."""


@dataclass(frozen=True)
class Truth:
    """What is known about a pair; masks are (H, W) bool, None where the data set does not say."""

    flow_px: Tensor
    """(2, H, W)."""
    is_occluded: Tensor | None
    is_line: Tensor | None
    is_foreground: Tensor | None


def score_flow(models: dict[str, FlowModel], sequences: "list[tuple[Clip, range]]") -> tuple[dict, dict]:
    """Run every model on all neighbors in `sequences`, one pair in memory at a time.

    Returns the scores of each model, pooled over everything and by clip, and facts about the data.
    """
    pooled = {label: EndPointErrors() for label in models}
    clips: dict[str, dict] = {label: {} for label in models}
    sizes = set()
    pairs = sum(len(frames) - 1 for _, frames in sequences)
    with tqdm(total=pairs, unit="pair", desc="flow", leave=False, disable=None) as progress:
        for clip, frames in sequences:
            of_clip = {label: EndPointErrors() for label in models}
            target = view_frame(clip, frames[0], models.values())
            for i, j in pairwise(frames):
                source, target = target, view_frame(clip, j, models.values())
                score_pair(models, source, target, read_truth(clip, i, j), of_clip, f"{clip.name}, {clip.stems[i]}")
                sizes.add(f"{source.color.shape[-1]} x {source.color.shape[-2]}")
                progress.update()
            for label, errors in of_clip.items():
                clips[label][clip.name] = means(errors)
                pooled[label].merge(errors)
    rows = {label: {"mean": means(pooled[label]), "clips": clips[label]} for label in models}
    facts = {"clips": len(sequences), "pairs": pairs, "sizes": sorted(sizes)}
    return rows, facts | {"pixels": count_pixels(next(iter(pooled.values())))}


def means(errors: EndPointErrors) -> dict[str, float | None]:
    """The mean error of every column in pixels; None where it has no pixels."""
    computed = errors.compute()
    return {column: None if math.isnan(computed[column]) else computed[column] for column in COLUMNS}


def count_pixels(errors: EndPointErrors) -> dict[str, int]:
    """How many pixels every column is the mean of."""
    return dict(zip(SCORED, errors.pixels.tolist(), strict=True))


def score_pair(
    models: dict[str, FlowModel],
    source: View,
    target: View,
    truth: Truth,
    errors: dict[str, EndPointErrors],
    place: str,
) -> None:
    """Add the errors of every model on one pair. Raises InputError where a model fails on frames of this size."""
    for label, model in models.items():
        flow_px = model.estimate(source, target)
        if flow_px.shape != truth.flow_px.shape or not bool(flow_px.isfinite().all()):
            raise InputError(f"{place}: {label} finds no flow for frames of this size; leave it out of --models")
        errors[label].update(flow_px, truth.flow_px, truth.is_occluded, truth.is_line, truth.is_foreground)


def view_frame(clip: "Clip", index: int, models: Iterable) -> View:
    """A frame as models see it. Raises InputError where one of them needs drawings that are not there."""
    if clip.lines is None and any(model.needs_lines for model in models):
        raise InputError(f"{clip.name}: has no drawings; take only models that see color")
    return View(clip.color(index), None if clip.lines is None else clip.lines(index))


def read_truth(clip: "Clip", i: int, j: int) -> Truth:
    """What the data set says about frames i and j. Raises InputError where it has no flow between them."""
    if clip.flow_px is None:
        raise InputError(f"{clip.name}: has no true flow; animerun, linkto-anime and generated shots have")
    try:
        flow_px = clip.flow_px(i, j)
    except KeyError as error:
        raise InputError(
            f"{clip.name}: has no true flow from frame {clip.stems[i]} to {clip.stems[j]}; take --gap 1"
        ) from error
    return Truth(
        flow_px,
        read_occlusion(clip, i, j, flow_px),
        read_line_area(clip, i),
        read_foreground(clip, i),
    )


def read_occlusion(clip: "Clip", i: int, j: int, flow_px: Tensor) -> Tensor | None:
    """The data set's mask, or else the disagreement of the true flow both ways, where it has both."""
    try:
        if clip.is_occluded is not None:
            return clip.is_occluded(i, j)
        return None if clip.flow_px is None else occluded(flow_px, clip.flow_px(j, i))
    except KeyError:
        return None


def read_foreground(clip: "Clip", i: int) -> Tensor | None:
    """The data set's mask, or what is of any region, where ids persist: 0 is the background off the ink."""
    if clip.is_foreground is not None:
        return clip.is_foreground(i)
    return clip.regions(i) != 0 if clip.regions is not None and clip.regions_persist else None


def read_line_area(clip: "Clip", i: int) -> Tensor | None:
    """(H, W) bool: pixels within `LINE_PX` of ink."""
    if clip.is_flat is not None:
        return ~clip.is_flat(i)
    if clip.lines is None:
        return None
    is_paint = (clip.lines(i)[0] >= INK_BELOW).byte().numpy()
    if is_paint.all():
        return torch.zeros(is_paint.shape, dtype=torch.bool)
    return torch.from_numpy(cv2.distanceTransform(is_paint, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= LINE_PX)
