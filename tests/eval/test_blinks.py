from itertools import islice

import pytest
import torch

import blinks
from confidence import load_pipeline
from opdm.data.cel_animation import CelStyle
from opdm.data.cel_clips import cel_clips


@pytest.fixture(scope="module")
def blink():
    (found,) = islice(blinks.find_blinks(96), 1)
    return found


def test_without_blinks_only_eyes_are_different(blink):
    style = CelStyle(kind="character", blinks=False)
    seed = int(blink.clip.name.removeprefix("seed"))
    (staring,) = cel_clips([seed], height=96, width=96, frames=blinks.FRAMES, style=style)
    for i in (0, blinks.FRAMES - 1):
        assert (staring.color(i) - blink.clip.color(i)).abs().max() <= blinks.VISIBLE
    assert torch.equal(staring.color(blink.place), blink.open_eyes)
    assert blinks.EYES_PX <= blink.eyes.sum() < 0.2 * blink.eyes.numel()
    changed = (staring.lines(blink.place) - blink.clip.lines(blink.place)).abs()[0]
    assert changed[blink.eyes].mean() > 0.1, "the drawing tells"


def test_a_ghost_is_a_share_of_the_open_eyes(blink):
    truth = blink.clip.color(blink.place)
    assert blinks.ghost(truth, blink) == 0
    assert blinks.ghost(blink.open_eyes, blink) == pytest.approx(1)
    assert blinks.ghost(truth.lerp(blink.open_eyes, 0.3), blink) == pytest.approx(0.3)
    elsewhere = torch.where(blink.eyes, truth, 1 - truth)
    assert blinks.ghost(elsewhere, blink) == 0


def test_the_painted_blink_is_measured():
    (found,) = blinks.measure(blinks.Options(shots=1, size=96), load_pipeline("opdm-small"))
    assert -0.5 < found < 1
    table = blinks.describe("opdm-small", [0.5, 0.1, 0.0, 0.2])
    assert "| opdm-small | 4 | 20 ± " in table and table.endswith("| 25 |")


@pytest.mark.parametrize("request_", ["--model nothing-like-it", "--shots 0", "--size 32"])
def test_a_bad_request_gets_one_line(capsys, request_):
    assert blinks.main(request_.split()) == 2
    error = capsys.readouterr().err
    assert request_.split()[1] in error and len(error.splitlines()) == 1
