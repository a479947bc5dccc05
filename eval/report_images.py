"""Pictures of single frames for the page: what was given, what was painted and where it is wrong, embedded."""

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from torch import Tensor

from opdm.frames import read_frame, resize, to_8_bit
from opdm.metrics.color import delta_e_2000, lab_colors
from protocols import Task
from scoring import match_frames

LONGER_SIDE = 448
"""Pixels; larger frames are shrunk for the page."""
QUALITY = 88
"""Of WebP, in per cent."""
LARGEST_PAGE = 9_000_000
"""Bytes of pictures: no more frames are shown beyond it."""
FRAMES_SHOWN = 12
DELTA_E_SHOWN = 20
"""ΔE2000 at the bright end of error maps."""


@dataclass(frozen=True)
class Strip:
    """One frame in pictures, each a data URI."""

    task: Task
    frame: int
    given: dict[str, str]
    """What was there to paint from, and the true frame."""
    painted: dict[str, str]
    """By method."""
    errors: dict[str, str]
    """Error maps by method."""

    def caption(self, name: str) -> str:
        """Of a given picture; that of a keyframe tells how far away it is."""
        k = keyframes_around(self.task, self.frame).get(name)
        return name if k is None else f"{name}, {abs(k - self.frame)} away"

    @property
    def stem(self) -> str:
        """Of the frame."""
        return self.task.clip.stems[self.frame]

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.task.name} · {self.stem}" if self.task.name else self.stem

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(len(uri) for pictures in (self.given, self.painted, self.errors) for uri in pictures.values())


@dataclass
class Film:
    """A clip in motion: the pictures of all its frames, by layer."""

    task: Task
    layers: dict[str, list[str]] = field(default_factory=dict)


def worst_frames(
    report: Mapping, tasks: Sequence[Task], score: str, *, higher_is_better: bool
) -> list[tuple[Task, int]]:
    """Frames from the worst on by the first method: of each clip its worst, then of each its second, and so on."""
    first = next(iter(report["methods"].values()))["clips"]
    ranked = []
    for task in tasks:
        scores = [(first[task.name]["frames"].get(task.clip.stems[i], {}).get(score), i) for i in task.targets]
        known = sorted(((value if higher_is_better else -value), i) for value, i in scores if value is not None)
        ranked += [(place, value, task, i) for place, (value, i) in enumerate(known)]
    ranked.sort(key=lambda entry: entry[:2])
    return [(task, i) for _, _, task, i in ranked[:FRAMES_SHOWN]]


def make_strips(worst: Sequence[tuple[Task, int]], folders: Mapping[str, Path]) -> list[Strip]:
    """The pictures of frames, as many as the page may hold."""
    strips: list[Strip] = []
    for task, i in worst:
        strip = make_strip(task, i, folders)
        if strips and sum(other.size for other in strips) + strip.size > LARGEST_PAGE:
            break
        strips.append(strip)
    return strips


def make_strip(task: Task, i: int, folders: Mapping[str, Path]) -> Strip:
    """The pictures of frame i."""
    target = task.clip.color(i)
    given = {name: embed(task.clip.color(k)) for name, k in keyframes_around(task, i).items()}
    if task.clip.lines is not None:
        given["drawing"] = embed(task.clip.lines(i))
    given["true frame"] = embed(target)
    painted, errors = {}, {}
    for label, folder in folders.items():
        frame = read_frame(match_frames(folder / task.name, task)[task.clip.stems[i]])
        painted[label], errors[label] = embed(frame), embed(error_map(frame, target))
    return Strip(task, i, given, painted, errors)


def keyframes_around(task: Task, i: int) -> dict[str, int]:
    """The nearest keyframes of frame i on either side."""
    earlier = [("earlier keyframe", k) for k in task.keyframes if k < i][-1:]
    later = [("later keyframe", k) for k in task.keyframes if k > i][:1]
    return dict(earlier + later)


def make_film(task: Task, folders: Mapping[str, Path]) -> Film:
    """The whole clip, with its keyframes, as drawn, as it should be and as the methods painted it."""
    frames = range(len(task.clip))
    film = Film(task)
    if task.clip.lines is not None and task.keyframe_lines is not None:
        film.layers["drawing"] = [embed(task.clip.lines(i), LONGER_SIDE // 2) for i in frames]
    true = [embed(task.clip.color(i), LONGER_SIDE // 2) for i in frames]
    film.layers["true frame"] = true
    for label, folder in folders.items():
        painted = match_frames(folder / task.name, task)
        film.layers[label] = [
            true[i] if i in task.keyframes else embed(read_frame(painted[task.clip.stems[i]]), LONGER_SIDE // 2)
            for i in frames
        ]
    return film


def error_map(prediction: Tensor, target: Tensor) -> Tensor:
    """ΔE2000 of each pixel as a color, (3, H, W): black is right, `DELTA_E_SHOWN` and more is bright."""
    delta_e = delta_e_2000(lab_colors(prediction), lab_colors(target)).numpy()
    levels = (np.clip(delta_e / DELTA_E_SHOWN, 0, 1) * 255).astype(np.uint8)
    return Tensor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[..., ::-1].transpose(2, 0, 1) / 255)


def embed(image: Tensor, longer_side: int = LONGER_SIDE) -> str:
    """(1 or 3, H, W) in [0, 1] as the data URI of a WebP file, at most so large."""
    height, width = image.shape[-2:]
    scale = min(1, longer_side / max(height, width))
    pixels = to_8_bit(resize(image, (math.ceil(height * scale), math.ceil(width * scale))))
    bgr = np.ascontiguousarray(np.broadcast_to(pixels[..., ::-1], (*pixels.shape[:2], 3)))
    encoded = cv2.imencode(".webp", bgr, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])[1]
    return "data:image/webp;base64," + base64.b64encode(encoded.tobytes()).decode()
