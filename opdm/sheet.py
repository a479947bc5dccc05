"""A shot on one page: every drawing above its painting, in order, keyframes framed in color."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from opdm.frames import FrameError, read_frame, resize, to_8_bit, write_frame

LARGEST_SIDE = 4000
"""Of the sheet, in pixels: longer shots get smaller pictures."""
PICTURE_WIDTH, SMALLEST_WIDTH = 320, 24
GAP, BORDER, LABEL_HEIGHT = 10, 4, 22
GROUND, INK, KEYFRAME_COLOR, EMPTY = (238, 238, 238), (60, 60, 60), (232, 106, 23), (222, 222, 222)


@dataclass(frozen=True)
class Cell:
    """One frame of the shot."""

    label: str
    drawing: Path | None
    """The line art; None leaves its place empty."""
    frame: Path | None
    """The painted frame; None where it could not be painted."""
    is_keyframe: bool = False


@dataclass(frozen=True)
class Layout:
    """Where cells go, in pixels; a cell is a label, a picture of the drawing, and one of the frame."""

    columns: int
    rows: int
    picture_width: int
    picture_height: int

    @property
    def cell_width(self) -> int:
        """One cell with the gap to the next."""
        return self.picture_width + GAP

    @property
    def cell_height(self) -> int:
        """One cell with the gap to the next row."""
        return LABEL_HEIGHT + 2 * self.picture_height + 2 * GAP

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the sheet."""
        return GAP + self.columns * self.cell_width, GAP + self.rows * self.cell_height


def write_contact_sheet(path: Path, cells: Sequence[Cell], frame_size: tuple[int, int]) -> None:
    """Draw the cells on one sheet and write it; `frame_size` is height and width of the shot's frames.

    Pictures are read one at a time. What cannot be read stays empty.
    """
    layout = plan_sheet(len(cells), frame_size)
    sheet = Image.new("RGB", layout.size, GROUND)
    for index, cell in enumerate(cells):
        row, column = divmod(index, layout.columns)
        draw_cell(sheet, cell, layout, GAP + column * layout.cell_width, GAP + row * layout.cell_height)
    write_frame(path, torch.from_numpy(np.array(sheet)).permute(2, 0, 1).float() / 255)


def plan_sheet(count: int, frame_size: tuple[int, int]) -> Layout:
    """The layout of `count` cells, about as wide as a screen."""
    width = PICTURE_WIDTH
    while True:
        height = max(1, round(width * frame_size[0] / frame_size[1]))
        cell = Layout(1, 1, width, height)
        columns = min(count, max(1, round(math.sqrt(count * 1.6 * cell.cell_height / cell.cell_width))))
        rows = math.ceil(count / columns)
        layout = Layout(math.ceil(count / rows), rows, width, height)  # the last row nearly as full as the others
        if max(layout.size) <= LARGEST_SIDE or width <= SMALLEST_WIDTH:
            return layout
        width = max(SMALLEST_WIDTH, int(width * 0.9))


def draw_cell(sheet: Image.Image, cell: Cell, layout: Layout, left: int, top: int) -> None:
    """Label, drawing and frame, from the top down."""
    draw = ImageDraw.Draw(sheet)
    # A name that is no valid text in the file system's encoding is still a name.
    label = cell.label.encode(errors="replace").decode()
    text = f"{label} (key)" if cell.is_keyframe else label
    color = KEYFRAME_COLOR if cell.is_keyframe else INK
    draw.text((left, top), fit_text(draw, text, layout.picture_width), fill=color, font=label_font())
    for path in (cell.drawing, cell.frame):
        position = (left, top + LABEL_HEIGHT)
        picture = read_picture(path, layout)
        if picture is None:
            far_corner = position[0] + layout.picture_width - 1, position[1] + layout.picture_height - 1
            draw.rectangle((*position, *far_corner), fill=EMPTY)
        else:
            centered = (layout.picture_width - picture.width) // 2, (layout.picture_height - picture.height) // 2
            sheet.paste(picture, (position[0] + centered[0], position[1] + centered[1]))
        if cell.is_keyframe and path == cell.frame:
            far_corner = position[0] + layout.picture_width + 1, position[1] + layout.picture_height + 1
            draw.rectangle((position[0] - 2, position[1] - 2, *far_corner), outline=color, width=BORDER)
        top += layout.picture_height + GAP // 2


def read_picture(path: Path | None, layout: Layout) -> Image.Image | None:
    """An image that fits its place, its own aspect ratio kept; None where there is none."""
    if path is None:
        return None
    try:
        frame = read_frame(path)
    except FrameError:
        return None
    height, width = frame.shape[-2:]
    scale = min(layout.picture_width / width, layout.picture_height / height)
    return Image.fromarray(to_8_bit(resize(frame, (max(1, round(height * scale)), max(1, round(width * scale))))))


def fit_text(draw: ImageDraw.ImageDraw, text: str, width: int) -> str:
    """The text, or as much of its end as fits: in a sequence the end is what tells frames apart."""
    if draw.textlength(text, font=label_font()) <= width:
        return text
    while text and draw.textlength(f"…{text}", font=label_font()) > width:
        text = text[1:]
    return f"…{text}"


@functools.cache
def label_font() -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """The font that comes with Pillow."""
    return ImageFont.load_default(14)
