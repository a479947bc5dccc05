"""Animations of glTF: reading them, sampling them, and handing them on to another character."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from opdm.data.rig.gltf_file import GltfFile
from opdm.data.rig.nodes import Nodes
from opdm.errors import InputError


@dataclass(frozen=True)
class Channel:
    """How one property of one node moves."""

    node: int
    path: str
    """translation, rotation, scale, or weights (of morph targets)."""
    interpolation: str
    """STEP, LINEAR or CUBICSPLINE."""
    times_s: np.ndarray
    """(keys,)"""
    values: np.ndarray
    """(keys, C), for CUBICSPLINE (keys, 3, C): in-tangent, value, out-tangent."""

    def sample(self, times_s: np.ndarray) -> np.ndarray:
        """(T, C): glTF 2.0, section 3.11 and appendix C; held before the first key and after the last."""
        keys = self.values[:, 1] if self.interpolation == "CUBICSPLINE" else self.values
        if len(keys) == 1:
            return np.repeat(keys, len(times_s), axis=0).astype(np.float64)
        first = np.clip(np.searchsorted(self.times_s, times_s, side="right") - 1, 0, len(keys) - 2)
        gap_s = (self.times_s[first + 1] - self.times_s[first]).astype(np.float64)
        share = np.clip((times_s - self.times_s[first]) / np.maximum(gap_s, 1e-9), 0, 1)[:, None]
        before, after = keys[first].astype(np.float64), keys[first + 1].astype(np.float64)
        if self.interpolation == "STEP":
            return np.where(share < 1, before, after)
        if self.interpolation == "CUBICSPLINE":
            return _hermite(before, self.values[first, 2], after, self.values[first + 1, 0], share, gap_s[:, None])
        return _slerp(before, after, share) if self.path == "rotation" else before + share * (after - before)


@dataclass(frozen=True)
class Animation:
    """A motion of a character."""

    name: str
    channels: tuple[Channel, ...]

    @property
    def first_s(self) -> float:
        """Time of the first key."""
        return min(float(channel.times_s[0]) for channel in self.channels)

    @property
    def last_s(self) -> float:
        """Time of the last key."""
        return max(float(channel.times_s[-1]) for channel in self.channels)

    def times(self, fps: float, most: int) -> np.ndarray:
        """(T,) in seconds: where its frames are, once through, at most so many."""
        return self.first_s + np.arange(min(most, int((self.last_s - self.first_s) * fps + 1e-3) + 1)) / fps


def read_animations(file: GltfFile) -> dict[str, Animation]:
    """By name, in the order of the file; two of one name are told apart by a number."""
    animations: dict[str, Animation] = {}
    for index, entry in enumerate(file.entries("animations")):
        name = entry.get("name") or f"animation{index}"
        if name in animations:
            name = f"{name}.{index}"
        channels = tuple(
            _read_channel(file, entry["samplers"][channel["sampler"]], channel["target"])
            for channel in entry["channels"]
            if "node" in channel["target"] and channel["target"]["path"] in PATHS
        )
        if channels:
            animations[name] = Animation(name, channels)
    return animations


PATHS = ("translation", "rotation", "scale", "weights")


def _read_channel(file: GltfFile, sampler: dict[str, Any], target: dict[str, Any]) -> Channel:
    times_s, values = file.array(sampler["input"]), file.array(sampler["output"])
    interpolation = sampler.get("interpolation", "LINEAR")
    shape = (len(times_s), 3, -1) if interpolation == "CUBICSPLINE" else (len(times_s), -1)
    return Channel(target["node"], target["path"], interpolation, times_s, values.reshape(shape))


def _slerp(before: np.ndarray, after: np.ndarray, share: np.ndarray) -> np.ndarray:
    """The shorter way from one quaternion to the other, at even speed. All (T, 4); share (T, 1)."""
    cosine = (before * after).sum(axis=1, keepdims=True)
    after, cosine = np.where(cosine < 0, -after, after), np.abs(cosine).clip(max=1)
    angle = np.arccos(cosine)
    sine = np.sin(angle)
    is_close = sine < 1e-6
    safe = np.where(is_close, 1, sine)
    weights = [np.where(is_close, s, np.sin(s * angle) / safe) for s in (1 - share, share)]
    return weights[0] * before + weights[1] * after


def _hermite(
    before: np.ndarray, leaving: np.ndarray, after: np.ndarray, arriving: np.ndarray, t: np.ndarray, gap_s: np.ndarray
) -> np.ndarray:
    """Cubic spline through two keys (T, C), with tangents per second."""
    return (
        (2 * t**3 - 3 * t**2 + 1) * before
        + gap_s * (t**3 - 2 * t**2 + t) * leaving
        + (3 * t**2 - 2 * t**3) * after
        + gap_s * (t**3 - t**2) * arriving
    )


def hand_on(animation: Animation, source: Nodes, target: Nodes) -> Animation:
    """The same motion for another skeleton with bones of the same names, whatever their lengths.

    Rotations and displacements are taken relative to the pose at rest; displacements are scaled by the mean length of
    the common bones. Raises InputError where no bone is common.
    """
    index_of = {name: index for index, name in enumerate(target.names)}
    common = {i: index_of[name] for i, name in enumerate(source.names) if name in index_of and i not in source.fixed}
    channels = [c for c in animation.channels if c.node in common and common[c.node] not in target.fixed]
    if not channels:
        raise InputError(f"no bone has a name that moves in {animation.name!r}, like {source.names[0]!r}")
    lengths = [
        np.linalg.norm(nodes.rest["translation"][list(chosen)], axis=1).sum()
        for nodes, chosen in ((source, common.keys()), (target, common.values()))
    ]
    scale = lengths[1] / lengths[0] if lengths[0] > 0 else 1.0
    return replace(
        animation,
        channels=tuple(
            replace(c, node=common[c.node], values=_rebase(c, common[c.node], source, target, scale))
            for c in channels
            if c.path != "weights"
        ),
    )


def _rebase(channel: Channel, node: int, source: Nodes, target: Nodes, scale: float) -> np.ndarray:
    """The values of a channel for the target's node."""
    values = channel.values.astype(np.float64)
    if channel.path == "rotation":
        start, rest = source.rest["rotation"][channel.node], target.rest["rotation"][node]
        # Linear in the value, so that tangents are turned as they should be.
        return values @ _left_product(_multiply(rest, start * [-1, -1, -1, 1])).T
    if channel.path == "translation":
        moved = values * scale
        shift = target.rest["translation"][node] - scale * source.rest["translation"][channel.node]
        if channel.interpolation == "CUBICSPLINE":
            moved[:, 1] += shift
            return moved
        return moved + shift
    return values


def _left_product(q: np.ndarray) -> np.ndarray:
    """The (4, 4) matrix that multiplies a quaternion x y z w from the left by q."""
    x, y, z, w = q
    return np.array([[w, -z, y, x], [z, w, -x, y], [-y, x, w, z], [-x, -y, -z, w]])


def _multiply(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    return _left_product(p) @ q
