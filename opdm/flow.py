"""Classical optical flow between drawings: what is known about motion before anything is learned.

Lines are too sparse for flow as they are, so each drawing is encoded twice: blurred ink, which gives large smooth
basins, and a decaying distance to ink, which gives every pixel of an empty region a gradient.
"""

from collections.abc import Iterable

import cv2
import numpy as np
import torch
from torch import Tensor

ENCODINGS = 2
"""Images per drawing: blurred ink, and distance to ink."""
LEAST_SIDE = 12
"""Of an image, in pixels, for dense inverse search."""
TRACKING_SIDE = 320
"""Shorter side, in pixels, at which motion is handed on from drawing to drawing."""


def estimate_flow_px(lines: Tensor, keyframe_lines: Tensor) -> Tensor:
    """Dense inverse search flow (Kroeger et al. 2016) from a drawing to a keyframe's drawing, on both encodings.

    lines, keyframe_lines: (1, H, W) in [0, 1], 1 = paper. Returns (ENCODINGS, 2, H, W) in pixels, (dx, dy).
    """
    pairs = zip(encode_lines(lines), encode_lines(keyframe_lines), strict=True)
    return flow_tensor([dense_inverse_search(target, keyframe) for target, keyframe in pairs])


def track_px(drawings: Iterable[Tensor]) -> list[Tensor]:
    """The flow of every drawing of a sequence to its first one, handed on from drawing to drawing.

    Between neighbors motion is small and flow is sure; composed along the sequence and then corrected against the
    first drawing itself, it follows motion that is too large to be found at once. drawings: (1, H, W) in [0, 1] each.
    Returns one (2, H, W) per drawing, in pixels; the first is zero.
    """
    flows: list[np.ndarray] = []
    encoded: list[np.ndarray] = []
    for lines in drawings:
        image = encode_lines(lines)[1]
        if not flows:
            flows.append(np.zeros((*image.shape, 2), np.float32))
            encoded = [image, image]
            continue
        first, previous = encoded
        start = compose_flow(dense_inverse_search(image, previous), flows[-1])
        flows.append(dense_inverse_search(image, first, start))
        encoded[1] = image
    return list(flow_tensor(flows))


def encode_lines(lines: Tensor) -> list[np.ndarray]:
    """Two (H, W) uint8 images of a (1, H, W) drawing: blurred ink and exp(-distance to ink)."""
    ink = np.rint((1 - lines[0].numpy()) * 255).astype(np.uint8)
    blurred = cv2.GaussianBlur(ink, (0, 0), 1.5)
    is_paper = (ink < 64).astype(np.uint8)
    distance_px = cv2.distanceTransform(is_paper, cv2.DIST_L2, 3)
    falloff_px = max(ink.shape) / 32
    return [cv2.convertScaleAbs(blurred, alpha=2), (255 * np.exp(-distance_px / falloff_px)).astype(np.uint8)]


def dense_inverse_search(source: np.ndarray, target: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
    """Flow (H, W, 2) in pixels between two (H, W) uint8 images, from zero or from a `start` of the same shape.

    Images with a side below `LEAST_SIDE` are too small to be searched: nothing is added to the start.
    """
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    # The search writes into the array that it is given.
    start = np.zeros((*source.shape, 2), np.float32) if start is None else start.copy()
    if min(source.shape) < LEAST_SIDE:
        return start
    return np.asarray(search.calc(source, target, start))


def compose_flow(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The flow along `first` and then along `second`, all (H, W, 2) in pixels."""
    return first + move(second, first)


def move(image: np.ndarray, flow: np.ndarray, *, interpolation: int = cv2.INTER_LINEAR) -> np.ndarray:
    """An image (H, W) or (H, W, C) where a flow (H, W, 2) in pixels leads from each pixel."""
    y, x = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float32)
    return cv2.remap(image, x + flow[..., 0], y + flow[..., 1], interpolation, borderMode=cv2.BORDER_REPLICATE)


def flow_tensor(flows: list[np.ndarray]) -> Tensor:
    """N flows of (H, W, 2) as (N, 2, H, W)."""
    return torch.from_numpy(np.stack(flows)).permute(0, 3, 1, 2).contiguous()
