import pytest
import torch
import torch.nn.functional as F
from torch import nn

from opdm.norm import NormSilu, norm_silu


@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
def test_gradients_agree_with_autograd(memory_format):
    x = torch.randn(2, 8, 5, 6).contiguous(memory_format=memory_format).requires_grad_()
    weight, bias = torch.randn(8, requires_grad=True), torch.randn(8, requires_grad=True)
    upstream = torch.randn(2, 8, 5, 6)
    expected = F.silu(F.group_norm(x, 4, weight, bias))
    found = NormSilu.apply(x, weight, bias, 4, 1e-5)
    assert torch.allclose(found, expected)
    truth = torch.autograd.grad(expected, [x, weight, bias], upstream)
    for ours, theirs in zip(torch.autograd.grad(found, [x, weight, bias], upstream), truth, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_bfloat16_training_is_as_close_as_its_rounding():
    norm, x = nn.GroupNorm(4, 8), torch.randn(2, 8, 16, 16)
    truth = x.clone().requires_grad_()
    norm_silu(norm, truth).square().sum().backward()
    rounded = x.bfloat16().contiguous(memory_format=torch.channels_last).requires_grad_()
    norm_silu(norm, rounded).float().square().sum().backward()
    assert (rounded.grad.float() - truth.grad).norm() / truth.grad.norm() < 0.02


def test_painting_overwrites_no_input():
    norm, x = nn.GroupNorm(4, 8), torch.randn(1, 8, 4, 4)
    before = x.clone()
    with torch.no_grad():
        norm_silu(norm, x)
    assert torch.equal(x, before)
