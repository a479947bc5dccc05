"""One frame of a shot with everything that is known about it."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Frame:
    """A painted frame, its drawing and its regions."""

    color: Tensor
    """(3, H, W) float32 in [0, 1]."""
    lines: Tensor
    """(1, H, W) float32 in [0, 1], 1 = paper, 0 = ink."""
    regions: Tensor
    """(H, W) int32: ids that persist over the shot; a line belongs to the region it bounds; 0 = background."""
