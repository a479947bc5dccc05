"""The head of a puppet: hair that wraps around it, a face that slides over it as it turns, things worn on it."""

from dataclasses import dataclass

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

FACE = [(0, 1.1), (0.36, 0.95), (0.7, 0.55), (0.84, 0.1), (0.82, -0.4), (0.5, -0.88), (0, -0.98)]


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
    ball = ellipse((0, -0.06), 1.12, 1.13, 28)
    pose = pose_rigid(head.center, rigid_mesh(ball), head.angle)
    studio.add(ball, rigid_mesh(ball), pose, hair, strokes=[Stroke(ball, closed=True)], shades=[])


def draw_mane(studio: Studio, head: Head, length: float) -> None:
    """Back hair in one piece with pointed ends."""
    random, width, tips = studio.random, studio.random.uniform(0.95, 1.25), int(studio.random.integers(3, 7))
    x = np.linspace(-width, width, 2 * tips + 1)
    y = np.where(np.arange(2 * tips + 1) % 2 == 1, length, length * random.uniform(0.75, 0.9))
    y = y - 0.18 * length * np.abs(x / width) ** 2 + random.uniform(-0.05, 0.05, size=len(x)) * length
    zigzag = np.stack([x * random.uniform(0.85, 1.1), y], axis=1)
    outline = polyline(np.concatenate([zigzag, [[width, 0.0], [0.8, -0.7], [-0.8, -0.7], [-width, 0.0]]]), 0.3)
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


def draw_front(studio: Studio, head: Head, acting: Acting) -> None:
    """Face, hair in front, things worn."""
    ball = studio.parts[-1]
    face = draw_face(studio, head)
    draw_features(studio, head, acting, face)
    draw_cap_of_hair(studio, head, ball)
    if studio.chance(0.22):
        draw_hat(studio, head)
    elif studio.chance(0.3):
        draw_ribbon(studio, head)


def draw_face(studio: Studio, head: Head) -> Part:
    """Skin, and the ears at its sides."""
    narrow = studio.random.uniform(0.92, 1.04)
    control = np.array(FACE + [(-x, y) for x, y in FACE[-2:0:-1]])
    outline = smooth(control * [narrow, 1], 4)
    mesh = rigid_mesh(outline)
    wide = 0.9 + 0.1 * np.cos(head.yaw)
    pose = pose_rigid(head.point(0.16 * np.sin(head.yaw), 0.0), mesh, head.angle, wide)
    # Under the fringe the face lies in shadow.
    shadow = smooth([(-1, -0.3), (-0.5, 0.02), (0, -0.12), (0.5, 0.02), (1, -0.3), (1, -1.2), (-1, -1.2)], 3)
    shades = [Shade(shadow)] if studio.look.shades else []
    face = studio.add(outline, mesh, pose, studio.palette.skin, strokes=[Stroke(outline, closed=True)], shades=shades)
    for side in SIDES:
        ear = smooth([(0, -0.24), (0.17, -0.16), (0.12, 0.1), (0, 0.22), (-0.1, 0.0)], 4) * [side, 1]
        base, facing, visible = head.at(side * 1.42, 0.16)
        base = base + side * 0.06 * np.exp(1j * head.angle)
        pose = pose_rigid(base, rigid_mesh(ear), head.angle, np.clip(1.2 - facing, 0.5, 1))
        inner = studio.tapered(ear[2:10] * 0.55, 0.6)
        strokes = [Stroke(ear, closed=True), inner]
        turned = side * 1.42 + 0.75 * head.yaw
        studio.add(
            ear, rigid_mesh(ear), pose, studio.palette.skin, strokes=strokes, shades=[], visible=np.cos(turned) > -0.15
        )
    return face


def draw_features(studio: Studio, head: Head, acting: Acting, face: Part) -> None:
    """Eyes, brows, nose, mouth, cheeks, glasses."""
    random = studio.random
    width, height = random.uniform(0.19, 0.27), random.uniform(0.17, 0.34)
    iris = studio.palette.paint(studio.palette.any_color())
    blush = studio.chance(0.3)
    for side in SIDES:
        if blush:
            spot = ellipse((0, 0), 0.2, 0.09, 14)
            base, facing, visible = head.at(side * 0.62, 0.55)
            pink = studio.palette.paint((0.95, 0.55, 0.5))
            pose = pose_rigid(base, rigid_mesh(spot), head.angle, facing)
            studio.add(spot, rigid_mesh(spot), pose, pink, shades=[], visible=visible, clip_to=face)
        draw_eye(studio, head, acting, face, side, (width, height), iris)
    bridge = random.choice([0.0, 1.0])
    nose = np.array([[0.0, -0.12 * bridge], [0.09, 0.08], [-0.02, 0.1]])
    draw_mark(studio, head, face, nose, 0.0, 0.5, 0.7)
    draw_mouth(studio, head, acting, face)
    if studio.chance(0.15):
        for side in SIDES:
            rim = ellipse((0, 0), width * 1.5, max(height, 0.22) * 1.2, 18)
            draw_mark(studio, head, face, np.concatenate([rim, rim[:1]]), side * 0.42, 0.24, 1.0)
        draw_mark(studio, head, face, np.array([[-0.1, 0.0], [0.0, -0.04], [0.1, 0.0]]), 0.0, 0.2, 1.0)


def draw_mark(
    studio: Studio,
    head: Head,
    face: Part,
    points: Array,
    around: float,
    y: float,
    width: float,
    angle: Array | float = 0.0,
) -> None:
    """A bare stroke on the face."""
    base, facing, visible = head.at(around, y)
    pose = pose_rigid(base, rigid_mesh(points), head.angle + angle, facing)
    stroke = [studio.tapered(points, width)]
    studio.add(
        points,
        rigid_mesh(points),
        pose,
        face.paint,
        strokes=stroke,
        shades=[],
        visible=visible,
        clip_to=face,
        is_filled=False,
    )


def draw_eye(
    studio: Studio, head: Head, acting: Acting, face: Part, side: int, size: tuple[float, float], iris_paint: object
) -> None:
    """White, iris, pupil, glint, upper lash, brow; it closes by flattening toward its lower lid."""
    width, height = size
    base, facing, visible = head.at(side * 0.43, 0.26)
    opened = np.clip(1 - acting.blink, 0.08, 1)
    white = smooth([(-1, 0.1), (-0.6, -0.8), (0.1, -1.0), (0.8, -0.6), (1, 0.2), (0.5, 0.9), (-0.5, 0.9)], 4) * [
        side * width,
        height,
    ]
    lower = base + 1j * np.exp(1j * head.angle) * height * (1 - opened) * 0.7
    mesh = rigid_mesh(white)
    lash = [Stroke(white[: 4 * 4 + 1], 1.9, taper=(0.3, 0.2)), studio.tapered(white[19:25], 0.6)]
    pose = pose_rigid(lower, mesh, head.angle, facing, opened)
    shared = {"visible": visible, "shades": []}
    eye = studio.add(white, mesh, pose, studio.palette.white, strokes=lash, clip_to=face, **shared)
    disk = ellipse((0, 0), min(0.62 * width, 0.75 * height), 0.85 * height, 16)
    look = acting.gaze * 0.22 * width
    center = base + (look * facing + 1j * 0.05 * height) * np.exp(1j * head.angle)
    pupil, glint = disk * 0.5, disk * 0.3 + [-0.3 * width, -0.4 * height]
    patches = [Patch(pupil, studio.palette.dark), Patch(glint, studio.palette.white)]
    pose = pose_rigid(center, rigid_mesh(disk), head.angle, facing)
    line = [Stroke(disk, 0.6, closed=True)]
    studio.add(disk, rigid_mesh(disk), pose, iris_paint, strokes=line, patches=patches, clip_to=eye, **shared)  # type: ignore[arg-type]
    # The lash again: the iris must not cover it.
    studio.add(white, mesh, eye.pose, studio.palette.dark, strokes=lash[:1], clip_to=face, is_filled=False, **shared)
    brow = smooth([(-1.1, 0.05), (-0.3, -0.15), (0.6, -0.1), (1.1, 0.1)], 4, closed=False) * [side * width, 0.25]
    mood = side * 0.25 * (acting.mouth - 0.4)
    draw_mark(studio, head, face, brow, side * 0.43, 0.2 - height - 0.16, 1.3, mood)


def draw_mouth(studio: Studio, head: Head, acting: Acting, face: Part) -> None:
    """A line when closed, a dark shape with a tongue when open."""
    width, smile = studio.random.uniform(0.14, 0.26), studio.random.uniform(-0.4, 1.0)
    base, facing, visible = head.at(0.0, 0.74)
    lips = smooth([(-1, -0.35 * smile), (0, 0), (1, -0.35 * smile), (0.55, 0.75), (0, 1), (-0.55, 0.75)], 4) * [
        width,
        0.24,
    ]
    tongue = ellipse((0, 0.2), 0.6 * width, 0.09, 10)
    opened = np.clip(acting.mouth, 0.0, 1)
    dark = studio.palette.paint((0.5, 0.15, 0.17))
    patches = [Patch(tongue, studio.palette.paint((0.9, 0.5, 0.48)))]
    pose = pose_rigid(base, rigid_mesh(lips), head.angle, facing, np.maximum(opened, 0.05))
    is_open = opened > 0.12
    studio.add(
        lips,
        rigid_mesh(lips),
        pose,
        dark,
        strokes=[Stroke(lips, 0.8, closed=True)],
        patches=patches,
        clip_to=face,
        shades=[],
        visible=visible & is_open,
    )
    line = smooth([(-1, -0.35 * smile), (0, 0.1), (1, -0.35 * smile)], 4, closed=False) * [width, 0.24]
    pose = pose_rigid(base, rigid_mesh(line), head.angle, facing)
    stroke = [studio.tapered(line, 0.9)]
    shown = visible & ~is_open
    studio.add(
        line,
        rigid_mesh(line),
        pose,
        face.paint,
        strokes=stroke,
        clip_to=face,
        is_filled=False,
        shades=[],
        visible=shown,
    )


def draw_cap_of_hair(studio: Studio, head: Head, ball: Part) -> None:
    """Hair over the forehead and the sides, unrolled: rest x is the angle around the head, so turning brings new locks."""
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
    y = reach - np.where(notch, random.uniform(0.18, 0.4) + 0.2 * np.clip(reach, 0, 1), 0)
    lean = random.uniform(-0.1, 0.1)
    zigzag = np.stack([around + np.where(notch, 0, lean), y], axis=1)
    bottom = _bowed(zigzag, random.uniform(-0.03, 0.05))
    outline = np.concatenate([bottom, [[1.95, -1.14], [1.0, -1.16], [0, -1.16], [-1.0, -1.16], [-1.95, -1.14]]])
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
    for start, end in zip(zigzag, zigzag[1:], strict=False):
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


def draw_hat(studio: Studio, head: Head) -> None:
    """Crown and brim."""
    random, paint = studio.random, studio.palette.cloth[int(studio.random.integers(5))]
    tall, brim = random.uniform(0.5, 1.1), random.uniform(1.2, 1.9)
    crown = smooth(
        [(-1.12, 0.0), (-1.02, -0.7 * tall), (-0.5, -tall), (0.5, -tall), (1.02, -0.7 * tall), (1.12, 0.0), (0, 0.16)],
        4,
    )
    base, tilt = head.point(0.0, -0.5), head.angle + random.uniform(-0.12, 0.12)
    band = np.array([[-1.3, -0.3], [0, -0.16], [1.3, -0.3], [1.3, 0.3], [-1.3, 0.3]])
    stripe = [Patch(band, studio.palette.cloth[0], [Stroke(band[:3], 0.8)])] if studio.chance(0.6) else []
    studio.add(
        crown,
        rigid_mesh(crown),
        pose_rigid(base, rigid_mesh(crown), tilt),
        paint,
        strokes=[Stroke(crown, closed=True)],
        patches=stripe,
    )
    edge = ellipse((0, 0.05), brim, 0.2, 24)
    studio.add(
        edge, rigid_mesh(edge), pose_rigid(base, rigid_mesh(edge), tilt), paint, strokes=[Stroke(edge, closed=True)]
    )


def draw_ribbon(studio: Studio, head: Head) -> None:
    """A bow that turns with the head and disappears behind it."""
    around, y, size = (
        studio.random.uniform(-1.5, 1.5),
        studio.random.uniform(-0.8, -0.4),
        studio.random.uniform(0.3, 0.6),
    )
    turned = around + 0.8 * head.yaw
    base = head.point(1.0 * np.sin(turned), y)
    facing, visible = np.clip(np.cos(turned), 0.35, 1), np.cos(turned) > -0.1
    paint = studio.palette.cloth[int(studio.random.integers(5))]
    for side in SIDES:
        loop = (
            smooth([(0, 0), (0.5 * side, -0.5), (1.1 * side, -0.45), (1.05 * side, 0.4), (0.5 * side, 0.35)], 4) * size
        )
        flap = head.angle + 0.5 * head.swing + side * 0.1
        pose = pose_rigid(base, rigid_mesh(loop), flap, facing)
        fold = studio.tapered(np.array([[0.15, 0.0], [0.4, -0.08], [0.7, -0.05]]) * [side * size, size], 0.6)
        studio.add(loop, rigid_mesh(loop), pose, paint, strokes=[Stroke(loop, closed=True), fold], visible=visible)
    knot = ellipse((0, 0), 0.2 * size, 0.22 * size, 10)
    pose = pose_rigid(base, rigid_mesh(knot), head.angle, facing)
    studio.add(knot, rigid_mesh(knot), pose, paint, strokes=[Stroke(knot, closed=True)], visible=visible, shades=[])


def make_head(center: Complex, angle: Array, acting: Acting, softness: float) -> Head:
    """Place the head and let its hair trail behind its way."""
    turning = 1.2 * np.gradient(acting.yaw) if len(acting.yaw) > 1 else np.zeros_like(angle)
    swing = swing_of(center - 1.5 * np.sin(angle), softness) + turning
    return Head(center, angle, acting.yaw, acting.nod, swing)
