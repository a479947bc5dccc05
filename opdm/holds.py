"""What a drawing has just as one of its keyframes has it: there the keyframe is the finished frame, to the last bit.

Ours. Animators hold a drawing for several frames, or all of it but a mouth; what is held must not flicker.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from opdm.layers import Layers
from opdm.region_colors import FLAT_TOLERANCE, pick, sum_by_region
from opdm.segments import grow_over_lines

UNCHANGED, AROUND_PX = 0.1, 2
"""Difference of lines, in [0, 1], up to which they are the same, for compression stays within it; and how far around a
region they must be."""


def find_held(lines: Tensor, regions: Tensor, keyframes: Sequence[Layers], *, count: int) -> Tensor:
    """The number, from 1, of the first keyframe with the very lines in and around each region, (S,) int64; 0 = none.

    lines (1, H, W) and regions (H, W), `count` in all, of the drawing; keyframes of its size. Where two keyframes have
    these lines and not the same colors, nothing tells whose are right, and it is none.
    """
    grown = grow_over_lines(regions)

    def is_free_of(mask: np.ndarray) -> Tensor:
        return sum_by_region(grown, torch.from_numpy(mask).float(), count) == 0

    kernel = np.ones((2 * AROUND_PX + 1,) * 2, np.uint8)
    changes = [(keyframe.lines - lines).abs()[0].numpy() for keyframe in keyframes]
    is_same = torch.stack([is_free_of(cv2.dilate(change, kernel) > UNCHANGED) for change in changes])  # (K, S)
    contrast = (keyframes[0].color - keyframes[-1].color).abs().amax(dim=0)
    is_known = is_free_of((contrast > FLAT_TOLERANCE).numpy()) | ~is_same.all(dim=0)
    return torch.where(is_known & is_same.any(dim=0), is_same.int().argmax(dim=0) + 1, 0)


def hold(frame: Tensor, held: Tensor, regions: Tensor, keyframes: Sequence[Layers]) -> Tensor:
    """A painted frame (3, H, W) with the keyframes' pixels in the regions (H, W) that are held, as `find_held` says."""
    if not held.any():
        return frame
    number = pick(held, grow_over_lines(regions))
    for k, keyframe in enumerate(keyframes, 1):
        frame = torch.where(number == k, keyframe.color, frame)
    return frame
