"""OpenEXR images, of the kind in which Blender saves vectors: OpenCV's wheels and Pillow read none.

Scan lines of half or full floats, not compressed or by ZIP, which is what Blender writes unless told otherwise. The
format: OpenEXR's documentation, "OpenEXR File Layout".
"""

import struct
import zlib
from pathlib import Path

import numpy as np

from opdm.frames import FrameError

MAGIC = 20000630
NOT_A_PLAIN_IMAGE = 0x200 | 0x800 | 0x1000
"""Flags of the version field: tiles, deep data, several parts."""
LINES_PER_BLOCK = {0: 1, 2: 1, 3: 16}
"""By compression: none, ZIPS, ZIP."""
SAMPLE_TYPES: dict[int, np.dtype] = {0: np.dtype("<u4"), 1: np.dtype("<f2"), 2: np.dtype("<f4")}


def read_exr(path: Path) -> dict[str, np.ndarray]:
    """The channels of an image by name, each (H, W) of the type in the file. Raises FrameError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FrameError(f"{path}: cannot be read ({error.strerror}); check the name and the permissions") from error
    try:
        return _decode(path, data)
    except (struct.error, zlib.error, ValueError, KeyError, IndexError) as error:
        if isinstance(error, FrameError):
            raise
        raise FrameError(f"{path}: damaged or incomplete ({error}); get the file again") from error


def _decode(path: Path, data: bytes) -> dict[str, np.ndarray]:
    magic, version = struct.unpack_from("<ii", data)
    if magic != MAGIC:
        raise FrameError(f"{path}: not an OpenEXR image; get the file again")
    attributes, position = _read_header(data, 8)
    compression = attributes["compression"][0]
    if version & NOT_A_PLAIN_IMAGE or compression not in LINES_PER_BLOCK:
        raise FrameError(f"{path}: a kind of OpenEXR that is not read here; save it as scan lines, compressed by ZIP")
    left, top, right, bottom = struct.unpack("<4i", attributes["dataWindow"])
    height, width = bottom - top + 1, right - left + 1
    channels = _read_channels(attributes["channels"])
    row = np.dtype([(name, kind, (width,)) for name, kind in channels.items()])
    lines = LINES_PER_BLOCK[compression]
    rows = np.empty(height, row)
    for offset in struct.unpack_from(f"<{-(-height // lines)}Q", data, position):
        first, packed_size = struct.unpack_from("<ii", data, offset)
        block = data[offset + 8 : offset + 8 + packed_size]
        size = min(lines, bottom - first + 1) * row.itemsize
        # A block that would not shrink is stored as it is.
        values = _unpack(block) if packed_size < size else block
        rows[first - top : first - top + lines] = np.frombuffer(values, row)
    return {name: rows[name] for name in channels}


def _read_header(data: bytes, position: int) -> tuple[dict[str, bytes], int]:
    """The attributes by name, and where they end."""
    attributes = {}
    while data[position]:
        name, position = _read_text(data, position)
        _, position = _read_text(data, position)
        (size,) = struct.unpack_from("<i", data, position)
        attributes[name] = data[position + 4 : position + 4 + size]
        position += 4 + size
    return attributes, position + 1


def _read_channels(data: bytes) -> dict[str, np.dtype]:
    """The channels in the order in which they are stored."""
    channels: dict[str, np.dtype] = {}
    position = 0
    while data[position]:
        name, position = _read_text(data, position)
        kind, _, x_step, y_step = struct.unpack_from("<4i", data, position)
        if (x_step, y_step) != (1, 1):
            raise ValueError(f"channel {name} is smaller than the image")
        channels[name] = SAMPLE_TYPES[kind]
        position += 16
    return channels


def _read_text(data: bytes, position: int) -> tuple[str, int]:
    end = data.index(b"\0", position)
    return data[position:end].decode("latin-1"), end + 1


def _unpack(block: bytes) -> bytes:
    """Undo ZIP: inflate, add up differences of bytes, and put the two halves back in turns."""
    differences = np.frombuffer(zlib.decompress(block), np.uint8).copy()
    differences[1:] -= 128
    halves = np.cumsum(differences, dtype=np.uint8)
    values = np.empty_like(halves)
    middle = (len(halves) + 1) // 2
    values[::2], values[1::2] = halves[:middle], halves[middle:]
    return values.tobytes()
