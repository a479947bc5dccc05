import hashlib
import json
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from opdm import segments
from opdm.data.cel_animation import CelShot, CelStyle
from opdm.segments import fill_regions, find_regions, grow_over_lines, vote_colors

GOLDEN = json.loads((Path(__file__).parent / "data_files" / "golden_segments.json").read_text())
RED, GREEN, BLUE, BROWN = (1.0, 0.1, 0.1), (0.1, 0.8, 0.2), (0.2, 0.2, 1.0), (0.4, 0.15, 0.05)


def lines_of(drawing):
    return torch.from_numpy(drawing[None].astype(np.float32) / 255)


def two_rooms(gap_px):
    drawing = np.full((60, 90), 255, np.uint8)
    drawing[[5, 54], 5:85] = drawing[5:55, [5, 84]] = drawing[5:55, 45] = 0
    drawing[30 : 30 + gap_px, 45] = 255
    return drawing


def ellipses(seed, *, gap_degrees=0, size=(200, 300), count=9, thickness=2):
    random = np.random.RandomState(seed)
    drawing = np.full(size, 255, np.uint8)
    for _ in range(count):
        center = int(random.randint(size[1])), int(random.randint(size[0]))
        axes = int(random.randint(20, 60)), int(random.randint(20, 60))
        angle = int(random.randint(180))
        cv2.ellipse(drawing, center, axes, angle, 0, 360 - gap_degrees, 0, thickness)
    return drawing


def components(is_inside):
    return cv2.connectedComponents(is_inside.astype(np.uint8), connectivity=4)[1]


def purity(regions, truth):
    """Share of the pixels of both maps whose region has most of its pixels in the same true region."""
    regions, truth = regions.reshape(-1), truth.reshape(-1)
    known = (regions > 0) & (truth > 0)
    table = np.zeros((regions.max() + 1, truth.max() + 1))
    np.add.at(table, (regions[known], truth[known]), 1)
    return table.max(axis=1).sum() / known.sum()


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["name"])
def test_gaps_are_closed_up_to_the_published_width(case):
    drawing = two_rooms(case["gap_px"])
    assert hashlib.sha256(drawing.tobytes()).hexdigest()[:16] == case["sha_binary"]
    regions = find_regions(lines_of(drawing), gap_px=6)
    assert (regions[30, 20] != regions[30, 70]) == case["rooms_separated"]
    assert (regions == 0).sum() == case["line_pixels"]
    areas = np.sort(np.bincount(regions.flatten())[1:])[::-1]
    assert len(areas) == 2 + case["rooms_separated"]  # a corner belongs to its room
    np.testing.assert_allclose(areas[:2], case["largest_areas"], rtol=GOLDEN["tolerance"])


@pytest.mark.parametrize("gap_px", [2, 4, 10, 16])
def test_the_chosen_width_decides_which_gaps_are_closed(gap_px):
    closed, open_ = (find_regions(lines_of(two_rooms(gap)), gap_px=gap_px) for gap in (gap_px, gap_px + 1))
    assert closed.max() == 3
    assert open_.max() == 2


def test_without_gaps_to_close_regions_are_connected_components():
    drawing = (np.random.RandomState(0).rand(80, 120) > 0.45).astype(np.uint8) * 255
    regions = find_regions(lines_of(drawing), gap_px=0, smallest_px=1).numpy()
    expected = components(drawing > 0)
    pairs = np.unique(np.stack([regions.reshape(-1), expected.reshape(-1)]), axis=1)
    assert pairs.shape[1] == regions.max() + 1 == expected.max() + 1


@pytest.mark.parametrize("seed", range(4))
def test_lines_with_gaps_part_what_whole_lines_part(seed):
    whole = components(ellipses(seed) > 0)
    drawing = ellipses(seed, gap_degrees=6)
    assert purity(components(drawing > 0), whole) < 0.97
    regions = find_regions(lines_of(drawing), gap_px=6).numpy()
    assert purity(regions, whole) > 0.999


@pytest.mark.parametrize("seed", range(4))
def test_every_region_is_connected_and_all_paper_belongs_to_one(seed):
    drawing = ellipses(seed, gap_degrees=6)
    drawing[np.random.RandomState(seed).rand(*drawing.shape) > 0.995] = 0
    regions = find_regions(lines_of(drawing), gap_px=6, smallest_px=1).numpy()
    assert np.array_equal(regions == 0, drawing == 0)
    assert np.array_equal(np.unique(regions[regions > 0]), np.arange(1, regions.max() + 1))
    for region in range(1, regions.max() + 1):
        assert components(regions == region).max() == 1


def test_the_number_of_threads_changes_nothing():
    lines = lines_of(ellipses(1, gap_degrees=6, size=(600, 800), count=40))
    threads = cv2.getNumThreads()
    try:
        maps = []
        for count in (1, 4):
            cv2.setNumThreads(count)
            maps.append(find_regions(lines))
    finally:
        cv2.setNumThreads(threads)
    assert maps[0].max() > 10
    assert torch.equal(*maps)


def test_a_diagonal_line_of_one_pixel_parts():
    drawing = np.full((40, 40), 255, np.uint8)
    np.fill_diagonal(drawing, 0)
    regions = find_regions(lines_of(drawing))
    assert regions.max() == 2
    assert regions[5, 30] != regions[30, 5]


def test_a_strand_that_swells_stays_whole():
    drawing = np.zeros((40, 200), np.uint8)
    for x in range(5, 195):
        half = 2 + (x // 6) % 2
        drawing[20 - half : 20 + half + 1, x] = 255
    assert find_regions(lines_of(drawing)).max() == 1


def test_a_thin_shape_with_a_hole_in_its_line_is_a_region():
    drawing = np.full((60, 120), 255, np.uint8)
    cv2.rectangle(drawing, (20, 26), (100, 34), 0, 1)  # 7 px wide inside
    drawing[26, 60:62] = 255
    regions = find_regions(lines_of(drawing))
    assert regions.max() == 2
    assert regions[30, 60] != regions[10, 60]


@pytest.mark.parametrize("ink", [0.3, 0.6, 1.0])
def test_soft_pencil_lines_part(ink):
    drawing = ellipses(2, thickness=1).astype(np.float32) / 255
    soft = 1 - ink * (1 - cv2.GaussianBlur(drawing, (0, 0), 0.7))
    grain = np.random.RandomState(0).rand(*soft.shape).astype(np.float32) * 0.05
    regions = find_regions(torch.from_numpy(soft - grain)[None].clamp(0, 1)).numpy()
    assert purity(regions, components(drawing > 0.5)) > 0.99


def test_color_traces_part_and_are_painted_over():
    drawing = np.ones((60, 150, 3), np.float32)
    for x, color in zip((30, 60, 90, 120), (RED, GREEN, BLUE, BROWN), strict=True):
        cv2.line(drawing, (x, 0), (x, 59), color, 2, cv2.LINE_AA)
    regions = find_regions(torch.from_numpy(drawing.transpose(2, 0, 1)))
    assert regions.max() == 5
    assert (regions[:, :115] > 0).all()
    assert (regions[:, 120] == 0).all()
    assert set(regions[:, 15:45].unique().tolist()) == {regions[0, 15].item(), regions[0, 45].item()}


def test_a_gray_drawing_in_color_is_the_same_drawing():
    lines = lines_of(ellipses(3, gap_degrees=5))
    assert torch.equal(find_regions(lines), find_regions(lines.expand(3, -1, -1)))


def test_specks_go_to_the_nearest_region():
    drawing = np.full((40, 60), 255, np.uint8)
    drawing[:, 20:30] = 0
    drawing[18:20, 21:23] = drawing[10, 28] = 255
    regions = find_regions(lines_of(drawing), smallest_px=5)
    assert regions.max() == 2
    assert (regions[18:20, 21:23] == regions[0, 0]).all()
    assert regions[10, 28] == regions[0, 59]


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (3, 2), (64, 64)])
def test_blank_paper_is_one_region_and_black_is_none(size):
    assert (find_regions(torch.ones(1, *size)) == 1).all()
    black = find_regions(torch.zeros(1, *size))
    assert (black == 0).all()
    assert (grow_over_lines(black) == 0).all()
    assert vote_colors(black, torch.rand(3, *size)).shape == (0, 3)
    frame = torch.rand(3, *size)
    assert torch.equal(fill_regions(black, torch.zeros(0, 3), frame), frame)


def test_a_drawing_without_a_closed_line_is_one_region():
    drawing = np.full((100, 100), 255, np.uint8)
    cv2.line(drawing, (20, 20), (70, 80), 0, 2)
    assert find_regions(lines_of(drawing)).max() == 1


@pytest.mark.parametrize("radius", [0, 2])
def test_twenty_thousand_specks_end_soon(radius):
    random, drawing = np.random.RandomState(0), np.full((1080, 1920), 255, np.uint8)
    for x, y in zip(random.randint(1920, size=20000), random.randint(1080, size=20000), strict=True):
        cv2.circle(drawing, (int(x), int(y)), radius, 0, -1)
    start = time.perf_counter()
    regions = find_regions(lines_of(drawing))
    colors = vote_colors(regions, torch.rand(3, 1080, 1920))
    assert time.perf_counter() - start < 10
    assert len(colors) == regions.max() < 1000


@pytest.mark.parametrize("shape", [(60, 90), (2, 60, 90), (1, 1, 60, 90), (1, 0, 90)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="a drawing must be"):
        find_regions(torch.ones(shape))


def test_a_negative_gap_is_refused():
    with pytest.raises(ValueError, match="gap_px=-1"):
        find_regions(torch.ones(1, 8, 8), gap_px=-1)


def test_regions_of_generated_drawings_lie_within_the_true_ones():
    scores = []
    for seed in range(100, 104):
        frame = CelShot(seed, height=360, width=480, frames=2, style=CelStyle(background="flat")).frame(0)
        scores.append(purity(find_regions(frame.lines).numpy(), frame.regions.numpy() + 1))
    assert np.mean(scores) > 0.95


def test_lines_get_the_nearest_region():
    drawing = ellipses(5, size=(60, 80), count=4, thickness=4)
    regions = find_regions(lines_of(drawing))
    grown = grow_over_lines(regions)
    assert torch.equal(grown[regions > 0], regions[regions > 0])
    points = torch.nonzero(regions > 0).float()
    ids = regions[regions > 0]
    for y, x in torch.nonzero(regions == 0).tolist():
        distance = (points - torch.tensor([y, x])).norm(dim=1)
        # OpenCV's distance is off by up to some percent.
        assert distance[ids == grown[y, x]].min() <= distance.min() * 1.05


def test_the_most_common_color_is_met_exactly():
    regions = find_regions(lines_of(ellipses(6)))
    palette = torch.rand(int(regions.max()), 3)
    frame = fill_regions(regions, palette, torch.zeros(3, *regions.shape))
    is_wrong = torch.rand(regions.shape) < 0.4
    frame = torch.where(is_wrong, torch.rand_like(frame), frame)
    assert torch.allclose(vote_colors(regions, frame), palette, atol=2e-3)
    exact = vote_colors(regions, fill_regions(regions, palette, frame))
    assert torch.allclose(exact, palette, atol=1e-6)


def test_a_cluster_wins_wherever_it_lies():
    regions = torch.ones(40, 50, dtype=torch.int32)
    for center in np.linspace(0.05, 0.95, 37):
        frame = torch.rand(3, 40, 50)
        frame[:, :18] = center + (torch.rand(3, 18, 50) - 0.5) * 0.05  # 45 %, spread over up to 14 levels
        assert (vote_colors(regions, frame) - center).abs().max() < 0.02


def test_many_regions_are_voted_on_as_one_by_one(monkeypatch):
    monkeypatch.setattr(segments, "REGIONS_AT_ONCE", 16)
    regions = torch.arange(100, dtype=torch.int32).view(10, 10).repeat_interleave(6, 0).repeat_interleave(6, 1)
    frame, weights = torch.rand(3, 60, 60), torch.rand(60, 60)
    voted = vote_colors(regions, frame, weights)
    alone = [vote_colors((regions == region).int(), frame, weights) for region in range(1, 100)]
    assert torch.allclose(voted, torch.cat(alone), atol=1e-6)


def test_weights_decide_and_regions_without_weight_have_no_color():
    regions = torch.tensor([[1, 1, 1, 2, 3]], dtype=torch.int32)
    frame = torch.tensor([0.2, 0.2, 0.8, 0.5, 0.6]).expand(3, 1, 5)
    weights = torch.tensor([[1.0, 1.0, 5.0, 0.0, 1.0]])
    assert vote_colors(regions, frame)[:, 0].tolist() == pytest.approx([0.2, 0.5, 0.6])
    voted = vote_colors(regions, frame, weights)
    assert voted[[0, 2], 0].tolist() == pytest.approx([0.8, 0.6])
    assert voted[1].isnan().all()


def test_lines_and_unknown_colors_show_what_is_beneath():
    regions = torch.tensor([[0, 1, 2]], dtype=torch.int32)
    colors = torch.tensor([[0.1, 0.2, 0.3], [torch.nan] * 3])
    beneath = torch.full((3, 1, 3), 0.5)
    filled = fill_regions(regions, colors, beneath)
    assert filled[:, 0, 1].tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert (filled[:, 0, [0, 2]] == 0.5).all()


def test_sizes_that_do_not_fit_are_refused():
    regions = torch.ones(4, 5, dtype=torch.int32)
    with pytest.raises(ValueError, match="of one size"):
        vote_colors(regions, torch.rand(3, 5, 4))
    with pytest.raises(ValueError, match="of one size"):
        vote_colors(regions, torch.rand(3, 4, 5), torch.rand(5, 4))
    with pytest.raises(ValueError, match="do not fit"):
        fill_regions(regions, torch.zeros(0, 3), torch.rand(3, 4, 5))
