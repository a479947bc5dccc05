"""The command: clips that read back, the same in every run, and one line for each thing that is wrong."""

import itertools
import shutil

import pytest
import torch

import animate_artwork
from opdm.data.clips import read_clips
from opdm.frames import read_frame, write_frame

WIDTH, HEIGHT, FRAMES = 256, 64, 6
"""So wide that no figure comes near the corners."""


@pytest.fixture(scope="module")
def artwork(tmp_path_factory):
    """Two figures, one of them with two expressions, and two backgrounds."""
    folder = tmp_path_factory.mktemp("artwork")
    for name, color in (("ann_happy", (1.0, 0, 0)), ("ann_sad", (0, 0, 1.0)), ("bob", (0, 1.0, 0))):
        write_figure(folder / f"figures/{name}.png", color)
    for seed in (1, 2):
        noise = torch.rand(3, 9, 16, generator=torch.Generator().manual_seed(seed))
        painting = noise.repeat_interleave(10, dim=1).repeat_interleave(10, dim=2)
        write_frame(folder / f"backgrounds/{seed}.png", 0.4 + 0.2 * painting)
    return folder


@pytest.fixture(scope="module")
def clips(artwork, tmp_path_factory):
    """Five clips, one for each place in the sequence of cameras."""
    output = tmp_path_factory.mktemp("clips")
    assert run(artwork, output, "--quality", 100) == 0
    return {clip.name: clip for clip in read_clips("clips", output)}


def write_figure(path, color, height=48):
    layer = torch.zeros(4, height, 16)
    layer[:3] = torch.tensor(color).view(3, 1, 1)
    layer[3, 4:-4, 2:-2] = 1
    write_frame(path, layer)


def run(artwork, output, *more, figures="figures", backgrounds="backgrounds", clips=5):
    folders = ("--figures", artwork / figures, "--backgrounds", artwork / backgrounds, "--output", output)
    numbers = ("--clips", clips, "--frames", FRAMES, "--size", WIDTH, HEIGHT)
    return animate_artwork.main([str(argument) for argument in (*folders, *numbers, *more)])


def contents(folder):
    return {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def frames_of(clip):
    return torch.stack([clip.color(i) for i in range(len(clip))])


def moves(frames):
    return bool((frames != frames[:1]).any())


def test_clips_are_named_by_number_and_camera_and_read_back(clips):
    assert list(clips) == ["00_rest", "01_rest", "02_pan", "03_zoom", "04_turn"]
    for clip in clips.values():
        assert clip.stems == tuple(f"{i:04d}" for i in range(FRAMES))
        assert {clip.color(i).shape for i in range(FRAMES)} == {(3, HEIGHT, WIDTH)}
        assert clip.lines is None


def test_the_same_command_writes_the_same_bytes_elsewhere_and_nothing_again(artwork, tmp_path, capsys):
    assert run(artwork, tmp_path / "one", clips=2) == run(artwork, tmp_path / "other", clips=2) == 0
    first = contents(tmp_path / "one")
    assert first == contents(tmp_path / "other") and len(first) == 2 * FRAMES + 1
    written = {file: file.stat().st_mtime_ns for file in (tmp_path / "one").rglob("*")}
    assert run(artwork, tmp_path / "one", clips=2) == 0
    assert written == {file: file.stat().st_mtime_ns for file in (tmp_path / "one").rglob("*")}
    assert "2 clips were there, 0 are animated" in capsys.readouterr().out


def test_a_clip_depends_on_its_seed_and_number_alone(artwork, tmp_path):
    assert run(artwork, tmp_path / "few", clips=1) == run(artwork, tmp_path / "more", clips=2) == 0
    assert contents(tmp_path / "few/00_rest") == contents(tmp_path / "more/00_rest")
    assert run(artwork, tmp_path / "few", clips=2) == 0
    assert contents(tmp_path / "few") == contents(tmp_path / "more")
    assert run(artwork, tmp_path / "another", "--seed", 1, clips=1) == 0
    assert contents(tmp_path / "few/00_rest") != contents(tmp_path / "another/00_rest")


@pytest.mark.parametrize("missing", ["0003.png", "all"])
def test_an_incomplete_clip_is_made_anew(artwork, tmp_path, missing):
    assert run(artwork, tmp_path / "clips", clips=2) == 0
    before = contents(tmp_path / "clips")
    kept, lost = tmp_path / "clips/00_rest", tmp_path / "clips/01_rest"
    changed = kept.stat().st_mtime_ns
    if missing == "all":
        shutil.rmtree(lost)
    else:
        (lost / missing).unlink()
    write_frame(tmp_path / "clips/.01_rest.unfinished/0000.png", torch.zeros(3, 8, 8))
    assert run(artwork, tmp_path / "clips", clips=2) == 0
    assert contents(tmp_path / "clips") == before
    assert kept.stat().st_mtime_ns == changed


def test_an_interrupted_clip_leaves_nothing(artwork, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(animate_artwork, "draw_clip", interrupt)
    assert run(artwork, tmp_path) == 130
    assert "the same command continues" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["settings.txt"]


def interrupt(*_):
    yield torch.zeros(HEIGHT, WIDTH, 3).numpy()
    raise KeyboardInterrupt


@pytest.mark.parametrize(("name", "is_moving"), [("00_rest", False), ("01_rest", False), ("02_pan", True)])
def test_the_background_moves_with_the_camera_alone(clips, name, is_moving):
    assert moves(frames_of(clips[name])[..., :8, :8]) == is_moving


def test_figures_move_and_some_are_held_for_several_frames(clips):
    repeats = []
    for name in ("00_rest", "01_rest"):
        frames = frames_of(clips[name])
        assert moves(frames)
        repeats += [torch.equal(one, other) for one, other in itertools.pairwise(frames)]
    assert any(repeats) and not all(repeats)


def test_a_figure_has_one_expression_at_a_time_and_changes_it(artwork, tmp_path):
    (tmp_path / "only").mkdir()
    for name in ("ann_happy.png", "ann_sad.png"):
        shutil.copy(artwork / "figures" / name, tmp_path / "only" / name)
    assert run(artwork, tmp_path / "clips", "--quality", 100, figures=tmp_path / "only", clips=2) == 0
    for clip in read_clips("clips", tmp_path / "clips"):
        frames = frames_of(clip)
        red, blue = (((frames[:, channel] > 0.99) & (frames[:, 1] < 0.01)).any(dim=(1, 2)) for channel in (0, 2))
        assert (red != blue).all()
        assert 1 <= (red[1:] != red[:-1]).sum() <= 2


def test_compression_changes_frames_but_little(artwork, clips, tmp_path):
    assert run(artwork, tmp_path, "--quality", 90, clips=1) == 0
    difference = (read_frame(tmp_path / "00_rest/0000.png") - clips["00_rest"].color(0)).abs()
    assert 0 < difference.mean() < 0.02


@pytest.mark.parametrize("more", [("--seed", 1), ("--quality", 50), ("--frames", 7)])
def test_clips_of_other_settings_are_not_mixed(artwork, tmp_path, capsys, more):
    assert run(artwork, tmp_path, clips=1) == 0
    before = contents(tmp_path)
    assert run(artwork, tmp_path, *more, clips=2) == 2
    assert "remove it or take another folder" in capsys.readouterr().err
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--clips", 0), "--clips 0: give 1 to"),
        (("--frames", 2), "--frames 2: give 3 to"),
        (("--size", 640, 63), "--size 640 63: give 64 to"),
        (("--seed", -1), "--seed -1: give 0 to"),
        (("--quality", 101), "--quality 101: give 1 to 100"),
        (("--figures", "nowhere"), "nowhere: no such folder; give a folder of painted images"),
        (("--backgrounds", "nowhere"), "nowhere: no such folder; give a folder of painted images"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(artwork, tmp_path, capsys, more, message):
    assert run(artwork, tmp_path / "clips", *more) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"animate_artwork: {message}") and told.count("\n") == 1
    assert not (tmp_path / "clips").exists()


def test_artwork_that_cannot_be_used_is_named(artwork, tmp_path, capsys):
    write_frame(tmp_path / "opaque/wall.png", torch.ones(3, 48, 16))
    write_frame(tmp_path / "empty/air.png", torch.zeros(4, 48, 16))
    for name, height in (("happy", 48), ("sad", 40)):
        write_figure(tmp_path / f"unequal/ann_{name}.png", (1.0, 0, 0), height)
    (tmp_path / "nothing").mkdir()
    for folder, message in (
        ("opaque", "wall.png: opaque; export the figure as PNG with transparency around it"),
        ("empty", "air.png: empty; export the figure as PNG"),
        ("unequal", "ann_sad.png: not as large as ann_happy.png; export a figure's expressions in one size"),
        ("nothing", "nothing: no images there; give a folder of painted images"),
    ):
        assert run(artwork, tmp_path / "clips", figures=tmp_path / folder) == 2
        told = capsys.readouterr().err
        assert message in told and told.count("\n") == 1
        assert not (tmp_path / "clips").exists()


def test_odd_sizes_and_the_shortest_clip_are_fine(artwork, tmp_path):
    assert run(artwork, tmp_path, "--size", 71, 65, "--frames", 3) == 0
    for clip in read_clips("clips", tmp_path):
        assert len(clip) == 3 and clip.color(0).shape == (3, 65, 71)
        assert moves(frames_of(clip))
