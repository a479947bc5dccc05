"""Line art and regions that `scripts/prepare_data.py` has made, beside a data set that is left as it is.

CACHE/lines/EXTRACTOR/CLIP/STEM.png      8 bits
CACHE/regions/CLIP/STEM.png              ids from 1 on as colors, 256^2 red + 256 green + blue; 0 = ink
    CACHE/source.txt                         the data set
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from opdm.data.clips.clip import Clip, regions_of
from opdm.data.clips.trees import list_folders, list_images
from opdm.errors import InputError
from opdm.frames import read_frame, write_frame, write_text


def lines_folder(cache: Path, extractor: str, clip: Clip) -> Path:
    """Where the line art of a clip is kept."""
    return cache / "lines" / extractor / clip.name


def regions_folder(cache: Path, clip: Clip) -> Path:
    """Where the regions of a clip are kept."""
    return cache / "regions" / clip.name


def write_regions(path: Path, regions: Tensor) -> None:
    """Write (H, W) ids, 0 to 2^24 - 2."""
    write_frame(path, torch.stack([regions >> 16, (regions >> 8) & 255, regions & 255]).float() / 255)


def record(path: Path, origin: str) -> None:
    """Write down where the files beside `path` come from. Raises InputError where they come from somewhere else."""
    if not path.exists():
        write_text(path, origin + "\n")
    elif (other := path.read_text(encoding="utf-8").strip()) != origin:
        raise InputError(
            f"{path.parent}: made from {other}, now it would be {origin}; remove it or take another folder"
        )


def add_cached(clips: Sequence[Clip], cache: Path, extractor: str | None) -> list[Clip]:
    """The clips with what the cache has: lines by the named extractor, and regions for clips that have none.

    Without a name, clips that have no lines get those of the only extractor in the cache. Raises InputError.
    """
    if not cache.is_dir():
        raise InputError(f"{cache}: no such folder; make it with scripts/prepare_data.py")
    chosen = extractor or _only_extractor(cache)
    return [_add(clip, cache, chosen, replaces_lines=extractor is not None) for clip in clips]


def _only_extractor(cache: Path) -> str | None:
    names = [folder.name for folder in list_folders(cache / "lines")]
    if len(names) > 1:
        raise InputError(f"{cache}: has lines by {', '.join(names)}; name the extractor to read")
    return names[0] if names else None


def _add(clip: Clip, cache: Path, extractor: str | None, *, replaces_lines: bool) -> Clip:
    if extractor is not None and (clip.lines is None or replaces_lines):
        files = _find(lines_folder(cache, extractor, clip), clip)
        if files is None and replaces_lines:
            raise InputError(f"{cache}: lacks lines of {clip.name} by {extractor}; run scripts/prepare_data.py again")
        clip = clip if files is None else replace(clip, lines=partial(_read_lines, files))
    if clip.regions is None and (files := _find(regions_folder(cache, clip), clip)) is not None:
        clip = replace(clip, regions=regions_of(files), regions_persist=False)
    return clip


def _find(folder: Path, clip: Clip) -> tuple[Path, ...] | None:
    """The files of all frames, or None."""
    files = list_images(folder)
    return tuple(files[stem] for stem in clip.stems) if all(stem in files for stem in clip.stems) else None


def _read_lines(files: tuple[Path, ...], i: int) -> Tensor:
    # Not as a drawing of unknown origin: nothing is to be turned over or whitened.
    return read_frame(files[i])[:1]
