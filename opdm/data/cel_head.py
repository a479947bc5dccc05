"""The face of a puppet, which slides over the head as it turns, and things worn on the head."""

import numpy as np

from opdm.data.cel_acting import SIDES, Acting
from opdm.data.cel_curves import Array, ellipse, smooth
from opdm.data.cel_figure import (
    Studio,
    pose_rigid,
    rigid_mesh,
)
from opdm.data.cel_hair import Head, draw_cap_of_hair
from opdm.data.cel_scene import Part, Patch, Shade, Stroke

FACE = [(0, 1.1), (0.36, 0.95), (0.7, 0.55), (0.84, 0.1), (0.82, -0.4), (0.5, -0.88), (0, -0.98)]


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
    outline = smooth(control * [narrow, 1], 7)
    mesh = rigid_mesh(outline)
    wide = 0.9 + 0.1 * np.cos(head.yaw)
    pose = pose_rigid(head.point(0.16 * np.sin(head.yaw), 0.0), mesh, head.angle, wide)
    # Under the fringe the face lies in shadow.
    shadow = smooth([(-1, -0.3), (-0.5, 0.02), (0, -0.12), (0.5, 0.02), (1, -0.3), (1, -1.2), (-1, -1.2)], 3)
    shades = [Shade(shadow)] if studio.look.shades else []
    face = studio.add(outline, mesh, pose, studio.palette.skin, strokes=[Stroke(outline, closed=True)], shades=shades)
    for side in SIDES:
        ear = smooth([(0, -0.24), (0.17, -0.16), (0.12, 0.1), (0, 0.22), (-0.1, 0.0)], 4) * [side, 1]
        base, facing, _ = head.at(side * 1.42, 0.16)
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
