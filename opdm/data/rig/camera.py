"""Where a clip is seen from: a camera that stands still and has the whole motion in view."""

from dataclasses import dataclass

import numpy as np

TAN_HALF_VIEW = 0.22
"""Tangent of half the field of view, 25 degrees: long enough not to distort a figure."""
FILLED = 0.92
"""Share of the frame that the motion fills."""
ELEVATIONS = (8.0, 2.0, 18.0, 5.0, 12.0)
"""Degrees from which the views look down, in turn."""
FIRST_AZIMUTH = 20.0
"""Degrees by which the first view is off the front."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera of square frames. Its axes are right, up and back, towards the eye."""

    eye: np.ndarray
    """(3,)"""
    axes: np.ndarray
    """(3, 3), one axis in each row."""
    size: int
    """Width and height of a frame in pixels."""
    extent: float
    """Diameter of what it sees, in world units: the scale of tolerances."""

    @property
    def focal_px(self) -> float:
        """Pixels per unit of slope."""
        return self.size / 2 / TAN_HALF_VIEW

    def project(self, points: np.ndarray) -> np.ndarray:
        """World (..., 3) to pixels (..., 2): x to the right, y down, the center of the first pixel is 0, 0."""
        right, up, back = np.moveaxis((points - self.eye) @ self.axes.T, -1, 0)
        center = (self.size - 1) / 2
        return np.stack([center - self.focal_px * right / back, center + self.focal_px * up / back], axis=-1)


def view_angles(view: int, views: int) -> tuple[float, float]:
    """Azimuth and elevation of a view in degrees: all around the character, the first one nearly from the front."""
    return (FIRST_AZIMUTH + 360 * view / views) % 360, ELEVATIONS[view % len(ELEVATIONS)]


def frame_motion(points: np.ndarray, azimuth: float, elevation: float, size: int) -> Camera:
    """The camera that looks from there and has all points (P, 3) in its frame, as near as can be.

    The front of a character is +Z, up is +Y (glTF 2.0, section 3.4). Angles in degrees.
    """
    turn, tilt = np.radians([azimuth, elevation])
    back = np.array([np.sin(turn) * np.cos(tilt), np.sin(tilt), np.cos(turn) * np.cos(tilt)])
    right = np.array([np.cos(turn), 0, -np.sin(turn)])
    axes = np.stack([right, np.cross(back, right), back])
    seen = points.astype(np.float64) @ axes.T
    low, high = seen.min(axis=0), seen.max(axis=0)
    extent = max(float(np.linalg.norm(high - low)), 1e-6)
    center = (low + high) / 2
    # A point at depth z, seen from distance d, stays inside if |x| <= slope (d - z).
    sideways = np.abs(seen - center)[:, :2].max(axis=1)
    distance = (sideways / (TAN_HALF_VIEW * FILLED) + seen[:, 2] - center[2]).max()
    eye = (center + np.array([0, 0, max(distance, extent * 0.6)])) @ axes
    return Camera(eye, axes, size, extent)
