"""Moving frames along flow: backward warping, its visibility, and flow read out of offsets."""

import torch
import torch.nn.functional as F
from torch import Tensor


def backward_warp(frame: Tensor, flow_px: Tensor) -> Tensor:
    """Sample `frame` where the flow points: result[y, x] = frame[y + dy, x + dx], bilinear, borders repeated.

    frame: (B, C, H, W), any range. flow_px: (B, 2, H, W), (dx, dy) in pixels. Returns (B, C, H, W).
    """
    return sample(frame, sampling_grid(flow_px))


def sample(frame: Tensor, grid: Tensor) -> Tensor:
    """A frame (B, C, H, W), any range, at the places of a `sampling_grid`: bilinear, borders repeated."""
    return F.grid_sample(frame, grid.to(frame.dtype), mode="bilinear", padding_mode="border", align_corners=True)


def sample_color(frame: Tensor, grid: Tensor) -> Tensor:
    """As `sample`, but bicubic, for (B, 3, H, W) in [0, 1], and kept there: bilinear samples blur what they move."""
    moved = F.grid_sample(frame, grid.to(frame.dtype), mode="bicubic", padding_mode="border", align_corners=True)
    return moved.clamp(0, 1)


def sampling_grid(flow_px: Tensor) -> Tensor:
    """The (B, H, W, 2) grid in [-1, 1] that `torch.nn.functional.grid_sample` takes with align_corners=True."""
    height, width = flow_px.shape[-2:]
    y = torch.arange(height, dtype=flow_px.dtype, device=flow_px.device).view(1, height, 1)
    x = torch.arange(width, dtype=flow_px.dtype, device=flow_px.device).view(1, 1, width)
    return torch.stack(
        [
            (x + flow_px[:, 0]) * (2 / max(width - 1, 1)) - 1,
            (y + flow_px[:, 1]) * (2 / max(height - 1, 1)) - 1,
        ],
        dim=-1,
    )


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
