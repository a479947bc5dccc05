import cv2
import numpy as np
import pytest
import torch

from opdm.data.cel_animation import CelShot, CelStyle
from opdm.region_colors import (
    FLAT_SHARE,
    choose_entries,
    extract_palette,
    interior_weights,
    measure_flatness,
    merge_colors,
)
from opdm.segments import fill_regions, find_regions, vote_colors


def halves(height=40, width=60):
    regions = torch.ones(height, width, dtype=torch.int32)
    regions[:, width // 2 :] = 2
    return regions


def compress(frame, quality):
    pixels = (frame.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    decoded = cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
    return torch.from_numpy(decoded.transpose(2, 0, 1).astype(np.float32) / 255)


def true_colors(frame):
    """Colors (N, 3) of the pixels deep within true regions, and how many pixels have each."""
    ids = frame.regions.numpy().astype(np.float32)
    kernel = np.ones((3, 3), np.uint8)
    is_deep = (cv2.erode(ids, kernel) == cv2.dilate(ids, kernel)) & (frame.lines[0].numpy() > 0.99)
    pixels = (frame.color.numpy()[:, is_deep].T * 255).round()
    colors, areas = np.unique(pixels, axis=0, return_counts=True)
    return torch.from_numpy(colors[areas >= 40] / 255).float(), torch.from_numpy(areas[areas >= 40])


def test_pixels_within_a_region_count_in_full_and_lines_not_at_all():
    regions = torch.zeros(5, 9, dtype=torch.int32)
    regions[:, 1:4], regions[:, 5:] = 1, 2
    weights = interior_weights(regions)
    assert (weights[:, [0, 4]] == 0).all()
    assert (weights[:, [2, 6, 7, 8]] == 1).all()
    assert ((weights[:, [1, 3, 5]] > 0) & (weights[:, [1, 3, 5]] < 0.01)).all()


def test_flatness_is_the_share_of_the_interior_in_the_voted_color():
    regions, frame = halves(), torch.full((3, 40, 60), 0.5)
    frame[:, 10:20, 30:] = 0.9
    frame[:, :, 29:31] = 0.2  # a border where colors mix
    flatness = measure_flatness(regions, frame, vote_colors(regions, frame))
    assert flatness.tolist() == pytest.approx([1, 0.75], abs=0.01)


def test_gradients_and_two_tones_are_not_flat_and_noise_is():
    regions, frame = halves(), torch.rand(3, 40, 60) * 0.04 + 0.4
    frame[:, :, 30:] = torch.linspace(0.2, 0.8, 30)
    assert (measure_flatness(regions, frame, vote_colors(regions, frame)) >= FLAT_SHARE).tolist() == [True, False]
    frame[:, :15, :30] = 0.7
    assert measure_flatness(regions, frame, vote_colors(regions, frame))[0] < FLAT_SHARE


@pytest.mark.parametrize(("quality", "found_share"), [(None, 0.85), (90, 0.8), (75, 0.7)])
def test_the_palette_of_a_generated_frame_survives_compression(quality, found_share):
    shares, areas_found, invented = [], [], []
    for seed in range(300, 306):
        shot = CelShot(seed, height=360, width=640, frames=1, style=CelStyle(texture=False, shading=bool(seed % 2)))
        frame = shot.frame(0)
        colors, areas = true_colors(frame)
        image = frame.color if quality is None else compress(frame.color, quality)
        palette = extract_palette([(find_regions(frame.lines), image)])
        distance = (colors[:, None] - palette[None]).abs().amax(dim=2)
        is_found = distance.amin(dim=1) <= 5 / 255
        shares.append(is_found.double().mean())
        areas_found.append((is_found * areas).sum() / areas.sum())
        invented.append((distance.amin(dim=0) > 8 / 255).sum())
    assert np.mean(shares) > found_share
    assert np.mean(areas_found) > 0.97
    assert np.mean(invented) <= 2


def test_a_region_may_give_light_and_shadow():
    regions, frame = halves(), torch.full((3, 40, 60), 0.5)
    frame[:, :15] = 0.8
    palette = extract_palette([(regions, frame)])
    assert palette[:, 0].tolist() == pytest.approx([0.5, 0.8])


def test_keyframes_share_one_palette_with_the_most_used_color_first():
    regions = halves()
    frames = [fill_regions(regions, torch.tensor(pair)[:, None].expand(-1, 3), torch.zeros(3, 40, 60))
              for pair in ([0.2, 0.6], [0.61, 0.9])]  # fmt: skip
    assert extract_palette((regions, frame) for frame in frames)[:, 0].tolist() == pytest.approx([0.6, 0.2, 0.9])


def test_a_painted_background_has_no_palette():
    regions = torch.ones(40, 60, dtype=torch.int32)
    assert extract_palette([(regions, torch.rand(3, 40, 60))]).shape == (0, 3)
    assert extract_palette([]).shape == (0, 3)


def test_near_colors_become_that_of_the_larger_area():
    colors = torch.tensor([[0.50, 0.5, 0.5], [0.52, 0.5, 0.5], [0.9, 0.1, 0.1], [0.2, 0.2, 0.2]])
    merged = merge_colors(colors, torch.tensor([10, 30, 35, 1]))
    assert torch.equal(merged, colors[[1, 2, 3]])


def test_each_color_takes_the_nearest_entry_and_an_unknown_one_none():
    palette = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    colors = torch.tensor([[0.7, 0.1, 0.0], [0.2, 0.2, 0.2], [torch.nan] * 3])
    assert choose_entries(colors, palette).tolist() == [1, 0, -1]
    assert choose_entries(colors, palette[:0]).tolist() == [-1] * 3
