from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import baselines
from opdm.frames import read_frame, write_frame

SIZE = (64, 96)


def scene(shift_px):
    """A painted frame and its drawing: a red ball with a black outline on a green ground, moved to the right."""
    frame, drawing = np.full((*SIZE, 3), (60, 180, 90), np.uint8), np.full(SIZE, 255, np.uint8)
    center = (24 + shift_px, 32)
    cv2.circle(frame, center, 14, (220, 40, 40), cv2.FILLED)
    cv2.circle(frame, center, 14, (0, 0, 0), 2)
    cv2.circle(drawing, center, 14, 0, 2)
    return torch.from_numpy(frame).permute(2, 0, 1) / 255, torch.from_numpy(drawing)[None] / 255


def gray(value):
    return torch.full((3, *SIZE), value / 255)


@pytest.fixture
def shot(tmp_path):
    """Drawings 1 to 5 of a ball that moves 4 px a frame; keyframes for 1 and 5 with their drawings."""
    for number in range(1, 6):
        frame, drawing = scene(4 * number)
        write_frame(tmp_path / "lines" / f"f{number}.png", drawing)
        write_frame(tmp_path / "truth" / f"f{number}.png", frame)
    return tmp_path


def paint(shot, *arguments, keyframes=("f1.png", "f5.png"), folder="truth"):
    names = [str(shot / folder / name) for name in keyframes]
    return baselines.main(
        ["--keyframes", *names, "--lines", str(shot / "lines"), "--output", str(shot / "out"), *arguments]
    )


def painted(shot, method):
    return {path.stem: read_frame(path) for path in sorted((shot / "out" / method).iterdir())}


def error(frame, shot, stem):
    return (frame - read_frame(shot / "truth" / f"{stem}.png")).square().mean().item()


def test_every_method_paints_every_drawing_but_those_of_keyframes(shot):
    assert paint(shot) == 0
    for method in baselines.METHODS:
        frames = painted(shot, method)
        assert list(frames) == ["f2", "f3", "f4"]
        assert all(frame.shape == (3, *SIZE) for frame in frames.values())


def test_nearest_copies_the_closer_keyframe(shot):
    paint(shot, "--methods", "nearest")
    frames = painted(shot, "nearest")
    first, last = (read_frame(shot / "truth" / f"f{number}.png") for number in (1, 5))
    assert torch.equal(frames["f2"], first)
    assert torch.equal(frames["f3"], first), "half-way the earlier one is taken"
    assert torch.equal(frames["f4"], last)


def test_blend_mixes_by_distance(shot):
    for name, value in (("f1", 40), ("f5", 200)):
        write_frame(shot / "flat" / f"{name}.png", gray(value))
    paint(shot, "--methods", "blend", folder="flat")
    levels = {stem: frame.mul(255).round().unique().tolist() for stem, frame in painted(shot, "blend").items()}
    assert levels == {"f2": [80], "f3": [120], "f4": [160]}


def test_flow_follows_the_lines(shot):
    paint(shot)
    by_flow, by_nearest = painted(shot, "flow"), painted(shot, "nearest")
    for stem in by_flow:
        assert error(by_flow[stem], shot, stem) < 0.25 * error(by_nearest[stem], shot, stem)


def test_flow_extracts_the_lines_of_a_keyframe_that_has_none(shot):
    for number in (1, 5):
        (shot / "lines" / f"f{number}.png").unlink()
        (shot / "truth" / f"f{number}.png").rename(shot / "truth" / f"key{number}.png")
    assert paint(shot, keyframes=("key1.png", "key5.png")) == 0
    by_flow, by_nearest = painted(shot, "flow"), painted(shot, "nearest")
    assert error(by_flow["f3"], shot, "f3") < 0.5 * error(by_nearest["f3"], shot, "f3")


def test_one_keyframe_serves_all_drawings(shot):
    assert paint(shot, "--methods", "nearest", "blend", keyframes=("f1.png",)) == 0
    first = read_frame(shot / "truth" / "f1.png")
    for method in ("nearest", "blend"):
        frames = painted(shot, method)
        assert list(frames) == ["f2", "f3", "f4", "f5"]
        assert all(torch.equal(frame, first) for frame in frames.values())


def test_keyframes_of_another_size_are_brought_to_the_drawing(shot):
    for name in ("f1", "f5"):
        write_frame(shot / "large" / f"{name}.png", torch.full((3, 2 * SIZE[0], 2 * SIZE[1]), 0.2))
    assert paint(shot, folder="large") == 0
    assert all(frame.shape == (3, *SIZE) for frame in painted(shot, "flow").values())


def test_bad_requests_get_one_line_and_status_2(shot, capsys):
    assert paint(shot, keyframes=("nowhere.png",)) == 2
    message = capsys.readouterr().err.strip()
    assert "nowhere.png" in message
    assert "\n" not in message


def test_the_folder_of_the_drawings_is_never_the_output(shot, capsys):
    keyframe, lines = str(shot / "truth" / "f1.png"), str(shot / "lines")
    assert baselines.main(["--keyframes", keyframe, "--lines", lines, "--output", lines]) == 2
    assert "choose another --output" in capsys.readouterr().err
    assert len(list(Path(lines).iterdir())) == 5
