"""The motion between a drawing and its keyframes: several estimates of it, for none is right everywhere."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from opdm.flow import dense_inverse_search, encode_lines, flow_tensor
from opdm.frames import resize
from opdm.warp import forward_backward_error_px

FLOWS = 3
"""Estimates per keyframe: on blurred ink and on the distance to ink from where the tracks lead, and on the distance
from zero."""
ENLARGEMENT = 2
"""Of drawings before their motion is estimated: dense inverse search ends at half the size it is given, and a distance
to ink that is counted in whole pixels hides what lies between them."""
LARGEST_SIDE = 720
"""Shorter side, in pixels, up to which motion is estimated; it is smooth enough to be enlarged from there."""


@dataclass(frozen=True)
class Motion:
    """Of one drawing to its K keyframes."""

    flow_px: Tensor
    """(K, FLOWS, 2, H, W), from drawing to keyframe."""
    error_px: Tensor
    """(K, FLOWS, 1, H, W), forward-backward error."""

    def resize(self, size: tuple[int, int]) -> "Motion":
        """The same motion of frames of (height, width)."""
        return Motion(resize_flow(self.flow_px, size), resize_flow(self.error_px, size))


def estimate_motion(lines: Tensor, keyframe_lines: Sequence[Tensor], tracks_px: Tensor | None = None) -> Motion:
    """Estimate the motion from a drawing to its keyframes.

    lines and each of K keyframe_lines (1, H, W) in [0, 1], any size; they are enlarged, but not beyond
    `LARGEST_SIDE`, and shrunk where they are larger. tracks_px (K, 2, h, w), of any size, is where `opdm.flow.track_px`
    leads, where there are drawings between.
    """
    size = lines.shape[-2], lines.shape[-1]
    scale = min(ENLARGEMENT, LARGEST_SIDE / min(size))
    searched = round(size[0] * scale), round(size[1] * scale)
    encoded = encode_lines(resize(lines, searched))
    starts = [None] * len(keyframe_lines) if tracks_px is None else list(to_arrays(resize_flow(tracks_px, searched)))
    flows, errors = [], []
    for drawing, start in zip(keyframe_lines, starts, strict=True):
        there, back = search_both_ways(encoded, encode_lines(resize(drawing, searched)), start)
        flows.append(there)
        errors.append(forward_backward_error_px(there, back))  # one keyframe at a time, as it takes memory
    return Motion(torch.stack(flows), torch.stack(errors))


def search_both_ways(
    target: list[np.ndarray], keyframe: list[np.ndarray], start: np.ndarray | None
) -> tuple[Tensor, Tensor]:
    """The estimates from encoded drawing to encoded keyframe, and the ones back, each (FLOWS, 2, H, W)."""
    blurred = dense_inverse_search(target[0], keyframe[0], start)
    # Without a track the second estimate goes on from the first, for another one from zero comes third.
    near = dense_inverse_search(target[1], keyframe[1], blurred if start is None else start)
    far = dense_inverse_search(target[1], keyframe[1])
    back = [
        dense_inverse_search(keyframe[encoding], target[encoding], -flow)
        for encoding, flow in ((0, blurred), (1, near), (1, far))
    ]
    return flow_tensor([blurred, near, far]), flow_tensor(back)


def resize_flow(flow_px: Tensor, size: tuple[int, int]) -> Tensor:
    """Flow, or another length in pixels, (..., C, h, w) of frames of another (height, width)."""
    height, width = flow_px.shape[-2:]
    if (height, width) == size:
        return flow_px
    flat = flow_px.flatten(0, -4) if flow_px.ndim > 4 else flow_px
    resized = F.interpolate(flat, size, mode="bilinear", antialias=size[0] < height)
    resized *= (size[0] / height + size[1] / width) / 2
    return resized.view(*flow_px.shape[:-2], *size)


def to_arrays(flow_px: Tensor) -> np.ndarray:
    """(N, 2, H, W) as (N, H, W, 2)."""
    return np.ascontiguousarray(flow_px.permute(0, 2, 3, 1).numpy())
