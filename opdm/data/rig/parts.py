"""Connected pieces of a mesh."""

from collections.abc import Sequence

import numpy as np


def number_parts(positions: np.ndarray, triangles: np.ndarray, surface_sizes: Sequence[int]) -> np.ndarray:
    """The number of each vertex's part, (V,) from 0 without a gap: what hangs together in one surface.

    Vertices at one place are one, as seams of textures and creases part them in files. `surface_sizes` are the numbers
    of vertices of the surfaces, in order.
    """
    surface = np.repeat(np.arange(len(surface_sizes)), surface_sizes)
    extent = float(np.ptp(positions, axis=0).max()) or 1.0
    places = np.round(positions / extent * 1e5).astype(np.int64)
    welded = np.unique(np.column_stack([surface, places]), axis=0, return_inverse=True)[1].reshape(-1)
    corners = welded[triangles]
    labels = np.arange(welded.max() + 1)
    while True:
        lowest = labels[corners].min(axis=1)
        lower = labels.copy()
        # Both the vertices of a triangle and those that they point to take the lowest label.
        for corner in range(3):
            np.minimum.at(lower, corners[:, corner], lowest)
            np.minimum.at(lower, labels[corners[:, corner]], lowest)
        lower = lower[lower]
        if np.array_equal(lower, labels):
            return np.unique(labels[welded], return_inverse=True)[1].reshape(-1)
        labels = lower
