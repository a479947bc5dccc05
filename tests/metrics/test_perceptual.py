import json
from pathlib import Path

import numpy as np
import pytest
import torch

from golden_inputs import build
from opdm.errors import InputError
from opdm.metrics.perceptual import load_network, lpips

pytest.importorskip("lpips")

GOLDEN = json.loads((Path(__file__).parents[1] / "data_files" / "golden_clip_metrics.json").read_text())
SHAPES = [(64, 3, 11, 11), (192, 64, 5, 5), (384, 192, 3, 3), (256, 384, 3, 3), (256, 256, 3, 3)]
"""AlexNet's convolutions."""


@pytest.fixture(scope="module")
def trunk(tmp_path_factory):
    """A file in torchvision's layout with the numbers that the golden values were computed with."""
    state = {}
    for index, (layer, shape) in enumerate(zip((0, 3, 6, 8, 10), SHAPES, strict=True)):
        values = np.random.RandomState(1000 + index).standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
        state[f"features.{layer}.weight"] = torch.from_numpy(values).float()
        state[f"features.{layer}.bias"] = torch.zeros(shape[0])
    file = tmp_path_factory.mktemp("weights") / "alex.pth"
    torch.save(state, file)
    return file


def frames(specification):
    return torch.from_numpy(build(specification)).permute(2, 0, 1)[None] / 255


@pytest.mark.parametrize("case", GOLDEN["lpips"], ids=lambda case: case["name"])
def test_lpips_is_the_golden_one(trunk, case):
    prediction, target = frames(case["prediction"]), frames(case["target"])
    assert lpips(prediction, target, weights=trunk).tolist() == [pytest.approx(case["expected"], rel=1e-3)]
    network = load_network("alex", trunk)
    network.lpips = False
    try:
        bare = network(prediction, target, normalize=True).item()
    finally:
        network.lpips = True
    assert bare == pytest.approx(case["without_learned_weights"], rel=1e-3)


def test_a_batch_scores_as_its_frames_do(trunk):
    predictions, targets = torch.rand(2, 2, 3, 64, 64)
    together = lpips(predictions, targets, weights=trunk)
    alone = [lpips(predictions[i : i + 1], targets[i : i + 1], weights=trunk).item() for i in range(2)]
    assert together.tolist() == pytest.approx(alone, rel=1e-4)


@pytest.mark.parametrize("net", ["alex", "vgg", "squeeze"])
def test_without_weights_there_is_an_error_and_no_score(monkeypatch, tmp_path, net):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))

    def refuse(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    frame = torch.rand(1, 3, 64, 64)
    with pytest.raises(InputError, match=rf"LPIPS-{net}: its weights could not be downloaded .*fetch https://"):
        lpips(frame, frame, net=net)


def test_weights_of_another_network_are_refused(trunk):
    frame = torch.rand(1, 3, 64, 64)
    with pytest.raises(InputError, match="has not torchvision's weights"):
        lpips(frame, frame, net="squeeze", weights=trunk)
    with pytest.raises(InputError, match="no network 'resnet'; there are alex, vgg, squeeze"):
        lpips(frame, frame, net="resnet")


@pytest.mark.parametrize("net", [pytest.param("vgg", marks=pytest.mark.slow), "squeeze"])
def test_the_other_networks_fill_their_trunks_from_torchvision(tmp_path, net):
    from torchvision.models import squeezenet1_1
    from torchvision.models.vgg import cfgs, make_layers

    layers = make_layers(cfgs["D"], batch_norm=False) if net == "vgg" else squeezenet1_1().features
    features = layers.state_dict()
    torch.save({f"features.{name}": value for name, value in features.items()}, tmp_path / "trunk.pth")
    network = load_network(net, tmp_path / "trunk.pth")
    for name, value in network.net.state_dict().items():
        assert torch.equal(value, features[name.split(".", 1)[1]])
    frame = torch.rand(1, 3, 64, 64)
    assert lpips(frame, frame, net=net, weights=tmp_path / "trunk.pth").item() == 0
    assert lpips(frame, 1 - frame, net=net, weights=tmp_path / "trunk.pth").item() > 0
