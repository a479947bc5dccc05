"""A glTF 2.0 file, as JSON or as GLB or VRM, down to arrays and images. Source: Khronos, "glTF 2.0 Specification".

Read by hand: the container is small, and libraries that build an object for each entry take seconds for the thousands
of accessors that a character with many animations has.
"""

import base64
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import cv2
import numpy as np

from opdm.errors import InputError

GLB_MAGIC, JSON_CHUNK, BINARY_CHUNK = 0x46546C67, 0x4E4F534A, 0x004E4942
COMPONENTS: dict[int, np.dtype] = {
    5120: np.dtype("i1"),
    5121: np.dtype("u1"),
    5122: np.dtype("<i2"),
    5123: np.dtype("<u2"),
    5125: np.dtype("<u4"),
    5126: np.dtype("<f4"),
}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
UNREADABLE = ("KHR_draco_mesh_compression", "EXT_meshopt_compression", "KHR_texture_basisu", "EXT_texture_webp")
"""Extensions that change how the data is stored."""


@dataclass(frozen=True)
class GltfFile:
    """The document, and the bytes that it points to."""

    path: Path
    document: dict[str, Any]
    buffers: tuple[bytes, ...]

    def entries(self, kind: str) -> list[dict[str, Any]]:
        """All entries of a kind: nodes, meshes, ..."""
        return self.document.get(kind, [])

    def array(self, index: int) -> np.ndarray:
        """An accessor: (count, width), scalars (count,); normalized integers become floats."""
        accessor = self.document["accessors"][index]
        kind, width = COMPONENTS[accessor["componentType"]], WIDTHS[accessor["type"]]
        count = accessor["count"]
        if "bufferView" in accessor:
            values = self._strided(accessor["bufferView"], accessor.get("byteOffset", 0), kind, count, width)
        else:
            values = np.zeros((count, width), kind)
        if "sparse" in accessor:
            values = self._replace_sparse(values.copy(), accessor["sparse"])
        if accessor.get("normalized"):
            # The most negative integer, too, means -1.
            values = np.maximum(values.astype(np.float32) / np.iinfo(kind).max, -1)
        return values[:, 0] if width == 1 else values

    def _strided(self, view_index: int, offset: int, kind: np.dtype, count: int, width: int) -> np.ndarray:
        view = self.document["bufferViews"][view_index]
        stride = view.get("byteStride", kind.itemsize * width)
        start = view.get("byteOffset", 0) + offset
        return np.ndarray((count, width), kind, self.buffers[view["buffer"]], start, (stride, kind.itemsize))

    def _replace_sparse(self, values: np.ndarray, sparse: dict[str, Any]) -> np.ndarray:
        places, changed, count = sparse["indices"], sparse["values"], sparse["count"]
        kind = COMPONENTS[places["componentType"]]
        rows = self._strided(places["bufferView"], places.get("byteOffset", 0), kind, count, 1)[:, 0]
        values[rows] = self._strided(
            changed["bufferView"], changed.get("byteOffset", 0), values.dtype, count, values.shape[1]
        )
        return values

    def image(self, index: int) -> np.ndarray:
        """(H, W, 4) uint8, RGBA. Raises InputError."""
        entry = self.document["images"][index]
        if "bufferView" in entry:
            view = self.document["bufferViews"][entry["bufferView"]]
            start = view.get("byteOffset", 0)
            data = self.buffers[view["buffer"]][start : start + view["byteLength"]]
        else:
            data = _fetch(self.path, entry["uri"])
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
        if decoded is None:
            raise InputError(f"{self.path}: texture {index} is no PNG or JPEG; convert it in a 3D program")
        if decoded.dtype == np.uint16:
            decoded = (decoded // 256).astype(np.uint8)
        to_rgba = {1: cv2.COLOR_GRAY2RGBA, 3: cv2.COLOR_BGR2RGBA, 4: cv2.COLOR_BGRA2RGBA}
        return cv2.cvtColor(decoded, to_rgba[1 if decoded.ndim == 2 else decoded.shape[2]])


def read_gltf(path: Path) -> GltfFile:
    """Read .gltf with the files beside it, .glb or .vrm. Raises InputError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the name and the permissions") from error
    try:
        document, binary = _open(data)
        version = str(document["asset"]["version"])
    except (ValueError, KeyError, TypeError, struct.error) as error:
        raise InputError(f"{path}: not a glTF file; export the character as glTF 2.0 (.glb)") from error
    if not version.startswith("2"):
        raise InputError(f"{path}: glTF of version {version}; export it as 2.0")
    packed = [name for name in document.get("extensionsRequired", []) if name in UNREADABLE]
    if packed:
        raise InputError(f"{path}: needs {packed[0]}, which is not read here; export it without compression")
    buffers = [_fetch(path, entry["uri"]) if "uri" in entry else binary or b"" for entry in document.get("buffers", [])]
    return GltfFile(path, document, tuple(buffers))


def _open(data: bytes) -> tuple[dict[str, Any], bytes | None]:
    """The document, and what a GLB has behind it."""
    if data[:4] != struct.pack("<I", GLB_MAGIC):
        return json.loads(data), None
    chunks: dict[int, bytes] = {}
    position = 12
    while position + 8 <= len(data):
        size, kind = struct.unpack_from("<II", data, position)
        chunks.setdefault(kind, data[position + 8 : position + 8 + size])
        position += 8 + size
    return json.loads(chunks[JSON_CHUNK]), chunks.get(BINARY_CHUNK)


def _fetch(path: Path, uri: str) -> bytes:
    """The bytes of a data URI or of a file beside the document. Raises InputError."""
    if uri.startswith("data:"):
        return base64.b64decode(uri.partition(",")[2])
    file = path.parent / unquote(uri)
    try:
        return file.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {file} is missing; keep it beside the character, or export as .glb") from error
