"""Drawings that are drawn again: nothing is lost in their few bytes, mirrors and colors stay true, order holds."""

from itertools import count, islice

import numpy as np
import pytest
import torch

from opdm.config import CelDataConfig
from opdm.data.cel_dataset import CelDataset
from opdm.data.replay import FLOWS, FRAMES, Replay, WholeDrawings, draw_again, name_tensors, pack
from opdm.warp import backward_warp

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def shots() -> CelDataset:
    config = CelDataConfig(shot_sizes=(64, 80), crop_size=48, longest_gap=4, crops_per_target=1)
    return CelDataset(config, references=2, uses_motion=True, seed=3)


@pytest.fixture(scope="module")
def drawings(shots):
    return [WholeDrawings(shots)[index] for index in range(3)]


def test_a_whole_crop_is_the_drawing(shots):
    """Up to mirror and colors, which a number of draws has as they are; as exact as 8 bits and half precision."""
    sample = shots.whole(0)
    replay = Replay(side=min(sample.target.shape[-2:]), most=4, device=CPU)
    replay.add([pack(sample)])
    drawn = [replay.draw(1, np.random.default_rng(seed)) for seed in range(40)]
    same = [batch for batch in drawn if torch.allclose(batch.target[0], sample.target, atol=1 / 255)]
    assert same
    for (name, expected), (found_name, found) in zip(name_tensors(sample), name_tensors(same[0]), strict=True):
        assert name == found_name and found.shape == (1, *expected.shape)
        atol = 0.51 / 255 if not name.endswith("_px") else 1e-3 * float(expected.abs().max()) + 1e-6
        assert torch.allclose(found[0].float(), expected.float().clamp(-1e3, 1e3), atol=atol), name
    assert same[0].is_occluded.dtype == torch.bool and same[0].conditions.regions.dtype == torch.int32


def test_mirrored_flow_still_leads_to_the_keyframe(drawings):
    replay = Replay(side=48, most=4, device=CPU)
    replay.add(drawings)
    differences = []
    for seed in range(20):
        batch = replay.draw(2, np.random.default_rng(seed))
        conditions = batch.conditions
        # The first of the proposals is the first keyframe, moved by its first flow.
        moved = backward_warp(conditions.keyframes[:, 0], conditions.flow_px[:, 0, 0])
        inner = (..., slice(12, -12), slice(12, -12))  # what the flow takes from outside the crop was cut off
        differences.append(float((moved - conditions.proposals[:, 0])[inner].abs().median()))
    assert max(differences) < 0.02


def test_colors_are_exchanged_alike_in_all_frames(drawings):
    replay = Replay(side=48, most=4, device=CPU)
    replay.add(drawings[:1])
    orders = set()
    for seed in range(30):
        batch = replay.draw(1, np.random.default_rng(seed))
        target, moved = batch.target[0], batch.conditions.proposals[0, 0]
        orders.add(tuple(target.mean(dim=(1, 2)).argsort().tolist()))
        assert float((target - moved).abs().median()) < 0.1  # else one was exchanged and the other was not
    assert len(orders) > 1


def test_the_newest_stay(drawings):
    replay = Replay(side=48, most=2, device=CPU)
    replay.add(drawings)
    assert len(replay.kept) == 2
    assert torch.equal(replay.kept[0].planes["level"], torch.from_numpy(drawings[1].planes["level"]))


def test_each_drawing_is_good_for_so_many_crops(drawings):
    """Read two at a time, with four batches ahead: after pass n, 8 + 2 n / 3, rounded up to what comes together."""
    read = []

    def made():
        for nth in count():
            read.append(nth)
            yield drawings[:2]

    replay = Replay(side=48, most=8, device=CPU)
    seen = []
    for _ in islice(draw_again(made(), replay, reuse=3, size=2, seed=(0, 0), first_pass=0), 8):
        seen.append(2 * len(read))
    assert seen == [8, 10, 10, 10, 12, 12, 12, 14]


def test_a_pass_is_a_function_of_seed_and_number(drawings):
    def draw(first_pass, seed):
        replay = Replay(side=48, most=8, device=CPU)
        made = iter([drawings] * 9)
        return list(islice(draw_again(made, replay, reuse=2, size=2, seed=seed, first_pass=first_pass), 3))

    one, again, later, other = draw(0, (1, 0)), draw(0, (1, 0)), draw(1, (1, 0)), draw(0, (1, 1))
    assert all(
        torch.equal(a.target, b.target) and torch.equal(a.seeds, b.seeds) for a, b in zip(one, again, strict=True)
    )
    assert torch.equal(one[1].seeds, later[0].seeds)
    assert not torch.equal(one[0].seeds, other[0].seeds)


def test_names_are_those_of_the_tensors(drawings):
    names = {name for name, _, _ in drawings[0].layout}
    assert set(FLOWS) | set(FRAMES) <= names
