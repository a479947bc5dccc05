"""What colors of regions are scored by, and that the commands run."""

from dataclasses import replace

import pytest
import torch

from exact_fill import main as exact_fill
from opdm.data.cel_clips import cel_clips
from opdm.segments import find_regions
from region_painting import METHODS, judge, main, score

RED, BLUE = torch.tensor([[0.8, 0.2, 0.2], [0.2, 0.2, 0.8]])


def frame():
    """Three rooms, of 10, 20 and 30 columns: red, blue and shaded."""
    regions = torch.tensor([1] * 10 + [2] * 20 + [3] * 30, dtype=torch.int32).expand(30, 60).contiguous()
    true = torch.where(regions[None] == 1, RED.view(3, 1, 1), BLUE.view(3, 1, 1))
    shade = torch.linspace(0, 1, 30)[:, None].expand(30, 60)
    return regions, torch.where(regions[None] == 3, shade, true)


def painted(colors, regions):
    """(3, H, W) with each region in its color."""
    return colors[regions.long() - 1].permute(2, 0, 1)


@pytest.mark.parametrize(
    ("colors", "expected"),
    [
        ([RED, BLUE], [1, 1, 1]),
        ([RED + 7 / 255, BLUE], [1, 1, 1]),  # within the tolerance
        ([RED, RED], [1 / 2, 1 / 3, (1 / 3 + 0) / 2]),
        ([BLUE, BLUE], [1 / 2, 2 / 3, (0 + 2 / 3) / 2]),
        ([torch.zeros(3)] * 2, [0, 0, 0]),
    ],
)
def test_flat_regions_count_by_number_by_area_and_by_color(colors, expected):
    regions, true = frame()
    answer = torch.stack([*colors, torch.zeros(3)])  # of the shaded one any answer will do
    assert score(painted(answer, regions), regions, true) == pytest.approx(expected, abs=1e-6)


def test_true_regions_judge_where_a_clip_has_them():
    (clip,) = cel_clips([5], height=64, width=64, frames=2)
    nothing_found = torch.zeros(64, 64, dtype=torch.int32)
    assert judge(clip.color(0), clip, 0, nothing_found) == pytest.approx([1, 1, 1])
    regions = find_regions(clip.lines(0))
    without = replace(clip, regions=None)
    assert judge(clip.color(0), without, 0, regions) == score(clip.color(0), regions, clip.color(0))


def test_a_frame_without_flat_regions_has_no_score():
    regions, _ = frame()
    noise = torch.rand(3, 30, 60, generator=torch.Generator().manual_seed(0))
    assert all(value != value for value in score(torch.zeros(3, 30, 60), regions, noise))


def test_every_method_has_a_row_in_both_settings(capsys):
    assert main(["--shots", "1", "--frames", "3", "--size", "64"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("| method |") == 2
    for name in METHODS:
        assert printed.count(f"| `{name}` |") == 2


def test_exact_fill_has_a_row_for_each_method_and_fill(capsys):
    assert exact_fill(["--shots", "1", "--frames", "3", "--size", "64"]) == 0
    assert [line.count("|") for line in capsys.readouterr().out.splitlines()] == [8] * 6


def test_what_is_missing_is_said_in_a_line(capsys):
    for command, name in ((main, "region_painting.py"), (exact_fill, "exact_fill.py")):
        assert command(["--shots", "1", "--frames", "3", "--size", "64", "--ant", "nowhere"]) == 2
        assert f"{name}: error: nowhere: no Animation Transformer" in capsys.readouterr().err
