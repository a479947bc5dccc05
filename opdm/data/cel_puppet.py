"""Characters: jointed puppets of bending parts, dressed, posed and placed in the picture."""

import numpy as np

from opdm.data.cel_acting import QUIET, SIDES, Acting, Build, act, choose_build, hold_pose
from opdm.data.cel_clothes import Outfit, draw_cape, draw_neck, draw_skirt, draw_torso
from opdm.data.cel_curves import Array, Complex, ease_between, smooth
from opdm.data.cel_figure import (
    Studio,
    along,
    capped,
    pose_rigid,
    pose_tube,
    rigid_mesh,
    spine,
    tube_mesh,
    tube_shape,
)
from opdm.data.cel_hair import draw_behind, make_head
from opdm.data.cel_head import draw_front
from opdm.data.cel_palette import Look, Palette
from opdm.data.cel_scene import Part, Patch, Stroke

RUN_IN = 8
"""Frames acted before the first one, so that hair and cloth are already in motion."""


# A finger or a thumb is a bump of these outlines; wrist at y = 0, thumb at positive x.
# fmt: off
HANDS = {
    "mitten": [
        (-0.17, -0.1), (-0.23, 0.2), (-0.15, 0.52), (0.03, 0.6), (0.14, 0.4), (0.17, 0.28), (0.28, 0.36), (0.33, 0.28),
        (0.22, 0.06), (0.17, -0.1),
    ],
    "fist": [
        (-0.17, -0.1), (-0.26, 0.15), (-0.2, 0.4), (0.05, 0.44), (0.22, 0.34), (0.25, 0.12), (0.17, -0.1),
    ],
    "open": [
        (-0.17, -0.1), (-0.22, 0.2), (-0.27, 0.55), (-0.18, 0.6), (-0.13, 0.32), (-0.1, 0.68), (0.0, 0.68),
        (0.03, 0.34), (0.1, 0.62), (0.19, 0.58), (0.16, 0.3), (0.3, 0.34), (0.34, 0.25), (0.2, 0.08), (0.17, -0.1),
    ],
}
# fmt: on


def draw_characters(
    random: np.random.Generator,
    times: Array,
    look: Look,
    speed: float,
    count: int,
    half_size: tuple[float, float],
    *,
    blinks: bool,
    held: bool,
) -> list[Part]:
    """All figures of a shot, the farthest first; world height is 1, its center the origin."""
    acted = np.concatenate([times[0] - np.arange(RUN_IN, 0, -1), times])
    close = float(random.choice([0.075, 0.11, 0.16, 0.24], p=[0.3, 0.3, 0.25, 0.15]))
    places = np.linspace(-1, 1, count) * random.choice([-1, 1]) * 0.62 if count > 1 else np.zeros(1)
    scales = np.sort(random.uniform(0.75, 1.2, size=count)) * close
    parts: list[Part] = []
    for k in random.permutation(count):
        x = (places[k] + random.normal() * 0.15) * half_size[0]
        parts += draw_figure(random, acted, look, speed, scales[k], x, blinks=blinks, held=held)
    for part in parts:
        part.pose = part.pose[RUN_IN:]
        part.visible = None if part.visible is None else part.visible[RUN_IN:]
    return parts


def draw_figure(
    random: np.random.Generator,
    times: Array,
    look: Look,
    speed: float,
    scale: float,
    x: float,
    *,
    blinks: bool,
    held: bool,
) -> list[Part]:
    """One character, its head `scale` large."""
    build = choose_build(random)
    # Children stand as tall in the picture more often than not.
    scale = scale * float(np.clip(9.5 / build.height, 1, 1.5))
    acting = act(random, times, speed, build)
    acting.blink *= blinks
    if held:
        hold_pose(acting)
    studio = Studio(random, look, Palette(random, look), times)
    # Where the head is in the picture decides the framing; large figures are cut off below.
    fits = build.height * scale < 0.9
    head_y = random.uniform(-0.46, 0.46 - build.height * scale) + 1.2 * scale if fits else random.uniform(-0.25, 0.0)
    stand = x + 1j * (head_y + (build.torso + build.neck + 1.2) * scale)
    way = enter_or_leave(random, times) / scale if speed > QUIET else 0
    acting.root = acting.root + (0 if held else way)
    draw_body(studio, build, acting)
    # Lines that are thick beside the head would swallow the face.
    thin = min(1.0, 0.08 * scale * 256 / look.line_px)
    for part in studio.parts:
        part.pose = stand + scale * part.pose
        for stroke in {
            id(s): s for s in [*part.strokes, *(s for patch in part.patches for s in patch.strokes)]
        }.values():
            stroke.width *= thin
    return studio.parts


def enter_or_leave(random: np.random.Generator, times: Array) -> Array:
    """(T,) way into or out of the picture, mostly none."""
    if random.random() > 0.15:
        return np.zeros_like(times)
    side, middle = random.choice(SIDES), random.uniform(times[RUN_IN], times[-1])
    at, values = np.array([middle - 9, middle + 9]), np.array([0.0, 1.1 * side])
    return ease_between(times, at, values if random.random() < 0.5 else values[::-1])


def draw_body(studio: Studio, build: Build, acting: Acting) -> None:
    """The whole figure from back to front."""
    random = studio.random
    mesh = np.linspace(-0.25, build.torso + 0.75, 9), np.linspace(-1, 1, 7) * 1.25 * max(build.shoulder, build.hip)
    up = np.clip(1 - mesh[0] / build.torso, 0, 1)
    bow = acting.lean[:, None] + acting.bend[:, None] * up
    middle = spine(acting.root, mesh[0], bow, build.torso)
    neck, angle = along(middle, mesh[0], 0.0), acting.lean + acting.bend
    tilt = 0.5 * angle + acting.head
    head = make_head(neck - 1j * np.exp(1j * tilt) * (build.neck + 1.0), tilt, acting, random.uniform(0.7, 1.6))
    outfit = Outfit(studio, build)
    if studio.chance(0.18):
        draw_cape(studio, build, neck, angle)
    draw_behind(studio, head)
    # The ball of hair stays behind the face but in front of the body.
    ball = studio.parts.pop()
    arms = [(side, k) for k, side in enumerate(SIDES)]
    behind = [bool(random.random() < 0.4 or side * acting.body_yaw.mean() > 0.45) for side in SIDES]
    shoulders = [shoulder_at(middle, mesh[0], bow, build, acting, side) for side in SIDES]
    for side, k in arms:
        if behind[k]:
            draw_arm(studio, build, acting, outfit, shoulders[k], angle, side, k)
    hips = along(middle, mesh[0], build.torso), acting.lean
    far_first = sorted(arms, key=lambda arm: -arm[0] * float(acting.body_yaw.mean()))
    for side, k in far_first:
        draw_leg(studio, build, acting, outfit, hips, side, k)
    draw_torso(studio, build, acting, outfit, mesh, bow)
    if outfit.skirt:
        waist = along(middle, mesh[0], 0.66 * build.torso)
        draw_skirt(studio, build, acting, outfit, waist, acting.lean)
    draw_neck(studio, build, neck, 0.5 * (angle + tilt), outfit)
    studio.parts.append(ball)
    draw_front(studio, head, acting)
    for side, k in arms:
        if not behind[k]:
            draw_arm(studio, build, acting, outfit, shoulders[k], angle, side, k)


def shoulder_at(middle: Complex, rows: Array, bow: Array, build: Build, acting: Acting, side: int) -> Complex:
    """(T,) center of a shoulder."""
    y = 0.42 * build.shoulder**0.5
    angle = bow[:, 2]
    reach = side * 0.82 * build.shoulder * (0.72 + 0.28 * np.cos(acting.body_yaw)) - 0.12 * np.sin(acting.body_yaw)
    return along(middle, rows, y) + reach * np.exp(1j * angle)


def limb_angles(rows: Array, length: float, upper: Array, bend: Array, thick: float) -> Array:
    """(T, R) angles of a two-part limb that bends smoothly at half its length."""
    u = np.clip((rows - 0.5 * length) / (1.6 * thick) + 0.5, 0, 1)
    return upper[:, None] + bend[:, None] * (u * u * (3 - 2 * u))


def draw_arm(
    studio: Studio, build: Build, acting: Acting, outfit: Outfit, base: Complex, body: Array, side: int, k: int
) -> None:
    """Arm, hand and sleeve."""
    length, top, wrist = build.arm, 0.3 * build.limb, 0.2 * build.limb
    mesh = tube_mesh(-0.35, length, 1.5 * top, 12)
    upper, bend = body - side * acting.shoulders[k], -side * acting.elbows[k]
    angle = limb_angles(mesh[0], length, upper, bend, 2.2 * top)
    pose = pose_tube(base, mesh, angle)
    outline = tube_shape(length, capped(top, wrist, length, 0.3), -0.3, 18)
    strokes = [Stroke(outline[6 if side > 0 else 0 : 18]), Stroke(outline[18 : 36 if side > 0 else 30])]
    studio.add(outline, mesh, pose, studio.palette.skin, strokes=strokes)
    tip = along(spine(base, mesh[0], angle), mesh[0], length - 0.04)
    draw_hand(studio, build, tip, angle[:, -1] - side * acting.wrists[k], side)
    if outfit.sleeve:
        draw_sleeve(studio, build, outfit, mesh, pose, side)


def draw_hand(studio: Studio, build: Build, base: Complex, angle: Array, side: int) -> None:
    """Open, closed or with spread fingers."""
    kind = str(studio.random.choice(["mitten", "fist", "open"]))
    size = np.array([-side, 1]) * build.limb * 1.05
    outline = smooth(HANDS[kind], 3) * size
    mesh = rigid_mesh(outline)
    fingers = [
        studio.tapered(np.array([[x, 0.28], [x + 0.01, 0.44]]) * size, 0.6)
        for x in ((-0.08, 0.04) if kind != "open" else ())
    ]
    strokes = [Stroke(outline[2:-3]), *fingers]
    studio.add(outline, mesh, pose_rigid(base, mesh, angle), studio.palette.skin, strokes=strokes, shades=[])


def draw_sleeve(
    studio: Studio, build: Build, outfit: Outfit, mesh: tuple[Array, Array], pose: Complex, side: int
) -> None:
    """Cloth around the arm, on the arm's own mesh."""
    length = outfit.sleeve * build.arm
    top, end = 0.36 * build.limb, studio.random.uniform(0.27, 0.42) * build.limb
    outline = tube_shape(length, capped(top, end, length, 0.36), -0.36, 18)
    outline = np.concatenate([outline[:18], [[0.0, length + 0.05]], outline[18:]])
    # The shoulder has a line outside, and flows into the body inside.
    strokes = [Stroke(outline[6:] if side > 0 else outline[:-6])]
    patches = []
    if outfit.cuffs and length > 0.5:
        cuff = np.array([[-1, length - 0.3], [1, length - 0.3], [1, length + 0.3], [-1, length + 0.3]])
        patches = [
            Patch(
                cuff,
                studio.palette.cloth[3],
                [Stroke(np.array([[-0.9 * end, length - 0.3], [0, length - 0.26], [0.9 * end, length - 0.3]]))],
            )
        ]
    if length > 0.6 * build.arm:
        at = 0.5 * build.arm
        strokes += [
            studio.tapered(np.array([[x * top, at + d], [x * 0.3 * top, at + d + 0.08]]), 0.6)
            for x, d in ((0.9, -0.1), (0.9, 0.12), (-0.9, 0.0))
        ]
    studio.add(outline, mesh, pose, outfit.top, strokes=strokes, patches=patches)


def draw_leg(
    studio: Studio, build: Build, acting: Acting, outfit: Outfit, hips: tuple[Complex, Array], side: int, k: int
) -> None:
    """Leg with trousers or socks, and a shoe."""
    length, top, ankle = build.leg, 0.46 * build.limb, 0.25 * build.limb
    root, lean = hips
    base = root + side * 0.5 * build.hip * (0.75 + 0.25 * np.cos(acting.body_yaw)) * np.exp(1j * lean)
    mesh = tube_mesh(-0.45, length, 1.5 * top, 12)
    angle = limb_angles(mesh[0], length, -side * acting.hips[k], -side * acting.knees[k], 2.2 * top)
    outline = tube_shape(length, capped(top, ankle, length, 0.4), -0.4, 18)
    cloth = outfit.trousers * length
    long = outfit.trousers > 0.9
    paint = outfit.bottom if long else studio.palette.skin
    patches = []
    if cloth and not long:
        shorts = np.array([[-2, -2], [2, -2], [2, cloth], [0, cloth + 0.08], [-2, cloth]])
        patches.append(Patch(shorts, outfit.bottom, [Stroke(shorts[2:])]))
    if outfit.socks:
        high = (1 - outfit.socks) * length
        sock = np.array([[2, length + 1], [-2, length + 1], [-2, high], [0, high + 0.08], [2, high]])
        patches.append(Patch(sock, outfit.sock, [Stroke(sock[2:])]))
    knee = studio.tapered(np.array([[-0.15, 0.5 * length], [0.05, 0.52 * length], [0.18, 0.5 * length]]), 0.6)
    strokes = [Stroke(outline[4:32]), knee]
    studio.add(outline, mesh, pose_tube(base, mesh, angle), paint, strokes=strokes, patches=patches)
    foot = along(spine(base, mesh[0], angle), mesh[0], length)
    draw_shoe(studio, build, acting, outfit, foot, 0.5 * angle[:, -1], side)


def draw_shoe(
    studio: Studio, build: Build, acting: Acting, outfit: Outfit, base: Complex, angle: Array, side: int
) -> None:
    """Points outward, or where the body is turned."""
    yaw = acting.body_yaw
    toward = np.where(np.abs(yaw) > 0.5, np.sign(yaw), side)
    wide = toward * (0.6 + 0.5 * np.minimum(np.abs(yaw), 1))
    shape = [
        (-0.27, -0.4),
        (-0.32, 0.0),
        (-0.33, 0.28),
        (0.2, 0.3),
        (0.75, 0.3),
        (0.8, 0.15),
        (0.5, 0.0),
        (0.27, -0.12),
        (0.27, -0.4),
    ]
    outline = smooth(shape, 3) * build.limb
    sole = np.array([[-1, 0.17], [1.2, 0.17], [1.2, 1], [-1, 1]]) * build.limb
    mesh = rigid_mesh(outline)
    patches = [Patch(sole, studio.palette.white, [Stroke(sole[:2], 0.7)])] if studio.chance(0.5) else []
    pose = pose_rigid(base, mesh, angle, wide)
    studio.add(outline, mesh, pose, outfit.shoe, strokes=[Stroke(outline, closed=True)], patches=patches)
