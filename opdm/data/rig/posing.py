"""A character in motion: nodes, morph targets and linear blend skinning at the frames of an animation."""

from dataclasses import dataclass

import numpy as np

from opdm.data.rig.animation import Animation
from opdm.data.rig.character import Character


@dataclass(frozen=True)
class Motion:
    """T frames of a character, in world units."""

    positions: np.ndarray
    """(T, V, 3) float32"""
    normals: np.ndarray
    """(T, V, 3) float32, not of unit length."""
    joints: np.ndarray
    """(T, J, 3) of the character's joints."""

    def __len__(self) -> int:
        return len(self.positions)


def pose(character: Character, animation: Animation, times_s: np.ndarray) -> Motion:
    """The character at some times of an animation, (T,) in seconds."""
    nodes = character.nodes
    local = {name: np.repeat(values[None], len(times_s), axis=0) for name, values in nodes.rest.items()}
    weights: dict[int, np.ndarray] = {}
    for channel in animation.channels:
        values = channel.sample(times_s)
        if channel.path == "weights":
            weights[channel.node] = values
        else:
            local[channel.path][:, channel.node] = values
    world = nodes.world(local)
    bones = (world[:, character.bone_nodes] @ character.inverse_binds).astype(np.float32)  # (T, B, 4, 4)
    positions = np.empty((len(times_s), *character.positions.shape), np.float32)
    normals = np.empty_like(positions)
    for t in range(len(times_s)):
        shape = _blend(character, {node: values[t] for node, values in weights.items()})
        positions[t], normals[t] = _skin(character, shape, bones[t])
    return Motion(positions, normals, world[:, list(character.joints)][..., :3, 3].astype(np.float32))


def _blend(character: Character, weights: dict[int, np.ndarray]) -> np.ndarray:
    """Vertices (V, 3) with their morph targets; normals stay, which a hard terminator forgives."""
    if not character.morphs:
        return character.positions
    shape = character.positions.copy()
    for morph in character.morphs:
        amounts = weights.get(morph.node, morph.weights)[: len(morph.positions)]
        shape[morph.vertices] += np.tensordot(amounts, morph.positions[: len(amounts)], axes=1).astype(np.float32)
    return shape


def _skin(character: Character, shape: np.ndarray, bones: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions and normals, (V, 3): each bone moves the vertex, the weights blend. bones (B, 4, 4)."""
    matrices = np.zeros((len(shape), 3, 4), np.float32)
    for k in range(character.bones.shape[1]):
        matrices += character.weights[:, k, None, None] * bones[character.bones[:, k], :3]
    positions = np.einsum("vij,vj->vi", matrices[:, :, :3], shape) + matrices[:, :, 3]
    return positions, np.einsum("vij,vj->vi", _cofactors(matrices[:, :, :3]), character.normals)


def _cofactors(matrices: np.ndarray) -> np.ndarray:
    """(V, 3, 3), the inverse transpose up to a positive factor: it keeps normals upright under uneven scaling."""
    a, b, c = matrices.transpose(1, 0, 2)
    cofactors = np.stack([np.cross(b, c), np.cross(c, a), np.cross(a, b)], axis=1)
    return cofactors * np.sign((a * cofactors[:, 0]).sum(axis=1))[:, None, None]
