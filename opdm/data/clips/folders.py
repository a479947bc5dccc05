"""Clips in plain folders of images: one folder, or any tree of them; and two data sets that are little more."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from opdm.data.clips.clip import Clip, color_of, cut, lines_of, regions_of
from opdm.data.clips.trees import list_images, match_stems, walk, wrong_tree
from opdm.errors import InputError


@dataclass(frozen=True)
class Parts:
    """How the folders of a clip are called; of several names the first that is there counts."""

    color: tuple[str, ...]
    lines: tuple[str, ...]
    regions: tuple[str, ...] = ()


PLAIN = Parts(("color", "colour", "frames"), ("lines", "line"), ("regions", "seg"))
ANITA = Parts(("color", "composition"), ("sketch",))

PLAIN_TREE = """\
  {clip}0001.png 0002.png ...      painted frames; or
  {clip}color/0001.png ...         the same (or colour/, frames/), and where there are such
  {clip}lines/0001.png ...         drawings of the same names (or line/)
  {clip}regions/0001.png ...       one flat color for each region, the same in all frames (or seg/)"""
ANITA_TREE = """\
  ROOT/ANIMATION/SCENE/color/0001.png ...      (or composition/)
  ROOT/ANIMATION/SCENE/sketch/0001.png ..."""

ANICOLORSET_FRAMES = 29


def read_folder(root: Path) -> list[Clip]:
    """One clip: a folder of images, or of `color/` with `lines/` and `regions/` beside it. Raises InputError."""
    clip = _read_clip(root, root.resolve().name, PLAIN)
    if clip is None:
        raise wrong_tree(root, PLAIN_TREE.format(clip="ROOT/"))
    return [clip]


def read_folders(root: Path) -> list[Clip]:
    """Every folder of images below `root`, at any depth, as a clip named by its path. Raises InputError."""
    clips = list(_read_below(root, PLAIN))
    if not clips:
        raise wrong_tree(root, PLAIN_TREE.format(clip="ROOT/.../CLIP/"))
    return clips


def read_anicolorset(root: Path) -> list[Clip]:
    """Clips of 29 frames, as in AniColorSet (OPDM paper, section 4.1), out of any tree that `read_folders` reads.

    AniColorSet itself, 14 clips, is not released. A longer clip is cut into as many as it holds, what is left over
    and shorter clips are left out. Raises InputError where all are shorter.
    """
    longer = read_folders(root)
    clips = [
        cut(clip, first, ANICOLORSET_FRAMES, clip.name if first == 0 else f"{clip.name}/from-{clip.stems[first]}")
        for clip in longer
        for first in range(0, len(clip) - ANICOLORSET_FRAMES + 1, ANICOLORSET_FRAMES)
    ]
    if not clips:
        longest = max(longer, key=len)
        raise InputError(
            f"{root}: {len(longer)} clips, none of {ANICOLORSET_FRAMES} frames; the longest, {longest.name}, "
            f"has {len(longest)}"
        )
    return clips


def read_anita(root: Path) -> list[Clip]:
    """The painted scenes of the Anita Dataset, with their sketches; scenes of sketches alone are passed over.

    Published by Zhenglin Pan: the README of github.com/zhenglinpan/AnitaDataset has the tree. `color` is flat paint,
    `composition`, which is read where there is no `color`, the finished picture. Raises InputError.
    """
    clips = [clip for clip in _read_below(root, ANITA) if clip.paths and clip.paths[0].parent.name in ANITA.color]
    if not clips:
        raise wrong_tree(root, ANITA_TREE)
    return clips


def _read_below(root: Path, parts: Parts) -> Iterator[Clip]:
    for folder in walk(root, lambda inner: _choose(inner, parts.color) is not None) if root.is_dir() else ():
        if folder.name in (*parts.lines, *parts.regions):
            continue  # of a clip without paint
        clip = _read_clip(folder, folder.relative_to(root).as_posix(), parts)
        if clip is not None:
            yield clip


def _choose(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if list_images(folder / name)), None)


def _read_clip(folder: Path, name: str, parts: Parts) -> Clip | None:
    """The clip in a folder, or None where it holds no frames."""
    frames = list_images(_choose(folder, parts.color) or folder)
    if not frames:
        return None
    line_folder, region_folder = _choose(folder, parts.lines), _choose(folder, parts.regions)
    drawings = match_stems(frames, line_folder) if line_folder else None
    regions = match_stems(frames, region_folder) if region_folder else None
    paths = tuple(frames.values())
    return Clip(
        name=name,
        stems=tuple(frames),
        paths=paths,
        color=color_of(paths),
        lines=None if drawings is None else lines_of(drawings),
        regions=None if regions is None else regions_of(regions),
    )
