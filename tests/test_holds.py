"""What is drawn as in a keyframe is painted as there, and what is drawn twice is painted twice alike."""

from pathlib import Path

import pytest
import torch

from opdm.cli import main
from opdm.frames import read_frame, resize, write_frame
from opdm.holds import find_held, hold
from opdm.layers import Layers
from opdm.segments import find_regions

EXAMPLE = Path(__file__).parents[1] / "examples" / "shot"
SIZE = (30, 90)
RED, BLUE, GREEN = torch.tensor([[0.8, 0.2, 0.2], [0.2, 0.2, 0.8], [0.2, 0.8, 0.2]])


def draw(*columns):
    """Three rooms side by side, and more lines from top to bottom."""
    lines = torch.ones(1, *SIZE)
    lines[:, :, [29, 30, 59, 60, *columns]] = 0
    return lines


def paint(lines, *colors):
    """Rooms in three colors."""
    rooms = [color.view(3, 1, 1).expand(3, SIZE[0], 30) for color in colors]
    return Layers(torch.cat(rooms, dim=2) * lines, lines)


def held_rooms(drawing, *keyframes):
    """The keyframe of each room, told by the pixel in the middle of its upper half."""
    regions = find_regions(drawing)
    held = find_held(drawing, regions, keyframes, count=int(regions.max()))
    rooms = regions[SIZE[0] // 4, [10, 40, 70]]
    return held[rooms.long() - 1].tolist()


def test_rooms_are_held_whose_lines_are_just_those_of_a_keyframe():
    drawing = draw(83)
    first, second = paint(draw(5), RED, BLUE, GREEN), paint(draw(75), BLUE, BLUE, RED)
    assert held_rooms(drawing, first, second) == [2, 1, 0]
    assert held_rooms(drawing, first, first) == [0, 1, 0], "a single keyframe stands for both"
    assert held_rooms(draw(83), paint(draw(82), RED, RED, RED)) == [1, 1, 0], "a line that moved by a pixel"


def test_a_line_beside_a_room_is_part_of_it():
    assert held_rooms(draw(31), paint(draw(), RED, RED, RED)) == [0, 0, 1]


def test_keyframes_of_other_colors_do_not_tell_which_are_right():
    same, other = paint(draw(), RED, BLUE, GREEN), paint(draw(), RED, GREEN, GREEN)
    assert held_rooms(draw(), same, other) == [1, 0, 1]
    nearly = Layers(same.color + 0.02, same.lines)
    assert held_rooms(draw(), same, nearly) == [1, 1, 1], "compression may change colors, and lines, a little"
    assert held_rooms(draw() * 0.95, same, nearly) == [1, 1, 1]


def test_held_pixels_are_the_keyframes_own():
    drawing, keyframes = draw(), [paint(draw(), RED, BLUE, GREEN), paint(draw(), GREEN, RED, BLUE)]
    regions, frame = find_regions(drawing), torch.rand(3, *SIZE)
    rooms = regions[0, [10, 40, 70]].long() - 1
    held = torch.zeros(3, dtype=torch.int64)
    held[rooms[0]], held[rooms[1]] = 1, 2
    finished = hold(frame, held, regions, keyframes)
    assert torch.equal(finished[:, :, :30], keyframes[0].color[:, :, :30])
    assert torch.equal(finished[:, :, 30:60], keyframes[1].color[:, :, 30:60])
    assert torch.equal(finished[:, :, 60:], frame[:, :, 60:])
    assert hold(frame, torch.zeros_like(held), regions, keyframes) is frame


@pytest.fixture(scope="module")
def shot(tmp_path_factory):
    """Drawings 1, 1 again, that of the first keyframe, and 2; of the example, small."""
    folder, size = tmp_path_factory.mktemp("shot"), (72, 128)
    for stem in ("0000", "0011"):
        write_frame(folder / f"{stem}.png", resize(read_frame(EXAMPLE / f"keyframes/{stem}.png"), size))
    stems = ("0000", "0001", "0002")
    own, first, second = (resize(read_frame(EXAMPLE / f"lines/{stem}.png")[:1], size) for stem in stems)
    for stem, lines in zip(("0000", "0001", "0002", "0003", "0004"), (own, first, first, own, second), strict=True):
        write_frame(folder / f"lines/{stem}.png", lines)
    return folder


@pytest.mark.parametrize("method", ["diffusion", "both"])
def test_held_drawings_through_the_command(shot, tmp_path, method):
    keyframes = [str(shot / f"{stem}.png") for stem in ("0000", "0011")]
    command = ["--keyframes", *keyframes, "--lines", str(shot / "lines"), "--output", str(tmp_path)]
    assert main([*command, "--method", method, "--check"]) == 0
    frames = {path.stem: read_frame(path) for path in tmp_path.glob("*.png")}
    assert torch.equal(frames["0001"], frames["0002"])
    assert torch.equal(frames["0003"], read_frame(shot / "0000.png"))
    assert not torch.equal(frames["0001"], frames["0004"])
