"""The motion between a drawing and its keyframes: several estimates of it, for none is right everywhere."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from opdm.alignment import align
from opdm.flow import dense_inverse_search, encode_lines, flow_tensor
from opdm.frames import resize, to_8_bit
from opdm.layers import Layers
from opdm.outlines import find_outlines, follow_outlines
from opdm.segments import grow_over_lines, resize_regions
from opdm.settling import blur_ink, compare_lines, settle
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
    settled: Tensor | None = None
    """(K, 1, H, W) in [0, 1]: how much of the first flow is at rest or the camera's by its lines; None if unknown."""

    def resize(self, size: tuple[int, int]) -> "Motion":
        """The same motion of frames of (height, width)."""
        settled = None if self.settled is None else resize(self.settled, size)
        return Motion(resize_flow(self.flow_px, size), resize_flow(self.error_px, size), settled)


def estimate_motion(
    lines: Tensor, regions: Tensor, keyframes: Sequence[Layers], tracks_px: Tensor | None = None
) -> Motion:
    """Estimate the motion from a drawing to its keyframes.

    lines (1, H, W) in [0, 1], any size, with the regions (H, W) `opdm.segments.find_regions` finds, and K keyframes
    of that size; they are enlarged, but not beyond `LARGEST_SIDE`, and shrunk where they are larger. tracks_px
    (K, 2, h, w), of any size, is where `opdm.flow.track_px` leads, where there are drawings between.
    """
    size = lines.shape[-2], lines.shape[-1]
    scale = min(ENLARGEMENT, LARGEST_SIDE / min(size))
    searched = round(size[0] * scale), round(size[1] * scale)
    drawing = resize(lines, searched)
    starts = [None] * len(keyframes) if tracks_px is None else list(to_arrays(resize_flow(tracks_px, searched)))
    encoded, ink = encode_lines(drawing), blur_ink(drawing[0].numpy())
    outlines = find_outlines(grow_over_lines(resize_regions(regions, searched)).numpy(), ink)
    errors: list[Tensor] = []
    flows: list[list[np.ndarray]] = []
    inks, settled = [], []
    for keyframe, start in zip(keyframes, starts, strict=True):
        keyframe_lines = resize(keyframe.lines, searched)
        there, back = search_both_ways(encoded, encode_lines(keyframe_lines), start)
        errors.append(forward_backward_error_px(there, back))  # one keyframe at a time, as it takes memory
        inks.append(blur_ink(keyframe_lines[0].numpy()))
        followed = [follow_outlines(flow, outlines, ink, inks[-1]) for flow in to_arrays(there)]
        found, is_settled = settle(followed, errors[-1][0, 0].numpy(), ink, inks[-1])
        flows.append(found)
        settled.append(is_settled)
    if len({id(keyframe) for keyframe in keyframes}) == 2:
        firsts = [found[0] for found in flows]
        lightness = [measure_lightness(resize(keyframe.color, searched)) for keyframe in keyframes]
        mismatches = [compare_lines(ink, other, first) for other, first in zip(inks, firsts, strict=True)]
        flows[0][0], flows[1][0] = align(firsts, lightness, mismatches, settled)
    shares = torch.from_numpy(np.stack(settled)[:, None]).float()
    return Motion(torch.stack([flow_tensor(found) for found in flows]), torch.stack(errors), shares)


def measure_lightness(color: Tensor) -> np.ndarray:
    """(H, W) uint8 of a frame (3, H, W) in [0, 1]."""
    return cv2.cvtColor(np.ascontiguousarray(to_8_bit(color)), cv2.COLOR_RGB2GRAY)


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
