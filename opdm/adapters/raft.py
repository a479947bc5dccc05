"""Learned optical flow in the place of offsets (FlowDM of Table 4): RAFT, frozen."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.optical_flow import Raft_Large_Weights, Raft_Small_Weights, raft_large, raft_small

from opdm.adapters.contract import Adapter
from opdm.adapters.flow import FLOW_SCALE_PX
from opdm.conditions import Conditions
from opdm.config import RaftAdapterConfig, UNetConfig
from opdm.published_weights import load_weights
from opdm.raft import estimate_flow_px
from opdm.reference_encoder import PyramidEncoder

NETWORKS: dict[str, tuple[Callable[..., nn.Module], Any]] = {
    "raft-small": (raft_small, Raft_Small_Weights.C_T_V2),
    "raft-large": (raft_large, Raft_Large_Weights.C_T_SKHT_V2),
}


class RaftAdapter(Adapter):
    """Encodes RAFT's flow (Teed and Deng 2020) from the drawing to each painted keyframe."""

    def __init__(self, config: RaftAdapterConfig, *, references: int, unet: UNetConfig):
        super().__init__(config, references=references, unet=unet)
        self.name = config.network
        self.network = Float32(NETWORKS[config.network][0](weights=None)).requires_grad_(False)
        self.encoder = PyramidEncoder(
            2 * references, unet.widths, blocks_per_level=config.blocks_per_level, norm_groups=unet.norm_groups
        )

    def forward(self, conditions: Conditions) -> list[Tensor]:
        """Features (B, C_l, H_l, W_l) per level."""
        flow_px = self.estimate(conditions)
        return self.encoder(flow_px.flatten(1, 2) / FLOW_SCALE_PX)

    @torch.no_grad()
    def estimate(self, conditions: Conditions) -> Tensor:
        """The flow to every keyframe, (B, K, 2, H, W) float32 in pixels."""
        keyframes = conditions.keyframes.float()  # (B, K, 3, H, W)
        drawings = conditions.lines.float()[:, None].expand_as(keyframes)
        self.network.eval()  # whatever the model does: its batch norms are frozen, too
        with torch.autocast(keyframes.device.type, enabled=False):
            flow_px = self.network(drawings.flatten(0, 1), keyframes.flatten(0, 1))
        return flow_px.unflatten(0, keyframes.shape[:2])

    def load_estimator(self, source: str | Path) -> None:
        """Take over the published weights, `published`, or those of a file.

        Raises InputError naming them where they cannot be had, ValueError where they are of another network.
        """
        file = None if source == PUBLISHED else Path(source)
        state = load_weights(self.name, NETWORKS[self.name][1].url, file)
        try:
            self.network.network.load_state_dict(state)
        except (RuntimeError, TypeError, AttributeError) as error:
            raise ValueError(f"{source}: has not the weights of torchvision's {self.name}") from error


PUBLISHED = "published"


class Float32(nn.Module):
    """A flow network that stays in float32 when the model around it changes: bfloat16 cannot count to 300 pixels."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Flow (B, 2, H, W) in pixels between pictures (B, 3, H, W) in [-1, 1]."""
        return estimate_flow_px(self.network, source, target)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Float32":
        def keep_type(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            return tensor.to(moved.device) if moved.dtype != tensor.dtype else moved

        super()._apply(keep_type, recurse)
        return self
