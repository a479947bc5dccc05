"""The contract that every adapter keeps."""

from typing import Any

from torch import Tensor, nn

from opdm.checkpoint import Channels
from opdm.conditions import Conditions
from opdm.config import UNetConfig


class Adapter(nn.Module):
    """Base of the adapters; it runs once per drawing, never once per denoising step."""

    def __init__(self, config: Any, *, references: int, unet: UNetConfig):
        super().__init__()

    def channels(self, prefix: str) -> dict[str, Channels]:
        """What those of its weights are for of which a later model may have more, by their names after a prefix."""
        return {}

    def forward(self, conditions: Conditions) -> list[Tensor]:
        """Features to add to the keyframes', one per level, (B, C_l, H / 2^l, W / 2^l); an empty list for none.

        The conditions' frames and lines are in [-1, 1] here.
        """
        raise NotImplementedError
