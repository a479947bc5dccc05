"""No adapter: the keyframes as they are."""

from opdm.adapters.contract import Adapter, Guidance
from opdm.conditions import Conditions
from opdm.config import IdentityAdapterConfig, UNetConfig


class IdentityAdapter(Adapter):
    """Adds nothing to the keyframe features and proposes the unmoved keyframes (the paper's RDM and v1)."""

    def __init__(self, config: IdentityAdapterConfig, *, references: int, unet: UNetConfig):
        super().__init__(config, references=references, unet=unet)
        self.proposals = references

    def forward(self, conditions: Conditions) -> Guidance:
        """No features; proposals (B, K, 3, H, W)."""
        return Guidance([], conditions.keyframes.float())
