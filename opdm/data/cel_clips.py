"""Generated shots as clips: everything about them is true, and nothing of them is on disk."""

from collections.abc import Iterable
from functools import lru_cache, partial
from typing import NamedTuple

from torch import Tensor

from opdm.data.cel_animation import CelShot, CelStyle
from opdm.data.clips.clip import Clip, round_to_8_bit
from opdm.data.sample import Frame

KEPT_SHOTS, KEPT_FRAMES = 2, 4
"""Color, lines and regions of a frame are asked for one by one, but drawn together."""


class _Arguments(NamedTuple):
    """What a shot is made from; this travels to other processes in its place."""

    seed: int
    height: int
    width: int
    frames: int
    style: CelStyle | None


def cel_clips(
    seeds: Iterable[int], *, height: int, width: int, frames: int, style: CelStyle | None = None
) -> list[Clip]:
    """One clip for each seed, with lines, regions, and flow and occlusion between any two frames."""
    return [_cel_clip(_Arguments(seed, height, width, frames, style)) for seed in seeds]


def _cel_clip(shot: _Arguments) -> Clip:
    return Clip(
        name=f"seed{shot.seed}",
        stems=tuple(f"{i:04d}" for i in range(shot.frames)),
        color=partial(_color, shot),
        lines=partial(_lines, shot),
        regions=partial(_regions, shot),
        flow_px=partial(_flow_px, shot),
        is_occluded=partial(_is_occluded, shot),
    )


@lru_cache(maxsize=KEPT_SHOTS)
def _make(shot: _Arguments) -> CelShot:
    return CelShot(shot.seed, height=shot.height, width=shot.width, frames=shot.frames, style=shot.style)


@lru_cache(maxsize=KEPT_FRAMES)
def _draw(shot: _Arguments, i: int) -> Frame:
    return _make(shot).frame(i)


def _color(shot: _Arguments, i: int) -> Tensor:
    return round_to_8_bit(_draw(shot, i).color)


def _lines(shot: _Arguments, i: int) -> Tensor:
    return round_to_8_bit(_draw(shot, i).lines)


def _regions(shot: _Arguments, i: int) -> Tensor:
    return _draw(shot, i).regions.clone()


def _flow_px(shot: _Arguments, i: int, j: int) -> Tensor:
    return _make(shot).flow_px(i, j)


def _is_occluded(shot: _Arguments, i: int, j: int) -> Tensor:
    return _make(shot).is_occluded(i, j)
