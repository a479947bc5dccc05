"""Rigged characters as `scripts/render_characters.py` writes them."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from torch import Tensor

from opdm.data.clips.clip import Clip, OfFrame
from opdm.data.clips.correspondence import Neighbors, match_neighbors
from opdm.data.clips.folders import read_folders
from opdm.data.clips.trees import wrong_tree
from opdm.data.rig.flow_png import read_flow
from opdm.errors import InputError
from opdm.frames import read_frame

TREE = """\
  ROOT/CHARACTER/ANIMATION/view1/color/0001.png ...      painted frames
  and in each view, of the same names
  lines/ regions/                                        drawings, and one flat color for each region
  flow_forward/ flow_backward/                           PNGs of 16 bits, as KITTI has them
  occluded_forward/ occluded_backward/                   white where the other frame hides a pixel"""


def read_rigs(root: Path) -> list[Clip]:
    """The views of rendered characters, named CHARACTER/ANIMATION/VIEW. Raises InputError."""
    try:
        clips = read_folders(root)
    except InputError as error:
        raise wrong_tree(root, TREE) from error
    read = [_add_motion(clip) for clip in clips]
    if not any(clip.flow_px is not None for clip in read):
        raise wrong_tree(root, TREE)
    return read


def _add_motion(clip: Clip) -> Clip:
    assert clip.paths is not None, "clips in folders have files"
    folder = clip.paths[0].parent.parent
    flows = match_neighbors(clip.paths, folder / "flow_forward", folder / "flow_backward", (".png",))
    occlusions = match_neighbors(clip.paths, folder / "occluded_forward", folder / "occluded_backward", (".png",))
    return replace(
        clip,
        flow_px=partial(_read_flow, flows) if flows else None,
        is_occluded=partial(_read_mask, occlusions) if occlusions else None,
        is_foreground=None if clip.regions is None else partial(_is_foreground, clip.regions),
    )


def _read_flow(files: Neighbors, i: int, j: int) -> Tensor:
    return read_flow(files.file(i, j))


def _read_mask(files: Neighbors, i: int, j: int) -> Tensor:
    return read_frame(files.file(i, j))[0] > 0.5


def _is_foreground(regions: OfFrame, i: int) -> Tensor:
    return regions(i) > 0
