"""Pooling over regions: means against a loop, what it carries where, and weights of models that had none."""

from dataclasses import replace

import pytest
import torch

from opdm.checkpoint import copy_weights
from opdm.model import OPDMModel
from opdm.region_pooling import RegionPooling, region_mean
from tiny import UNET, make_conditions, model_config

REGIONS = torch.tensor([[0, 0, 2], [1, 1, 2]], dtype=torch.int32)
"""Of one sample; the other one's are mirrored."""


def make_pair() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Values and weights (2, 3, 2, 3), regions (2, 1, 2, 3)."""
    torch.manual_seed(0)
    return torch.randn(2, 3, 2, 3), torch.rand(2, 3, 2, 3) + 0.1, torch.stack([REGIONS, REGIONS.flip(1)])[:, None]


def make_pooling() -> RegionPooling:
    pooling = RegionPooling(4, norm_groups=2)
    with torch.no_grad():
        for parameter in pooling.parameters():
            parameter.normal_()
    return pooling


def test_means_are_those_of_a_loop():
    values, weights, regions = make_pair()
    expected = torch.zeros_like(values)
    for sample in range(2):
        for number in range(3):
            inside = regions[sample, 0] == number
            for channel in range(3):
                value, weight = values[sample, channel][inside], weights[sample, channel][inside]
                expected[sample, channel][inside] = (value * weight).sum() / weight.sum()
    assert torch.allclose(region_mean(values, weights, regions), expected, atol=1e-6)


def test_all_channels_may_have_the_same_weights():
    values, weights, regions = make_pair()
    shared = weights[:, :1]
    assert torch.allclose(region_mean(values, shared, regions), region_mean(values, shared.expand_as(values), regions))


def test_gradients_are_those_of_differences():
    values, weights, regions = make_pair()
    arguments = values.double().requires_grad_(), weights.double().requires_grad_()
    # Sums are made in float32, so the steps are large and the tolerance with them.
    assert torch.autograd.gradcheck(
        lambda v, w: region_mean(v, w, regions).double(), arguments, eps=1e-2, atol=2e-3, rtol=2e-2
    )


def test_a_weight_of_nothing_gives_no_nan():
    values, _, regions = make_pair()
    assert region_mean(values, torch.zeros_like(values), regions).isfinite().all()


def test_a_pixel_reaches_its_region_and_nothing_else():
    pooling, hidden = make_pooling(), torch.randn(1, 4, 6, 6)
    regions = torch.ones(1, 1, 6, 6, dtype=torch.int32)
    regions[..., 3:] = 2
    changed = hidden.clone()
    changed[:, :, 0, 0] += 1
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        # Normalization looks at the whole frame, here as everywhere in the network.
        patch.setattr("opdm.region_pooling.norm_silu", lambda _, tensor: tensor)
        moved = (pooling(hidden, regions) - pooling(changed, regions)).abs().amax(dim=1)[0] > 1e-6
    assert moved[:, :3].all() and not moved[:, 3:].any()


def test_a_new_one_changes_nothing():
    hidden, regions = torch.randn(1, 4, 6, 6), torch.randint(0, 3, (1, 1, 6, 6))
    assert torch.equal(RegionPooling(4, norm_groups=2)(hidden, regions), hidden)


def test_weights_of_a_model_without_pooling_paint_as_they_did():
    torch.manual_seed(0)
    without = OPDMModel.from_model_config(replace(model_config(), unet=replace(UNET, region_levels=())))
    pooled = OPDMModel.from_model_config(model_config())
    with torch.no_grad():
        for parameter in without.parameters():
            parameter.normal_(std=0.1)
        copy_weights(pooled, without, "a model without pooling")
        conditions, times = make_conditions(), torch.tensor([3, 50])
        frame = torch.randn(2, 3, 32, 32)
        assert torch.equal(pooled(frame, times, conditions), without(frame, times, conditions))
    with pytest.raises(ValueError, match="a model with pooling: a model of another shape"):
        copy_weights(without, pooled, "a model with pooling")
