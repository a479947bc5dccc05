"""Data sets as clips: each layout has a reader, from a folder to a list of `Clip`, which reads frames when asked."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from opdm.data.clips.cache import add_cached
from opdm.data.clips.clip import Clip
from opdm.data.clips.colorization import read_atd12k, read_lvcd, read_paintbucket
from opdm.data.clips.correspondence import read_animerun, read_linkto_anime
from opdm.data.clips.folders import read_anicolorset, read_anita, read_folder, read_folders
from opdm.data.clips.rigs import read_rigs
from opdm.data.clips.video import read_videos
from opdm.errors import InputError

__all__ = ["READERS", "Clip", "read_clips"]

READERS: dict[str, Callable[[Path], list[Clip]]] = {
    "folder": read_folder,
    "clips": read_folders,
    "atd12k": read_atd12k,
    "atd12k-all": partial(read_atd12k, prefix=""),
    "anicolorset": read_anicolorset,
    "lvcd": read_lvcd,
    "animerun": read_animerun,
    "linkto-anime": read_linkto_anime,
    "rigs": read_rigs,
    "anita": read_anita,
    "paintbucket": read_paintbucket,
    "video": read_videos,
}
"""By the name of the layout. Each raises InputError that shows the tree it expects and the one it found."""


def read_clips(kind: str, root: Path, *, cache: Path | None = None, lines: str | None = None) -> list[Clip]:
    """The clips of a data set, in the order of their names.

    From `cache`, a folder that `scripts/prepare_data.py` has made, clips get lines and regions that they lack; where
    `lines` names an extractor, its line art also takes the place of the data set's own drawings. Raises InputError.
    """
    if kind not in READERS:
        raise InputError(f"no layout is called {kind!r}; there are {', '.join(READERS)}")
    if lines is not None and cache is None:
        raise InputError(f"lines by {lines}: they are read from a cache; make one with scripts/prepare_data.py")
    clips = READERS[kind](root)
    return clips if cache is None else add_cached(clips, cache, lines)
