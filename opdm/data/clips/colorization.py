"""Data sets made for interpolation and colorization: ATD-12K, LVCD's and PaintBucket-Character."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from opdm.data.clips.clip import Clip, color_of, lines_of, regions_of
from opdm.data.clips.folders import read_folders
from opdm.data.clips.trees import find_splits, list_files, list_folders, list_images, match_stems, walk, wrong_tree
from opdm.errors import InputError

ATD12K_TREE = """\
  ROOT/train_10k/{prefix}.../frame1.jpg frame2.jpg frame3.jpg
  ROOT/test_2k_540p/{prefix}.../frame1.png frame2.png frame3.png      (or test_2k_original)
  or ROOT is one of the two"""
ATD12K_STEMS = ["frame1", "frame2", "frame3"]

LVCD_TREE = """\
  ROOT/train_clips.json               or another ..._clips.json: {"CLIP": ["FILM/0001", "FILM/0002", ...], ...}
  ROOT/img_320/FILM/0001.png ...      frames of that height; where there are several, the largest is read
  ROOT/skt_320/FILM/0001.png ...      their drawings, where there are such
  or, as its test clips, ROOT/CLIP/0.png 1.png ..."""

PAINTBUCKET_TREE = """\
  ROOT/.../CHARACTER/gt/0000.png ...
  ROOT/.../CHARACTER/line/0000.png ...
  ROOT/.../CHARACTER/label/0000.png ...      (train), or seg/0000.png (test)"""


def read_atd12k(root: Path, prefix: str = "Japan") -> list[Clip]:
    """Triplets of ATD-12K, those whose folders begin with `prefix`; the Japanese ones are OPDM's data.

    Published by Siyao et al. 2021: github.com/lisiyao21/AnimeInterp, README and configs. The test frames come in 540
    lines and in their original size; the first, which its benchmark uses, are read where both are there. Clips are
    named SPLIT/TRIPLET. Raises InputError.
    """
    splits = find_splits(root, ("train_10k", "test_2k_540p", "test_2k_original"), _holds_triplets)
    names = {split.resolve().name for split in splits}
    if "test_2k_540p" in names:
        splits = [split for split in splits if split.name != "test_2k_original"]
    clips = [
        _read_triplet(folder, f"{split.resolve().name}/{folder.name}")
        for split in splits
        for folder in list_folders(split)
        if folder.name.startswith(prefix)
    ]
    if not clips:
        raise wrong_tree(root, ATD12K_TREE.format(prefix=prefix))
    return clips


def _holds_triplets(split: Path) -> bool:
    return any(list_files(folder) for folder in list_folders(split)[:1])


def _read_triplet(folder: Path, name: str) -> Clip:
    frames = list_images(folder)
    missing = [stem for stem in ATD12K_STEMS if stem not in frames]
    if missing:
        raise InputError(f"{folder}: a triplet without {' and '.join(missing)}; complete or remove it")
    paths = tuple(frames[stem] for stem in ATD12K_STEMS)
    return Clip(name=name, stems=tuple(ATD12K_STEMS), paths=paths, color=color_of(paths))


def read_lvcd(root: Path) -> list[Clip]:
    """The clips of a data set as LVCD is trained on, each named LIST/CLIP; or its test clips, plain folders of frames.

    Published by Huang et al. 2024: github.com/luckyhzt/LVCD, sgm/data/anime_latent_dataset.py and inference/test.
    Raises InputError.
    """
    lists = list_files(root, (".json",)) if root.is_dir() else []
    lists = [file for file in lists if file.stem.endswith("clips")]
    sizes = [folder for folder in list_folders(root) if re.fullmatch(r"img_\d+", folder.name)]
    if not (lists and sizes):
        try:
            return read_folders(root)
        except InputError:
            raise wrong_tree(root, LVCD_TREE) from None
    return [clip for file in lists for clip in _read_list(file, sizes[-1])]


def _read_list(file: Path, images: Path) -> Iterator[Clip]:
    try:
        clips = {
            str(name): [str(frame) for frame in frames] for name, frames in json.loads(file.read_text("utf-8")).items()
        }
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise InputError(f"{file}: not a list of clips ({error}); expected\n{LVCD_TREE}") from error
    sketches = images.with_name(images.name.replace("img_", "skt_"))
    for name, frames in clips.items():
        paths = tuple(images / f"{frame}.png" for frame in frames)
        for path in paths:
            if not path.is_file():
                raise InputError(f"{path}: no such frame, which {name} of {file.name} has; complete the data set")
        drawings = [sketches / f"{frame}.png" for frame in frames]
        yield Clip(
            name=f"{file.stem}/{name}",
            stems=tuple(path.stem for path in paths),
            paths=paths,
            color=color_of(paths),
            lines=lines_of(drawings) if all(drawing.is_file() for drawing in drawings) else None,
        )


def read_paintbucket(root: Path) -> list[Clip]:
    """The characters of PaintBucket-Character, and of PaintBucket-Real, with drawings and regions.

    Published by Dai et al. 2024: github.com/ykdai/BasicPBC, dataset/README.md. Training characters have `label`,
    whose ids persist; test characters have `seg`, the segments of each drawing by number. Either way the id is a
    color; ink and the transparent ground are 0. Raises InputError.
    """
    found = walk(root, _is_character) if root.is_dir() else ()
    clips = [_read_character(folder, folder.relative_to(root).as_posix()) for folder in found if _is_character(folder)]
    if not clips:
        raise wrong_tree(root, PAINTBUCKET_TREE)
    return clips


def _is_character(folder: Path) -> bool:
    return (folder / "gt").is_dir() and (folder / "line").is_dir()


def _read_character(folder: Path, name: str) -> Clip:
    frames = list_images(folder / "gt")
    drawings = match_stems(frames, folder / "line")
    if not frames or drawings is None:
        raise InputError(f"{folder}: no frames in gt or none in line; expected\n{PAINTBUCKET_TREE}")
    labels = match_stems(frames, folder / "label")
    regions = labels or match_stems(frames, folder / "seg")
    paths = tuple(frames.values())
    return Clip(
        name=name,
        stems=tuple(frames),
        paths=paths,
        color=color_of(paths),
        lines=lines_of(drawings),
        regions=None if regions is None else regions_of(regions),
        regions_persist=labels is not None,
    )
