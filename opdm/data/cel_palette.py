"""Colors and drawing manner of a generated shot: few colors, flat fills, one or two shadow tones."""

import colorsys
from dataclasses import dataclass

import numpy as np

from opdm.data.cel_curves import Array
from opdm.data.cel_scene import HIGHLIGHT, SHADOW, Paint, Shade

SKIN = ["fbe3d0", "f8d5bc", "f2c7a5", "e5ad84", "c98d63", "9c6a48", "6f4a35", "fdeee6"]
HAIR = [
    "2b2530",
    "4a3328",
    "7a4f30",
    "b98a4a",
    "ecd27e",
    "a83e32",
    "e88aa0",
    "5b6fb5",
    "74b7a8",
    "8d6bb0",
    "d9d9e0",
    "3b4a6b",
]


@dataclass(frozen=True)
class Look:
    """How everything in a shot is drawn."""

    line_px: float
    """Width of its lines at 256 px."""
    ink: str
    """`black`, `tinted` (a dark version of each fill) or `dark` (one dark hue)."""
    dark_ink: tuple[float, float, float]
    taper: float
    """Share of strokes that thin out at their ends."""
    missing_lines: float
    """Share of borders between fills that are not drawn."""
    shades: int
    """Shadow and highlight shapes at most on a part."""
    light: tuple[float, float]
    """Direction to the light."""
    shadow_hue: float
    gradients: float
    grain: float


def choose_look(random: np.random.Generator) -> Look:
    """Draw a manner of drawing."""
    angle = random.uniform(-2.6, -0.5)
    return Look(
        line_px=float(np.exp(random.uniform(np.log(0.5), np.log(4.0)))),
        ink=str(random.choice(["black", "tinted", "dark"], p=[0.4, 0.35, 0.25])),
        dark_ink=hsv(random.random(), random.uniform(0.3, 0.9), random.uniform(0.08, 0.4)),
        taper=float(random.choice([0.0, 0.5, 1.0])),
        missing_lines=float(random.choice([0.0, 0.0, 0.15, 0.5])),
        shades=int(random.choice([0, 1, 2], p=[0.3, 0.4, 0.3])),
        light=(float(np.cos(angle)), float(np.sin(angle))),
        shadow_hue=float(random.uniform(0.6, 0.95)),
        gradients=float(random.choice([0.0, 0.15, 0.5], p=[0.65, 0.2, 0.15])),
        grain=float(random.choice([0.0, 0.03, 0.07], p=[0.78, 0.12, 0.1])),
    )


class Palette:
    """Turns roles into paints; one per figure."""

    def __init__(self, random: np.random.Generator, look: Look):
        self.random, self.look = random, look
        self.is_wild = random.random() < 0.12
        self.hue, self.scheme = random.random(), random.choice([0.08, 0.33, 0.5])
        self.skin = self.paint(self._listed(SKIN))
        self.hair = self.paint(self._listed(HAIR))
        self.cloth = [self.paint(self._cloth(k)) for k in range(5)]
        self.white = self.paint((0.98, 0.98, 0.97))
        self.dark = self.paint(hsv(self.hue, random.uniform(0, 0.4), random.uniform(0.1, 0.3)))

    def _listed(self, colors: list[str]) -> tuple[float, float, float]:
        if self.is_wild:
            return self.any_color()
        digits = colors[int(self.random.integers(len(colors)))]
        jitter = self.random.uniform(-0.03, 0.03, size=3)
        red, green, blue = (int(digits[k : k + 2], 16) / 255 for k in (0, 2, 4))
        return clip((red + jitter[0], green + jitter[1], blue + jitter[2]))

    def _cloth(self, k: int) -> tuple[float, float, float]:
        random = self.random
        if self.is_wild:
            return self.any_color()
        if random.random() < 0.3:
            return hsv(self.hue, random.uniform(0, 0.15), random.choice([0.2, 0.35, 0.6, 0.85, 0.95]))
        hue = self.hue + self.scheme * (k % 3) + random.uniform(-0.03, 0.03)
        return hsv(hue, random.uniform(0.25, 0.85), random.uniform(0.4, 0.98))

    def any_color(self) -> tuple[float, float, float]:
        """A color without any role."""
        red, green, blue = self.random.random(3)
        return float(red), float(green), float(blue)

    def paint(self, fill: tuple[float, float, float]) -> Paint:
        """A fill with its shadow, highlight and ink."""
        hue, saturation, value = colorsys.rgb_to_hsv(*fill)
        toward = ((self.look.shadow_hue - hue + 0.5) % 1 - 0.5) * 0.12
        shadow = hsv(hue + toward, min(1, saturation * 1.15 + 0.06), value * (0.74 if value > 0.3 else 0.6))
        highlight = hsv(hue, saturation * 0.6, min(1, value * 1.12 + 0.08))
        ink = {
            "black": (0.02, 0.02, 0.03),
            "dark": self.look.dark_ink,
            "tinted": hsv(hue + toward, min(1, saturation * 1.2 + 0.15), value * 0.38),
        }[self.look.ink]
        return Paint(np.array(fill), np.array(shadow), np.array(highlight), np.array(ink))


def hsv(hue: float, saturation: float, value: float) -> tuple[float, float, float]:
    """RGB of a hue (any number), saturation and value in [0, 1]."""
    return colorsys.hsv_to_rgb(float(hue) % 1, float(np.clip(saturation, 0, 1)), float(np.clip(value, 0, 1)))


def clip(color: tuple[float, ...]) -> tuple[float, float, float]:
    """Into [0, 1]."""
    red, green, blue = (float(min(max(channel, 0), 1)) for channel in color)
    return red, green, blue


def shade_shapes(random: np.random.Generator, outline: Array, look: Look, share: float = 0.8) -> list[Shade]:
    """A shadow on the side away from the light, perhaps a highlight toward it; both to be clipped to the outline."""
    if not look.shades or random.random() > share:
        return []
    away = -np.array(look.light)
    if np.ptp(outline[:, 1]) > 2 * np.ptp(outline[:, 0]):
        # Limbs turn as they like; their shadow runs along them.
        away = np.array([np.sign(away[0]) or 1.0, 0.08])
    shades = [Shade(side_shape(random, outline, away, random.uniform(0.1, 0.45)), SHADOW)]
    if look.shades > 1 and random.random() < 0.5:
        shades.append(Shade(spot_shape(random, outline, -away), HIGHLIGHT))
    return shades


def side_shape(random: np.random.Generator, outline: Array, direction: Array, offset: float) -> Array:
    """Everything of an outline beyond a wavy border; `offset` -1..1 is where along `direction` the border lies."""
    center = (outline.min(axis=0) + outline.max(axis=0)) / 2
    across = np.array([-direction[1], direction[0]])
    reach, side = np.abs((outline - center) @ direction).max(), np.abs((outline - center) @ across).max()
    u = np.linspace(-1.15, 1.15, 9)
    bow, phase, wave = random.uniform(-0.35, 0.35), random.uniform(0, 6), random.uniform(0, 0.12)
    depth = offset + bow * u**2 + wave * np.sin(4 * u + phase)
    border = center + side * u[:, None] * across + reach * depth[:, None] * direction
    far = center + 2.5 * reach * direction
    return np.concatenate([border, [far + 1.3 * side * across, far - 1.3 * side * across]])


def spot_shape(random: np.random.Generator, outline: Array, direction: Array) -> Array:
    """A rounded highlight inside an outline."""
    low, high = outline.min(axis=0), outline.max(axis=0)
    center, radius = (low + high) / 2, (high - low) / 2
    angle = 2 * np.pi * np.arange(14) / 14
    spot = np.stack([np.cos(angle), np.sin(angle)], axis=1) * radius * random.uniform(0.08, 0.2, size=2)
    return center + direction * radius * random.uniform(0.35, 0.6) + spot
