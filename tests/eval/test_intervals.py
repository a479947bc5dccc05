import math
import random

import pytest
from scipy import stats

from intervals import student_quantile, summarize


@pytest.mark.parametrize("freedom", [2, 3, 5, 10, 49, 1000])
def test_the_quantile_is_that_of_students_distribution(freedom):
    assert student_quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=0.01)


def test_for_clips_of_equal_length_the_interval_is_the_usual_one_of_their_means():
    draw = random.Random(3)
    clips = [[draw.gauss(clip, 1) for _ in range(6)] for clip in range(12)]
    means = [sum(clip) / len(clip) for clip in clips]
    low, high = stats.t.interval(0.95, len(means) - 1, loc=sum(means) / len(means), scale=stats.sem(means))
    summary = summarize(clips)
    assert summary.clips == 12
    assert summary.mean == pytest.approx((low + high) / 2)
    assert summary.half_width == pytest.approx((high - low) / 2, rel=1e-3)


def test_every_frame_counts_alike_in_clips_of_unequal_length():
    assert summarize([[1.0], [3.0, 3.0, 3.0]]).mean == 2.5


def test_the_interval_holds_the_true_mean_in_95_of_100_data_sets():
    draw = random.Random(7)

    def is_held():
        clips = []
        for _ in range(20):
            level = draw.gauss(0, 2)
            clips.append([level + draw.gauss(0, 1) for _ in range(draw.randint(3, 8))])
        summary = summarize(clips)
        return abs(summary.mean) <= summary.half_width

    share = sum(is_held() for _ in range(1000)) / 1000
    assert 0.92 < share < 0.97


def test_resembling_frames_of_a_clip_do_not_narrow_the_interval():
    once = summarize([[1.0], [2.0], [4.0]])
    often = summarize([[1.0] * 9, [2.0] * 9, [4.0] * 9])
    assert often.half_width == pytest.approx(once.half_width)


def test_values_that_are_not_finite_are_left_out():
    summary = summarize([[math.inf, 2.0], [math.nan], [4.0], [6.0]])
    assert (summary.mean, summary.clips) == (4.0, 3)
    assert math.isfinite(summary.half_width)


@pytest.mark.parametrize(("clips", "expected"), [([], None), ([[math.inf]], None), ([[1.0], [3.0]], (2.0, None, 2))])
def test_little_tells_nothing_of_the_interval(clips, expected):
    assert summarize(clips) == expected
