import json
import math
from pathlib import Path

import pytest
import torch

from golden_inputs import cartoon, jitter
from opdm.data.cel_animation import CelShot
from opdm.metrics import CLIP_METRICS, IMAGE_METRICS, NEED_WEIGHTS, ClipFrame, ClipScorer
from opdm.metrics.color import region_color_error
from opdm.metrics.motion import Motion
from opdm.metrics.temporal import cdc, region_flicker, warp_error

GOLDEN = json.loads((Path(__file__).parents[1] / "data_files" / "golden_clip_metrics.json").read_text())
LENGTH = 6
GIVEN = (0, LENGTH - 1)
NAMES = [name for name in CLIP_METRICS if name not in NEED_WEIGHTS]


def score(names, frames):
    scorer = ClipScorer(CLIP_METRICS[name]() for name in names)
    return [scorer.update(frame) for frame in frames], scorer.compute()


@pytest.fixture(scope="module")
def clip():
    """A generated shot, badly painted, with everything known."""
    shot = CelShot(2, height=176, width=176, frames=LENGTH)
    generator = torch.Generator().manual_seed(0)
    frames = []
    for i in range(LENGTH):
        target = shot.frame(i).color
        noise = 0.1 * torch.randn(target.shape, generator=generator)
        motion = Motion("true", shot.flow_px(i - 1, i), shot.flow_px(i, i - 1)) if i else None
        frames.append(
            ClipFrame(
                prediction=target if i in GIVEN else (target + noise).clamp(0, 1),
                target=target,
                is_given=i in GIVEN,
                regions=shot.frame(i).regions,
                motion=motion,
            )
        )
    return frames


def test_scores_of_a_clip_are_those_of_its_frames_together(clip):
    of_frames, of_clip = score(NAMES, clip)
    painted = [frame for frame in clip if not frame.is_given]
    predictions, targets = (
        torch.stack([getattr(frame, name) for frame in painted]) for name in ("prediction", "target")
    )
    for name, metric in IMAGE_METRICS.items():
        assert of_clip[name] == pytest.approx(metric(predictions, targets).mean().item(), rel=1e-5)
        assert [scores[name] for scores in of_frames if scores] == pytest.approx(metric(predictions, targets).tolist())
    errors = [region_color_error(frame.prediction, frame.target, frame.regions) for frame in painted]
    assert of_clip["delta_e"] == pytest.approx(sum(error["delta_e"] for error in errors) / len(errors))
    assert of_clip["wrong_regions"] == pytest.approx(sum(error["wrong"] for error in errors) / len(errors))
    assert [set(scores) for scores in of_frames] == [
        set() if frame.is_given else {*IMAGE_METRICS, "delta_e", "wrong_regions"} for frame in clip
    ]


@pytest.mark.parametrize(("kind", "suffix"), [("prediction", ""), ("target", "_true")])
def test_temporal_scores_are_those_of_the_whole_clip_and_stand_beside_the_true_ones(clip, kind, suffix):
    _, of_clip = score(["cdc", "warp_error", "region_flicker"], clip)
    frames = torch.stack([getattr(frame, kind) for frame in clip])
    flows = (torch.stack([getattr(frame.motion, way) for frame in clip[1:]]) for way in ("forward_px", "backward_px"))
    assert of_clip[f"cdc{suffix}"] == cdc(frames)
    assert of_clip[f"warp_error{suffix}"] == warp_error(frames, *flows)
    regions = torch.stack([frame.regions for frame in clip])
    assert of_clip[f"region_flicker{suffix}"] == region_flicker(frames, regions)
    assert of_clip["warp_error_flow"] == "true"


def test_what_is_not_known_gives_no_number(clip):
    bare = [ClipFrame(prediction=frame.prediction, target=frame.target) for frame in clip[:3]]
    of_frames, of_clip = score(["region_color", "cdc", "warp_error", "region_flicker"], bare)
    assert of_frames == [{}, {}, {}]
    assert of_clip.pop("warp_error_flow") == "none"
    assert all(math.isnan(value) for value in of_clip.values())


def test_mixed_flows_are_both_named(clip):
    frames = [
        ClipFrame(
            prediction=frame.prediction, target=frame.target, motion=Motion(source, *2 * [torch.zeros(2, 176, 176)])
        )
        for frame, source in zip(clip, ["true", "DIS", "true"], strict=False)
    ]
    assert score(["warp_error"], frames)[1]["warp_error_flow"] == "true and DIS"


def test_mean_psnr_is_the_mean_of_decibels_of_which_equal_frames_have_60():
    case = GOLDEN["mean_psnr"][0]
    truth = cartoon(1, 224, 224)
    pairs = [(jitter(truth, 30 + i, 3 + 4 * i), truth) for i in range(4)] + [(truth, truth)]
    frames = [
        ClipFrame(
            **{
                name: torch.from_numpy(image).permute(2, 0, 1).double() / 255
                for name, image in zip(("prediction", "target"), pair, strict=True)
            }
        )
        for pair in pairs
    ]
    of_frames, of_clip = score(["psnr"], frames)
    assert [scores["psnr"] for scores in of_frames] == pytest.approx([*case["frames"], 60])
    assert of_clip == {"psnr": pytest.approx((4 * case["expected"] + 60) / 5)}


def test_regions_that_were_found_anew_are_followed_along_the_motion():
    def frame(i, regions, **known):
        colors = torch.zeros(3, 40, 48)
        colors[:, boxes[i] == 1] = torch.tensor([0.9, 0.2, 0.1])[:, None]
        colors[:, boxes[i] == 2] = torch.tensor([0.1, 0.3, 0.8])[:, None]
        return ClipFrame(prediction=colors, target=colors, regions=regions, **known)

    boxes = torch.zeros(3, 40, 48, dtype=torch.int64)
    for i in range(3):
        boxes[i, 5:15, 5 + 3 * i : 15 + 3 * i] = 1
        boxes[i, 20:30, 10 + 3 * i : 20 + 3 * i] = 2
    there, back = torch.zeros(2, 2, 40, 48)
    there[0], back[0] = 3, -3
    swapped = torch.tensor([0, 2, 1])[boxes]
    regions = [boxes[0], swapped[1], boxes[2]]
    motion = Motion("true", there, back)
    frames = [frame(i, regions[i], motion=motion if i else None, regions_persist=False) for i in range(3)]
    assert score(["region_flicker"], frames)[1]["region_flicker"] == pytest.approx(0, abs=1e-6)
    mistaken = [frame(i, regions[i], motion=motion if i else None) for i in range(3)]
    assert score(["region_flicker"], mistaken)[1]["region_flicker"] > 20


def test_a_frame_without_regions_interrupts_the_flicker(clip):
    frames = [
        ClipFrame(prediction=frame.prediction, target=frame.target, regions=None if i == 1 else frame.regions)
        for i, frame in enumerate(clip[:3])
    ]
    assert math.isnan(score(["region_flicker"], frames)[1]["region_flicker"])


@pytest.mark.parametrize("name", NAMES)
def test_memory_does_not_grow_with_the_clip(clip, name):
    def tensors(value):
        if isinstance(value, torch.Tensor):
            return value.numel()
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else None
        if parts is None:
            parts = value if type(value).__name__ == "deque" else getattr(value, "__dict__", {}).values()
        return sum(map(tensors, parts))

    metric = CLIP_METRICS[name]()
    sizes = []
    for _ in range(3):
        for frame in clip:
            metric.update(frame)
        sizes.append(tensors(metric))
    assert sizes[0] == sizes[1] == sizes[2]
