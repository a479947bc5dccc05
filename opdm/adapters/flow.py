"""Optical flow in the place of offsets (FlowDM of Table 4), and the keyframes that it moves."""

import torch
from torch import Tensor

from opdm.adapters.contract import Adapter, Guidance
from opdm.conditions import Conditions
from opdm.config import FlowAdapterConfig, UNetConfig
from opdm.flow import ENCODINGS
from opdm.reference_encoder import PyramidEncoder
from opdm.warp import backward_warp

FLOW_SCALE_PX = 32.0
"""Flow and its error are divided by this, so that they enter the network near one."""


class FlowAdapter(Adapter):
    """Encodes the flow between drawing and keyframes, alone or with what it moves; proposes the keyframes moved by
    each flow, and unmoved."""

    def __init__(self, config: FlowAdapterConfig, *, references: int, unet: UNetConfig):
        super().__init__(config, references=references, unet=unet)
        flows = references * ENCODINGS
        self.proposals = flows + references
        self.encode = {"flow": encode_flow, "alignment": encode_alignment}[config.encodes]
        channels = {"flow": 2 * flows, "alignment": 1 + 8 * flows + 4 * references}[config.encodes]
        self.encoder = PyramidEncoder(
            channels, unet.widths, blocks_per_level=config.blocks_per_level, norm_groups=unet.norm_groups
        )

    def forward(self, conditions: Conditions) -> Guidance:
        """Features (B, C_l, H_l, W_l) per level; proposals (B, K F + K, 3, H, W), the moved keyframes first."""
        moved = move_keyframes(conditions)  # (B, K F, 4, H, W)
        proposals = torch.cat([moved[:, :, :3], conditions.keyframes.float()], dim=1)
        return Guidance(self.encoder(self.encode(conditions, moved)), proposals)


def move_keyframes(conditions: Conditions) -> Tensor:
    """Every keyframe and its drawing moved by each of its flows: (B, K F, 3 + 1, H, W) float32."""
    flow_px = conditions.flow_px  # (B, K, F, 2, H, W)
    pairs = torch.cat([conditions.keyframes, conditions.keyframe_lines], dim=2).float()  # (B, K, 4, H, W)
    repeated = pairs.unsqueeze(2).expand(-1, -1, flow_px.shape[2], -1, -1, -1)
    moved = backward_warp(repeated.flatten(0, 2), flow_px.flatten(0, 2))
    return moved.unflatten(0, (pairs.shape[0], -1))


def encode_flow(conditions: Conditions, moved: Tensor) -> Tensor:
    """The flows alone: (B, 2 K F, H, W)."""
    return conditions.flow_px.flatten(1, 3) / FLOW_SCALE_PX


def encode_alignment(conditions: Conditions, moved: Tensor) -> Tensor:
    """Drawing, keyframes with their lines, and of each moved keyframe its color, lines, their mismatch with the
    drawing, flow and forward-backward error: (B, 1 + 4 K + 8 K F, H, W)."""
    lines = conditions.lines.float()
    mismatch = (moved[:, :, 3:] - lines.unsqueeze(1)).abs()  # (B, K F, 1, H, W)
    flow = conditions.flow_px.flatten(1, 2) / FLOW_SCALE_PX  # (B, K F, 2, H, W)
    error = (conditions.flow_error_px.flatten(1, 2) / FLOW_SCALE_PX).clamp(max=1)  # (B, K F, 1, H, W)
    return torch.cat(
        [
            lines,
            conditions.keyframes.flatten(1, 2),
            conditions.keyframe_lines.flatten(1, 2),
            torch.cat([moved, mismatch, flow, error], dim=2).flatten(1, 2),
        ],
        dim=1,
    )
