"""A character out of a glTF file: bones, one merged mesh, flat materials, and animations. Everything in world units."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from struct import error as StructError
from typing import Any

import numpy as np

from opdm.data.rig.animation import Animation, read_animations
from opdm.data.rig.gltf_file import GltfFile, read_gltf
from opdm.data.rig.materials import Material, read_materials
from opdm.data.rig.nodes import Nodes, read_nodes
from opdm.data.rig.parts import number_parts
from opdm.errors import InputError

TRIANGLES, TRIANGLE_STRIP, TRIANGLE_FAN = 4, 5, 6
MOST_PARTS = 1 << 16
"""Ids of regions, 256 for each part, fit into 24 bits."""


@dataclass(frozen=True)
class Morph:
    """The morph targets of a stretch of vertices."""

    node: int
    """The node whose weights blend them."""
    vertices: slice
    positions: np.ndarray
    """(targets, V, 3)"""
    weights: np.ndarray
    """(targets,) at rest."""


@dataclass(frozen=True)
class Surface:
    """Triangles of one material, as a stretch of the character's."""

    material: int
    triangles: slice


@dataclass(frozen=True, kw_only=True)
class Character:
    """V vertices, F triangles, B bones. Vertices that are rigidly on a node have it as their only bone."""

    name: str
    nodes: Nodes
    joints: tuple[int, ...]
    """The nodes that are joints of a skin."""
    positions: np.ndarray
    """(V, 3) as modeled."""
    normals: np.ndarray
    """(V, 3)"""
    uv: np.ndarray
    """(V, 2)"""
    tints: np.ndarray
    """(V, 3) linear, by which the material's color is multiplied."""
    parts: np.ndarray
    """(V,) int, from 0: connected pieces of one surface."""
    bones: np.ndarray
    """(V, K) int"""
    weights: np.ndarray
    """(V, K), sums are 1."""
    bone_nodes: np.ndarray
    """(B,) int"""
    inverse_binds: np.ndarray
    """(B, 4, 4)"""
    morphs: tuple[Morph, ...]
    triangles: np.ndarray
    """(F, 3) int, counterclockwise from outside."""
    surfaces: tuple[Surface, ...]
    materials: tuple[Material, ...]
    animations: dict[str, Animation]


def read_character(path: Path, *, hidden: Sequence[str] = ()) -> Character:
    """Read a character, without the meshes of nodes whose names match a pattern of `hidden`. Raises InputError."""
    file = read_gltf(path)
    try:
        return _build(file, hidden)
    except (KeyError, IndexError, TypeError, ValueError, StructError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: damaged or no valid glTF ({error!r}); export it again") from error


def _build(file: GltfFile, hidden: Sequence[str]) -> Character:
    nodes = read_nodes(file)
    builder = _Builder(file, nodes)
    for node in nodes.order:
        mesh = file.entries("nodes")[node].get("mesh")
        if mesh is not None and not any(fnmatchcase(nodes.names[node], pattern) for pattern in hidden):
            builder.add_mesh(node, file.entries("meshes")[mesh])
    if not builder.pieces:
        raise InputError(f"{file.path}: shows no mesh of triangles; export it with its meshes, and hide fewer of them")
    return builder.build()


class _Builder:
    """Collects the meshes of a file."""

    def __init__(self, file: GltfFile, nodes: Nodes):
        self.file, self.nodes = file, nodes
        self.pieces: list[dict[str, np.ndarray]] = []
        self.surfaces: list[Surface] = []
        self.morphs: list[Morph] = []
        self.bone_nodes: list[int] = []
        self.inverse_binds: list[np.ndarray] = []
        self.first_bone_of_skin: dict[int, int] = {}
        self.vertex_count = self.triangle_count = 0
        self.materials = read_materials(file)

    def add_mesh(self, node: int, mesh: dict[str, Any]) -> None:
        entry = self.file.entries("nodes")[node]
        for primitive in mesh["primitives"]:
            if primitive.get("mode", TRIANGLES) < TRIANGLES or "POSITION" not in primitive["attributes"]:
                continue  # points and lines
            targets = _read_targets(self.file, primitive)
            piece = self._read_piece(node, primitive)
            if not len(piece["triangles"]):
                continue
            piece, targets = _keep_used(piece, targets) if "normals" in piece else _make_faceted(piece, targets)
            count = len(piece["positions"])
            if targets is not None:
                at_rest = entry.get("weights", mesh.get("weights", np.zeros(len(targets))))
                stretch = slice(self.vertex_count, self.vertex_count + count)
                self.morphs.append(Morph(node, stretch, targets, np.asarray(at_rest, np.float32)))
            self._append(piece, primitive.get("material", len(self.materials) - 1))

    def _append(self, piece: dict[str, np.ndarray], material: int) -> None:
        piece["uv"] = self.materials[material].place(piece["uv"])
        piece["triangles"] = piece["triangles"] + self.vertex_count
        end = self.triangle_count + len(piece["triangles"])
        self.surfaces.append(Surface(material, slice(self.triangle_count, end)))
        self.pieces.append(piece)
        self.vertex_count += len(piece["positions"])
        self.triangle_count = end

    def _read_piece(self, node: int, primitive: dict[str, Any]) -> dict[str, np.ndarray]:
        attributes = primitive["attributes"]
        positions = self.file.array(attributes["POSITION"]).astype(np.float32)
        bones, weights = self._read_bones(node, attributes, len(positions))
        triangles = _read_triangles(self.file, primitive, len(positions))
        matrix = self.nodes.rest_world()[self.bone_nodes[bones[0, 0]]] @ self.inverse_binds[bones[0, 0]]
        if np.linalg.det(matrix[:3, :3]) < 0:  # mirrored: what was counterclockwise is clockwise now
            triangles = triangles[:, ::-1]
        texture = self.materials[primitive.get("material", -1)]
        piece = {"positions": positions, "bones": bones, "weights": weights, "triangles": triangles}
        piece["uv"] = _read_optional(self.file, attributes, f"TEXCOORD_{texture.uv_set}", np.zeros((len(positions), 2)))
        piece["tints"] = _read_optional(self.file, attributes, "COLOR_0", np.ones((len(positions), 3)))[:, :3]
        if "NORMAL" in attributes:
            piece["normals"] = self.file.array(attributes["NORMAL"]).astype(np.float32)
        return piece

    def _read_bones(self, node: int, attributes: dict[str, int], count: int) -> tuple[np.ndarray, np.ndarray]:
        """Each vertex's bones and their weights, (V, K)."""
        skin = self.file.entries("nodes")[node].get("skin")
        if skin is None or "JOINTS_0" not in attributes:
            self.bone_nodes.append(node)
            self.inverse_binds.append(np.eye(4, dtype=np.float32))
            return np.full((count, 1), len(self.bone_nodes) - 1), np.ones((count, 1), np.float32)
        sets = [i for i in range(8) if f"JOINTS_{i}" in attributes]
        joints = np.concatenate([self.file.array(attributes[f"JOINTS_{i}"]) for i in sets], axis=1).astype(np.int64)
        weights = np.concatenate([self.file.array(attributes[f"WEIGHTS_{i}"]) for i in sets], axis=1)
        weights = weights.astype(np.float32)
        sums = weights.sum(axis=1, keepdims=True)
        weights[sums[:, 0] == 0, 0] = 1  # a vertex that nothing holds stays with its first bone
        return joints + self._add_skin(skin), weights / np.where(sums == 0, 1, sums)

    def _add_skin(self, index: int) -> int:
        """The number of the skin's first bone."""
        if index not in self.first_bone_of_skin:
            skin = self.file.entries("skins")[index]
            self.first_bone_of_skin[index] = len(self.bone_nodes)
            self.bone_nodes += skin["joints"]
            if "inverseBindMatrices" in skin:
                columns = self.file.array(skin["inverseBindMatrices"])[: len(skin["joints"])]
                self.inverse_binds += list(columns.reshape(-1, 4, 4).transpose(0, 2, 1))
            else:
                self.inverse_binds += [np.eye(4, dtype=np.float32)] * len(skin["joints"])
        return self.first_bone_of_skin[index]

    def build(self) -> Character:
        merged = {name: np.concatenate([piece[name] for piece in self.pieces]) for name in SIMPLE}
        widest = max(piece["bones"].shape[1] for piece in self.pieces)
        for name in ("bones", "weights"):
            filled = [np.pad(piece[name], ((0, 0), (0, widest - piece[name].shape[1]))) for piece in self.pieces]
            merged[name] = np.concatenate(filled)
        parts = number_parts(
            merged["positions"], merged["triangles"], [len(piece["positions"]) for piece in self.pieces]
        )
        if parts.max() >= MOST_PARTS:
            raise InputError(
                f"{self.file.path}: {parts.max() + 1} loose parts; merge vertices by distance, then export"
            )
        joints = sorted({joint for skin in self.file.entries("skins") for joint in skin["joints"]})
        return Character(
            name=self.file.path.stem,
            nodes=self.nodes,
            joints=tuple(joints),
            parts=parts,
            bone_nodes=np.array(self.bone_nodes),
            inverse_binds=np.stack(self.inverse_binds),
            morphs=tuple(self.morphs),
            surfaces=tuple(self.surfaces),
            materials=self.materials,
            animations=read_animations(self.file),
            **merged,
        )


SIMPLE = ("positions", "normals", "uv", "tints", "triangles")
"""Arrays of the pieces that are merged as they are."""


def _read_optional(file: GltfFile, attributes: dict[str, int], name: str, default: np.ndarray) -> np.ndarray:
    return (file.array(attributes[name]) if name in attributes else default).astype(np.float32)


def _read_triangles(file: GltfFile, primitive: dict[str, Any], count: int) -> np.ndarray:
    """(F, 3) int64, of lists, strips and fans."""
    corners = file.array(primitive["indices"]).astype(np.int64) if "indices" in primitive else np.arange(count)
    if len(corners) and corners.max() >= count:
        raise InputError(f"{file.path}: a triangle has vertex {corners.max()} of {count}; export it again")
    mode = primitive.get("mode", TRIANGLES)
    if mode == TRIANGLES:
        return corners[: len(corners) // 3 * 3].reshape(-1, 3)
    steps = np.arange(max(len(corners) - 2, 0))
    if mode == TRIANGLE_FAN:
        return np.stack([corners[steps + 1], corners[steps + 2], np.full_like(steps, corners[0])], axis=1)
    return np.stack([corners[steps], corners[steps + 1 + steps % 2], corners[steps + 2 - steps % 2]], axis=1)


def _read_targets(file: GltfFile, primitive: dict[str, Any]) -> np.ndarray | None:
    """(targets, V, 3) displacements, or None where there are none."""
    targets = primitive.get("targets")
    if not targets:
        return None
    count = file.document["accessors"][primitive["attributes"]["POSITION"]]["count"]
    still = np.zeros((count, 3), np.float32)
    return np.stack([file.array(t["POSITION"]).astype(np.float32) if "POSITION" in t else still for t in targets])


Shape = tuple[dict[str, np.ndarray], np.ndarray | None]
"""A piece, and its morph targets."""


def _keep_used(piece: dict[str, np.ndarray], targets: np.ndarray | None) -> Shape:
    """Without vertices of no triangle: where they are would matter to the camera."""
    used, triangles = np.unique(piece["triangles"], return_inverse=True)
    return _select(piece, targets, used, triangles.reshape(-1, 3))


def _select(
    piece: dict[str, np.ndarray], targets: np.ndarray | None, vertices: np.ndarray, triangles: np.ndarray
) -> Shape:
    selected = {name: values[vertices] for name, values in piece.items() if name != "triangles"}
    return {**selected, "triangles": triangles}, None if targets is None else targets[:, vertices]


def _make_faceted(piece: dict[str, np.ndarray], targets: np.ndarray | None) -> Shape:
    """A mesh without normals has flat faces (glTF 2.0, section 3.7.2.1): each gets vertices of its own."""
    corners = piece["triangles"].reshape(-1)
    faceted, targets = _select(piece, targets, corners, np.arange(len(corners)).reshape(-1, 3))
    a, b, c = faceted["positions"].reshape(-1, 3, 3).transpose(1, 0, 2)
    faceted["normals"] = np.repeat(np.cross(b - a, c - a), 3, axis=0)
    return faceted, targets
