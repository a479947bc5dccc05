"""Scores of painted frames against the true ones; a new one is a function or a class, and a line in a table here.

An image metric is a function of predictions and targets, (B, 3, H, W) in [0, 1], to one score per frame, (B,).
A clip metric is a class: `update(ClipFrame) -> dict` takes the next frame of a clip and returns that frame's own
scores, `compute() -> dict` returns the clip's; it keeps no more than the next frame needs, and what could not be
measured is NaN. Every image metric is a clip metric too, by its mean over the painted frames; `ClipScorer` runs a
choice: `ClipScorer(CLIP_METRICS[name]() for name in names)`. FID compares folders: `opdm.metrics.distribution.fid`.
"""

from collections.abc import Callable
from functools import partial

from torch import Tensor

from opdm.metrics.clip import (
    ClipFrame,
    ClipMetric,
    ClipScorer,
    ColorConsistency,
    Flicker,
    FrameMean,
    RegionColors,
    WarpErrors,
)
from opdm.metrics.image import BEST_PSNR_DB, bounded_psnr, ms_ssim, psnr, qssim, ssim
from opdm.metrics.perceptual import lpips

IMAGE_METRICS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "psnr": psnr,
    "ssim": ssim,
    "ms_ssim": ms_ssim,
    "qssim": qssim,
}
"""Higher is better."""

CLIP_METRICS: dict[str, Callable[[], ClipMetric]] = {
    **{name: partial(FrameMean, name, metric) for name, metric in IMAGE_METRICS.items()},
    "psnr": partial(FrameMean, "psnr", bounded_psnr),
    "lpips": partial(FrameMean, "lpips", lpips),
    "region_color": RegionColors,
    "cdc": ColorConsistency,
    "warp_error": WarpErrors,
    "region_flicker": Flicker,
}
"""Lower is better for those that `IMAGE_METRICS` has not; the temporal ones are best near their value with `_true`."""

NEED_WEIGHTS = ("lpips",)
"""Of `CLIP_METRICS`; they raise InputError where published weights cannot be had."""

__all__ = [
    "BEST_PSNR_DB",
    "CLIP_METRICS",
    "IMAGE_METRICS",
    "NEED_WEIGHTS",
    "ClipFrame",
    "ClipMetric",
    "ClipScorer",
    "bounded_psnr",
    "ms_ssim",
    "psnr",
    "qssim",
    "ssim",
]
