"""A drawing and its keyframes set up for painting: small for the model, at the drawing's own size for the result."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from opdm.backdrop import Backdrop, find_backdrop
from opdm.conditions import Conditions, build_conditions, build_moved_conditions
from opdm.frames import pad_to_multiple, resize
from opdm.holds import find_held, hold
from opdm.layers import Layers
from opdm.matching import Match
from opdm.motion import Motion
from opdm.proposals import Ballot, Fill, cast_votes, each_proposal, fill_by_vote
from opdm.segments import resize_regions

Size = tuple[int, int]
"""Height and width, in pixels."""


@dataclass(frozen=True)
class Moved:
    """What is known of the motion of one drawing."""

    motion: Motion
    """As estimated, below the drawing's size where that is large."""
    ballot: Ballot
    """The votes of the moved keyframes, at the working size."""
    voted: Fill
    """By these votes."""
    matches: Sequence[Match]
    """With each keyframe; none for models that take none."""
    backdrop: Backdrop | None = None
    """The painting behind the figures, if one was found."""

    @property
    def fills(self) -> list[Fill]:
        """Of the drawing's regions: the last proposals."""
        return [self.voted, *(match.fill for match in self.matches)]


@dataclass(frozen=True)
class Stage:
    """One drawing, ready to be painted."""

    lines: Tensor
    """(1, H, W) in [0, 1]."""
    keyframes: Sequence[Layers]
    """K of the drawing's size."""
    conditions: Conditions
    """At the working size, padded to what the model takes; of a single drawing."""
    size: Size
    """Working size before padding."""
    regions: Tensor
    """(H, W) of the drawing."""
    moved: Moved | None

    def proposals(self) -> Iterator[Tensor]:
        """Frames (3, H, W) at the drawing's size, one at a time; none for a model that makes nothing of motion."""
        if self.moved is None:
            return iter(())
        moved = self.moved
        view = None if moved.backdrop is None else moved.backdrop.view(self.lines, self.regions, self.keyframes)
        return each_proposal(self.lines, self.keyframes, moved.motion, self.regions, moved.fills, view)

    @cached_property
    def held(self) -> Tensor:
        """(S,): the keyframe, from 1, that has each region just so; 0 = none. A model without motion holds nothing."""
        count = int(self.regions.max())
        if self.moved is None:
            return torch.zeros(count, dtype=torch.int64)
        held, backdrop = find_held(self.lines, self.regions, self.keyframes, count=count), self.moved.backdrop
        if backdrop is not None and backdrop.camera_px.any():
            held[backdrop.regions] = 0  # what the camera pans over moves behind figures that are held
        return held

    def hold(self, frame: Tensor) -> Tensor:
        """A painted frame (3, H, W), with the keyframes' own pixels where the drawing is just as they are."""
        return hold(frame, self.held, self.regions, self.keyframes)


@dataclass(frozen=True)
class Finished:
    """What became of a drawing."""

    frame: Tensor
    """(3, H, W) in [0, 1], of the drawing's size."""
    weights: Tensor | None = None
    """(P, h, w) at the working size: how much of each proposal is in it; None for models that do not choose."""


def set_up(
    lines: Tensor,
    regions: Tensor,
    keyframes: Sequence[Layers],
    *,
    shorter_side: int,
    multiple: int,
    motion: Motion | None = None,
    time: float | None = None,
    matcher: Callable[[Tensor, Tensor, Layers], Match] | None = None,
) -> Stage:
    """Set up a drawing (1, H, W) with keyframes of the same size, for a model working at `shorter_side` pixels.

    Drawings are never enlarged. regions: (H, W), the drawing's, of `opdm.segments.find_regions`. motion: as
    `opdm.motion.estimate_motion` gives it, for models that make something of it. time: where the drawing stands between
    two keyframes, from 0 to 1, if that is known. With a `Matcher`, which needs motion, there are fills by its matches.
    """
    size = working_size((lines.shape[-2], lines.shape[-1]), shorter_side)
    small_lines, small_keyframes = resize(lines, size), [keyframe.resize(size) for keyframe in keyframes]
    small_regions, moved = resize_regions(regions, size), None
    if motion is not None:
        small_motion = motion.resize(size)
        ballot = cast_votes(small_keyframes, small_motion, small_regions)
        matches = [matcher(lines, regions, keyframe) for keyframe in keyframes] if matcher else []
        backdrop = find_backdrop(small_regions, small_keyframes, small_motion, count=int(regions.max()), time=time)
        moved = Moved(motion, ballot, fill_all(regions, ballot), matches, backdrop)
        view = None if backdrop is None else backdrop.view(small_lines, small_regions, small_keyframes)
        conditions = build_moved_conditions(
            small_lines, small_keyframes, small_motion, small_regions, moved.fills, view
        )
    else:
        conditions = build_conditions(small_lines, small_keyframes, small_regions)
    padded = conditions.map(lambda tensor: pad_to_multiple(tensor, multiple))
    return Stage(lines, keyframes, padded, size, regions, moved)


def fill_all(regions: Tensor, ballot: Ballot) -> Fill:
    """The fill by vote of all regions (H, W): those too small to be seen at the working size have no color."""
    fill = fill_by_vote(ballot)
    missing = int(regions.max()) - len(fill.colors)
    return Fill(F.pad(fill.colors, (0, 0, 0, missing), value=torch.nan), F.pad(fill.sureness, (0, missing)))


def working_size(size: Size, shorter_side: int) -> Size:
    """The size at which a model paints a drawing of (height, width)."""
    scale = min(1, shorter_side / min(size))
    return round(size[0] * scale), round(size[1] * scale)
