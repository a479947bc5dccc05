"""Palettes as files of GIMP (.gpl): text with a line `R G B name` a color, which Krita and any editor open."""

import re
from pathlib import Path

import torch
from torch import Tensor

from opdm.errors import InputError
from opdm.frames import write_text

HEADER = "GIMP Palette"
COLOR = re.compile(r"\s*(\d+)\s+(\d+)\s+(\d+)(?:\s.*)?$")
OTHERS = ("Name:", "Columns:", "Channels:", "#")
"""What other lines of a palette begin with."""


def write_palette(path: Path, palette: Tensor, name: str) -> None:
    """Write colors (N, 3) in [0, 1], rounded to 8 bits. Raises OSError."""
    levels = palette.mul(255).round().int().tolist()
    colors = [f"{r:3} {g:3} {b:3}\tcolor {i}\n" for i, (r, g, b) in enumerate(levels, start=1)]
    write_text(path, f"{HEADER}\nName: {name}\nColumns: 8\n#\n{''.join(colors)}")


def read_palette(path: Path) -> Tensor:
    """Colors (N, 3) in [0, 1]. Raises InputError for a file that cannot be read or is no palette."""
    try:
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if not lines or lines[0].strip() != HEADER:
        raise InputError(f"{path}: is no palette; its first line is {HEADER!r}")
    colors = []
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip() or line.lstrip().startswith(OTHERS):
            continue
        found = COLOR.match(line)
        if found is None or max(levels := [int(level) for level in found.groups()]) > 255:
            raise InputError(f"{path}: line {number} is no color; write red, green and blue from 0 to 255")
        colors.append(levels)
    return torch.tensor(colors).view(-1, 3) / 255
