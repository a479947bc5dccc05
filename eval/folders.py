"""Folders of painted and of true frames, made by whom ever -> tasks to score."""

from functools import partial
from pathlib import Path

from torch import Tensor

from opdm.data.clips import Clip
from opdm.data.clips.clip import lines_of
from opdm.data.clips.trees import list_files, walk
from opdm.errors import InputError
from opdm.shot import list_drawings, normal_stem
from protocols import Task
from scoring import name_some, read_8_bit


def split_label(text: str) -> tuple[str, Path]:
    """LABEL=FOLDER, or a folder that is its own label."""
    label, separator, folder = text.partition("=")
    return (label, Path(folder)) if separator and not Path(text).exists() else (text, Path(text))


def read_tasks(targets: Path, lines: Path | None, keyframes: tuple[str, ...]) -> list[Task]:
    """One task for the frames in a folder, or else one for each folder of frames below it. Raises InputError."""
    below = [folder for folder in walk(targets, lambda _: False) if list_files(folder)] if targets.is_dir() else []
    folders = below if below and not list_files(targets) else [targets]
    given = {normal_stem(Path(name)) for name in keyframes}
    tasks = [read_task(folder, folder.relative_to(targets).as_posix(), lines, given) for folder in folders]
    for task in tasks:
        if not task.targets:
            raise InputError(f"{targets / task.name}: no frames to score besides the keyframes")
    return tasks


def read_task(folder: Path, name: str, lines: Path | None, given: set[str]) -> Task:
    """The frames of a folder, with the drawings of the same stems. Raises InputError."""
    frames = list_drawings(folder)
    paths = tuple(frames.values())
    name = "" if name == "." else name
    keyframes = tuple(i for i, stem in enumerate(frames) if stem in given)
    drawings = None if lines is None else match_drawings(frames, lines / name, keyframes)
    clip = Clip(
        name=name,
        stems=tuple(frames),
        color=partial(_read, paths),
        paths=paths,
        lines=None if drawings is None else lines_of(drawings),
    )
    has_all = drawings is not None and all(drawings[i].exists() for i in keyframes)
    return Task(name, clip, keyframes, clip.lines if has_all else None)


def match_drawings(frames: dict[str, Path], folder: Path, keyframes: tuple[int, ...]) -> list[Path]:
    """The drawing of each frame; those of keyframes may be missing. Raises InputError."""
    drawings = list_drawings(folder)
    missing = [stem for i, stem in enumerate(frames) if stem not in drawings and i not in keyframes]
    if missing:
        raise InputError(f"{folder}: lacks the drawings {name_some(missing)}; complete it or leave out --lines")
    return [drawings.get(stem, folder / f"{stem}.png") for stem in frames]


def _read(paths: tuple[Path, ...], i: int) -> Tensor:
    return read_8_bit(paths[i])
