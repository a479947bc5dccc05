"""What the pixels of one region of the drawing tell each other, for a painter gives a region its colors as a whole."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from opdm.norm import norm_silu


class RegionPooling(nn.Module):
    """Adds to each pixel what its region as a whole amounts to: a gated mean of the features, seen beside its own.

    Ours. Convolutions carry what is sure in one part of a region no farther than they reach, and past its borders; this
    carries it through all of the region and nowhere else. A new one changes nothing.
    """

    def __init__(self, width: int, *, norm_groups: int):
        super().__init__()
        self.norm = nn.GroupNorm(norm_groups, width)
        self.values = nn.Conv2d(width, width, 1)
        self.gates = nn.Conv2d(width, width, 1)
        self.own = nn.Conv2d(width, width, 1)
        self.project = nn.Conv2d(width, width, 1)
        for parameter in self.project.parameters():
            nn.init.zeros_(parameter)

    def forward(self, hidden: Tensor, regions: Tensor) -> Tensor:
        """hidden (B, width, H, W), regions (B, 1, H, W) int: (B, width, H, W)."""
        normed = norm_silu(self.norm, hidden)
        pooled = region_mean(self.values(normed), self.gates(normed).sigmoid(), regions).to(hidden.dtype)
        return hidden + self.project(F.silu(self.own(normed) + pooled))


def region_mean(values: Tensor, weights: Tensor, regions: Tensor) -> Tensor:
    """The weighted mean over each pixel's region of values (B, C, H, W); weights (B, C or 1, H, W), above 0.

    regions (B, 1, H, W) int from 0, each sample's its own. Returns (B, C, H, W) float32.
    """
    batch, channels, height, width = values.shape
    ids, count = number_apart(regions)
    weights = weights.float()
    pairs = torch.cat([values.float() * weights, weights], dim=1).movedim(1, -1).flatten(0, 2)  # (B H W, C + C or 1)
    sums = pairs.new_zeros(count, pairs.shape[1]).index_add(0, ids, pairs)
    total, weight = sums[:, :channels], sums[:, channels:]
    means = (total / weight.clamp(min=torch.finfo(torch.float32).tiny)).index_select(0, ids)  # (B H W, C)
    return means.view(batch, height, width, channels).movedim(-1, 1)


def number_apart(regions: Tensor) -> tuple[Tensor, int]:
    """Numbers (B H W,) of which no two samples of regions (B, 1, H, W) have the same, and how many there can be.

    Of each sample there are as many, as if it had the highest region of all.
    """
    each = int(regions.max()) + 1
    first = torch.arange(len(regions), device=regions.device).view(-1, 1, 1, 1) * each
    return (regions.long() + first).flatten(), len(regions) * each
