"""The Animation Transformer (AnT, Casey et al. 2021): which segment of one drawing is which of another.

Each segment becomes a vector from its crop and its box; attention within a drawing and across the two relates them; the
inner products of the outcome are the similarity from which labels are handed on (section 3).
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from opdm.ant_config import AnTConfig
from opdm.ant_crops import SegmentBatch, SegmentCrops, crop_segments
from opdm.config import from_dict, to_dict
from opdm.errors import InputError
from opdm.norm import norm_silu
from opdm.weights import resolve

CROP_CHANNELS = 2
"""Ink and mask."""


class CropLevel(nn.Module):
    """A convolution that halves the crop."""

    def __init__(self, in_channels: int, out_channels: int, norm_groups: int):
        super().__init__()
        self.convolution = nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1)
        self.norm = nn.GroupNorm(norm_groups, out_channels)

    def forward(self, crops: Tensor) -> Tensor:
        """(R, C_in, side, side) -> (R, C_out, side / 2, side / 2)."""
        return norm_silu(self.norm, self.convolution(crops))


class CropEncoder(nn.Module):
    """The CNN backbone: a crop to one vector.

    Ours: convolutions of stride 2 down to a single pixel, which is what the paper's 1 x 1 convolution then maps.
    """

    def __init__(self, widths: tuple[int, ...], *, out_width: int, norm_groups: int):
        super().__init__()
        channels = zip((CROP_CHANNELS, *widths), widths, strict=False)
        self.levels = nn.ModuleList(CropLevel(c, width, norm_groups) for c, width in channels)
        self.project = nn.Conv2d(widths[-1], out_width, 1)

    def forward(self, crops: Tensor) -> Tensor:
        """crops (R, 2, C, C) in [0, 1] -> (R, D)."""
        hidden = crops
        for level in self.levels:
            hidden = level(hidden)  # side / 2
        return self.project(hidden).flatten(1)  # from (R, D, 1, 1)


class BoxEncoder(nn.Sequential):
    """The positional encoder: a multilayer perceptron on the box's four numbers. Ours: two hidden layers."""

    def __init__(self, width: int):
        super().__init__(nn.Linear(4, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))


class NoPosition(nn.Module):
    """No positional embedding (Table 2)."""

    def __init__(self, width: int):
        super().__init__()

    def forward(self, boxes: Tensor) -> Tensor:
        """(R, 4) -> (R, 1) of zeros."""
        return torch.zeros_like(boxes[:, :1])


POSITIONS: dict[str, type[BoxEncoder] | type[NoPosition]] = {"box": BoxEncoder, "none": NoPosition}


class AttentionBlock(nn.Module):
    """Multi-head attention, then point-wise layers, each added to what came in.

    Ours: LayerNorm before each of the two, where the paper does not say. Drawings are padded to the same number of
    segments for the attention alone; all else sees the packed segments.
    """

    def __init__(self, width: int, *, heads: int, expansion: int, dropout: float):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width)
        self.merge = nn.Linear(width, width)
        self.pointwise = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, expansion * width),
            nn.SiLU(),
            nn.Linear(expansion * width, width),
        )

    def forward(self, features: Tensor, is_segment: Tensor, shift: int) -> Tensor:
        """features (R, D), is_segment (N, S) bool -> (R, D).

        Drawing n asks drawing n - shift, counted in a circle: 0 is self-attention, and half the drawings, where the
        references come first and their targets after, cross-attention both ways at once.
        """
        padded = pad(self.project(self.norm(features)), is_segment)  # (N, S, 3 D)
        query, key, value = padded.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (N, heads, S, D / heads)
        message = F.scaled_dot_product_attention(
            query,
            key.roll(shift, dims=0),
            value.roll(shift, dims=0),
            attn_mask=is_segment.roll(shift, dims=0)[:, None, None],  # (N, 1, 1, S)
            dropout_p=self.dropout if self.training else 0.0,
        )
        features = features + self.merge(message.transpose(1, 2).flatten(2)[is_segment])
        return features + self.pointwise(features)


class AnT(ModelMixin, ConfigMixin):
    """The network; `from_ant_config` makes a new one, `load_ant` reads a saved one."""

    _supports_gradient_checkpointing = False

    @register_to_config
    def __init__(self, architecture: dict[str, Any]):
        """architecture: `to_dict` of an `AnTConfig`, so that config.json says everything."""
        super().__init__()
        config = from_dict(AnTConfig, dict(architecture))
        self.crop_size, self.crop_margin = config.crop_size, config.crop_margin
        self.crop_encoder = CropEncoder(config.crop_widths, out_width=config.width, norm_groups=config.norm_groups)
        self.position_encoder = POSITIONS[config.position](config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            AttentionBlock(config.width, heads=config.heads, expansion=config.expansion, dropout=config.dropout)
            for _ in range(2 * config.layers)
        )
        self.norm = nn.LayerNorm(config.width)
        self.project = nn.Linear(config.width, config.width)

    def to(self, *arguments: Any, **options: Any) -> "AnT":
        """As any module's; diffusers' own warns of modules to be kept in float32 even where there are none."""
        return torch.nn.Module.to(self, *arguments, **options)

    @classmethod
    def from_ant_config(cls, config: AnTConfig) -> "AnT":
        """A new network with random weights."""
        return cls(architecture=to_dict(config))

    def forward(self, segments: SegmentBatch) -> Tensor:
        """Similarity f_i · f_j (equation 4) of the segments of B pairs: (B, S, S) float32, reference by target.

        The 2 B drawings of `segments` are the references, then their targets. Rows and columns where a drawing has no
        segment say nothing.
        """
        pairs = len(segments.is_segment) // 2
        features = self.crop_encoder(segments.crops) + self.position_encoder(segments.boxes)  # (R, D), equation 1
        features = self.dropout(features)
        for index, block in enumerate(self.blocks):
            features = block(features, segments.is_segment, pairs * (index % 2))
        features = pad(self.project(self.norm(features)).float(), segments.is_segment)  # (2 B, S, D)
        with torch.autocast(features.device.type, enabled=False):
            return features[:pairs] @ features[pairs:].mT

    def crop(self, lines: Tensor, labels: Tensor) -> SegmentCrops:
        """The segments of a drawing as this network sees them; arguments as `crop_segments` has them."""
        return crop_segments(lines, labels, side=self.crop_size, margin=self.crop_margin)

    @torch.no_grad()
    def compare(self, reference: SegmentCrops, target: SegmentCrops) -> Tensor:
        """The similarity of one pair, (M, N) float32 on the CPU: segments of the reference by those of the target."""
        similarity = self(SegmentBatch.pack([reference, target]).to(self.device))[0]
        return similarity[: len(reference.crops), : len(target.crops)].cpu()


def pad(features: Tensor, is_segment: Tensor) -> Tensor:
    """Packed (R, C) to (N, S, C), zero where there is no segment."""
    padded = features.new_zeros(*is_segment.shape, features.shape[-1])
    padded[is_segment] = features
    return padded


def load_ant(source: str | Path, device: str = "cpu") -> AnT:
    """A trained network, by the name of an embedded one or the folder that training wrote, ready to match.

    Raises InputError where it is missing or another model.
    """
    try:
        source = resolve(str(source))
    except ValueError as error:
        raise InputError(str(error)) from error
    if not (Path(source) / "config.json").is_file():
        raise InputError(f"{source}: no Animation Transformer; give ant-small, or pipeline/ of a run like it")
    try:
        return AnT.from_pretrained(source).float().to(device).eval()
    except Exception as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{source}: cannot be loaded as an Animation Transformer ({type(error).__name__}: {reason[:200]})"
        ) from error
