"""Painting a shot: reads drawings one by one, asks the pipeline for their colors, returns frames of their own size."""

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import torch
from torch import Tensor

from opdm.backdrop import hide_backdrop
from opdm.compositing import compose
from opdm.errors import InputError
from opdm.exact_fill import AreaPaint, collect_palette, fill_exactly, leave_as_painted
from opdm.flow import TRACKING_SIDE, track_px
from opdm.frames import FrameError, frame_size, read_frame, read_lines, resize
from opdm.layers import Layers
from opdm.line_learning import is_by_hand_of, learn_extractor
from opdm.lines import Extractor, XDoG
from opdm.shot import Drawing, Keyframe, Shot, normal_stem
from opdm.staging import Finished, Size, Stage, working_size

SMALLEST_SIZE, LARGEST_SIZE = 32, 4096
"""Limits of the working resolution's shorter side, in pixels."""
SMALLEST_SIDE = 8
"""Of a drawing, in pixels: below, there is nothing to see."""
KEPT_KEYFRAMES = 4
"""Keyframes in memory at once: a batch looks at two, and the next one mostly at the same."""

Fill = Literal["model", "exact"]
Key = TypeVar("Key")
Value = TypeVar("Value")

STYLE_PAIRS = 2
"""Keyframes that are compared with the drawing next to them to find the style of the drawings' lines."""
LONGEST_TRACK = 32
"""Drawings along which it is handed on; further away it has drifted, and memory stays flat."""


class Pipeline(Protocol):
    """What painting needs of `OPDMPipeline`."""

    @property
    def references(self) -> int:
        """Keyframes per drawing, 1 or 2."""

    @property
    def size_multiple(self) -> int:
        """What height and width must be multiples of."""

    @property
    def uses_motion(self) -> bool:
        """Whether the motion between drawings is of use to the model."""

    @property
    def chooses(self) -> bool:
        """Whether the model paints by a choice among proposals."""

    @property
    def default_size(self) -> int:
        """The shorter side, in pixels, that the model works at."""

    def set_up(
        self,
        lines: Tensor,
        keyframes: list[Layers],
        *,
        size: int | None,
        tracks_px: Tensor | None,
        time: float | None,
    ) -> Stage:
        """A drawing (1, H, W) and its keyframes, ready to be painted."""

    def paint(self, stages: Sequence[Stage], *, seeds: list[int], steps: int | None) -> Iterator[Finished]:
        """Drawings of one working size, one after the other."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to paint."""

    size: int | None = None
    """Shorter side of the working resolution in pixels; None is the model's own. Drawings are never enlarged."""
    steps: int | None = None
    """Sampling steps; None is the model's own number."""
    seed: int = 0
    fill: Fill = "model"
    """`exact`: regions take the keyframes' own colors where they can, as `opdm.exact_fill` does."""
    batch_size: int = 1


@dataclass(frozen=True)
class Painted:
    """A drawing and its finished frame."""

    drawing: Drawing
    frame: Tensor
    """(3, H, W) in [0, 1]."""
    stage: Stage
    """What it was painted from."""
    weights: Tensor | None
    """As `Finished` has them."""
    remarks: Sequence[str]
    """What was found odd about the files and was dealt with, a line each."""
    exact: AreaPaint | None
    """What the frame was composed of, if it was filled exactly."""

    @property
    def regions(self) -> Tensor:
        """(H, W) of the drawing."""
        return self.stage.regions

    @cached_property
    def area_paint(self) -> AreaPaint:
        """The frame taken apart."""
        return self.exact or leave_as_painted(compose(self.frame, self.stage.lines), self.regions)


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
    stage: Stage
    remarks: Sequence[str]
    seed: int


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
    reader = ShotReader(shot, usual_size(shot.drawings))
    palette = reader.palette if settings.fill == "exact" else None
    batch: list[_Prepared] = []
    for drawing in drawings:
        try:
            prepared = prepare(drawing, reader, pipeline, settings)
        except FrameError as error:
            yield Failed(drawing.path, str(error))
            continue
        if batch and batch[0].stage.size != prepared.stage.size:
            yield from paint_batch(batch, pipeline, settings, palette)
            batch = []
        batch.append(prepared)
        del prepared  # or it would stay in memory while the next one is set up
        if len(batch) == settings.batch_size:
            yield from paint_batch(batch, pipeline, settings, palette)
            batch = []
    if batch:
        yield from paint_batch(batch, pipeline, settings, palette)


def prepare(drawing: Drawing, reader: "ShotReader", pipeline: Pipeline, settings: Settings) -> _Prepared:
    """Read a drawing and set it up. Raises FrameError."""
    art = read_lines(drawing.path)
    check_aspect(drawing.path, art.lines, reader.size)
    height, width = art.lines.shape[-2:]
    if min(height, width) < SMALLEST_SIDE:
        raise FrameError(f"{drawing.path}: {width} x {height} pixels; drawings have at least {SMALLEST_SIDE} a side")
    references = drawing.references(pipeline.references)
    keyframes = [reader.keyframe(keyframe, (height, width)) for keyframe in references]
    original = reader.original(drawing, art.lines)
    tracks_px = reader.tracks_px(original, references) if pipeline.uses_motion else None
    stage = pipeline.set_up(art.lines, keyframes, size=settings.size, tracks_px=tracks_px, time=drawing.time)
    remarks = reader.remarks
    if art.was_inverted:
        remarks.append(f"{drawing.path.parent}: light lines on dark; read as dark lines on white paper")
    return _Prepared(drawing, stage, remarks, drawing_seed(settings.seed, original.path))


def paint_batch(
    batch: list[_Prepared], pipeline: Pipeline, settings: Settings, palette: Tensor | None
) -> Iterator[Painted | Failed]:
    """Paint drawings of one working size, and fill them with a palette (N, 3) if there is one."""
    stages, seeds = [prepared.stage for prepared in batch], [prepared.seed for prepared in batch]
    painted = pipeline.paint(stages, seeds=seeds, steps=settings.steps)
    for prepared, finished in zip(batch, painted, strict=True):
        if not finished.frame.isfinite().all():
            path = prepared.drawing.path
            yield Failed(path, f"{path}: the model's numbers overflowed; paint with --dtype float32")
            continue
        yield finish(prepared, finished, palette)


def finish(prepared: _Prepared, finished: Finished, palette: Tensor | None) -> Painted:
    """The result of a drawing, filled with a palette (N, 3) if there is one."""
    painted = Painted(prepared.drawing, finished.frame, prepared.stage, finished.weights, prepared.remarks, exact=None)
    if palette is None:
        return painted
    exact = fill_exactly(finished.frame, prepared.stage.lines, painted.regions, palette)
    return replace(painted, frame=exact.composite.frame, exact=exact)


def drawing_seed(seed: int, path: Path) -> int:
    """The seed of one drawing: from the run's seed and its name, so that the other drawings do not matter."""
    digest = hashlib.sha256(f"{seed}/{normal_stem(path)}".encode(errors="surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class ShotReader:
    """The keyframes of a shot, and the motion that its drawings hand on; the last few of both are kept."""

    def __init__(self, shot: Shot, size: Size):
        self.shot, self.size = shot, size
        self._keyframes: OrderedDict[tuple[Path, Size], Layers] = OrderedDict()
        self._colors: OrderedDict[tuple[Path, Size], Tensor] = OrderedDict()
        self._tracks: OrderedDict[tuple[Path, bool], dict[Path, Tensor]] = OrderedDict()
        self._small: OrderedDict[Path, Tensor] = OrderedDict()
        self._digests: dict[Path, bytes] = {}
        self._traced: OrderedDict[tuple[Path, Size], Tensor] = OrderedDict()
        self._uses_own: dict[Keyframe, bool] = {}

    @property
    def remarks(self) -> list[str]:
        """Which keyframes' own drawings were passed over so far, a line each."""
        return [
            f"{keyframe.lines}: drawn by another hand than the drawings; the keyframe's lines are extracted instead"
            for keyframe, is_used in self._uses_own.items()
            if not is_used
        ]

    def original(self, drawing: Drawing, lines: Tensor) -> Drawing:
        """The first drawing between the same keyframes with the very lines (1, H, W): what is held is painted alike."""
        own = self._digests[drawing.path] = digest(lines)
        for other in self.shot.drawings:
            if (other.earlier, other.later) != (drawing.earlier, drawing.later):
                continue
            try:
                if self._digest(other) == own:
                    return other
            except FrameError:  # reported when its turn to be painted comes
                continue
        return drawing

    def _digest(self, drawing: Drawing) -> bytes:
        """That of a drawing's lines. Raises FrameError."""
        if drawing.path not in self._digests:
            self._digests[drawing.path] = digest(read_lines(drawing.path).lines)
        return self._digests[drawing.path]

    def keyframe(self, keyframe: Keyframe, size: Size) -> Layers:
        """A keyframe with its own lines or extracted ones, at the size of a drawing. Raises FrameError."""
        key = keyframe.path, size
        return keep(self._keyframes, key, KEPT_KEYFRAMES, lambda: self._read_keyframe(keyframe, size))

    def _read_keyframe(self, keyframe: Keyframe, size: Size) -> Layers:
        color = self._color(keyframe, size)
        try:
            own = read_own_lines(keyframe, size)
        except FrameError:  # reported by check_shot
            own = None
        if own is not None and self._is_usable(keyframe, own):
            return Layers(color, resize(own, size))
        return Layers(color, self._trace(keyframe, size))

    def _is_usable(self, keyframe: Keyframe, own: Tensor) -> bool:
        """Whether a keyframe's own drawing (1, H, W) is by the hand of the others."""
        if keyframe not in self._uses_own:
            drawing, trace = self._nearest_drawing(keyframe), partial(self._trace, keyframe, self.size)
            self._uses_own[keyframe] = drawing is None or is_by_hand_of(drawing, resize(own, self.size), trace)
        return self._uses_own[keyframe]

    def _trace(self, keyframe: Keyframe, size: Size) -> Tensor:
        """A keyframe's lines as the drawings would have them, (1, H, W), a painting left out. Raises FrameError."""

        def trace() -> Tensor:
            drawing = self._nearest_drawing(keyframe)
            figures = self._color(keyframe, size) if drawing is None else self._figures(keyframe, resize(drawing, size))
            return self._extractor(figures[None])[0]

        return keep(self._traced, (keyframe.path, size), KEPT_KEYFRAMES, trace)

    def _figures(self, keyframe: Keyframe, drawing: Tensor) -> Tensor:
        """A keyframe's colors, of the size of a drawing near it, without the painting that its neighbors show too."""
        size, order = (drawing.shape[1], drawing.shape[2]), self.shot.keyframes
        place = order.index(keyframe)
        neighbors = [other for other in order[max(place - 1, 0) : place + 2] if other != keyframe]
        others = [self._color(other, size) for other in neighbors]
        return hide_backdrop(self._color(keyframe, size), others, drawing)

    def _color(self, keyframe: Keyframe, size: Size) -> Tensor:
        """A keyframe's colors, (3, H, W). Raises FrameError."""
        key = keyframe.path, size
        return keep(self._colors, key, KEPT_KEYFRAMES, lambda: resize(read_frame(keyframe.path), size))

    def _nearest_drawing(self, keyframe: Keyframe) -> Tensor | None:
        """The lines of the nearest drawing that can be read, at the usual size."""
        for drawing in sorted(self.shot.drawings, key=lambda d: abs(d.place - keyframe.place))[:STYLE_PAIRS]:
            try:
                return read_small(drawing, self.size)
            except FrameError:  # reported when its turn to be painted comes
                continue
        return None

    @cached_property
    def palette(self) -> Tensor:
        """The flat colors (N, 3) of all keyframes, most used first. Raises FrameError."""
        return collect_palette(self.keyframe(keyframe, self.size) for keyframe in self.shot.keyframes)

    @cached_property
    def _extractor(self) -> Extractor:
        """What gives keyframes without a drawing lines that look like those of the drawings."""
        frames, drawings = [], []
        # Those with a drawing of their own need it where that is by another hand.
        for keyframe in sorted(self.shot.keyframes, key=lambda keyframe: keyframe.lines is not None)[:STYLE_PAIRS]:
            if (drawing := self._nearest_drawing(keyframe)) is not None:
                frames.append(self._figures(keyframe, drawing))
                drawings.append(drawing)
        return learn_extractor(frames, drawings) if frames else XDoG()

    def tracks_px(self, drawing: Drawing, references: Sequence[Keyframe]) -> Tensor | None:
        """Where the drawings between lead, (K, 2, h, w) in pixels of its own size; None far from the keyframes."""
        tracks = [self._follow(keyframe, keyframe.place < drawing.place).get(drawing.path) for keyframe in references]
        known = [track for track in tracks if track is not None]
        return torch.stack(known) if len(known) == len(tracks) else None

    def _follow(self, keyframe: Keyframe, after: bool) -> dict[Path, Tensor]:
        """The tracks of the drawings next to a keyframe, after it or before it, up to the next one."""
        return keep(self._tracks, (keyframe.path, after), KEPT_KEYFRAMES, lambda: self._track(keyframe, after))

    def _track(self, keyframe: Keyframe, after: bool) -> dict[Path, Tensor]:
        following = [d for d in self.shot.drawings if (d.earlier if after else d.later) == keyframe]
        following = sorted(following, key=lambda drawing: abs(drawing.place - keyframe.place))[:LONGEST_TRACK]
        small = working_size(self.size, TRACKING_SIDE)
        paths, lines = [], [resize(self.keyframe(keyframe, self.size).lines, small)]
        for drawing in following:
            try:
                lines.append(keep(self._small, drawing.path, 2 * LONGEST_TRACK, partial(read_small, drawing, small)))
            except FrameError:  # reported when its turn to be painted comes
                continue
            paths.append(drawing.path)
        return dict(zip(paths, track_px(lines)[1:], strict=True))


def digest(lines: Tensor) -> bytes:
    """Equal for equal lines (1, H, W)."""
    return hashlib.sha256(str(lines.shape).encode() + lines.numpy().tobytes()).digest()


def read_small(drawing: Drawing, size: Size) -> Tensor:
    """The lines of a drawing at another size, (1, h, w). Raises FrameError."""
    return resize(read_lines(drawing.path).lines, size)


def keep(kept: OrderedDict[Key, Value], key: Key, at_most: int, make: Callable[[], Value]) -> Value:
    """The value of a key, made when it is not kept; the ones not asked for longest are let go."""
    if key not in kept:
        kept[key] = make()
    kept.move_to_end(key)
    if len(kept) > at_most:
        kept.popitem(last=False)
    return kept[key]
