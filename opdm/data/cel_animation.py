"""Generated cel animation: shots with color, drawn lines, regions, true flow and occlusion, made from a seed."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from opdm.data import cel_background
from opdm.data.cel_background import Background, draw_background
from opdm.data.cel_curves import Array, Complex, key_poses
from opdm.data.cel_palette import Look, choose_look
from opdm.data.cel_puppet import draw_characters
from opdm.data.cel_render import Renderer, Surface, find_occluded
from opdm.data.cel_scene import Paint, Part, Scene
from opdm.data.cel_shapes import draw_shapes
from opdm.data.sample import Frame

SCALE = 4
"""Supersampling in each direction."""
ABSTRACT_PACE = 0.55
"""Whole groups of shapes move, not just arms: slower, so that frames have as much in common as those of characters."""
LINE_REFERENCE_PX = 256
"""The frame size at which line widths are meant."""


@dataclass(frozen=True, kw_only=True)
class CelStyle:
    """What to pin in a shot; None leaves it to the seed."""

    kind: str | None = None
    """`character` or `abstract`."""
    background: str | None = None
    """One of `cel_background.KINDS`."""
    figures: int | None = None
    """1 to 4 characters, or groups of shapes."""
    shading: bool | None = None
    """Shadow and highlight shapes."""
    texture: bool | None = None
    """Gradients and grain, and painted backgrounds."""
    ink: str | None = None
    """`black`, `dark` or `tinted`."""
    line_px: float | None = None
    """Width of lines in a frame of 256 px, 0.5 to 4."""
    speed: float | None = None
    """1 = ordinary acting; 0.1 is nearly still, 3 is wild."""
    camera: bool | None = None
    """Whether the camera may move."""
    blinks: bool = True
    """Whether eyes close; without, everything else is as it was."""
    held: bool = False
    """Whether characters hold their pose, all but the face and one arm."""


class CelShot:
    """A shot of `frames` frames; every answer is a pure function of the constructor's arguments."""

    def __init__(self, seed: int, *, height: int, width: int, frames: int, style: CelStyle | None = None):
        if min(height, width) < 16 or frames < 1:
            raise ValueError(f"height={height}, width={width}, frames={frames}: at least 16, 16 and 1 are needed")
        self.seed, self.height, self.width, self.frames = seed, height, width, frames
        self.style = style or CelStyle()
        streams = np.random.SeedSequence(seed).spawn(4)
        plan, behind, actors, moves = (np.random.Generator(np.random.PCG64(stream)) for stream in streams)
        self._decide(plan)
        background_look = replace(self.look, line_px=self.look.line_px * 0.8)
        background = draw_background(behind, self.background_kind, frames, background_look, height, width)
        self.camera = self._move_camera(moves)
        figures = self._draw_figures(actors)
        self._painting = None if background.painting is None else np.ascontiguousarray(background.painting)
        self._renderer = self._compile(background, figures)
        self._noise = _make_noise(moves) if self._renderer.scene.has_texture else None
        self._surfaces: dict[int, Surface] = {}

    def _decide(self, random: np.random.Generator) -> None:
        """Kind, background, number of figures, manner and speed."""
        style = self.style
        kind = "character" if random.random() < 0.65 else "abstract"
        background = str(random.choice(cel_background.KINDS, p=cel_background.SHARES))
        figures = int(random.choice([1, 2, 3, 4], p=[0.5, 0.27, 0.14, 0.09]))
        speed = float(np.exp(random.normal() * 0.7 - 0.1)) if random.random() > 0.08 else 0.05
        look = choose_look(random)
        self.camera_moves = random.random() < 0.4 if style.camera is None else style.camera
        self.kind = style.kind or kind
        self.background_kind = style.background or background
        self.figures = style.figures or figures
        self.speed = min(speed, 3.5) if style.speed is None else style.speed
        if style.texture is False:
            look = replace(look, gradients=0.0, grain=0.0)
            if style.background is None and background in cel_background.PAINTERS:
                self.background_kind = "flat"
        if style.shading is not None:
            look = replace(look, shades=max(look.shades, 1) if style.shading else 0)
        self.look: Look = replace(look, ink=style.ink or look.ink, line_px=style.line_px or look.line_px)

    def _move_camera(self, random: np.random.Generator) -> tuple[Complex, Complex]:
        """Turn and scale (F,) and shift (F,) of the world in the frame, in world units."""
        times = np.arange(self.frames, dtype=np.float64)
        pace, interval = (self.speed**0.5 if self.camera_moves else 0.0), random.uniform(8, 20)
        pan = np.exp(1j * random.uniform(0, 2 * np.pi)) * random.uniform(0, 0.02) * pace
        middle = (self.frames - 1) / 2
        shift = pan * (times - middle) + 0.08 * pace * (
            key_poses(random, times, -1, 1, interval) + 1j * key_poses(random, times, -1, 1, interval)
        )
        zoom = np.exp(0.18 * pace * key_poses(random, times, -1, 1, interval))
        turn = 0.12 * pace * key_poses(random, times, -1, 1, interval) * (random.random() < 0.4)
        # A painting ends somewhere; a very long pan slows down before it does.
        return zoom * np.exp(1j * turn), 0.7 * np.tanh(np.abs(shift) / 0.7) * np.exp(1j * np.angle(shift))

    def _draw_figures(self, random: np.random.Generator) -> list[Part]:
        half = self.width / self.height / 2, 0.5
        times = np.arange(self.frames, dtype=np.float64)
        if self.kind == "character":
            style = self.style
            return draw_characters(
                random, times, self.look, self.speed, self.figures, half, blinks=style.blinks, held=style.held
            )
        return draw_shapes(random, times, self.look, ABSTRACT_PACE * self.speed, self.figures, half)

    def _compile(self, background: Background, figures: list[Part]) -> Renderer:
        turn, shift = self.camera
        center = complex((self.width - 1) / 2, (self.height - 1) / 2)
        for part in [*background.parts, *figures]:
            part.pose = (part.pose * turn[:, None] + shift[:, None]) * self.height + center
        # Bare paper stands still, whatever the camera does: nothing on it could be seen to move.
        corners = np.repeat(np.array([[-1, 1, 1j]], dtype=complex), self.frames, axis=0)
        if background.kind in cel_background.PAINTERS:
            corners = corners * turn[:, None] + shift[:, None]
        paper = Paint(background.color, background.color, background.color, np.zeros(3))
        line_px = max(self.look.line_px * min(self.height, self.width) / LINE_REFERENCE_PX, 0.5)
        parts = [*background.parts, *figures]
        scene = Scene(parts, paper, corners * self.height + center, line_px=line_px, scale=SCALE)
        return Renderer(scene, self.height, self.width)

    def __len__(self) -> int:
        return self.frames

    def frame(self, i: int) -> Frame:
        """Frame `i`, 0 <= i < len(shot)."""
        paints = self._renderer.paint(self._check(i))
        self._surfaces[i] = surface = self._renderer.surface(i, paints)
        resolved = self._renderer.resolve(paints)
        color = resolved[..., :3].astype(np.float32) * np.float32(1 / 255)
        if self._noise is not None:
            color *= self._renderer.shading(i, surface, self._noise)[..., None]
        if self._painting is not None:
            paper = self._renderer.paper_coverage(paints)[..., None]
            color += paper * (self._paint_background(i) - self._renderer.scene.paints[0].fill.astype(np.float32))
        np.clip(color, 0, 1, out=color)
        lines = 1 - resolved[..., 3].astype(np.float32) / 255
        return Frame(
            color=torch.from_numpy(np.ascontiguousarray(color.transpose(2, 0, 1))),
            lines=torch.from_numpy(lines[None]),
            regions=torch.from_numpy(surface.region.astype(np.int32)),
        )

    def flow_px(self, i: int, j: int) -> Tensor:
        """(2, H, W) displacement in pixels from each pixel of frame `i` to the same point in frame `j`."""
        flow, _ = self._renderer.flow(self._surface(i), i, self._check(j))
        return torch.from_numpy(np.ascontiguousarray(flow.transpose(2, 0, 1)))

    def is_occluded(self, i: int, j: int) -> Tensor:
        """(H, W) bool: pixels of frame `i` that frame `j` does not show; borders of parts that move apart count too."""
        flow, stretch = self._renderer.flow(self._surface(i), i, self._check(j))
        back_flow, _ = self._renderer.flow(self._surface(j), j, i)
        return torch.from_numpy(find_occluded(self._surface(i), self._surface(j), flow, back_flow, stretch))

    def _surface(self, i: int) -> Surface:
        if i not in self._surfaces:
            self._surfaces[i] = self._renderer.surface(i, self._renderer.paint(self._check(i)))
        return self._surfaces[i]

    def _paint_background(self, i: int) -> np.ndarray:
        """(H, W, 3) of the painting under the camera."""
        assert self._painting is not None
        turn, shift = self.camera[0][i], self.camera[1][i] * self.height
        rows, cols = self._painting.shape[:2]
        middle = complex((cols - 1) / 2, (rows - 1) / 2)
        offset = complex((self.width - 1) / 2, (self.height - 1) / 2) + shift - turn * middle
        matrix = np.array([[turn.real, -turn.imag, offset.real], [turn.imag, turn.real, offset.imag]])
        size = (self.width, self.height)
        return cv2.warpAffine(self._painting, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)

    def _check(self, i: int) -> int:
        if not 0 <= i < self.frames:
            raise IndexError(f"frame {i} of a shot of {self.frames}")
        return i


def _make_noise(random: np.random.Generator) -> Array:
    """(256, 256) float32 of mean 0 that tiles, as a painted surface looks up close."""
    spots = np.pad(random.normal(size=(256, 256)).astype(np.float32), 32, mode="wrap")
    coarse = cv2.GaussianBlur(spots, (0, 0), 6)[32:-32, 32:-32]
    fine = cv2.GaussianBlur(spots, (0, 0), 1.5)[32:-32, 32:-32]
    return coarse / coarse.std() + 0.5 * fine / fine.std()
