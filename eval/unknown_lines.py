"""Line extractors that `opdm` knows nothing of: for how it fares with the drawings of somebody else's.

Those of `opdm.lines` are also what it looks for in drawings whose keyframes come without their own; scores with them
say nothing about any others.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Draw = Callable[[np.ndarray], np.ndarray]
"""Lines (H, W) in [0, 1] of a gray image (H, W) in [0, 1], float32."""


def darker(gray: np.ndarray) -> np.ndarray:
    """Gray strokes: a difference of Gaussians of lightness alone."""
    import cv2

    contrast = cv2.GaussianBlur(gray, (0, 0), 0.9) - 0.99 * cv2.GaussianBlur(gray, (0, 0), 1.6)
    return np.clip(1 + 8 * np.minimum(contrast + 0.01, 0), 0, 1)


def adaptive(gray: np.ndarray) -> np.ndarray:
    """Black or white: the adaptive threshold that every image library has."""
    import cv2

    image = cv2.GaussianBlur(np.rint(gray * 255).astype(np.uint8), (3, 3), 0)
    ink = cv2.adaptiveThreshold(image, 255, cv2.ADAPTIVE_THRESH_GAUSSIAN_C, cv2.THRESH_BINARY, 9, 6)
    return ink.astype(np.float32) / 255


def dodge(gray: np.ndarray) -> np.ndarray:
    """What a photo becomes in a drawing program: its color dodged by its own brighter copy."""
    import cv2

    brighter = cv2.GaussianBlur(cv2.dilate(gray, np.ones((5, 5), np.uint8)), (0, 0), 1)
    return np.clip(gray / (brighter + 1 / 255), 0, 1) ** 1.5


def slope(gray: np.ndarray) -> np.ndarray:
    """Edges, as gray as they are steep."""
    import cv2

    blurred = cv2.GaussianBlur(gray, (0, 0), 1)
    across, down = cv2.Sobel(blurred, cv2.CV_32F, 1, 0), cv2.Sobel(blurred, cv2.CV_32F, 0, 1)
    return np.clip(1 - 0.625 * np.sqrt(across**2 + down**2), 0, 1)


UNKNOWN: dict[str, Draw] = {"darker": darker, "adaptive": adaptive, "dodge": dodge, "slope": slope}


def draw_unknown(frame: "Tensor", name: str) -> "Tensor":
    """Lines (1, H, W) of a frame (3, H, W), in [0, 1], by the extractor of a name."""
    import cv2
    import torch

    image = np.ascontiguousarray(frame.permute(1, 2, 0).numpy())
    lines = UNKNOWN[name](cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    return torch.from_numpy(lines.astype(np.float32))[None]
