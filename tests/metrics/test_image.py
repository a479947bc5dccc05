import json
import math
from pathlib import Path

import numpy as np
import pytest
import pytorch_msssim
import skimage.metrics
import torch

from golden_inputs import build, content_hash
from opdm import similarity
from opdm.metrics import IMAGE_METRICS, ms_ssim, psnr, qssim, ssim

GOLDEN = json.loads((Path(__file__).parents[1] / "data_files" / "golden_image_metrics.json").read_text())
FLOAT32_TOLERANCE = {"psnr": 1e-5, "ssim": 5e-5, "ms_ssim": 5e-5, "qssim": 1e-4}


def frames(specification, dtype=torch.float64):
    return torch.from_numpy(build(specification)).permute(2, 0, 1)[None].to(dtype) / 255


CARTOON = ["cartoon", 1, 224, 224]
JITTERED = ["jitter", CARTOON, 2, 12]


@pytest.mark.parametrize(("specification", "expected"), GOLDEN["image_hashes"].items())
def test_golden_inputs_are_the_published_pixels(specification, expected):
    assert content_hash(build(json.loads(specification))) == expected


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize(
    ("metric", "case"),
    [(metric, case) for metric in IMAGE_METRICS for case in GOLDEN[metric]],
    ids=lambda value: value if isinstance(value, str) else value["name"],
)
def test_scores_are_the_golden_ones(metric, case, dtype):
    score = IMAGE_METRICS[metric](frames(case["prediction"], dtype), frames(case["target"], dtype)).item()
    expected = float(case["expected"])
    tolerance = 1e-8 if dtype == torch.float64 else FLOAT32_TOLERANCE[metric]
    assert score == pytest.approx(expected, abs=tolerance, rel=1e-7)


@pytest.mark.parametrize("metric", IMAGE_METRICS)
def test_a_batch_scores_as_its_frames_do(metric):
    predictions = torch.cat([frames(CARTOON), frames(JITTERED), frames(["noise", 3, 224, 224])])
    targets = torch.cat([frames(CARTOON), frames(CARTOON), frames(JITTERED)])
    together = IMAGE_METRICS[metric](predictions, targets)
    alone = [IMAGE_METRICS[metric](predictions[i : i + 1], targets[i : i + 1]).item() for i in range(3)]
    assert together.shape == (3,)
    assert together.tolist() == pytest.approx(alone, rel=1e-12)


def test_psnr_and_ssim_agree_with_scikit_image():
    a, b = build(["cartoon", 9, 97, 120]), build(["jitter", ["cartoon", 9, 97, 120], 3, 40])
    prediction, target = (torch.from_numpy(image).permute(2, 0, 1)[None] / 255.0 for image in (a, b))
    expected = skimage.metrics.structural_similarity(
        a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, channel_axis=2
    )
    assert ssim(prediction, target).item() == pytest.approx(expected, abs=1e-5)
    assert psnr(prediction, target).item() == pytest.approx(skimage.metrics.peak_signal_noise_ratio(a, b), abs=1e-5)


@pytest.mark.parametrize("size", [(176, 176), (183, 201)])
def test_ms_ssim_agrees_with_pytorch_msssim(size):
    prediction, target = frames(["cartoon", 4, *size]), frames(["jitter", ["cartoon", 4, *size], 5, 50])
    expected = pytorch_msssim.ms_ssim(prediction, target, data_range=1.0)
    assert ms_ssim(prediction, target).item() == pytest.approx(expected.item(), abs=5e-5)


def quaternion_product(p, q):
    """Hamilton's product of two (4, ...) arrays: real part first."""
    a, b, c, d = p
    e, f, g, h = q
    return np.stack(
        [
            a * e - b * f - c * g - d * h,
            a * f + b * e + c * h - d * g,
            a * g - b * h + c * e + d * f,
            a * h + b * g - c * f + d * e,
        ]
    )


def test_qssim_agrees_with_quaternion_arithmetic():
    images = [build(["cartoon", 2, 40, 48]), build(["jitter", ["cartoon", 2, 40, 48], 3, 60])]
    p, q = (np.concatenate([np.zeros((40, 48, 1)), image / 256 / math.sqrt(3)], axis=2) for image in images)
    weights = np.outer(similarity.GAUSSIAN_WEIGHTS, similarity.GAUSSIAN_WEIGHTS)
    real = np.array([1.0, 0, 0, 0])
    conjugate = np.array([1.0, -1, -1, -1])
    total = 0.0
    for row in range(30):
        for column in range(38):
            x, y = (image[row : row + 11, column : column + 11].transpose(2, 0, 1) for image in (p, q))
            mean_x, mean_y = (weights * x).sum(axis=(1, 2)), (weights * y).sum(axis=(1, 2))
            deviation_x, deviation_y = x - mean_x[:, None, None], y - mean_y[:, None, None]
            products = quaternion_product(deviation_x, deviation_y * conjugate[:, None, None])
            covariance = (weights * products).sum(axis=(1, 2))
            variances = (weights * (deviation_x**2 + deviation_y**2)).sum()
            numerator = quaternion_product(
                2 * quaternion_product(mean_x, mean_y * conjugate) + 1e-4 * real, 2 * covariance + 9e-4 * real
            )
            energies = (mean_x**2).sum() + (mean_y**2).sum()
            total += np.linalg.norm(numerator) / ((energies + 1e-4) * (variances + 9e-4))
    prediction, target = (torch.from_numpy(image).permute(2, 0, 1)[None].double() / 255 for image in images)
    assert qssim(prediction, target).item() == pytest.approx(total / (30 * 38), abs=1e-10)


def test_ssim_has_true_gradients():
    prediction, target = torch.rand(1, 2, 13, 12, dtype=torch.float64), torch.rand(1, 2, 13, 12, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: similarity.ssim(x, target), prediction.requires_grad_())


def test_climbing_ssim_restores_a_frame():
    target = frames(["cartoon", 3, 32, 32])
    prediction = frames(["noise", 1, 32, 32]).requires_grad_()
    optimizer = torch.optim.Adam([prediction], lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        (1 - similarity.ssim(prediction, target)).sum().backward()
        optimizer.step()
    assert similarity.ssim(prediction, target).item() > 0.9


@pytest.mark.parametrize("metric", IMAGE_METRICS)
@pytest.mark.parametrize(
    ("prediction", "target", "message"),
    [
        (torch.rand(1, 3, 176, 176), torch.rand(1, 3, 176, 177), "differ in shape"),
        (torch.rand(3, 176, 176), torch.rand(3, 176, 176), "must be \\(B, 3, H, W\\)"),
        (torch.rand(1, 1, 176, 176), torch.rand(1, 1, 176, 176), "must be \\(B, 3, H, W\\)"),
        (torch.rand(1, 3, 176, 176) * 255, torch.rand(1, 3, 176, 176), "prediction must lie in \\[0, 1\\]"),
        (torch.rand(1, 3, 176, 176), torch.full((1, 3, 176, 176), math.nan), "target must lie in .* without NaN"),
        (torch.rand(1, 3, 176, 176).byte(), torch.rand(1, 3, 176, 176).byte(), "must be float"),
        (torch.rand(1, 3, 176, 176), torch.rand(1, 3, 176, 176, dtype=torch.float64), "both the same"),
    ],
    ids=["sizes", "no batch", "gray", "0 to 255", "NaN", "uint8", "mixed precision"],
)
def test_wrong_frames_are_refused(metric, prediction, target, message):
    with pytest.raises(ValueError, match=message):
        IMAGE_METRICS[metric](prediction, target)


@pytest.mark.parametrize(("metric", "side"), [(ms_ssim, 160), (ssim, 10), (qssim, 10)])
def test_frames_smaller_than_the_windows_are_refused(metric, side):
    with pytest.raises(ValueError, match=f"at least {side + 1} px"):
        metric(torch.rand(1, 3, side, 200), torch.rand(1, 3, side, 200))
