"""Multiscale features of the keyframes (section 3.3, equation 4)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from opdm.blocks import ResidualBlock, channels_last


class PyramidEncoder(nn.Module):
    """Per level: a convolution, residual blocks, and max-pooling to the next; a level's feature is taken before the
    pooling, so that the levels are 1, 1/2, 1/4 and 1/8 as in the U-Net."""

    def __init__(self, in_channels: int, widths: tuple[int, ...], *, blocks_per_level: int, norm_groups: int):
        super().__init__()
        in_widths = [in_channels, *widths[:-1]]
        self.levels = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(in_width, width, 3, padding=1),
                *(
                    ResidualBlock(width, width, time_width=None, norm_groups=norm_groups)
                    for _ in range(blocks_per_level)
                ),
            )
            for in_width, width in zip(in_widths, widths, strict=True)
        )

    @property
    def dtype(self) -> torch.dtype:
        """What the convolutions compute in."""
        return next(self.parameters()).dtype

    def forward(self, image: Tensor) -> list[Tensor]:
        """image (B, in_channels, H, W): features (B, widths[l], H / 2^l, W / 2^l)."""
        features = [self.levels[0](channels_last(image.to(self.dtype)))]
        for level in self.levels[1:]:
            features.append(level(F.max_pool2d(features[-1], 2)))
        return features
