"""The command: a tree that reads back, and one line for each thing that is wrong."""

import json
import sys

import numpy as np
import pytest
import torch

import correspondence
import render_characters
import tiny_rig
from opdm.data.clips import read_clips
from opdm.data.rig.render import open_gl
from opdm.errors import InputError
from opdm.frames import write_frame

SMALL = ("--size", "64", "--frames", "3", "--fps", "8", "--workers", "1")


def run(*arguments):
    return render_characters.main([str(argument) for argument in arguments])


def test_every_view_of_every_moving_animation_is_a_clip_with_everything(gl, tmp_path, capsys):
    box = tiny_rig.rig().write(tmp_path / "box.glb")
    assert run(box, "--output", tmp_path / "tree", *SMALL) == 0
    clips = read_clips("rigs", tmp_path / "tree")
    assert [clip.name for clip in clips] == [f"box/Bend/view{view}" for view in range(1, 6)]
    for clip in clips:
        assert clip.stems == ("0001", "0002", "0003")
        assert clip.color(0).shape == (3, 64, 64) and clip.lines(0).shape == (1, 64, 64)
        assert clip.regions(0).shape == clip.is_foreground(0).shape == (64, 64)
        assert clip.flow_px(0, 1).shape == clip.flow_px(2, 1).shape == (2, 64, 64)
        assert clip.is_occluded(0, 1).dtype == clip.is_occluded(1, 0).dtype == torch.bool
        with pytest.raises(KeyError):
            clip.flow_px(0, 2)
    written = json.loads((tmp_path / "tree/box/Bend/view1/clip.json").read_text())
    assert written["joints"] == ["hip", "chest"] and written["parents"] == [-1, 0]
    joints = np.array(written["joints_px"])
    assert joints.shape == (3, 2, 2) and np.ptp(joints, axis=0).max() < 0.02
    hip_y, chest_y = joints[0, :, 1]
    assert 0 < chest_y < hip_y < 64
    arguments = ["--kind", "rigs", "--data", str(tmp_path / "tree"), "--output", str(tmp_path / "scores")]
    assert correspondence.main(["flow", *arguments, "--models", "zero", "dis"]) == 0
    assert "zero" in capsys.readouterr().out


def test_a_second_run_makes_only_what_is_missing(gl, tmp_path, capsys):
    box = tiny_rig.rig().write(tmp_path / "box.glb")
    command = (box, "--output", tmp_path / "tree", "--views", 2, *SMALL)
    assert run(*command) == 0
    kept, lost = (tmp_path / f"tree/box/Bend/view{view}" for view in (1, 2))
    changed = kept.stat().st_mtime_ns
    lost.rename(tmp_path / "before")
    (lost.parent / ".view2.unfinished/color").mkdir(parents=True)
    assert run(*command) == 0
    assert kept.stat().st_mtime_ns == changed
    assert (lost / "color/0002.png").read_bytes() == (tmp_path / "before/color/0002.png").read_bytes()
    assert "1 were there, 1 to render" in capsys.readouterr().out
    assert sorted(path.name for path in lost.parent.iterdir()) == ["view1", "view2"]
    assert run(*command, "--hide", "other") == 2
    assert "2 views, 64 px" in capsys.readouterr().err


def test_backgrounds_stand_behind_and_motion_comes_from_another_file(gl, tmp_path):
    still = tiny_rig.rig(animated=False).write(tmp_path / "still.glb")
    moving = tiny_rig.rig().write(tmp_path / "moving.glb")
    write_frame(tmp_path / "grounds/green.png", torch.tensor([0, 1.0, 0]).view(3, 1, 1).expand(3, 40, 70))
    command = (still, "--motion", moving, "--background", tmp_path / "grounds", "--views", 1)
    assert run(*command, "--output", tmp_path / "tree", *SMALL) == 0
    [clip] = read_clips("rigs", tmp_path / "tree")
    assert clip.name == "still/Bend/view1"
    assert (clip.color(0)[:, 0, 0] == torch.tensor([0, 1.0, 0])).all()
    assert clip.is_foreground(0).float().mean() > 0.1


def test_a_bad_character_is_told_and_the_others_are_rendered(gl, tmp_path, capsys):
    bad = tmp_path / "bad.glb"
    bad.write_text("no model")
    still = tiny_rig.rig(animated=False).write(tmp_path / "still.glb")
    box = tiny_rig.rig().write(tmp_path / "box.glb")
    assert run(bad, still, box, "--output", tmp_path / "tree", "--views", 1, *SMALL) == 1
    told = capsys.readouterr().err
    assert f"{bad}: not a glTF file" in told and f"{still}: has no animation; give one by --motion" in told
    assert [clip.name for clip in read_clips("rigs", tmp_path / "tree")] == ["box/Bend/view1"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--clips", "Walk"], "no animation is called 'Walk'; there are Bend, Hold"),
        (["--clips", "Hold"], "have a single frame"),
        (["--background", "nowhere"], "no images to stand in front of"),
        (["--motion", "nowhere.glb"], "nowhere.glb: cannot be read"),
        (["--hide", "*"], "no mesh of triangles"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(tmp_path, capsys, more, message):
    box = tiny_rig.rig().write(tmp_path / "box.glb")
    assert run(box, "--output", tmp_path / "tree", *SMALL, *more) > 0
    assert message in capsys.readouterr().err
    assert not (tmp_path / "tree").exists()


def test_another_tree_is_refused_with_the_expected_one(tmp_path):
    write_frame(tmp_path / "shot/0001.png", torch.zeros(3, 8, 8))
    with pytest.raises(InputError, match="flow_forward"):
        read_clips("rigs", tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        read_clips("rigs", tmp_path / "nowhere")


def test_without_opengl_it_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "moderngl", None)
    open_gl.cache_clear()  # nothing is kept of a failure
    box = tiny_rig.rig().write(tmp_path / "box.glb")
    assert run(box, "--output", tmp_path / "tree", "--views", 1, *SMALL) == 2
    assert "pip install 'opdm[render]'" in capsys.readouterr().err
    assert not (tmp_path / "tree").exists()
