"""The dressed body of a puppet: torso with collar and patterns, skirt, cape, tie."""

import numpy as np

from opdm.data.cel_acting import Acting, Build
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
from opdm.data.cel_scene import Paint, Patch, Shade, Stroke


class Outfit:
    """What a figure wears."""

    def __init__(self, studio: Studio, build: Build):
        random, cloth = studio.random, studio.palette.cloth
        self.top: Paint = cloth[0]
        self.skirt = studio.chance(0.42)
        self.bottom: Paint = cloth[1] if studio.chance(0.75) else cloth[0]
        self.sleeve = float(random.choice([0.0, 0.3, 0.5, 0.97], p=[0.15, 0.25, 0.1, 0.5]))
        self.cuffs = studio.chance(0.4)
        self.trousers = 0.0 if self.skirt else float(random.choice([0.35, 0.95], p=[0.3, 0.7]))
        self.socks = float(random.choice([0.0, 0.35, 0.55])) if self.trousers < 0.9 else 0.0
        self.shoe, self.sock = cloth[2], cloth[3] if studio.chance(0.5) else studio.palette.white
        self.collar = str(random.choice(["round", "v", "sailor", "scarf", "high"]))
        self.front = str(random.choice(["plain", "buttons", "stripes", "open", "emblem"]))
        self.belt = studio.chance(0.4)
        self.tie = studio.chance(0.2)
        self.skirt_length = random.uniform(0.3, 0.85) * build.leg
        self.flare = random.uniform(1.2, 2.1)


def slide(mesh: tuple[Array, Array], pose: Complex, yaw: Array, angle: Array, half_width: float) -> Complex:
    """Turn what is on a body part about its axis: the middle moves sideways, the silhouette stays."""
    share = np.clip(1 - (mesh[1] / half_width) ** 2, 0, 1)
    moved = 0.45 * half_width * np.sin(yaw)[:, None, None] * share * np.exp(1j * angle)[:, :, None]
    return pose + moved.reshape(len(yaw), -1)


def draw_torso(
    studio: Studio, build: Build, acting: Acting, outfit: Outfit, mesh: tuple[Array, Array], bow: Array
) -> None:
    """Upper body with what is on it."""
    s, w, h, length = build.shoulder, build.waist, build.hip, build.torso
    half = [
        (0.3, -0.12),
        (0.75 * s, 0.12),
        (s, 0.42),
        (0.86 * s, 1.0),
        (w, 0.62 * length),
        (h, 0.93 * length),
        (0.85 * h, length + 0.42),
    ]
    outline = smooth(half + [(0.0, length + 0.5)] + [(-x, y) for x, y in half[::-1]], 4)
    wide = (0.82 + 0.18 * np.cos(acting.body_yaw)) * (1 + acting.breath)
    pose = pose_tube(acting.root, mesh, bow, wide, at=length)
    pose = slide(mesh, pose, acting.body_yaw, bow, float(mesh[1][-1]))
    patches = collar_patches(studio, outfit, s) + front_patches(studio, outfit, build)
    if not outfit.skirt:
        seat = np.array(
            [[-3, 0.76 * length], [0, 0.79 * length], [3, 0.76 * length], [3, length + 2], [-3, length + 2]]
        )
        patches.append(Patch(seat, outfit.bottom, [Stroke(seat[:3])]))
    if outfit.belt:
        belt = band_shape(0.7 * length, 0.79 * length, 0.03 * length)
        lines = [Stroke(belt[:3]), Stroke(belt[3:])]
        patches.append(Patch(belt, studio.palette.cloth[4], lines))
    if outfit.skirt:
        edge = Stroke(outline, closed=True)
    else:
        # Hips run into the trousers: no line across.
        bottom = 4 * len(half) + 1
        edge = Stroke(np.roll(outline, -bottom - 4, axis=0)[: len(outline) - 9])
    folds = [
        studio.tapered(np.array([[x, y], [0.8 * x, y + 0.15], [0.72 * x, y + 0.35]]), 0.6)
        for x, y in ((0.8 * s, 1.15), (-0.8 * s, 1.15))
    ]
    studio.add(outline, mesh, pose, outfit.top, strokes=[edge, *folds], patches=patches)


def collar_patches(studio: Studio, outfit: Outfit, shoulder: float) -> list[Patch]:
    """The neck opening, and a collar around it."""
    skin = studio.palette.skin
    if outfit.collar == "round":
        hole = ellipse((0, -0.1), 0.42, 0.45, 16)
        return [Patch(hole, skin, [Stroke(hole, closed=True)])]
    if outfit.collar in ("v", "sailor"):
        wide = 0.75 * shoulder if outfit.collar == "sailor" else 0.55
        flap = np.array([[-wide, -0.3], [-wide, 0.45], [0, 1.15], [wide, 0.45], [wide, -0.3]])
        hole = np.array([[-0.36, -0.3], [0, 0.85], [0.36, -0.3]])
        other = studio.palette.cloth[3]
        edges = [Stroke(polyline(flap, 0.3, closed=False))]
        around = [Patch(flap, other, edges)] if outfit.collar == "sailor" else []
        return [*around, Patch(hole, skin, [Stroke(polyline(hole, 0.3, closed=False))])]
    if outfit.collar == "scarf":
        ring = ellipse((0, 0.05), 0.62, 0.32, 16)
        return [Patch(ring, studio.palette.cloth[3], [Stroke(ring, closed=True)])]
    return []


def front_patches(studio: Studio, outfit: Outfit, build: Build) -> list[Patch]:
    """What is on the chest."""
    random, cloth, length = studio.random, studio.palette.cloth, build.torso
    if outfit.front == "stripes":
        bands = np.linspace(0.55, 0.95 * length, int(random.integers(3, 7)))
        thick = 0.25 * (bands[1] - bands[0])
        shapes = [band_shape(y, y + thick, 0.1) for y in bands]
        drawn = studio.chance(0.5)
        return [
            Patch(band, cloth[2], [Stroke(band[:3], 0.7), Stroke(band[3:], 0.7)] if drawn else []) for band in shapes
        ]
    if outfit.front == "open":
        panel = polyline([(-0.25, 0.5), (-0.35, length + 1), (0.35, length + 1), (0.25, 0.5)], 0.4)
        return [Patch(panel, cloth[3], [Stroke(panel, closed=True)])]
    if outfit.front == "buttons":
        ys = np.linspace(0.95, 0.9 * length, int(random.integers(3, 6)))
        seam = np.stack([np.zeros(8), np.linspace(0.7, length + 0.5, 8)], axis=1)
        dots = [ellipse((0.16, y), 0.09, 0.09, 10) for y in ys]
        return [
            Patch(dot, cloth[4], [Stroke(dot, 0.6, closed=True), *([Stroke(seam, 0.7)] if k == 0 else [])])
            for k, dot in enumerate(dots)
        ]
    if outfit.front == "emblem":
        angle = 2 * np.pi * np.arange(10) / 10
        star = np.stack([np.sin(angle), -np.cos(angle)], axis=1) * np.where(np.arange(10) % 2, 0.16, 0.36)[:, None]
        star = star + np.array([random.uniform(-0.25, 0.25), 1.05])
        return [Patch(star, cloth[2], [Stroke(star, 0.8, closed=True)])]
    return []


def draw_neck(studio: Studio, build: Build, neck: Complex, angle: Array, outfit: Outfit) -> None:
    """Between body and head; the chin shades it."""
    high = outfit.collar == "high"
    outline = np.array(
        [[-0.26, -0.75], [-0.27, -0.2], [-0.33, 0.12], [0, 0.28], [0.33, 0.12], [0.27, -0.2], [0.26, -0.75]]
    )
    mesh = rigid_mesh(outline)
    shadow = [Shade(np.array([[-1, -1], [1, -1], [1, -0.12], [0, 0.05], [-1, -0.12]]))] if studio.look.shades else []
    strokes = [Stroke(outline[:3]), Stroke(outline[4:])]
    paint = outfit.top if high else studio.palette.skin
    studio.add(outline, mesh, pose_rigid(neck, mesh, angle), paint, strokes=strokes, shades=shadow)
    if outfit.collar == "scarf":
        draw_streamer(studio, neck + 0.25j, angle, 0.3, studio.random.uniform(1.6, 3.0), studio.palette.cloth[3])
    elif outfit.tie:
        draw_streamer(studio, neck + 0.35j, angle, 0.18, 0.75 * build.torso, studio.palette.cloth[4])


def draw_streamer(studio: Studio, base: Complex, angle: Array, width: float, length: float, paint: Paint) -> None:
    """A tie or the end of a scarf."""
    outline = tube_shape(length, pointed(width, length, 0.8))
    mesh = tube_mesh(0, length, width, 6)
    rows = hang(angle, 1.3 * swing_of(base, 1.2), mesh[0], length, 0.3)
    studio.add(outline, mesh, pose_tube(base, mesh, rows), paint, strokes=[Stroke(outline, closed=True)])


def band_shape(top: float, bottom: float, sag: float) -> Array:
    """(6, 2) outline across a part from y = `top` to `bottom`, lower in the middle: upper edge, then lower edge."""
    return np.array(
        [[-3, top], [0, top + sag], [3, top], [3, bottom], [0, bottom + sag], [-3, bottom]], dtype=np.float64
    )


def hem_line(pleats: int, half_width: float, length: float) -> Array:
    """(2 * pleats + 1, 2) corners of a skirt's lower edge."""
    x = np.linspace(-1, 1, 2 * pleats + 1)
    y = length + np.where(np.arange(len(x)) % 2, 0.09, -0.03) - 0.12 * x**2
    return np.stack([x * half_width, y], axis=1)


def draw_skirt(studio: Studio, build: Build, acting: Acting, outfit: Outfit, base: Complex, lean: Array) -> None:
    """Hangs from the waist, spread by the legs, swinging."""
    random, length = studio.random, outfit.skirt_length + 0.34 * build.torso
    top, bottom = build.waist * 1.02, build.hip * outfit.flare
    hem = hem_line(int(random.integers(4, 9)), bottom, length)
    side_x = np.linspace(top, bottom, 6)[1:-1] + 0.12 * (build.hip - build.waist)
    side_y = np.linspace(0, length, 6)[1:-1]
    right = np.stack([side_x, side_y], axis=1)
    outline = np.concatenate([[[-top, 0.0]], right * [-1, 1], smooth(hem, 2, closed=False), right[::-1], [[top, 0.0]]])
    mesh = np.linspace(-0.1, length * 1.06, 6), np.linspace(-bottom, bottom, 6) * 1.1
    swing = swing_of(base, 1.0) + 0.5 * np.gradient(acting.body_yaw)
    angle = hang(lean, 1.2 * swing, mesh[0], length, 0.5)
    spread = sum(np.abs(hip) for hip in acting.hips)
    pose = pose_tube(base, mesh, angle, 0.95 + 0.12 * spread)
    ripple = (
        0.1
        * np.sin(2.5 * mesh[1] + 0.45 * studio.times[:, None] + 6 * swing[:, None])[:, None, :]
        * np.clip(mesh[0] / length, 0, 1)[:, None]
    )
    pose = slide(mesh, pose + 0.5j * ripple.reshape(len(base), -1), acting.body_yaw, angle, 1.05 * bottom)
    pleats = [
        studio.tapered(
            np.stack([np.linspace(x, x * top / bottom * 0.9, 5), np.linspace(y, 0.35 * length, 5)], axis=1),
            0.7,
            ends=0.5,
        )
        for x, y in hem[2:-1:2]
    ]
    band = band_shape(0.86 * length, 0.93 * length, 0.04 * length)
    patches = [Patch(band, studio.palette.white)] if studio.chance(0.3) else []
    studio.add(outline, mesh, pose, outfit.bottom, strokes=[Stroke(outline, closed=True), *pleats], patches=patches)


def draw_cape(studio: Studio, build: Build, neck: Complex, angle: Array) -> None:
    """Cloth behind the body."""
    length = build.torso + studio.random.uniform(0.2, 0.8) * build.leg
    top, bottom = build.shoulder, build.shoulder * studio.random.uniform(1.3, 2.0)
    x = np.linspace(-bottom, bottom, 9)
    hem = np.stack([x, length + 0.12 * np.sin(3 * x)], axis=1)
    outline = polyline(np.concatenate([[[-top, 0.15]], hem, [[top, 0.15]]]), 0.5)
    mesh = np.linspace(-0.1, length * 1.06, 7), np.linspace(-bottom, bottom, 6) * 1.1
    rows = hang(angle, 1.3 * swing_of(neck, 1.4), mesh[0], length, 0.4)
    wave = (
        0.15 * np.sin(2 * mesh[1] - 0.5 * studio.times[:, None])[:, None, :] * np.clip(mesh[0] / length, 0, 1)[:, None]
    )
    pose = pose_tube(neck, mesh, rows) + 1j * wave.reshape(len(neck), -1)
    lines = [studio.tapered(np.array([[0.6 * v, 0.5 * length], [0.9 * v, length]]), 0.7) for v in x[2:-2:2]]
    studio.add(outline, mesh, pose, studio.palette.cloth[4], strokes=[Stroke(outline, closed=True), *lines])
