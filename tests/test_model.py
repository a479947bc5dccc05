from dataclasses import replace

import pytest
import torch

from configs.opdm import OPDM
from opdm.adapters.offset import OffsetEstimator
from opdm.config import ChoiceHeadConfig, FlowAdapterConfig, FrameHeadConfig, NoiseHeadConfig, UNetConfig
from opdm.heads import ChoiceHead
from opdm.model import OPDMModel
from opdm.unet import UNet
from tiny import ADAPTER_CONFIGS, make_conditions, make_model, model_config

HEADS = [NoiseHeadConfig(), FrameHeadConfig(), ChoiceHeadConfig(evidence="lines")]


def count(build):
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build().parameters())


def parameters(config):
    return count(lambda: OPDMModel.from_model_config(config))


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.kind)
@pytest.mark.parametrize("adapter", ADAPTER_CONFIGS, ids=lambda config: config.kind)
def test_every_combination_reloads_to_equal_output(tmp_path, adapter, head):
    model = make_model(adapter, head)
    model.save_pretrained(tmp_path)
    reloaded = OPDMModel.from_pretrained(tmp_path)
    arguments = torch.randn(2, 3, 32, 32), torch.tensor([3, 50]), make_conditions(adapter=adapter)
    with torch.no_grad():
        assert torch.equal(model(*arguments), reloaded(*arguments))


def test_everything_given_changes_the_prediction():
    adapter = FlowAdapterConfig(encodes="matches", blocks_per_level=1)
    model = make_model(adapter, ChoiceHeadConfig(evidence="lines"))
    conditions, frame, timestep = make_conditions(adapter=adapter), torch.randn(2, 3, 32, 32), torch.tensor([3, 50])
    conditions = replace(conditions, lines=0.8 + 0.2 * conditions.lines)  # not of the kind of the keyframes' lines
    with torch.no_grad():
        usual = model(frame, timestep, conditions)
        assert not torch.allclose(model(frame + 0.1, timestep, conditions), usual)
        assert not torch.allclose(model(frame, timestep + 20, conditions), usual)
        for name, value in vars(conditions).items():
            changed = type(conditions)(**{**vars(conditions), name: value * 0.5})
            assert not torch.allclose(model(frame, timestep, changed), usual), name


def test_every_parameter_receives_a_gradient():
    model = make_model(FlowAdapterConfig(blocks_per_level=1), ChoiceHeadConfig(evidence="lines"))
    model(torch.randn(2, 3, 32, 32), torch.tensor([3, 50]), make_conditions()).square().mean().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_choice_is_a_convex_mix_plus_a_residual():
    proposals = torch.rand(1, 2, 3, 4, 4)
    output = torch.zeros(1, 5, 4, 4)
    output[:, 0], output[:, 3] = 30, 0.25  # all weight on the first proposal; green of the residual
    expected = proposals[:, 0].clone()
    expected[:, 1] += 0.25
    assert torch.allclose(ChoiceHead()(output, proposals), expected, atol=1e-6)


def test_injection_in_every_block_differs_from_the_first_only():
    torch.manual_seed(0)
    config = UNetConfig(widths=(8, 8), blocks_per_level=2, attention_levels=(), norm_groups=4)
    first = UNet(config, out_channels=3)
    every = UNet(UNetConfig(**{**vars(config), "injection": "every_block"}), out_channels=3)
    every.load_state_dict(first.state_dict())
    for unet in (first, every):
        torch.nn.init.ones_(unet.project.weight)
    guidance = [torch.randn(1, 8, 16, 16), torch.randn(1, 8, 8, 8)]
    regions = torch.ones(1, 1, 16, 16, dtype=torch.int32)
    arguments = torch.randn(1, 3, 16, 16), torch.rand(1, 1, 16, 16), torch.tensor([5]), guidance, regions
    with torch.no_grad():
        assert not torch.allclose(first(*arguments)[0], every(*arguments)[0])


def test_the_full_model_has_the_sizes_of_table_2():
    two, one = parameters(OPDM), parameters(with_one_reference(OPDM))
    assert abs((two - one) / 1e6 - 0.58) < 0.1  # 205.58 M and 205.00 M
    frozen = count(lambda: OffsetEstimator(OPDM.adapter))
    assert (two - frozen) / 1e6 == pytest.approx(205.58, rel=0.02)
    assert (one - frozen) / 1e6 == pytest.approx(205.00, rel=0.02)


def with_one_reference(config):
    return replace(config, references=1)


def test_one_reference_is_a_model_of_its_own():
    model = make_model(references=1)
    assert model_config(references=1).references == model.references == 1
    assert model(torch.randn(1, 3, 32, 32), torch.tensor([1]), make_conditions(1, 1)).shape == (1, 3, 32, 32)
