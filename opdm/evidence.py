"""What speaks for a keyframe where motion took it, and what against it.

Ours. The U-Net has channels of their own for all proposals, and learns of each from its own mistakes. Here one small
network looks at every keyframe alike, moved or not, so that what it learns of one holds for all: above all that a
keyframe whose lines the drawing has not shows something that is not there.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from opdm.blocks import channels_last
from opdm.conditions import Conditions

LINE_REACH_PX = 2
"""Lines no farther apart than this may be the same."""
INSIDE_PX = 3
"""How far a line stands for what it encloses, as for the iris of an eye."""
ERROR_SCALE_PX = 32.0
GAIN = 10.0
"""Of the logits, so that weights of the size that training gives them can overrule the U-Net."""
AGAINST_VANISHED, AGAINST_APPEARED = -8.0, -2.0
"""Logits that a new network gives where the drawing has none of the keyframe's lines, and the keyframe none of the
drawing's; docs/experiments.md has what they are worth."""


class Evidence(nn.Module):
    """Logits for the proposals, beside those of the U-Net; of fills there is none."""

    def __init__(self, width: int, *, fills: int):
        super().__init__()
        self.look = nn.Sequential(
            nn.Conv2d(7 + 2 * fills, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=2, dilation=2),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=4, dilation=4),
            nn.SiLU(),
        )
        self.weigh = nn.Conv2d(width + 2, 2, 1, bias=False)
        nn.init.zeros_(self.weigh.weight)
        with torch.no_grad():
            self.weigh.weight[:, -2] = AGAINST_VANISHED / GAIN
            self.weigh.weight[0, -1] = AGAINST_APPEARED / GAIN  # re-inked, the drawing's lines are there

    def forward(self, conditions: Conditions) -> Tensor:
        """conditions outside the model, in [0, 1]: (B, P, H, W) float32."""
        assert conditions.fill_sureness is not None
        planes = compare(conditions).to(self.weigh.weight.dtype)  # (B, N, C, H, W)
        flat = channels_last(planes.flatten(0, 1))
        seen = torch.cat([self.look(flat), flat[:, 2:4]], dim=1)
        logits = GAIN * self.weigh(seen).float().unflatten(0, planes.shape[:2])  # (B, N, 2, H, W)
        keyframes, fills = conditions.keyframes.shape[1], conditions.fill_sureness.shape[1]
        moved, unmoved = logits[:, :-keyframes].flatten(1, 2), logits[:, -keyframes:, 0]
        return F.pad(torch.cat([moved, unmoved], dim=1), (0, 0, 0, 0, 0, fills))


def compare(conditions: Conditions) -> Tensor:
    """Each of N = K FLOWS + K keyframes, moved and unmoved, beside drawing, fills and the others: (B, N, C, H, W).

    The C planes: lines of the drawing and of the keyframe, vanished and appeared ink, forward-backward error, whether
    it was moved, its distance from the mean of the moved keyframes and from each fill, and how sure these fills are.
    """
    assert conditions.moved_lines is not None and conditions.flow_error_px is not None
    assert conditions.proposals is not None and conditions.fill_sureness is not None
    moved_lines = conditions.moved_lines.flatten(1, -3)  # (B, K FLOWS, H, W)
    unmoved_lines = conditions.keyframe_lines.flatten(1, 2)  # (B, K, H, W)
    lines = torch.cat([moved_lines, unmoved_lines], dim=1)  # (B, N, H, W)
    drawing = conditions.lines.expand_as(lines)
    moves, fills = moved_lines.shape[1], conditions.fill_sureness.shape[1]
    error = (conditions.flow_error_px.flatten(1, -3) / ERROR_SCALE_PX).clamp(max=1)
    colors = conditions.proposals[:, :-fills]
    colors = torch.cat([colors[:, : 2 * moves : 2], colors[:, 2 * moves :]], dim=1)  # (B, N, 3, H, W)
    others = torch.cat([colors[:, :moves].mean(dim=1, keepdim=True), conditions.proposals[:, -fills:]], dim=1)
    distances = [(colors - other.unsqueeze(1)).abs().mean(dim=2) for other in others.unbind(dim=1)]
    sureness = [sure.expand_as(lines) for sure in conditions.fill_sureness.unbind(dim=1)]
    planes = [
        drawing,
        lines,
        foreign_ink(drawing, lines),
        foreign_ink(lines, drawing),
        torch.cat([error, torch.zeros_like(unmoved_lines)], dim=1),
        torch.cat([torch.ones_like(moved_lines), torch.zeros_like(unmoved_lines)], dim=1),
        *distances,
        *sureness,
    ]
    return torch.stack([plane.to(lines.dtype) for plane in planes], dim=2)


def foreign_ink(lines: Tensor, other_lines: Tensor) -> Tensor:
    """Ink of the other lines that has none of these lines near, (B, N, H, W) in [0, 1], with what it encloses.

    Both (B, N, H, W) in [0, 1], 1 = paper.
    """
    alone = (1 - other_lines) - spread(1 - lines, LINE_REACH_PX)
    return spread(alone.clamp(min=0), INSIDE_PX)


def spread(ink: Tensor, reach_px: int) -> Tensor:
    """The maximum of (B, N, H, W) within so many pixels to each side."""
    side = 2 * reach_px + 1
    rows = F.max_pool2d(ink, (side, 1), stride=1, padding=(reach_px, 0))
    return F.max_pool2d(rows, (1, side), stride=1, padding=(0, reach_px))
