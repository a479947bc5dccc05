import math
import os

import pytest
import torch

import scoring
from folders import read_tasks
from opdm.errors import InputError
from opdm.frames import write_frame
from opdm.metrics.motion import FLOW_ESTIMATORS

SIZE = (20, 30)


def write_gray(folder, values, size=SIZE):
    for stem, value in values.items():
        write_frame(folder / f"{stem}.png", torch.full((3, *size), value / 255))


@pytest.fixture
def tree(tmp_path):
    """Two clips of true frames, and those painted 10 and 20 levels off, one of them right."""
    for clip in ("a", "b/c"):
        write_gray(tmp_path / "true" / clip, {"1": 100, "2": 100})
    write_gray(tmp_path / "ours" / "a", {"1": 110, "2": 100})
    write_gray(tmp_path / "ours" / "b/c", {"1": 120, "2": 120})
    return tmp_path


def score(tree, metrics=("psnr",), cache=None):
    tasks = read_tasks(tree / "true", None, ())
    return scoring.score_all(tasks, {"ours": tree / "ours"}, metrics, FLOW_ESTIMATORS["dis"](), cache)["ours"]


def decibels(difference):
    return 20 * math.log10(255 / difference)


def test_every_frame_of_every_clip_gets_its_own_score(tree):
    scores = score(tree)
    assert list(scores) == ["a", "b/c"]
    assert scores["a"].frames["1"]["psnr"] == pytest.approx(decibels(10), abs=1e-4)
    assert scores["a"].frames["2"]["psnr"] == 60
    assert scores["b/c"].frames["1"]["psnr"] == pytest.approx(decibels(20), abs=1e-4)


def test_painted_frames_of_another_size_are_named(tree):
    write_gray(tree / "ours" / "a", {"2": 100}, size=(20, 31))
    with pytest.raises(InputError, match=r"2.png is 31 x 20 and .*2.png is 30 x 20"):
        score(tree)


def test_missing_and_extra_frames_of_a_clip_are_named(tree):
    (tree / "ours" / "a" / "1.png").rename(tree / "ours" / "a" / "3.png")
    with pytest.raises(InputError, match=r"lacks 1 and has 3"):
        score(tree)


def test_a_missing_clip_is_named(tree):
    (tree / "ours" / "a").rename(tree / "ours" / "other")
    with pytest.raises(InputError, match=r"ours.a: "):
        score(tree)


@pytest.fixture
def count(monkeypatch):
    """How many clips were scored anew."""
    scored, score_clip = [], scoring.score_clip
    monkeypatch.setattr(scoring, "score_clip", lambda task, *rest: scored.append(task.name) or score_clip(task, *rest))
    return scored


def test_kept_scores_are_taken_over(tree, tmp_path, count):
    before = score(tree, cache=tmp_path / "kept")
    assert count == ["a", "b/c"]
    after = score(tree, cache=tmp_path / "kept")
    assert count == ["a", "b/c"]
    assert {name: clip.frames for name, clip in after.items()} == {name: clip.frames for name, clip in before.items()}


@pytest.mark.parametrize("side", ["ours", "true"])
def test_a_frame_that_changed_since_is_scored_again(tree, tmp_path, count, side):
    score(tree, cache=tmp_path / "kept")
    write_gray(tree / side / "a", {"1": 105})
    later = (tmp_path / "kept" / "ours" / "a.json").stat().st_mtime + 1
    os.utime(tree / side / "a" / "1.png", (later, later))
    assert score(tree, cache=tmp_path / "kept")["a"].frames["1"]["psnr"] == pytest.approx(decibels(5), abs=1e-4)
    assert count == ["a", "b/c", "a"]


def test_scores_of_fewer_metrics_are_made_again(tree, tmp_path, count):
    score(tree, cache=tmp_path / "kept")
    assert "ssim" in score(tree, ("psnr", "ssim"), tmp_path / "kept")["a"].frames["1"]
    assert len(count) == 4
    score(tree, ("ssim",), tmp_path / "kept")
    assert len(count) == 4


def test_metrics_that_cannot_be_measured_are_left_out_with_a_reason_unless_asked_for(tree):
    tasks = read_tasks(tree / "true", None, ())
    usable, left_out = scoring.choose_metrics((), ("psnr", "cdc", "region_color"), tasks)
    assert usable == ["psnr"]
    assert "five frames" in left_out["cdc"]
    assert "drawings" in left_out["region_color"]
    with pytest.raises(InputError, match=r"cdc: needs clips of at least five frames; choose others"):
        scoring.choose_metrics(("cdc",), ("psnr",), tasks)


def test_regions_come_from_the_drawings(tree):
    lines = torch.ones(1, *SIZE)
    lines[:, :, 15] = 0
    for clip in ("a", "b/c"):
        for stem in ("1", "2"):
            write_frame(tree / "lines" / clip / f"{stem}.png", lines)
    # Half of the frame right of the line is wrong.
    frame = torch.full((3, *SIZE), 100 / 255)
    frame[:, :, 16:] = 200 / 255
    write_frame(tree / "ours" / "a" / "1.png", frame)
    tasks = read_tasks(tree / "true", tree / "lines", ())
    flow = FLOW_ESTIMATORS["dis"]()
    scores = scoring.score_all(tasks, {"ours": tree / "ours"}, ["region_color"], flow, None)["ours"]
    assert scores["a"].frames["1"]["wrong_regions"] == 0.5
    assert scores["a"].frames["2"] == {"delta_e": 0, "wrong_regions": 0}


def test_names_are_listed_up_to_eight():
    assert scoring.name_some(["a", "b"]) == "a, b"
    assert scoring.name_some([str(n) for n in range(10)]) == "0, 1, 2, 3, 4, 5, 6, 7 and 2 more"
