"""The terms of equation 10. Each takes (B, 3, H, W) tensors and returns one value per sample, (B,)."""

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from opdm.evidence import foreign_ink
from opdm.region_pooling import number_apart
from opdm.similarity import ssim

VGG_LAYERS = (1, 6, 11, 20, 29)
"""relu1_1 to relu5_1 of torchvision's VGG19. Ours: the paper says five layers without naming them."""
REGION_PX = 9
"""Smaller regions are specks between lines, whose color nobody chose."""
BEST_PSNR_DB = 45.0
"""A better frame is as good: what 8-bit frames and compression leave is no matter of painting."""


def noise_loss(prediction: Tensor, truth: Tensor) -> Tensor:
    """Mean squared error."""
    return (prediction - truth).square().mean(dim=(1, 2, 3))


def content_loss(frame: Tensor, target: Tensor) -> Tensor:
    """L1 + (1 - SSIM), equation 8; both in [0, 1]."""
    return (frame - target).abs().mean(dim=(1, 2, 3)) + 1 - ssim(frame, target)


def region_loss(frame: Tensor, target: Tensor, regions: Tensor) -> Tensor:
    """L1 distance of the mean colors of a region, averaged over regions, so that small ones count as large ones do.

    frame, target: (B, 3, H, W) in [0, 1]; regions (B, 1, H, W) int, from 1, 0 = line; those of fewer than
    `REGION_PX` pixels are left out. 0 for a sample without regions.
    """
    ids, count = number_apart(regions)
    sizes = torch.bincount(ids, minlength=count)
    errors = (frame - target).float().movedim(1, -1).flatten(0, 2)  # (B H W, 3)
    sums = errors.new_zeros(count, 3).index_add(0, ids, errors)
    distances = (sums / sizes.clamp(min=1)[:, None]).abs().mean(dim=1).view(len(regions), -1)[:, 1:]  # (B, S)
    counts = (sizes.view(len(regions), -1)[:, 1:] >= REGION_PX).float()
    return (distances * counts).sum(dim=1) / counts.sum(dim=1).clamp(min=1)


def ghost_loss(frame: Tensor, target: Tensor, lines: Tensor, moved_lines: Tensor) -> Tensor:
    """L1 distance where keyframes have lines that the drawing has not, so that a small ghost counts as a large one.

    Eyes that shut, a hand that was elsewhere: what the drawing has no line for, the frame must not show. frame, target:
    (B, 3, H, W) in [0, 1]; lines (B, 1, H, W) and moved_lines (B, N, H, W), of the keyframes, in [0, 1], 1 = paper.
    """
    weights = foreign_ink(lines, moved_lines.amin(dim=1, keepdim=True))  # (B, 1, H, W)
    distance = (frame - target).abs().mean(dim=1, keepdim=True)
    return (distance * weights).sum(dim=(1, 2, 3)) / weights.sum(dim=(1, 2, 3)).clamp(min=REGION_PX)


def psnr_loss(frame: Tensor, target: Tensor) -> Tensor:
    """Negative PSNR in dB, which no frame brings below -`BEST_PSNR_DB`; both in [0, 1]."""
    error = (frame - target).square().mean(dim=(1, 2, 3))
    return 10 * (error + 10 ** (-BEST_PSNR_DB / 10)).log10()


class PerceptualLoss(nn.Module):
    """Squared distance of VGG19 features, equation 9."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, weights: str | None):
        """weights: a file of torchvision's VGG19; None lets torchvision find or download them.

        Raises ValueError, naming the remedy, where the weights cannot be had.
        """
        super().__init__()
        layers = list(load_vgg19(weights).features.children())[: VGG_LAYERS[-1] + 1]
        self.features = nn.ModuleList(layers).eval().requires_grad_(False)
        for module in self.features:
            if isinstance(module, nn.ReLU):
                module.inplace = False  # the taps must survive the next layer
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1), persistent=False)

    def forward(self, frame: Tensor, target: Tensor) -> Tensor:
        """Both (B, 3, H, W) in [0, 1]; (B,)."""
        with torch.no_grad():
            truth = self.taps(target)
        return torch.stack(
            [(a - b).square().mean(dim=(1, 2, 3)) for a, b in zip(self.taps(frame), truth, strict=True)]
        ).sum(dim=0)

    def taps(self, frame: Tensor) -> list[Tensor]:
        """Features of `VGG_LAYERS`."""
        hidden, taps = (frame - self.mean) / self.deviation, []
        for index, layer in enumerate(self.features):
            hidden = layer(hidden)
            if index in VGG_LAYERS:
                taps.append(hidden)
        return taps


def load_vgg19(weights: str | None) -> torchvision.models.VGG:
    """torchvision's VGG19 with ImageNet weights from a file, or through torchvision's own loader."""
    try:
        if weights is None:
            return torchvision.models.vgg19(weights="IMAGENET1K_V1")
        model = torchvision.models.vgg19()
        model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        return model
    except Exception as error:
        reason = " ".join(str(error).split())[:160]
        raise ValueError(
            f"VGG19 weights ({weights or 'vgg19-dcbb9e9d.pth of torchvision'}) cannot be had ({reason}); give the file "
            "with --objective.vgg-weights, or train without them with --objective.perceptual-weight 0"
        ) from error


def end_point_error(flow_px: Tensor, truth_px: Tensor, is_occluded: Tensor) -> Tensor:
    """Mean distance of (B, 2, H, W) flows, in pixels, off the (B, 1, H, W) occlusions."""
    distance = F.pairwise_distance(flow_px.movedim(1, -1), truth_px.movedim(1, -1))  # (B, H, W)
    is_visible = (~is_occluded[:, 0]).float()
    return (distance * is_visible).sum(dim=(1, 2)) / is_visible.sum(dim=(1, 2)).clamp(min=1)
