"""Clips of a data set as training samples."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import train
from configs import RUNS
from opdm.config import ClipsDataConfig
from opdm.data.cel_animation import CelShot
from opdm.data.cel_clips import cel_clips
from opdm.data.clips_dataset import ClipsDataset, Pan, Window
from opdm.frames import write_frame
from opdm.warp import backward_warp
from tiny import equal
from tiny_datasets import tiny_clip, write_frames, write_shot

SHARES = {"compressed_share": 0, "recolored_share": 0, "augmented_lines_share": 0, "extracted_lines_share": 0}


@pytest.fixture
def root(tmp_path):
    for name in ("cat/run", "cat/walk", "dog/run"):
        write_shot(tmp_path / "clips" / name, tiny_clip(5))
    return tmp_path / "clips"


def dataset(root, **changes):
    config = ClipsDataConfig(root=str(root), shot_sizes=(48, 48), crop_size=32, longest_gap=3, **SHARES)
    return ClipsDataset(replace(config, **changes), references=2, uses_motion=True, seed=3)


def window(clip, **changes):
    settings = {"places": (0, 1, 2), "size": (60, 80), "top": 4, "left": 10, "side": 50, "extractor": "xdog"}
    return Window(clip=clip, **settings | changes)


def test_whole_groups_are_held_out(root):
    data = dataset(root)
    assert {clip.name for clip in data.kept} == {"cat/run", "cat/walk"}, "the first of every ten groups"
    assert {clip.name for clip in data.trained} == {"dog/run"}
    named = dataset(root, held_out=("dog", "cat/walk"))
    assert {clip.name for clip in named.trained} == {"cat/run"}


@pytest.mark.parametrize("held_out", [("dog", "cat"), ("horse",)])
def test_who_leaves_nothing_is_told(root, held_out):
    with pytest.raises(ValueError, match=r"data.held_out: .*; name the clips .* of cat, dog"):
        dataset(root, held_out=held_out)


@pytest.mark.parametrize("words", [["--clips", "shots"], ["--clips=shots"]])
def test_a_run_is_put_on_clips(words):
    run = train.parse_fields("opdm-small", ["--steps", "7", *words, "--data.cache", "made"])
    assert (run.steps, run.data.root, run.data.cache) == (7, "shots", "made")
    assert run.data.crop_size == RUNS["opdm-small"].data.crop_size
    for nothing in (["--clips"], ["--clips", "--steps", "7"]):
        with pytest.raises(ValueError, match="--clips: give the folder"):
            train.parse_fields("opdm-small", nothing)


def test_clips_that_are_too_short_are_told(tmp_path):
    write_frames(tmp_path / "a" / "color", [torch.rand(3, 48, 48)] * 2)
    with pytest.raises(ValueError, match=r"data.root: .* has no clip of 3 frames"):
        dataset(tmp_path)


def test_a_sample_is_a_function_of_its_index_alone(root):
    forward = [dataset(root)[i] for i in range(5)]
    backward = [dataset(root)[i] for i in reversed(range(5))]
    assert all(equal(a, b) for a, b in zip(forward, reversed(backward), strict=True))
    assert forward[0].conditions.lines.shape == (1, 32, 32) and forward[0].conditions.flow_px.shape[0] == 2


def test_validation_shows_frames_as_they_are(root):
    data = dataset(root, recolored_share=1.0, generated_share=1.0)
    for index in range(8):
        shot = data.make_shot(np.random.default_rng(index), is_held_out=True)
        assert shot.channels == (0, 1, 2) and not shot.is_mirrored and list(shot.places) == sorted(shot.places)
        assert isinstance(data.make_shot(np.random.default_rng(index), is_held_out=False), CelShot)


def test_what_is_trained_on_is_mirrored_reversed_and_recolored(root):
    data = dataset(root, recolored_share=0.5)
    shots = [data.make_shot(np.random.default_rng(index), is_held_out=False) for index in range(40)]
    for seen in (
        {shot.is_mirrored for shot in shots},
        {shot.channels == (0, 1, 2) for shot in shots},
        {shot.places[0] < shot.places[-1] for shot in shots},
    ):
        assert seen == {True, False}


def test_a_window_is_cut_from_the_scaled_frame():
    clip = tiny_clip()
    one = window(clip, size=(48, 64), top=3, left=5, side=40)
    assert torch.equal(one.frame(1).color, clip.color(1)[:, 3:43, 5:45])
    assert torch.equal(one.frame(1).lines, clip.lines(1)[:, 3:43, 5:45])
    other = replace(one, is_mirrored=True, channels=(2, 0, 1), places=(2, 1, 0)).frame(0)
    assert torch.equal(other.color, clip.color(2)[[2, 0, 1], 3:43, 5:45].flip(-1))


@pytest.mark.parametrize("is_mirrored", [False, True])
def test_flow_moves_with_its_window(is_mirrored):
    (clip,) = cel_clips([9], height=120, width=160, frames=3)
    shot = window(clip, size=(60, 80), side=50, is_mirrored=is_mirrored)
    frame, other = shot.frame(0).color, shot.frame(2).color
    flow_px, hidden = shot.flow_px(0, 2), shot.is_occluded(0, 2)
    y, x = torch.meshgrid(torch.arange(50), torch.arange(50), indexing="ij")
    seen = ~hidden & (x + flow_px[0]).ge(0) & (x + flow_px[0]).le(49) & (y + flow_px[1]).ge(0) & (y + flow_px[1]).le(49)
    error = (backward_warp(other[None], flow_px[None])[0] - frame).abs()[:, seen].mean()
    assert flow_px[:, seen].abs().mean() > 0.5
    assert error < 0.4 * (other - frame).abs()[:, seen].mean()


def test_nothing_learns_from_a_flow_that_is_not_known():
    shot = window(replace(tiny_clip(), flow_px=None))
    assert not shot.flow_px(0, 1).any() and shot.is_occluded(0, 1).all()


def test_a_clip_without_drawings_gets_some():
    clip = replace(tiny_clip(), lines=None)
    lines = window(clip).frame(0).lines
    assert lines.shape == (1, 50, 50) and 0 < (lines < 0.5).float().mean() < 0.5


def test_paintings_show_where_frames_are_transparent(tmp_path):
    figure = torch.zeros(4, 64, 64)
    figure[0, 16:48, 16:48], figure[2, :16], figure[3, 16:48, 16:48] = 1, 1, 1  # blue where nothing shows it
    for i in range(3):
        write_frame(tmp_path / "clips" / "a" / f"{i}.png", figure)
        write_frame(tmp_path / "clips" / "b" / f"{i}.png", figure)
    write_frame(tmp_path / "paintings" / "green.png", torch.tensor([0.0, 1.0, 0.0]).view(3, 1, 1).expand(3, 90, 200))
    data = dataset(tmp_path / "clips", backgrounds=str(tmp_path / "paintings"), shot_sizes=(64, 64))
    shot = replace(data.make_shot(np.random.default_rng(0), is_held_out=True), size=(48, 48), side=48)
    color = shot.frame(1).color
    assert torch.allclose(color[:, 2, 2], torch.tensor([0.0, 1.0, 0.0]), atol=0.01)
    assert torch.allclose(color[:, 22, 22], torch.tensor([1.0, 0.0, 0.0]), atol=0.01)
    assert color[2].max() < 0.01, "the hidden blue"
    with pytest.raises(ValueError, match=r"data.backgrounds: .*nowhere holds no pictures"):
        dataset(tmp_path / "clips", backgrounds=str(tmp_path / "nowhere"))


def test_a_painting_passes_evenly(tmp_path):
    ramp = torch.linspace(0, 1, 300).expand(3, 120, 300)
    write_frame(tmp_path / "ramp.png", ramp)
    pan = Pan(tmp_path / "ramp.png", (0.2, 0.3), (0.0, 0.05))
    rows = torch.stack([pan.picture(i, 80)[0, 40] for i in range(3)])
    assert torch.allclose(rows[0, 4:], rows[1, :-4], atol=0.01), "four of eighty pixels a frame"
    assert torch.allclose(rows[1, 4:], rows[2, :-4], atol=0.01)
