"""What settles at rest or with the camera: scribbles and shapes whose motion is known."""

import cv2
import numpy as np
import pytest
import torch

from opdm.flow import dense_inverse_search, encode_lines
from opdm.settling import blur_ink, compare_lines, find_motions, settle

SIZE = 256


def scribble(count=60, seed=0, size=SIZE):
    """(H, W) uint8 ink: short strokes everywhere, as of a painting's detail."""
    random = np.random.default_rng(seed)
    image = np.zeros((size, size), np.uint8)
    for x, y, dx, dy in random.uniform((0, 0, -40, -40), (size, size, 40, 40), (count, 4)):
        cv2.line(image, (int(x), int(y)), (int(x + dx), int(y + dy)), 255, 2, cv2.LINE_AA)
    return image


def shape(center, radius=40, size=SIZE):
    """(figure, ink) of a disk with an outline and a cross in it."""
    figure, ink = np.zeros((size, size), np.uint8), np.zeros((size, size), np.uint8)
    (x, y), bits = center, 4
    point = round(x * 2**bits), round(y * 2**bits)
    cv2.circle(figure, point, radius << bits, 255, -1, cv2.LINE_AA, bits)
    cv2.circle(ink, point, radius << bits, 255, 2, cv2.LINE_AA, bits)
    for dx, dy in ((radius - 8, 0), (0, radius - 8)):
        ends = [(round((x + s * dx) * 2**bits), round((y + s * dy) * 2**bits)) for s in (-1, 1)]
        cv2.line(ink, *ends, 255, 2, cv2.LINE_AA, bits)
    return figure, ink


def before(ground, center):
    """Lines of a shape before a ground."""
    figure, ink = shape(center)
    return 1 - np.maximum(ground * (1 - figure / 255.0), ink).astype(np.float32) / 255


def retrace(lines, seed=1):
    """Another tracing of the same: some of the ink is missing, some is displaced a little."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    shift = [cv2.resize(random.normal(0, 0.7, (24, 24)).astype(np.float32), (SIZE, SIZE)) for _ in "xy"]
    lines = cv2.remap(lines, x + shift[0], y + shift[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    pressure = cv2.resize(random.uniform(0.2, 1, (32, 32)).astype(np.float32), (SIZE, SIZE))
    return 1 - pressure * (1 - lines)


def search(drawing, keyframe):
    """Flow found from zero, what is settled of it, and where."""
    target, other = (encode_lines(torch.from_numpy(lines)[None]) for lines in (drawing, keyframe))
    flow = dense_inverse_search(target[0], other[0])
    (settled,), is_told = settle([flow], np.zeros((SIZE, SIZE), np.float32), blur_ink(drawing), blur_ink(keyframe))
    return flow, settled, is_told


def length(flow):
    return np.linalg.norm(flow, axis=-1)


def test_what_rests_is_at_rest_though_its_lines_were_traced_anew():
    drawing = 1 - scribble().astype(np.float32) / 255
    flow, settled, is_told = search(drawing, retrace(drawing))
    assert (length(flow) > 0.2).mean() > 0.5, "or there is nothing to settle"
    assert (settled == 0).all(axis=-1).mean() > 0.95 and is_told.mean() > 0.8


def test_a_shape_that_moves_before_it_keeps_its_motion():
    ground = scribble()
    drawing, keyframe = before(ground, (128, 128)), before(ground, (136, 124))
    _, settled, is_told = search(drawing, retrace(keyframe))
    figure = cv2.erode(shape((128, 128))[0], np.ones((9, 9))) > 0
    far = cv2.dilate(shape((128, 128))[0] | shape((136, 124))[0], np.ones((41, 41))) == 0
    off = length(settled - np.float32([8, -4]))
    assert np.median(off[figure]) < 0.7 and not is_told[figure].any()
    assert (settled[far] == 0).all(axis=-1).mean() > 0.9


def test_what_the_camera_moves_moves_just_so():
    angle, scale = 0.03, 1.04
    matrix = cv2.getRotationMatrix2D((SIZE / 2, SIZE / 2), np.degrees(angle), scale) + np.float32(
        [[0, 0, 5], [0, 0, -3]]
    )
    ground = scribble(120, size=SIZE)
    moved = cv2.warpAffine(ground, matrix, (SIZE, SIZE))
    drawing, keyframe = (1 - image.astype(np.float32) / 255 for image in (ground, moved))
    flow, settled, _ = search(drawing, retrace(keyframe))
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    truth = np.dstack([x, y, np.ones_like(x)]) @ matrix.T.astype(np.float32) - np.dstack([x, y])
    inner = (slice(40, -40), slice(40, -40))
    before_px, after_px = (np.median(length(each - truth)[inner]) for each in (flow, settled))
    assert after_px < 0.15 < before_px


@pytest.mark.parametrize("shift", [0.8, 1.5])
def test_a_small_motion_that_lines_of_one_hand_show_is_not_lost(shift):
    lines = [before(np.zeros((SIZE, SIZE), np.uint8), (128 + dx, 128)) for dx in (0, shift)]
    _, settled, _ = search(*lines)
    on_ink = lines[0] < 0.5
    assert np.median(settled[..., 0][on_ink]) == pytest.approx(shift, abs=0.25)


def test_nothing_but_rest_is_known_of_empty_paper():
    blank, flow = np.zeros((SIZE, SIZE), np.float32), np.full((SIZE, SIZE, 2), 9, np.float32)
    (rest,) = find_motions(flow, blank, blank)
    assert not rest.any()
    (settled,), is_told = settle([flow], blank, blank, blank)
    assert np.array_equal(settled, flow) and not is_told.any()


def test_lines_are_compared_where_the_flow_moves_them():
    ink = blur_ink(1 - scribble().astype(np.float32) / 255)
    moved = np.roll(ink, 5, axis=1)
    right, wrong = np.zeros((SIZE, SIZE, 2), np.float32), np.zeros((SIZE, SIZE, 2), np.float32)
    right[..., 0] = 5
    assert compare_lines(ink, moved, right)[:, 5:-15].max() < 1e-6 < compare_lines(ink, moved, wrong).mean()
