import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from golden_inputs import cartoon, const, constant_flow, content_hash, jitter, moving_square, shift, swap, wave_flow
from opdm.data.cel_animation import CelShot
from opdm.metrics.color import delta_e_2000, lab_colors
from opdm.metrics.temporal import ColorDistributionConsistency, cdc, region_flicker, warp_error, warp_mask

GOLDEN = json.loads((Path(__file__).parents[1] / "data_files" / "golden_clip_metrics.json").read_text())
BASE = cartoon(31, 96, 128)


def rolled(t):
    return np.roll(BASE, (2 * t, 3 * t), axis=(0, 1))


def jittered(seed, amplitude, length):
    return [jitter(rolled(t), seed + t, amplitude) for t in range(length)]


def one_swapped():
    images = jittered(40, 3, 8)
    return [*images[:3], swap(images[3]), *images[4:]]


CLIPS = {
    "static_6": [[BASE] * 6],
    "black_white_alternating_7": [[const([255 * (t % 2)] * 3, 16, 16) for t in range(7)]],
    "jitter_8": [jittered(40, 3, 8)],
    "one_frame_swapped_8": [one_swapped()],
    "min_length_5": [jittered(60, 10, 5)],
    "dataset_two_lengths": [jittered(70, 2, 6), [shift(BASE, 6 * t) for t in range(9)]],
}


def tensor(images, dtype=torch.float32):
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).to(dtype) / 255


@pytest.mark.parametrize("case", GOLDEN["cdc"], ids=lambda case: case["name"])
def test_cdc_is_the_golden_one(case):
    clips = CLIPS[case["name"]]
    assert [content_hash(clip[0]) for clip in clips] == case["first"]
    assert [content_hash(clip[-1]) for clip in clips] == case["last"]
    scores = [cdc(tensor(clip)) for clip in clips]
    assert sum(scores) / len(scores) == pytest.approx(case["expected"], abs=1e-9)


def test_cdc_agrees_with_the_squared_distance_of_scipy():
    distance = pytest.importorskip("scipy.spatial.distance")
    images = jittered(5, 20, 7)

    def histogram(image, channel):
        return np.histogram(image[..., channel], bins=256, range=(0, 256))[0]

    expected = np.mean(
        [
            np.mean(
                [
                    distance.jensenshannon(histogram(a, channel), histogram(b, channel)) ** 2
                    for a, b in zip(images[:-step], images[step:], strict=True)
                    for channel in range(3)
                ]
            )
            for step in (1, 2, 4)
        ]
    )
    assert cdc(tensor(images)) == pytest.approx(expected, rel=1e-9)


def test_a_frozen_clip_has_no_cdc_and_flicker_of_one_level_has_much():
    flat = const([90, 120, 150], 24, 24)
    assert cdc(tensor([flat] * 5)) == 0
    assert cdc(tensor([shift(flat, t % 2) for t in range(5)])) == pytest.approx(math.log(2) / 3)


def test_cdc_of_four_frames_is_refused():
    with pytest.raises(ValueError, match="at least 5 frames, got 4"):
        cdc(tensor([BASE] * 4))


def test_cdc_keeps_four_histograms_and_no_frame():
    score = ColorDistributionConsistency()
    for frame in tensor([BASE] * 9):
        score.update(frame)
    assert [tuple(histogram.shape) for histogram in score.latest] == [(3, 256)] * 4


BIG = cartoon(51, 120, 160)
CROP = np.ascontiguousarray(BIG[12:108, 16:144])
MOVED = np.ascontiguousarray(BIG[10:106, 19:147])
"""What `CROP` becomes when everything moves by (-3, 2)."""
STILL = constant_flow(0, 0)
GRAY = const([90, 120, 150], 96, 128)
WAVE = wave_flow(54, 96, 128, 0.6)
PAIRS = {
    "identical": (CROP, CROP, STILL, STILL),
    "flicker_plus10": (GRAY, shift(GRAY, 10), STILL, STILL),
    "translation": (CROP, MOVED, constant_flow(-3, 2), constant_flow(3, -2)),
    "translation_bw_zero": (CROP, MOVED, constant_flow(-3, 2), STILL),
    "subpixel_constant": (CROP, jitter(CROP, 52, 8), constant_flow(0.5, 0.25), constant_flow(-0.5, -0.25)),
    "wave_amp0.6": (CROP, jitter(CROP, 52, 8), WAVE, -WAVE),
    "moving_square": moving_square(),
}


def score_pairs(names, dtype=torch.float32):
    """Mean warp error of pairs that are no neighbors of each other."""
    scores = []
    for name in names:
        first, second, forward, backward = PAIRS[name]
        flows = [torch.from_numpy(flow)[None].to(dtype) for flow in (forward, backward)]
        scores.append(warp_error(tensor([first, second], dtype), *flows))
    return sum(scores) / len(scores)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("case", GOLDEN["warp_error"], ids=lambda case: case["name"])
def test_warp_error_is_the_golden_one(case, dtype):
    first, second, forward, backward = PAIRS[case["name"]]
    assert [content_hash(first), content_hash(second)] == case["frames"]
    is_masked = warp_mask(torch.from_numpy(forward).to(dtype), torch.from_numpy(backward).to(dtype))
    assert int(is_masked.sum()) == case["masked"]
    assert score_pairs([case["name"]], dtype) == pytest.approx(case["expected"], rel=1e-5, abs=1e-8)


def test_warp_error_is_the_mean_over_pairs_and_then_over_clips():
    clips = [score_pairs(pairs, torch.float64) for pairs in (["flicker_plus10", "translation"], ["subpixel_constant"])]
    assert sum(clips) / 2 == pytest.approx(GOLDEN["warp_error_of_two_clips"][0]["expected"], rel=1e-9)


def test_warp_error_agrees_with_a_loop_over_pixels():
    height, width = 9, 11
    random = np.random.RandomState(3)
    frames = random.random_sample((3, 3, height, width))
    forward, backward = random.normal(2, 0.1, (2, 2, height, width)), random.normal(-2, 0.5, (2, 2, height, width))

    def sample(image, x, y):
        x0, y0 = math.floor(x), math.floor(y)
        value = 0
        for row, row_weight in ((y0, 1 - (y - y0)), (y0 + 1, y - y0)):
            for column, column_weight in ((x0, 1 - (x - x0)), (x0 + 1, x - x0)):
                clamped = image[:, min(max(row, 0), height - 1), min(max(column, 0), width - 1)]
                value = value + row_weight * column_weight * clamped
        return value

    pairs, masked = [], 0
    for t in range(2):
        f, b, total, kept = forward[t], backward[t], 0.0, 0
        for y in range(height):
            for x in range(width):
                there = x + f[0, y, x], y + f[1, y, x]
                back = sample(b, *there)
                gradient = 0.0
                if x + 1 < width:
                    gradient += ((f[:, y, x + 1] - f[:, y, x]) ** 2).sum()
                if y + 1 < height:
                    gradient += ((f[:, y + 1, x] - f[:, y, x]) ** 2).sum()
                speed = (f[:, y, x] ** 2).sum()
                if ((back + f[:, y, x]) ** 2).sum() > 0.01 * ((back**2).sum() + speed) + 0.5:
                    continue
                if gradient > 0.01 * speed + 0.002:
                    continue
                kept += 1
                total += ((frames[t][:, y, x] - sample(frames[t + 1], *there)) ** 2).sum()
        pairs.append(total / (3 * kept) if kept else 0)
        masked += height * width - kept
    assert 20 < masked < 2 * height * width - 20
    score = warp_error(*(torch.from_numpy(values) for values in (frames, forward, backward)))
    assert score == pytest.approx(sum(pairs) / 2, rel=1e-12)


def test_warp_error_needs_a_flow_each_way_for_every_pair():
    frames, flows = torch.zeros(3, 3, 8, 8), torch.zeros(2, 2, 8, 8)
    with pytest.raises(ValueError, match="3 frames with 2 and 1 flows"):
        warp_error(frames, flows, flows[:1])
    with pytest.raises(ValueError, match="at least 2 frames"):
        warp_error(frames[:1], flows[:0], flows[:0])


def test_a_generated_clip_has_less_warp_error_along_its_motion_than_without():
    shot = CelShot(3, height=64, width=64, frames=6)
    frames = torch.stack([shot.frame(i).color for i in range(6)])
    forward = torch.stack([shot.flow_px(i, i + 1) for i in range(5)])
    backward = torch.stack([shot.flow_px(i + 1, i) for i in range(5)])
    along, without = warp_error(frames, forward, backward), warp_error(frames, forward * 0, backward * 0)
    assert 0 < along < without / 2


def test_region_flicker_is_the_color_change_of_the_only_region_that_changes():
    regions = torch.zeros(3, 8, 8, dtype=torch.int32)
    regions[:, :4], regions[:, 5:] = 7, 9  # a row of ink between them
    frames = torch.full((3, 3, 8, 8), 0.5)
    frames[1, 0, 5:] = 0.75
    frames[:, :, 4] = torch.rand(3, 3, 8)  # ink may flicker, it is in no region
    colors = lab_colors(torch.tensor([[0.5, 0.75], [0.5, 0.5], [0.5, 0.5]])[..., None])
    change = delta_e_2000(colors[:, 0], colors[:, 1]).item()
    assert region_flicker(frames, regions) == pytest.approx(2 * change / 4, rel=1e-5)


def test_a_region_that_moves_with_its_color_does_not_flicker():
    regions = torch.zeros(2, 8, 8, dtype=torch.int32)
    regions[0, 1:3, 1:3] = regions[1, 4:7, 4:8] = 3
    frames = torch.rand(2, 3, 8, 8)
    frames[0, :, 1:3, 1:3] = frames[1, :, 4:7, 4:8] = torch.tensor([0.9, 0.3, 0.1])[:, None, None]
    assert region_flicker(frames, regions) == pytest.approx(0, abs=1e-4)


def test_flicker_of_regions_that_are_never_seen_twice_is_no_number():
    regions = torch.arange(1, 4).view(3, 1, 1).expand(3, 4, 4)
    assert math.isnan(region_flicker(torch.rand(3, 3, 4, 4), regions))
