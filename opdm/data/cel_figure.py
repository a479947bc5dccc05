"""Tools that body and head of a puppet share: bending tubes, rigid pieces, hair and cloth that lag behind."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from opdm.data.cel_curves import Array, Complex, follow
from opdm.data.cel_palette import Look, Palette, shade_shapes
from opdm.data.cel_scene import Paint, Part, Stroke, corners, mesh_lines


@dataclass(eq=False)
class Studio:
    """What drawing a figure needs, and its parts so far, back to front."""

    random: np.random.Generator
    look: Look
    palette: Palette
    times: Array
    parts: list[Part] = field(default_factory=list)

    def add(self, outline: Array, mesh: tuple[Array, Array], pose: Complex, paint: Paint, **more: Any) -> Part:
        """Put a part in front of the others; shaded by chance unless `shades` are given."""
        rows, cols = mesh
        if "shades" not in more:
            more["shades"] = shade_shapes(self.random, outline, self.look)
        if more.get("is_filled", True) and self.random.random() < self.look.gradients:
            more.setdefault("gradient", (0.0, float(self.random.normal() * 0.12)))
        part = Part(outline=outline, rows=rows, cols=cols, pose=pose, paint=paint, grain=self.look.grain, **more)
        self.parts.append(part)
        return part

    def tapered(self, points: Array, width: float = 1.0, *, ends: float = 0.35) -> Stroke:
        """An open stroke, thin at its ends in shots drawn so."""
        thin = ends if self.random.random() < self.look.taper else 0.0
        return Stroke(points, width, taper=(thin, thin))

    def chance(self, probability: float) -> bool:
        """True with that probability."""
        return bool(self.random.random() < probability)


def tube_shape(length: float, half: Callable[[Array], Array], start: float = 0.0, count: int = 13) -> Array:
    """(2 * count, 2) outline of a limb along y: left side down, then right side up."""
    u = 0.5 - 0.5 * np.cos(np.linspace(0, np.pi, count))
    s = start + (length - start) * u
    width = half(s)
    return np.concatenate([np.stack([-width, s], axis=1), np.stack([width, s], axis=1)[::-1]])


def capped(top: float, bottom: float, length: float, cap: float) -> Callable[[Array], Array]:
    """Half width of a limb that starts `cap` before 0 with a round end and narrows evenly to `length`."""

    def half(s: Array) -> Array:
        width = top + (bottom - top) * np.clip(s / length, 0, 1)
        return width * np.sqrt(np.clip(1 - np.clip(-s / cap, 0, 1) ** 2, 0, 1))

    return half


def pointed(width: float, length: float, belly: float = 0.35) -> Callable[[Array], Array]:
    """Half width of a lock of hair: widest at `belly` of its length, ending in a point."""

    def half(s: Array) -> Array:
        u = np.clip(s / length, 0, 1)
        return width * np.where(
            u < belly, 0.75 + 0.25 * u / belly, np.cos(np.pi / 2 * np.clip((u - belly) / (1 - belly), 0, 0.9999)) ** 0.8
        )

    return half


def tube_mesh(start: float, length: float, half_width: float, rows: int, cols: int = 1) -> tuple[Array, Array]:
    """Mesh of a tube with a little to spare."""
    spare = 0.06 * (length - start)
    return np.linspace(start - spare, length + spare, rows + 1), np.linspace(-half_width, half_width, cols + 1) * 1.2


def pose_tube(
    base: Complex, mesh: tuple[Array, Array], angle: Array, widen: Array | float = 1.0, at: float = 0.0
) -> Complex:
    """Bend a tube: `angle` (T, R) of each row, 0 = hanging down; the row at rest y = `at` lies on `base` (T,)."""
    rows, cols = mesh
    middle = spine(base, rows, angle, at)
    across = np.broadcast_to(np.asarray(widen), (len(base),))[:, None] * np.exp(1j * angle)
    return (middle[:, :, None] + across[:, :, None] * cols).reshape(len(base), -1)


def spine(base: Complex, rows: Array, angle: Array, at: float = 0.0) -> Complex:
    """(T, R) center line of a bent tube."""
    down = 1j * np.exp(1j * angle)
    steps = 0.5 * (down[:, 1:] + down[:, :-1]) * np.diff(rows)
    line = np.concatenate([np.zeros((len(base), 1)), np.cumsum(steps, axis=1)], axis=1)
    return line + (base - along(line, rows, at))[:, None]


def along(line: Complex, rows: Array, at: float) -> Complex:
    """(T,) points of a center line (T, R) at rest y = `at`."""
    k = int(np.clip(np.searchsorted(rows, at) - 1, 0, len(rows) - 2))
    u = (at - rows[k]) / (rows[k + 1] - rows[k])
    return line[:, k] * (1 - u) + line[:, k + 1] * u


def pose_rigid(
    base: Complex, mesh: tuple[Array, Array], angle: Array, wide: Array | float = 1.0, high: Array | float = 1.0
) -> Complex:
    """Turn and stretch a flat piece about its rest origin."""
    rest = corners(*mesh)
    shape = (len(base), 1)
    x, y = np.broadcast_to(np.asarray(wide), shape[:1]), np.broadcast_to(np.asarray(high), shape[:1])
    local = x.reshape(shape) * rest.real + 1j * y.reshape(shape) * rest.imag
    return base[:, None] + local * np.exp(1j * angle)[:, None]


def rigid_mesh(outline: Array) -> tuple[Array, Array]:
    """The smallest mesh: one cell."""
    return mesh_lines(outline, 1, 1, 0.15)


def swing_of(anchor: Complex, softness: float) -> Array:
    """(T,) angle by which something soft hung at `anchor` trails behind it."""
    lag = follow(anchor, 0.35 / softness, 0.72) - anchor
    return np.clip(-0.55 * lag.real, -1.1, 1.1)


def hang(angle: Array, swing: Array, rows: Array, length: float, stiff: float = 0.6) -> Array:
    """(T, R) row angles of hair or cloth: carried by `angle` at the root, by gravity and `swing` at the tip."""
    u = np.clip(rows / length, 0, 1)
    return angle[:, None] * (1 - (1 - stiff) * u) + swing[:, None] * u**1.2
