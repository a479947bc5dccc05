"""FlowDM with a learned flow network; its weights are random here, and saved as published ones are."""

import pytest
import torch
from torchvision.models.optical_flow import raft_small

from opdm.adapters import RaftAdapter
from opdm.config import NoiseHeadConfig, RaftAdapterConfig
from opdm.errors import InputError
from opdm.pipeline import OPDMPipeline
from opdm.raft import UPDATES
from tiny import SCHEDULE, UNET, make_conditions, make_model


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("raft") / "raft_small.pth"
    torch.save(raft_small(weights=None).state_dict(), file)
    return file


@pytest.fixture
def model(weights):
    return make_model(RaftAdapterConfig(estimator=str(weights), blocks_per_level=1), NoiseHeadConfig())


def test_the_flow_is_that_of_the_network_from_drawing_to_keyframe(model, weights):
    conditions = make_conditions(batch=1, size=128).inside_model()
    network = raft_small(weights=None).eval()
    network.load_state_dict(torch.load(weights))
    with torch.no_grad():
        drawing = conditions.lines.expand(-1, 3, -1, -1)
        wanted = [network(drawing, conditions.keyframes[:, k], num_flow_updates=UPDATES)[-1] for k in range(2)]
    assert torch.allclose(model.adapter.estimate(conditions), torch.stack(wanted, dim=1), atol=1e-3)


@pytest.mark.parametrize("references", [1, 2])
def test_it_keeps_the_contract_at_sizes_that_raft_refuses(references):
    adapter = RaftAdapter(RaftAdapterConfig(blocks_per_level=1), references=references, unet=UNET)
    features = adapter(make_conditions(batch=3, references=references).inside_model())
    assert [tuple(f.shape) for f in features] == [(3, w, 32 >> i, 32 >> i) for i, w in enumerate(UNET.widths)]


def test_the_network_is_frozen_in_training_too(model):
    model.train()
    before = {name: value.clone() for name, value in model.adapter.network.state_dict().items()}
    sum(feature.float().square().mean() for feature in model.encode(make_conditions()).features).backward()
    assert all(p.grad is None for p in model.adapter.network.parameters())
    assert any(p.grad is not None for p in model.adapter.encoder.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.adapter.network.state_dict().items())


def test_the_network_stays_in_float32(model):
    before = [p.clone() for p in model.adapter.network.parameters()]
    guidance = model.to(torch.bfloat16).encode(make_conditions())
    assert all(feature.dtype == torch.bfloat16 for feature in guidance.features)
    after = list(model.adapter.network.parameters())
    assert all(p.dtype == torch.float32 and torch.equal(p, q) for p, q in zip(after, before, strict=True))


def test_a_saved_model_brings_its_network(model, tmp_path):
    OPDMPipeline.from_model(model, SCHEDULE).save_pretrained(tmp_path / "pipeline")
    again = OPDMPipeline.from_pretrained(tmp_path / "pipeline").model
    for name, value in model.adapter.state_dict().items():
        assert torch.equal(again.adapter.state_dict()[name], value), name


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"raft-small: no file .*none\.pth"):
        make_model(RaftAdapterConfig(estimator=str(tmp_path / "none.pth")), NoiseHeadConfig())


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth: has not the weights of torchvision's raft-small"):
        make_model(RaftAdapterConfig(estimator=str(tmp_path / "other.pth")), NoiseHeadConfig())
