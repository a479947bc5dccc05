"""What reports say about each score: its heading, its decimals, which way is better, and its definition."""

from dataclasses import dataclass
from typing import Literal

ARROWS = {"higher": "↑", "lower": "↓", "true": "≈"}
"""≈: best where it comes near the value of the true frames, which stands beside it."""


@dataclass(frozen=True)
class Column:
    """One score."""

    title: str
    better: Literal["higher", "lower", "true"]
    decimals: int
    definition: str
    scale: float = 1
    """What the score is multiplied by to be shown."""

    @property
    def heading(self) -> str:
        """With its arrow."""
        return f"{self.title} {ARROWS[self.better]}"

    def show(self, value: float) -> str:
        """A score as text."""
        return f"{value * self.scale:.{self.decimals}f}"


COLUMNS = {
    "psnr": Column("PSNR [dB]", "higher", 2, "10 log10(255² / MSE) over pixels and channels, the mean of the frames' "
                   "decibels, of which each has 60 at most, as one that is equal"),
    "ssim": Column("SSIM", "higher", 4, "Wang et al. 2004: 11 x 11 Gaussian of sigma 1.5, population covariance, valid "
                   "region, mean of R, G and B"),
    "ms_ssim": Column("MS-SSIM", "higher", 4, "Wang et al. 2003: five scales, product per channel, mean of channels"),
    "qssim": Column("QSSIM", "higher", 4, "Kolaman and Yadid-Pecht 2012 by their program's constants; nearly blind to "
                    "hue"),
    "lpips": Column("LPIPS-alex", "lower", 4, "Zhang et al. 2018, version 0.1, AlexNet"),
    "delta_e": Column("ΔE", "lower", 2, "mean ΔE2000 of the pixels inside regions"),
    "wrong_regions": Column("wrong regions [%]", "lower", 1, "regions whose mean ΔE2000 is above 5: what an artist "
                            "must repaint", 100),
    "cdc": Column("CDC", "true", 5, "Liu et al. 2021: divergence of color histograms 1, 2 and 4 frames apart, over the "
                  "whole clip with its keyframes; a frozen clip has 0"),
    "warp_error": Column("WE", "true", 5, "Lai et al. 2018: squared difference to the next frame warped along the "
                         "flow of the true frames, where not occluded, over the whole clip with its keyframes"),
    "region_flicker": Column("flicker [ΔE]", "true", 2, "ΔE2000 of a region's mean color to the frame before"),
    "fid_clean": Column("FID clean", "lower", 2, "Heusel et al. 2017 by clean-fid (Parmar et al. 2022), all painted "
                        "frames against all true ones; never compare different numbers of frames"),
    "fid_legacy_pytorch": Column("FID legacy", "lower", 2, "the same as pytorch-fid computes it"),
}  # fmt: skip
SCORES_OF = {"region_color": ("delta_e", "wrong_regions"), "fid": ("fid_clean", "fid_legacy_pytorch")}
"""The scores of a metric, where it is not one of its own name."""
METRICS = (
    "psnr", "ssim", "ms_ssim", "qssim", "lpips", "region_color", "cdc", "warp_error", "region_flicker", "fid"
)  # fmt: skip
NO_WEIGHTS_NEEDED = tuple(name for name in METRICS if name not in ("lpips", "fid"))


def scores_of(metric: str) -> tuple[str, ...]:
    """The scores that a metric gives."""
    return SCORES_OF.get(metric, (metric,))
