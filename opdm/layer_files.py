"""A finished frame's layers as files, for the compositor, and for other colors without the model.

One folder a layer, each a sequence of PNG, and a PSD with all of them for each drawing; what color an area has is the
number of an entry of the palette.
"""

import json
import logging
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from opdm.compositing import Composite
from opdm.errors import InputError
from opdm.exact_fill import AS_PAINTED, AreaPaint, refill
from opdm.frames import read_layer, replacing, to_8_bit, write_frame, write_pixels, write_text
from opdm.palette_file import write_palette

PALETTE = "palette.gpl"
"""Beside the folders of the layers; all drawings share it."""
FOLDERS = ("color", "lines", "areas", "psd")
MOST_AREAS = 2**16 - 1
"""What a 16-bit picture tells apart."""


@dataclass(frozen=True)
class LayerFiles:
    """Where the layers of one drawing are."""

    folder: Path
    """Of the layers of all drawings."""
    stem: str

    @classmethod
    def find_all(cls, folder: Path) -> list["LayerFiles"]:
        """Of every drawing that has layers in a folder, in the order of their names."""
        return [cls(folder, path.stem) for path in sorted((folder / "areas").glob("*.json"))]

    @property
    def palette(self) -> Path:
        """The colors that the entries mean."""
        return self.folder / PALETTE

    @property
    def color(self) -> Path:
        """RGBA: the paint without the lines, unpainted paper transparent."""
        return self.folder / "color" / f"{self.stem}.png"

    @property
    def lines(self) -> Path:
        """RGBA: the lines in their color."""
        return self.folder / "lines" / f"{self.stem}.png"

    @property
    def areas(self) -> Path:
        """16-bit gray: the number of each area, 0 on lines."""
        return self.folder / "areas" / f"{self.stem}.png"

    @property
    def entries(self) -> Path:
        """JSON: the entry of the palette, from 0, that each area has; null where it is as painted."""
        return self.areas.with_suffix(".json")

    @property
    def psd(self) -> Path:
        """Paper, color and lines, one on the other."""
        return self.folder / "psd" / f"{self.stem}.psd"

    @property
    def paths(self) -> tuple[Path, ...]:
        """All that are this drawing's own."""
        return self.color, self.lines, self.areas, self.entries, self.psd

    def save(self, paint: AreaPaint) -> None:
        """Write all of them, and the palette where there is none yet.

        Raises InputError for more areas than a picture tells apart.
        """
        if len(paint.entries) > MOST_AREAS:
            raise InputError(f"{self.stem}: {len(paint.entries)} areas, more than a 16-bit picture tells apart")
        if len(paint.palette) and not self.palette.exists():
            write_palette(self.palette, paint.palette, self.folder.absolute().parent.name)
        color, lines = paint.composite.color_layer, paint.composite.line_layer
        write_frame(self.color, color)
        write_frame(self.lines, lines)
        write_numbers(self.areas, paint.areas)
        entries = [None if entry == AS_PAINTED else entry for entry in paint.entries.tolist()]
        write_text(self.entries, json.dumps({"entries": entries}) + "\n")
        write_psd(self.psd, paint.composite.frame, {"paper": torch.ones_like(color), "color": color, "lines": lines})

    def load(self, palette: Tensor) -> AreaPaint:
        """What `save` wrote, with the colors (N, 3) that the palette has now.

        Raises InputError for files that are not there or do not fit each other.
        """
        entries = self.read_entries(palette)
        color, lines, areas = read_layer(self.color), read_layer(self.lines), read_numbers(self.areas)
        if not color.shape == lines.shape == (4, *areas.shape):
            raise InputError(f"{self.color}: is not of the size of {self.lines} and {self.areas}")
        if int(areas.max()) > len(entries):
            raise InputError(f"{self.entries}: has {len(entries)} entries for {int(areas.max())} areas")
        composite = Composite(color[:3], lines[:3], 1 - lines[3:])
        return refill(AreaPaint(composite, areas, palette, entries), palette)

    def read_entries(self, palette: Tensor) -> Tensor:
        """The entry (A,) that each area has. Raises InputError where the palette (N, 3) lacks one of them."""
        try:
            numbers = json.loads(self.entries.read_text(encoding="utf-8"))["entries"]
            entries = torch.tensor([AS_PAINTED if number is None else number for number in numbers]).long()
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise InputError(f"{self.entries}: has no list of entries; paint again with --layers") from error
        needed = int(entries.max()) + 1 if len(entries) else 0
        if needed > len(palette):
            raise InputError(
                f"{self.palette}: has {len(palette)} colors, and {self.stem} needs {needed}; "
                "change colors, but keep their number and order"
            )
        return entries


def write_numbers(path: Path, numbers: Tensor) -> None:
    """Write (H, W), from 0 to 65,535, as a 16-bit PNG."""
    write_pixels(path, numbers.numpy().astype(np.uint16))


def read_numbers(path: Path) -> Tensor:
    """(H, W) int32 of a 16-bit PNG. Raises InputError."""
    try:
        pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    except (OSError, cv2.error):
        pixels = None
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 2:
        raise InputError(f"{path}: is no 16-bit map of areas; paint again with --layers")
    return torch.from_numpy(pixels.astype(np.int32))


def write_psd(path: Path, frame: Tensor, layers: dict[str, Tensor]) -> None:
    """Write a PSD of the frame (3, H, W) with layers (4, H, W), the lowest first, in [0, 1]."""
    from psd_tools import PSDImage

    logging.getLogger("psd_tools").setLevel(logging.ERROR)  # it would tell that the frame stays the preview
    document = PSDImage.frompil(Image.fromarray(to_8_bit(frame)).convert("RGBA"))  # else layers have masks, not alpha
    for name, layer in layers.items():
        document.create_pixel_layer(Image.fromarray(to_8_bit(layer)), name=name)
    with replacing(path) as temporary:
        document.save(temporary)
