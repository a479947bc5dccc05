"""Moving frames along flow: backward warping, its visibility, and flow read out of offsets.

Frames are sampled on the CPU by OpenCV: a drawing's proposals sample some eighty channels of its full size, and this is
four to seven times as fast as `torch.nn.functional.grid_sample`, which gives the same.
"""

import cv2
import torch
from torch import Tensor


def backward_warp(frame: Tensor, flow_px: Tensor) -> Tensor:
    """Sample `frame` where the flow points: result[y, x] = frame[y + dy, x + dx], bilinear, borders repeated.

    frame: (B, C, H, W) on the CPU, any range. flow_px: (B, 2, H, W), (dx, dy) in pixels. Returns (B, C, H, W) float32.
    """
    return sample(frame, destinations(flow_px))


def sample(frame: Tensor, places_px: Tensor, *, interpolation: int = cv2.INTER_LINEAR) -> Tensor:
    """A frame (B, C, H, W), any range, at places (B, 2, h, w), x and y in pixels: bilinear, borders repeated.

    Returns (B, C, h, w) float32.
    """
    moved = torch.empty(*frame.shape[:2], *places_px.shape[-2:])
    for image, (x, y), moved_image in zip(frame.float().numpy(), places_px.float().numpy(), moved.numpy(), strict=True):
        for channel, into in zip(image, moved_image, strict=True):
            cv2.remap(channel, x, y, interpolation, dst=into, borderMode=cv2.BORDER_REPLICATE)
    return moved


def sample_color(frame: Tensor, places_px: Tensor) -> Tensor:
    """As `sample`, but bicubic, for (B, 3, H, W) in [0, 1], and kept there: bilinear samples blur what they move."""
    return sample(frame, places_px, interpolation=cv2.INTER_CUBIC).clamp_(0, 1)


def destinations(flow_px: Tensor) -> Tensor:
    """Where flow (B, 2, H, W) leads from each pixel: (B, 2, H, W), x and y in pixels."""
    height, width = flow_px.shape[-2:]
    x, y = torch.arange(width, dtype=flow_px.dtype), torch.arange(height, dtype=flow_px.dtype)
    return torch.stack([flow_px[:, 0] + x, flow_px[:, 1] + y[:, None]], dim=1)


def forward_backward_error_px(forward_px: Tensor, backward_px: Tensor) -> Tensor:
    """How far from its start a pixel ends that goes along `forward_px` and back along `backward_px`.

    Both (B, 2, H, W). Returns (B, 1, H, W) in pixels: 0 where the two agree, large where the pixel is occluded.
    """
    returned = forward_px + backward_warp(backward_px, forward_px)
    return returned.square().sum(dim=1, keepdim=True).sqrt()


def mean_offset_px(offsets_px: Tensor) -> Tensor:
    """The flow that N x N deformable offsets amount to: their mean over the kernel.

    offsets_px: (B, 2 N^2, H, W) in torchvision's order, (dy, dx) per kernel position. Returns (B, 2, H, W), (dx, dy).
    """
    pairs = offsets_px.unflatten(1, (-1, 2))  # (B, N^2, 2, H, W)
    return pairs.mean(dim=1).flip(1)  # (B, 2, H, W)
