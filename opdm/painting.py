"""Painting a shot: reads drawings one by one, asks the pipeline for their colors, returns frames of their own size."""

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from opdm.compositing import Composite, compose
from opdm.errors import InputError
from opdm.frames import FrameError, frame_size, pad_to_multiple, read_frame, read_lines, resize
from opdm.lines import extract_lines
from opdm.shot import Drawing, Keyframe, Shot, normal_stem

SMALLEST_SIZE, LARGEST_SIZE = 32, 4096
"""Limits of the working resolution's shorter side, in pixels."""
SMALLEST_SIDE = 8
"""Of a drawing, in pixels: below, there is nothing to see."""
KEPT_KEYFRAMES = 4
"""Keyframes in memory at once: a batch looks at two, and the next one mostly at the same."""

Size = tuple[int, int]
"""Height and width, in pixels."""


class Pipeline(Protocol):
    """What painting needs of `OPDMPipeline`."""

    @property
    def references(self) -> int:
        """Keyframes per drawing, 1 or 2."""

    @property
    def size_multiple(self) -> int:
        """What height and width must be multiples of."""

    @property
    def default_size(self) -> int:
        """The shorter side, in pixels, that the model works at."""

    def __call__(
        self,
        lines: Tensor,
        keyframes: Tensor,
        keyframe_lines: Tensor | None,
        *,
        seeds: list[int],
        num_inference_steps: int | None,
    ) -> Any:
        """An object whose `frames` are the painted (B, 3, H, W), in [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to paint."""

    size: int | None = None
    """Shorter side of the working resolution in pixels; None is the model's own. Drawings are never enlarged."""
    steps: int | None = None
    """Sampling steps; None is the model's own number."""
    seed: int = 0
    batch_size: int = 1


@dataclass(frozen=True)
class Painted:
    """A drawing and its finished frame."""

    drawing: Drawing
    composite: Composite
    was_inverted: bool
    """The drawing had light lines on a dark ground."""


@dataclass(frozen=True)
class Failed:
    """A drawing that could not be used."""

    path: Path
    reason: str
    """One line that names the file."""


@dataclass(frozen=True)
class _Prepared:
    """A drawing that was read, waiting for its batch."""

    drawing: Drawing
    lines: Tensor  # (1, H, W) of the file
    was_inverted: bool
    size: Size  # working size, before padding


def check_shot(shot: Shot) -> list[Failed]:
    """Read the keyframes through, and the heads of the drawings, before anything is painted.

    Returns the keyframes' own drawings that cannot be used; their lines will be extracted instead. Raises FrameError
    for a keyframe that cannot be read or has another aspect ratio than the drawings, and when no drawing can be read.
    """
    size = usual_size(shot.drawings)
    unusable = []
    for keyframe in shot.keyframes:
        check_aspect(keyframe.path, read_frame(keyframe.path), size)
        try:
            read_own_lines(keyframe, size)
        except FrameError as error:
            unusable.append(Failed(keyframe.lines or keyframe.path, str(error)))
    return unusable


def usual_size(drawings: Sequence[Drawing]) -> Size:
    """The size that most drawings have. Raises the first one's FrameError when none can be read."""
    sizes: Counter[Size] = Counter()
    first_error = None
    for drawing in drawings:
        try:
            sizes[frame_size(drawing.path)] += 1
        except FrameError as error:
            first_error = first_error or error
    if not sizes:
        raise first_error or FrameError("no drawings; give at least one")
    return sizes.most_common(1)[0][0]


def check_aspect(path: Path, image: Tensor, size: Size) -> None:
    """Raise FrameError unless the image (C, H, W) has the aspect ratio of `size`, within a pixel."""
    height, width = image.shape[-2:]
    shortest = min(height, width, *size)
    if abs((width * size[0]) / (height * size[1]) - 1) > 1.01 / shortest:
        raise FrameError(
            f"{path}: {width} x {height} pixels, another aspect ratio than the drawings' {size[1]} x {size[0]}; "
            "crop it or export it again"
        )


def read_own_lines(keyframe: Keyframe, size: Size) -> Tensor | None:
    """The keyframe's own drawing (1, H, W), or None where it has none. Raises FrameError."""
    if keyframe.lines is None:
        return None
    lines = read_lines(keyframe.lines).lines
    check_aspect(keyframe.lines, lines, size)
    return lines


def check_settings(settings: Settings, pipeline: Pipeline) -> None:
    """Raise InputError for a working resolution that the model cannot take."""
    smallest = max(SMALLEST_SIZE, pipeline.size_multiple)
    if settings.size is not None and not smallest <= settings.size <= LARGEST_SIZE:
        raise InputError(
            f"--size {settings.size}: the working resolution's shorter side is {smallest} to {LARGEST_SIZE} pixels; "
            f"the model was trained for {pipeline.default_size}"
        )


def paint(
    shot: Shot, drawings: Iterable[Drawing], pipeline: Pipeline, settings: Settings
) -> Iterator[Painted | Failed]:
    """Paint drawings of a shot, in order; what cannot be read comes back as `Failed`, and the others are painted.

    Holds one batch at a time, however long the shot is. Raises InputError for settings that the model cannot take.
    """
    check_settings(settings, pipeline)
    keyframes = KeyframeReader(pipeline.size_multiple)
    size = usual_size(shot.drawings)
    batch: list[_Prepared] = []
    for drawing in drawings:
        try:
            prepared = prepare(drawing, size, settings.size or pipeline.default_size)
        except FrameError as error:
            yield Failed(drawing.path, str(error))
            continue
        if batch and (len(batch) == settings.batch_size or batch[0].size != prepared.size):
            yield from paint_batch(batch, keyframes, pipeline, settings)
            batch = []
        batch.append(prepared)
    if batch:
        yield from paint_batch(batch, keyframes, pipeline, settings)


def prepare(drawing: Drawing, usual: Size, shorter_side: int) -> _Prepared:
    """Read a drawing and choose its working size. Raises FrameError."""
    art = read_lines(drawing.path)
    check_aspect(drawing.path, art.lines, usual)
    height, width = art.lines.shape[-2:]
    if min(height, width) < SMALLEST_SIDE:
        raise FrameError(f"{drawing.path}: {width} x {height} pixels; drawings have at least {SMALLEST_SIDE} a side")
    scale = min(1, shorter_side / min(height, width))
    return _Prepared(drawing, art.lines, art.was_inverted, (round(height * scale), round(width * scale)))


def paint_batch(
    batch: list[_Prepared], keyframes: "KeyframeReader", pipeline: Pipeline, settings: Settings
) -> Iterator[Painted | Failed]:
    """Paint drawings of one working size."""
    height, width = batch[0].size
    shrunk = [resize(prepared.lines, prepared.size) for prepared in batch]
    lines = torch.stack([pad_to_multiple(drawing, pipeline.size_multiple, value=1) for drawing in shrunk])
    given = [
        [keyframes.read(keyframe, prepared.size) for keyframe in prepared.drawing.references(pipeline.references)]
        for prepared in batch
    ]
    paints = pipeline(
        lines,  # (B, 1, h, w)
        torch.stack([torch.stack([color for color, _ in references]) for references in given]),  # (B, K, 3, h, w)
        torch.stack([torch.stack([drawn for _, drawn in references]) for references in given]),  # (B, K, 1, h, w)
        seeds=[drawing_seed(settings.seed, prepared.drawing.path) for prepared in batch],
        num_inference_steps=settings.steps,
    ).frames[..., :height, :width]  # (B, 3, h, w)
    for prepared, painting in zip(batch, paints, strict=True):
        if painting.isfinite().all():
            yield Painted(prepared.drawing, compose(painting, prepared.lines), prepared.was_inverted)
        else:
            path = prepared.drawing.path
            yield Failed(path, f"{path}: the model's numbers overflowed; paint with --dtype float32")


def drawing_seed(seed: int, path: Path) -> int:
    """The seed of one drawing: from the run's seed and its name, so that the other drawings do not matter."""
    digest = hashlib.sha256(f"{seed}/{normal_stem(path)}".encode(errors="surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class KeyframeReader:
    """Keyframes and their lines at the working size, padded; the last few are kept."""

    def __init__(self, size_multiple: int):
        self.size_multiple = size_multiple
        self._kept: OrderedDict[tuple[Path, Size], tuple[Tensor, Tensor]] = OrderedDict()

    def read(self, keyframe: Keyframe, size: Size) -> tuple[Tensor, Tensor]:
        """Color (3, h, w) and lines (1, h, w), the keyframe's own or extracted ones. Raises FrameError."""
        key = keyframe.path, size
        if key not in self._kept:
            self._kept[key] = self._prepare(keyframe, size)
        self._kept.move_to_end(key)
        if len(self._kept) > KEPT_KEYFRAMES:
            self._kept.popitem(last=False)
        return self._kept[key]

    def _prepare(self, keyframe: Keyframe, size: Size) -> tuple[Tensor, Tensor]:
        color = resize(read_frame(keyframe.path), size)
        try:
            own = read_own_lines(keyframe, size)
        except FrameError:  # reported by check_shot
            own = None
        lines = extract_lines(color[None])[0] if own is None else resize(own, size)
        return pad_to_multiple(color, self.size_multiple), pad_to_multiple(lines, self.size_multiple, value=1)
