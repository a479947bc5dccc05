"""Rendered characters: true flow, occlusion, closed regions. Skipped where there is no OpenGL."""

import numpy as np
import pytest
import torch

import tiny_rig
from opdm.data.clips import read_clips
from opdm.data.rig.character import read_character
from opdm.data.rig.clip_writer import View, write_clip
from opdm.data.rig.posing import pose
from opdm.metrics.flow import sample_bilinear
from opdm.warp import backward_warp

SIZE, FRAMES = 160, 5


def render(root, gltf, name="Bend", *, view=0, ground=None):
    character = read_character(gltf.write(root / "box.glb"))
    motion = pose(character, character.animations[name], np.linspace(0, 0.4, FRAMES))
    folder = root / "tree" / "box" / name / "view1"
    folder.parent.mkdir(parents=True, exist_ok=True)
    write_clip(folder, character, motion, View(view, 5, SIZE, ground), {})
    [clip] = read_clips("rigs", root / "tree")
    return clip


@pytest.fixture(scope="module")
def clip(gl, tmp_path_factory):
    return render(tmp_path_factory.mktemp("rig"), tiny_rig.rig())


def pairs(clip):
    return [(i, j) for i in range(len(clip)) for j in (i - 1, i + 1) if 0 <= j < len(clip)]


def inside(mask):
    """Without the pixels next to what is not of the mask, whose color is mixed."""
    return torch.nn.functional.max_pool2d((~mask)[None].float(), 3, 1, 1)[0] == 0


def test_flow_moves_the_next_frame_onto_this_one(clip):
    for i, j in pairs(clip):
        flow = clip.flow_px(i, j)
        warped = backward_warp(clip.color(j)[None], flow[None])[0]
        seen = inside(clip.is_foreground(i) & ~clip.is_occluded(i, j))
        assert seen.sum() > 0.5 * clip.is_foreground(i).sum()
        moved, still = ((other - clip.color(i)).abs().mean(dim=0)[seen].mean() for other in (warped, clip.color(j)))
        assert flow.abs().max() > 5
        assert moved < 0.03 and moved < 0.3 * still


def test_flow_there_and_back_ends_where_it_began(clip):
    for i, j in pairs(clip):
        there = clip.flow_px(i, j)
        returned = there + backward_warp(clip.flow_px(j, i)[None], there[None])[0]
        # Samples between two pixels are mixed at the figure's rim, where flow breaks off.
        seen = inside(clip.is_foreground(i) & ~clip.is_occluded(i, j))
        error = returned.square().sum(dim=0).sqrt()[seen]
        assert error.mean() < 0.1 and (error < 0.5).float().mean() > 0.97


def test_flow_is_that_of_the_vertices(gl, tmp_path):
    """The rim of the lid is in plain view: its pixels go where the camera sees it next."""
    gltf = tiny_rig.rig(skinned=False, animated=False)
    tiny_rig.animate(gltf, "Slide", {(0, "translation"): ([0, 0.4], [(0, 0, 0), (0.8, 0, 0)])})
    clip = render(tmp_path, gltf, "Slide", view=0)
    flow, figure = clip.flow_px(1, 2), clip.is_foreground(1)
    columns, after = (torch.nonzero(clip.is_foreground(k).any(dim=0))[:, 0].float() for k in (1, 2))
    assert (flow[0][figure].mean() - (after.mean() - columns.mean())).abs() < 0.6
    assert (flow[:, ~figure] == 0).all()


def test_the_ground_is_occluded_where_the_figure_comes(clip):
    for i, j in pairs(clip):
        ground = ~clip.is_foreground(i)
        assert torch.equal(clip.is_occluded(i, j)[ground], clip.is_foreground(j)[ground])


def test_a_hidden_side_is_occluded_and_the_shown_one_is_not(gl, tmp_path):
    gltf = tiny_rig.rig(skinned=False, animated=False)
    turn = [(0, 0, 0, 1), (0, 1, 0, 0)]  # half a turn about y
    tiny_rig.animate(gltf, "Turn", {(0, "rotation"): ([0, 0.1], turn)})
    clip = render(tmp_path, gltf, "Turn")
    turned = clip.is_occluded(0, 1)[clip.is_foreground(0)].float().mean()
    held = clip.is_occluded(2, 3)[clip.is_foreground(2)].float().mean()
    assert turned > 0.85 and held == 0


def test_regions_have_ink_between_them_and_one_color_each(clip):
    for i in range(len(clip)):
        regions, ink = clip.regions(i), clip.lines(i)[0] < 0.9
        near_ink = torch.nn.functional.max_pool2d(ink[None].float(), 3, 1, 1)[0] > 0
        for axis in (0, 1):
            first, second = regions.narrow(axis, 0, SIZE - 1), regions.narrow(axis, 1, SIZE - 1)
            assert near_ink.narrow(axis, 0, SIZE - 1)[first != second].float().mean() > 0.99
        for region in regions.unique():
            pixels = clip.color(i)[:, (regions == region) & ~near_ink]
            assert len(pixels.unique(dim=1).T) <= (2 if region else 1)  # paint and its shadow


def test_regions_keep_their_ids(clip):
    ids = [set(clip.regions(i).unique().tolist()) for i in range(len(clip))]
    assert len(ids[0]) > 4 and len(ids[0] & ids[-1]) >= 0.7 * len(ids[0] | ids[-1])
    for i, j in pairs(clip):
        flow, regions = clip.flow_px(i, j), clip.regions(i)
        warped = sample_bilinear(clip.regions(j)[None].double(), flow.double())[0]
        core = ~clip.is_occluded(i, j) & (regions > 0) & (warped == warped.round())
        assert (warped[core] == regions[core]).float().mean() > 0.95


def test_the_same_call_draws_the_same_files(gl, tmp_path):
    first, second = (render(tmp_path / name, tiny_rig.rig()) for name in "ab")
    for a, b in zip(
        sorted((tmp_path / "a/tree").rglob("*.*")), sorted((tmp_path / "b/tree").rglob("*.*")), strict=True
    ):
        assert a.read_bytes() == b.read_bytes(), a
    assert len(first) == len(second) == FRAMES


@pytest.mark.parametrize("mirrored", [False, True])
def test_only_the_outside_of_walls_is_seen(gl, tmp_path, mirrored):
    """Where back faces are left out, and where they are not, a closed box looks the same."""
    clips = []
    for double_sided in (False, True):
        gltf = tiny_rig.rig(skinned=False, animated=False, mirrored=mirrored, double_sided=double_sided)
        tiny_rig.animate(gltf, "Still", {(1, "translation"): ([0, 1], [(0, 0, 0), (0, 0, 1)])})
        clips.append(render(tmp_path / str(double_sided), gltf, "Still"))
    for kind in ("color", "regions"):
        differs = getattr(clips[0], kind)(0) != getattr(clips[1], kind)(0)
        assert differs.sum() <= 6  # a sample on the rim may see the far wall
