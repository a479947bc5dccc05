import pytest
import torch
from torch.utils.data import DataLoader

from opdm.config import CelDataConfig
from opdm.data import shot_dataset
from opdm.data.cel_dataset import CelDataset
from opdm.data.shot_dataset import HELD_OUT
from opdm.data.training import StepSampler, stack
from opdm.lines import CLASSICAL, extract_lines
from opdm.motion import FLOWS
from opdm.segments import find_regions, grow_over_lines
from opdm.warp import backward_warp
from tiny import equal

CONFIG = CelDataConfig(shot_sizes=(96, 96), crop_size=64, longest_gap=4, compressed_share=0)


def dataset(references=2, **changes):
    return CelDataset(CelDataConfig(**{**vars(CONFIG), **changes}), references=references, uses_motion=True, seed=5)


def test_a_sample_has_the_shapes_of_the_contract():
    sample = dataset()[0]
    assert sample.target.shape == (3, 64, 64) and sample.conditions.lines.shape == (1, 64, 64)
    assert sample.conditions.keyframes.shape == (2, 3, 64, 64)
    assert sample.true_flow_px.shape == (2, 2, 64, 64) and sample.is_occluded.shape == (2, 1, 64, 64)
    assert stack([sample, dataset()[1]]).conditions.flow_px.shape == (2, 2, FLOWS, 2, 64, 64)


def test_a_sample_is_a_function_of_its_index_alone():
    forward = [dataset()[index] for index in range(6)]
    backward = [dataset()[index] for index in reversed(range(6))]
    assert all(equal(a, b) for a, b in zip(forward, reversed(backward), strict=True))


def test_workers_change_nothing():
    sampler = StepSampler(loads=range(3), batch_size=2, process=0, processes=1)
    loaders = [DataLoader(dataset(), batch_sampler=sampler, collate_fn=stack, num_workers=n) for n in (0, 2)]
    assert all(equal(a, b) for a, b in zip(*loaders, strict=True))


def test_held_out_shots_are_others():
    data = dataset()
    assert all(index >= HELD_OUT for index in data.held_out(3))
    assert not torch.equal(data[0].target, data[data.held_out(1)[0]].target)


def test_true_flow_reaches_from_the_target_to_the_keyframes():
    """Whatever the crop cut off counts nowhere: compared where neither occluded nor outside."""
    data, errors, still = dataset(extracted_lines_share=0, mixed_lines_share=0), [], []
    for index in range(0, 24, 3):
        sample = data[index]
        for k in range(2):
            flow_px = sample.true_flow_px[k]
            warped = backward_warp(sample.conditions.keyframes[k][None], flow_px[None])[0]
            y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
            inside = (x + flow_px[0]).clamp(0, 63) == x + flow_px[0]
            inside &= (y + flow_px[1]).clamp(0, 63) == y + flow_px[1]
            visible = inside & ~sample.is_occluded[k, 0]
            if visible.any():
                errors.append((warped - sample.target).abs()[:, visible].mean())
                still.append((sample.conditions.keyframes[k] - sample.target).abs()[:, visible].mean())
    assert torch.stack(errors).mean() < 0.5 * torch.stack(still).mean()


def test_one_keyframe_can_stand_for_both():
    sample = dataset(single_keyframe_share=1.0)[0]
    assert torch.equal(sample.conditions.keyframes[0], sample.conditions.keyframes[1])
    assert dataset(references=1)[0].conditions.keyframes.shape[0] == 1


def test_a_drawing_knows_when_it_is(monkeypatch):
    """Also in a shot of which few frames are drawn, where its place among these says nothing."""
    times, shots, set_up = [], [], shot_dataset.set_up

    def record(*arguments, time, **options):
        times.append(time)
        return set_up(*arguments, time=time, **options)

    monkeypatch.setattr(shot_dataset, "set_up", record)
    changes = {"longest_gap": 12, "most_drawings": 2, "single_keyframe_share": 0, "crops_per_target": 1}
    data = dataset(**changes, crop_size=96)  # all of the shot
    make_shot = data.make_shot
    monkeypatch.setattr(data, "make_shot", lambda *a, **o: shots.append(make_shot(*a, **o)) or shots[-1])
    for index in range(8):
        target, shot = data[index].target, shots[-1]
        nearest = min(range(len(shot)), key=lambda i: float((shot.frame(i).color - target).abs().mean()))
        assert times[-1] == nearest / (len(shot) - 1)
    assert max(len(shot) for shot in shots) > 6


AS_DRAWN = {"extracted_lines_share": 0, "mixed_lines_share": 0, "blended_lines_share": 0, "augmented_lines_share": 0}


@pytest.mark.parametrize("uses_motion", [True, False])
def test_a_sample_knows_the_regions_of_its_drawing(uses_motion):
    config = CelDataConfig(**{**vars(CONFIG), **AS_DRAWN, "crop_size": 96})  # all of the shot
    sample = CelDataset(config, references=2, uses_motion=uses_motion, seed=5)[0]
    found = grow_over_lines(find_regions(sample.conditions.lines))
    assert torch.equal(sample.conditions.regions[0], found) and found.min() == 1
    assert sample.conditions.regions.max() > 3


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_lines_are_drawn_or_extracted_as_asked(share):
    sample = dataset(**AS_DRAWN | {"extracted_lines_share": share})[0]
    candidates = [extract_lines(sample.target[None], name)[0] for name in CLASSICAL]
    # A crop's border has other neighbors than the frame's.
    inner = [(c[:, 9:-9, 9:-9] - sample.conditions.lines[:, 9:-9, 9:-9]).abs().max() < 1e-4 for c in candidates]
    assert any(inner) == bool(share)


@pytest.mark.parametrize("change", ["augmented_lines_share", "blended_lines_share"])
def test_changed_lines_show_the_same_frames(change):
    drawn, changed = dataset(**AS_DRAWN), dataset(**AS_DRAWN | {change: 1.0})
    differs = []
    for index in range(0, 24, 4):
        assert torch.equal(drawn[index].target, changed[index].target)
        differs.append(not torch.equal(drawn[index].conditions.lines, changed[index].conditions.lines))
    assert sum(differs) >= 2
