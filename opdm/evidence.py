"""What the lines of a keyframe say for it where motion took it, before the U-Net has looked at anything.

Ours. A keyframe with a line that the drawing has not shows something that is not there, as an eye that has shut; one
without a line that the drawing has misses something. The U-Net, which has channels of their own for all proposals, is
slow to learn this, and it holds for lines of one hand only.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from opdm.conditions import Conditions

LINE_REACH_PX = 2
"""Lines no farther apart than this may be the same."""
INSIDE_PX = 5
"""How far a line stands for what it encloses, as for the iris of an eye."""
AGAINST_VANISHED, AGAINST_APPEARED = -8.0, -2.0
"""Logits for a keyframe where the drawing has none of its lines, and where it has none of the drawing's."""
SAME_HAND = 0.2
"""Logarithm of the ratio of their ink at which drawing and keyframe are hardly taken for one hand's: by 1/e."""


def weigh_lines(conditions: Conditions) -> Tensor:
    """Logits for the proposals, at most 0, by the lines of drawing and keyframes: (B, P, H, W) float32; 0 for fills.

    conditions as outside the model, in [0, 1].
    """
    assert conditions.moved_lines is not None and conditions.fill_sureness is not None
    drawing = conditions.lines.float()  # (B, 1, H, W)
    moved_lines = conditions.moved_lines.flatten(1, -3).float()  # (B, K FLOWS, H, W)
    unmoved_lines = conditions.keyframe_lines.flatten(1, 2).float()  # (B, K, H, W)
    trust = same_hand(drawing, unmoved_lines)  # (B, K, 1, 1)
    of_moved = trust.repeat_interleave(moved_lines.shape[1] // unmoved_lines.shape[1], dim=1)
    vanished = of_moved * AGAINST_VANISHED * foreign_ink(drawing, moved_lines)
    appeared = of_moved * AGAINST_APPEARED * foreign_ink(moved_lines, drawing)
    moved = torch.stack([vanished + appeared, vanished], dim=2)  # re-inked, it has the drawing's lines
    unmoved = AGAINST_VANISHED * foreign_ink(drawing, unmoved_lines)
    unmoved = trust * (unmoved + AGAINST_APPEARED * foreign_ink(unmoved_lines, drawing))
    logits = torch.cat([moved.flatten(1, 2), unmoved], dim=1)
    return F.pad(logits, (0, 0, 0, 0, 0, conditions.fill_sureness.shape[1]))


def same_hand(lines: Tensor, other_lines: Tensor) -> Tensor:
    """How far lines (B, 1, H, W) and others (B, K, H, W) may be by one hand, (B, K, 1, 1) in [0, 1].

    By the ratio of their ink alone, for that hardly changes with what moves.
    """
    ink, other_ink = ((1 - drawn).mean(dim=(-2, -1), keepdim=True).clamp(min=1e-4) for drawn in (lines, other_lines))
    return torch.exp(-((other_ink / ink).log() / SAME_HAND).square())


def foreign_ink(lines: Tensor, other_lines: Tensor) -> Tensor:
    """Ink of the other lines that has none of these lines near, in [0, 1], with what it encloses.

    (B, N, H, W) or (B, 1, H, W) in [0, 1], 1 = paper; returns (B, N, H, W).
    """
    alone = (1 - other_lines) - spread(1 - lines, LINE_REACH_PX)
    return spread(alone.clamp(min=0), INSIDE_PX)


def spread(ink: Tensor, reach_px: int) -> Tensor:
    """The maximum of (B, N, H, W) within so many pixels to each side."""
    side = 2 * reach_px + 1
    rows = F.max_pool2d(ink, (side, 1), stride=1, padding=(reach_px, 0))
    return F.max_pool2d(rows, (1, side), stride=1, padding=(0, reach_px))
