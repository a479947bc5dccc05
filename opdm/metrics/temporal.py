"""Scores of a clip as it moves: consistency of its colors, error along its motion, flicker of its regions.

None of them looks at the true frames: a frozen clip has no flicker at all. So each stands beside the value that the
true clip has, and that, not zero, is what a painted clip should come near.

Each is a class that is given frame after frame and keeps only what the next frame needs, and a function over it.
"""

import math
from collections import deque

import torch
from torch import Tensor

from opdm.metrics.color import RegionMeans, delta_e_2000, lab_colors, region_means
from opdm.metrics.flow import sample_bilinear

CDC_STEPS = (1, 2, 4)
"""Liu et al. 2021: how far apart the frames are that are compared."""
LEVELS = 256


class ColorDistributionConsistency:
    """CDC of a clip, frame by frame; see `cdc`."""

    def __init__(self) -> None:
        self.latest: deque[Tensor] = deque(maxlen=max(CDC_STEPS))
        self.sums = dict.fromkeys(CDC_STEPS, 0.0)
        self.frames = 0

    def update(self, frame: Tensor) -> None:
        """The next frame, (3, H, W) in [0, 1]."""
        histogram = _histogram(frame)
        for step in CDC_STEPS:
            if step <= len(self.latest):
                self.sums[step] += _jensen_shannon(self.latest[-step], histogram)
        self.latest.append(histogram)
        self.frames += 1

    def compute(self) -> float:
        """The score. Raises ValueError before the fifth frame, for then no two frames are four apart."""
        if self.frames <= max(CDC_STEPS):
            raise ValueError(f"CDC needs at least {max(CDC_STEPS) + 1} frames, got {self.frames}")
        return sum(self.sums[step] / (self.frames - step) for step in CDC_STEPS) / len(CDC_STEPS)


def cdc(frames: Tensor) -> float:
    """CDC (Liu et al. 2021): divergence of the color histograms of frames 1, 2 and 4 apart, mean of R, G and B.

    Jensen and Shannon's, with the natural logarithm and no root, of 256 bins per channel: 0 to ln 2, low is steady.
    frames: (T, 3, H, W) in [0, 1], rounded to 8 bits here. Raises ValueError for fewer than 5.
    """
    score = ColorDistributionConsistency()
    for frame in frames:
        score.update(frame)
    return score.compute()


class WarpError:
    """Warp error of a clip, frame by frame; see `warp_error`."""

    def __init__(self) -> None:
        self.latest: Tensor | None = None
        self.sum = 0.0
        self.pairs = 0

    def update(self, frame: Tensor, forward_flow_px: Tensor | None = None, is_masked: Tensor | None = None) -> None:
        """The next frame, (3, H, W) in [0, 1], and the flow from the frame before to it; without one it begins anew.

        forward_flow_px: (2, H, W). is_masked: (H, W) bool, `warp_mask` of the frame before.
        """
        if self.latest is not None and forward_flow_px is not None and is_masked is not None:
            self.sum += _pair_error(self.latest, frame, forward_flow_px, is_masked)
            self.pairs += 1
        self.latest = frame

    def compute(self) -> float:
        """The score. Raises ValueError before the second frame."""
        if not self.pairs:
            raise ValueError("the warp error needs at least 2 frames")
        return self.sum / self.pairs


def warp_error(frames: Tensor, forward_flow_px: Tensor, backward_flow_px: Tensor) -> float:
    """Warp error (Lai et al. 2018): squared difference of a frame and the next one warped onto it, where both show it.

    Mean over R, G, B and the pixels that are neither occluded nor on the border of a motion, then over pairs; a pair
    without such a pixel counts as 0. frames: (T, 3, H, W) in [0, 1]. Flows: (T - 1, 2, H, W) in pixels, of the true
    clip: forward from frame t to t + 1, backward from t + 1 to t. Raises ValueError for fewer than 2 frames.
    """
    if not 0 <= len(frames) - 1 == len(forward_flow_px) == len(backward_flow_px):
        lengths = f"{len(frames)} frames with {len(forward_flow_px)} and {len(backward_flow_px)} flows"
        raise ValueError(f"the warp error needs a flow each way between neighbors, got {lengths}")
    score = WarpError()
    score.update(frames[0])
    for frame, forward_px, backward_px in zip(frames[1:], forward_flow_px, backward_flow_px, strict=True):
        score.update(frame, forward_px, warp_mask(forward_px, backward_px))
    return score.compute()


def warp_mask(forward_flow_px: Tensor, backward_flow_px: Tensor) -> Tensor:
    """(H, W) bool: pixels that the warp error leaves out. Both flows (2, H, W) in pixels.

    Occluded, where the flows there and back disagree, and borders of motion, where the flow changes fast: both tests
    are those of Sundaram et al. 2010, as Lai et al. take them over. Leaving the frame is no reason.
    """
    forward, back = forward_flow_px, sample_bilinear(backward_flow_px, forward_flow_px)
    speeds = forward.square().sum(dim=0)
    is_occluded = (back + forward).square().sum(dim=0) > 0.01 * (back.square().sum(dim=0) + speeds) + 0.5
    gradient = torch.zeros_like(speeds)
    gradient[:, :-1] += forward.diff(dim=2).square().sum(dim=0)
    gradient[:-1] += forward.diff(dim=1).square().sum(dim=0)
    return is_occluded | (gradient > 0.01 * speeds + 0.002)


def _pair_error(frame: Tensor, following: Tensor, forward_flow_px: Tensor, is_masked: Tensor) -> float:
    warped = sample_bilinear(following, forward_flow_px.to(following.dtype))
    squared_error = (frame - warped).square_().masked_fill_(is_masked, 0).sum(dtype=torch.float64)
    kept = is_masked.numel() - int(is_masked.sum())
    return float(squared_error) / (3 * kept) if kept else 0.0


class RegionFlicker:
    """Flicker of a clip's regions, frame by frame; see `region_flicker`."""

    def __init__(self) -> None:
        self.latest: RegionMeans | None = None
        self.sum = 0.0
        self.changes = 0

    def update(self, lab: Tensor, regions: Tensor) -> None:
        """The next frame as `lab_colors`, (3, H, W), and its regions, (H, W) integers, 0 or less for none."""
        found = region_means(lab, regions)
        if self.latest is not None:
            shared = found.ids[torch.isin(found.ids, self.latest.ids)]
            before, now = (each.means[:, torch.searchsorted(each.ids, shared)] for each in (self.latest, found))
            self.sum += float(delta_e_2000(before, now).sum())
            self.changes += len(shared)
        self.latest = found

    def interrupt(self) -> None:
        """A frame whose regions are not known: the next one has nothing to be compared with."""
        self.latest = None

    def compute(self) -> float:
        """The score, NaN where no region was seen in two frames running."""
        return self.sum / self.changes if self.changes else math.nan


def region_flicker(frames: Tensor, regions: Tensor) -> float:
    """Flicker: ΔE2000 of a region's mean color from one frame to the next, mean over all regions of all pairs.

    Every region that two neighboring frames show counts once, however large: a flickering button is as visible as a
    coat. frames: (T, 3, H, W) in [0, 1]. regions: (T, H, W) integers that persist over the clip, 0 or less for none.
    """
    score = RegionFlicker()
    for frame, labels in zip(frames, regions, strict=True):
        score.update(lab_colors(frame), labels)
    return score.compute()


def _histogram(frame: Tensor) -> Tensor:
    """(3, 256) float64, the share of each 8-bit level in R, G and B."""
    levels = (frame * (LEVELS - 1)).round().long().flatten(1)
    channels = torch.arange(3, device=frame.device)[:, None] * LEVELS
    counts = torch.bincount((levels + channels).flatten(), minlength=3 * LEVELS)
    return counts.view(3, LEVELS).double() / levels.shape[1]


def _jensen_shannon(p: Tensor, q: Tensor) -> float:
    """Mean over R, G and B of the divergence of two (3, 256) distributions, in nats."""
    middle = ((p + q) / 2).clamp(min=torch.finfo(p.dtype).tiny)  # a level that neither has adds 0, not NaN
    return sum(float(torch.xlogy(part, part / middle).sum()) for part in (p, q)) / (2 * len(p))
