"""Segment matching behind one call: for every segment of a frame, the segment of another frame that it is.

A method is a function of two `SegmentedView`s; `correspondence.py segments` scores it. Any flow model of
`flow_models.py` is one, by a vote of its pixels; `MATCHERS` has the others.

    overlap          the segment that lies over it
    centroid         the segment nearest by centroid and area
    ant=FOLDER       the Animation Transformer in the pipeline/ folder of a run
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from flow_models import FlowModel, View, load_flow_model
from opdm.data.region_labels import UNMATCHED, Votes, count_votes
from opdm.errors import InputError
from opdm.warp import forward_backward_error_px

CONSISTENT_PX = 1.0
"""A pixel is thought to be shown by both frames where the flow leads back within this distance. Of 0.5 to 4, the best
or nearly so for every classical flow, on generated shots that are not scored."""
AREA_WEIGHT = 0.1
"""How far, in diagonals of the frame, a segment e times larger or smaller counts as being away."""

MUTUAL_SHARE = 0.5
"""The Animation Transformer believes a match that finds its source at least so many times as likely as its best."""


@dataclass(frozen=True)
class SegmentedView(View):
    """What a method may see of a frame."""

    labels: Tensor
    """(H, W) int64: 0 to S - 1 without a gap; negative where there is no segment."""

    @property
    def count(self) -> int:
        """S."""
        return int(self.labels.max()) + 1


@dataclass(frozen=True)
class Matches:
    """Where the segments of a source are in a target."""

    best: Tensor
    """(S,) int64: the target segment that is the likeliest, -1 where there is no candidate at all."""
    is_visible: Tensor
    """(S,) bool: whether the method believes that the target shows it."""

    @property
    def decided(self) -> Tensor:
        """(S,) int64: `best` where it is believed in, else -1."""
        return torch.where(self.is_visible, self.best, UNMATCHED)


Matcher = Callable[[SegmentedView, SegmentedView], Matches]
"""(source, target) -> Matches."""


@dataclass(frozen=True)
class SegmentMethod:
    """A matcher that is ready to run, and what a table says about it."""

    sees: str
    match: Matcher
    settings: str

    @property
    def needs_lines(self) -> bool:
        """Whether its views must have drawings."""
        return "lines" in self.sees


def load_segment_method(text: str, device: str = "cpu") -> SegmentMethod:
    """A method of `MATCHERS`, or the vote along a flow model. Raises InputError where it is not to be had."""
    name = text.partition("=")[0]
    if name in MATCHERS:
        return MATCHERS[name](text, device)
    try:
        return vote_along(load_flow_model(text, device))
    except InputError as error:
        raise InputError(f"{error}; besides flow models there are {', '.join(MATCHERS)}") from error


def overlap(text: str, device: str) -> SegmentMethod:
    """The segment that lies over it: the vote along no motion."""
    method = vote_along(load_flow_model("zero"))
    return SegmentMethod("segments", method.match, "the target segment that covers most of it, unmoved")


def centroid(text: str, device: str) -> SegmentMethod:
    """The segment nearest by centroid and area: neither color nor shape is looked at."""
    settings = f"least distance of centroids in diagonals + {AREA_WEIGHT} |log of areas' ratio|; visible if mutual"
    return SegmentMethod("segments", match_centroids, settings)


def animation_transformer(text: str, device: str) -> SegmentMethod:
    """A trained Animation Transformer: the segment of the target that the source takes its label from."""
    from opdm.ant import load_ant

    folder = text.partition("=")[2]
    if not folder:
        raise InputError("ant: say whose, ant=FOLDER; scripts/train.py ant-small makes such a folder")
    model = load_ant(folder, device)

    def match(source: SegmentedView, target: SegmentedView) -> Matches:
        assert source.lines is not None and target.lines is not None, "views were checked against needs_lines"
        (labels, numbers), (target_labels, target_numbers) = renumber(source.labels), renumber(target.labels)
        best = torch.full((source.count,), UNMATCHED)
        is_visible = torch.zeros(source.count, dtype=torch.bool)
        if len(numbers) and len(target_numbers):
            # The paper's reference, whose labels are handed on, is our target.
            crops = model.crop(target.lines, target_labels), model.crop(source.lines, labels)
            similarity = model.compare(*crops).T  # (S, S')
            best[numbers] = target_numbers[similarity.argmax(dim=1)]
            is_visible[numbers] = is_mutual(similarity)
        return Matches(best, is_visible)

    settings = (
        f"the most similar segment; visible if that finds it at least {MUTUAL_SHARE:g} times as likely as its best"
    )
    return SegmentMethod("lines, segments", match, settings)


def is_mutual(similarity: Tensor) -> Tensor:
    """(S,) bool: whether the most similar target finds the source likely, too, in (S, S') of similarity.

    Not necessarily likeliest: of a segment that came apart, every piece belongs to it.
    """
    best, candidates = similarity.max(dim=1)
    return best - similarity.amax(dim=0)[candidates] >= math.log(MUTUAL_SHARE)


def renumber(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Labels without the numbers that the map leaves out, and the old number of each new one."""
    numbers = labels.unique()
    numbers = numbers[numbers >= 0]
    return torch.where(labels >= 0, torch.searchsorted(numbers, labels), UNMATCHED), numbers


MATCHERS: dict[str, Callable[[str, str], SegmentMethod]] = {
    "overlap": overlap,
    "centroid": centroid,
    "ant": animation_transformer,
}


def match_centroids(source: SegmentedView, target: SegmentedView) -> Matches:
    """Least sum of distance and difference in area; believed where each is the other's nearest."""
    if not source.count or not target.count:
        return Matches(torch.full((source.count,), UNMATCHED), torch.zeros(source.count, dtype=torch.bool))
    (centers, areas), (target_centers, target_areas) = measure(source.labels), measure(target.labels)
    diagonal_px = float(np.hypot(*source.labels.shape))
    distance = torch.cdist(centers, target_centers) / diagonal_px  # (S, S')
    cost = distance + AREA_WEIGHT * (areas.log()[:, None] - target_areas.log()).abs()
    cost = cost.nan_to_num(nan=torch.inf)  # a number that the map leaves out is no candidate
    best = cost.argmin(dim=1)
    return Matches(best, cost.argmin(dim=0)[best] == torch.arange(source.count))


def measure(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Centroids (S, 2) and areas (S,) of segments, in pixels."""
    y, x = torch.nonzero(labels >= 0, as_tuple=True)
    segment = labels[y, x].long()
    areas = torch.bincount(segment).double()
    sums = [torch.bincount(segment, weights=axis.double()) for axis in (y, x)]
    return torch.stack(sums, dim=1) / areas[:, None], areas


def vote_along(flow: FlowModel) -> SegmentMethod:
    """Every pixel votes for the segment that the flow leads it to.

    A segment is thought visible if one of its votes comes from a pixel that the flow back leads home again; then only
    such pixels vote.
    """
    estimate_both_ways = BothWays(flow)

    def match(source: SegmentedView, target: SegmentedView) -> Matches:
        flow_px, back_px = estimate_both_ways(source, target)
        is_consistent = forward_backward_error_px(flow_px[None], back_px[None])[0, 0] <= CONSISTENT_PX
        everything = torch.ones_like(is_consistent)
        sure, any_vote = (
            elect(source, count_votes(source.labels, target.labels, flow_px, voters))
            for voters in (is_consistent, everything)
        )
        return Matches(torch.where(sure >= 0, sure, any_vote), sure >= 0)

    settings = (
        f"{flow.settings}; a vote of pixels, of those that return within {CONSISTENT_PX:g} px where there are any"
    )
    return SegmentMethod(flow.sees, match, settings)


class BothWays:
    """Flow from one view to another and back; the latest answer is kept, as the next question is often its reverse."""

    def __init__(self, flow: FlowModel):
        self.flow = flow
        self.latest: tuple[View, View, Tensor, Tensor] | None = None

    def __call__(self, source: View, target: View) -> tuple[Tensor, Tensor]:
        """(2, H, W) in pixels from source to target, and from target to source."""
        if self.latest is not None and self.latest[0] is target and self.latest[1] is source:
            _, _, back_px, flow_px = self.latest
        else:
            flow_px, back_px = self.flow.estimate(source, target), self.flow.estimate(target, source)
        self.latest = source, target, flow_px, back_px
        return flow_px, back_px


def elect(source: SegmentedView, votes: Votes) -> Tensor:
    """The target of most votes for each source segment, (S,); -1 where nobody voted."""
    winners = torch.full((source.count,), UNMATCHED)
    for segment, candidate in reversed(votes.by_priority()):
        winners[segment] = candidate
    return winners
