"""What may already be the painted frame, in places: the keyframes, moved to the drawing in several ways.

Pure functions of drawing, keyframes and motion, at any size: the model chooses at its working size, and its choice is
then carried out at the drawing's own size, where the keyframes' detail is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import torch
from torch import Tensor

from opdm.backdrop import View
from opdm.layers import Layers, lay_lines
from opdm.motion import FLOWS, Motion, resize_flow
from opdm.region_colors import SAME_COLOR, color_distance, sum_by_region
from opdm.segments import fill_regions, vote_colors
from opdm.warp import backward_warp, destinations, sample, sample_color

VOTE_FALLOFF_PX = 2.0
"""Forward-backward error at which a moved keyframe's vote counts half."""
INK_REACHES = ((0, 0.1), (1 / 25, 1.0), (1 / 8, 0.1))
"""How far the ink of one line tells of that of another, of the shorter side, and how much it counts there."""
STRAY_INK = 0.002
"""How much all moved ink counts, where there is no line that drawing and keyframes share."""


@dataclass(frozen=True)
class Fill:
    """One color for each of a drawing's S regions."""

    colors: Tensor
    """(S, 3) in [0, 1]; NaN where there is none."""
    sureness: Tensor
    """(S,) in [0, 1]."""


def name_proposals(references: int, fills: int) -> list[str]:
    """What each of the P proposals is, of K keyframes and so many fills, in their order."""
    kinds = ("as it is", "inked")
    moved = [f"keyframe {k} by flow {f}, {kind}" for k in range(references) for f in range(FLOWS) for kind in kinds]
    return [*moved, *(f"keyframe {k}" for k in range(references)), *(f"fill {fill}" for fill in range(fills))]


def count_proposals(references: int, fills: int) -> int:
    """P."""
    return len(name_proposals(references, fills))


def each_proposal(
    lines: Tensor,
    keyframes: Sequence[Layers],
    motion: Motion,
    regions: Tensor,
    fills: Sequence[Fill],
    backdrop: View | None = None,
) -> Iterator[Tensor]:
    """P frames (3, H, W) in [0, 1], one at a time, for they are many and may be large.

    Of each keyframe and flow the moved keyframe, and its moved paint beneath the drawing's own lines, with what these
    layers leave out of its colors as far as its moved lines are the drawing's; each keyframe unmoved; last, the regions
    of the drawing filled in each way, its lines in the ink of those that the keyframes share. A backdrop lies behind
    all of them.

    lines (1, H, W); regions (H, W) from 1, 0 = line; motion of any size.
    """
    paints, inks, shared = (torch.zeros_like(keyframes[0].color) for _ in range(3))
    shares, count = torch.zeros_like(lines), len(keyframes) * FLOWS

    def in_front(frame: Tensor, ink: Tensor) -> Tensor:
        return frame if backdrop is None else backdrop.lay_behind(frame, ink)

    def in_front_moved(frame: Tensor, ink: Tensor, k: int, places_px: Tensor) -> Tensor:
        return frame if backdrop is None else backdrop.lay_behind_moved(frame, ink, k, places_px)

    for k, (keyframe, flows) in enumerate(zip(keyframes, motion.flow_px, strict=True)):
        for flow_px in flows:
            places_px = destinations(resize_flow(flow_px[None], (lines.shape[-2], lines.shape[-1])))
            # Each layer is even, and bilinear is enough.
            layers = (keyframe.paint, keyframe.ink, keyframe.lines)
            paint, ink, moved_lines = (sample(layer[None], places_px)[0] for layer in layers)
            yield in_front_moved(sample_color(keyframe.color[None], places_px)[0], ink, k, places_px)
            yield in_front(
                lay_moved_lines(paint, ink, lines, moved_lines, sample(keyframe.remainder[None], places_px)[0]), ink
            )
            share = (1 - moved_lines) * (1 - lines) / count
            paints.add_(paint, alpha=1 / count)
            inks.add_(ink, alpha=1 / count)
            shared.addcmul_(ink, share)
            shares += share
            del paint, ink, moved_lines, share  # frames may be large
    for keyframe in keyframes:
        yield in_front(keyframe.color, keyframe.ink)
    inks = gather_ink(shared, shares, stray=inks)
    for fill in fills:
        yield in_front(lay_lines(fill_regions(regions, fill.colors, paints), inks, lines), inks)


def lay_moved_lines(paint: Tensor, ink: Tensor, lines: Tensor, moved_lines: Tensor, remainder: Tensor) -> Tensor:
    """A drawing's lines (1, H, W) over moved paint, with the moved remainder as far as the moved lines are the same."""
    is_same = (moved_lines - lines).abs_().neg_().add_(1)
    return lay_lines(paint, ink, lines).addcmul_(remainder, is_same).clamp_(0, 1)


def gather_ink(shared: Tensor, shares: Tensor, *, stray: Tensor) -> Tensor:
    """The color (3, H, W) that a line would have at each pixel: that of the lines nearby that keyframes share.

    Where a lid closes over an iris, the ink of the iris' outline is as near as that of the lashes; only these are lines
    of the drawing. shared: the ink (3, H, W), times its shares (1, H, W); stray: the ink that is there in any case.
    """
    side = min(shares.shape[-2:])
    weighted = torch.cat([shared, shares])
    total = torch.cat([stray, torch.ones_like(shares)]) * STRAY_INK
    for reach, weight in INK_REACHES:
        width = 2 * round(reach * side) + 1
        for channel, part in zip(total, weighted, strict=True):
            channel += weight * torch.from_numpy(cv2.blur(part.numpy(), (width, width)))
    return total[:3] / total[3:]


@dataclass(frozen=True)
class Ballot:
    """How V moved keyframes, K by each of the flows, vote on the colors of a drawing's regions."""

    regions: Tensor
    """(H, W)."""
    paints: Tensor
    """(V, 3, H, W) in [0, 1], the first keyframe's before the second's."""
    weights: Tensor
    """(V, H, W): less where the motion does not lead back."""

    def elect(self) -> Tensor:
        """The color (S, 3) with most votes; NaN for a region without a pixel."""
        return vote_colors(*self._votes)

    def share(self, colors: Tensor) -> Tensor:
        """Share (S,) of each region's votes that are for its color (S, 3); 0 for a region without a pixel."""
        regions, paint, weights = self._votes
        is_near = color_distance(regions, paint, colors) <= SAME_COLOR
        votes = sum_by_region(regions, weights * is_near, len(colors))
        return (votes / sum_by_region(regions, weights, len(colors))).nan_to_num()

    def of_keyframe(self, k: int) -> "Ballot":
        """What one keyframe votes alone."""
        own = slice(k * FLOWS, (k + 1) * FLOWS)
        return Ballot(self.regions, self.paints[own], self.weights[own])

    @property
    def _votes(self) -> tuple[Tensor, Tensor, Tensor]:
        """Regions (V H, W), paint (3, V H, W) and weights (V H, W), one below the other."""
        return self.regions.repeat(len(self.paints), 1), torch.cat(list(self.paints), dim=1), self.weights.flatten(0, 1)


def cast_votes(keyframes: Sequence[Layers], motion: Motion, regions: Tensor) -> Ballot:
    """The votes of keyframes, moved by each flow, on regions (H, W), all of one size."""
    paints = [
        backward_warp(keyframe.paint[None].expand(len(flows), -1, -1, -1), flows)
        for keyframe, flows in zip(keyframes, motion.flow_px, strict=True)
    ]
    return Ballot(regions, torch.cat(paints), 1 / (1 + motion.error_px.flatten(0, 2) / VOTE_FALLOFF_PX))


def fill_by_vote(ballot: Ballot) -> Fill:
    """Each region in the color that the moved keyframes agree on, as sure as their share of the votes."""
    colors = ballot.elect()
    return Fill(colors, ballot.share(colors))


def move_lines(keyframes: Sequence[Layers], motion: Motion) -> Tensor:
    """The keyframes' lines where each flow moves them, (K, FLOWS, 1, H, W)."""
    moved = [
        backward_warp(keyframe.lines[None].expand(len(flows), -1, -1, -1), flows)
        for keyframe, flows in zip(keyframes, motion.flow_px, strict=True)
    ]
    return torch.stack(moved)
