"""Regions of a drawing matched with those of its keyframes by the Animation Transformer, and what they are filled with.

A match needs no motion: it finds what moved too far for flow, and what is hidden in places.
"""

from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor

from opdm.ant import AnT
from opdm.ant_crops import SegmentCrops
from opdm.layers import Layers
from opdm.proposals import Fill
from opdm.region_colors import SAME_COLOR, interior_weights
from opdm.segments import find_regions, vote_colors

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

    def chance_of(self, colors: Tensor) -> Tensor:
        """How likely (S,) each region matches one of the color (S, 3) that is asked for."""
        return (self.chances * is_same(colors[:, None], self.colors)).sum(dim=1)

    @property
    def best_colors(self) -> Tensor:
        """The color (S, 3) of each region's best match; NaN for regions that were not matched."""
        best = self.colors[self.chances.argmax(dim=1)]
        return torch.where(self.chances.amax(dim=1)[:, None] > 0, best, torch.nan)

    @property
    def fill(self) -> Fill:
        """Each region in the color of its best match, as sure as it is to match a region of that color."""
        return Fill(self.best_colors, self.chance_of(self.best_colors))


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


def is_same(colors: Tensor, others: Tensor) -> Tensor:
    """Whether colors (..., 3) are one color of a palette; NaN is none."""
    return (colors - others).abs().amax(dim=-1) <= SAME_COLOR
