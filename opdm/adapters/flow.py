"""Optical flow in the place of offsets (FlowDM of Table 4), and the keyframes that it moves."""

import torch
from torch import Tensor

from opdm.adapters.contract import Adapter
from opdm.conditions import Conditions
from opdm.config import FlowAdapterConfig, UNetConfig
from opdm.motion import FLOWS
from opdm.reference_encoder import PyramidEncoder

FLOW_SCALE_PX = 32.0
"""Flow and its error are divided by this, so that they enter the network near one."""


class FlowAdapter(Adapter):
    """Encodes the flow between drawing and keyframes, alone or with what it moves."""

    def __init__(self, config: FlowAdapterConfig, *, references: int, unet: UNetConfig):
        super().__init__(config, references=references, unet=unet)
        flows = references * FLOWS
        self.encode = {"flow": encode_flow, "alignment": encode_alignment}[config.encodes]
        fills = config.count_fills(references)
        channels = {"flow": 2 * flows, "alignment": 1 + 4 * (fills + references) + 8 * flows}[config.encodes]
        self.encoder = PyramidEncoder(
            channels, unet.widths, blocks_per_level=config.blocks_per_level, norm_groups=unet.norm_groups
        )

    def forward(self, conditions: Conditions) -> list[Tensor]:
        """Features (B, C_l, H_l, W_l) per level."""
        return self.encoder(self.encode(conditions))


def encode_flow(conditions: Conditions) -> Tensor:
    """The flows alone: (B, 2 K FLOWS, H, W)."""
    assert conditions.flow_px is not None
    return conditions.flow_px.flatten(1, 3) / FLOW_SCALE_PX


def encode_alignment(conditions: Conditions) -> Tensor:
    """Drawing, keyframes with their lines, fills with how sure they are, and of each moved keyframe its color, lines,
    their mismatch with the drawing, flow and forward-backward error: (B, 1 + 4 (F + K) + 8 K FLOWS, H, W)."""
    assert conditions.flow_px is not None and conditions.flow_error_px is not None
    assert conditions.proposals is not None and conditions.moved_lines is not None
    assert conditions.fill_sureness is not None
    fills = conditions.fill_sureness.shape[1]
    lines = conditions.lines.float()
    moved_lines = conditions.moved_lines.flatten(1, 2)  # (B, K FLOWS, 1, H, W)
    flow = conditions.flow_px.flatten(1, 2) / FLOW_SCALE_PX  # (B, K FLOWS, 2, H, W)
    error = (conditions.flow_error_px.flatten(1, 2) / FLOW_SCALE_PX).clamp(max=1)  # (B, K FLOWS, 1, H, W)
    moved = conditions.proposals[:, : 2 * flow.shape[1] : 2]  # (B, K FLOWS, 3, H, W): those with their own lines
    mismatch = (moved_lines - lines.unsqueeze(1)).abs()  # (B, K FLOWS, 1, H, W)
    return torch.cat(
        [
            lines,
            conditions.proposals[:, -fills:].flatten(1, 2),
            conditions.fill_sureness.flatten(1, 2),
            conditions.keyframes.flatten(1, 2),
            conditions.keyframe_lines.flatten(1, 2),
            torch.cat([moved, moved_lines, mismatch, flow, error], dim=2).flatten(1, 2),
        ],
        dim=1,
    )
