"""Structural similarity (Wang et al. 2004) as differentiable tensor operations, shared by losses and metrics.

Everything here rests on one Gaussian window, 11 x 11 with sigma 1.5, over the valid region only.
"""

import math

from torch import Tensor

WINDOW_PX = 11
SIGMA_PX = 1.5
LUMINANCE_CONSTANT = 0.01**2
CONTRAST_CONSTANT = 0.03**2


def _gaussian_weights() -> list[float]:
    radius = WINDOW_PX // 2
    weights = [math.exp(-(offset**2) / (2 * SIGMA_PX**2)) for offset in range(-radius, radius + 1)]
    return [weight / sum(weights) for weight in weights]


GAUSSIAN_WEIGHTS = _gaussian_weights()


def gaussian_filter(planes: Tensor) -> Tensor:
    """The windowed mean around each pixel whose window fits: (..., H, W) -> (..., H - 10, W - 10).

    Weighted sums of shifted views rather than a convolution: on a CPU ten times faster than a depthwise convolution,
    and neither autocast nor TF32 can lower its precision.
    """
    for axis in (-2, -1):
        length = planes.shape[axis] - WINDOW_PX + 1
        if length < 1:
            raise ValueError(f"structural similarity needs frames of at least {WINDOW_PX} px, got {planes.shape[axis]}")
        mean = planes.narrow(axis, 0, length) * GAUSSIAN_WEIGHTS[0]
        for start, weight in enumerate(GAUSSIAN_WEIGHTS[1:], start=1):
            mean = mean.add_(planes.narrow(axis, start, length), alpha=weight)
        planes = mean
    return planes


def similarity_maps(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Luminance similarity and contrast-structure similarity of each window; their product is SSIM.

    a, b: (B, C, H, W) in [0, 1], at least float32. Returns two (B, C, H - 10, W - 10).
    """
    # A variance is the small difference of two large numbers. It does not depend on where zero is, so zero is put in
    # the middle, where the numbers are smallest.
    a, b = a - 0.5, b - 0.5
    mean_a, mean_b = gaussian_filter(a), gaussian_filter(b)
    variances = gaussian_filter(a * a + b * b) - mean_a * mean_a - mean_b * mean_b
    covariance = gaussian_filter(a * b) - mean_a * mean_b
    mean_a, mean_b = mean_a + 0.5, mean_b + 0.5
    luminance = (2 * mean_a * mean_b + LUMINANCE_CONSTANT) / (mean_a * mean_a + mean_b * mean_b + LUMINANCE_CONSTANT)
    contrast_structure = (2 * covariance + CONTRAST_CONSTANT) / (variances + CONTRAST_CONSTANT)
    return luminance, contrast_structure


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """SSIM of each pair, differentiable: two (B, C, H, W) in [0, 1] -> (B,), 1 for equal frames."""
    luminance, contrast_structure = similarity_maps(a, b)
    return (luminance * contrast_structure).mean(dim=(1, 2, 3))
