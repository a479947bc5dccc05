"""RAFT of torchvision on pictures of any size."""

import torch.nn.functional as F
from torch import Tensor, nn

UPDATES = 12
"""torchvision's own default."""
MULTIPLE, SMALLEST_PX = 8, 128
"""Its pyramid of correlations has no fourth level below."""


def estimate_flow_px(network: nn.Module, source: Tensor, target: Tensor) -> Tensor:
    """Flow (B, 2, H, W) in pixels between pictures (B, 3, H, W) in [-1, 1]."""
    height, width = source.shape[-2:]
    flow_px: Tensor = network(_pad(source), _pad(target), num_flow_updates=UPDATES)[-1]
    return flow_px[..., :height, :width]


def _pad(pictures: Tensor) -> Tensor:
    """(B, C, H, W), the edge repeated to the right and below up to what RAFT takes."""
    wanted = (max(SMALLEST_PX, side + -side % MULTIPLE) for side in pictures.shape[-2:])
    below, right = (new - side for new, side in zip(wanted, pictures.shape[-2:], strict=True))
    return F.pad(pictures, (0, right, 0, below), mode="replicate")
