"""One clip of a data set: frames, and what the data set knows about them, read when asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from opdm.frames import read_frame, read_lines

OfFrame = Callable[[int], Tensor]
"""What is known about frame i, 0 <= i < len(clip)."""
OfPair = Callable[[int, int], Tensor]
"""What is known about frame i with respect to frame j; KeyError for a pair that the data set does not have."""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """Frames of one shot, read at each call; what a data set lacks is None.

    A clip can be pickled, so that it may be handed to another process.
    """

    name: str
    """Unique in its data set; folders of the data set are separated by `/`."""
    stems: tuple[str, ...]
    """One for each frame, in the order of the shot, all different."""
    color: OfFrame
    """(3, H, W) in [0, 1], of 8 bits; transparency is white."""
    paths: tuple[Path, ...] | None = None
    """The files of the frames; None where frames are no files of their own."""
    lines: OfFrame | None = None
    """(1, H, W) in [0, 1], 1 = paper, 0 = ink."""
    regions: OfFrame | None = None
    """(H, W) int32 ids from 1 on; 0 = none: ink, or what is behind the figures."""
    regions_persist: bool = True
    """Whether an id means the same region in every frame. Where not, those of a frame are 1 to S without a gap."""
    flow_px: OfPair | None = None
    """(2, H, W) in pixels, (dx, dy), from frame i to frame j."""
    is_occluded: OfPair | None = None
    """(H, W) bool: pixels of frame i that frame j does not show."""
    matches: Callable[[int, int], list[list[int]]] | None = None
    """For each region id of frame i, 0 included, the ids in frame j by falling share; [-1] where there is none."""
    is_foreground: OfFrame | None = None
    """(H, W) bool: the figures, not what is behind them."""
    is_flat: OfFrame | None = None
    """(H, W) bool: more than 10 px away from any line, as AnimeRun's benchmark has it."""

    def __len__(self) -> int:
        return len(self.stems)


def cut(clip: Clip, first: int, count: int, name: str) -> Clip:
    """`count` neighboring frames of a clip, from frame `first` on, as a clip of their own."""
    window = slice(first, first + count)
    shifted: dict[str, Any] = {
        field.name: partial(_shift, value, first)
        for field in fields(clip)
        if callable(value := getattr(clip, field.name))
    }
    paths = None if clip.paths is None else clip.paths[window]
    return replace(clip, name=name, stems=clip.stems[window], paths=paths, **shifted)


def _shift(source: Callable, first: int, *frames: int) -> Any:
    return source(*(first + i for i in frames))


def color_of(paths: Sequence[Path]) -> OfFrame:
    """Frames from image files, one for each frame of the clip."""
    return partial(_read_color, tuple(paths))


def lines_of(paths: Sequence[Path]) -> OfFrame:
    """Drawings from image files, one for each frame of the clip."""
    return partial(_read_drawing, tuple(paths))


def regions_of(paths: Sequence[Path]) -> OfFrame:
    """Regions from image files in which each has a flat color: (H, W) int32, the color 256^2 red + 256 green + blue.

    Black and white are 0: ink, and paper or nothing at all.
    """
    return partial(_read_flat_colors, tuple(paths))


def round_to_8_bit(frame: Tensor) -> Tensor:
    """The same frame as a file of 8 bits holds it: metrics compare what would be saved."""
    return torch.round(frame * 255) / 255


def _read_color(paths: tuple[Path, ...], i: int) -> Tensor:
    return round_to_8_bit(read_frame(paths[i]))


def _read_drawing(paths: tuple[Path, ...], i: int) -> Tensor:
    return read_lines(paths[i]).lines


def _read_flat_colors(paths: tuple[Path, ...], i: int) -> Tensor:
    red, green, blue = (read_frame(paths[i]) * 255).round().int()
    return (red << 16 | green << 8 | blue).remainder(0xFFFFFF)
