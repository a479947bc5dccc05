"""Pictures of correspondence: where in each keyframe a drawing finds the color of every pixel."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from flow_benchmark import read_truth, view_frame
from flow_models import FlowModel, View
from opdm.pan import is_within
from opdm.warp import backward_warp

if TYPE_CHECKING:
    from opdm.data.clips import Clip

CHECK_PX = 16
"""Side of the squares that show how a place is turned and stretched."""
MARGIN_PX = 6
LABEL_PX = 18
GRAY = 0.5


@dataclass(frozen=True)
class Keyframe:
    """A keyframe beside the drawing."""

    view: View
    places: Tensor
    """(3, H, W): a color for every place in it."""


def draw_sources(models: dict[str, FlowModel], clip: "Clip", drawing: int, keyframes: Sequence[int]) -> Tensor:
    """(3, H, W) in [0, 1]: the keyframes and their places, and below them a row for the truth and for each model.

    A row has for each keyframe the keyframe moved to the drawing, and the places that its pixels came from: red grows
    with x, green with y, squares of 16 px. Gray is what comes from outside of the keyframe; of the truth also what the
    keyframe does not show. Raises InputError where the clip lacks true flow, or drawings that a model sees.
    """
    source = view_frame(clip, drawing, models.values())
    views = [view_frame(clip, index, models.values()) for index in keyframes]
    keys = [Keyframe(view, place_colors(*view.color.shape[-2:])) for view in views]
    truths = [read_truth(clip, drawing, index) for index in keyframes]
    marks = source.color if source.lines is None else source.lines.expand(3, -1, -1)
    rows = [
        label_row("keyframes", [source.color, *(picture for key in keys for picture in (key.view.color, key.places))])
    ]
    moved = [move(key, truth.flow_px, truth.is_occluded) for key, truth in zip(keys, truths, strict=True)]
    rows.append(label_row("truth", [marks, *(picture for pair in moved for picture in pair)]))
    for label, model in models.items():
        moved = [move(key, model.estimate(source, key.view)) for key in keys]
        rows.append(label_row(label, [marks, *(picture for pair in moved for picture in pair)]))
    return torch.cat(rows, dim=1)


def place_colors(height: int, width: int) -> Tensor:
    """(3, H, W): red = x, green = y, blue falls with both; every other square is darker."""
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    rows, columns = (torch.arange(length) // CHECK_PX for length in (height, width))
    is_dark = (rows[:, None] + columns) % 2 == 1
    return torch.stack([x, y, 1 - (x + y) / 2]) * torch.where(is_dark, 0.7, 1.0)


def move(key: Keyframe, flow_px: Tensor, is_hidden: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The keyframe and its places brought to the drawing along (2, H, W); gray where hidden (H, W) or from outside."""
    is_known = is_within(flow_px.shape[-2:], flow_px)
    if is_hidden is not None:
        is_known &= ~is_hidden
    moved = backward_warp(torch.cat([key.view.color, key.places])[None], flow_px[None])[0]
    color, places = torch.where(is_known, moved, GRAY).split(3)
    return color, places


def label_row(label: str, pictures: Sequence[Tensor]) -> Tensor:
    """Pictures (3, H, W) side by side on white, beneath their label."""
    spaced = [F.pad(picture, (MARGIN_PX,) * 4, value=1.0) for picture in pictures]
    row = torch.cat(spaced, dim=2)
    banner = np.full((LABEL_PX, row.shape[2]), 255, np.uint8)
    cv2.putText(banner, label, (MARGIN_PX, LABEL_PX - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.45, 0, 1, cv2.LINE_AA)
    return torch.cat([torch.from_numpy(banner).div(255).expand(3, -1, -1), row], dim=1)
