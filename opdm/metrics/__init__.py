"""Scores of painted frames against the true ones. A metric is a function; a new one is a line in a table here."""

from collections.abc import Callable

from torch import Tensor

from opdm.metrics.image import ms_ssim, psnr, qssim, ssim

IMAGE_METRICS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "psnr": psnr,
    "ssim": ssim,
    "ms_ssim": ms_ssim,
    "qssim": qssim,
}
"""(B, 3, H, W) predictions and targets in [0, 1] -> (B,), one score per frame; higher is better."""

__all__ = ["IMAGE_METRICS", "ms_ssim", "psnr", "qssim", "ssim"]
