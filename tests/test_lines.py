import cv2
import numpy as np
import pytest
import torch

from opdm.lines import CLASSICAL, Inked, XDoG, extract_lines

every_extractor = pytest.mark.parametrize("extractor", sorted(CLASSICAL))


def frame(image):
    """(1, 3, H, W) of an (H, W, 3) uint8 image."""
    return torch.from_numpy(image).permute(2, 0, 1)[None] / 255


def disc(fill, outline, background=(255, 255, 255), width_px=2):
    image = np.full((96, 96, 3), background, np.uint8)
    cv2.circle(image, (48, 48), 30, fill, cv2.FILLED, cv2.LINE_AA)
    cv2.circle(image, (48, 48), 30, outline, width_px, cv2.LINE_AA)
    return frame(image)


def distance_to_circle_px():
    y, x = torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="ij")
    return ((x - 48).square() + (y - 48).square()).sqrt().sub(30).abs()


def two_fills(left, right):
    image = np.full((32, 64, 3), left, np.uint8)
    image[:, 32:] = right
    return frame(image)


@every_extractor
@pytest.mark.parametrize("color", [(255, 255, 255), (0, 0, 0), (200, 30, 90)])
def test_a_flat_frame_is_all_paper(extractor, color):
    lines = extract_lines(frame(np.full((40, 56, 3), color, np.uint8)), extractor)
    assert lines.shape == (1, 1, 40, 56)
    assert lines.min() > 0.999


@every_extractor
@pytest.mark.parametrize("fill", [(255, 255, 255), (240, 60, 60), (40, 80, 220)])
def test_an_outlined_disc_gives_ink_at_its_outline_only(extractor, fill):
    lines = extract_lines(disc(fill, outline=(0, 0, 0)), extractor)[0, 0]
    distance_px = distance_to_circle_px()
    assert lines[distance_px < 0.5].mean() < (0.6 if extractor == "pencil" else 0.1)
    assert lines[distance_px > 5].min() > 0.95


def test_xdog_keeps_the_width_of_lines():
    for width_px in (1, 2, 4):
        image = np.full((32, 64, 3), (250, 220, 180), np.uint8)
        image[:, 30 : 30 + width_px] = 10
        is_ink = extract_lines(frame(image))[0, 0, 16] < 0.5
        assert is_ink.nonzero().flatten().tolist() == list(range(30, 30 + width_px))


@pytest.mark.parametrize("extractor", ["xdog", "pencil"])
@pytest.mark.parametrize(
    ("left", "right"),
    [((120, 60, 30), (250, 210, 180)), ((30, 160, 40), (190, 85, 60)), ((255, 90, 90), (90, 90, 255))],
    ids=["dark and light", "one lightness", "two hues"],
)
def test_fills_that_meet_without_a_line_get_a_thin_one(extractor, left, right):
    lines = extract_lines(two_fills(left, right), extractor)[0, 0]
    assert torch.equal(lines, lines[:1].expand_as(lines))
    assert lines[0, 29:35].min() < 0.75
    assert lines[0, :28].min() > 0.9
    assert lines[0, 36:].min() > 0.9
    assert (lines[0] < 0.75).sum() <= 6


@every_extractor
def test_lines_hardly_depend_on_hue(extractor):
    colors = [(230, 80, 40), (80, 40, 230), (40, 230, 80)]
    drawings = torch.cat([extract_lines(disc(color, outline=(20, 15, 10)), extractor) for color in colors])
    assert (drawings - drawings[:1]).abs().max() < 0.15


@every_extractor
def test_noise_of_compression_is_paper(extractor):
    image = np.random.RandomState(0).randint(120, 124, size=(64, 64, 3)).astype(np.uint8)
    assert extract_lines(frame(image), extractor).min() > 0.9


@every_extractor
def test_frames_of_a_batch_are_independent_and_repeatable(extractor):
    batch = torch.rand(3, 3, 24, 40)
    lines = extract_lines(batch, extractor)
    assert lines.dtype == torch.float32
    assert lines.shape == (3, 1, 24, 40)
    assert lines.min() >= 0
    assert lines.max() <= 1
    assert torch.equal(lines, torch.cat([extract_lines(one[None], extractor) for one in batch]))


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (torch.rand(3, 16, 16), "must be \\(B, 3, H, W\\)"),
        (torch.rand(1, 1, 16, 16), "must be \\(B, 3, H, W\\)"),
        (torch.rand(1, 3, 16, 16) * 2 - 1, "must lie in \\[0, 1\\]"),
        (torch.full((1, 3, 16, 16), torch.nan), "without NaN"),
    ],
    ids=["no batch", "gray", "-1 to 1", "NaN"],
)
def test_wrong_frames_are_refused(frames, message):
    with pytest.raises(ValueError, match=message):
        extract_lines(frames)


def test_an_unknown_extractor_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="'crayon'; there are xdog, pencil"):
        extract_lines(torch.rand(1, 3, 16, 16), "crayon")


@pytest.mark.parametrize("right", [(250, 210, 180), (130, 90, 60), (90, 90, 255)])
def test_inked_draws_nothing_where_two_fills_meet_without_a_line(right):
    assert extract_lines(two_fills((120, 60, 30), right), "inked").min() > 0.99


@pytest.mark.parametrize("fill", [(255, 255, 255), (240, 120, 60), (90, 160, 220)])
@pytest.mark.parametrize("coverage", [0.3, 0.6, 1.0])
def test_inked_recovers_how_much_of_a_pixel_the_ink_covers(fill, coverage):
    image = np.full((32, 64, 3), fill, np.float32)
    image[:, 30] *= 1 - coverage
    lines = extract_lines(frame(image.round().astype(np.uint8)), Inked(threshold=0, strength=1))[0, 0]
    assert lines[:, 30].numpy() == pytest.approx(1 - coverage, abs=0.06)
    assert lines[:, :30].min() > 0.99
    assert lines[:, 31:].min() > 0.99


def test_an_extractor_with_other_options_is_taken_as_it_is():
    frames = disc((240, 60, 60), outline=(0, 0, 0))
    assert torch.equal(extract_lines(frames, XDoG()), extract_lines(frames, "xdog"))
    wide = extract_lines(frames, XDoG(sigma_px=2.0))
    assert (wide < 0.5).sum() > (extract_lines(frames) < 0.5).sum()
