"""Curves in space (outlines of shapes) and in time (motion) that generated shots are made of."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]


def smooth(points: list[tuple[float, float]] | Array, per_segment: int = 5, *, closed: bool = True) -> Array:
    """Catmull-Rom curve through (N, 2) control points, `per_segment` points for each of them."""
    control = np.asarray(points, dtype=np.float64)
    if closed:
        around = [np.roll(control, shift, axis=0) for shift in (1, 0, -1, -2)]
    else:
        padded = np.concatenate([control[:1], control, control[-1:]])
        around = [padded[k : k + len(control) - 1] for k in range(4)]
    before, start, end, after = (corner[:, None] for corner in around)
    u = (np.arange(per_segment) / per_segment)[None, :, None]
    curve = start + 0.5 * u * (
        end - before + u * (2 * before - 5 * start + 4 * end - after + u * (3 * (start - end) + after - before))
    )
    curve = curve.reshape(-1, 2)
    return curve if closed else np.concatenate([curve, control[-1:]])


def polyline(points: list[tuple[float, float]] | Array, spacing: float, *, closed: bool = True) -> Array:
    """Corners joined by straight sides with a point about every `spacing`, so that the sides can bend later."""
    corners = np.asarray(points, dtype=np.float64)
    ends = np.roll(corners, -1, axis=0) if closed else corners[1:]
    pieces = []
    for start, end in zip(corners, ends, strict=False):
        count = max(1, int(np.ceil(np.linalg.norm(end - start) / spacing)))
        pieces.append(start + (end - start) * (np.arange(count) / count)[:, None])
    return np.concatenate(pieces if closed else [*pieces, corners[-1:]])


def ellipse(center: tuple[float, float], radius_x: float, radius_y: float, count: int = 24) -> Array:
    """(count, 2) points of an ellipse."""
    angle = 2 * np.pi * np.arange(count) / count
    return np.stack([center[0] + radius_x * np.cos(angle), center[1] + radius_y * np.sin(angle)], axis=1)


def key_poses(
    random: np.random.Generator, times: Array, low: float, high: float, interval: float, *, hold: float = 0.25
) -> Array:
    """A value at each of the `times` (frames): eased between random key values about `interval` frames apart."""
    steps = interval * random.uniform(0.7, 1.4, size=int(np.ptp(times) / (0.7 * interval)) + 3)
    at = times[0] - interval * random.random() + np.concatenate([[0.0], np.cumsum(steps)])
    values = random.uniform(low, high, size=len(at))
    held = random.random(len(at)) < hold
    for k in np.flatnonzero(held[1:]) + 1:
        values[k] = values[k - 1]
    return ease_between(times, at, values)


def ease_between(times: Array, at: Array, values: Array) -> Array:
    """Interpolate key values with slow starts and stops, as animators space their drawings."""
    k = np.clip(np.searchsorted(at, times, side="right") - 1, 0, len(at) - 2)
    u = np.clip((times - at[k]) / (at[k + 1] - at[k]), 0, 1)
    return values[k] + (values[k + 1] - values[k]) * u * u * (3 - 2 * u)


def follow(target: Array | Complex, stiffness: float, damping: float) -> Array | Complex:
    """A damped spring that chases `target` (T,) frame by frame: what hair and cloth do."""
    position, velocity = target[0], target[0] * 0
    trace = np.empty_like(target)
    for k, goal in enumerate(target):
        velocity = (velocity + stiffness * (goal - position)) * damping
        position = position + velocity
        trace[k] = position
    return trace
