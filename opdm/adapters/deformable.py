"""The keyframes themselves, aligned by deformable convolution: the paper's single-pass rival, DCM (Table 4)."""

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import deform_conv2d

from opdm.adapters.contract import Adapter
from opdm.adapters.offset import OffsetEstimator, mean_kernel
from opdm.conditions import Conditions
from opdm.config import DeformableAdapterConfig, UNetConfig


class DeformableAdapter(Adapter):
    """Aligns each keyframe to the drawing at every level of an image pyramid, by a deformable convolution of its own.

    Ours, where the paper only says "deformable convolution and a U-Net": the aligned keyframes enter the U-Net where
    the Offset-Adapter's features would, and it runs once, from noise to frame.
    """

    def __init__(self, config: DeformableAdapterConfig, *, references: int, unet: UNetConfig):
        super().__init__(config, references=references, unet=unet)
        self.estimator = OffsetEstimator(config)
        self.kernels = nn.ParameterList(nn.Parameter(mean_kernel(config.kernel_size)) for _ in unet.widths)
        self.projections = nn.ModuleList(nn.Conv2d(3 * references, width, 3, padding=1) for width in unet.widths)

    def forward(self, conditions: Conditions) -> list[Tensor]:
        """Features (B, C_l, H_l, W_l) per level."""
        aligned = self.align(conditions)
        dtype = self.kernels[0].dtype
        return [
            project(level.flatten(1, 2).to(dtype)) for project, level in zip(self.projections, aligned, strict=True)
        ]

    def align(self, conditions: Conditions) -> list[Tensor]:
        """The keyframes brought to the drawing: one (B, K, 3, H_l, W_l) float32 per level, about [-1, 1]."""
        batch, count = conditions.keyframes.shape[:2]
        source = conditions.keyframes.flatten(0, 1).float()  # (B K, 3, H, W)
        offsets = self.estimator(conditions.lines.repeat_interleave(count, dim=0), source)
        aligned = []
        for kernel, level_offsets in zip(self.kernels, offsets, strict=True):
            padding = kernel.shape[-1] // 2
            moved = deform_conv2d(source, level_offsets.float(), kernel.float(), padding=padding)
            aligned.append(moved.unflatten(0, (batch, count)))
            source = F.avg_pool2d(source, 2)
        return aligned
