"""What the lines of a keyframe say for it where motion took it, before the U-Net has looked at anything.

Ours. A keyframe with a line that the drawing has not shows something that is not there, as an eye that has shut; one
without a line that the drawing has misses something. The U-Net, which has channels of their own for all proposals, is
slow to learn this, and it holds for lines of one hand only. Lines that were traced of a keyframe miss the drawing's
everywhere; where they cannot tell what is gone, what rests or moves as the camera does is to be believed.
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
TILE_PX, TILE_INK, STRAY = 16, 0.01, 0.006
"""Sides of tiles, the mean ink of those that count, and the share of it without any of the drawing's near, in half of
them, at which lines are hardly taken for the drawing's kind: by 1/e. Lines of one hand have none but where something
changed."""
FOR_SETTLED = 2.0
"""Logit for a keyframe that is settled where its lines are not the drawing's kind."""
APART_PX, APART = 5, 0.06
"""But not where two that are settled differ by so much, on average over so many pixels to a side."""


def weigh_lines(conditions: Conditions) -> Tensor:
    """Logits for every proposal but the fills, by the lines of drawing and keyframes: (B, P - F, H, W).

    conditions as outside the model, in [0, 1].
    """
    assert conditions.moved_lines is not None
    drawing = conditions.lines  # (B, 1, H, W)
    moved_lines = conditions.moved_lines.flatten(1, -3)  # (B, K FLOWS, H, W)
    unmoved_lines = conditions.keyframe_lines.flatten(1, 2)  # (B, K, H, W)
    trust = same_hand(drawing, unmoved_lines) * same_kind(drawing, moved_lines[:, ::FLOWS])  # (B, K, 1, 1)
    settled = FOR_SETTLED * (1 - trust) * find_settled(conditions)  # (B, K, H, W)
    trust = torch.cat([trust.repeat_interleave(FLOWS, dim=1), trust], dim=1)
    lines = torch.cat([moved_lines, unmoved_lines], dim=1)  # (B, K FLOWS + K, H, W)
    inked = trust * AGAINST_VANISHED * foreign_ink(drawing, lines)  # re-inked, it has the drawing's lines
    as_it_is = inked + trust * AGAINST_APPEARED * foreign_ink(lines, drawing)
    moves = moved_lines.shape[1]
    as_it_is[:, :moves:FLOWS] += settled
    moved = torch.stack([as_it_is[:, :moves], inked[:, :moves]], dim=2).flatten(1, 2)
    return torch.cat([moved, as_it_is[:, moves:]], dim=1)


def same_hand(lines: Tensor, other_lines: Tensor) -> Tensor:
    """How far lines (B, 1, H, W) and others (B, K, H, W) may be by one hand, (B, K, 1, 1) in [0, 1].

    By the ratio of their ink alone, for that hardly changes with what moves.
    """
    ink, other_ink = ((1 - drawn).mean(dim=(-2, -1), keepdim=True).clamp(min=1e-4) for drawn in (lines, other_lines))
    return torch.exp(-((other_ink / ink).log() / SAME_HAND).square())


def same_kind(lines: Tensor, other_lines: Tensor) -> Tensor:
    """How far others (B, K, H, W), moved to lines (B, 1, H, W), may be drawn as these are, (B, K, 1, 1) in [0, 1].

    By the ink of theirs that has none of these near, in most of the frame.
    """
    ink = 1 - other_lines
    stray = F.avg_pool2d((ink - spread(1 - lines, LINE_REACH_PX)).clamp(min=0), TILE_PX, ceil_mode=True)
    inked = F.avg_pool2d(ink, TILE_PX, ceil_mode=True)
    share = torch.where(inked > TILE_INK, stray / inked, torch.nan).flatten(-2).nanmedian(dim=-1).values
    return torch.exp(-(share.nan_to_num() / STRAY).square())[..., None, None]


def find_settled(conditions: Conditions) -> Tensor:
    """Where the first flow of each keyframe is settled, and no other contradicts it, (B, K, H, W) in [0, 1]."""
    keyframe_lines, proposals = conditions.keyframe_lines.flatten(1, 2), conditions.proposals
    if conditions.settled is None or proposals is None:
        return torch.zeros_like(keyframe_lines)
    settled, last = conditions.settled.flatten(1, 2), 2 * FLOWS * (keyframe_lines.shape[1] - 1)
    difference = (proposals[:, 0] - proposals[:, last]).abs().amax(dim=1, keepdim=True)
    difference = F.avg_pool2d(difference, APART_PX, stride=1, padding=APART_PX // 2, count_include_pad=False)
    is_apart = difference > APART
    return settled * ~(is_apart & (settled.amin(dim=1, keepdim=True) > 0.5))


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
