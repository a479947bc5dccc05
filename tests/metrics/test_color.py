import math

import pytest
import torch

from opdm.metrics.color import delta_e_2000, lab_colors, region_color_error, region_means

SHARMA_WU_DALAL = """
50.0000 2.6772 -79.7751 50.0000 0.0000 -82.7485 2.0425
50.0000 3.1571 -77.2803 50.0000 0.0000 -82.7485 2.8615
50.0000 2.8361 -74.0200 50.0000 0.0000 -82.7485 3.4412
50.0000 -1.3802 -84.2814 50.0000 0.0000 -82.7485 1.0000
50.0000 -1.1848 -84.8006 50.0000 0.0000 -82.7485 1.0000
50.0000 -0.9009 -85.5211 50.0000 0.0000 -82.7485 1.0000
50.0000 0.0000 0.0000 50.0000 -1.0000 2.0000 2.3669
50.0000 -1.0000 2.0000 50.0000 0.0000 0.0000 2.3669
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0009 7.1792
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0010 7.1792
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0011 7.2195
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0012 7.2195
50.0000 -0.0010 2.4900 50.0000 0.0009 -2.4900 4.8045
50.0000 -0.0010 2.4900 50.0000 0.0010 -2.4900 4.8045
50.0000 -0.0010 2.4900 50.0000 0.0011 -2.4900 4.7461
50.0000 2.5000 0.0000 50.0000 0.0000 -2.5000 4.3065
50.0000 2.5000 0.0000 73.0000 25.0000 -18.0000 27.1492
50.0000 2.5000 0.0000 61.0000 -5.0000 29.0000 22.8977
50.0000 2.5000 0.0000 56.0000 -27.0000 -3.0000 31.9030
50.0000 2.5000 0.0000 58.0000 24.0000 15.0000 19.4535
50.0000 2.5000 0.0000 50.0000 3.1736 0.5854 1.0000
50.0000 2.5000 0.0000 50.0000 3.2972 0.0000 1.0000
50.0000 2.5000 0.0000 50.0000 1.8634 0.5757 1.0000
50.0000 2.5000 0.0000 50.0000 3.2592 0.3350 1.0000
60.2574 -34.0099 36.2677 60.4626 -34.1751 39.4387 1.2644
63.0109 -31.0961 -5.8663 62.8187 -29.7946 -4.0864 1.2630
61.2901 3.7196 -5.3901 61.4292 2.2480 -4.9620 1.8731
35.0831 -44.1164 3.7933 35.0232 -40.0716 1.5901 1.8645
22.7233 20.0904 -46.6940 23.0331 14.9730 -42.5619 2.0373
36.4612 47.8580 18.3852 36.2715 50.5065 21.2231 1.4146
90.8027 -2.0831 1.4410 91.1528 -1.6435 0.0447 1.4441
90.9257 -0.5406 -0.9208 88.6381 -0.8985 -0.7239 1.5381
6.7747 -0.2908 -2.4247 5.8714 -0.0985 -2.2286 0.6377
2.0776 0.0795 -1.1350 0.9033 -0.0636 -0.5514 0.9082
"""
"""Sharma, Wu and Dalal 2005, table 1: two colors in L*a*b* and their ΔE2000, chosen to catch common mistakes."""

PAIRS = torch.tensor([[float(value) for value in row.split()] for row in SHARMA_WU_DALAL.split("\n") if row]).double()


def test_delta_e_2000_is_the_published_one():
    a, b, expected = PAIRS[:, :3].T, PAIRS[:, 3:6].T, PAIRS[:, 6]
    # The values of the table have four decimals, and two of its pairs lie beside a jump that float32 would miss.
    torch.testing.assert_close(delta_e_2000(a.round(decimals=4), b.round(decimals=4)), expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(delta_e_2000(b.round(decimals=4), a.round(decimals=4)), expected, atol=1e-4, rtol=0)


def test_colors_and_differences_agree_with_scikit_image():
    color = pytest.importorskip("skimage.color")
    frames = torch.rand(2, 3, 40, 50, dtype=torch.float64)
    ours = [lab_colors(frame) for frame in frames]
    theirs = [color.rgb2lab(frame.permute(1, 2, 0).numpy()) for frame in frames]
    for lab, expected in zip(ours, theirs, strict=True):
        # It rounds the matrix and the white of sRGB to fewer digits.
        torch.testing.assert_close(lab.permute(1, 2, 0), torch.from_numpy(expected), atol=0.02, rtol=0)
    expected = color.deltaE_ciede2000(*(lab.permute(1, 2, 0).numpy() for lab in ours))
    torch.testing.assert_close(delta_e_2000(*ours), torch.from_numpy(expected), atol=1e-4, rtol=0)
    single = delta_e_2000(*(lab_colors(frame.float()) for frame in frames))
    torch.testing.assert_close(single.double(), torch.from_numpy(expected), atol=1e-3, rtol=0)


def test_grays_have_no_chroma_and_white_is_100():
    grays = torch.linspace(0, 1, 256, dtype=torch.float64).expand(3, 1, 256)
    lab = lab_colors(grays)
    assert lab[1:].abs().max() < 1e-9
    assert lab[0, 0, 0] == pytest.approx(0, abs=1e-9)
    assert lab[0, 0, -1] == pytest.approx(100)
    assert lab_colors(torch.tensor([1.0, 0, 0])[:, None, None]).flatten().tolist() == pytest.approx(
        [53.24, 80.09, 67.20], abs=0.01
    )


def test_equal_frames_have_no_color_error():
    frame, regions = torch.rand(3, 6, 6), torch.ones(6, 6, dtype=torch.int32)
    assert region_color_error(frame, frame, regions) == {"delta_e": 0, "wrong": 0}


def test_wrong_regions_count_once_and_ink_not_at_all():
    regions = torch.ones(10, 10, dtype=torch.int32)
    regions[:2, :2], regions[5], regions[8:, 8:] = 2, 0, 40
    target = torch.full((3, 10, 10), 0.4)
    prediction = target.clone()
    prediction[:, 5] = 1  # ink
    prediction[0, :2, :2] = 0.9
    prediction[1, 8:, 8:] = 0.41  # nobody sees it
    difference = delta_e_2000(lab_colors(prediction), lab_colors(target))
    error = region_color_error(prediction, target, regions)
    assert error["wrong"] == pytest.approx(1 / 3)
    assert error["delta_e"] == pytest.approx(4 / 90 * (difference[0, 0] + difference[9, 9]).item(), rel=1e-5)


def test_a_frame_without_regions_has_no_color_error():
    error = region_color_error(torch.rand(3, 4, 4), torch.rand(3, 4, 4), torch.zeros(4, 4, dtype=torch.int32))
    assert all(math.isnan(value) for value in error.values())


def test_frames_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match=r"got \(3, 4, 4\), \(3, 4, 5\) and \(4, 4\)"):
        region_color_error(torch.rand(3, 4, 4), torch.rand(3, 4, 5), torch.ones(4, 4))


@pytest.mark.parametrize("unit", [1, 5_000_000])
def test_region_means_agree_with_masks(unit):
    planes = torch.rand(3, 9, 8)
    regions = torch.tensor([-1, 0, 1, 3, 4]).repeat_interleave(15)[:72].view(9, 8) * unit
    found = region_means(planes, regions)
    assert found.ids.tolist() == [unit, 3 * unit, 4 * unit]
    assert found.pixels.tolist() == [15, 15, 12]
    for label, mean in zip(found.ids, found.means.T, strict=True):
        torch.testing.assert_close(mean, planes[:, regions == label].double().mean(dim=1))
