import cv2
import numpy as np
import pytest
import torch

from opdm.data.cel_animation import CelShot
from opdm.data.region_labels import count_votes, is_interior, match_regions, split_regions

NOTHING = torch.zeros(40, 48, dtype=torch.bool)
STILL = torch.zeros(2, 40, 48)


def boxes(right=0, down=0):
    """Three boxes of 10 x 10 on ground of region 0, moved by whole pixels."""
    labels = torch.zeros(40, 48, dtype=torch.long)
    for region, (y, x, height, width) in enumerate([(5, 5, 10, 10), (5, 25, 10, 10), (20, 10, 10, 20)], start=1):
        labels[y + down : y + down + height, x + right : x + right + width] = region
    return labels


def match_slowly(source, target, flow_px, is_occluded):
    """The definition, pixel by pixel."""
    height, width = source.shape
    votes = [{} for _ in range(int(source.max()) + 1)]
    for y in range(height):
        for x in range(width):
            around = source[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
            if source[y, x] < 0 or is_occluded[y, x] or bool((around != source[y, x]).any()):
                continue
            to_x = int(np.floor(x + float(flow_px[0, y, x]) + 0.5))
            to_y = int(np.floor(y + float(flow_px[1, y, x]) + 0.5))
            if 0 <= to_x < width and 0 <= to_y < height and target[to_y, to_x] >= 0:
                region = votes[int(source[y, x])]
                region[int(target[to_y, to_x])] = region.get(int(target[to_y, to_x]), 0) + 1
    return [sorted(region, key=lambda t: (-region[t], t)) or [-1] for region in votes]


def test_regions_that_stay_match_themselves():
    assert match_regions(boxes(), boxes(), STILL, NOTHING) == [[0], [1], [2], [3]]


def test_a_box_of_ten_pixels_votes_with_the_eight_that_erosion_leaves():
    votes = count_votes(boxes(), boxes(), STILL, is_interior(boxes()))
    assert votes.pixels[1] == 64


def test_ground_that_boxes_move_over_has_them_as_lower_priorities():
    flow_px = torch.tensor([4.0, 3.0]).view(2, 1, 1) * (boxes() > 0)
    assert match_regions(boxes(), boxes(right=4, down=3), flow_px, NOTHING) == [[0, 3, 1, 2], [1], [2], [3]]


def test_an_occluded_region_is_unmatched():
    assert match_regions(boxes(), boxes(), STILL, boxes() == 2)[2] == [-1]


def test_a_region_that_leaves_the_frame_is_unmatched():
    flow_px = torch.tensor([30.0, 0]).view(2, 1, 1) * (boxes() == 2)
    assert match_regions(boxes(), boxes(), flow_px, NOTHING)[2] == [-1]


def test_regions_thinner_than_three_pixels_are_unmatched():
    labels = boxes()
    labels[2:4, 40:46] = 4
    labels[30:39, 1] = 5
    assert match_regions(labels, labels, STILL, NOTHING)[1:] == [[1], [2], [3], [-1], [-1]]


def test_ink_neither_votes_nor_is_voted_for():
    target = boxes()
    target[target == 2] = -1
    source = boxes()
    source[source == 3] = -1
    assert match_regions(source, target, STILL, NOTHING) == [[0], [1], [-1]]


def test_matching_agrees_with_a_slow_loop():
    random = np.random.default_rng(0)
    source, target = (torch.from_numpy(np.kron(random.integers(-1, 9, (6, 7)), np.ones((5, 6), int))) for _ in range(2))
    flow_px = torch.from_numpy(random.normal(0, 6, (2, 30, 42)).astype(np.float32))
    is_occluded = torch.from_numpy(random.random((30, 42)) < 0.3)
    expected = match_slowly(source, target, flow_px, is_occluded)
    assert match_regions(source, target, flow_px, is_occluded) == expected


@pytest.mark.parametrize("seed", [4, 11])
def test_on_a_generated_shot_matches_keep_the_identity_of_regions(seed):
    shot = CelShot(seed, height=128, width=128, frames=3)
    source, target = (split_regions(frame.regions, frame.lines) for frame in map(shot.frame, (0, 1)))
    matches = match_regions(source.labels, target.labels, shot.flow_px(0, 1), shot.is_occluded(0, 1))
    matched = [(piece, first) for piece, (first, *_) in enumerate(matches) if first >= 0]
    assert len(matched) > 5
    assert all(source.regions[piece] == target.regions[first] for piece, first in matched)


def test_pieces_are_the_connected_components_of_each_region_off_the_ink():
    frame = CelShot(5, height=96, width=112, frames=1).frame(0)
    pieces = split_regions(frame.regions, frame.lines, smallest_px=6)
    is_paint = frame.lines[0].numpy() >= 0.5
    areas, expected = [], np.full(is_paint.shape, -1)
    for region in frame.regions.unique():
        count, components, stats, _ = cv2.connectedComponentsWithStats(
            (is_paint & (frame.regions.numpy() == int(region))).astype(np.uint8), connectivity=4
        )
        for component in range(1, count):
            if stats[component, cv2.CC_STAT_AREA] >= 6:
                expected[components == component] = len(areas)
                areas.append(int(region))
    # The same parts of the frame, in whatever order they are counted.
    pairs = np.unique(np.stack([pieces.labels.numpy().ravel(), expected.ravel()]), axis=1)
    assert pairs.shape[1] == len(areas) + 1 == len(pieces.regions) + 1
    assert [areas[b] for a, b in pairs.T if a >= 0] == pieces.regions[pairs[0][pairs[0] >= 0]].tolist()


def test_a_frame_of_ink_has_no_pieces():
    pieces = split_regions(torch.ones(8, 8, dtype=torch.int32), torch.zeros(1, 8, 8))
    assert len(pieces.regions) == 0
    assert bool((pieces.labels == -1).all())
