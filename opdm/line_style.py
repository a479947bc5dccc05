"""Keyframe lines in the style of the drawings: what a style is, and the extractor that comes closest to it.

Motion is estimated between the lines of a drawing and those of a keyframe. Lines that differ in width, darkness or in
what they outline mislead it; for keyframes that came without a drawing, the difference is made small here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from opdm.flow import dense_inverse_search, encode_lines, flow_tensor
from opdm.frames import resize
from opdm.lines import Extractor, Inked, Pencil, XDoG, extract_lines
from opdm.warp import backward_warp

DEFAULT = XDoG()
"""Where there is nothing to go by."""
WINDOW = 384
"""Shorter side, in pixels, of the part of a large frame on which candidates are compared."""
ALIGNED_SIDE = 160
"""Shorter side, in pixels, at which they are aligned with the drawing."""


@dataclass(frozen=True, kw_only=True)
class LineStyle:
    """How a drawing is inked, whatever it shows."""

    density: float
    """Pixels of line per pixel of paper."""
    width_px: float
    """Of a typical line; filled blacks do not count."""
    darkness: float
    """Ink along the middle of the lines: 1 = black."""
    softness: float
    """Share of gray in the ink: 0 = only ink and paper."""
    mean_ink: float
    """Over the whole drawing, filled blacks too."""

    @property
    def is_blank(self) -> bool:
        """There are no lines to speak of."""
        return self.density < 1e-4


@dataclass(frozen=True)
class LinesLike:
    """An extractor whose lines are made as wide and as dark as those of a style."""

    extractor: Extractor
    style: LineStyle

    def __call__(self, frame: Tensor) -> Tensor:
        """Lines of (B, 3, H, W) frames in [0, 1]: (B, 1, H, W) in [0, 1], 1 = paper."""
        inks = [_restyle(_ink(lines), self.style) for lines in extract_lines(frame, self.extractor)]
        return torch.stack([torch.from_numpy(1 - ink)[None] for ink in inks]).to(frame.device)


def measure_style(lines: Tensor) -> LineStyle:
    """The style of a drawing (1, H, W) in [0, 1], 1 = paper. Raises ValueError for another shape."""
    if lines.ndim != 3 or lines.shape[0] != 1:
        raise ValueError(f"a drawing must be (1, H, W), got {tuple(lines.shape)}")
    return _measure(_ink(lines))


def extract_like(frame: Tensor, style: LineStyle, extractor: Extractor = DEFAULT) -> Tensor:
    """Lines of (B, 3, H, W) frames in [0, 1], as wide and as dark as those of a style: (B, 1, H, W)."""
    return LinesLike(extractor, style)(frame)


def choose_extractor(frames: Sequence[Tensor], drawings: Sequence[Tensor]) -> Extractor:
    """The extractor whose lines of painted frames agree best with drawings of the same shot.

    frames: (3, H, W) each; drawings: one (1, H, W) for each frame, of a moment close to it and of its size. Two pairs
    tell as much as many. Each candidate is given the drawings' width and darkness, is aligned with the drawing (the
    figures have moved), and the blurred inks are correlated. Raises ValueError for unequal numbers or sizes.
    """
    if not frames or len(frames) != len(drawings):
        raise ValueError(f"{len(frames)} frames and {len(drawings)} drawings; each frame needs one drawing")
    if any(frame.shape[1:] != drawing.shape[1:] for frame, drawing in zip(frames, drawings, strict=True)):
        raise ValueError("each frame must have the size of its drawing")
    pairs = [busiest_window(frame, drawing) for frame, drawing in zip(frames, drawings, strict=True)]
    style = _mean([measure_style(drawing) for _, drawing in pairs])
    if style.is_blank:
        return DEFAULT
    fitted = [LinesLike(extractor, style) for extractor in candidates(style)]
    return max(fitted, key=lambda like: sum(_agreement(like, *pair) for pair in pairs))


def candidates(style: LineStyle) -> list[Extractor]:
    """What is tried for drawings of a style: crisp and soft, with and without edges of fills, at several widths."""
    # A frame may be inked more thinly than its drawing, but hardly ever more boldly: the finest are always tried.
    scale = max(1, style.width_px / 3)
    fills_from_px = 2 * round(4 * scale) + 1
    return [
        DEFAULT,
        XDoG(sigma_px=0.4),
        XDoG(sigma_px=scale),
        XDoG(sigma_px=1.5 * scale),
        Pencil(),
        Pencil(sigma_px=1.3 * scale),
        Inked(fills_from_px=5, threshold=0.3, strength=4),
        Inked(fills_from_px=fills_from_px),
        Inked(fills_from_px=fills_from_px, threshold=0.3, strength=4),
    ]


def widen(ink: np.ndarray, by_px: float) -> np.ndarray:
    """Ink (H, W) in [0, 1] whose lines are wider (or, by less than 0, thinner) on either side; fractions count.

    At most one pixel thinner, so that lines do not break, and three wider, so that they do not merge; crisp lines of
    one or two pixels cannot get thinner, they fade.
    """
    by_px = min(max(by_px, -1.0), 3.0)
    change = cv2.dilate if by_px > 0 else cv2.erode
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    whole, part = divmod(abs(by_px), 1)
    ink = change(ink, cross, iterations=int(whole)) if whole else ink
    return cv2.addWeighted(ink, 1 - part, change(ink, cross), part, 0)


def _ink(lines: Tensor) -> np.ndarray:
    return 1 - lines[0].detach().float().cpu().numpy()


def _measure(ink: np.ndarray) -> LineStyle:
    """A line of width w and darkness d has, per pixel of its length, ink w * d, and contrast d on either side."""
    lines = _without_blacks(ink)
    # The gradient at each pixel from its two later neighbors: an ink of one pixel still has both its sides.
    across = np.diff(lines, axis=1, append=lines[:, -1:])
    down = np.diff(lines, axis=0, append=lines[-1:])
    contrast = cv2.magnitude(across, down).mean() / 2
    is_middle = (lines >= cv2.dilate(lines, np.ones((3, 3), np.uint8))) & (lines > 0.05)
    middle = lines[is_middle]
    darkness = float((middle**2).sum() / max(middle.sum(), 1e-6))
    return LineStyle(
        density=float(contrast / max(darkness, 0.05)),
        width_px=float(lines.mean() / max(contrast, 1e-6)),
        darkness=darkness,
        softness=float((4 * lines**2 * (1 - lines)).sum() / max(lines.sum(), 1e-6)),
        mean_ink=float(ink.mean()),
    )


def _without_blacks(ink: np.ndarray) -> np.ndarray:
    """Ink narrower than a twentieth of the drawing; wider ones are filled areas."""
    widest_px = 2 * round(max(min(ink.shape) / 40, 4)) + 1
    kernel = np.ones((widest_px, widest_px), np.uint8)
    return cv2.morphologyEx(ink, cv2.MORPH_TOPHAT, kernel, borderType=cv2.BORDER_REPLICATE)


def _mean(styles: list[LineStyle]) -> LineStyle:
    inked = [style for style in styles if not style.is_blank] or styles
    return LineStyle(**{name: float(np.mean([getattr(s, name) for s in inked])) for name in vars(inked[0])})


def _restyle(ink: np.ndarray, style: LineStyle) -> np.ndarray:
    """The same lines at the width of a style, then at its darkness."""
    ink = widen(ink, (style.width_px - _measure(ink).width_px) / 2)
    darkness = _measure(ink).darkness
    return np.clip(ink * (style.darkness / max(darkness, 0.05)), 0, 1)


def busiest_window(frame: Tensor, drawing: Tensor) -> tuple[Tensor, Tensor]:
    """The part of both, at most `WINDOW` pixels on its shorter side, where the drawing has most ink."""
    height, width = drawing.shape[1:]
    share = min(1, WINDOW / min(height, width))
    rows, columns = round(height * share), round(width * share)
    total = cv2.integral(_ink(drawing))
    inside = total[rows:, columns:] - total[rows:, :-columns] - total[:-rows, columns:] + total[:-rows, :-columns]
    top, left = np.unravel_index(inside.argmax(), inside.shape)
    window = np.s_[:, top : top + rows, left : left + columns]
    return frame[window], drawing[window]


def _agreement(extractor: Extractor, frame: Tensor, drawing: Tensor) -> float:
    """Correlation, -1 to 1, of the drawing with the extracted lines, moved to where the drawing has them."""
    drawn, extracted = _shrink(drawing), _shrink(extractor(frame[None])[0])
    flow = flow_tensor([dense_inverse_search(encode_lines(drawn)[0], encode_lines(extracted)[0])])
    moved = backward_warp(extracted[None], flow)[0]
    return _correlate(*(cv2.GaussianBlur(_ink(lines), (0, 0), 0.7) for lines in (drawn, moved)))


def _shrink(lines: Tensor) -> Tensor:
    height, width = lines.shape[1:]
    scale = min(1, ALIGNED_SIDE / min(height, width))
    return resize(lines, (round(height * scale), round(width * scale)))


def _correlate(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one - one.mean(), other - other.mean()
    return float((one * other).sum() / max(np.linalg.norm(one) * np.linalg.norm(other), 1e-6))
