"""Moved keyframes aligned with each other: paintings whose motion is known."""

import cv2
import numpy as np
import pytest

from opdm.alignment import SETTLED, align
from opdm.settling import COARSE

SIZE = 192


def painting(seed=0):
    """(H, W) float32 in 0 to 255, smooth enough to be followed to parts of a pixel."""
    noise = np.random.default_rng(seed).normal(size=(SIZE, SIZE)).astype(np.float32)
    image = cv2.GaussianBlur(noise, (0, 0), 4)
    return 128 + 100 * image / np.abs(image).max()


def shifted(image, dx):
    """What is found dx pixels farther to the right."""
    return cv2.warpAffine(image, np.float32([[1, 0, dx], [0, 1, 0]]), (SIZE, SIZE), borderMode=cv2.BORDER_REFLECT)


def even(dx):
    flow = np.zeros((SIZE, SIZE, 2), np.float32)
    flow[..., 0] = dx
    return flow


def run(keyframes, flows, mismatches=(1.0, 1.0), is_settled=(False, False)):
    """What becomes of even flows, in the middle."""
    coarse = [np.full((SIZE // COARSE, SIZE // COARSE), value, np.float32) for value in mismatches]
    settled = [np.full((SIZE, SIZE), value) for value in is_settled]
    images = [np.rint(image).astype(np.uint8) for image in keyframes]
    found = align([even(dx) for dx in flows], images, coarse, settled)
    return [float(np.median(flow[30:-30, 30:-30, 0])) for flow in found]


@pytest.mark.parametrize("settled", [0, 1])
def test_a_keyframe_gives_way_to_one_that_is_settled(settled):
    image, wrong = painting(), [4.0, -3.0]
    wrong[1 - settled] += 2
    found = run([shifted(image, 4), shifted(image, -3)], wrong, is_settled=(settled == 0, settled == 1))
    left = 2 * SETTLED / (1 + SETTLED)
    assert found[settled] == pytest.approx((4, -3)[settled], abs=left + 0.1)
    assert found[1 - settled] == pytest.approx((4, -3)[1 - settled], abs=left + 0.1)


def test_the_one_whose_lines_mismatch_more_gives_way_more():
    image = painting()
    keyframes = [shifted(image, 4), shifted(image, -3)]
    for mismatches, share in (((1, 1), 0.5), ((3, 1), 0.75), ((0, 0), 0.5)):
        first, second = run(keyframes, (4 + 1, -3 - 1), mismatches)
        assert first - second == pytest.approx(7, abs=0.15), "they agree"
        assert first == pytest.approx(5 - 2 * share, abs=0.15)


def test_keyframes_that_show_other_things_are_left_where_they_are():
    assert run([painting(0), painting(1)], (2, -1)) == [2, -1]


def test_keyframes_that_agree_are_left_where_they_are():
    image = painting()
    assert run([shifted(image, 4), shifted(image, -3)], (4, -3)) == pytest.approx([4, -3], abs=0.02)
