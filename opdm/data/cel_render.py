"""Draws the frames of a scene, and says exactly where each of their pixels is in any other frame."""

from dataclasses import dataclass

import cv2
import numpy as np

from opdm.data.cel_scene import BASE, INK, InkRun, PartPlan, Polygon, Scene

SHIFT = 4
"""Bits of the fraction in coordinates given to OpenCV."""
FAR = 2**14
"""Nothing is drawn farther outside than this, in supersampled pixels: OpenCV's fixed point overflows."""

LARGEST_STRETCH = 1.5
"""What is lengthened or shortened more than this counts as not shown: it is seen edge-on in one of two frames."""


@dataclass(frozen=True, eq=False)
class Surface:
    """What the pixels of a frame show; all are (H, W)."""

    part: np.ndarray
    region: np.ndarray
    triangle: np.ndarray
    is_mixed: np.ndarray
    """More than one part in the pixel."""


class Canvas:
    """Paints one frame into a supersampled map of paints, back to front."""

    def __init__(self, scene: Scene, index: int, height: int, width: int):
        self.scene, self.index, scale = scene, index, scene.scale
        self.paints = np.zeros((height * scale, width * scale), np.uint16)
        self.mask = np.zeros(self.paints.shape, np.uint8)
        vertices = scene.vertices[index]
        points = (vertices[scene.point_corners] * scene.point_weights).sum(axis=1)
        points = np.clip((points + 0.5) * scale - 0.5, -FAR, FAR)
        self.points = np.rint(points * 2**SHIFT).astype(np.int32)
        for plan in scene.plans:
            if plan.visible is None or plan.visible[index]:
                self._paint(plan)

    def _paint(self, plan: PartPlan) -> None:
        if plan.fill is not None:
            self._fill(plan, plan.fill, 4 * plan.first_paint)
        for shape, paint in plan.patches:
            self._cover(shape, (4 * plan.first_paint, 4 * plan.last_paint + 3), paint=4 * paint)
        for shape, state in plan.shades:
            self._cover(shape, (4 * plan.first_paint, 4 * plan.last_paint + 3), state=state)
        for run, paint in plan.ink:
            self._line(plan, run, 4 * paint + INK)

    def _fill(self, plan: PartPlan, shape: Polygon, paint: int) -> None:
        if plan.clip_from:
            self._cover(shape, (4 * plan.clip_from, 4 * plan.last_paint + 3), paint=paint)
        else:
            cv2.fillPoly(self.paints, [self.points[shape.start : shape.stop]], paint, shift=SHIFT)

    def _line(self, plan: PartPlan, run: InkRun, paint: int) -> None:
        points = [self.points[run.start : run.stop]]
        lowest = plan.clip_from or (plan.first_paint if run.is_inner else 0)
        if not lowest:
            cv2.polylines(self.paints, points, run.closed, paint, run.thickness, shift=SHIFT)
            return
        window = self._window(points[0], run.thickness)
        if window is None:
            return
        mask = self.mask[window]
        mask.fill(0)
        corner = (window[1].start, window[0].start)
        shifted = points[0] - np.array(corner, np.int32) * 2**SHIFT
        cv2.polylines(mask, [shifted], run.closed, 1, run.thickness, shift=SHIFT)
        self._put(window, mask, (4 * lowest, 4 * plan.last_paint + 3), paint=paint)

    def _cover(self, shape: Polygon, within: tuple[int, int], *, paint: int | None = None, state: int = BASE) -> None:
        """Fill a shape where paints `within` are: by a paint, or by another state of what is there."""
        points = self.points[shape.start : shape.stop]
        window = self._window(points, 1)
        if window is None:
            return
        mask = self.mask[window]
        mask.fill(0)
        shifted = points - np.array((window[1].start, window[0].start), np.int32) * 2**SHIFT
        cv2.fillPoly(mask, [shifted], 1, shift=SHIFT)
        self._put(window, mask, within, paint=paint, state=state)

    def _put(
        self,
        window: tuple[slice, slice],
        mask: np.ndarray,
        within: tuple[int, int],
        *,
        paint: int | None,
        state: int = 0,
    ) -> None:
        below = self.paints[window]
        where = cv2.bitwise_and(cv2.inRange(below, within[0], within[1]), mask).view(bool)
        if paint is not None:
            np.copyto(below, np.uint16(paint), where=where)
        elif within[1] - within[0] == 3:
            np.copyto(below, np.uint16(within[0] + state), where=where)
        else:
            np.copyto(below, (below & np.uint16(0xFFFC)) | np.uint16(state), where=where)

    def _window(self, points: np.ndarray, margin: int) -> tuple[slice, slice] | None:
        """The part of the canvas that a shape touches, or None."""
        left, top = (points.min(axis=0) >> SHIFT) - margin
        right, bottom = (points.max(axis=0) >> SHIFT) + margin + 2
        left, top = max(int(left), 0), max(int(top), 0)
        right, bottom = min(int(right), self.paints.shape[1]), min(int(bottom), self.paints.shape[0])
        return (slice(top, bottom), slice(left, right)) if left < right and top < bottom else None


class Renderer:
    """Frames of a scene at one size; a pure function of the frame's index."""

    def __init__(self, scene: Scene, height: int, width: int):
        self.scene, self.height, self.width = scene, height, width
        colors = np.array([[p.fill, p.shadow, p.highlight, p.ink] for p in scene.paints]).reshape(-1, 3)
        packed = np.zeros((len(colors), 4), np.uint8)
        packed[:, :3] = np.rint(np.clip(colors, 0, 1) * 255)
        packed[INK::4, 3] = 255
        self.palette = packed.view(np.uint32).ravel()
        y, x = np.mgrid[:height, :width].astype(np.float32)
        self.x, self.y = x, y

    def paint(self, index: int) -> np.ndarray:
        """The supersampled (H * scale, W * scale) map of paints."""
        return Canvas(self.scene, index, self.height, self.width).paints

    def resolve(self, paints: np.ndarray) -> np.ndarray:
        """(H, W, 4) uint8: averaged color, and the coverage of ink."""
        colors = self.palette[paints].view(np.uint8).reshape(*paints.shape, 4)
        return self._shrink(colors)

    def _shrink(self, image: np.ndarray) -> np.ndarray:
        """Average over somewhat more than a pixel: as soft as footage, so that resampling it loses little."""
        half = cv2.resize(image, (2 * self.width, 2 * self.height), interpolation=cv2.INTER_AREA)
        half = cv2.blur(half, (2, 2), borderType=cv2.BORDER_REPLICATE, anchor=(0, 0))
        half = cv2.blur(half, (2, 2), borderType=cv2.BORDER_REPLICATE, anchor=(1, 1))
        return cv2.resize(half, (self.width, self.height), interpolation=cv2.INTER_AREA)

    def paper_coverage(self, paints: np.ndarray) -> np.ndarray:
        """(H, W) float32 share of each pixel that shows the paper."""
        bare = cv2.inRange(paints, 0, 2)
        return self._shrink(bare).astype(np.float32) / 255

    def surface(self, index: int, paints: np.ndarray) -> Surface:
        """What each pixel's center shows."""
        scene, scale = self.scene, self.scene.scale
        seen = paints[scale // 2 :: scale, scale // 2 :: scale] >> 2
        part = scene.part_of_paint[seen]
        is_mixed = np.zeros(part.shape, bool)
        for top, left in ((0, 0), (0, scale - 1), (scale - 1, 0), (scale - 1, scale - 1)):
            is_mixed |= scene.part_of_paint[paints[top::scale, left::scale] >> 2] != part
        return Surface(part, scene.region_of_paint[seen], self._triangle_map(index, part), is_mixed)

    def _triangle_map(self, index: int, part: np.ndarray) -> np.ndarray:
        scene, scratch = self.scene, np.zeros(part.shape, np.int32)
        corners = scene.vertices[index][scene.triangles]
        drawn = np.rint(np.clip(corners, -FAR, FAR) * 2**SHIFT).astype(np.int32)
        triangle_map = scene.first_triangle_of_part[part]
        present = np.flatnonzero(np.bincount(part.ravel(), minlength=len(scene.plans) + 1))
        for k in present:
            first, last = scene.plans[k - 1].triangles if k else (0, 1)
            if last - first <= 2:
                continue
            low = np.floor(corners[first:last].min(axis=(0, 1))).astype(int) - 2
            high = np.ceil(corners[first:last].max(axis=(0, 1))).astype(int) + 3
            window = np.s_[max(low[1], 0) : max(high[1], 0), max(low[0], 0) : max(high[0], 0)]
            scratch[window] = first
            for t in range(first, last):
                cv2.fillConvexPoly(scratch, drawn[t], t, shift=SHIFT)
            np.copyto(triangle_map[window], scratch[window], where=part[window] == k)
        return triangle_map

    def flow(self, source: Surface, i: int, j: int) -> tuple[np.ndarray, np.ndarray]:
        """(H, W, 2) displacement of frame i's pixels in frame j, and how much that stretches them."""
        maps, stretch = affine_between(self.scene.vertices[i], self.scene.vertices[j], self.scene.triangles)
        at = maps[source.triangle]
        flow = at[..., 2].copy()
        flow += at[..., 0] * self.x[..., None]
        flow += at[..., 1] * self.y[..., None]
        return flow, stretch[source.triangle]

    def shading(self, index: int, surface: Surface, noise: np.ndarray) -> np.ndarray:
        """(H, W) brightness factors of gradients and painted grain, which move with the parts."""
        scene = self.scene
        rest = np.stack([scene.rest.real, scene.rest.imag], axis=-1).astype(np.float32)
        maps, _ = affine_between(scene.vertices[index], rest, scene.triangles)
        at = maps[surface.triangle]
        u = at[..., 0, 2] + at[..., 0, 0] * self.x + at[..., 0, 1] * self.y + self.x
        v = at[..., 1, 2] + at[..., 1, 0] * self.x + at[..., 1, 1] * self.y + self.y
        gradient = np.array(scene.gradients, np.float32)[surface.part]
        grain = np.array(scene.grains, np.float32)[surface.part]
        size = noise.shape[0]
        # Rest units are of the order of a head; 48 noise pixels to each.
        at_u, at_v = np.mod(u * 48, size), np.mod(v * 48, size)
        grained = cv2.remap(noise, at_u, at_v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        factor = 1 + np.clip(gradient[..., 0] * u + gradient[..., 1] * v, -0.35, 0.35) + grain * grained
        return np.where(surface.part > 0, factor, 1).astype(np.float32)


def affine_between(source: np.ndarray, target: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Displacement (T, 2, 3), times [x, y, 1], that takes each source triangle to its target; and its `stretch_of`."""
    a, b, c = (source[triangles[:, k]].astype(np.float64) for k in range(3))
    p, q, r = (target[triangles[:, k]].astype(np.float64) for k in range(3))
    source_edges, target_edges = np.stack([b - a, c - a], axis=-1), np.stack([q - p, r - p], axis=-1)
    area = source_edges[:, 0, 0] * source_edges[:, 1, 1] - source_edges[:, 0, 1] * source_edges[:, 1, 0]
    # A triangle seen edge-on shows nothing; any finite map will do for it.
    is_flat = np.abs(area) < 1e-2
    area = np.where(is_flat, 1.0, area)
    inverse = np.empty_like(source_edges)
    inverse[:, 0, 0], inverse[:, 1, 1] = source_edges[:, 1, 1] / area, source_edges[:, 0, 0] / area
    inverse[:, 0, 1], inverse[:, 1, 0] = -source_edges[:, 0, 1] / area, -source_edges[:, 1, 0] / area
    linear = np.where(is_flat[:, None, None], np.eye(2), target_edges @ inverse)
    offset = p - (linear @ a[..., None])[..., 0]
    return np.concatenate([linear - np.eye(2), offset[..., None]], axis=-1).astype(np.float32), stretch_of(linear)


def stretch_of(linear: np.ndarray) -> np.ndarray:
    """(T,) factor, at least 1, by which (T, 2, 2) maps lengthen or shorten the direction they change most."""
    a, b, c, d = linear[:, 0, 0], linear[:, 0, 1], linear[:, 1, 0], linear[:, 1, 1]
    turned, mirrored = np.hypot(a + d, c - b) / 2, np.hypot(a - d, c + b) / 2
    return np.maximum(turned + mirrored, 1 / np.maximum(np.abs(turned - mirrored), 1e-3))


def find_occluded(
    source: Surface, target: Surface, flow: np.ndarray, back_flow: np.ndarray, stretch: np.ndarray
) -> np.ndarray:
    """(H, W) bool: pixels of `source` that `target` does not show, borders between moving parts included.

    `flow` leads from source to target, `back_flow` from target to source; both (H, W, 2).
    """
    height, width = source.part.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    to_x, to_y = x + flow[..., 0], y + flow[..., 1]
    rounding = 1e-3
    occluded = (np.minimum(to_x, to_y) < -rounding) | (to_x > width - 1 + rounding) | (to_y > height - 1 + rounding)
    # What is seen edge-on in one of the frames cannot be recognized in the other.
    occluded |= stretch > LARGEST_STRETCH
    at_x, at_y = np.clip(to_x, 0, width - 1), np.clip(to_y, 0, height - 1)
    nearest = np.rint(at_y).astype(np.int64) * width + np.rint(at_x).astype(np.int64)
    parts = target.part.ravel()
    occluded |= (parts[nearest] != source.part) | (target.region.ravel()[nearest] != source.region)
    # Near a border a pixel mixes two parts, here or where it is looked up; harmless only where both move alike.
    is_torn, is_torn_there = _is_torn(flow), _is_torn(back_flow).ravel()
    occluded |= source.is_mixed & is_torn
    is_blurred = target.is_mixed.ravel() & is_torn_there
    left, top = np.floor(at_x).astype(np.int64), np.floor(at_y).astype(np.int64)
    for down in (0, 1):
        for right in (0, 1):
            k = np.minimum(top + down, height - 1) * width + np.minimum(left + right, width - 1)
            occluded |= is_blurred[k] | ((parts[k] != source.part) & is_torn_there[k])
    return occluded


def _is_torn(flow: np.ndarray) -> np.ndarray:
    """(H, W) bool: the neighbors of a pixel do not move as it does."""
    square = np.ones((3, 3), np.uint8)
    return (cv2.dilate(flow, square) - cv2.erode(flow, square)).max(axis=-1) > 0.08
