"""The losses of the Animation Transformer (AnT, section 3.3), one value per pair of drawings.

Ours: means over segments where the paper has sums, so that a pair counts the same however many segments it has.
"""

import torch
from torch import Tensor


def forward_match_loss(similarity: Tensor, is_pair: Tensor, is_match: Tensor) -> Tensor:
    """Cross-entropy of the labels that targets take over from the reference (equations 3, 4 and 8), (B,).

    With one label for each set of segments that match, the label of target j is predicted rightly with the share of
    its softmax that lies on its matches. Ours: targets that no reference matches are left out, for no label of the
    reference would be right. 0 where that leaves none.

    similarity (B, M, N) float32, reference by target; is_pair, is_match (B, M, N) bool: where both are segments, and
    where they match.
    """
    shares = masked(similarity, is_pair).log_softmax(dim=1)
    loss = -masked(shares, is_match & is_pair).logsumexp(dim=1)  # (B, N)
    return masked_mean(loss, (is_match & is_pair).any(dim=1))


def cycle_loss(similarity: Tensor, is_pair: Tensor) -> Tensor:
    """Cross-entropy of references that pass their numbers to the target and back (equations 5 to 7), (B,).

    Numbers are one-hot, so that reference i gets back its own with the share that goes to each target and returns.
    Arguments as above.
    """
    scores = masked(similarity, is_pair)
    there, back = scores.log_softmax(dim=1), scores.log_softmax(dim=2)  # S and T
    loss = -(there + back).logsumexp(dim=2)  # (B, M)
    return masked_mean(loss, is_pair.any(dim=2))


def masked(values: Tensor, is_kept: Tensor) -> Tensor:
    """Values with something too small to count in the place of those that are not kept; a sum of two stays finite."""
    return values.masked_fill(~is_kept, torch.finfo(values.dtype).min / 4)


def masked_mean(values: Tensor, is_kept: Tensor) -> Tensor:
    """The mean of (B, S) over what is kept, (B,)."""
    return torch.where(is_kept, values, 0).sum(dim=1) / is_kept.sum(dim=1).clamp(min=1)
