import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from golden_inputs import constant_flow, content_hash, moving_square, wave_flow
from opdm.data.cel_animation import CelShot
from opdm.metrics.flow import COLUMNS, EndPointErrors, epe_breakdown, occluded, sample_bilinear

GOLDEN = json.loads((Path(__file__).parents[1] / "data_files" / "golden_clip_metrics.json").read_text())


def threshold_flows():
    backward = constant_flow(-1, 0)
    backward[1, :, :64], backward[1, :, 64:96] = 0.5, 0.51
    return constant_flow(1, 0), backward


def wave_and_its_opposite():
    wave = wave_flow(53, 96, 128, 4.0)
    return wave, -wave


FLOWS = {
    "zero": lambda: (constant_flow(0, 0), constant_flow(0, 0)),
    "moving_square": lambda: moving_square()[2:],
    "threshold": threshold_flows,
    "wave_inverse_approx": wave_and_its_opposite,
}


@pytest.mark.parametrize("case", GOLDEN["occluded"], ids=lambda case: case["name"])
def test_occlusion_is_the_golden_one(case):
    forward, backward = FLOWS[case["name"]]()
    is_occluded = occluded(torch.from_numpy(forward), torch.from_numpy(backward))
    assert int(is_occluded.sum()) == case["pixels"]
    assert content_hash(is_occluded.numpy().astype(np.uint8)) == case["mask"]


def test_what_flow_calls_occluded_a_generated_shot_calls_occluded_too():
    shot = CelShot(3, height=96, width=96, frames=4)
    found = occluded(shot.flow_px(0, 3), shot.flow_px(3, 0))
    assert found.float().mean() > 0.2
    assert (found & ~shot.is_occluded(0, 3)).float().mean() < 0.01


def line_area():
    """Pixels within 10 px of a rectangle's outline, by distances to all of its pixels."""
    outline = [(y, x) for y in (20, 79) for x in range(10, 100)] + [(y, x) for y in range(20, 80) for x in (10, 99)]
    y, x = np.mgrid[0:96, 0:128]
    nearest = np.min([(y - row) ** 2 + (x - column) ** 2 for row, column in outline], axis=0)
    return nearest <= 100


def random_case():
    random = np.random.RandomState(90)
    dx, dy = random.randint(-800, 801, (96, 128)) / 10, random.randint(-300, 301, (96, 128)) / 10
    truth = np.stack([dx, dy])
    prediction = truth + (random.randint(-40, 41, (96, 128, 2)) / 16).transpose(2, 0, 1)
    return prediction, truth, random.randint(0, 10, (96, 128)) == 0


def offset_case():
    forward, backward = moving_square()[2:]
    is_occluded = occluded(torch.from_numpy(forward), torch.from_numpy(backward)).numpy()
    return forward + np.array([3, 4])[:, None, None], forward, is_occluded


def edges_case():
    truth = np.repeat(np.array([[10, 10.001, 30, 50.001], [0, 0, 40, 0]]), 32, axis=1)[:, None].repeat(96, axis=1)
    prediction = truth.copy()
    prediction[0] += np.repeat([1, 2, 3, 4], 32)
    return prediction, truth, np.zeros((96, 128), bool)


def identical_case():
    _, truth, is_occluded = random_case()
    return truth, truth, is_occluded


CASES = {"identical": identical_case, "offset_3_4": offset_case, "bin_edges": edges_case, "random": random_case}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("case", GOLDEN["epe"], ids=lambda case: case["name"])
def test_end_point_errors_are_the_golden_ones(case, dtype):
    prediction, truth, is_occluded = (torch.from_numpy(values) for values in CASES[case["name"]]())
    is_foreground = torch.zeros(96, 128, dtype=torch.bool)
    is_foreground[21:79, 11:99] = True
    masks = is_occluded, torch.from_numpy(line_area()), is_foreground
    errors = EndPointErrors()
    errors.update(prediction.to(dtype), truth.to(dtype), *masks)
    assert dict(zip(COLUMNS, errors.pixels.tolist(), strict=True)) == case["pixels"]
    expected = {
        column: pytest.approx(float(value), abs=1e-5, nan_ok=True) for column, value in case["expected"].items()
    }
    assert errors.compute() == expected
    assert epe_breakdown([prediction.to(dtype)], [truth.to(dtype)], *([mask] for mask in masks)) == expected


def test_errors_are_pooled_over_pixels_not_over_pairs():
    small, large = torch.zeros(2, 2, 5), torch.zeros(2, 6, 5)
    shifted = large + torch.tensor([3.0, 4.0])[:, None, None]
    assert epe_breakdown([small, shifted], [small, large])["epe"] == 5 * 30 / 40


def test_columns_that_the_data_says_nothing_about_are_no_numbers():
    errors = epe_breakdown([torch.zeros(2, 4, 4)], [torch.ones(2, 4, 4)])
    assert {column for column, error in errors.items() if math.isnan(error)} == set(COLUMNS) - {"epe", "s<10"}


def test_merged_errors_are_those_of_all_pairs():
    random = np.random.RandomState(1)
    flows = [torch.from_numpy(random.normal(size=(2, 2, 7, 9)) * 30) for _ in range(4)]
    parts = [EndPointErrors(), EndPointErrors()]
    for index, (prediction, truth) in enumerate(flows):
        parts[index % 2].update(prediction, truth)
    parts[0].merge(parts[1])
    together = epe_breakdown([pair[0] for pair in flows], [pair[1] for pair in flows])
    assert parts[0].compute() == pytest.approx(together, rel=1e-12, nan_ok=True)


def test_flows_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match="must both be"):
        epe_breakdown([torch.zeros(2, 4, 4)], [torch.zeros(2, 4, 5)])
    with pytest.raises(ValueError, match="zip"):
        epe_breakdown([torch.zeros(2, 4, 4)] * 2, [torch.zeros(2, 4, 4)] * 2, is_line=[None])


def test_bilinear_samples_agree_with_grid_sample():
    field, flow = torch.rand(5, 13, 17, dtype=torch.float64), 6 * torch.randn(2, 13, 17, dtype=torch.float64)
    y, x = torch.meshgrid(torch.arange(13.0).double(), torch.arange(17.0).double(), indexing="ij")
    grid = torch.stack([(x + flow[0]) / 8 - 1, (y + flow[1]) / 6 - 1], dim=-1)
    expected = F.grid_sample(field[None], grid[None], padding_mode="border", align_corners=True)[0]
    torch.testing.assert_close(sample_bilinear(field, flow), expected)
