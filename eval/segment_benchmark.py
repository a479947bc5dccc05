"""The segment-matching benchmark: which segment of the next frame is it, and how long do labels survive.

`correspondence.py segments` reads the clips, calls `score_segments` and writes what it returns.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from tqdm import tqdm

from flow_benchmark import read_truth, view_frame
from opdm.data.region_labels import UNMATCHED, is_interior, match_regions, split_regions
from opdm.errors import InputError
from opdm.metrics.segments import label_scores, matching_scores
from segment_matching import SegmentedView, SegmentMethod

if TYPE_CHECKING:
    from opdm.data.clips import Clip

COLUMNS = {
    "accuracy": "accuracy, % ↑",
    "nonocc": "non-occ.",
    "occ": "occ.",
    "many": "#>300",
    "hidden": "hidden",
    "label_accuracy": "labels, % ↑",
    "label_miou": "mIoU, % ↑",
}
"""Headings: AnimeRun's table, what it leaves together, then the Animation Transformer's two scores."""

PROTOCOL = {
    "truth": "the data set's labels, or else AnimeRun's rule: a segment is eroded by 3 x 3, its pixels that the next "
    "frame hides are left out, and the others vote along the true flow; unmatched (-1) where none is left",
    "accuracy": "segments of a frame whose match in the next frame is the true one of first priority, or -1 for -1; "
    "the mean over pairs of frames, as in the next four columns",
    "nonocc, occ": "the same over segments whose truth is a segment, and over those whose truth is -1",
    "many": "accuracy over pairs whose second frame has segments numbered above 300",
    "hidden": "occ. without the segments too thin to survive erosion, which are -1 whatever happens to them",
    "label_accuracy": "segments with the right label after those of a first frame were handed on for ten frames, each "
    "from its best match in the frame before; the mean over sequences",
    "label_miou": "of the same labels, intersection over union counted in segments, mean over the true labels",
}

SEQUENCE = 10
"""Frames that labels are handed on over: Casey et al. 2021, section 4.3."""
MANY = 300
"""AnimeRun counts pairs with more segments separately."""


CEILING = "ceiling"
"""What nobody can surpass: every label that the first frame of a sequence shows is handed on rightly."""


@dataclass(frozen=True)
class SegmentedFrame:
    """A frame as methods see it, and the labels that are to be handed on."""

    view: SegmentedView
    regions: Tensor | None
    """(S,) int64: labels that persist over the clip; None where the data set has none."""


@dataclass(frozen=True)
class PairTruth:
    """The true matches of a pair."""

    match: Tensor
    """(S,) int64: the target segment of first priority, or -1."""
    is_thin: Tensor
    """(S,) bool: erosion leaves nothing of it."""
    has_many: bool
    """The second frame's segments are numbered above `MANY`."""


class Relay:
    """Labels of a first frame, handed on from frame to frame by every method."""

    def __init__(self, methods: dict[str, SegmentMethod], regions: Tensor):
        """Start at a frame whose segments have the labels `regions` (S,)."""
        self.methods, self.first = methods, regions
        self.truths: list[Tensor] = []
        self.labels: dict[str, list[Tensor]] = {label: [regions] for label in [*methods, CEILING]}

    def hand_on(self, earlier: SegmentedFrame, later: SegmentedFrame) -> None:
        """Every segment of the later frame takes the label of its best match in the earlier one."""
        assert later.regions is not None, "labels of a clip persist in all of its frames"
        for label, method in self.methods.items():
            best = method.match(later.view, earlier.view).best
            # No match finds the label that is put last: none.
            self.labels[label].append(torch.cat([self.labels[label][-1], torch.tensor([UNMATCHED])])[best])
        is_known = torch.isin(later.regions, self.first)
        self.labels[CEILING].append(torch.where(is_known, later.regions, UNMATCHED))
        self.truths.append(later.regions)

    def scores(self) -> dict[str, dict[str, float]]:
        """Of every method, over all frames since the first."""
        truth = torch.cat(self.truths)
        if not len(truth):
            return {}
        scores = {label: label_scores(torch.cat(frames[1:]), truth) for label, frames in self.labels.items()}
        return {
            label: {"label_accuracy": score["accuracy"], "label_miou": score["miou"]} for label, score in scores.items()
        }


Tally = dict[str, list[float]]
"""Column -> a value per pair or per sequence."""


def score_segments(methods: dict[str, SegmentMethod], sequences: "list[tuple[Clip, range]]") -> tuple[dict, dict]:
    """Run every method on all neighbors in `sequences`, two frames in memory at a time.

    Returns the scores of each method in percent, over everything and by clip, and facts about the data.
    """
    totals = {label: empty_tally() for label in [*methods, CEILING]}
    clips: dict[str, dict] = {label: {} for label in totals}
    counts: list[int] = []
    pairs = sum(len(frames) - 1 for _, frames in sequences)
    with tqdm(total=pairs, unit="pair", desc="segments", leave=False, disable=None) as progress:
        for clip, frames in sequences:
            of_clip = {label: empty_tally() for label in totals}
            for count in score_clip(methods, clip, frames, of_clip):
                counts.append(count)
                progress.update()
            for label, tally in of_clip.items():
                clips[label][clip.name] = means(tally)
                add(totals[label], tally)
    rows = {label: {"mean": means(totals[label]), "clips": clips[label]} for label in methods}
    ceiling = means(totals[CEILING])
    facts = {
        "clips": len(sequences),
        "pairs": pairs,
        "sequences": len(totals[CEILING]["label_accuracy"]),
        "segments_per_frame": round(sum(counts) / max(len(counts), 1), 1),
        CEILING: {column: ceiling[column] for column in ("label_accuracy", "label_miou")},
    }
    return rows, facts


def empty_tally() -> Tally:
    """No values in any column."""
    return {column: [] for column in COLUMNS}


def add(tally: Tally, values: Mapping[str, float | list[float]]) -> None:
    """One more value, or several, in the columns that have any."""
    for column, value in values.items():
        tally[column] += value if isinstance(value, list) else [value]


def means(tally: Tally) -> dict[str, float | None]:
    """In percent; None where nothing could be counted."""
    return {column: 100 * sum(values) / len(values) if values else None for column, values in tally.items()}


def score_clip(
    methods: dict[str, SegmentMethod], clip: "Clip", frames: range, tallies: dict[str, Tally]
) -> Iterator[int]:
    """Add the scores of one clip to `tallies`; yields the number of segments of each pair's first frame."""
    first = segment_frame(clip, frames[0], methods.values())
    relay = None if first.regions is None else Relay(methods, first.regions)
    for i, j in pairwise(frames):
        second = segment_frame(clip, j, methods.values())
        truth = read_matches(clip, i, j, first.view, second.view)
        if truth is not None:
            for label, method in methods.items():
                add(tallies[label], score_matches(method.match(first.view, second.view).decided, truth))
        if relay is not None:
            relay.hand_on(first, second)
            if len(relay.truths) == min(SEQUENCE, len(frames) - 1):
                for label, scores in relay.scores().items():
                    add(tallies[label], scores)
                relay = Relay(methods, second.regions)
        yield first.view.count
        first = second


def score_matches(predicted: Tensor, truth: PairTruth) -> dict[str, float]:
    """The columns that one pair has; predicted (S,) is -1 for unmatched."""
    scores, is_thick = matching_scores(predicted, truth.match), ~truth.is_thin
    named = {
        "accuracy": scores["acc"],
        "nonocc": scores["nonocc"],
        "occ": scores["occ"],
        "many": scores["acc"] if truth.has_many else math.nan,
        "hidden": matching_scores(predicted[is_thick], truth.match[is_thick])["occ"],
    }
    return {column: score for column, score in named.items() if not math.isnan(score)}


def segment_frame(clip: "Clip", index: int, methods: Iterable) -> SegmentedFrame:
    """A frame with its segments: the data set's own, or pieces of its true regions, or found in its drawing."""
    view = view_frame(clip, index, methods)
    if clip.regions is not None and not clip.regions_persist:
        return SegmentedFrame(SegmentedView(view.color, view.lines, clip.regions(index).long() - 1), None)
    if view.lines is None:
        raise InputError(f"{clip.name}: has neither drawings nor a map of segments for every frame")
    if clip.regions is None:
        from opdm.segments import find_regions

        return SegmentedFrame(SegmentedView(view.color, view.lines, find_regions(view.lines).long() - 1), None)
    pieces = split_regions(clip.regions(index), view.lines)
    return SegmentedFrame(SegmentedView(view.color, view.lines, pieces.labels), pieces.regions)


def read_matches(clip: "Clip", i: int, j: int, source: SegmentedView, target: SegmentedView) -> PairTruth | None:
    """The data set's own matches, or AnimeRun's rule on its true flow; None where it has neither but labels persist."""
    if clip.matches is not None:
        matches = published_matches(clip, i, j)
    elif clip.flow_px is not None:
        pair = read_truth(clip, i, j)
        if pair.is_occluded is None:
            raise InputError(f"{clip.name}: has neither occlusion nor flow back, from which matches are made")
        matches = match_regions(source.labels, target.labels, pair.flow_px, pair.is_occluded)
    elif clip.regions is not None and clip.regions_persist:
        return None
    else:
        raise InputError(f"{clip.name}: has no true matches, flow or lasting labels; take another --kind")
    if len(matches) != source.count:
        raise InputError(f"{clip.name}, {clip.stems[i]}: {len(matches)} matches for {source.count} segments")
    may_vote = is_interior(source.labels) & (source.labels >= 0)
    interior_px = torch.bincount(source.labels[may_vote], minlength=source.count)
    first = torch.tensor([candidates[0] for candidates in matches], dtype=torch.int64)
    return PairTruth(first, interior_px == 0, int(target.labels.max()) > MANY)


def published_matches(clip: "Clip", i: int, j: int) -> list[list[int]]:
    """The data set's own matches, whose ids are from 1 on, as numbers of segments, from 0 on."""
    assert clip.matches is not None, "asked for where there are any"
    try:
        matches = clip.matches(i, j)
    except KeyError as error:
        raise InputError(
            f"{clip.name}: has no matches from frame {clip.stems[i]} to {clip.stems[j]}; take --gap 1"
        ) from error
    return [[max(region - 1, UNMATCHED) for region in candidates] for candidates in matches[1:]]
