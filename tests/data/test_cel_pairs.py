"""Pairs of segmented drawings, and what is true about them."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from opdm.config import AnTConfig, CelPairDataConfig
from opdm.data.cel_pairs import CelPairDataset, SegmentedDrawing, find_matches, move_drawing, stack_pairs
from opdm.data.shot_dataset import HELD_OUT
from opdm.data.training import StepSampler


def dataset(seed=5, **changes):
    settings = {"shot_sizes": (96, 112), "longest_gap": 3, **changes}
    return CelPairDataset(CelPairDataConfig(**settings), model=AnTConfig(), seed=seed)


def equal(a, b):
    tensors = [(x.segments.crops, x.segments.boxes, x.segments.is_segment, *x.matches.values()) for x in (a, b)]
    return all(one.shape == other.shape and torch.equal(one, other) for one, other in zip(*tensors, strict=True))


def test_a_sample_is_a_function_of_seed_and_index_alone():
    forward, data = [stack_pairs([dataset()[index]]) for index in range(6)], dataset()
    backward = [stack_pairs([data[index]]) for index in reversed(range(6))]
    assert all(equal(a, b) for a, b in zip(forward, reversed(backward), strict=True))
    assert not equal(forward[0], stack_pairs([dataset(seed=6)[0]]))


def test_workers_change_nothing():
    sampler = StepSampler(loads=range(2), batch_size=3, process=0, processes=1)
    loaders = [DataLoader(dataset(), batch_sampler=sampler, collate_fn=stack_pairs, num_workers=n) for n in (0, 1)]
    assert all(equal(a, b) for a, b in zip(*loaders, strict=True))


def test_matches_are_of_one_region_but_not_all_of_its_pieces():
    data, many = dataset(), 0
    for index in range(12):
        pair = data[index]
        is_same = pair.reference.regions[:, None] == pair.target.regions
        assert not (pair.is_match & ~is_same).any()
        many += int((is_same & ~pair.is_match).sum())
    assert many, "flow tells pieces of one region apart"


def test_unmoved_segments_match_where_and_only_where_the_region_is_shown():
    data = dataset(moved_share=0)
    for index in range(6):
        pair = data[index]
        is_shown = torch.isin(pair.target.regions, pair.reference.regions)
        assert torch.equal(pair.is_match.any(dim=0), is_shown)


def test_the_labels_of_a_sample_are_without_a_gap_and_match_its_tables():
    data = dataset(moved_share=1.0)
    for index in range(6):
        pair = data[index]
        for drawing, crops, count in zip((pair.reference, pair.target), pair.crops, pair.is_match.shape, strict=True):
            assert drawing.labels[drawing.labels >= 0].unique().tolist() == list(range(count))
            assert len(drawing.regions) == len(drawing.colors) == len(crops.crops) == count


def test_matching_segments_have_the_same_color():
    data, agreed, matched = dataset(moved_share=0), 0, 0
    for index in range(12):
        pair = data[index]
        agreed += int((pair.is_match & pair.is_same_color).any(dim=0).sum())
        matched += int(pair.is_match.any(dim=0).sum())
    assert agreed > 0.9 * matched, "all but those that shade and light divide otherwise"


def make_drawing(labels, regions):
    lines, colors = torch.ones(1, *labels.shape), torch.zeros(len(regions), 3)
    return SegmentedDrawing(lines, labels, torch.tensor(regions), colors)


def test_a_segment_matches_none_one_or_many():
    labels = torch.full((12, 24), -1)
    labels[1:6, 1:11], labels[1:6, 13:23], labels[7:11, 1:11], labels[7:11, 13:23] = 0, 1, 2, 3
    target = make_drawing(labels, [7, 7, 8, 9])
    whole = labels.clone()
    whole[1:6, 1:23], whole[7:11, 13:23] = 0, 1
    whole[7:11, 1:11] = 2
    reference = make_drawing(whole, [7, 8, 8])
    flow_px, is_hidden = torch.zeros(2, 12, 24), torch.zeros(12, 24, dtype=torch.bool)
    found = find_matches(reference, target, flow_px, is_hidden)
    expected = [[True, True, False, False], [False, False, False, False], [False, False, True, False]]
    assert found.tolist() == expected
    # Where nothing is seen, every piece of the region may be it.
    assert find_matches(reference, target, flow_px, ~is_hidden)[:, 2].tolist() == [False, True, True]


def test_a_moved_drawing_keeps_what_stays_in_the_frame():
    labels = torch.full((20, 40), -1)
    labels[2:8, 2:10], labels[2:8, 30:38], labels[12:18, 2:10] = 0, 1, 2
    moved, left = move_drawing(make_drawing(labels, [4, 5, 6]), np.array([[1.0, 0, 12], [0, 1.0, 1]]))
    assert left.tolist() == [0, 2] and moved.regions.tolist() == [4, 6]
    assert (moved.labels[3:9, 14:22] == 0).all() and (moved.labels[13:19, 14:22] == 1).all()
    assert (moved.labels >= 0).sum() == 96


def test_held_out_shots_are_others():
    data = dataset()
    assert all(index >= HELD_OUT for index in data.held_out(3))
    assert not equal(stack_pairs([data[0]]), stack_pairs([data[data.held_out(1)[0]]]))


def test_a_batch_has_a_place_for_every_segment():
    data = dataset()
    samples = [data[0], data[5]]
    batch = stack_pairs(samples)
    counts = [len(pair.reference.regions) for pair in samples] + [len(pair.target.regions) for pair in samples]
    assert batch.segments.is_segment.sum(dim=1).tolist() == counts
    for place, pair in enumerate(samples):
        m, n = pair.is_match.shape
        assert batch.is_pair[place].sum() == m * n and batch.is_pair[place, :m, :n].all()
        assert torch.equal(batch.matches["ids"][place, :m, :n], pair.is_match)
        assert batch.matches["ids"][place].sum() == pair.is_match.sum()


def test_impossible_data_name_the_field():
    for name, value in (("shot_sizes", (96, 64)), ("longest_gap", 0), ("pairs_per_shot", 0)):
        with pytest.raises(ValueError, match=f"data.{name}"):
            CelPairDataConfig(**{name: value})
