"""The residual, attention and resampling blocks of every network here: diffusers' own, with one lean forward pass."""

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn

from opdm.norm import norm_silu


class ResidualBlock(ResnetBlock2D):
    """diffusers' ResNet block that takes guidance features after its first convolution, beside the time embedding.

    Its own forward pass because the parent's makes the shortcut's input channels-first in training and divides by an
    output scale of one: two passes over the activations, where these cost as much as the convolutions.
    """

    def __init__(self, in_width: int, width: int, *, time_width: int | None, norm_groups: int):
        super().__init__(in_channels=in_width, out_channels=width, temb_channels=time_width, groups=norm_groups)

    def forward(self, hidden: Tensor, time: Tensor | None = None, guidance: Tensor | None = None) -> Tensor:
        """hidden (B, in_width, H, W), time (B, time_width) after its activation, guidance (B, width, H, W)."""
        residual = self.conv1(norm_silu(self.norm1, hidden))  # (B, width, H, W)
        if time is not None:
            residual = add(residual, self.time_emb_proj(time)[:, :, None, None])
        if guidance is not None:
            residual = add(residual, guidance)  # F_m = F_e + F_r + F_o, equation 5
        residual = self.conv2(norm_silu(self.norm2, residual))  # (B, width, H, W)
        shortcut = hidden if self.conv_shortcut is None else self.conv_shortcut(hidden)
        return add(residual, shortcut)


class BottleneckBlock(nn.Module):
    """The standard bottleneck: 1x1 down to a quarter, 3x3, 1x1 up, with a skip connection (He et al. 2016)."""

    def __init__(self, width: int):
        super().__init__()
        narrow = width // 4
        self.down = nn.Conv2d(width, narrow, 1)
        self.mix = nn.Conv2d(narrow, narrow, 3, padding=1)
        self.up = nn.Conv2d(narrow, width, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, width, H, W) to the same."""
        return hidden + self.up(F.relu(self.mix(F.relu(self.down(F.relu(hidden))))))


class Downsample(nn.Conv2d):
    """A strided convolution: half the height and width."""

    def __init__(self, width: int):
        super().__init__(width, width, 3, stride=2, padding=1)


class Upsample(nn.Conv2d):
    """Nearest-neighbour doubling and a convolution."""

    def __init__(self, in_width: int, width: int):
        super().__init__(in_width, width, 3, padding=1)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, in_width, H, W) to (B, width, 2 H, 2 W)."""
        return super().forward(F.interpolate(hidden, scale_factor=2, mode="nearest"))


def self_attention(width: int, *, head_width: int, norm_groups: int) -> Attention:
    """diffusers' attention over the pixels of a (B, width, H, W) tensor, so that its xformers switch reaches it."""
    return Attention(
        width,
        heads=width // head_width,
        dim_head=head_width,
        norm_num_groups=norm_groups,
        residual_connection=True,
        bias=True,
    )


def add(hidden: Tensor, other: Tensor) -> Tensor:
    """The sum, written over `hidden`: the convolution that made it does not need it back."""
    return hidden.add_(other) if hidden.dtype == other.dtype else hidden + other


def channels_last(tensor: Tensor) -> Tensor:
    """The same (B, C, H, W) tensor with channels innermost, which convolutions run fastest on."""
    return tensor.contiguous(memory_format=torch.channels_last)
