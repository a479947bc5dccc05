"""Scores of single frames: PSNR, SSIM, MS-SSIM, QSSIM. Save frames as 8 bit before scoring, as every protocol does.

All take (B, 3, H, W) RGB in [0, 1], float32 or float64, and return one score per frame, (B,), higher is better.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from opdm import similarity
from opdm.similarity import WINDOW_PX, gaussian_filter, similarity_maps

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Wang et al. 2003: the exponents of the five scales, finest first."""

BEST_PSNR_DB = 60.0
"""What a frame counts as at most. The PSNR of one that is equal to the true one is infinite, and to leave it out of a
mean would lower the mean. At 60 dB a tenth of the pixels are off by one level of 8 bits in two of three channels."""

QSSIM_MEAN_CONSTANT = 1e-4
QSSIM_CONTRAST_CONSTANT = 9e-4
QSSIM_TARGET_SIDE_PX = 256


def psnr(prediction: Tensor, target: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB over all pixels and channels, peak 1; inf where the frames are equal."""
    _check_pair(prediction, target)
    squared_error = (prediction.double() - target.double()).square().mean(dim=(1, 2, 3))
    return (-10 * squared_error.log10()).to(prediction.dtype)


def bounded_psnr(prediction: Tensor, target: Tensor) -> Tensor:
    """`psnr`, at most `BEST_PSNR_DB`: what means are taken of."""
    return psnr(prediction, target).clamp(max=BEST_PSNR_DB)


def ssim(prediction: Tensor, target: Tensor) -> Tensor:
    """SSIM (Wang et al. 2004): 11 x 11 Gaussian of 1.5 px, population covariance, valid region, mean of R, G and B."""
    _check_pair(prediction, target, smallest_side=WINDOW_PX)
    return similarity.ssim(prediction, target)


def ms_ssim(prediction: Tensor, target: Tensor) -> Tensor:
    """MS-SSIM (Wang et al. 2003): five scales by 2 x 2 means, weighted product per channel, mean of R, G and B."""
    coarsest = 2 ** (len(SCALE_WEIGHTS) - 1)
    _check_pair(prediction, target, smallest_side=(WINDOW_PX - 1) * coarsest + 1)
    product = torch.ones(prediction.shape[:2], dtype=prediction.dtype, device=prediction.device)  # (B, 3)
    for scale, weight in enumerate(SCALE_WEIGHTS):
        luminance, contrast_structure = similarity_maps(prediction, target)
        is_coarsest = scale == len(SCALE_WEIGHTS) - 1
        similarity_map = luminance * contrast_structure if is_coarsest else contrast_structure
        # Opposite structure is as bad as none: a power of a negative number would be NaN.
        product = product * similarity_map.mean(dim=(2, 3)).relu() ** weight
        prediction, target = _halve(prediction), _halve(target)
    return product.mean(dim=1)


def qssim(prediction: Tensor, target: Tensor) -> Tensor:
    """QSSIM (Kolaman and Yadid-Pecht 2012): SSIM of colors as quaternions. Nearly blind to hue, so never alone.

    The product of two pure quaternions p and q is (-p.q, p x q), so the quaternion formula is written here with dot and
    cross products of color vectors, and a modulus is the root of a scalar and a vector part, squared and added.
    """
    _check_pair(prediction, target, smallest_side=WINDOW_PX)
    x, y = _quaternion_colors(prediction), _quaternion_colors(target)  # (B, 3, H, W)
    mean_x, mean_y = gaussian_filter(x), gaussian_filter(y)
    energies = mean_x.square().sum(dim=1) + mean_y.square().sum(dim=1)
    mean_dot, mean_cross = _dot(mean_x, mean_y), _cross(mean_x, mean_y)
    covariance = gaussian_filter(_dot(x, y)) - mean_dot
    cross_covariance = gaussian_filter(_cross(x, y)) - mean_cross
    variances = gaussian_filter(_dot(x, x) + _dot(y, y)) - energies
    luminance = _modulus(2 * mean_dot + QSSIM_MEAN_CONSTANT, 2 * mean_cross) / (energies + QSSIM_MEAN_CONSTANT)
    contrast_structure = _modulus(2 * covariance + QSSIM_CONTRAST_CONSTANT, 2 * cross_covariance)
    return (luminance * contrast_structure / (variances + QSSIM_CONTRAST_CONSTANT)).mean(dim=(1, 2))


def _halve(frames: Tensor) -> Tensor:
    """2 x 2 means. An odd side is padded by zeros on both ends and these are counted: the common implementations do."""
    return F.avg_pool2d(frames, kernel_size=2, padding=[side % 2 for side in frames.shape[-2:]])


def _quaternion_colors(frames: Tensor) -> Tensor:
    """Colors scaled as in the authors' program: 8-bit values / 256 and / sqrt(3), the frame shrunk to about 256 px."""
    colors = frames * (255 / 256 / math.sqrt(3))
    factor = max(1, math.floor(min(frames.shape[-2:]) / QSSIM_TARGET_SIDE_PX + 0.5))
    return colors if factor == 1 else _shrink(colors, factor)


def _shrink(frames: Tensor, factor: int) -> Tensor:
    """Every `factor`-th pixel of a factor x factor box mean, the border mirrored with its edge, as MATLAB does it."""
    before, after = (factor - 1) // 2, factor // 2
    for axis in (-2, -1):
        head = frames.narrow(axis, 0, before).flip(axis)
        tail = frames.narrow(axis, frames.shape[axis] - after, after).flip(axis)
        frames = torch.cat([head, frames, tail], dim=axis)
    return F.avg_pool2d(frames, kernel_size=factor, stride=factor, ceil_mode=False)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(dim=1)


def _cross(a: Tensor, b: Tensor) -> Tensor:
    """The cross product of color vectors; `torch.linalg.cross` is several times slower on a CPU."""
    (a_r, a_g, a_b), (b_r, b_g, b_b) = a.unbind(dim=1), b.unbind(dim=1)
    return torch.stack([a_g * b_b - a_b * b_g, a_b * b_r - a_r * b_b, a_r * b_g - a_g * b_r], dim=1)


def _modulus(scalar: Tensor, vector: Tensor) -> Tensor:
    return (scalar.square() + vector.square().sum(dim=1)).sqrt()


def _check_pair(prediction: Tensor, target: Tensor, smallest_side: int = 1) -> None:
    """Raise ValueError unless both are (B, 3, H, W) floats in [0, 1] of one size, large enough for the windows."""
    if prediction.shape != target.shape:
        raise ValueError(f"prediction {tuple(prediction.shape)} and target {tuple(target.shape)} differ in shape")
    if prediction.dtype != target.dtype or prediction.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"frames must be float32 or float64, both the same; got {prediction.dtype} and {target.dtype}")
    if prediction.ndim != 4 or prediction.shape[1] != 3:
        raise ValueError(f"frames must be (B, 3, H, W), got {tuple(prediction.shape)}")
    height, width = prediction.shape[-2:]
    if min(height, width) < smallest_side:
        raise ValueError(f"this metric needs at least {smallest_side} px on each side, got {width} x {height}")
    for name, frames in (("prediction", prediction), ("target", target)):
        if frames.numel() and not (frames.amin() >= 0 and frames.amax() <= 1):
            low, high = frames.amin().item(), frames.amax().item()
            raise ValueError(f"{name} must lie in [0, 1] without NaN, got {low:g} to {high:g}")
