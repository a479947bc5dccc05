"""How the camera pans between two keyframes, by the paint that is behind their figures."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from opdm.layers import Layers
from opdm.region_colors import pick
from opdm.warp import backward_warp, destinations, sample, sample_color

DETAIL = 0.05
"""Contrast with a neighbor from which on paint would show that it moved."""
LINE_PX, INKED = 2, 0.2
"""How far from a line paint may be mixed with it, and the coverage from which on there is one."""
LEAST_OVERLAP = 0.2
"""Share of the frame that two keyframes must both show of a painting for their shift to be looked for."""
PAN_STEPS = 5
"""Of least squares; three are mostly enough."""


def estimate_pan(keyframes: Sequence[Layers], is_ground: Sequence[Tensor]) -> Tensor:
    """(dx, dy) in pixels from what is behind the figures of the first keyframe to what is behind those of the second.

    The shift by which they differ least, to two pixels; from there by least squares (Lucas and Kanade 1981) that leave
    out what differs too much to be the same. is_ground: as `find_ground` has it of each.
    """
    first, second = (keyframe.paint for keyframe in keyframes)
    pan_px, size = find_shift([first, second], is_ground), is_ground[0].shape
    for _ in range(PAN_STEPS):
        moved = backward_warp(second[None], even_flow(pan_px, size))[0]
        difference = moved - first
        down, right = torch.gradient(moved, dim=(1, 2))
        weights = (is_ground[0] & is_within(size, pan_px)) / (1 + (difference / DETAIL).square()).square()
        slopes = torch.stack([right, down]).flatten(1).double()  # (2, 3 H W)
        weighted = slopes * weights.flatten()
        step, *_ = torch.linalg.lstsq(weighted @ slopes.T, -(weighted @ difference.flatten().double()), driver="gelsd")
        pan_px = pan_px + step.float()
    return pan_px


def find_ground(keyframe: Layers) -> Tensor:
    """What may be behind the figures by a keyframe's lines alone, (H, W) bool: regions at the frame's border."""
    regions = keyframe.regions
    is_ground = torch.zeros(int(regions.max()), dtype=torch.bool)
    is_ground[border_regions(regions)] = True
    return pick(is_ground, regions) & ~is_near_line(keyframe.lines)


def find_shift(frames: Sequence[Tensor], is_ground: Sequence[Tensor]) -> Tensor:
    """(dx, dy) in even pixels by which two frames (3, H, W) differ least where both have ground, (H, W) each.

    All shifts at once, by Fourier transforms (Padfield 2012, Masked object registration in the Fourier domain).
    """
    masks = [F.avg_pool2d(mask[None].double(), 2) for mask in is_ground]  # (1, h, w)
    colors = [F.avg_pool2d(frame.double(), 2) for frame in frames]
    height, width = colors[0].shape[-2:]

    def correlate(image: Tensor, other: Tensor) -> Tensor:
        spectra = (torch.fft.rfft2(each, s=(2 * height, 2 * width)) for each in (image, other))
        product = next(spectra).conj() * next(spectra)
        return torch.fft.irfft2(product.sum(dim=0), s=(2 * height, 2 * width))

    (mask, other_mask), (color, other_color) = masks, colors
    overlap = correlate(mask, other_mask)
    squares = correlate(mask * color.square().sum(dim=0), other_mask)
    other_squares = correlate(mask, other_mask * other_color.square().sum(dim=0))
    difference = squares + other_squares - 2 * correlate(mask * color, other_mask * other_color)
    difference = (difference / overlap).where(overlap > LEAST_OVERLAP * height * width, torch.inf)
    y, x = divmod(int(difference.argmin()), 2 * width)
    return torch.tensor([2.0 * (x - 2 * width * (x >= width)), 2.0 * (y - 2 * height * (y >= height))])


def follow(keyframe: Layers, shift_px: Tensor) -> Layers:
    """A keyframe as the camera has it that moved by (dx, dy)."""
    if not shift_px.any():
        return keyframe
    places_px = destinations(even_flow(shift_px, keyframe.lines.shape[-2:]))
    return Layers(sample_color(keyframe.color[None], places_px)[0], sample(keyframe.lines[None], places_px)[0])


def even_flow(shift_px: Tensor, size: tuple[int, ...]) -> Tensor:
    """The flow (1, 2, H, W) that is (dx, dy) everywhere."""
    return shift_px.view(1, 2, 1, 1).expand(1, 2, *size)


def is_within(size: tuple[int, ...], shift_px: Tensor) -> Tensor:
    """Which pixels (H, W) stay within the frame when they move by (dx, dy), or along a flow (2, H, W)."""
    height, width = size
    y, x = torch.arange(height)[:, None] + shift_px[1], torch.arange(width) + shift_px[0]
    return (y >= 0) & (y <= height - 1) & (x >= 0) & (x <= width - 1)


def border_regions(regions: Tensor) -> Tensor:
    """Indices, from 0, of the regions (H, W) at the frame's border."""
    ids = torch.cat([regions[0], regions[-1], regions[:, 0], regions[:, -1]]).unique()
    return ids[ids > 0].long() - 1


def is_near_line(lines: Tensor, reach_px: int = LINE_PX) -> Tensor:
    """Within how many pixels, to each side, of lines (1, H, W) in [0, 1]: (H, W) bool."""
    side = 2 * reach_px + 1
    return torch.from_numpy(cv2.dilate(1 - lines[0].numpy(), np.ones((side, side), np.uint8)) > INKED)
