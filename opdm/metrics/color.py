"""What an artist would have to repaint: perceived color differences inside the regions of a drawing.

ΔE2000 (CIE 142-2001) is about 1 where a trained eye begins to see a difference, and above 5 anyone sees it at once.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

VISIBLY_WRONG = 5.0
"""ΔE2000 above which a region must be repainted."""

RGB_TO_XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
"""Linear sRGB (IEC 61966-2-1) under the illuminant D65. White is what (1, 1, 1) becomes, so every gray is neutral."""


def region_color_error(prediction: Tensor, target: Tensor, regions: Tensor) -> dict[str, float]:
    """ΔE2000 of each pixel: `delta_e`, its mean inside regions; `wrong`, share of regions whose own mean is above 5.

    A region counts once in `wrong`, however large: it is one fill for who repairs it. Both are NaN without a region.
    prediction, target: (3, H, W) in [0, 1]. regions: (H, W) integers, 0 or less for none (ink).
    """
    if prediction.shape != target.shape or regions.shape != target.shape[1:]:
        shapes = f"{tuple(prediction.shape)}, {tuple(target.shape)} and {tuple(regions.shape)}"
        raise ValueError(f"expected (3, H, W), (3, H, W) and (H, W), got {shapes}")
    return region_lab_error(lab_colors(prediction), lab_colors(target), regions)


def region_lab_error(prediction: Tensor, target: Tensor, regions: Tensor) -> dict[str, float]:
    """`region_color_error` of frames that are L*a*b* already, (3, H, W)."""
    found = region_means(delta_e_2000(prediction, target)[None], regions)
    return {
        "delta_e": float((found.means[0] * found.pixels).sum() / found.pixels.sum()),
        "wrong": float((found.means[0] > VISIBLY_WRONG).double().mean()),
    }


class RegionMeans(NamedTuple):
    """The S regions that a frame shows."""

    ids: Tensor
    """(S,) rising, above 0."""
    pixels: Tensor
    """(S,)."""
    means: Tensor
    """(C, S) float64."""


def region_means(planes: Tensor, regions: Tensor) -> RegionMeans:
    """Means of planes (C, H, W) over the regions (H, W) of a frame; what is 0 or less belongs to no region."""
    labels = regions.flatten().long().clamp(min=0)
    numbers = None
    if labels.max() > labels.numel():  # some data sets number regions by their colors
        numbers, labels = labels.unique(return_inverse=True)
    pixels = torch.bincount(labels)
    present = pixels.nonzero()[:, 0]
    ids = present if numbers is None else numbers
    present, ids = present[ids > 0], ids[ids > 0]
    sums = torch.stack([torch.bincount(labels, weights=plane.flatten().double())[present] for plane in planes])
    return RegionMeans(ids, pixels[present], sums / pixels[present])


def lab_colors(frame: Tensor) -> Tensor:
    """CIE 1976 L*a*b* of sRGB under D65: (..., 3, H, W) in [0, 1] -> the same shape, L* from 0 to 100."""
    linear = torch.where(frame <= 0.04045, frame / 12.92, ((frame + 0.055) / 1.055) ** 2.4)
    red, green, blue = linear.unbind(dim=-3)
    x, y, z = (_compress((row[0] * red + row[1] * green + row[2] * blue) / sum(row)) for row in RGB_TO_XYZ)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=-3)


def _compress(share_of_white: Tensor) -> Tensor:
    """The cube root, and the straight line that touches it near black."""
    knee = 6 / 29
    line = share_of_white / (3 * knee**2) + 4 / 29
    return torch.where(share_of_white > knee**3, share_of_white.clamp(min=knee**3) ** (1 / 3), line)


def delta_e_2000(a: Tensor, b: Tensor) -> Tensor:
    """CIEDE2000 of two L*a*b* colors, with all weights 1: (3, ...) and (3, ...) -> (...), 0 for equal colors.

    Formula and names of its terms from Sharma, Wu and Dalal 2005, "The CIEDE2000 Color-Difference Formula".
    """
    chroma = (torch.hypot(a[1], a[2]) + torch.hypot(b[1], b[2])) / 2
    stretch = 1.5 - 0.5 * _high_chroma(chroma)  # 1 + G, equations 4 and 5
    (chroma_a, hue_a), (chroma_b, hue_b) = (_polar(color[1] * stretch, color[2]) for color in (a, b))
    product = chroma_a * chroma_b
    lightness, chroma = (a[0] + b[0]) / 2, (chroma_a + chroma_b) / 2
    turn, hue = _hue_difference_and_mean(hue_a, hue_b, product == 0)
    squared = (lightness - 50).square()
    t = (
        1
        - 0.17 * torch.cos(hue - math.radians(30))
        + 0.24 * torch.cos(2 * hue)
        + 0.32 * torch.cos(3 * hue + math.radians(6))
        - 0.20 * torch.cos(4 * hue - math.radians(63))
    )
    bell = torch.exp(-((hue - math.radians(275)) / math.radians(25)).square())
    rotation = -2 * _high_chroma(chroma) * torch.sin(math.radians(60) * bell)  # R_T, equation 21
    by_lightness = (b[0] - a[0]) / (1 + 0.015 * squared / (20 + squared).sqrt())
    by_chroma = (chroma_b - chroma_a) / (1 + 0.045 * chroma)
    by_hue = 2 * product.sqrt() * torch.sin(turn / 2) / (1 + 0.015 * chroma * t)
    total = by_lightness.square() + by_chroma.square() + by_hue.square() + rotation * by_chroma * by_hue
    return total.clamp(min=0).sqrt()


def _high_chroma(chroma: Tensor) -> Tensor:
    """sqrt(C^7 / (C^7 + 25^7)): 0 for gray, 1 for vivid colors."""
    power = chroma**7
    return (power / (power + 25.0**7)).sqrt()


def _polar(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Chroma, and hue in [0, 2 pi); the hue of gray is 0."""
    hue = torch.atan2(b, a)
    return torch.hypot(a, b), torch.where(hue < 0, hue + 2 * math.pi, hue)


def _hue_difference_and_mean(hue_a: Tensor, hue_b: Tensor, has_gray: Tensor) -> tuple[Tensor, Tensor]:
    """Signed way from the one hue to the other, and the hue half way, both along the shorter arc; in radians.

    Next to a gray, which has no hue, the mean is the hue of the other one (equations 10 and 14).
    """
    turn, total = hue_b - hue_a, hue_a + hue_b
    is_far = turn.abs() > math.pi
    turn = torch.where(is_far, turn - 2 * math.pi * turn.sign(), turn)
    mean = total / 2 + torch.where(is_far, torch.where(total < 2 * math.pi, math.pi, -math.pi), 0)
    return turn, torch.where(has_gray, total, mean)
