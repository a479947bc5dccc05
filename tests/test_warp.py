import cv2
import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import deform_conv2d

from opdm.warp import backward_warp, destinations, forward_backward_error_px, mean_offset_px, sample, sample_color


def test_zero_flow_leaves_the_frame_unchanged():
    frame = torch.rand(1, 3, 9, 11)
    assert torch.allclose(backward_warp(frame, torch.zeros(1, 2, 9, 11)), frame, atol=1e-6)


def test_whole_pixel_flow_moves_pixels_exactly():
    frame = torch.rand(1, 3, 12, 16)
    flow_px = torch.zeros(1, 2, 12, 16)
    flow_px[:, 0], flow_px[:, 1] = 3, -2
    warped = backward_warp(frame, flow_px)
    assert torch.allclose(warped[..., 2:, :-3], frame[..., :-2, 3:], atol=1e-5)


def test_subpixel_flow_agrees_with_a_loop():
    frame, flow_px = torch.rand(1, 1, 6, 7), torch.rand(1, 2, 6, 7) * 2 - 1
    warped = backward_warp(frame, flow_px)
    for y in range(6):
        for x in range(7):
            px = min(max(x + float(flow_px[0, 0, y, x]), 0), 6)
            py = min(max(y + float(flow_px[0, 1, y, x]), 0), 5)
            x0, y0 = min(int(px), 5), min(int(py), 4)
            fx, fy = px - x0, py - y0
            corners = frame[0, 0, y0 : y0 + 2, x0 : x0 + 2]
            expected = (
                corners[0, 0] * (1 - fx) * (1 - fy)
                + corners[0, 1] * fx * (1 - fy)
                + corners[1, 0] * (1 - fx) * fy
                + corners[1, 1] * fx * fy
            )
            assert abs(float(warped[0, 0, y, x]) - float(expected)) < 1e-5


def test_colors_keep_their_detail_when_they_move_by_parts_of_a_pixel():
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")

    def pattern(shift):
        """Waves four to seven pixels long, which can be drawn at any place."""
        return (0.5 + 0.2 * torch.sin((x + shift) * 1.4) + 0.2 * torch.cos((x + shift) * 0.9 + y)).expand(1, 3, -1, -1)

    flow_px = torch.zeros(1, 2, 32, 32)
    flow_px[:, 0] = 0.5
    inner = (..., slice(4, -4), slice(4, -4))
    places_px = destinations(flow_px)
    errors = [(move(pattern(0), places_px) - pattern(0.5))[inner].abs().mean() for move in (sample_color, sample)]
    assert errors[0] < 0.5 * errors[1]


def test_moved_colors_stay_colors():
    frame = (torch.rand(1, 3, 16, 16) > 0.5).float()
    flow_px = torch.rand(1, 2, 16, 16) * 4 - 2
    moved = sample_color(frame, destinations(flow_px))
    assert moved.min() >= 0 and moved.max() <= 1
    whole_px = flow_px.round()
    assert torch.allclose(sample_color(frame, destinations(whole_px)), backward_warp(frame, whole_px), atol=1e-4)


@pytest.mark.parametrize(
    ("interpolation", "mode"),
    [(cv2.INTER_LINEAR, "bilinear"), (cv2.INTER_CUBIC, "bicubic"), (cv2.INTER_NEAREST, "nearest")],
)
def test_samples_are_those_of_grid_sample(interpolation, mode):
    frame = torch.rand(2, 3, 19, 23)
    places_px = destinations(torch.randn(2, 2, 19, 23) * 8)  # many lead out of the frame
    grid = places_px.movedim(1, -1) / torch.tensor([11.0, 9.0]) - 1
    expected = F.grid_sample(frame, grid, mode=mode, padding_mode="border", align_corners=True)
    assert torch.allclose(sample(frame, places_px, interpolation=interpolation), expected, atol=1e-4)


def test_consistent_flows_have_no_forward_backward_error():
    there = torch.full((1, 2, 16, 16), 2.0)
    error = forward_backward_error_px(there, -there)
    assert error.shape == (1, 1, 16, 16)
    assert error.max() < 1e-5
    assert torch.allclose(forward_backward_error_px(there, there), torch.full((1, 1, 16, 16), 32.0**0.5))


def test_mean_offset_reads_the_order_of_torchvision():
    offsets_px = torch.zeros(1, 2 * 9, 8, 8)
    offsets_px[:, 0::2], offsets_px[:, 1::2] = 1, 2  # torchvision: dy before dx
    frame = torch.rand(1, 1, 8, 8)
    kernel = torch.zeros(1, 1, 3, 3)
    kernel[..., 1, 1] = 1
    aligned = deform_conv2d(frame, offsets_px, kernel, padding=1)
    flow_px = mean_offset_px(offsets_px)
    assert flow_px[0, :, 0, 0].tolist() == [2, 1]
    assert torch.allclose(aligned[..., :-1, :-2], backward_warp(frame, flow_px)[..., :-1, :-2], atol=1e-5)
    assert torch.allclose(aligned[..., :-1, :-2], F.pad(frame, (0, 2, 0, 1))[..., 1:, 2:][..., :-1, :-2], atol=1e-5)
