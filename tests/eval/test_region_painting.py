"""What colors of regions are scored by, and that the commands run."""

import pytest
import torch

from exact_fill import main as exact_fill
from region_painting import METHODS, main, score

RED, BLUE = torch.tensor([[0.8, 0.2, 0.2], [0.2, 0.2, 0.8]])


def frame():
    """Three rooms, of 10, 20 and 30 columns: red, blue and shaded."""
    regions = torch.tensor([1] * 10 + [2] * 20 + [3] * 30, dtype=torch.int32).expand(30, 60).contiguous()
    true = torch.where(regions[None] == 1, RED.view(3, 1, 1), BLUE.view(3, 1, 1))
    shade = torch.linspace(0, 1, 30)[:, None].expand(30, 60)
    return regions, torch.where(regions[None] == 3, shade, true)


@pytest.mark.parametrize(
    ("colors", "expected"),
    [
        ([RED, BLUE], [1, 1, 1]),
        ([RED + 7 / 255, BLUE], [1, 1, 1]),  # within the tolerance
        ([RED, RED], [1 / 2, 1 / 3, (1 / 3 + 0) / 2]),
        ([BLUE, BLUE], [1 / 2, 2 / 3, (0 + 2 / 3) / 2]),
        ([torch.full((3,), torch.nan)] * 2, [0, 0, 0]),
    ],
)
def test_flat_regions_count_by_number_by_area_and_by_color(colors, expected):
    regions, true = frame()
    answer = torch.stack([*colors, torch.zeros(3)])  # of the shaded one any answer will do
    assert score(answer, regions, true) == pytest.approx(expected, abs=1e-6)


def test_a_frame_without_flat_regions_has_no_score():
    regions, _ = frame()
    noise = torch.rand(3, 30, 60, generator=torch.Generator().manual_seed(0))
    assert all(value != value for value in score(torch.zeros(3, 3), regions, noise))


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
