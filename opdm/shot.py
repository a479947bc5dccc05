"""The plan of a shot: which drawings there are, in what order, and between which keyframes each one stands.

Works on names alone and imports no torch, so that a wrong request is refused at once.
"""

import os
import re
import unicodedata
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from opdm.errors import InputError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".tga", ".bmp")

BEFORE_ALL, BY_NAME, AFTER_ALL = -1, 0, 1
Rank = tuple[int, tuple[tuple[str, int], ...], str]
"""What a shot is sorted by: one of the three above, then the name with its numbers as numbers."""


@dataclass(frozen=True)
class Keyframe:
    """A painted frame."""

    path: Path
    place: int
    """Position in the shot, from 0."""
    lines: Path | None
    """Its own drawing, where the folder has one."""


@dataclass(frozen=True)
class Drawing:
    """A drawing to paint, and the nearest keyframe on each side; at least one of the two is there."""

    path: Path
    place: int
    """Position in the shot, from 0."""
    earlier: Keyframe | None
    later: Keyframe | None

    @property
    def time(self) -> float | None:
        """Where it stands between its two keyframes, above 0 and below 1; None without one on each side."""
        if self.earlier is None or self.later is None:
            return None
        return (self.place - self.earlier.place) / (self.later.place - self.earlier.place)

    def references(self, count: int) -> list[Keyframe]:
        """1 keyframe, the nearest; or 2, the earlier first, where the only one there is stands for both."""
        sides = [keyframe for keyframe in (self.earlier, self.later) if keyframe is not None]
        if count == 1:
            return [min(sides, key=lambda keyframe: abs(keyframe.place - self.place))]
        return [sides[0], sides[-1]]


@dataclass(frozen=True)
class Shot:
    """Keyframes and drawings, each in the order of the shot."""

    keyframes: tuple[Keyframe, ...]
    drawings: tuple[Drawing, ...]

    @property
    def in_order(self) -> list[Keyframe | Drawing]:
        """Everything, from the first frame to the last."""
        return sorted([*self.keyframes, *self.drawings], key=lambda frame: frame.place)


def plan_shot(keyframe_paths: Sequence[Path], lines_folder: Path) -> Shot:
    """Order the drawings of a folder by name and find the keyframes' places among them.

    A keyframe takes the place of the drawing that has its stem, which is then its own line art and is not painted.
    Other keyframes stand where their names, numbered like the drawings', put them; failing that the first one given
    stands before all drawings and the last one after them. Raises InputError.
    """
    keyframe_files = index_by_stem(keyframe_paths)
    drawings = list_drawings(lines_folder, but=keyframe_paths)
    ranks = {stem: rank_by_name(stem) for stem in drawings} | rank_keyframes(keyframe_files, list(drawings))
    places = {stem: place for place, stem in enumerate(sorted(ranks, key=ranks.__getitem__))}
    keyframes = sorted(
        (Keyframe(path, places[stem], drawings.pop(stem, None)) for stem, path in keyframe_files.items()),
        key=lambda keyframe: keyframe.place,
    )
    if not drawings:
        raise InputError(f"{lines_folder}: no drawings besides those of the keyframes; add the ones to paint")
    return Shot(tuple(keyframes), tuple(between(keyframes, path, places[stem]) for stem, path in drawings.items()))


def between(keyframes: Sequence[Keyframe], path: Path, place: int) -> Drawing:
    """The drawing at a place, with its nearest keyframes."""
    following = bisect([keyframe.place for keyframe in keyframes], place)
    return Drawing(
        path,
        place,
        earlier=keyframes[following - 1] if following else None,
        later=keyframes[following] if following < len(keyframes) else None,
    )


def index_by_stem(keyframe_paths: Sequence[Path]) -> dict[str, Path]:
    """Keyframes by stem, in the order given. Raises InputError for a missing one and for two of one place."""
    if not keyframe_paths:
        raise InputError("no keyframes; give at least one painted frame")
    files: dict[str, Path] = {}
    for path in keyframe_paths:
        if path.is_dir():
            raise InputError(f"{path}: a folder; give the keyframes as files, such as {path / '*.png'}")
        if not path.is_file():
            raise InputError(f"{path}: no such keyframe; check the name")
        stem = normal_stem(path)
        if stem in files:
            raise InputError(f"{path} and {files[stem]}: two keyframes for one place; leave one out or rename it")
        files[stem] = path
    return files


def list_drawings(folder: Path, *, but: Sequence[Path] = ()) -> dict[str, Path]:
    """The images of a folder by stem, naturally sorted (frame2 before frame10), without the files of `but`.

    Hidden files and other kinds of files are passed over. Raises InputError.
    """
    if folder.is_file():
        raise InputError(f"{folder}: a file; give the folder that holds the drawings")
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give the one that holds the drawings")
    images = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != "."]
    drawings: dict[str, Path] = {}
    for path in sorted(images, key=lambda path: (rank_by_name(normal_stem(path)), path.name)):
        if any(path.name == other.name and os.path.samefile(path, other) for other in but):
            continue
        if (other := drawings.setdefault(normal_stem(path), path)) is not path:
            raise InputError(f"{path} and {other.name}: two drawings of one name; remove one")
    if not drawings:
        raise InputError(f"{folder}: no drawings; put images there ({' '.join(IMAGE_SUFFIXES)})")
    return drawings


def rank_keyframes(keyframe_files: dict[str, Path], drawing_stems: Sequence[str]) -> dict[str, Rank]:
    """Where each keyframe stands. Raises InputError for one whose place nothing tells."""
    patterns = {name_pattern(stem) for stem in drawing_stems}
    ranks = {stem: rank_by_name(stem) for stem in keyframe_files if name_pattern(stem) in patterns}
    named = rank_by_name(drawing_stems[0]), rank_by_name(drawing_stems[-1])
    outside = [stem for stem in keyframe_files if stem not in ranks or not named[0] <= ranks[stem] <= named[1]]
    if len(keyframe_files) == len(outside) == 2:
        # Two enclose everything; where both are numbered like the drawings, that tells which is first.
        first, last = sorted(outside, key=ranks.__getitem__) if len(ranks) == 2 else outside
        return {first: (BEFORE_ALL, (), first), last: (AFTER_ALL, (), last)}
    stems = list(keyframe_files)
    for stem in outside:
        if stem in ranks:
            continue
        if stem not in (stems[0], stems[-1]):
            raise InputError(
                f"{keyframe_files[stem]}: its place in the shot is unknown; name it like the drawing that it paints, "
                f"or number it like {drawing_stems[0]}"
            )
        ranks[stem] = (BEFORE_ALL if stem == stems[0] else AFTER_ALL, (), stem)
    return ranks


def rank_by_name(stem: str) -> Rank:
    """Among the drawings, by name: numbers count as numbers, capitals like small letters."""
    # Splitting at a group of digits yields text and number by turns, and ends with text.
    parts = re.split(r"(\d+)", stem.casefold())
    numbers = [int(number) for number in parts[1::2]]
    return BY_NAME, tuple(zip(parts[::2], [*numbers, -1], strict=True)), stem


def name_pattern(stem: str) -> tuple[str, ...]:
    """What is left of a name without its numbers, which names of one sequence share; at least one number is there."""
    parts = re.split(r"\d+", stem.casefold())
    return tuple(parts) if len(parts) > 1 else (stem,)


def normal_stem(path: Path) -> str:
    """The stem with each accented letter as one character: systems differ in how they store the same name."""
    return unicodedata.normalize("NFC", path.stem)


def same_file(one: Path, other: Path) -> bool:
    """Whether both are one existing file or folder, through links too."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False
