"""Every score of a clip by one contract, frame after frame, so that memory does not grow with the clip.

A clip metric is a class. `update` takes the next frame, in order, and returns the scores of that frame, none if it has
none of its own; `compute` returns those of the clip. It takes from a frame what it needs and gives no score where the
data set does not know it; a score that could not be measured is NaN. Temporal scores take the whole clip, and their
names with `_true` are the same measured on the true frames. Scores of frames leave out the given ones. `CLIP_METRICS`
of `opdm.metrics` is the table, `ClipScorer` runs a choice of it.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from torch import Tensor

from opdm.metrics.color import lab_colors, region_lab_error
from opdm.metrics.flow import occluded
from opdm.metrics.motion import Motion
from opdm.metrics.segments import carry_ids
from opdm.metrics.temporal import ColorDistributionConsistency, RegionFlicker, WarpError, warp_mask

Scores = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class ClipFrame:
    """A frame of a clip and what is known about it; what is not known is None."""

    prediction: Tensor
    """(3, H, W) in [0, 1], of 8 bits as every protocol has it."""
    target: Tensor
    """(3, H, W), the true frame."""
    is_given: bool = False
    """A keyframe that was given, not painted."""
    regions: Tensor | None = None
    """(H, W) integers, 0 or less for none (ink)."""
    regions_persist: bool = True
    """A region has the same number in every frame; else they are followed along the motion."""
    motion: Motion | None = None
    """The flow between the frame before and this one, see `find_motion`."""

    @cached_property
    def prediction_lab(self) -> Tensor:
        """(3, H, W) in L*a*b*."""
        return lab_colors(self.prediction)

    @cached_property
    def target_lab(self) -> Tensor:
        """(3, H, W) in L*a*b*."""
        return lab_colors(self.target)


class ClipMetric(Protocol):
    """The contract, see above."""

    def update(self, frame: ClipFrame) -> Scores:
        """Take the next frame; returns its own scores."""

    def compute(self) -> "dict[str, float | str]":
        """The scores of the clip so far."""


class Mean:
    """Mean of numbers; NaN is left out."""

    def __init__(self) -> None:
        self.sum, self.count = 0.0, 0

    def add(self, value: float) -> None:
        """Count one number."""
        if not math.isnan(value):
            self.sum += value
            self.count += 1

    def value(self) -> float:
        """The mean, NaN of nothing."""
        return self.sum / self.count if self.count else math.nan


class FrameMean:
    """Mean over the painted frames of a score of single frames, a function of (1, 3, H, W) prediction and target."""

    def __init__(self, name: str, metric: Callable[[Tensor, Tensor], Tensor]):
        self.name, self.metric = name, metric
        self.mean = Mean()

    def update(self, frame: ClipFrame) -> Scores:
        """The score of a painted frame."""
        if frame.is_given:
            return {}
        score = self.metric(frame.prediction[None], frame.target[None]).item()
        self.mean.add(score)
        return {self.name: score}

    def compute(self) -> dict[str, float | str]:
        """The mean."""
        return {self.name: self.mean.value()}


class RegionColors:
    """`region_color_error`, its mean over the painted frames."""

    def __init__(self) -> None:
        self.means = {"delta_e": Mean(), "wrong_regions": Mean()}

    def update(self, frame: ClipFrame) -> Scores:
        """The scores of a painted frame."""
        if frame.is_given or frame.regions is None:
            return {}
        error = region_lab_error(frame.prediction_lab, frame.target_lab, frame.regions)
        scores = {"delta_e": error["delta_e"], "wrong_regions": error["wrong"]}
        for name, score in scores.items():
            self.means[name].add(score)
        return scores

    def compute(self) -> dict[str, float | str]:
        """The means."""
        return {name: mean.value() for name, mean in self.means.items()}


class ColorConsistency:
    """`cdc` of the painted and of the true clip."""

    def __init__(self) -> None:
        self.painted, self.true = ColorDistributionConsistency(), ColorDistributionConsistency()

    def update(self, frame: ClipFrame) -> Scores:
        """No frame has a consistency of its own."""
        self.painted.update(frame.prediction)
        self.true.update(frame.target)
        return {}

    def compute(self) -> dict[str, float | str]:
        """Both, NaN for a clip that is too short."""
        return {"cdc": _value_or_nan(self.painted), "cdc_true": _value_or_nan(self.true)}


class WarpErrors:
    """`warp_error` of the painted and of the true clip, and the name of the flow that they follow."""

    def __init__(self) -> None:
        self.painted, self.true = WarpError(), WarpError()
        self.sources: dict[str, None] = {}  # in the order of their appearance

    def update(self, frame: ClipFrame) -> Scores:
        """No frame has an error of its own."""
        if frame.motion is None:
            self.painted.update(frame.prediction)
            self.true.update(frame.target)
        else:
            self.sources[frame.motion.source] = None
            forward_px = frame.motion.forward_px
            is_masked = warp_mask(forward_px, frame.motion.backward_px)
            self.painted.update(frame.prediction, forward_px, is_masked)
            self.true.update(frame.target, forward_px, is_masked)
        return {}

    def compute(self) -> dict[str, float | str]:
        """All three; NaN where no pair had a flow."""
        return {
            "warp_error": _value_or_nan(self.painted),
            "warp_error_true": _value_or_nan(self.true),
            "warp_error_flow": " and ".join(self.sources) or "none",
        }


class Flicker:
    """`region_flicker` of the painted and of the true clip."""

    def __init__(self) -> None:
        self.painted, self.true = RegionFlicker(), RegionFlicker()
        self.latest: Tensor | None = None

    def update(self, frame: ClipFrame) -> Scores:
        """No frame has a flicker of its own."""
        self.latest = self._persistent_regions(frame)
        if self.latest is None:
            self.painted.interrupt()
            self.true.interrupt()
        else:
            self.painted.update(frame.prediction_lab, self.latest)
            self.true.update(frame.target_lab, self.latest)
        return {}

    def _persistent_regions(self, frame: ClipFrame) -> Tensor | None:
        """The frame's regions by the numbers that they had in the frame before; None where nothing tells."""
        if frame.regions is None or frame.regions_persist or self.latest is None:
            return frame.regions
        if frame.motion is None:
            return None
        forward_px, backward_px = frame.motion.forward_px, frame.motion.backward_px
        return carry_ids(frame.regions, self.latest, backward_px, occluded(backward_px, forward_px))

    def compute(self) -> dict[str, float | str]:
        """Both, NaN where no region was seen twice running."""
        return {"region_flicker": self.painted.compute(), "region_flicker_true": self.true.compute()}


class ClipScorer:
    """Several clip metrics at once."""

    def __init__(self, metrics: Iterable[ClipMetric]):
        self.metrics = list(metrics)

    def update(self, frame: ClipFrame) -> Scores:
        """Take the next frame; returns all scores that are its own."""
        return {name: score for metric in self.metrics for name, score in metric.update(frame).items()}

    def compute(self) -> dict[str, float | str]:
        """All scores of the clip so far."""
        return {name: score for metric in self.metrics for name, score in metric.compute().items()}


def _value_or_nan(metric: ColorDistributionConsistency | WarpError) -> float:
    """The score, NaN where the clip is too short for one."""
    try:
        return metric.compute()
    except ValueError:
        return math.nan
