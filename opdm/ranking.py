"""The proposals ranked among themselves: by what each looks like beside the others, whichever of them it is.

Ours. The U-Net has a channel of its own for every proposal, and has to learn of each anew what a good one is like. Here
one small network looks at all of them with the same weights: how a proposal agrees with the others and with the answer
so far, how well its lines meet the drawing's, and what its region as a whole says of that. It looks at half the size,
for a ranking is a matter of regions and the U-Net sees to edges; at full size it takes more memory than the U-Net.
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from opdm.blocks import add, channels_last
from opdm.conditions import Conditions
from opdm.motion import FLOWS
from opdm.region_pooling import region_mean

NEAR = 0.06
"""Largest difference of a channel, of colors in [0, 1], up to which two proposals agree."""
AROUND_PX = 9
"""Side of the square over which lines are compared."""
GRAIN_PX = 5
"""Side of the square over which a proposal is flat or not."""
FARTHEST_PX = 16.0
"""Forward-backward errors beyond are as bad."""
LOGIT_SCALE, LEAST_LOGIT = 4.0, -8.0
"""Logarithms of weights are divided by this, and not below that before."""
EVIDENCE_SCALE = 10.0
DILATIONS = (1, 2, 4)
KINDS = 5
"""Moved as it is, moved and inked, unmoved, filled by vote, filled by match."""
SHOWN = 13
"""Channels of what is known of each proposal before the U-Net."""
FOUND = 8
"""Channels of what the U-Net makes of it."""


@dataclass(frozen=True)
class Candidates:
    """What is known of B times P proposals before the U-Net has looked at anything, at half the size: h = H / 2."""

    frames: Tensor
    """(B, P, 3, h, w) float32 in [0, 1]."""
    regions: Tensor
    """(B, 1, h, w) int, of the drawing."""
    is_near: Tensor
    """(B, P, P, h, w) bool: where two proposals have nearly the same color."""
    shown: Tensor
    """(B, P, SHOWN, h, w) float32."""


class Ranking(nn.Module):
    """Adds to the logits of the proposals; a new one adds nothing."""

    def __init__(self, width: int, *, context_width: int, references: int, fills: int):
        super().__init__()
        self.shown, self.found = nn.Conv2d(SHOWN, width, 1), nn.Conv2d(FOUND, width, 1)
        self.context = nn.Conv2d(context_width, width, 1)
        self.kinds = nn.Embedding(KINDS, width)
        self.mixings = nn.ModuleList(Mixing(width, dilation=dilation) for dilation in DILATIONS)
        self.project = nn.Conv2d(width, 1, 1)
        for parameter in self.project.parameters():
            nn.init.zeros_(parameter)
        self.register_buffer("kind_of", torch.tensor(number_kinds(references, fills)), persistent=False)

    kind_of: Tensor

    def forward(self, logits: Tensor, residual: Tensor, context: Tensor, candidates: Candidates) -> Tensor:
        """logits (B, P, H, W) and residual (B, 3, H, W) float32, as the head takes them; context (B, C, H, W), features
        of the U-Net. Returns what is to be added to the logits, (B, P, H, W) float32."""
        batch, count = logits.shape[:2]
        with torch.no_grad():  # the U-Net learns by what becomes of its logits, not by how they are looked at
            found = find(halve(logits), halve(residual), candidates)
        hidden = add(self.shown(fold(candidates.shown, context)), self.found(fold(found, context)))
        by_proposal = hidden.unflatten(0, (batch, count))
        by_proposal += self.context(halve(context))[:, None]
        by_proposal += self.kinds(self.kind_of).to(hidden.dtype)[:, :, None, None]
        hidden = F.silu(hidden, inplace=not torch.is_grad_enabled())  # (B P, width, h, w)
        for mixing in self.mixings:
            hidden = mixing(hidden, count)
        ranks = self.project(hidden).unflatten(0, (batch, count))[:, :, 0].float()
        return F.interpolate(ranks, scale_factor=2, mode="bilinear")


def fold(planes: Tensor, like: Tensor) -> Tensor:
    """(B, P, C, H, W) as (B P, C, H, W), channels last, in the number format of another."""
    return channels_last(planes.flatten(0, 1).to(like.dtype))


class Mixing(nn.Module):
    """What is beside each pixel of a proposal, and what all proposals have there, added to it."""

    def __init__(self, width: int, *, dilation: int):
        super().__init__()
        self.beside = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)
        self.among = nn.Conv2d(width, width, 1)

    def forward(self, hidden: Tensor, count: int) -> Tensor:
        """hidden (B P, width, H, W), P = count, to the same."""
        # A mean over a dimension of strided planes takes longer than all convolutions.
        among = self.among(sum(hidden.unflatten(0, (-1, count)).unbind(dim=1)) / count)  # (B, width, H, W)
        mixed = self.beside(hidden)
        by_proposal = mixed.unflatten(0, (-1, count))
        by_proposal += among[:, None]
        return add(F.silu(mixed, inplace=not torch.is_grad_enabled()), hidden)


def show(conditions: Conditions, evidence: Tensor | None) -> Candidates:
    """What is known of the proposals of conditions as outside the model, in [0, 1]; evidence (B, P', H, W), logits for
    the first of them."""
    regions, evidence = conditions.regions[..., ::2, ::2], None if evidence is None else halve(evidence)
    conditions = replace(conditions.map(halve_images), regions=regions)
    assert conditions.proposals is not None and conditions.moved_lines is not None
    assert conditions.flow_error_px is not None and conditions.fill_sureness is not None
    frames, drawing = conditions.proposals, conditions.lines
    (batch, count), fills = frames.shape[:2], conditions.fill_sureness.shape[1]
    references = conditions.keyframes.shape[1]
    partner = find_partners(references, fills)
    planes = frames.new_zeros(batch, count, *frames.shape[-2:])
    moved, first_fill = 2 * references * FLOWS, count - fills

    is_near = torch.stack([distance(frames, frames[:, p, None]) <= NEAR for p in range(count)], dim=1)
    agreement = is_near.float().mean(dim=2)  # (B, P, H, W)
    apart = distance(frames, frames[:, partner])
    from_vote = distance(frames, frames[:, first_fill, None])
    matched = range(min(first_fill + 1, count - 1), count)
    from_matches = torch.stack([distance(frames, frames[:, p, None]) for p in matched])

    gray = frames.mean(dim=2)
    grain = (blur(gray.square(), GRAIN_PX) - blur(gray, GRAIN_PX).square()).clamp(min=0).sqrt()
    moved_lines = conditions.moved_lines.flatten(1, -3).repeat_interleave(2, dim=1)
    lines = torch.cat([moved_lines, conditions.keyframe_lines.flatten(1, 2), drawing.expand(-1, fills, -1, -1)], dim=1)
    mismatch = (lines - drawing).abs()
    around = blur(mismatch, AROUND_PX)
    error = planes.clone()
    error[:, :moved] = (conditions.flow_error_px.flatten(1, -3) / FARTHEST_PX).clamp(max=1).repeat_interleave(2, dim=1)
    sureness = planes.clone()
    sureness[:, first_fill:] = conditions.fill_sureness.flatten(1, 2)
    spoken = planes.clone()
    if evidence is not None:
        spoken[:, : evidence.shape[1]] = (evidence / EVIDENCE_SCALE).clamp(min=-1)
    ink = (1 - drawing).expand(-1, count, -1, -1)

    shown = [apart, from_vote, from_matches.amin(dim=0), grain, grain[:, partner], mismatch, error, sureness, ink]
    by_region = over_regions([apart, agreement, around, spoken], regions)
    return Candidates(frames, regions, is_near, torch.stack([*shown, *by_region], dim=2))


def find(logits: Tensor, residual: Tensor, candidates: Candidates) -> Tensor:
    """What the U-Net makes of each proposal: its weight, the weight of all that look like it, and how far it is from
    the answer, here and in the region; of logits (B, P, h, w) and residual (B, 3, h, w), (B, P, FOUND, h, w)."""
    logarithms = logits.float().log_softmax(dim=1)
    weights = logarithms.exp()
    answer = (weights[:, :, None] * candidates.frames).sum(dim=1) + residual.float() / 2  # it is of [-1, 1] frames
    distances = distance(candidates.frames, answer[:, None])
    support = torch.stack([(near * weights).sum(dim=1) for near in candidates.is_near.unbind(dim=1)], dim=1)
    found = [logarithms.clamp(min=LEAST_LOGIT) / LOGIT_SCALE, weights, support, distances]
    return torch.stack([*found, *over_regions(found, candidates.regions)], dim=2)


def halve(planes: Tensor) -> Tensor:
    """(B, C, H, W) at half the size."""
    return F.avg_pool2d(planes, 2)


def halve_images(images: Tensor) -> Tensor:
    """The same of (B, ..., H, W)."""
    return halve(images.float().flatten(1, -3)).unflatten(1, images.shape[1:-2])


def over_regions(planes: list[Tensor], regions: Tensor) -> list[Tensor]:
    """The means of planes (B, P, H, W) over the regions (B, 1, H, W) of the drawing."""
    count = planes[0].shape[1]
    values = torch.cat(planes, dim=1)
    means = region_mean(values, torch.ones_like(values[:, :1]), regions)
    return list(means.split(count, dim=1))


def distance(colors: Tensor, others: Tensor) -> Tensor:
    """Largest difference of a channel of (B, P, 3, H, W): (B, P, H, W)."""
    return (colors - others).abs().amax(dim=2)


def blur(planes: Tensor, side: int) -> Tensor:
    """The mean of (B, P, H, W) over squares."""
    return F.avg_pool2d(planes, side, stride=1, padding=side // 2, count_include_pad=False)


def find_partners(references: int, fills: int) -> list[int]:
    """For each of `opdm.proposals.name_proposals`, the one made in the same way of the other keyframe; itself where
    there is none."""
    moves = 2 * FLOWS
    partners = [(references - 1 - k) * moves + nth for k in range(references) for nth in range(moves)]
    unmoved, first_fill = references * moves, references * (moves + 1)
    partners += [unmoved + references - 1 - k for k in range(references)]
    matched = [first_fill + 1 + (fills - 2 - k) for k in range(fills - 1)]
    return [*partners, first_fill, *matched]


def number_kinds(references: int, fills: int) -> list[int]:
    """Which of the `KINDS` each of the proposals is."""
    return [0, 1] * (references * FLOWS) + [2] * references + [3] + [4] * (fills - 1)
