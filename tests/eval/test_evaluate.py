import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import evaluate

ROOT = Path(__file__).parents[2]


def write_folder(folder, values, size=(24, 32), suffix=".png", dtype=np.uint8):
    """A folder of flat gray frames: stem -> value."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem, value in values.items():
        # Encoded first: OpenCV's own writer cannot take every file name on every system.
        encoded = cv2.imencode(suffix, np.full((*size, 3), value, dtype))[1]
        (folder / f"{stem}{suffix}").write_bytes(encoded.tobytes())
    return folder


@pytest.fixture
def targets(tmp_path):
    return write_folder(tmp_path / "targets", {"0001": 100, "0002": 100, "0003": 100})


def run(*arguments, metrics=("psnr", "ssim")):
    return evaluate.main([*map(str, arguments), "--metrics", *metrics])


def test_scores_are_written_with_protocol_and_environment(tmp_path, targets, capsys):
    out = write_folder(tmp_path / "out", {"0001": 110, "0002": 110, "0003": 100})
    assert run("--predictions", out, "--targets", targets, "--json", tmp_path / "scores.json") == 0
    report = json.loads((tmp_path / "scores.json").read_text())
    (result,) = report["methods"].values()
    frames = result["clips"][""]["frames"]
    assert frames["0001"]["psnr"] == pytest.approx(28.1308036, abs=1e-5)
    assert frames["0003"] == {"psnr": 60, "ssim": 1.0}, "where it is infinite"
    assert result["mean"]["psnr"]["mean"] == pytest.approx((2 * 28.1308036 + 60) / 3, abs=1e-5)
    assert result["mean"]["ssim"]["mean"] == pytest.approx((2 * 0.995476444 + 1) / 3, abs=1e-5)
    assert result["exact_frames"] == 1
    assert report["protocol"]["sizes"] == ["32 x 24"]
    assert "dB" in report["scores"]["psnr"]["heading"]
    assert report["environment"]["packages"]["torch"]
    printed = capsys.readouterr().out
    assert "38.75" in printed
    assert "1 frame equal to the true one" in printed


def test_predictions_share_one_table_under_their_labels(tmp_path, targets, capsys):
    near = write_folder(tmp_path / "near", {"0001": 101, "0002": 101, "0003": 101})
    far = write_folder(tmp_path / "far = other", {"0001": 150, "0002": 150, "0003": 150})
    assert run("--predictions", f"ours={near}", f"nearest keyframe={far}", "--targets", targets) == 0
    header, rule, *rows = capsys.readouterr().out.splitlines()[:4]
    assert [cell.strip() for cell in header.split("|")[1:-1]] == ["method", "PSNR [dB] ↑", "SSIM ↑"]
    assert set(rule) <= set("|:-")
    assert len({len(line) for line in (header, rule, *rows)}) == 1
    assert rows[0].startswith("| ours ")
    assert "48.13" in rows[0]
    assert rows[1].startswith("| nearest keyframe ")
    assert "14.15" in rows[1]


def test_given_keyframes_are_not_scored(tmp_path, targets, capsys):
    out = write_folder(tmp_path / "out", {"0002": 110})
    keyframes = ("--keyframes", "somewhere/0001.tga", "0003")
    assert run("--predictions", out, "--targets", targets, *keyframes, "--json", tmp_path / "scores.json") == 0
    assert "1 painted frame of 1 clip, 32 x 24" in capsys.readouterr().out
    protocol = json.loads((tmp_path / "scores.json").read_text())["protocol"]
    assert protocol["keyframes"] == {"": ["0001", "0003"]}


def test_stems_match_across_file_types_and_alphabets(tmp_path, capsys):
    targets = write_folder(tmp_path / "Ziel ordner", {"sköld 雨": 50}, suffix=".tiff")
    out = write_folder(tmp_path / "ausgabe ü", {"sköld 雨": 60})
    assert run("--predictions", out, "--targets", targets) == 0
    assert "28.13" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ({"0001": 1, "0003": 1}, "lacks 0002"),
        ({"0001": 1, "0002": 1, "0003": 1, "0004": 1}, "has 0004"),
        ({"0001": 1, "0002": 1, "x": 1}, "lacks 0003 and has x"),
    ],
    ids=["missing", "extra", "renamed"],
)
def test_missing_and_extra_frames_are_named(tmp_path, targets, capsys, frames, message):
    out = write_folder(tmp_path / "out", frames)
    assert run("--predictions", out, "--targets", targets) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error


def test_frames_of_another_size_are_named_and_never_resized(tmp_path, targets, capsys):
    out = write_folder(tmp_path / "out", {"0001": 1, "0002": 1})
    write_folder(out, {"0003": 1}, size=(24, 33))
    assert run("--predictions", out, "--targets", targets) == 2
    error = capsys.readouterr().err
    assert "0003.png is 33 x 24" in error
    assert "is 32 x 24" in error


def test_frames_of_more_than_8_bits_are_refused(tmp_path, targets, capsys):
    out = write_folder(tmp_path / "out", {"0001": 1000, "0002": 1000, "0003": 1000}, dtype=np.uint16)
    assert run("--predictions", out, "--targets", targets) == 2
    assert "0001.png: has more than 8 bits" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--predictions", "nowhere", "--targets", "TARGETS"], "nowhere: no such folder"),
        (["--predictions", "TARGETS", "--targets", "EMPTY"], "empty: no drawings"),
        (["--predictions", "a=TARGETS", "a=TARGETS", "--targets", "TARGETS"], "one label"),
        (
            ["--predictions", "TARGETS", "--targets", "TARGETS", "--keyframes", "0001", "0002", "0003"],
            "no frames to score",
        ),
        (["--predictions", "TWICE", "--targets", "TARGETS"], "of one name"),
    ],
)
def test_bad_requests_get_one_line_and_status_2(tmp_path, targets, capsys, arguments, message):
    (tmp_path / "empty").mkdir()
    twice = write_folder(tmp_path / "twice", {"0001": 1})
    write_folder(twice, {"0001": 1}, suffix=".tiff")
    folders = {"TARGETS": str(targets), "EMPTY": str(tmp_path / "empty"), "TWICE": str(twice)}
    for name, folder in folders.items():
        arguments = [argument.replace(name, folder) for argument in arguments]
    assert run(*arguments) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error


def test_an_unknown_metric_is_answered_with_the_known_ones(targets, capsys):
    assert run("--predictions", targets, "--targets", targets, metrics=["lovely"]) == 2
    assert "lovely: no metric is called so; there are psnr, ssim, ms_ssim, qssim" in capsys.readouterr().err


def test_a_metric_that_needs_larger_frames_says_so(targets, capsys):
    assert run("--predictions", targets, "--targets", targets, metrics=["ms_ssim"]) == 2
    error = capsys.readouterr().err
    assert "ms_ssim: this metric needs at least 161 px" in error
    assert "--metrics" in error


def test_help_appears_without_torch():
    program = "import sys; sys.path.insert(0, 'eval'); import evaluate, baselines; print('torch' in sys.modules)"
    finished = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "False"
