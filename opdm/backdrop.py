"""The painting behind the figures, of which no line tells: found where both keyframes show it at rest, or panned.

Ours. In a region without lines the motion of lines is a guess, handed on from the figures at its border, and would drag
the painting along with them. But both keyframes show the painting, at the same place or, where the camera pans, at
places that are all equally far apart; and they do not where that motion leads.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from opdm.layers import Layers, lay_lines
from opdm.motion import Motion
from opdm.pan import DETAIL, INKED, LINE_PX, border_regions, estimate_pan, find_ground, follow, is_near_line, is_within
from opdm.region_colors import FLAT_TOLERANCE, pick, sum_by_region
from opdm.segments import grow_over_lines, resize_regions
from opdm.warp import backward_warp, destinations, sample

DETAIL_PX, DETAIL_SHARE = 20, 0.02
"""Fewest pixels of detail in a region of a keyframe that rests, and their least share of it."""
REST_SHARE = 0.4
"""Least share of that detail that the other keyframe has at the same place; figures may cover the others."""
OVERLAP = 0.6
"""Least share of a drawing's region that lies in the resting parts of a keyframe that its motion leads to."""
CONTRADICTED = 2.0
"""How many times as far two keyframes must differ where motion leads as they do at rest, `DETAIL` being far."""
AT_LEAST = 0.001
"""And how far, in [0, 1], mean over a region; where they differ less, motion is as good as rest."""
COVERED, COVERED_PX = 0.1, 5
"""Difference at rest, the mean of a square and its side, from which on one of two keyframes has something in front that
no line parts from the painting."""
LINED_SHARE = 0.25
"""Share of a painting beside lines from which on they are its own, not only those of figures before it."""
GONE_BORDER, GONE_SHARE, KEPT_OUTLINE = 0.5, 0.03, 0.7
"""Something drawn in both keyframes is gone if the drawing lacks this share of its outline. A region has changed from
which more than the second share is gone, though the third share of its own outline rests."""
EDGE_PX = 3
"""How far beside the painting a pixel of a keyframe may be mixed with it."""
LEAST_CONTRAST = 0.1
"""Between ink and painting, for their mixture to tell how much there is of each."""
NEAR_LINES, MOVED_SHARE = 1 / 16, 0.01
"""How far from a drawing's lines a keyframe's may be, of the shorter side; least share of it that a figure changes."""


@dataclass(frozen=True)
class View:
    """What a drawing shows of the painting."""

    color: Tensor
    """(3, H, W) in [0, 1]."""
    is_shown: Tensor
    """(H, W) bool: where no figure and no line is before it."""
    is_edge: Tensor
    """(H, W) bool: beside a line, which may reach there in the keyframes."""
    lines: Tensor
    """(1, H, W) in [0, 1], of the drawing."""
    cutouts: Tensor
    """(K, 4, H, W): what each keyframe has before the painting, times how much of the pixel it covers; and that."""

    def lay_behind(self, frame: Tensor, ink: Tensor) -> Tensor:
        """A frame (3, H, W) with the painting where it shows, beneath the edges of lines of an ink (3, H, W).

        The lines themselves are the frame's: where they are moved well, it has their color more exactly.
        """
        return torch.where(self.is_shown, lay_lines(self.color, ink, self.lines), frame)

    def lay_behind_moved(self, frame: Tensor, ink: Tensor, k: int, places_px: Tensor) -> Tensor:
        """The same of keyframe k, sampled at places (1, 2, H, W), x and y in pixels.

        Its lines may be wider than those drawn, as where these were extracted; so edges are those of its cutout.
        """
        moved = sample(self.cutouts[k : k + 1], places_px)[0]
        edge = ((1 - moved[3]) * self.color).add_(moved[:3]).clamp_(0, 1)
        del moved  # frames may be large
        return torch.where(self.is_shown & self.is_edge, edge, self.lay_behind(frame, ink))


@dataclass(frozen=True)
class Backdrop:
    """Which parts of a drawing and of its keyframes are the painting."""

    regions: Tensor
    """(S,) bool, of the drawing."""
    keyframes: Tensor
    """(K, h, w) bool, where the camera has them."""
    is_covered: Tensor
    """(h, w) bool: where one of them has something in front that no line parts from the painting."""
    camera_px: Tensor
    """(K, 2): (dx, dy) from the drawing to where each keyframe has the painting."""

    def view(self, lines: Tensor, regions: Tensor, keyframes: Sequence[Layers]) -> View:
        """The painting at the size of lines (1, H, W), regions (H, W) and keyframes."""
        height, width = regions.shape
        scale = height / self.is_covered.shape[0]
        shown = [resize_regions(mask.int(), (height, width)).float() for mask in self.keyframes]
        cameras_px = self.camera_px * scale
        color, weights = torch.zeros(3, height, width), torch.zeros(height, width)
        for keyframe, mask, shift_px in zip(keyframes, shown, cameras_px, strict=True):
            color += mask * follow(keyframe, shift_px).color
            weights += mask
        painting = fill_from_around(color, weights)
        reach_px = round(EDGE_PX * scale)
        cutouts = [
            cut_out(keyframe, follow(Layers(painting, mask[None]), -shift_px), reach_px)
            for keyframe, mask, shift_px in zip(keyframes, shown, cameras_px, strict=True)
        ]
        is_behind = pick(self.regions, grow_over_lines(regions)) & (lines[0] > 1 - INKED)
        is_covered = resize_regions(self.is_covered.int(), (height, width)) > 0
        is_edge = is_near_line(lines, round(scale))
        return View(painting, is_behind & ~is_covered, is_edge, lines, torch.stack(cutouts))


def cut_out(keyframe: Layers, painting: Layers, reach_px: int) -> Tensor:
    """What a keyframe has before a painting, (4, H, W) as `View` has it: all that is not shown of it.

    The painting's lines (1, H, W) are 1 where the keyframe shows it; beside there a pixel may be a mixture with ink.
    """
    is_hidden = painting.lines[0] <= 0.5
    is_edge = is_near_line(is_hidden.float()[None], reach_px)  # what is shown, in the place of lines
    change, toward_ink = keyframe.color - painting.color, keyframe.ink - painting.color
    mixture = (change * toward_ink).sum(dim=0) / toward_ink.square().sum(dim=0).clamp(min=LEAST_CONTRAST**2)
    cover = is_hidden * torch.where(is_edge, mixture.clamp(0, 1), 1)
    return torch.cat([keyframe.color - (1 - cover) * painting.color, cover[None]])


def hide_backdrop(color: Tensor, others: Sequence[Tensor], drawing: Tensor) -> Tensor:
    """A keyframe (3, H, W) in [0, 1] without the detail of a painting at rest, for its lines to be traced.

    Hidden is what is the same in one of the other keyframes and far from all lines of a drawing (1, H, W) of a moment
    close to it. A keyframe is returned as it is where that is without detail, and where all of it is the same: a figure
    that comes back to where it was would be hidden too.
    """
    is_near = is_near_line(drawing, round(NEAR_LINES * min(color.shape[1:]))).numpy()
    square = (COVERED_PX, COVERED_PX)
    changes = [cv2.blur((color - other).abs().amax(dim=0).numpy(), square) for other in others]
    is_same = [change < FLAT_TOLERANCE for change in changes if (change >= FLAT_TOLERANCE).mean() > MOVED_SHARE]
    is_hidden = torch.from_numpy(np.any([np.zeros_like(is_near), *is_same], axis=0) & ~is_near)
    if (measure_contrast(color) > DETAIL)[is_hidden].sum() <= DETAIL_SHARE * is_hidden.sum():
        return color
    return fill_from_around(color * ~is_hidden, (~is_hidden).float())


def fill_from_around(color: Tensor, weights: Tensor) -> Tensor:
    """A sum of colors (3, H, W) divided by its weights (H, W), at most 1; where these are 0, what is around, blurred.

    By pushing and pulling through half, a quarter, ... of the size (Gortler et al. 1996, The Lumigraph).
    """
    mean = color / weights.clamp(min=torch.finfo().tiny)
    if (weights > 0).all() or max(weights.shape) == 1:
        return mean
    half = F.avg_pool2d(torch.cat([color, weights[None]])[None], 2, ceil_mode=True)[0]
    around = F.interpolate(fill_from_around(half[:3], half[3])[None], weights.shape, mode="bilinear")[0]
    return torch.where(weights > 0, mean, around).clamp(max=1)  # interpolated white may round to more


def find_backdrop(
    regions: Tensor, keyframes: Sequence[Layers], motion: Motion, *, count: int, time: float | None = None
) -> Backdrop | None:
    """What a drawing with regions (H, W), `count` in all, and its keyframes show of a painting; all of one size.

    With the time, 0 at the first keyframe and 1 at the second, it may be one that the camera pans over. None where
    there is no painting, and of a single keyframe, which does not tell what rests.
    """
    if len({id(keyframe) for keyframe in keyframes}) < 2:
        return None
    is_ground = [find_ground(keyframe) for keyframe in keyframes]
    if any((ground & find_detail(k)).sum() < DETAIL_PX for ground, k in zip(is_ground, keyframes, strict=True)):
        return None
    drawing, grown = (regions > 0).float()[None], grow_over_lines(regions)
    backdrop = find_still(drawing, grown, keyframes, motion, torch.zeros(2, 2), count)
    if backdrop is None and time is not None:
        pan_px = estimate_pan(keyframes, is_ground)
        camera_px = torch.stack([-time * pan_px, (1 - time) * pan_px])
        backdrop = find_still(drawing, grown, keyframes, motion, camera_px, count)
        if backdrop is not None and is_lined(drawing, pick(backdrop.regions, grown)):
            return None  # its lines tell where it is, and they tell better than the time
    return backdrop


def is_lined(drawing: Tensor, is_behind: Tensor) -> bool:
    """Whether a drawing (1, H, W) shows lines of what is behind its figures, (H, W) bool."""
    is_near = is_near_line(drawing)
    return bool((is_near & is_behind).sum() > LINED_SHARE * is_behind.sum())


def find_still(
    drawing: Tensor, regions: Tensor, keyframes: Sequence[Layers], motion: Motion, camera_px: Tensor, count: int
) -> Backdrop | None:
    """What rests where the camera has it, of a drawing (1, H, W) with regions (H, W) and two keyframes, if any."""
    keyframes = [follow(*pair) for pair in zip(keyframes, camera_px, strict=True)]
    flows_px = motion.flow_px - camera_px[:, None, :, None, None]
    change = (keyframes[0].color - keyframes[1].color).abs().amax(dim=0)  # (H, W)
    is_inside = torch.stack([is_within(change.shape, shift_px) for shift_px in camera_px])
    parts = [find_still_parts(keyframe, change, is_inside.all(dim=0)) for keyframe in keyframes]
    commons = [count_common(regions, *pair, count) for pair in zip(parts, flows_px, strict=True)]
    areas = sum_by_region(regions, torch.ones_like(change), count)  # (S,)
    overlap = torch.stack([common.sum(dim=1) for common in commons]).amin(dim=0) / areas  # NaN where there is no pixel
    behind = (torch.stack(parts) > 0) & is_inside  # (K, H, W)
    changes = torch.cat([change[None], compare_moved(keyframes, flows_px)]).clamp(max=DETAIL) * behind.all(dim=0)
    at_rest, *moved = (sum_by_region(regions, each, count) for each in changes)
    best = torch.stack(moved).amin(dim=0)
    is_resting = (overlap >= OVERLAP) & (best > CONTRADICTED * at_rest) & (best > AT_LEAST * areas)
    is_resting &= ~has_lost_lines(drawing, regions, keyframes, count)
    if not is_resting[border_regions(regions)].any():  # a painting does not end within a figure
        return None
    is_painting = [common[is_resting].sum(dim=0) >= common[~is_resting].sum(dim=0) for common in commons]  # (M,) each
    # What moves before a figure that rests does not rest.
    on_painting = [common[:, is_part].sum(dim=1) for common, is_part in zip(commons, is_painting, strict=True)]
    is_resting &= torch.stack(on_painting).amin(dim=0) >= OVERLAP * areas
    behind &= torch.stack([pick(*pair) for pair in zip(is_painting, parts, strict=True)])
    is_same = behind.all(dim=0) & (change <= FLAT_TOLERANCE)  # beside the painting's own lines, too
    behind &= torch.stack([~is_near_line(k.lines) | (is_same & (k.lines[0] > 1 - INKED)) for k in keyframes])
    side = (COVERED_PX, COVERED_PX)
    is_covered = torch.from_numpy(cv2.blur((change * behind.all(dim=0)).numpy(), side)) > COVERED
    behind &= ~is_covered
    return Backdrop(is_resting, behind, is_covered, camera_px) if behind.any() else None


def find_still_parts(keyframe: Layers, change: Tensor, is_inside: Tensor) -> Tensor:
    """A keyframe's regions that rest, (H, W) from 1, 0 = none, by the change (H, W) from the other where both are."""
    regions = keyframe.regions
    has_detail = find_detail(keyframe) & is_inside
    counted = (is_inside.float(), has_detail, has_detail & (change <= FLAT_TOLERANCE))
    pixels, detail, kept = (sum_by_region(regions, pixel, int(regions.max())) for pixel in counted)
    rests = (detail >= (pixels * DETAIL_SHARE).clamp(min=DETAIL_PX)) & (kept >= REST_SHARE * detail)
    return pick(rests.cumsum(dim=0) * rests, regions)


def has_lost_lines(drawing: Tensor, regions: Tensor, keyframes: Sequence[Layers], count: int) -> Tensor:
    """Which regions (H, W) of a drawing (1, H, W) lie as in both keyframes but lack what is drawn in them, (S,) bool.

    As a face, whose outline rests, with eyes that only the keyframes have open: it has changed, and is no painting.
    """
    near = [is_near_line(keyframe.lines) for keyframe in keyframes]
    in_both, border = near[0] & near[1], is_near_line(drawing)
    is_lost = in_both & ~is_near_line(drawing, 2 * LINE_PX)
    is_gone = torch.zeros_like(is_lost)
    for keyframe, is_near in zip(keyframes, near, strict=True):
        parts = keyframe.regions
        lost, around = (sum_by_region(parts, mask.float(), int(parts.max())) for mask in (is_lost, is_near))
        is_gone |= pick(lost > GONE_BORDER * around, parts)
    counted = (torch.ones_like(is_gone), is_gone, border, border & in_both)
    area, gone, outline, kept = (sum_by_region(regions, mask.float(), count) for mask in counted)
    return (gone > GONE_SHARE * area) & (kept >= KEPT_OUTLINE * outline)


def find_detail(keyframe: Layers) -> Tensor:
    """Where a keyframe's paint would show that it moved, (H, W) bool: not beside lines, whose color it has in part."""
    return (measure_contrast(keyframe.paint) > DETAIL) & ~is_near_line(keyframe.lines)


def measure_contrast(frame: Tensor) -> Tensor:
    """How far the neighbors of each pixel of a frame (3, H, W) differ, (H, W)."""
    kernel = np.ones((3, 3), np.uint8)
    return torch.from_numpy(np.max([cv2.dilate(c, kernel) - cv2.erode(c, kernel) for c in frame.numpy()], axis=0))


def count_common(regions: Tensor, parts: Tensor, flow_px: Tensor, count: int) -> Tensor:
    """Pixels of each region (H, W) of a drawing that lie in each part (H, W) of a keyframe and are led there, (S, M).

    The lesser of how many lie there and how many the flows (FLOWS, 2, H, W) lead there, on average. A figure before the
    painting lies in it too, but is led to where it was itself.
    """
    columns = int(parts.max()) + 1

    def count_pairs(there: Tensor) -> Tensor:
        pairs = regions.long() * columns + there
        return torch.bincount(pairs.flatten(), minlength=(count + 1) * columns).view(-1, columns)[1:, 1:]

    stacked = parts.float().expand(len(flow_px), 1, -1, -1)
    led = sample(stacked, destinations(flow_px), interpolation=cv2.INTER_NEAREST)
    leads = torch.stack([count_pairs(there) for there in led[:, 0].long()])
    return torch.minimum(count_pairs(parts), leads.double().mean(dim=0))


def compare_moved(keyframes: Sequence[Layers], flows_px: Tensor) -> Tensor:
    """How far two keyframes differ where each of the flows (2, FLOWS, 2, H, W) moves them, (FLOWS, H, W)."""
    first, second = (
        backward_warp(keyframe.color.expand(len(flow_px), -1, -1, -1), flow_px)
        for keyframe, flow_px in zip(keyframes, flows_px, strict=True)
    )
    return (first - second).abs().amax(dim=1)
