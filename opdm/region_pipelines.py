"""Two more ways to paint, which decide region by region: by the Animation Transformer, and by it and the model at once.

Both are pipelines as `opdm.painting` takes them. The first fills every region with the color of the region that
matches it best in a keyframe. The second lets the model paint, and recolors those flat regions where the matches and
the moved keyframes outvote it.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from opdm.ant import AnT
from opdm.ant_crops import SegmentCrops
from opdm.compositing import compose
from opdm.exact_fill import repaint
from opdm.layers import Layers, lay_lines
from opdm.pipeline import OPDMPipeline
from opdm.region_colors import (
    FLAT_SHARE,
    SAME_COLOR,
    color_distance,
    interior_weights,
    measure_flatness,
    sum_by_region,
)
from opdm.segments import fill_regions, find_regions, grow_over_lines, vote_colors
from opdm.staging import Finished, Stage, set_up

MOST_SEGMENTS = 2000
"""The largest regions of a drawing are matched, no more: attention takes memory with the square of their number."""
KEPT_KEYFRAMES = 4


@dataclass(frozen=True)
class Match:
    """How likely each region of a drawing is each of a keyframe's regions."""

    chances: Tensor
    """(S, M), in all 1 over M; 0 for regions that were not matched."""
    colors: Tensor
    """(M, 3); one NaN for a keyframe without regions."""


@dataclass(frozen=True)
class _Known:
    """What is made once of each keyframe."""

    segments: SegmentCrops | None
    colors: Tensor


class Matcher:
    """The Animation Transformer between drawings and keyframes; what it needs of the last few keyframes is kept."""

    def __init__(self, network: AnT):
        self.network = network
        self._known: deque[tuple[Layers, _Known]] = deque(maxlen=KEPT_KEYFRAMES)

    def __call__(self, lines: Tensor, regions: Tensor, keyframe: Layers) -> Match:
        """Match the regions (H, W) of a drawing (1, H, W) with those of a keyframe."""
        known = next((known for seen, known in self._known if seen is keyframe), None)
        if known is None:
            known = self._look_at(keyframe)
            self._known.append((keyframe, known))
        count = int(regions.max())
        chances = torch.zeros(count, len(known.colors))
        numbers, segments = self._crop(lines, regions)
        if known.segments is not None and segments is not None:
            chances[numbers] = self.network.compare(known.segments, segments).T.softmax(dim=1)
        return Match(chances, known.colors)

    def _look_at(self, keyframe: Layers) -> _Known:
        regions = find_regions(keyframe.lines)
        numbers, segments = self._crop(keyframe.lines, regions)
        if segments is None:
            return _Known(None, torch.full((1, 3), torch.nan))
        return _Known(segments, vote_colors(regions, keyframe.color, interior_weights(regions))[numbers])

    def _crop(self, lines: Tensor, regions: Tensor) -> tuple[Tensor, SegmentCrops | None]:
        """The largest regions, from 0, and what the network sees of them; None where there is none."""
        areas = torch.bincount(regions.flatten())[1:]
        numbers = torch.argsort(areas, descending=True, stable=True)[:MOST_SEGMENTS].sort().values
        if not len(numbers):
            return numbers, None
        new = torch.full((len(areas) + 1,), -1)
        new[numbers + 1] = torch.arange(len(numbers))
        return numbers, self.network.crop(lines, new[regions.long()])


def most_alike(matches: Sequence[Match]) -> Tensor:
    """The color (S, 3) of each region's best match, in the keyframe that is surest of it; NaN without one."""
    sure = torch.stack([match.chances.amax(dim=1) for match in matches])  # (K, S)
    colors = torch.stack([match.colors[match.chances.argmax(dim=1)] for match in matches])  # (K, S, 3)
    best = colors[sure.argmax(dim=0), torch.arange(sure.shape[1])]
    return torch.where(sure.amax(dim=0)[:, None] > 0, best, torch.nan)


def elect_colors(regions: Tensor, fill: Tensor, own: Tensor, moved: Tensor | None, matches: Sequence[Match]) -> Tensor:
    """For each region (H, W) that color, (S, 3), which has most votes.

    `own` (S, 3) is most of what the region is painted with in fill (3, H, W), `moved` what the moved keyframes say, and
    the best match is a third candidate. Each has the votes of the share of the region that is painted so, of how likely
    the region matches one of that color, and of the moved keyframes. They count the same: `eval/region_painting.py`
    found best.
    """
    weights = interior_weights(regions)
    sizes = sum_by_region(regions, weights, len(own))
    candidates = [own, most_alike(matches)] if moved is None else [own, moved, most_alike(matches)]
    votes = []
    for colors in candidates:
        is_near = color_distance(regions, fill, colors) <= SAME_COLOR
        painted = (sum_by_region(regions, weights * is_near, len(colors)) / sizes).nan_to_num()
        matched = [(match.chances * is_same(colors[:, None], match.colors)).sum(dim=1) for match in matches]
        found = painted + torch.stack(matched).amax(dim=0)
        if moved is not None:
            found = found + is_same(colors, moved)
        votes.append(torch.where(colors.isnan().any(dim=1), -1, found))
    best = torch.stack(votes).argmax(dim=0)
    return torch.stack(candidates)[best, torch.arange(len(best))]


def is_same(colors: Tensor, others: Tensor) -> Tensor:
    """Whether colors (..., 3) are one color of a palette; NaN is none."""
    return (colors - others).abs().amax(dim=-1) <= SAME_COLOR


class AnTPipeline:
    """Every region in the color of its best match, without the diffusion model."""

    references, size_multiple, default_size = 2, 1, 256
    uses_motion = chooses = False

    def __init__(self, network: AnT):
        self.match = Matcher(network)

    def set_up(
        self, lines: Tensor, keyframes: list[Layers], *, size: int | None = None, tracks_px: Tensor | None = None
    ) -> Stage:
        """A drawing (1, H, W) and its keyframes; `size` has no effect, for regions are matched as they are drawn."""
        return set_up(lines, keyframes, shorter_side=self.default_size, multiple=1, uses_motion=False)

    def paint(self, stages: Sequence[Stage], *, seeds: list[int], steps: int | None = None) -> Iterator[Finished]:
        """Drawings one after the other; nothing here is random."""
        for stage in stages:
            regions = find_regions(stage.lines)
            matches = [self.match(stage.lines, regions, keyframe) for keyframe in stage.keyframes]
            nearest = stage.keyframes[0]
            fill = fill_regions(grow_over_lines(regions), most_alike(matches), nearest.paint)
            yield Finished(lay_lines(fill, nearest.ink, stage.lines))


class BothPipeline:
    """The diffusion model, whose colors the Animation Transformer and the moved keyframes may outvote."""

    def __init__(self, pipeline: OPDMPipeline, network: AnT):
        self.pipeline, self.match = pipeline, Matcher(network)
        self.references, self.size_multiple = pipeline.references, pipeline.size_multiple
        self.uses_motion, self.chooses = pipeline.uses_motion, pipeline.chooses
        self.default_size = pipeline.default_size

    def set_up(
        self, lines: Tensor, keyframes: list[Layers], *, size: int | None = None, tracks_px: Tensor | None = None
    ) -> Stage:
        """As `OPDMPipeline.set_up`."""
        return self.pipeline.set_up(lines, keyframes, size=size, tracks_px=tracks_px)

    def paint(self, stages: Sequence[Stage], *, seeds: list[int], steps: int | None = None) -> Iterator[Finished]:
        """Drawings of one working size, one after the other."""
        painted = self.pipeline.paint(stages, seeds=seeds, steps=steps)
        for stage, finished in zip(stages, painted, strict=True):
            yield Finished(settle(stage, finished.frame, self.match), finished.weights)


def settle(stage: Stage, frame: Tensor, match: Matcher) -> Tensor:
    """The frame (3, H, W), with those regions in another color that are painted flat and were outvoted.

    What is not flat keeps its light and shadow.
    """
    regions = stage.moved.regions if stage.moved else find_regions(stage.lines)
    layers = compose(frame, stage.lines)
    own = vote_colors(regions, layers.fill, interior_weights(regions))
    matches = [match(stage.lines, regions, keyframe) for keyframe in stage.keyframes]
    moved = stage.moved.region_colors if stage.moved else None
    colors = elect_colors(regions, layers.fill, own, moved, matches)
    is_flat = measure_flatness(regions, layers.fill, own) >= FLAT_SHARE
    is_outvoted = is_flat & ~is_same(colors, own)
    return repaint(frame, layers, regions, torch.where(is_outvoted[:, None], colors, torch.nan)).frame
