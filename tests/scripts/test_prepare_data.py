import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import tiny_datasets as tiny
from opdm.data.clips import read_clips
from opdm.lines import extract_lines
from opdm.segments import find_regions

FILE = Path(__file__).parents[2] / "scripts" / "prepare_data.py"


@pytest.fixture(scope="module")
def script():
    specification = importlib.util.spec_from_file_location("prepare_data", FILE)
    module = importlib.util.module_from_spec(specification)
    # Where tasks are looked for that go to other processes.
    sys.modules["prepare_data"] = module
    specification.loader.exec_module(module)
    yield module
    del sys.modules["prepare_data"]


@pytest.fixture(scope="module")
def truth():
    return tiny.tiny_clip()


def run(script, *arguments):
    return script.main([str(argument) for argument in arguments])


def test_a_sound_data_set_is_counted(script, tmp_path, truth, capsys):
    tiny.write_shot(tmp_path / "drawn", truth)
    tiny.write_frames(tmp_path / "plain", tiny.colors(truth)[:3])
    assert run(script, "clips", tmp_path) == 0
    assert capsys.readouterr().out == "clips: 2 clips, 7 frames\n  lines: 1 clips\n  regions: 1 clips\n"


def test_missing_triplets_are_reported(script, tmp_path, truth, capsys):
    tiny.write_atd12k(tmp_path, truth)
    assert run(script, "atd12k", tmp_path) == 1
    printed = capsys.readouterr().out
    assert "train_10k: 1 clips, 3 frames" in printed
    assert "train_10k: 1 clips, 4,881 are published" in printed
    assert "test_2k_540p: 1 clips, 759 are published" in printed


def test_frames_of_another_size_are_named(script, tmp_path, truth, capsys):
    tiny.write_frames(tmp_path / "a", [*tiny.colors(truth)[:2], torch.zeros(3, 10, 12)])
    assert run(script, "clips", tmp_path) == 1
    assert "0002.png: 10 x 12 px, the clip is 48 x 64" in capsys.readouterr().out


def test_an_unreadable_frame_is_named(script, tmp_path, truth, capsys):
    tiny.write_frames(tmp_path / "a", tiny.colors(truth))
    file = tmp_path / "a" / "0000.png"
    file.write_bytes(file.read_bytes()[:100])
    assert run(script, "clips", tmp_path) == 1
    assert "0000.png: damaged" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["animerun", "linkto-anime"])
def test_true_flow_aligns_the_frames(script, tmp_path, truth, kind):
    {"animerun": tiny.write_animerun, "linkto-anime": tiny.write_linkto_anime}[kind](tmp_path, truth)
    [clip] = read_clips(kind, tmp_path)
    assert script.find_faults(clip) == []


def test_flow_and_masks_the_wrong_way_round_are_found(script, truth):
    mirrored = replace(truth, flow_px=lambda i, j: -truth.flow_px(i, j))
    assert "does not align the frames" in script.find_faults(mirrored)[0]
    inverted = replace(truth, is_occluded=lambda i, j: ~truth.is_occluded(i, j))
    assert "the wrong way round?" in script.find_faults(inverted)[0]


def test_matches_of_other_regions_are_found(script, tmp_path, truth):
    tiny.write_animerun(tmp_path, truth)
    [clip] = read_clips("animerun", tmp_path)
    fewer = replace(clip, matches=lambda i, j: clip.matches(i, j)[:-1])
    assert "matches for" in script.find_faults(fewer)[0]


@pytest.mark.parametrize("workers", [1, 2])
def test_lines_and_regions_are_made_and_then_read(script, tmp_path, truth, workers):
    tiny.write_frames(tmp_path / "data" / "plain", tiny.colors(truth))
    tiny.write_shot(tmp_path / "data" / "drawn", truth)
    arguments = ("clips", tmp_path / "data", "--cache", tmp_path / "cache", "--regions", "--workers", workers)
    assert run(script, *arguments, "--lines", "xdog", "pencil") == 0
    clips = {c.name: c for c in read_clips("clips", tmp_path / "data", cache=tmp_path / "cache", lines="xdog")}
    for i in range(len(truth)):
        expected = extract_lines(truth.color(i)[None], "xdog")[0]
        for clip in clips.values():
            torch.testing.assert_close(clip.lines(i), expected, atol=0.51 / 255, rtol=0)
        plain = clips["plain"]
        assert torch.equal(plain.regions(i), find_regions(plain.lines(i)))
    assert clips["drawn"].regions_persist  # its own


def test_the_same_command_makes_only_what_is_missing(script, tmp_path, truth, capsys):
    tiny.write_frames(tmp_path / "data" / "a", tiny.colors(truth))
    arguments = ("clips", tmp_path / "data", "--cache", tmp_path / "cache", "--lines", "xdog", "--workers", 1)
    assert run(script, *arguments) == 0
    files = sorted((tmp_path / "cache" / "lines" / "xdog" / "a").iterdir())
    files[2].unlink()
    before = [file.stat().st_mtime_ns for file in files if file.exists()]
    assert run(script, *arguments) == 0
    assert "lines: 1 files made" in capsys.readouterr().out
    assert files[2].exists()
    assert before == [file.stat().st_mtime_ns for file in files if file != files[2]]


def test_a_cache_is_not_mixed(script, tmp_path, truth, capsys):
    for name in ("one", "two"):
        tiny.write_frames(tmp_path / name / "a", tiny.colors(truth))
    arguments = ("--cache", tmp_path / "cache", "--lines", "xdog", "--workers", 1)
    assert run(script, "clips", tmp_path / "one", *arguments) == 0
    assert run(script, "clips", tmp_path / "two", *arguments) == 2
    assert "take another folder" in capsys.readouterr().err
    (tmp_path / "cache" / "lines" / "xdog" / "settings.txt").write_text("XDoG(sigma_px=9)")
    assert run(script, "clips", tmp_path / "one", *arguments) == 2
    assert "made from XDoG(sigma_px=9)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["clips", "nowhere"], "nowhere: no such folder"),
        (["sintel", "."], "no layout is called 'sintel'"),
        (["clips", ".", "--cache", "c", "--lines", "photocopy"], "no line extractor is called 'photocopy'"),
    ],
)
def test_a_wrong_request_is_one_complaint(script, tmp_path, monkeypatch, capsys, arguments, complaint):
    monkeypatch.chdir(tmp_path)
    assert run(script, *arguments) == 2
    assert complaint in capsys.readouterr().err


def test_regions_need_drawings(script, tmp_path, truth, capsys):
    tiny.write_frames(tmp_path / "data" / "a", tiny.colors(truth))
    assert run(script, "clips", tmp_path / "data", "--cache", tmp_path / "cache", "--regions") == 2
    assert "a: no drawings to find regions in; name an extractor with --lines" in capsys.readouterr().err


def test_making_needs_a_folder(script, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(script, "clips", tmp_path, "--regions")
    assert "need --cache" in capsys.readouterr().err


def test_an_interrupt_keeps_what_is_made(script, tmp_path, truth, monkeypatch, capsys):
    tiny.write_frames(tmp_path / "data" / "a", tiny.colors(truth))
    drawn = []

    def draw(frame, extractor):
        if len(drawn) == 2:
            raise KeyboardInterrupt
        drawn.append(frame)
        return extract_lines(frame, extractor)

    monkeypatch.setattr("opdm.lines.extract_lines", draw)
    arguments = ("clips", tmp_path / "data", "--cache", tmp_path / "cache", "--lines", "xdog", "--workers", 1)
    assert run(script, *arguments) == 130
    assert "the same command continues" in capsys.readouterr().err
    assert len(list((tmp_path / "cache" / "lines" / "xdog" / "a").iterdir())) == 2
