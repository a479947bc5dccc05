"""A keyframe taken apart as an animator made it: the paint, and the ink that lies over it.

Paint without lines can be moved to a drawing and the drawing's own lines laid over it in the keyframe's ink.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from opdm.compositing import (
    LINE_COVERAGE,
    SMALL_MARGIN_PX,
    estimate_ink,
    fill_lines,
    find_lines,
    nearest,
    to_tensor,
)
from opdm.frames import resize
from opdm.segments import find_regions, grow_over_lines

INK_CORE = 0.4
"""Coverage from which on a pixel shows the ink's color rather than the paint beneath."""


@dataclass(frozen=True)
class Layers:
    """One keyframe; its layers are found when first asked for."""

    color: Tensor
    """(3, H, W) in [0, 1]."""
    lines: Tensor
    """(1, H, W) in [0, 1], 1 = paper."""

    @cached_property
    def paint(self) -> Tensor:
        """(3, H, W): the colors, continued beneath the lines."""
        return self._separated[0]

    @cached_property
    def ink(self) -> Tensor:
        """(3, H, W): the color of the nearest line."""
        return self._separated[1]

    @cached_property
    def remainder(self) -> Tensor:
        """(3, H, W) in [-1, 1]: what the colors have beyond paint and ink, as lines that are thicker than drawn."""
        return self.color - lay_lines(self.paint, self.ink, self.lines)

    @cached_property
    def regions(self) -> Tensor:
        """(H, W) int32 from 1: what its lines enclose; a pixel of a line belongs to the nearest region."""
        return grow_over_lines(find_regions(self.lines))

    @cached_property
    def _separated(self) -> tuple[Tensor, Tensor]:
        return separate(self.color, self.lines)

    def resize(self, size: tuple[int, int]) -> "Layers":
        """The keyframe at (height, width)."""
        return Layers(resize(self.color, size), resize(self.lines, size))


def separate(color: Tensor, lines: Tensor) -> tuple[Tensor, Tensor]:
    """Paint and ink, both (3, H, W), of a keyframe (3, H, W) and its lines (1, H, W), all in [0, 1]."""
    coverage = 1 - lines[0].numpy()  # (H, W)
    image = np.ascontiguousarray(color.permute(1, 2, 0).numpy())  # (H, W, 3)
    is_line = find_lines(coverage, LINE_COVERAGE)
    paint = fill_lines(image, is_line, SMALL_MARGIN_PX)
    is_core = is_line & (coverage >= INK_CORE)
    if not is_core.any():
        return to_tensor(paint), torch.zeros_like(color)  # black, where nothing tells
    ink = estimate_ink(image, paint, coverage)
    pixels, sources = nearest(is_core, ~is_core)
    ink.reshape(-1, 3)[pixels] = ink.reshape(-1, 3)[sources]
    return to_tensor(paint), to_tensor(ink)


def lay_lines(paint: Tensor, ink: Tensor, lines: Tensor) -> Tensor:
    """Lines (..., 1, H, W) in the color of the ink over the paint, both (..., 3, H, W)."""
    return (paint - ink).mul_(lines).add_(ink)  # in one tensor: frames may be large
