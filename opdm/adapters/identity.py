"""No adapter: the keyframes as they are."""

from torch import Tensor

from opdm.adapters.contract import Adapter
from opdm.conditions import Conditions


class IdentityAdapter(Adapter):
    """Adds nothing to the keyframe features (the paper's RDM and v1)."""

    def forward(self, conditions: Conditions) -> list[Tensor]:
        """No features."""
        return []
