"""What the lines of a keyframe say for it where motion took it, before the U-Net has looked at anything.

Ours. A keyframe with a line that the drawing has not shows something that is not there, as an eye that has shut; one
without a line that the drawing has misses something. The U-Net, which has channels of their own for all proposals, is
slow to learn this, and it holds for lines of one hand only.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from opdm.conditions import Conditions
from opdm.motion import FLOWS

LINE_REACH_PX = 2
"""Lines no farther apart than this may be the same."""
BESIDE_PX = 5
"""How far a line stands for what is beside it."""
BETWEEN_PX = 10
"""How far, to each side, lines stand for what is between them, as for the iris of an eye."""
AGAINST_VANISHED, AGAINST_APPEARED = -10.0, -2.0
"""Logits for a keyframe where the drawing has none of its lines, and where it has none of the drawing's."""
SAME_HAND = 0.2
"""Logarithm of the ratio of their ink at which drawing and keyframe are hardly taken for one hand's: by 1/e."""


def weigh_lines(conditions: Conditions) -> Tensor:
    """Logits, at most 0, for every proposal but the fills, by the lines of drawing and keyframes: (B, P - F, H, W).

    conditions as outside the model, in [0, 1].
    """
    assert conditions.moved_lines is not None
    drawing = conditions.lines  # (B, 1, H, W)
    moved_lines = conditions.moved_lines.flatten(1, -3)  # (B, K FLOWS, H, W)
    unmoved_lines = conditions.keyframe_lines.flatten(1, 2)  # (B, K, H, W)
    trust = same_hand(drawing, unmoved_lines)  # (B, K, 1, 1)
    trust = torch.cat([trust.repeat_interleave(FLOWS, dim=1), trust], dim=1)
    lines = torch.cat([moved_lines, unmoved_lines], dim=1)  # (B, K FLOWS + K, H, W)
    inked = trust * AGAINST_VANISHED * foreign_ink(drawing, lines)  # re-inked, it has the drawing's lines
    as_it_is = inked + trust * AGAINST_APPEARED * foreign_ink(lines, drawing)
    moves = moved_lines.shape[1]
    moved = torch.stack([as_it_is[:, :moves], inked[:, :moves]], dim=2).flatten(1, 2)
    return torch.cat([moved, as_it_is[:, moves:]], dim=1)


def same_hand(lines: Tensor, other_lines: Tensor) -> Tensor:
    """How far lines (B, 1, H, W) and others (B, K, H, W) may be by one hand, (B, K, 1, 1) in [0, 1].

    By the ratio of their ink alone, for that hardly changes with what moves.
    """
    ink, other_ink = ((1 - drawn).mean(dim=(-2, -1), keepdim=True).clamp(min=1e-4) for drawn in (lines, other_lines))
    return torch.exp(-((other_ink / ink).log() / SAME_HAND).square())


def foreign_ink(lines: Tensor, other_lines: Tensor) -> Tensor:
    """Ink of the other lines that has none of these lines near, in [0, 1], with what is beside it and between it.

    (B, N, H, W) or (B, 1, H, W) in [0, 1], 1 = paper; returns (B, N, H, W).
    """
    alone = ((1 - other_lines) - spread(1 - lines, LINE_REACH_PX)).clamp(min=0)
    return torch.maximum(spread(alone, BESIDE_PX), spread(close(alone, BETWEEN_PX), LINE_REACH_PX))


def close(ink: Tensor, reach_px: int) -> Tensor:
    """(B, N, H, W) in [0, 1] with what lies between: spread so many pixels, and taken back as many."""
    inner = (..., slice(reach_px, -reach_px), slice(reach_px, -reach_px))
    full = spread(F.pad(ink, 4 * (reach_px,)), reach_px)
    return 1 - spread(1 - full, reach_px)[inner]


def spread(ink: Tensor, reach_px: int) -> Tensor:
    """The maximum of (B, N, H, W), which is nowhere below 0, within so many pixels to each side.

    By maxima of two windows of half the width, as fast for wide ones as for narrow ones.
    """
    side = 2 * reach_px + 1
    ink = F.pad(ink, 4 * (reach_px,))
    for axis in (-2, -1):
        width = 1
        while width < side:
            step = min(width, side - width)
            length = ink.shape[axis] - step
            ink = torch.maximum(ink.narrow(axis, 0, length), ink.narrow(axis, step, length))
            width += step
    return ink
