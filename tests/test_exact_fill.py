"""What is painted flat takes the keyframes' colors; the rest stays."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from opdm.compositing import compose
from opdm.data.cel_clips import cel_clips
from opdm.exact_fill import AS_PAINTED, fill_exactly, leave_as_painted, refill, remove_slivers
from opdm.frames import to_8_bit
from opdm.region_colors import extract_palette, pick
from opdm.segments import find_regions

HEIGHT, WIDTH = 60, 90
RED, BLUE, SKIN = (0.8, 0.2, 0.2), (0.2, 0.2, 0.8), (1.0, 0.8, 0.6)
PALETTE = torch.tensor([RED, BLUE, SKIN])
ROUNDING = 1.01 / 255
GENERATOR = torch.Generator().manual_seed(0)


def two_rooms():
    """A line down the middle."""
    lines = torch.ones(1, HEIGHT, WIDTH)
    lines[:, :, 44:46] = 0
    return lines


def paint(left, right):
    """Each side in a color (3, 1, 1) or a picture (3, H, W), the line black."""
    frame = torch.cat([left.expand(3, HEIGHT, 45), right.expand(3, HEIGHT, 45)], dim=2)
    return frame * two_rooms()


def flat(color, difference=0.0, noise=0.0):
    wobble = noise * (2 * torch.rand(3, HEIGHT, 45, generator=GENERATOR) - 1)
    return (torch.tensor(color)[:, None, None] + difference + wobble).clamp(0, 1)


def fill(frame, palette=PALETTE):
    lines = two_rooms()
    return fill_exactly(frame, lines, find_regions(lines), palette)


def gradient():
    return torch.linspace(0.3, 0.9, 45).expand(3, HEIGHT, 45)


def test_flat_paint_becomes_the_entry_to_the_last_bit():
    frame = paint(flat(RED, 3 / 255, 2 / 255), flat(BLUE, -2 / 255, 2 / 255))
    filled = fill(frame)
    assert sorted(filled.entries.tolist()) == [0, 1]
    result = filled.composite.frame
    assert torch.equal(result[:, :, :44], PALETTE[0].view(3, 1, 1).expand(3, HEIGHT, 44))
    assert torch.equal(result[:, :, 46:], PALETTE[1].view(3, 1, 1).expand(3, HEIGHT, 44))
    assert result[:, :, 44:46].max() < 0.02  # the line is still black


def test_gradients_and_unknown_colors_stay_as_painted():
    frame = paint(gradient(), flat((0.2, 0.6, 0.2)))
    filled = fill(frame)
    assert filled.entries.tolist() == [AS_PAINTED] * 2
    assert torch.allclose(filled.composite.frame, frame, atol=ROUNDING)


def test_light_and_shadow_of_one_region_are_two_areas():
    left = flat(SKIN)
    left[:, 30:] = torch.tensor(RED)[:, None, None]
    left[:, 29] = (left[:, 28] + left[:, 31]) / 2  # anti-aliased
    filled = fill(paint(left, flat(BLUE)))
    assert len(filled.entries) == 3 and sorted(filled.entries.tolist()) == [0, 1, 2]
    result = filled.composite.frame
    assert torch.equal(result[:, :28, :40], PALETTE[2].view(3, 1, 1).expand(3, 28, 40))
    assert torch.equal(result[:, 32:, :40], PALETTE[0].view(3, 1, 1).expand(3, 28, 40))
    between = result[1, 28:32, 20]
    assert (between[:-1] >= between[1:]).all() and ((between > 0.21) & (between < 0.79)).any()


def test_flat_parts_of_a_blotched_region_are_filled_and_the_blotch_stays():
    left = flat(SKIN, noise=1 / 255)
    left[:, 20:40, 10:30] = torch.rand(3, 20, 20, generator=GENERATOR)
    frame = paint(left, flat(BLUE))
    filled = fill(frame)
    result = filled.composite.frame
    assert torch.equal(result[:, :19, :43], PALETTE[2].view(3, 1, 1).expand(3, 19, 43))
    kept = (result[:, 20:40, 10:30] - frame[:, 20:40, 10:30]).abs().amax(dim=0) < ROUNDING
    assert kept.double().mean() > 0.9


def test_an_area_has_one_entry_and_every_pixel_of_paper_an_area():
    (clip,) = cel_clips([5], height=96, width=128, frames=3)
    frame, lines = clip.color(1), clip.lines(1)
    regions = find_regions(lines)
    filled = fill_exactly(frame, lines, regions, extract_palette([(regions, frame)]))
    assert torch.equal(filled.areas > 0, regions > 0)
    numbers = filled.areas.unique()
    assert torch.equal(numbers[numbers > 0], torch.arange(1, len(filled.entries) + 1))
    for number in range(1, len(filled.entries) + 1):
        assert len(regions[filled.areas == number].unique()) == 1


def test_compressed_keyframes_get_their_colors_back():
    """Of pixels off the lines, more have the uncompressed color after filling than before."""
    before, after = [], []
    for clip in cel_clips(range(4), height=160, width=200, frames=3):
        frame, lines = clip.color(0), clip.lines(0)
        regions = find_regions(lines)
        pixels = cv2.imencode(".jpg", to_8_bit(frame)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
        noisy = torch.from_numpy(cv2.imdecode(pixels, 1)[..., ::-1].transpose(2, 0, 1) / np.float32(255))
        filled = fill_exactly(noisy, lines, regions, extract_palette([(regions, frame)])).composite.frame
        for found, image in ((before, noisy), (after, filled)):
            found.append(((image - frame).abs().amax(dim=0) <= 1.01 / 255)[regions > 0].double().mean())
    assert np.mean(after) > np.mean(before) + 0.1


def test_another_palette_changes_its_areas_only():
    filled = fill(paint(flat(RED), flat(BLUE)))
    green = torch.tensor([RED, (0.1, 0.7, 0.1), SKIN])
    changed = refill(filled, green)
    assert torch.equal(changed.composite.frame[:, :, :44], filled.composite.frame[:, :, :44])
    assert torch.equal(changed.composite.frame[:, :, 46:], green[1].view(3, 1, 1).expand(3, HEIGHT, 44))
    assert torch.equal(refill(changed, PALETTE).composite.fill, filled.composite.fill)


def test_filling_again_changes_nothing():
    left = flat(SKIN)
    left[:, 30:] = torch.rand(3, 30, 45, generator=GENERATOR)
    filled = fill(paint(left, flat(BLUE)))
    assert torch.equal(refill(filled, PALETTE).composite.fill, filled.composite.fill)


@pytest.mark.parametrize("palette", [torch.zeros(0, 3), torch.tensor([[0.5, 0.5, 0.5]])])
def test_a_palette_that_fits_nowhere_changes_nothing(palette):
    frame = paint(flat(RED), gradient())
    assert torch.allclose(fill(frame, palette).composite.frame, frame, atol=ROUNDING)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_drawings_without_lines_or_paper(value):
    lines = torch.full((1, 20, 30), value)
    frame = torch.full((3, 20, 30), 0.5)
    filled = fill_exactly(frame, lines, find_regions(lines), torch.tensor([[0.5, 0.5, 0.5]]))
    assert torch.allclose(filled.composite.frame, frame, atol=ROUNDING)


def test_what_is_left_as_painted_has_no_entries():
    lines = two_rooms()
    frame = paint(flat(RED), flat(BLUE))
    left = leave_as_painted(compose(frame, lines), find_regions(lines))
    assert len(left.palette) == 0 and pick(left.entries, left.areas).max() <= 0
    assert torch.equal(replace(left, palette=PALETTE).composite.frame, left.composite.frame)


def test_slivers_go_to_their_own_region():
    regions = torch.ones(12, 12, dtype=torch.int32)
    regions[:, 6:] = 2
    areas = regions.clone()
    areas[:, 5] = 7  # one pixel wide, nearest to region 2
    areas[3:5, 8:10] = 9
    cleaned = remove_slivers(areas, regions)
    assert (cleaned[:, :6] == 1).all() or (cleaned[:, 5] == 7).all()
    assert (cleaned[3:5, 8:10] == 9).all()
    areas[:, 5] = 1
    areas[6, :5] = 8
    assert (remove_slivers(areas, regions)[6, :5] == 1).all()
