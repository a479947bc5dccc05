"""What the denoiser is given beside the noisy frame: the drawing, its keyframes, and the motion between them.

Made once per drawing, on the CPU, by the data loader in training and by the pipeline in painting.
"""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from opdm.flow import ENCODINGS, estimate_flow_both_ways_px
from opdm.warp import forward_backward_error_px


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """A batch of drawings with their K keyframes, earlier before later; F flows to each keyframe."""

    lines: Tensor
    """(B, 1, H, W) in [0, 1], 1 = paper."""
    keyframes: Tensor
    """(B, K, 3, H, W) in [0, 1]."""
    keyframe_lines: Tensor
    """(B, K, 1, H, W) in [0, 1]."""
    flow_px: Tensor
    """(B, K, F, 2, H, W), from drawing to keyframe."""
    flow_error_px: Tensor
    """(B, K, F, 1, H, W), forward-backward error."""

    def to(self, device: torch.device | str) -> "Conditions":
        """The same conditions on another device."""
        return Conditions(**{entry.name: getattr(self, entry.name).to(device) for entry in fields(self)})

    def inside_model(self) -> "Conditions":
        """The same with frames and lines in [-1, 1], as the networks take them."""
        return replace(
            self,
            lines=self.lines * 2 - 1,
            keyframes=self.keyframes * 2 - 1,
            keyframe_lines=self.keyframe_lines * 2 - 1,
        )


def build_conditions(lines: Tensor, keyframes: Tensor, keyframe_lines: Tensor) -> Conditions:
    """Estimate the motion between each drawing and its keyframes.

    lines (B, 1, H, W), keyframes (B, K, 3, H, W), keyframe_lines (B, K, 1, H, W), all in [0, 1].
    """
    motions = [estimate_motion(drawing, drawings) for drawing, drawings in zip(lines, keyframe_lines, strict=True)]
    return Conditions(
        lines=lines,
        keyframes=keyframes,
        keyframe_lines=keyframe_lines,
        flow_px=torch.stack([flow for flow, _ in motions]),
        flow_error_px=torch.stack([error for _, error in motions]),
    )


def estimate_motion(lines: Tensor, keyframe_lines: Tensor) -> tuple[Tensor, Tensor]:
    """Flow (K, F, 2, H, W) and its forward-backward error (K, F, 1, H, W), in pixels, of one drawing.

    lines (1, H, W), keyframe_lines (K, 1, H, W), both in [0, 1].
    """
    both_ways = [estimate_flow_both_ways_px(lines, drawing) for drawing in keyframe_lines]
    flow = torch.stack([there for there, _ in both_ways])  # (K, F, 2, H, W)
    back = torch.stack([back for _, back in both_ways])  # (K, F, 2, H, W)
    error = forward_backward_error_px(flow.flatten(0, 1), back.flatten(0, 1))  # (K F, 1, H, W)
    return flow, error.unflatten(0, (-1, ENCODINGS))
