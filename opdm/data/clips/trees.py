"""Folders as data sets publish them: listing them, pairing them up, and saying what is wrong with them."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from opdm.errors import InputError
from opdm.shot import IMAGE_SUFFIXES, list_drawings, normal_stem, rank_by_name

SHOWN = 12
"""Entries of a found tree that an error names."""


def wrong_tree(root: Path, expected: str) -> InputError:
    """The error for a folder that is not as a data set publishes it; `expected` is a drawing of the tree."""
    if not root.is_dir():
        return InputError(f"{root}: {'a file' if root.exists() else 'no such folder'}; expected\n{expected}")
    found = list(islice(_describe(root), SHOWN + 1))
    if len(found) > SHOWN:
        found[SHOWN:] = ["..."]
    shown = "\n".join(f"  {line}" for line in found)
    return InputError(f"{root}: another layout than the one asked for; expected\n{expected}\nfound\n{shown}")


def _describe(root: Path) -> Iterator[str]:
    """The entries of a folder, and of each subfolder the first."""
    entries = list_entries(root)
    if not entries:
        yield "nothing"
    for entry in entries:
        path = entry
        while path.is_dir() and (inside := list_entries(path)):
            path = inside[0]
        yield f"{path.relative_to(root).as_posix()}{'/' if path.is_dir() else ''}"


def list_entries(folder: Path) -> list[Path]:
    """Everything in a folder but what is hidden, naturally sorted."""
    entries = (path for path in folder.iterdir() if not path.name.startswith("."))
    return sorted(entries, key=lambda path: (rank_by_name(normal_stem(path)), path.name))


def list_folders(folder: Path) -> list[Path]:
    """The subfolders of a folder, naturally sorted; none where there is no such folder."""
    return [path for path in list_entries(folder) if path.is_dir()] if folder.is_dir() else []


def list_files(folder: Path, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> list[Path]:
    """The files of a folder that end so, naturally sorted; none where there is no such folder."""
    if not folder.is_dir():
        return []
    return [path for path in list_entries(folder) if path.suffix.lower() in suffixes and path.is_file()]


def list_images(folder: Path) -> dict[str, Path]:
    """The images of a folder by stem, naturally sorted; none where there are none. Raises InputError for twins."""
    return list_drawings(folder) if list_files(folder) else {}


def walk(folder: Path, is_leaf: Callable[[Path], bool]) -> Iterator[Path]:
    """The folders below `folder` at any depth, in natural order; nothing below a leaf."""
    for inner in list_folders(folder):
        yield inner
        if not is_leaf(inner):
            yield from walk(inner, is_leaf)


def find_splits(root: Path, names: Sequence[str], is_split: Callable[[Path], bool]) -> list[Path]:
    """The parts of a data set by the names of their folders: those in `root`, or `root` itself."""
    return [split for split in [*(root / name for name in names), root] if split.is_dir() and is_split(split)]


def match_stems(frames: Mapping[str, Path], folder: Path) -> list[Path] | None:
    """For each frame the image of the same stem in another folder; None where that has none at all.

    Raises InputError where some frames lack theirs.
    """
    others = list_images(folder)
    if not others:
        return None
    missing = [stem for stem in frames if stem not in others]
    if missing:
        raise InputError(
            f"{folder}: {len(missing)} of {len(frames)} frames have no file there, the first is {missing[0]} "
            f"({frames[missing[0]]}); complete the folder or remove it"
        )
    return [others[stem] for stem in frames]


def match_numbers(frames: Mapping[int, Path], files: Sequence[Path], folder: Path) -> dict[int, Path] | None:
    """For each of some frames of a clip, by index, the file of the same number; None where there are no files.

    The number of a file is the longest one in its name. Where the two are numbered in other ways, but are equally
    many, they are matched in order. Raises InputError where frames lack their files.
    """
    if not files:
        return None
    numbered = {_number(file): file for file in files}
    missing = [index for index, frame in frames.items() if _number(frame) not in numbered]
    if not missing and len(numbered) == len(files):
        return {index: numbered[_number(frame)] for index, frame in frames.items()}
    if len(files) == len(frames):
        return dict(zip(frames, files, strict=True))
    first = frames[missing[0] if missing else min(frames)]
    raise InputError(
        f"{folder}: {len(files)} files for {len(frames)} frames, none of them for {first}; "
        "complete the folder or remove it"
    )


def _number(path: Path) -> int:
    return int(max(re.findall(r"\d+", path.stem), key=len, default="-1"))
