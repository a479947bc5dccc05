import pytest
import torch
import torchvision
from skimage.metrics import peak_signal_noise_ratio

from opdm.evidence import BESIDE_PX
from opdm.losses import (
    REGION_PX,
    PerceptualLoss,
    content_loss,
    end_point_error,
    ghost_loss,
    noise_loss,
    psnr_loss,
    region_loss,
)


def test_equal_frames_cost_nothing():
    frame = torch.rand(2, 3, 16, 16)
    assert torch.allclose(noise_loss(frame, frame), torch.zeros(2))
    assert torch.allclose(content_loss(frame, frame), torch.zeros(2), atol=1e-6)


def test_values_by_hand():
    black, gray = torch.zeros(1, 3, 16, 16), torch.full((1, 3, 16, 16), 0.5)
    assert noise_loss(black, gray).item() == 0.25
    # Flat frames: SSIM is the luminance term alone, (0 + C1) / (0.25 + C1) with C1 = 0.01^2.
    assert content_loss(black, gray).item() == pytest.approx(0.5 + 1 - 1e-4 / (0.25 + 1e-4), abs=1e-5)


def test_psnr_loss_is_that_of_scikit_image_up_to_where_it_is_bounded():
    torch.manual_seed(0)
    target = torch.rand(1, 3, 16, 16)
    for deviation in (0.3, 0.1, 0.03):
        frame = (target + deviation * torch.randn_like(target)).clamp(0, 1)
        expected = peak_signal_noise_ratio(target.numpy(), frame.numpy(), data_range=1)
        assert psnr_loss(frame, target).item() == pytest.approx(-expected, abs=0.2)
    same = target.clone().requires_grad_()
    loss = psnr_loss(same, target)
    loss.backward()
    assert loss.item() == pytest.approx(-45) and same.grad.isfinite().all()


def test_each_sample_has_its_own_loss():
    target = torch.rand(2, 3, 16, 16)
    frame = target.clone()
    frame[1] = 1 - frame[1]
    for loss in (noise_loss, content_loss):
        values = loss(frame, target)
        assert values[0] < 1e-5 < 0.01 < values[1]
    assert psnr_loss(frame, target)[0] < -40 < -20 < psnr_loss(frame, target)[1]


def test_region_loss_agrees_with_a_loop():
    torch.manual_seed(0)
    frame, target = torch.rand(2, 3, 16, 16, requires_grad=True), torch.rand(2, 3, 16, 16)
    regions = torch.randint(0, 5, (2, 1, 16, 16), dtype=torch.int32)
    regions[1][regions[1] == 4] = 0  # the samples need not have the same regions
    regions[0, 0, 0, : REGION_PX - 1] = 7  # too small to count
    values = region_loss(frame, target, regions)
    for b in range(2):
        ids = regions[b, 0]
        means = [
            (frame[b, :, ids == i].mean(dim=1) - target[b, :, ids == i].mean(dim=1)).abs().mean() for i in (1, 2, 3)
        ]
        if b == 0:
            means.append((frame[b, :, ids == 4].mean(dim=1) - target[b, :, ids == 4].mean(dim=1)).abs().mean())
        assert values[b].item() == pytest.approx(torch.stack(means).mean().item(), rel=1e-4)
    values.sum().backward()
    assert frame.grad.isfinite().all() and not frame.grad[(regions == 0).expand(-1, 3, -1, -1)].any()


def test_a_small_region_counts_as_much_as_a_large_one():
    target, regions = torch.zeros(1, 3, 32, 32), torch.ones(1, 1, 32, 32, dtype=torch.int32)
    regions[..., :4, :4] = 2
    in_small, in_large = (0.5 * (regions == i).float().expand(-1, 3, -1, -1) for i in (2, 1))
    assert region_loss(in_small, target, regions).item() == pytest.approx(0.25)
    assert region_loss(in_large, target, regions).item() == pytest.approx(0.25)
    assert region_loss(in_large, target, torch.zeros_like(regions)).item() == 0


def line_at(*columns):
    lines = torch.ones(1, 1, 32, 64)
    lines[..., list(columns)] = 0
    return lines


@pytest.mark.parametrize(("drawn", "costs"), [([], True), ([20], False), ([22], False), ([27], True)])
def test_a_ghost_is_where_a_moved_keyframe_has_a_line_and_the_drawing_has_none_near(drawn, costs):
    target = torch.rand(1, 3, 32, 64, requires_grad=True)
    moved = torch.cat([line_at(), line_at(20)], dim=1)  # one of two motions brings a line here
    ghost_loss(torch.zeros_like(target), target, line_at(*drawn), moved).sum().backward()
    columns = target.grad.abs().sum(dim=(0, 1, 2)).nonzero().flatten().tolist()
    assert columns == (list(range(20 - BESIDE_PX, 21 + BESIDE_PX)) if costs else [])


def test_a_small_ghost_counts_as_much_as_a_large_one():
    target, moved, nothing = torch.zeros(1, 3, 32, 64), line_at(20), line_at()
    wrong = torch.full_like(target, 0.3)
    short = moved.clone()
    short[..., :30, :] = 1
    for lines in (moved, short):
        assert ghost_loss(wrong, target, nothing, lines).item() == pytest.approx(0.3)
    assert ghost_loss(wrong, target, nothing, nothing).item() == 0
    speck = nothing.clone()
    speck[..., 0, 0] = 0.9  # hardly a line, of hardly any size
    assert 0 < ghost_loss(wrong, target, nothing, speck).item() < 0.3


def test_end_point_error_counts_visible_pixels_only():
    truth_px = torch.zeros(1, 2, 4, 4)
    flow_px = torch.zeros(1, 2, 4, 4)
    flow_px[:, 0, :2], flow_px[:, 1, :2] = 3, 4  # five pixels off in the upper half
    flow_px[:, :, 3] = 1000
    is_occluded = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    is_occluded[:, :, 3] = True
    assert end_point_error(flow_px, truth_px, is_occluded).item() == pytest.approx(5 * 8 / 12, rel=1e-3)


def test_missing_vgg_weights_name_file_and_option(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere.pth.*--objective.vgg-weights.*--objective.perceptual-weight 0"):
        PerceptualLoss(str(tmp_path / "nowhere.pth"))


@pytest.mark.slow
def test_perceptual_loss_reads_a_local_file(tmp_path):
    torch.manual_seed(0)
    torch.save(torchvision.models.vgg19().state_dict(), tmp_path / "vgg19.pth")
    loss = PerceptualLoss(str(tmp_path / "vgg19.pth"))
    frame = torch.rand(2, 3, 32, 32, requires_grad=True)
    target = frame.detach().clone()
    target[1] = target[1].flip(-1)
    values = loss(frame, target)
    assert values[0] == 0 < values[1]
    values.sum().backward()
    assert frame.grad[1].any() and all(not p.requires_grad for p in loss.parameters())
