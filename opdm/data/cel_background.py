"""What is behind the figures: paper, flat color, gradients, painted textures, simple scenery drawn with lines."""

from dataclasses import dataclass

import cv2
import numpy as np

from opdm.data.cel_curves import Array, Complex, polyline, smooth
from opdm.data.cel_palette import Look, Palette, hsv, shade_shapes
from opdm.data.cel_scene import Part, Patch, Stroke, corners, mesh_lines

KINDS = ("none", "flat", "gradient", "noise", "strokes", "clouds", "landscape", "room", "tiles")
SHARES = (0.4, 0.1, 0.1, 0.07, 0.07, 0.06, 0.08, 0.07, 0.05)
REACH = 1.8
"""Painted backgrounds extend so many frame sizes, for the camera to move over."""


@dataclass(frozen=True, eq=False)
class Background:
    """The farthest layer of a shot."""

    kind: str
    color: Array
    """RGB of the paper."""
    painting: np.ndarray | None
    """(REACH * H, REACH * W, 3) float32 texture, where there is one."""
    parts: list[Part]


def draw_background(
    random: np.random.Generator, kind: str, frames: int, look: Look, height: int, width: int
) -> Background:
    """A background of that kind; `look` is how its lines are drawn."""
    palette = Palette(random, look)
    color = np.array(hsv(random.random(), random.uniform(0, 0.5), random.uniform(0.55, 1)))
    if kind == "landscape" and random.random() < 0.8:
        color = np.array(hsv(random.uniform(0.48, 0.62), random.uniform(0.08, 0.5), random.uniform(0.8, 1)))
    if kind == "none":
        return Background(kind, np.ones(3), None, [])
    painting, parts = None, []
    if kind in ("gradient", "noise", "strokes", "clouds"):
        size = round(REACH * height), round(REACH * width)
        painting = PAINTERS[kind](random, size, color, np.array(palette.any_color()))
    if kind in ("landscape", "room", "tiles"):
        parts = SCENERIES[kind](random, frames, palette, look, width / height)
    return Background(kind, color, painting, parts)


def _blend(amount: np.ndarray, low: Array, high: Array) -> np.ndarray:
    return (low + (high - low) * amount[..., None]).astype(np.float32)


def _noise(random: np.random.Generator, size: tuple[int, int], octaves: int, coarse: int = 3) -> np.ndarray:
    """(h, w) in [0, 1], smooth."""
    total = np.zeros(size, np.float32)
    for k in range(octaves):
        cells = random.random((coarse * 2**k + 1, coarse * 2**k + 1)).astype(np.float32)
        total += cv2.resize(cells, size[::-1], interpolation=cv2.INTER_CUBIC) * 0.55**k
    return (total - total.min()) / max(float(np.ptp(total)), 1e-6)


def _paint_gradient(random: np.random.Generator, size: tuple[int, int], color: Array, other: Array) -> np.ndarray:
    y, x = np.mgrid[-1 : 1 : size[0] * 1j, -1 : 1 : size[1] * 1j]
    angle = random.uniform(0, 2 * np.pi)
    ramp = np.hypot(x, y) if random.random() < 0.3 else 0.5 + 0.5 * (x * np.cos(angle) + y * np.sin(angle))
    return _blend(np.clip(ramp, 0, 1), color, 0.5 * color + 0.5 * other)


def _paint_noise(random: np.random.Generator, size: tuple[int, int], color: Array, other: Array) -> np.ndarray:
    return _blend(_noise(random, size, int(random.integers(2, 6))), color, 0.4 * color + 0.6 * other)


def _paint_clouds(random: np.random.Generator, size: tuple[int, int], color: Array, other: Array) -> np.ndarray:
    sky = np.array(hsv(random.uniform(0.5, 0.65), random.uniform(0.2, 0.7), random.uniform(0.6, 1)))
    cover = np.clip((_noise(random, size, 5) - 0.5) * random.uniform(3, 9), 0, 1)
    return _blend(cover, sky, np.array([0.97, 0.97, 0.99]))


def _paint_strokes(random: np.random.Generator, size: tuple[int, int], color: Array, other: Array) -> np.ndarray:
    image = np.empty((*size, 3), np.float32)
    image[:] = color
    for _ in range(90):
        center, angle = random.random(2) * size[::-1], random.normal() * 0.4
        mix = np.clip(color + (other - color) * random.random() * 0.7 + random.normal() * 0.03, 0, 1)
        axes = (random.uniform(0.05, 0.25) * size[1], random.uniform(0.01, 0.05) * size[0])
        at = (int(center[0]), int(center[1]))
        cv2.ellipse(
            image, at, (int(axes[0]), int(axes[1]) + 1), np.degrees(angle), 0, 360, mix.tolist(), -1, cv2.LINE_AA
        )
    return cv2.GaussianBlur(image, (0, 0), max(0.6, size[0] / 400))


PAINTERS = {"gradient": _paint_gradient, "noise": _paint_noise, "clouds": _paint_clouds, "strokes": _paint_strokes}


def still_part(frames: int, outline: Array, part_of: dict) -> Part:
    """A part that only the camera moves."""
    rows, cols = mesh_lines(outline, 1, 1, 0.05)
    pose: Complex = np.repeat(corners(rows, cols)[None], frames, axis=0)
    return Part(outline=outline, rows=rows, cols=cols, pose=pose, **part_of)


def _scenery(
    random: np.random.Generator, frames: int, outline: Array, paint: object, look: Look, **more: object
) -> Part:
    drawn = random.random() >= look.missing_lines
    strokes = [Stroke(outline, 0.8, closed=True)] if drawn else []
    strokes += more.pop("strokes", [])  # type: ignore[arg-type]
    return still_part(frames, outline, {"paint": paint, "strokes": strokes, "grain": look.grain, **more})


def _box(left: float, top: float, right: float, bottom: float) -> Array:
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], dtype=np.float64)


def _draw_landscape(
    random: np.random.Generator, frames: int, palette: Palette, look: Look, aspect: float
) -> list[Part]:
    parts, wide = [], REACH * aspect
    for layer in range(int(random.integers(1, 4))):
        level = -0.1 + 0.2 * layer + random.uniform(-0.08, 0.08)
        x = np.linspace(-wide, wide, 14)
        ridge = smooth(
            np.stack([x, level + random.normal(size=14) * random.choice([0.02, 0.08])], axis=1), 8, closed=False
        )
        outline = np.concatenate([ridge, [[wide, REACH], [-wide, REACH]]])
        color = hsv(random.uniform(0.2, 0.45), random.uniform(0.2, 0.6), random.uniform(0.4, 0.9))
        parts.append(_scenery(random, frames, outline, palette.paint(color), look))
        for _ in range(int(random.integers(0, 5))):
            parts += _draw_tree(random, frames, palette, look, random.uniform(-0.8, 0.8) * aspect, level + 0.06)
    return parts


def _draw_tree(
    random: np.random.Generator, frames: int, palette: Palette, look: Look, x: float, y: float
) -> list[Part]:
    size, count = random.uniform(0.05, 0.16), int(random.integers(6, 11))
    angle = 2 * np.pi * np.arange(count) / count
    crown = np.stack([np.cos(angle), np.sin(angle)], axis=1) * random.uniform(0.75, 1.1, size=(count, 1)) * size
    crown = smooth(crown + np.array([x, y - 2 * size]), 7)
    leaves = palette.paint(hsv(random.uniform(0.2, 0.42), random.uniform(0.3, 0.7), random.uniform(0.3, 0.75)))
    trunk = polyline(
        [(x - 0.15 * size, y), (x - 0.1 * size, y - 2 * size), (x + 0.1 * size, y - 2 * size), (x + 0.15 * size, y)], 1
    )
    bark = palette.paint(hsv(0.08, 0.4, random.uniform(0.25, 0.5)))
    shades = shade_shapes(random, crown, look)
    return [_scenery(random, frames, trunk, bark, look), _scenery(random, frames, crown, leaves, look, shades=shades)]


def _draw_room(random: np.random.Generator, frames: int, palette: Palette, look: Look, aspect: float) -> list[Part]:
    wide, floor = REACH * aspect, random.uniform(0.15, 0.4)
    boards = [
        np.array([[x * 0.6, floor], [x * 1.8, REACH]]) for x in np.linspace(-wide, wide, int(random.integers(5, 14)))
    ]
    planks = [Stroke(board, 0.6) for board in boards] if random.random() < 0.6 else []
    parts = [
        _scenery(random, frames, _box(-wide, -REACH, wide, floor), palette.cloth[0], look),
        _scenery(random, frames, _box(-wide, floor, wide, REACH), palette.cloth[1], look, strokes=planks),
    ]
    for _ in range(int(random.integers(1, 5))):
        x, y = random.uniform(-0.6, 0.6) * aspect, random.uniform(-0.45, 0.0)
        w, h = random.uniform(0.08, 0.3), random.uniform(0.08, 0.3)
        frame, pane = _box(x - w, y - h, x + w, y + h), _box(x - 0.85 * w, y - 0.85 * h, x + 0.85 * w, y + 0.85 * h)
        bars = [Stroke(np.array([[x, y - h], [x, y + h]]), 0.8), Stroke(np.array([[x - w, y], [x + w, y]]), 0.8)]
        glass = Patch(pane, palette.cloth[int(random.integers(2, 5))], [Stroke(pane, 0.7, closed=True)])
        parts.append(_scenery(random, frames, frame, palette.cloth[2], look, patches=[glass], strokes=bars))
    return parts


def _draw_tiles(random: np.random.Generator, frames: int, palette: Palette, look: Look, aspect: float) -> list[Part]:
    wide, step = REACH * aspect, random.uniform(0.12, 0.35)
    lines, patches = [], []
    for k in np.arange(-REACH, REACH, step):
        lines.append(Stroke(np.array([[-wide, k], [wide, k]]), 0.6))
    for x in np.arange(-wide, wide, step):
        lines.append(Stroke(np.array([[x, -REACH], [x, REACH]]), 0.6))
        for k in np.arange(-REACH, REACH, step):
            if random.random() < 0.25:
                patches.append(Patch(_box(x, k, x + step, k + step), palette.cloth[int(random.integers(1, 4))]))
    whole = _box(-wide, -REACH, wide, REACH)
    return [still_part(frames, whole, {"paint": palette.cloth[0], "strokes": lines, "patches": patches[:60]})]


SCENERIES = {"landscape": _draw_landscape, "room": _draw_room, "tiles": _draw_tiles}
