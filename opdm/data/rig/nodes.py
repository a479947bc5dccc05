"""The tree of nodes of a glTF scene, and where its nodes are for given local transforms."""

from dataclasses import dataclass

import numpy as np

from opdm.data.rig.gltf_file import GltfFile
from opdm.errors import InputError

COMPONENTS = {"translation": (0.0, 0.0, 0.0), "rotation": (0.0, 0.0, 0.0, 1.0), "scale": (1.0, 1.0, 1.0)}
"""What a local transform consists of, and its value where none is given; rotations are quaternions x y z w."""


@dataclass(frozen=True)
class Nodes:
    """N nodes; local transforms at rest."""

    names: tuple[str, ...]
    parents: tuple[int, ...]
    """-1 for a root."""
    order: tuple[int, ...]
    """The nodes of the scene, parents before children."""
    rest: dict[str, np.ndarray]
    """By the keys of COMPONENTS, (N, 3) or (N, 4)."""
    fixed: dict[int, np.ndarray]
    """Nodes given by a matrix, (4, 4), which are never animated."""

    def world(self, local: dict[str, np.ndarray]) -> np.ndarray:
        """World matrices (T, N, 4, 4) of local transforms (T, N, ...), by the keys of COMPONENTS."""
        matrices = compose(local["translation"], local["rotation"], local["scale"])
        for node, matrix in self.fixed.items():
            matrices[:, node] = matrix
        for node in self.order:
            if self.parents[node] >= 0:
                matrices[:, node] = matrices[:, self.parents[node]] @ matrices[:, node]
        return matrices

    def rest_world(self) -> np.ndarray:
        """(N, 4, 4) as modeled."""
        return self.world({name: values[None] for name, values in self.rest.items()})[0]


def read_nodes(file: GltfFile) -> Nodes:
    """The nodes of the scene that the file shows. Raises InputError for one that is no tree."""
    entries = file.entries("nodes")
    parents = [-1] * len(entries)
    for index, entry in enumerate(entries):
        for child in entry.get("children", []):
            parents[child] = index
    scenes = file.entries("scenes")
    shown = scenes[file.document.get("scene", 0)].get("nodes", []) if scenes else None
    order = list(shown if shown is not None else [i for i, parent in enumerate(parents) if parent < 0])
    for index in order:  # grows meanwhile
        order += entries[index].get("children", [])
        if len(order) > len(entries):
            raise InputError(f"{file.path}: a node is among its own children; export it again")
    rest = {
        name: np.array([entry.get(name, default) for entry in entries], np.float64).reshape(len(entries), -1)
        for name, default in COMPONENTS.items()
    }
    fixed = {i: np.reshape(entry["matrix"], (4, 4)).T for i, entry in enumerate(entries) if "matrix" in entry}
    names = tuple(entry.get("name", f"node{index}") for index, entry in enumerate(entries))
    return Nodes(names, tuple(parents), tuple(order), rest, fixed)


def compose(translation: np.ndarray, rotation: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """(..., 4, 4) out of (..., 3), quaternions x y z w (..., 4) and (..., 3): scaled, then turned, then moved."""
    x, y, z, w = np.moveaxis(rotation / np.linalg.norm(rotation, axis=-1, keepdims=True), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    matrices = np.zeros((*x.shape, 4, 4))
    for i, row in enumerate(rows):
        for j, value in enumerate(row):
            matrices[..., i, j] = value * scale[..., j]
    matrices[..., :3, 3] = translation
    matrices[..., 3, 3] = 1
    return matrices
