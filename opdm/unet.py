"""The denoising U-Net: a noisy frame and its drawing in, and the features of the keyframes added on the way down."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from torch import Tensor, nn

from opdm.blocks import Downsample, ResidualBlock, Upsample, self_attention
from opdm.config import UNetConfig
from opdm.norm import norm_silu
from opdm.region_pooling import RegionPooling


class EncoderLevel(nn.Module):
    """Residual blocks of one resolution, the first (or every) one guided, each followed by attention where asked."""

    def __init__(self, config: UNetConfig, level: int, in_width: int, time_width: int):
        super().__init__()
        widths = [in_width] + [config.widths[level]] * config.blocks_per_level
        self.blocks = nn.ModuleList(
            ResidualBlock(a, b, time_width=time_width, norm_groups=config.norm_groups) for a, b in pairwise(widths)
        )
        self.attentions = attentions(config, level, len(self.blocks))
        self.guided_blocks = len(self.blocks) if config.injection == "every_block" else 1

    def forward(self, hidden: Tensor, time: Tensor, guidance: Tensor) -> list[Tensor]:
        """hidden (B, in_width, H, W), time (B, T), guidance (B, width, H, W): the output of every block."""
        skips = []
        for index, (block, attention) in enumerate(zip(self.blocks, self.attentions, strict=True)):
            hidden = block(hidden, time, guidance if index < self.guided_blocks else None)
            hidden = attention(hidden)
            skips.append(hidden)
        return skips


class DecoderLevel(nn.Module):
    """Residual blocks of one resolution, each taking one of the encoder's outputs beside its own input; last, where
    asked, a pooling over regions."""

    def __init__(self, config: UNetConfig, level: int, in_width: int, skip_widths: list[int], time_width: int):
        super().__init__()
        width = config.widths[level]
        in_widths = [in_width] + [width] * (len(skip_widths) - 1)
        self.blocks = nn.ModuleList(
            ResidualBlock(a + skip, width, time_width=time_width, norm_groups=config.norm_groups)
            for a, skip in zip(in_widths, skip_widths, strict=True)
        )
        self.attentions = attentions(config, level, len(self.blocks))
        self.stride = 2**level
        self.pooling = RegionPooling(width, norm_groups=config.norm_groups) if level in config.region_levels else None

    def forward(self, hidden: Tensor, skips: list[Tensor], time: Tensor, regions: Tensor) -> Tensor:
        """hidden (B, in_width, H, W) and `skips`, taken from its end; regions of full resolution: (B, width, H, W)."""
        for block, attention in zip(self.blocks, self.attentions, strict=True):
            hidden = attention(block(torch.cat([hidden, skips.pop()], dim=1), time))
        if self.pooling is None:
            return hidden
        return self.pooling(hidden, regions[..., :: self.stride, :: self.stride])


class UNet(nn.Module):
    """Section 3.3: (noisy frame, drawing) to `out_channels`, guided at every level of the encoder."""

    def __init__(self, config: UNetConfig, *, out_channels: int):
        super().__init__()
        widths, time_width = config.widths, 4 * config.widths[0]
        self.time_features = Timesteps(widths[0], flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedding = TimestepEmbedding(widths[0], time_width)
        self.stem = nn.Conv2d(4, widths[0], 3, padding=1)

        in_widths = [widths[0], *widths[:-1]]
        self.encoder = nn.ModuleList(EncoderLevel(config, n, in_widths[n], time_width) for n in range(len(widths)))
        self.downsamples = nn.ModuleList(Downsample(width) for width in widths[:-1])

        bottom, groups = widths[-1], config.norm_groups
        self.middle_in = ResidualBlock(bottom, bottom, time_width=time_width, norm_groups=groups)
        self.middle_attention = attentions(config, len(widths) - 1, 1)[0]
        self.middle_out = ResidualBlock(bottom, bottom, time_width=time_width, norm_groups=groups)

        self.decoder = nn.ModuleList()
        self.upsamples = nn.ModuleList()
        for level in reversed(range(len(widths))):
            # What the level's encoder put out, last first, and what entered it: the stem or the downsampled level.
            skip_widths = [widths[level]] * config.blocks_per_level + [in_widths[level]]
            self.decoder.append(DecoderLevel(config, level, widths[level], skip_widths, time_width))
            self.upsamples.append(Upsample(widths[level], widths[level - 1]) if level else nn.Identity())
        self.norm = nn.GroupNorm(groups, widths[0])
        self.project = nn.Conv2d(widths[0], out_channels, 3, padding=1)
        for parameter in self.project.parameters():
            nn.init.zeros_(parameter)  # a new model predicts zero

    def forward(
        self, noisy_frame: Tensor, lines: Tensor, timestep: Tensor, guidance: list[Tensor], regions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """noisy_frame (B, 3, H, W) and lines (B, 1, H, W), both about [-1, 1]; timestep (B,); guidance one
        (B, C_l, H / 2^l, W / 2^l) per level; regions (B, 1, H, W) int.

        Returns (B, out_channels, H, W), and the features (B, C_0, H, W) that it is a projection of.
        """
        hidden = self.stem(torch.cat([noisy_frame, lines], dim=1))  # (B, C_0, H, W)
        time = F.silu(self.time_embedding(self.time_features(timestep).to(hidden.dtype)))  # (B, T)
        skips = [hidden]
        for level, encoder in enumerate(self.encoder):
            skips += encoder(skips[-1], time, guidance[level])  # each (B, C_l, H_l, W_l)
            if level < len(self.downsamples):
                skips.append(self.downsamples[level](skips[-1]))  # (B, C_l, H_l / 2, W_l / 2)

        hidden = self.middle_attention(self.middle_in(skips[-1], time))
        hidden = self.middle_out(hidden, time)
        for decoder, upsample in zip(self.decoder, self.upsamples, strict=True):
            hidden = upsample(decoder(hidden, skips, time, regions))
        features = norm_silu(self.norm, hidden)
        return self.project(features), features


def attentions(config: UNetConfig, level: int, count: int) -> nn.ModuleList:
    """`count` self-attentions where the level has them, else as many identities."""
    if level not in config.attention_levels:
        return nn.ModuleList(nn.Identity() for _ in range(count))
    return nn.ModuleList(
        self_attention(config.widths[level], head_width=config.attention_head_width, norm_groups=config.norm_groups)
        for _ in range(count)
    )
