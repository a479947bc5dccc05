"""The Offset-Adapter (section 3.2): deformable-convolution offsets between drawing and keyframes, at every level."""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from opdm.adapters.contract import Adapter
from opdm.blocks import BottleneckBlock
from opdm.conditions import Conditions
from opdm.config import DeformableAdapterConfig, OffsetAdapterConfig, UNetConfig
from opdm.weights import WEIGHTS_FILE


class LevelEstimator(nn.Module):
    """The estimator of one level: a convolution, bottleneck residual blocks, and a convolution to the offsets, which
    starts at zero: no motion."""

    def __init__(self, width: int, *, blocks: int, channels: int):
        super().__init__()
        self.stem = nn.Conv2d(4, width, 3, padding=1)
        self.blocks = nn.Sequential(*(BottleneckBlock(width) for _ in range(blocks)))
        self.project = nn.Conv2d(width, channels, 3, padding=1)
        for parameter in self.project.parameters():
            nn.init.zeros_(parameter)

    def forward(self, pair: Tensor) -> Tensor:
        """Drawing and keyframe (B, 4, H, W) in [-1, 1]: offsets (B, 2 N^2, H, W) in pixels."""
        return self.project(self.blocks(self.stem(pair.to(self.stem.weight.dtype))))


class OffsetEstimator(nn.Module):
    """At each level of an image pyramid: (drawing, one keyframe) to N x N offsets per pixel (equation 1).

    Ours, where the paper is silent: one deformable group, offsets in pixels of their level, and both branches share
    these weights.
    """

    def __init__(self, config: OffsetAdapterConfig | DeformableAdapterConfig):
        super().__init__()
        self.channels = 2 * config.kernel_size**2
        self.levels = nn.ModuleList(
            LevelEstimator(width, blocks=config.blocks_per_level, channels=self.channels) for width in config.widths
        )

    def forward(self, lines: Tensor, keyframe: Tensor) -> list[Tensor]:
        """lines (B, 1, H, W) and keyframe (B, 3, H, W) in [-1, 1]: offsets (B, 2 N^2, H / 2^l, W / 2^l) in pixels of
        their level, torchvision's order (dy, dx per kernel position)."""
        pair = torch.cat([lines, keyframe], dim=1)
        offsets = []
        for level in self.levels:
            offsets.append(level(pair))
            pair = F.avg_pool2d(pair, 2)
        return offsets


def mean_kernel(size: int) -> Tensor:
    """A (3, 3, N, N) kernel that averages over its positions: a blur that offsets can sharpen."""
    return torch.eye(3).view(3, 3, 1, 1).repeat(1, 1, size, size) / size**2


class OffsetAdapter(Adapter):
    """Offsets to every keyframe, brought to the U-Net's widths."""

    def __init__(self, config: OffsetAdapterConfig, *, references: int, unet: UNetConfig):
        super().__init__(config, references=references, unet=unet)
        self.estimator = OffsetEstimator(config)
        self.projections = nn.ModuleList(
            nn.Conv2d(references * self.estimator.channels, width, 3, padding=1) for width in unet.widths
        )

    def forward(self, conditions: Conditions) -> list[Tensor]:
        """Features (B, C_l, H_l, W_l) per level."""
        offsets = self.estimate(conditions)  # L x (B, K, 2 N^2, H_l, W_l)
        return [project(level.flatten(1, 2)) for project, level in zip(self.projections, offsets, strict=True)]

    def estimate(self, conditions: Conditions) -> list[Tensor]:
        """The offsets to every keyframe: one (B, K, 2 N^2, H_l, W_l) per level."""
        batch, count = conditions.keyframes.shape[:2]
        lines = conditions.lines.repeat_interleave(count, dim=0)  # (B K, 1, H, W)
        offsets = self.estimator(lines, conditions.keyframes.flatten(0, 1))
        return [level.unflatten(0, (batch, count)) for level in offsets]

    def load_estimator(self, source: str | Path) -> None:
        """Take over pre-trained estimator weights and freeze them, as the paper does.

        source: the pipeline folder of a pre-training run, or a safetensors file of a model or of an estimator alone.
        Raises ValueError naming it when it is missing, unreadable or of another shape.
        """
        weights = read_estimator(Path(source))
        found = weights[LAST_WEIGHT].shape[0] if LAST_WEIGHT in weights else "no"
        try:
            self.estimator.load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(
                f"{source}: not the weights of this estimator ({found} offset channels in the file, "
                f"{self.estimator.channels} in the model); take the checkpoint of the same kernel size and widths"
            ) from error
        self.estimator.requires_grad_(False)


LAST_WEIGHT = "levels.0.project.weight"


def read_estimator(source: Path) -> dict[str, Tensor]:
    """The estimator's weights, from wherever `OffsetAdapter.load_estimator` takes them."""
    file = source / WEIGHTS_FILE if source.is_dir() else source
    try:
        weights = load_file(file)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{file}: no readable safetensors file ({reason}); the run offset-pretraining makes one"
        ) from error
    inside = "adapter.estimator."
    of_a_model = {name.removeprefix(inside): value for name, value in weights.items() if name.startswith(inside)}
    return of_a_model or weights
