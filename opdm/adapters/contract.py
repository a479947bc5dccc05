"""The contract that every adapter keeps."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from opdm.conditions import Conditions
from opdm.config import UNetConfig


@dataclass(frozen=True)
class Guidance:
    """What guides all denoising steps of a drawing."""

    features: list[Tensor]
    """One per level, (B, C_l, H / 2^l, W / 2^l), added inside the encoder's residual blocks."""
    proposals: Tensor
    """(B, P, 3, H, W) float32 in [-1, 1]: frames that may already be right in places."""


class Adapter(nn.Module):
    """Base of the adapters; a subclass sets `proposals` and implements both methods."""

    proposals: int
    """P, the number of frames `propose` returns."""

    def __init__(self, config: Any, *, references: int, unet: UNetConfig):
        super().__init__()

    def forward(self, conditions: Conditions) -> Guidance:
        """Features to add to the keyframes' (`Guidance.features` empty where there are none) and the proposals.

        The conditions' frames and lines are in [-1, 1] here.
        """
        raise NotImplementedError
