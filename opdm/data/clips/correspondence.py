"""Rendered data sets with true correspondence: AnimeRun and LinkTo-Anime."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from opdm.data.clips.clip import Clip, color_of, lines_of
from opdm.data.clips.trees import find_splits, list_files, list_folders, list_images, match_numbers, walk, wrong_tree
from opdm.data.flow_files import read_flo, read_vector_pass
from opdm.frames import FrameError, read_frame
from opdm.shot import IMAGE_SUFFIXES

UNMATCHED = -1

ANIMERUN_TREE = """\
  ROOT/SPLIT/Frame_Anime/SCENE/original/0001.png ...      SPLIT: train, test; or ROOT is one of them
  and where there are such, all numbered like the frames
  ROOT/SPLIT/contour/SCENE/0001.png ...
  ROOT/SPLIT/Flow/SCENE/forward/0001.flo ...              and backward/0002.flo
  ROOT/SPLIT/UnmatchedForward/SCENE/0001.npy ...          and UnmatchedBackward
  ROOT/SPLIT/Segment/SCENE/0001.npy ...
  ROOT/SPLIT/SegMatching/SCENE/forward/0001.json ...      and backward
  ROOT/SPLIT/LineArea/SCENE/0001.npy ..."""
LINKTO_TREE = """\
  ROOT/.../01 visual_view/01_1 Rendering/0001_1.png ...
  and where there are such, all numbered like the frames
  ROOT/.../01 visual_view/01_4 Optical_flow_exr/0001.exr ...
  ROOT/.../01 visual_view/01_5 line/0001.png ...
  ROOT/.../01 visual_view/01_5 Occ_mask_for/0001.png ...      and Occ_mask_bac/0002.png"""


@dataclass(frozen=True)
class Neighbors:
    """The files of pairs of neighboring frames, by the index of the first."""

    forward: Mapping[int, Path] | None
    """Of frame i with respect to i + 1."""
    backward: Mapping[int, Path] | None
    """Of frame i with respect to i - 1."""

    def __bool__(self) -> bool:
        return self.forward is not None or self.backward is not None

    def file(self, i: int, j: int) -> Path:
        """Raises KeyError for a pair that has no file."""
        files = {i + 1: self.forward, i - 1: self.backward}.get(j) or {}
        if i not in files:
            raise KeyError(f"the data set has nothing on frame {i} with respect to frame {j}")
        return files[i]


def match_neighbors(frames: Sequence[Path], forward: Path, backward: Path, suffixes: Sequence[str]) -> Neighbors:
    """The files of all pairs of neighbors, from one folder for each direction."""
    after = dict(enumerate(frames[:-1]))
    before = {index + 1: frame for index, frame in enumerate(frames[1:])}
    return Neighbors(
        match_numbers(after, list_files(forward, suffixes), forward),
        match_numbers(before, list_files(backward, suffixes), backward),
    )


def read_animerun(root: Path) -> list[Clip]:
    """The scenes of AnimeRun, each named SPLIT/SCENE.

    Published by Siyao et al. 2022: github.com/lisiyao21/AnimeRun, README, flow/datasets and segmat/datasets. There
    occlusion masks are 0 where a pixel is occluded, LineArea 0 near lines, segments are numbered from 0 (here from 1),
    and a matching is {"segment": [targets by falling share], ...}. Raises InputError.
    """
    splits = find_splits(root, ("train", "test"), lambda split: (split / "Frame_Anime").is_dir())
    clips = [
        _read_scene(split, scene.name)
        for split in splits
        for scene in list_folders(split / "Frame_Anime")
        if list_files(scene / "original")
    ]
    if not clips:
        raise wrong_tree(root, ANIMERUN_TREE)
    return clips


def _read_scene(split: Path, scene: str) -> Clip:
    named = list_images(split / "Frame_Anime" / scene / "original")
    frames = tuple(named.values())
    contours = _each(frames, split / "contour" / scene)
    segments = _each(frames, split / "Segment" / scene, (".npy",))
    area = split / "LineArea" / scene
    # The last frame may have none: it is the source of no pair that the benchmark scores.
    has_last = len(list_files(area, (".npy",))) >= len(frames)
    areas = _each(frames if has_last else frames[:-1], area, (".npy",))
    flow = split / "Flow" / scene
    matching = split / "SegMatching" / scene
    unmatched = split / "UnmatchedForward" / scene
    if not unmatched.is_dir():
        unmatched = split / "Unmatched" / scene  # so called in the first version
    flows = match_neighbors(frames, flow / "forward", flow / "backward", (".flo",))
    occlusions = match_neighbors(frames, unmatched, split / "UnmatchedBackward" / scene, (".npy",))
    matchings = match_neighbors(frames, matching / "forward", matching / "backward", (".json",))
    return Clip(
        name=f"{split.resolve().name}/{scene}",
        stems=tuple(named),
        paths=frames,
        color=color_of(frames),
        lines=None if contours is None else lines_of(contours),
        regions=None if segments is None else partial(_read_segments, segments),
        regions_persist=False,
        flow_px=partial(_read_flo, flows) if flows else None,
        is_occluded=partial(_read_unmatched, occlusions) if occlusions else None,
        matches=partial(_read_matches, matchings) if matchings else None,
        is_flat=None if areas is None else partial(_read_flat, areas),
    )


def _each(frames: Sequence[Path], folder: Path, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> tuple[Path, ...] | None:
    """For each frame the file of the same number in another folder, or None where there is no such folder."""
    matched = match_numbers(dict(enumerate(frames)), list_files(folder, suffixes), folder)
    return None if matched is None else tuple(matched[index] for index in range(len(frames)))


def _read_flo(files: Neighbors, i: int, j: int) -> Tensor:
    return read_flo(files.file(i, j))


def _read_unmatched(files: Neighbors, i: int, j: int) -> Tensor:
    return torch.from_numpy(_load(files.file(i, j)) == 0)


def _read_flat(files: tuple[Path, ...], i: int) -> Tensor:
    return torch.from_numpy(_load(files[i]) > 0)


def _read_segments(files: tuple[Path, ...], i: int) -> Tensor:
    return torch.from_numpy(_load(files[i]).astype(np.int32) + 1)


def _load(path: Path) -> np.ndarray:
    """(H, W) numbers. Raises FrameError."""
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise FrameError(f"{path}: cannot be read ({error}); get the file again") from error
    if values.ndim != 2:
        raise FrameError(f"{path}: numbers of shape {values.shape}, expected (H, W); get the file again")
    return values


def _read_matches(files: Neighbors, i: int, j: int) -> list[list[int]]:
    path = files.file(i, j)
    try:
        targets = {int(segment): found for segment, found in json.loads(path.read_text(encoding="utf-8")).items()}
        listed = [targets[segment] for segment in range(len(targets))]
        return [[UNMATCHED], *([t + 1 if t >= 0 else UNMATCHED for t in found] for found in listed)]
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise FrameError(f"{path}: not a matching of segments ({error!r}); get the file again") from error


def read_linkto_anime(root: Path) -> list[Clip]:
    """The views of LinkTo-Anime, named by their paths: SPLIT/PACKAGE/MODEL/VIEW.

    Published at huggingface.co/datasets/LecterF/LinkTo-Anime (arXiv 2506.02733): folders of a view begin with its
    number. Flow is Blender's vector pass, both directions in one file (`read_vector_pass`). The ground is uniformly
    white (section 3.1 of the paper), so every other pixel is foreground. Occlusion masks are read as white where a
    pixel is occluded; `scripts/prepare_data.py` checks this, and that the flow moves frames onto each other.
    Raises InputError.
    """
    views = walk(root, lambda folder: _part(folder, "rendering") is not None) if root.is_dir() else ()
    found = ((view, _part(view, "rendering")) for view in views)
    clips = [
        _read_view(view, named, view.relative_to(root).as_posix())
        for view, rendering in found
        if rendering is not None and (named := list_images(rendering))
    ]
    if not clips:
        raise wrong_tree(root, LINKTO_TREE)
    return clips


def _part(view: Path, word: str) -> Path | None:
    """The folder of a view whose name ends so."""
    return next((folder for folder in list_folders(view) if folder.name.lower().endswith(word)), None)


def _read_view(view: Path, named: Mapping[str, Path], name: str) -> Clip:
    frames, nowhere = tuple(named.values()), view / "none"
    vectors = _part(view, "optical_flow_exr") or nowhere
    drawings = _each(frames, _part(view, " line") or _part(view, "_line") or nowhere)
    flows = _both_ways(_each(frames, vectors, (".exr",)))
    after, before = _part(view, "occ_mask_for") or nowhere, _part(view, "occ_mask_bac") or nowhere
    occlusions = match_neighbors(frames, after, before, (".png",))
    return Clip(
        name=name,
        stems=tuple(named),
        paths=frames,
        color=color_of(frames),
        lines=None if drawings is None else lines_of(drawings),
        flow_px=partial(_read_vectors, flows) if flows else None,
        is_occluded=partial(_read_mask, occlusions) if occlusions else None,
        is_foreground=partial(_read_foreground, frames),
    )


def _both_ways(files: Sequence[Path] | None) -> Neighbors:
    """One file for each frame, about the next frame and the one before."""
    if files is None:
        return Neighbors(None, None)
    return Neighbors(dict(enumerate(files[:-1])), dict(enumerate(files[1:], start=1)))


def _read_vectors(files: Neighbors, i: int, j: int) -> Tensor:
    return read_vector_pass(files.file(i, j), forward=j > i)


def _read_mask(files: Neighbors, i: int, j: int) -> Tensor:
    return read_frame(files.file(i, j))[0] > 0.5


def _read_foreground(frames: tuple[Path, ...], i: int) -> Tensor:
    return (read_frame(frames[i]) < 1).any(dim=0)
