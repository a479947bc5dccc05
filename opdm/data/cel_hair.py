"""The head of a puppet and its hair, which wraps around it and swings behind."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from opdm.data.cel_acting import SIDES, Acting
from opdm.data.cel_curves import Array, Complex, ellipse, polyline, smooth
from opdm.data.cel_figure import (
    Studio,
    hang,
    pointed,
    pose_rigid,
    pose_tube,
    rigid_mesh,
    swing_of,
    tube_mesh,
    tube_shape,
)
from opdm.data.cel_scene import HIGHLIGHT, Part, Patch, Shade, Stroke


@dataclass(eq=False)
class Head:
    """Where the head is and what it is doing; lengths in head radii."""

    center: Complex
    angle: Array
    yaw: Array
    nod: Array
    swing: Array

    def at(self, around: float, y: float) -> tuple[Complex, Array, np.ndarray]:
        """Place, horizontal foreshortening and visibility of a spot of the face, `around` radians from its middle."""
        turned = around + 0.75 * self.yaw
        local = 0.84 * np.sin(turned) + 1j * (y + 0.13 * self.nod * (1.1 - abs(y)))
        facing = np.cos(turned)
        return self.center + local * np.exp(1j * self.angle), np.maximum(facing, 0.12), facing > 0.1

    def point(self, x: Array | float, y: float) -> Complex:
        """A point of the head's flat outline."""
        return self.center + (x + 1j * y) * np.exp(1j * self.angle)


def make_head(center: Complex, angle: Array, acting: Acting, softness: float) -> Head:
    """Place the head and let its hair trail behind its way."""
    turning = 1.2 * np.gradient(acting.yaw) if len(acting.yaw) > 1 else np.zeros_like(angle)
    swing = swing_of(center - 1.5 * np.sin(angle), softness) + turning
    return Head(center, angle, acting.yaw, acting.nod, swing)


def draw_behind(studio: Studio, head: Head) -> None:
    """Hair and ribbons that hang behind the body."""
    random, hair = studio.random, studio.palette.hair
    style = str(random.choice(["short", "long", "tails", "pony", "bob"], p=[0.25, 0.25, 0.2, 0.15, 0.15]))
    if style in ("long", "bob"):
        length = random.uniform(2.2, 4.2) if style == "long" else random.uniform(1.0, 1.5)
        draw_mane(studio, head, length)
    elif style == "tails":
        length, y = random.uniform(1.8, 3.6), random.uniform(-0.7, 0.2)
        for side in SIDES:
            x = side * 1.02 * np.clip(np.cos(0.5 * head.yaw) + side * 0.2 * np.sin(head.yaw), 0.4, 1.1)
            draw_lock(
                studio, head, head.point(x, y), length, random.uniform(0.3, 0.5), -side * random.uniform(0.2, 0.6)
            )
    elif style == "pony":
        root = head.point(-0.7 * np.sin(head.yaw), -0.55)
        draw_lock(studio, head, root, random.uniform(1.8, 3.4), random.uniform(0.35, 0.55), 0.35 * np.sign(head.yaw[0]))
    else:
        draw_mane(studio, head, random.uniform(0.75, 1.0))
    if studio.chance(0.15):
        draw_animal_ears(studio, head)
    ball = ellipse((0, -0.06), 1.12, 1.13, 48)
    pose = pose_rigid(head.center, rigid_mesh(ball), head.angle)
    studio.add(ball, rigid_mesh(ball), pose, hair, strokes=[Stroke(ball, closed=True)], shades=[])


def draw_mane(studio: Studio, head: Head, length: float) -> None:
    """Back hair in one piece with pointed ends."""
    random, width, tips = studio.random, studio.random.uniform(0.95, 1.25), int(studio.random.integers(3, 7))
    x = np.linspace(-width, width, 2 * tips + 1)
    y = np.where(np.arange(2 * tips + 1) % 2 == 1, length, length * random.uniform(0.75, 0.9))
    y = y - 0.18 * length * np.abs(x / width) ** 2 + random.uniform(-0.05, 0.05, size=len(x)) * length
    crown = smooth(
        [(width, 0.35), (0.98 * width, -0.15), (0.75, -0.75), (-0.75, -0.75), (-0.98 * width, -0.15), (-width, 0.35)],
        4,
        closed=False,
    )
    zigzag = np.stack([x * random.uniform(0.85, 1.1), y], axis=1)
    outline = polyline(np.concatenate([zigzag, crown]), 0.3)
    mesh = np.linspace(-0.9, length * 1.06, 7), np.linspace(-width * 1.2, width * 1.2, 4)
    angle = hang(head.angle, head.swing, mesh[0], length, 0.3)
    shade = Shade(np.array([[-9, -2], [9, -2], [9, 1.5], [0, 1.9], [-9, 1.5]]))
    lines = [studio.tapered(np.array([[k, 0.5 * v], [k, 0.75 * v], [k, v]]), 0.7) for k, v in zigzag[2:-1:2]]
    studio.add(
        outline,
        mesh,
        pose_tube(head.center, mesh, angle),
        studio.palette.hair,
        strokes=[Stroke(outline, closed=True), *lines],
        shades=[shade] if studio.look.shades else [],
    )


def draw_lock(studio: Studio, head: Head, root: Complex, length: float, width: float, curl: float) -> None:
    """A tail of hair with a ribbon at its root; a second lock beside it."""
    for k in range(int(studio.random.integers(1, 3))):
        size = 1 - 0.25 * k
        outline = tube_shape(length * size, pointed(width * size, length * size))
        mesh = tube_mesh(0, length * size, width, 7)
        rows = np.clip(mesh[0] / length, 0, 1)
        angle = hang(head.angle, 1.2 * head.swing, mesh[0], length, 0.3) + curl * (1 - 1.6 * rows) * (1 + 0.4 * k)
        inner = np.stack([np.full(5, 0.25 * width), np.linspace(0.2, 0.8, 5) * length * size], axis=1)
        strokes = [Stroke(outline, closed=True), studio.tapered(inner, 0.6)]
        studio.add(outline, mesh, pose_tube(root, mesh, angle), studio.palette.hair, strokes=strokes)
    if studio.chance(0.6):
        knot = ellipse((0, 0.08), 0.75 * width, 0.16, 12)
        pose = pose_rigid(root, rigid_mesh(knot), head.angle + curl)
        studio.add(
            knot, rigid_mesh(knot), pose, studio.palette.cloth[3], strokes=[Stroke(knot, closed=True)], shades=[]
        )


def draw_animal_ears(studio: Studio, head: Head) -> None:
    """Two pointed ears on top."""
    tall = studio.random.uniform(0.6, 1.0)
    for side in SIDES:
        outline = polyline([(-0.36, 0.1), (-0.05 + 0.1 * side, -tall), (0.36, 0.1)], 0.2)
        inner = outline * 0.55 + [0, -0.02]
        x = 0.68 * np.sin(side * 0.95 + 0.5 * head.yaw) / np.sin(0.95)
        pose = pose_rigid(head.point(x, -0.8), rigid_mesh(outline), head.angle + side * 0.35 + 0.3 * head.swing)
        patch = [Patch(inner, studio.palette.skin, [Stroke(inner, 0.6, closed=True)])]
        studio.add(
            outline,
            rigid_mesh(outline),
            pose,
            studio.palette.hair,
            strokes=[Stroke(outline, closed=True)],
            patches=patch,
        )


def draw_cap_of_hair(studio: Studio, head: Head, ball: Part) -> None:
    """Hair over forehead and sides, unrolled: rest x is the angle around the head, so turning brings new locks."""
    random = studio.random
    count = int(random.integers(9, 17))
    around = np.linspace(-1.9, 1.9, 2 * count + 1) + random.uniform(-0.03, 0.03, size=2 * count + 1)
    fringe, sides = random.uniform(-0.2, 0.12), random.uniform(0.1, 1.1)
    reach = np.where(
        np.abs(around) < 0.75, fringe, fringe + (sides - fringe) * np.exp(-(((np.abs(around) - 1.2) / 0.35) ** 2))
    )
    parting = random.uniform(-0.6, 0.6)
    reach = reach - 0.3 * np.exp(-(((around - parting) / 0.2) ** 2)) + random.uniform(-0.08, 0.08, size=len(around))
    notch = np.arange(len(around)) % 2 == 0
    # A notch never reaches the crown, where it would lay the face bare.
    y = np.maximum(reach - np.where(notch, random.uniform(0.18, 0.4) + 0.2 * np.clip(reach, 0, 1), 0), -0.42)
    lean = random.uniform(-0.1, 0.1)
    zigzag = np.stack([around + np.where(notch, 0, lean), y], axis=1)
    bottom = _bowed(zigzag, random.uniform(-0.03, 0.05))
    # Points all the way: a straight side in these coordinates is an arc on the head.
    top = polyline([(1.92, 0.0), (1.95, -1.14), (-1.95, -1.14), (-1.92, 0.0)], 0.12, closed=False)
    outline = np.concatenate([bottom, top[top[:, 1] < -0.1]])
    rows = np.array([-1.2, -1.05, -0.85, -0.6, -0.3, 0.05, 0.4, 0.8, 1.3])
    mesh = rows, np.linspace(-2.0, 2.0, 15)
    strands = [_strand(studio, x, v, parting) for x, v in zigzag[2:-1:2] if studio.chance(0.75)]
    ring = _angel_ring(random) if studio.look.shades > 1 or studio.chance(0.3) else []
    studio.add(
        outline,
        mesh,
        pose_around(head, mesh),
        studio.palette.hair,
        strokes=[Stroke(bottom), *strands],
        shades=ring,
        region_with=ball,
        gradient=(0.0, 0.0),
    )


def _bowed(zigzag: Array, bow: float) -> Array:
    """Zigzag with sides that curve."""
    pieces = []
    for start, end in pairwise(zigzag):
        u = np.arange(4)[:, None] / 4
        pieces.append(start + (end - start) * u + bow * 4 * u * (1 - u) * np.array([1.0, 1.0]))
    return np.concatenate([*pieces, zigzag[-1:]])


def _strand(studio: Studio, x: float, y: float, parting: float) -> Stroke:
    """A line from a notch up toward the crown."""
    u = np.linspace(0, studio.random.uniform(0.3, 0.8), 6)
    return studio.tapered(np.stack([x + (parting * 0.4 - x * 0.2) * u**2, y + (-1.0 - y) * u], axis=1), 0.6, ends=0.6)


def _angel_ring(random: np.random.Generator) -> list[Shade]:
    x = np.linspace(-1.9, 1.9, 33)
    level, thick = random.uniform(-0.7, -0.5), random.uniform(0.05, 0.11)
    jag = np.where(np.arange(33) % 2 == 0, 0.04, -0.04)
    top, bottom = np.stack([x, level - thick + jag], axis=1), np.stack([x, level + thick - jag], axis=1)
    return [Shade(np.concatenate([top, bottom[::-1]]), HIGHLIGHT)]


def pose_around(head: Head, mesh: tuple[Array, Array]) -> Complex:
    """Wrap rest (angle, y) around the head; what is behind it gathers, unseen, at the silhouette."""
    rows, cols = mesh
    radius = 1.09 * np.sqrt(np.clip(1 - (np.minimum(rows, 0) / 1.2) ** 2, 0.02, 1))
    turned = np.clip(cols[None] + 0.8 * head.yaw[:, None], -np.pi / 2, np.pi / 2)
    x = radius[None, :, None] * np.sin(turned)[:, None, :]
    below = np.clip(rows, 0, None)
    x = x - (0.5 * head.swing[:, None] * below**1.5)[:, :, None]
    y = rows[None, :, None] + 0 * x
    local = (x + 1j * y).reshape(len(head.yaw), -1)
    return head.center[:, None] + local * np.exp(1j * head.angle)[:, None]
