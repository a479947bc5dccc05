import json
import math
from pathlib import Path

import pytest
import torch

from opdm.metrics.segments import (
    average_clips,
    carry_ids,
    label_scores,
    match_regions,
    matching_scores,
    segment_scores,
)

GOLDEN = json.loads((Path(__file__).parents[1] / "data_files" / "golden_clip_metrics.json").read_text())

RED, GREEN, BLUE = [255, 0, 0, 255], [0, 255, 0, 255], [0, 0, 255, 255]
CLEAR_WHITE, CLEAR_BLACK = [255, 255, 255, 0], [0, 0, 0, 0]
TRUTH = {1: RED, 2: GREEN, 3: BLUE, 4: CLEAR_WHITE, 5: CLEAR_WHITE, 6: RED}
COLORS = {
    "perfect": (TRUTH, TRUTH),
    "all_red": (dict.fromkeys(TRUTH, RED), TRUTH),
    "bg_codes_differ": (TRUTH | {4: CLEAR_BLACK}, TRUTH),
    "no_background": (TRUTH | {4: RED, 5: GREEN}, TRUTH | {4: RED, 5: RED}),
}


def draw_boxes(height, width, boxes):
    """Label maps from {label: (top, bottom, left, right)}, both ends inside."""
    labels = torch.zeros(height, width, dtype=torch.int32)
    for label, (top, bottom, left, right) in boxes.items():
        labels[top : bottom + 1, left : right + 1] = label
    return labels


LABEL_MAP = draw_boxes(
    20,
    30,
    {1: (1, 8, 1, 8), 2: (1, 8, 10, 19), 3: (1, 3, 22, 24), 4: (10, 18, 1, 14), 5: (10, 18, 16, 28), 6: (6, 7, 22, 26)},
)


@pytest.mark.parametrize("case", GOLDEN["segment_scores"], ids=lambda case: case["name"])
def test_segment_scores_are_the_golden_ones(case):
    prediction, target = COLORS[case["name"]]
    assert segment_scores(prediction, target, LABEL_MAP) == pytest.approx(case["expected"], abs=1e-9)


def test_large_segments_alone_never_score_above_one_without_ink():
    labels = draw_boxes(10, 10, {1: (0, 4, 0, 9), 2: (5, 9, 0, 9)})
    assert segment_scores({1: RED, 2: BLUE}, {1: RED, 2: BLUE}, labels)["acc_thres"] == 1


def test_a_segment_without_a_color_is_named():
    with pytest.raises(ValueError, match="prediction and target: 3, 6;"):
        segment_scores({label: RED for label in (1, 2, 4, 5)}, TRUTH, LABEL_MAP)


def test_a_frame_without_segments_has_no_accuracy():
    assert math.isnan(segment_scores({}, {}, LABEL_MAP * 0)["acc"])


def test_clips_are_averaged_without_their_first_frames():
    case = GOLDEN["average_clips"][0]
    assert average_clips(case["clips"]) == pytest.approx(case["expected"], abs=1e-12)


@pytest.mark.parametrize("case", GOLDEN["label_scores"], ids=lambda case: case["name"])
def test_label_scores_are_the_golden_ones(case):
    expected = pytest.approx(case["expected"], abs=1e-9)
    assert label_scores(case["prediction"], case["target"]) == expected
    assert label_scores(torch.tensor(case["prediction"]), torch.tensor(case["target"])) == expected


def test_a_label_that_only_the_prediction_has_is_no_class():
    assert label_scores([1, 9, 2], [1, 1, 2]) == pytest.approx({"accuracy": 2 / 3, "miou": (1 / 2 + 1) / 2})


def test_no_label_is_wrong_wherever_it_stands():
    assert label_scores([-1, 2], [1, 2]) == {"accuracy": 0.5, "miou": 0.5}


def test_label_scores_agree_with_sets():
    generator = torch.Generator().manual_seed(4)
    prediction, target = torch.randint(-1, 6, (2, 90), generator=generator).tolist()
    overlaps = []
    for label in set(target):
        predicted, true = ({i for i, value in enumerate(values) if value == label} for values in (prediction, target))
        overlaps.append(len(predicted & true) / len(predicted | true))
    assert label_scores(prediction, target)["miou"] == pytest.approx(sum(overlaps) / len(overlaps), rel=1e-12)


@pytest.mark.parametrize("case", GOLDEN["matching_scores"], ids=lambda case: case["name"])
def test_matching_scores_are_the_golden_ones(case):
    expected = {name: math.nan if value is None else value for name, value in case["expected"].items()}
    assert matching_scores(case["prediction"], case["target"]) == pytest.approx(expected, abs=1e-9, nan_ok=True)


BOXES = {1: (5, 14, 5, 14), 2: (5, 14, 25, 34), 3: (20, 29, 10, 29)}
SOURCE = draw_boxes(40, 48, BOXES)
STILL, NOTHING = torch.zeros(2, 40, 48), torch.zeros(40, 48, dtype=torch.bool)


def translated():
    target = draw_boxes(40, 48, {label: (t + 3, b + 3, left + 4, r + 4) for label, (t, b, left, r) in BOXES.items()})
    flow = torch.tensor([4.0, 3.0])[:, None, None] * (SOURCE > 0)
    return SOURCE, target, flow, NOTHING


def too_thin():
    labels = SOURCE + draw_boxes(40, 48, {4: (2, 3, 40, 45), 5: (30, 38, 1, 1)})
    return labels, labels, STILL, NOTHING


MATCHES = {
    "identity": lambda: (SOURCE, SOURCE, STILL, NOTHING),
    "translated_boxes": translated,
    "occluded_segment": lambda: (SOURCE, SOURCE, STILL, SOURCE == 2),
    "too_thin_for_erosion": too_thin,
}


@pytest.mark.parametrize("case", GOLDEN["match_regions"], ids=lambda case: case["name"])
def test_matched_regions_are_the_golden_ones(case):
    assert match_regions(*MATCHES[case["name"]]()) == case["expected"]


def test_carried_numbers_follow_regions_that_were_found_anew():
    source, target, _, _ = translated()
    renumbered = torch.tensor([0, 3, 1, 2])[target.long()]
    back = torch.tensor([-4.0, -3.0])[:, None, None] * (target > 0)
    assert torch.equal(carry_ids(renumbered, source * 10, back, NOTHING), target.long() * 10)


def test_a_region_that_was_not_there_gets_a_number_that_nobody_had():
    appeared = SOURCE + draw_boxes(40, 48, {4: (32, 38, 32, 38)})
    earlier = torch.tensor([0, 2, 1, 3])[SOURCE.long()]
    carried = carry_ids(appeared, earlier, STILL, appeared == 4)
    assert torch.equal(carried, torch.tensor([0, 2, 1, 3, 4])[appeared.long()])
    assert torch.equal(carry_ids(SOURCE, SOURCE * 0, STILL, NOTHING), SOURCE.long())
