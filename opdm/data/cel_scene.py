"""What a generated shot consists of: flat parts on small bendable meshes, painted one over the other.

All that is drawn on a part (outline, strokes, shadows, patterns) is bound to its mesh once; posing the mesh moves it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from opdm.data.cel_curves import Array, Complex

BASE, SHADOW, HIGHLIGHT, INK = range(4)
"""States of a paint; the paint map stores 4 * paint index + state."""


@dataclass(frozen=True, eq=False)
class Paint:
    """Colors of one painted region, each RGB in [0, 1]."""

    fill: Array
    shadow: Array
    highlight: Array
    ink: Array


@dataclass(eq=False)
class Stroke:
    """A line of ink; `width` is in multiples of the shot's line width, tapers are shares of its length."""

    points: Array
    width: float = 1.0
    closed: bool = False
    taper: tuple[float, float] = (0.0, 0.0)


@dataclass(eq=False)
class Patch:
    """A region of its own color inside a part, clipped to it."""

    outline: Array
    paint: Paint
    strokes: list[Stroke] = field(default_factory=list)


@dataclass(eq=False)
class Shade:
    """A shadow or highlight shape inside a part, clipped to it."""

    outline: Array
    state: int = SHADOW


@dataclass(eq=False)
class Part:
    """A flat shape in rest coordinates with a mesh of `rows` x `cols` lines; `pose` places the mesh's corners."""

    outline: Array
    """(N, 2) closed."""
    rows: Array
    cols: Array
    pose: Complex
    """(F, R * C) corners of the mesh in world units, x + iy, y down."""
    paint: Paint
    strokes: list[Stroke] = field(default_factory=list)
    patches: list[Patch] = field(default_factory=list)
    shades: list[Shade] = field(default_factory=list)
    clip_to: "Part | None" = None
    """Shown only where that part, or one that came between, is on top."""
    visible: np.ndarray | None = None
    """(F,) bool."""
    is_filled: bool = True
    gradient: tuple[float, float] = (0.0, 0.0)
    """Relative brightness gained per rest unit along x and y."""
    grain: float = 0.0
    """Strength of painted texture."""
    region_with: "Part | None" = None
    """An earlier part of the same surface, whose region this one continues."""


def mesh_lines(outline: Array, rows: int, cols: int, margin: float) -> tuple[Array, Array]:
    """Rows and columns of a mesh that covers an outline and a margin for its line."""
    low, high = outline.min(axis=0) - margin, outline.max(axis=0) + margin
    return np.linspace(low[1], high[1], rows + 1), np.linspace(low[0], high[0], cols + 1)


def corners(rows: Array, cols: Array) -> Complex:
    """(R * C,) rest positions x + iy of a mesh's corners, row by row."""
    return (cols[None, :] + 1j * rows[:, None]).ravel()


@dataclass(frozen=True, eq=False)
class Polygon:
    """A filled shape or stroke to draw: a range of the scene's points."""

    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class InkRun:
    """A range of points to join by a line of constant thickness, in supersampled pixels."""

    start: int
    stop: int
    thickness: int
    closed: bool
    is_inner: bool
    """Shown on its own part only."""


@dataclass(eq=False)
class PartPlan:
    """A part as the renderer draws it."""

    visible: np.ndarray | None
    first_paint: int
    last_paint: int
    clip_from: int
    """Lowest paint index it may cover; 0 = anything."""
    fill: Polygon | None
    patches: list[tuple[Polygon, int]]
    shades: list[tuple[Polygon, int]]
    ink: list[tuple[InkRun, int]]
    triangles: tuple[int, int]


class Scene:
    """All parts of a shot in drawing order, compiled to flat arrays; paint 0 and part 0 are the paper."""

    def __init__(self, parts: Sequence[Part], paper: Paint, paper_pose: Complex, *, line_px: float, scale: int):
        """`paper_pose` (F, 3) and the parts' poses are in pixels; `line_px` is the width of a stroke of width 1."""
        self.line_px, self.scale = line_px, scale
        self.paints, self.paint_part, self.paint_region = [paper], [0], [0]
        self.gradients, self.grains = [(0.0, 0.0)], [0.0]
        self._vertices, self._triangles, self._rest = [paper_pose], [np.array([[0, 1, 2]])], [np.zeros(3, complex)]
        self._corner: list[np.ndarray] = []
        self._weight: list[np.ndarray] = []
        self.triangle_part = [np.zeros(1, np.int32)]
        self._vertex_count, self._triangle_count, self._point_count = 3, 1, 0
        self.plans: list[PartPlan] = []
        first_paint_of: dict[int, int] = {}
        for part in parts:
            first_paint_of[id(part)] = len(self.paints)
            clip_from = first_paint_of[id(part.clip_to)] if part.clip_to is not None else 0
            same = part.region_with if part.is_filled else part.clip_to
            self.plans.append(self._plan(part, clip_from, 0 if same is None else first_paint_of[id(same)]))
        self.has_texture = any(self.grains) or any(gx or gy for gx, gy in self.gradients)
        self._finish()

    def _finish(self) -> None:
        joined = np.concatenate(self._vertices, axis=1)
        self.vertices = np.stack([joined.real, joined.imag], axis=-1).astype(np.float32)
        self.rest = np.concatenate(self._rest)
        self.triangles = np.concatenate(self._triangles)
        self.part_of_triangle = np.concatenate(self.triangle_part)
        self.point_corners = np.concatenate([np.zeros((0, 3), int), *self._corner])
        self.point_weights = np.concatenate([np.zeros((0, 3)), *self._weight]).astype(np.float32)[..., None]
        self.part_of_paint = np.array(self.paint_part, np.int32)
        self.region_of_paint = np.array(self.paint_region, np.int32)
        self.first_triangle_of_part = np.array([0, *(plan.triangles[0] for plan in self.plans)], np.int32)

    def _plan(self, part: Part, clip_from: int, same: int) -> PartPlan:
        index, first_paint = len(self.plans) + 1, len(self.paints)
        for k, paint in enumerate([part.paint, *(patch.paint for patch in part.patches)]):
            self.paint_part.append(index)
            # A bare stroke is no region of its own: what it is drawn on is.
            self.paint_region.append(self.paint_region[same] if same and not k else len(self.paints))
            self.paints.append(paint)
        self.gradients.append(part.gradient)
        self.grains.append(part.grain)
        offset = self._add_mesh(part, index)
        patches = [
            (self._bind(part, patch.outline, offset), first_paint + 1 + k) for k, patch in enumerate(part.patches)
        ]
        ink = []
        for k, patch in enumerate(part.patches):
            ink += self._ink(part, patch.strokes, offset, first_paint + 1 + k, is_inner=True)
        ink += self._ink(part, part.strokes, offset, first_paint, is_inner=False)
        return PartPlan(
            visible=part.visible,
            first_paint=first_paint,
            last_paint=len(self.paints) - 1,
            clip_from=clip_from,
            fill=self._bind(part, part.outline, offset) if part.is_filled else None,
            patches=patches,
            shades=[(self._bind(part, shade.outline, offset), shade.state) for shade in part.shades],
            ink=ink,
            triangles=(self._triangle_count - 2 * (len(part.rows) - 1) * (len(part.cols) - 1), self._triangle_count),
        )

    def _add_mesh(self, part: Part, index: int) -> int:
        offset, width = self._vertex_count, len(part.cols)
        top_left = (np.arange(len(part.rows) - 1)[:, None] * width + np.arange(width - 1)).reshape(-1, 1) + offset
        halves = np.array([[0, 1, width], [width + 1, width, 1]])
        triangles = (top_left[:, :, None] + halves).reshape(-1, 3)
        self._triangles.append(triangles)
        self.triangle_part.append(np.full(len(triangles), index, np.int32))
        self._vertices.append(part.pose)
        self._rest.append(corners(part.rows, part.cols))
        self._vertex_count += part.pose.shape[1]
        self._triangle_count += len(triangles)
        return offset

    def _bind(self, part: Part, points: Array, offset: int) -> Polygon:
        """Barycentric coordinates of rest points, extrapolated outside the mesh."""
        width = len(part.cols)
        col = np.clip(np.searchsorted(part.cols, points[:, 0], side="right") - 1, 0, width - 2)
        row = np.clip(np.searchsorted(part.rows, points[:, 1], side="right") - 1, 0, len(part.rows) - 2)
        u = (points[:, 0] - part.cols[col]) / (part.cols[col + 1] - part.cols[col])
        v = (points[:, 1] - part.rows[row]) / (part.rows[row + 1] - part.rows[row])
        corner = offset + row * width + col
        lower = u + v > 1
        at = np.where(lower, corner + width + 1, corner)
        across, down = np.where(lower, corner + width, corner + 1), np.where(lower, corner + 1, corner + width)
        along_u, along_v = np.where(lower, 1 - u, u), np.where(lower, 1 - v, v)
        self._corner.append(np.stack([at, across, down], axis=1))
        self._weight.append(np.stack([1 - along_u - along_v, along_u, along_v], axis=1))
        start, self._point_count = self._point_count, self._point_count + len(points)
        return Polygon(start, self._point_count)

    def _ink(
        self, part: Part, strokes: list[Stroke], offset: int, paint: int, *, is_inner: bool
    ) -> list[tuple[InkRun, int]]:
        runs = []
        for stroke in strokes:
            bound = self._bind(part, stroke.points, offset)
            thickness = self._thickness(stroke)
            if stroke.closed:
                runs.append((InkRun(bound.start, bound.stop, int(thickness[0]), True, is_inner), paint))
                continue
            # Consecutive segments of one thickness are one call.
            breaks = [0, *(np.flatnonzero(np.diff(thickness)) + 1), len(thickness)]
            for low, high in pairwise(breaks):
                run = InkRun(bound.start + low, bound.start + high + 1, int(thickness[low]), False, is_inner)
                runs.append((run, paint))
        return runs

    def _thickness(self, stroke: Stroke) -> np.ndarray:
        """Whole supersampled pixels for each segment of a stroke."""
        along = (np.arange(len(stroke.points) - 1) + 0.5) / max(len(stroke.points) - 1, 1)
        width = np.full(len(along), stroke.width * self.line_px)
        for taper, distance in zip(stroke.taper, (along, 1 - along), strict=True):
            if taper:
                width *= 0.25 + 0.75 * np.clip(distance / taper, 0, 1)
        return np.maximum(1, np.rint(width * self.scale)).astype(int)
