"""Materials as a painter of cels has them: a few flat colors, and which texel has which."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from opdm.data.rig.flat_colors import MOST_COLORS, flatten
from opdm.data.rig.gltf_file import GltfFile

HOLE = MOST_COLORS
"""Label of a texel through which one sees."""
REPEAT = 10497
WRAPS = {33071: 0, REPEAT: 1, 33648: 2}
"""OpenGL's clamp, repeat and mirror, as the shader has them."""


@dataclass(frozen=True)
class Material:
    """Flat colors, and the texels that have them."""

    colors: np.ndarray
    """(K, 3) linear."""
    labels: np.ndarray
    """(H, W) uint8: 0 to K - 1, or HOLE."""
    wraps: tuple[int, int]
    """What is beyond the texture, in s and t: 0 clamps, 1 repeats, 2 mirrors."""
    is_double_sided: bool
    uv_set: int
    uv_transform: np.ndarray
    """(2, 3)"""

    def place(self, uv: np.ndarray) -> np.ndarray:
        """Texture coordinates (V, 2), moved as the material wants them."""
        return (uv @ self.uv_transform[:, :2].T + self.uv_transform[:, 2]).astype(np.float32)


def read_materials(file: GltfFile) -> tuple[Material, ...]:
    """All of a file, and after them the one for what has none (glTF 2.0, section 3.7.2.1). Raises InputError."""
    return tuple(_read_material(file, entry) for entry in [*file.entries("materials"), {}])


def _read_material(file: GltfFile, entry: dict[str, Any]) -> Material:
    base = entry.get("pbrMetallicRoughness", {})
    factor = np.array(base.get("baseColorFactor", [1, 1, 1, 1]), np.float64)
    info = base.get("baseColorTexture")
    texture = file.entries("textures")[info["index"]] if info else {}
    sampler = file.entries("samplers")[texture["sampler"]] if "sampler" in texture else {}
    if "source" in texture:
        image = file.image(texture["source"])
        colors, labels = flatten(np.ascontiguousarray(image[..., :3]))
        # Paint covers: what is half transparent or less is a hole, the rest is solid.
        cutoff = {"MASK": entry.get("alphaCutoff", 0.5), "BLEND": 0.5}.get(entry.get("alphaMode", "OPAQUE"), 0)
        labels = np.where(image[..., 3] / 255 * factor[3] < cutoff, HOLE, labels).astype(np.uint8)
    else:
        colors, labels = np.ones((1, 3)), np.zeros((1, 1), np.uint8)
    transform = (info or {}).get("extensions", {}).get("KHR_texture_transform", {})
    return Material(
        colors=to_linear(colors) * factor[:3],
        labels=labels,
        wraps=(WRAPS[sampler.get("wrapS", REPEAT)], WRAPS[sampler.get("wrapT", REPEAT)]),
        is_double_sided=entry.get("doubleSided", False),
        uv_set=transform.get("texCoord", (info or {}).get("texCoord", 0)),
        uv_transform=_read_uv_transform(transform),
    )


def _read_uv_transform(entry: dict[str, Any]) -> np.ndarray:
    """(2, 3): scaled, turned, moved, as in KHR_texture_transform."""
    angle = entry.get("rotation", 0.0)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.column_stack([turn * np.array(entry.get("scale", [1, 1])), entry.get("offset", [0, 0])])


def to_linear(srgb: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1, both in [0, 1]."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
