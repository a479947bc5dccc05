"""What to look at first: the regions of a painted drawing whose color the model was not sure of.

The model weighs proposals, pixel by pixel. Where it takes proposals of different colors at once, it does not know
which is right: the mean ΔE2000 from the proposals to what was painted, weighed as it weighed them, is its doubt, in the
unit of the error that it foretells. `eval/confidence.py` measures how well it does.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from opdm.metrics.color import delta_e_2000, lab_colors, region_means
from opdm.region_colors import pick
from opdm.segments import resize_regions, vote_colors
from opdm.staging import Moved, Stage

DOUBTFUL = 3.0
"""ΔE2000: regions above are shown. On generated shots these are a seventh of all, and nine tenths of the wrong ones."""
NEW = 0.1
"""Mismatch of lines: regions above may be new. On generated shots these are a sixth of all, a quarter of which no
keyframe shows, and seven tenths of those that none shows."""
MISMATCH_PX = 7
"""Side of the square over which lines are compared."""
RED, VIOLET = (0.85, 0.1, 0.1), (0.55, 0.1, 0.8)
OUTLINE_PX = 2


@dataclass(frozen=True)
class RegionCheck:
    """One region of a drawing."""

    region: int
    """Its number in `opdm.segments.find_regions` of the drawing."""
    doubt: float
    """Expected ΔE2000 between what was painted and what is right."""
    mismatch: float
    """0 to 1: how little the lines of the moved keyframes agree with the drawing's own, here."""
    may_be_new: bool
    """Whether it looks as if no keyframe shows it."""
    vote: float
    """0 to 1: share of the moved keyframes' votes, pixel by pixel, that are for what was painted."""
    match: float | None
    """0 to 1: how likely the region matches one of that color in the keyframe that is surer; None for models that
    match no regions."""
    keyframes_differ: float | None
    """ΔE2000 between the colors that the two keyframes, moved, would give it; None where there is one, or where the
    region is too small to be seen at the working size."""
    color: str
    """What most of it was painted in, as #rrggbb."""
    area_px: int
    box: tuple[int, int, int, int]
    """Left, top, width, height, in pixels."""


@dataclass(frozen=True)
class DrawingCheck:
    """All regions of a drawing, the most doubtful first."""

    name: str
    regions: tuple[RegionCheck, ...]

    @property
    def doubtful(self) -> tuple[RegionCheck, ...]:
        """Those to look at."""
        return tuple(region for region in self.regions if region.doubt > DOUBTFUL)

    def as_json(self) -> dict[str, Any]:
        """The doubtful regions, and how many there are in all."""
        found = self.doubtful
        return {
            "drawing": self.name,
            "regions": len(self.regions),
            "doubtful": len(found),
            "doubtful_px": sum(region.area_px for region in found),
            "may_be_new": sum(region.may_be_new for region in found),
            "check": [
                {name: round(value, 3) if isinstance(value, float) else value for name, value in asdict(region).items()}
                for region in found
            ],
        }


def check_drawing(name: str, stage: Stage, frame: Tensor, weights: Tensor) -> DrawingCheck:
    """The doubt about each region of a painted frame (3, H, W); weights (P, h, w) as `Finished` has them.

    Raises ValueError for a drawing whose motion is not known.
    """
    if stage.moved is None:
        raise ValueError(f"{name}: was painted by a model that makes nothing of motion, and has no choice to doubt")
    size, regions = (stage.lines.shape[-2], stage.lines.shape[-1]), stage.regions
    planes = torch.stack([measure_doubt(stage, frame, weights), measure_mismatch(stage)])
    planes = F.interpolate(planes[None], size, mode="bilinear")[0]
    found = region_means(planes, regions)
    boxes = find_boxes(regions)
    colors = vote_colors(regions, frame)
    agreement = measure_agreement(stage.moved, stage, colors)
    checks = [
        RegionCheck(
            region=number,
            doubt=doubt,
            mismatch=strange,
            may_be_new=strange > NEW,
            vote=float(agreement.vote[number - 1]),
            match=known(agreement.match[number - 1]),
            keyframes_differ=known(agreement.keyframes_differ[number - 1]),
            color=hexadecimal(colors[number - 1]),
            area_px=area,
            box=boxes[number],
        )
        for number, area, doubt, strange in zip(
            found.ids.tolist(), found.pixels.tolist(), *found.means.tolist(), strict=True
        )
    ]
    return DrawingCheck(name, tuple(sorted(checks, key=lambda check: -check.doubt)))


def known(value: Tensor) -> float | None:
    """A number, or None for NaN."""
    return None if value.isnan() else float(value)


@dataclass(frozen=True)
class Agreement:
    """What `RegionCheck` has of each of S regions, (S,); NaN where it is not known."""

    vote: Tensor
    match: Tensor
    keyframes_differ: Tensor


def measure_agreement(moved: Moved, stage: Stage, colors: Tensor) -> Agreement:
    """How far all that is known agrees with regions painted in colors (S, 3), and with each other."""
    unknown = torch.full((len(colors),), torch.nan)
    match = torch.stack([m.chance_of(colors) for m in moved.matches]).amax(dim=0) if moved.matches else unknown
    apart = unknown
    if stage.keyframes[0] is not stage.keyframes[-1]:
        one, other = (lab_colors(moved.ballot.of_keyframe(k).elect().T[:, None]) for k in range(2))
        apart = delta_e_2000(one, other)[0]  # of the regions that are seen at the working size
        apart = F.pad(apart, (0, len(colors) - len(apart)), value=torch.nan)
    return Agreement(moved.ballot.share(colors), match, apart)


def measure_doubt(stage: Stage, frame: Tensor, weights: Tensor) -> Tensor:
    """Expected ΔE2000 (h, w) between the frame (3, H, W) and the proposals as they were weighed; 0 where it is held."""
    height, width = stage.size
    assert stage.conditions.proposals is not None
    painted = lab_colors(F.interpolate(frame[None], (height, width), mode="area")[0])
    doubt = torch.zeros(height, width)
    for weight, proposal in zip(weights, stage.conditions.proposals[:, :, :height, :width], strict=True):
        doubt += weight * delta_e_2000(lab_colors(proposal), painted)
    return doubt * (pick(stage.held, resize_regions(stage.regions, stage.size)) == 0)


def measure_mismatch(stage: Stage) -> Tensor:
    """Mean difference (h, w) between the drawing's lines and those that each flow moves there, around each pixel."""
    height, width = stage.size
    assert stage.conditions.moved_lines is not None
    moved = stage.conditions.moved_lines[..., :height, :width].flatten(0, -3)  # (K F, h, w)
    difference = (moved - stage.conditions.lines[..., :height, :width]).abs().mean(dim=0, keepdim=True)
    return F.avg_pool2d(difference[None], MISMATCH_PX, stride=1, padding=MISMATCH_PX // 2)[0, 0]


def find_boxes(regions: Tensor) -> dict[int, tuple[int, int, int, int]]:
    """Left, top, width and height of every region (H, W) by number."""
    ids = regions.numpy()
    rows, columns = np.nonzero(ids)
    numbers = ids[rows, columns]
    count = int(ids.max()) + 1
    low, high = np.full((2, count), max(ids.shape)), np.full((2, count), -1)
    for axis, places in enumerate((columns, rows)):
        np.minimum.at(low[axis], numbers, places)
        np.maximum.at(high[axis], numbers, places)
    extent = high - low + 1
    return {n: (*low[:, n].tolist(), *extent[:, n].tolist()) for n in np.flatnonzero(high[0] >= 0).tolist()}


def hexadecimal(color: Tensor) -> str:
    """#rrggbb of (3,) in [0, 1]."""
    return "#" + "".join(f"{value:02x}" for value in color.mul(255).round().int().tolist())


def draw_checks(frame: Tensor, regions: Tensor, checks: Sequence[RegionCheck]) -> Tensor:
    """The frame (3, H, W) faded, its doubtful regions in full color and outlined: red; violet what may be new."""
    is_shown = torch.isin(regions, torch.tensor([check.region for check in checks], dtype=regions.dtype))
    picture = torch.where(is_shown, frame, 0.75 + 0.25 * frame.mean(dim=0, keepdim=True))
    kernel = np.ones((2 * OUTLINE_PX + 1,) * 2, np.uint8)
    for color, is_new in ((RED, False), (VIOLET, True)):
        numbers = torch.tensor([check.region for check in checks if check.may_be_new == is_new], dtype=regions.dtype)
        mask = torch.isin(regions, numbers).byte().numpy()
        outline = torch.from_numpy(cv2.dilate(mask, kernel) != mask) & ~is_shown
        picture = torch.where(outline, torch.tensor(color)[:, None, None], picture)
    return picture


def order_checks(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Drawings as `DrawingCheck.as_json` has them, those with the most to look at first."""
    return sorted(found, key=lambda check: (-check["doubtful"], -check["doubtful_px"], check["drawing"]))
