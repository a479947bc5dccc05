"""Classical optical flow between drawings: what is known about motion before anything is learned.

Lines are too sparse for flow as they are, so each drawing is encoded twice: blurred ink, which gives large smooth
basins, and a decaying distance to ink, which gives every pixel of an empty region a gradient.
"""

import cv2
import numpy as np
import torch
from torch import Tensor

ENCODINGS = 2
"""Flows per pair of drawings: one on each encoding."""


def estimate_flow_px(lines: Tensor, keyframe_lines: Tensor) -> Tensor:
    """Dense inverse search flow (Kroeger et al. 2016) from a drawing to a keyframe's drawing, on both encodings.

    lines, keyframe_lines: (1, H, W) in [0, 1], 1 = paper. Returns (ENCODINGS, 2, H, W) in pixels, (dx, dy).
    """
    flows = [
        _dense_inverse_search(target, keyframe)
        for target, keyframe in zip(encode_lines(lines), encode_lines(keyframe_lines), strict=True)
    ]
    return torch.from_numpy(np.stack(flows)).permute(0, 3, 1, 2).contiguous()


def estimate_flow_both_ways_px(lines: Tensor, keyframe_lines: Tensor) -> tuple[Tensor, Tensor]:
    """The flow from the drawing to the keyframe and the one back, each (ENCODINGS, 2, H, W) in pixels."""
    target, keyframe = encode_lines(lines), encode_lines(keyframe_lines)
    pairs = list(zip(target, keyframe, strict=True))
    there = [_dense_inverse_search(a, b) for a, b in pairs]
    back = [_dense_inverse_search(b, a) for a, b in pairs]
    both = torch.from_numpy(np.stack(there + back)).permute(0, 3, 1, 2).contiguous()
    return both[:ENCODINGS], both[ENCODINGS:]


def encode_lines(lines: Tensor) -> list[np.ndarray]:
    """Two (H, W) uint8 images of a (1, H, W) drawing: blurred ink and exp(-distance to ink)."""
    ink = np.rint((1 - lines[0].numpy()) * 255).astype(np.uint8)
    blurred = cv2.GaussianBlur(ink, (0, 0), 1.5)
    is_paper = (ink < 64).astype(np.uint8)
    distance_px = cv2.distanceTransform(is_paper, cv2.DIST_L2, 3)
    falloff_px = max(ink.shape) / 32
    return [cv2.convertScaleAbs(blurred, alpha=2), (255 * np.exp(-distance_px / falloff_px)).astype(np.uint8)]


def _dense_inverse_search(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    start = np.zeros((*source.shape, 2), np.float32)
    return np.asarray(search.calc(source, target, start))
