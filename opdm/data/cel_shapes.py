"""Abstract shots: dozens of overlapping shapes that move in groups, each with a motion and a deformation of its own."""

import numpy as np

from opdm.data.cel_curves import Array, Complex, ellipse, key_poses, polyline, smooth
from opdm.data.cel_palette import Look, Palette, shade_shapes
from opdm.data.cel_scene import Part, Patch, Stroke, corners, mesh_lines


def draw_outline(random: np.random.Generator) -> Array:
    """An outline of radius about 1: blob, star, polygon, petal or ribbon."""
    kind = random.choice(["blob", "star", "polygon", "petal", "ribbon", "ellipse"])
    count = int(random.integers(3, 9))
    angle = 2 * np.pi * (np.arange(count) + random.uniform(-0.25, 0.25, size=count)) / count
    around = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    if kind == "blob":
        return smooth(around * random.uniform(0.5, 1.2, size=(count, 1)), 5)
    if kind == "star":
        inner = around @ rotation(np.pi / count) * random.uniform(0.3, 0.7)
        return polyline(np.stack([around, inner], axis=1).reshape(-1, 2), 0.3)
    if kind == "polygon":
        return polyline(around, 0.3)
    if kind == "petal":
        u = np.linspace(0, np.pi, 12)
        half = np.stack([-np.cos(u), random.uniform(0.2, 0.6) * np.sin(u) ** random.uniform(0.7, 1.6)], axis=1)
        return np.concatenate([half, (half * [1, -1])[-2:0:-1]])
    if kind == "ribbon":
        u = np.linspace(-1.6, 1.6, 14)
        bend, thin = random.uniform(-0.5, 0.5), random.uniform(0.1, 0.3)
        middle = bend * np.sin(u * random.uniform(1, 2.5))
        return np.concatenate([np.stack([u, middle - thin], axis=1), np.stack([u, middle + thin], axis=1)[::-1]])
    return ellipse((0, 0), 1, random.uniform(0.4, 1))


def rotation(angle: float) -> Array:
    """(2, 2) matrix."""
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def deform(random: np.random.Generator, rest: Complex, times: Array, interval: float, strength: float) -> Complex:
    """(F, M) positions of rest points that bend, shear and swell smoothly over time."""
    moved = np.broadcast_to(rest, (len(times), len(rest))).copy()
    for _ in range(2):
        amount = key_poses(random, times, -strength, strength, interval)[:, None]
        phase = key_poses(random, times, 0, 4, 2 * interval)[:, None]
        along = np.exp(1j * random.uniform(0, 2 * np.pi))
        distance = (rest * along.conjugate()).real
        moved += amount * 1j * along * np.sin(random.uniform(1, 2) * distance + phase)
    return moved


def decorate(
    random: np.random.Generator, outline: Array, palette: Palette, look: Look
) -> tuple[list[Patch], list[Stroke]]:
    """Spots and inner lines of a shape."""
    patches, strokes = [], []
    for _ in range(int(random.choice([0, 0, 1, 2]))):
        shape = draw_outline(random) * random.uniform(0.15, 0.6) + random.uniform(-0.5, 0.5, size=2)
        lines = [] if random.random() < look.missing_lines + 0.2 else [Stroke(shape, closed=True)]
        patches.append(Patch(shape, palette.cloth[int(random.integers(5))], lines))
    for _ in range(int(random.choice([0, 0, 0, 1, 2]))):
        inner = outline.mean(axis=0) + (outline - outline.mean(axis=0)) * random.uniform(0.3, 0.8)
        start, count = int(random.integers(len(inner))), int(len(inner) * random.uniform(0.1, 0.4)) + 3
        strokes.append(Stroke(np.roll(inner, -start, axis=0)[:count], random.uniform(0.5, 1), taper=(0.4, 0.4)))
    return patches, strokes


def draw_shape(random: np.random.Generator, pose: "GroupMotion", palette: Palette, look: Look, speed: float) -> Part:
    """One shape of a group."""
    outline = draw_outline(random)
    rows, cols = mesh_lines(outline, 3, 3, 0.2)
    times, interval = pose.times, random.uniform(4, 14)
    moved = deform(random, corners(rows, cols), times, interval, 0.3 * min(speed * 1.5, 1) * random.random() ** 1.5)
    turn = key_poses(random, times, -1.2 * speed, 1.2 * speed, interval) + random.uniform(0, 2 * np.pi)
    size = np.exp(random.uniform(-2.5, -1.1)) * pose.size * (1 + key_poses(random, times, -0.2, 0.2, interval) * speed)
    reach = 0.15 * speed
    drift = key_poses(random, times, -reach, reach, interval) + 1j * key_poses(random, times, -reach, reach, interval)
    home = pose.size * 0.38 * (random.normal() + 1j * random.normal()) + drift
    patches, strokes = decorate(random, outline, palette, look)
    fill = palette.paint(palette.any_color()) if random.random() < 0.1 else palette.cloth[int(random.integers(5))]
    if random.random() >= look.missing_lines:
        strokes.append(Stroke(outline, closed=True))
    elif random.random() < 0.6:
        count = int(len(outline) * random.uniform(0.4, 0.9))
        strokes.append(Stroke(np.roll(outline, random.integers(len(outline)), axis=0)[:count], taper=(0.3, 0.3)))
    return Part(
        outline=outline,
        rows=rows,
        cols=cols,
        pose=pose.place(home[:, None] + (size * np.exp(1j * turn))[:, None] * moved),
        paint=fill,
        strokes=strokes,
        patches=patches,
        shades=shade_shapes(random, outline, look, 0.6),
        gradient=tuple(random.normal(size=2) * 0.2) if random.random() < look.gradients else (0.0, 0.0),
        grain=look.grain,
    )


class GroupMotion:
    """Where a group of shapes is over time, as a similarity of the plane."""

    def __init__(self, random: np.random.Generator, times: Array, speed: float, center: complex, size: float):
        self.times, self.size = times, size
        interval, reach = random.uniform(6, 14), 0.32 * speed
        self.center = center + key_poses(random, times, -reach, reach, interval)
        self.center = self.center + 1j * key_poses(random, times, -reach, reach, interval)
        self.center = self.center + times * speed * random.normal() * 0.008
        self.turn = np.exp(1j * key_poses(random, times, -0.5 * speed, 0.5 * speed, interval))
        self.turn = self.turn * (1 + key_poses(random, times, -0.2 * speed, 0.2 * speed, interval))

    def place(self, local: Complex) -> Complex:
        """(F, M) positions in the group to the world."""
        return self.center[:, None] + self.turn[:, None] * local


def draw_shapes(
    random: np.random.Generator, times: Array, look: Look, speed: float, groups: int, half_size: tuple[float, float]
) -> list[Part]:
    """All shapes of an abstract shot, mixed groups in front of each other; world height is 1, its center the origin."""
    parts: list[Part] = []
    for _ in range(groups):
        palette = Palette(random, look)
        center = complex(random.uniform(-0.45, 0.45) * half_size[0], random.uniform(-0.45, 0.45) * half_size[1])
        group = GroupMotion(random, times, speed, center, random.uniform(0.5, 1.1))
        parts += [draw_shape(random, group, palette, look, speed) for _ in range(int(random.integers(9, 18)))]
    order = np.argsort(np.arange(len(parts)) + random.normal(size=len(parts)) * 4)
    return [parts[k] for k in order]
