"""Scores of painting and matching by segments, as the papers on segment matching define them.

A segment is an area that lines enclose; its label is its number in a map of (H, W) integers.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import count

import torch
from torch import Tensor

from opdm.data.region_labels import UNMATCHED, match_regions

Color = Sequence[int]
"""R, G, B, A in 0 to 255."""

BACKGROUNDS = ((0, 0, 0, 0), (255, 255, 255, 0))
"""Two ways to write no paint; they count as one where background is asked for, and as two colors elsewhere."""

LARGE_PX = 10
"""acc_thres is about segments of more pixels."""


def segment_scores(
    prediction_colors: Mapping[int, Color], target_colors: Mapping[int, Color], label_map: Tensor
) -> dict[str, float]:
    """Scores of a frame painted segment by segment, as Dai et al. 2024 (BasicPBC) have them; a color is right or not.

    `acc` is the share of segments of the right color, `acc_thres` that of segments above 10 px, `pix_acc` weighs them
    by their pixels, `pix_acc_wobg` leaves out what is background in truth. `bmiou` is intersection over union of the
    background counted in segments, `pix_bmiou` in pixels, 1 where neither has any. Other scores are NaN without a
    segment. Departure from the authors' program, which counts on ink being a large label: acc_thres never passes 1.

    Colors by label, RGBA; the segments are those of `target_colors`. label_map: (H, W) integers. Raises ValueError
    unless both color the same segments.
    """
    if prediction_colors.keys() != target_colors.keys():
        different = ", ".join(map(str, sorted(prediction_colors.keys() ^ target_colors.keys())))
        raise ValueError(f"segments without a color in one of prediction and target: {different}; color each in both")
    pixels = torch.bincount(label_map.flatten().long().clamp(min=0), minlength=max(target_colors, default=0) + 1)
    area = torch.tensor([int(pixels[label]) for label in target_colors], dtype=torch.float64)
    pairs = [(tuple(prediction_colors[label]), tuple(color)) for label, color in target_colors.items()]
    is_right = torch.tensor([prediction == target for prediction, target in pairs], dtype=torch.bool)
    is_empty = torch.tensor([[color in BACKGROUNDS for color in pair] for pair in pairs], dtype=torch.bool).view(-1, 2)
    every = torch.ones_like(is_right)
    one = torch.ones_like(area)
    return {
        "acc": _share(is_right, every, one),
        "acc_thres": _share(is_right, area > LARGE_PX, one),
        "pix_acc": _share(is_right, every, area),
        "pix_acc_wobg": _share(is_right, ~is_empty[:, 1], area),
        "bmiou": _share(is_empty.all(dim=1), is_empty.any(dim=1), one, of_nothing=1.0),
        "pix_bmiou": _share(is_empty.all(dim=1), is_empty.any(dim=1), area, of_nothing=1.0),
    }


def average_clips(clips: Iterable[Sequence[float]]) -> float:
    """Mean over clips of the mean over frames, without each clip's first frame, which is given (BasicPBC)."""
    means = [math.fsum(frames[1:]) / (len(frames) - 1) for frames in clips]
    return math.fsum(means) / len(means)


def label_scores(prediction_labels: Sequence[int] | Tensor, target_labels: Sequence[int] | Tensor) -> dict[str, float]:
    """Scores of labels handed on over a sequence, as Casey et al. 2021 (Animation Transformer) have them.

    `accuracy` is the share of segments with the right label. `miou` is the mean over the labels of the truth of
    intersection over union, counted in segments; a label that only the prediction has is no class of its own. Both
    (S,) integers, -1 for none, the segments of all frames of the sequence. NaN where S is 0.
    """
    prediction, target = torch.as_tensor(prediction_labels), torch.as_tensor(target_labels)
    if prediction.shape != target.shape or target.ndim != 1:
        raise ValueError(f"labels must both be (S,), got {tuple(prediction.shape)} and {tuple(target.shape)}")
    classes, target = target.unique(return_inverse=True)
    prediction = _numbers_among(classes, prediction)
    of_target = torch.bincount(target, minlength=len(classes))
    of_prediction = torch.bincount(prediction[prediction >= 0], minlength=len(classes))
    shared = torch.bincount(target[prediction == target], minlength=len(classes))
    iou = shared.double() / (of_target + of_prediction - shared)
    return {"accuracy": float((prediction == target).double().mean()), "miou": float(iou.mean())}


def matching_scores(prediction: Sequence[int] | Tensor, target: Sequence[int] | Tensor) -> dict[str, float]:
    """Share of a pair's segments matched rightly, as AnimeRun has it: of all, and of those with and without a match.

    (S,) target ids of first priority, -1 for unmatched, which is right where the truth is -1. NaN where there is no
    such segment; a table is the mean over pairs, without these.
    """
    is_right = torch.as_tensor(prediction) == torch.as_tensor(target)
    is_occluded = torch.as_tensor(target) == UNMATCHED
    one = torch.ones(is_right.shape, dtype=torch.float64)
    return {
        "acc": _share(is_right, torch.ones_like(is_right), one),
        "nonocc": _share(is_right, ~is_occluded, one),
        "occ": _share(is_right, is_occluded, one),
    }


def carry_ids(regions: Tensor, earlier: Tensor, backward_px: Tensor, is_occluded: Tensor) -> Tensor:
    """Number a frame's regions as those of the frame before that they come from; the others get numbers of their own.

    For regions found in each drawing by itself, whose numbers mean nothing in the next. regions, earlier: (H, W)
    integers, 0 or less for none. backward_px: (2, H, W) from this frame to the earlier one; is_occluded (H, W) bool:
    pixels that the earlier one does not show. Returns (H, W) int64, 0 for none.
    """
    labels = regions.long().clamp(min=0)
    matches = match_regions(labels - 1, earlier.long().clamp(min=0) - 1, backward_px, is_occluded)
    # Numbers that are free are used again, or they would grow with the clip.
    used = set(earlier.unique().tolist())
    free = (number for number in count(1) if number not in used)
    numbers = [next(free) if match[0] == UNMATCHED else match[0] + 1 for match in matches]
    return torch.tensor([0, *numbers], device=labels.device)[labels]


def _share(is_right: Tensor, is_counted: Tensor, weight: Tensor, of_nothing: float = math.nan) -> float:
    """Weight of what is right among what is counted."""
    total = float(weight[is_counted].sum())
    return float(weight[is_counted & is_right].sum()) / total if total else of_nothing


def _numbers_among(classes: Tensor, labels: Tensor) -> Tensor:
    """The place of each label in sorted `classes`, -1 for what is not there."""
    if not len(classes):
        return labels
    places = torch.searchsorted(classes, labels).clamp(max=len(classes) - 1)
    return torch.where(classes[places] == labels, places, -1)


__all__ = [
    "average_clips",
    "carry_ids",
    "label_scores",
    "match_regions",
    "matching_scores",
    "segment_scores",
]
