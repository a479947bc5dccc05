"""Optical flow in the place of offsets (FlowDM of Table 4), and the keyframes that it moves."""

import torch
from torch import Tensor

from opdm.adapters.contract import Adapter
from opdm.checkpoint import RGB, Channels
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
        self.encode, name_inputs = {
            "flow": (encode_flow, name_flow),
            "alignment": (encode_alignment, name_alignment),
            "matches": (encode_matches, name_matches),
        }[config.encodes]
        self.inputs = tuple(name_inputs(references))
        self.encoder = PyramidEncoder(
            len(self.inputs), unet.widths, blocks_per_level=config.blocks_per_level, norm_groups=unet.norm_groups
        )

    def channels(self, prefix: str) -> dict[str, Channels]:
        """Those of the encoder's first convolution."""
        return {f"{prefix}encoder.levels.0.0.weight": Channels(1, self.inputs)}

    def forward(self, conditions: Conditions) -> list[Tensor]:
        """Features (B, C_l, H_l, W_l) per level."""
        return self.encoder(self.encode(conditions))


def name_flow(references: int) -> list[str]:
    """What each channel of `encode_flow` is."""
    return [f"flow {k} {flow} {axis}" for k in range(references) for flow in range(FLOWS) for axis in "xy"]


def encode_flow(conditions: Conditions) -> Tensor:
    """The flows alone: (B, 2 K FLOWS, H, W)."""
    assert conditions.flow_px is not None
    return conditions.flow_px.flatten(1, 3) / FLOW_SCALE_PX


def name_alignment(references: int) -> list[str]:
    """What each channel of `encode_alignment` is."""
    of_moved = [*RGB, "lines", "mismatch", "x", "y", "error"]
    return [
        "lines",
        *(f"fill 0 {color}" for color in RGB),
        *(f"keyframe {k} {color}" for k in range(references) for color in RGB),
        *(f"keyframe {k} lines" for k in range(references)),
        *(f"moved {k} {flow} {name}" for k in range(references) for flow in range(FLOWS) for name in of_moved),
    ]


def encode_alignment(conditions: Conditions) -> Tensor:
    """Drawing, fill by vote, keyframes with their lines, and of each moved keyframe its color, lines, their mismatch
    with the drawing, flow and forward-backward error: (B, 4 + 4 K + 8 K FLOWS, H, W)."""
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
            conditions.proposals[:, -fills],
            conditions.keyframes.flatten(1, 2),
            conditions.keyframe_lines.flatten(1, 2),
            torch.cat([moved, moved_lines, mismatch, flow, error], dim=2).flatten(1, 2),
        ],
        dim=1,
    )


def name_matches(references: int) -> list[str]:
    """What each channel of `encode_matches` is."""
    matched = [f"fill {fill} {color}" for fill in range(1, 1 + references) for color in RGB]
    return [*name_alignment(references), *matched, *(f"fill {fill} sureness" for fill in range(1 + references))]


def encode_matches(conditions: Conditions) -> Tensor:
    """The same, the fills by match, and how sure all fills are: (B, 5 + 8 K + 8 K FLOWS, H, W)."""
    assert conditions.proposals is not None and conditions.fill_sureness is not None
    fills = conditions.fill_sureness.shape[1]
    matched = conditions.proposals[:, 1 - fills :].flatten(1, 2)
    return torch.cat([encode_alignment(conditions), matched, conditions.fill_sureness.flatten(1, 2)], dim=1)
