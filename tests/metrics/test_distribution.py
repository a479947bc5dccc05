import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from golden_inputs import build, cartoon, noise
from opdm.errors import InputError
from opdm.frames import write_frame
from opdm.metrics.distribution import fid, frechet_distance, load_extractor, load_resizer, read_features

GOLDEN = json.loads((Path(__file__).parents[1] / "data_files" / "golden_clip_metrics.json").read_text())


def spread(mean):
    """Eight points whose covariance is exactly diag(1, 4, 9, 16)."""
    points = torch.diag(torch.tensor([1.0, 2, 3, 4], dtype=torch.float64)) * 3.5**0.5
    return torch.cat([points, -points]) + torch.tensor(mean)


def uniform(seed, shape, scale=1.0):
    return torch.from_numpy(np.random.RandomState(seed).random_sample(shape) * scale)


FEATURES = {
    "identical": lambda: (spread([0, 0, 0, 0]), spread([0, 0, 0, 0])),
    "mean_shift": lambda: (spread([0, 0, 0, 0]), spread([1, 2, 3, 4])),
    "random_full_rank": lambda: (uniform(101, (200, 16)), uniform(102, (150, 16), 1.5)),
    "random_rank_deficient": lambda: (uniform(103, (20, 32)), uniform(104, (24, 32))),
}


@pytest.mark.parametrize("case", GOLDEN["frechet_distance"], ids=lambda case: case["name"])
def test_distances_are_the_golden_ones(case):
    a, b = FEATURES[case["name"]]()
    assert frechet_distance(a, b) == pytest.approx(case["expected"], abs=1e-6)
    assert frechet_distance(b, a) == pytest.approx(case["expected"], abs=1e-6)


def test_distance_agrees_with_the_root_of_scipy():
    linalg = pytest.importorskip("scipy.linalg")
    a, b = uniform(1, (60, 12)), uniform(2, (80, 12), 2)
    covariances = [np.cov(features.numpy(), rowvar=False) for features in (a, b)]
    root = linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = ((a.mean(dim=0) - b.mean(dim=0)) ** 2).sum().item() + np.trace(sum(covariances) - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)


def test_one_sample_has_no_covariance():
    with pytest.raises(ValueError, match="at least two samples, got 1 and 5"):
        frechet_distance(torch.zeros(1, 4), torch.zeros(5, 4))


@pytest.mark.parametrize("case", GOLDEN["resize_299"], ids=lambda case: f"{case['mode']}-{case['image'][2]}")
def test_resized_frames_are_the_golden_ones(case):
    pytest.importorskip("cleanfid")
    frame = torch.from_numpy(build(case["image"])).permute(2, 0, 1) / 255
    with warnings.catch_warnings():
        before = list(warnings.filters)
        resized = load_resizer(case["mode"])(frame)
        assert warnings.filters == before, "the library's own way would silence the process"
    assert resized.shape == (3, 299, 299)
    assert resized.mean().item() == pytest.approx(case["mean"], abs=2e-3)
    assert resized.double().std(correction=0).item() == pytest.approx(case["deviation"], abs=2e-3)
    for place, color in case["pixels"].items():
        y, x = map(int, place.split(","))
        assert resized[:, y, x].tolist() == pytest.approx(color, abs=2e-3)


class Layers(nn.Module):
    """Stands for the network: 2,048 numbers by a fixed projection of a small picture."""

    def __init__(self):
        super().__init__()
        weight = torch.randn(2048, 3 * 4 * 4, generator=torch.Generator().manual_seed(0))
        self.register_buffer("weight", weight)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        small = nn.functional.adaptive_avg_pool2d(images, (4, 4)).flatten(1)
        return (small @ self.weight.t())[:, :, None, None]


class Inception(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = Layers()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images)


@pytest.fixture
def folders(tmp_path):
    for folder, seeds, draw in (("a", range(5), cartoon), ("b", range(10, 17), noise)):
        for seed in seeds:
            write_frame(tmp_path / folder / f"{seed}.png", torch.from_numpy(draw(seed, 40, 48)).permute(2, 0, 1) / 255)
    return tmp_path / "a", tmp_path / "b"


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
def test_fid_agrees_with_clean_fid(tmp_path, folders):
    library = pytest.importorskip("cleanfid.fid")
    script = tmp_path / "inception.pt"
    torch.jit.script(Inception().eval()).save(script)
    layers = Layers()
    features = [
        library.get_folder_features(
            str(folder),
            model=lambda images: layers((images - 128) / 128).flatten(1),
            num_workers=0,
            device=torch.device("cpu"),
            mode="clean",
            verbose=False,
        )
        for folder in folders
    ]
    expected = frechet_distance(*map(torch.from_numpy, features))
    assert expected > 1
    assert fid(*folders, "clean", weights=script) == pytest.approx(expected, rel=1e-5)
    assert fid(folders[0], folders[0], "clean", weights=script) == pytest.approx(0, abs=1e-6 * expected)


@pytest.fixture
def legacy_state(monkeypatch, tmp_path):
    """A file of random weights in the layout of the legacy network, made by the library itself."""
    inception = pytest.importorskip("cleanfid.inception_pytorch")
    monkeypatch.setattr(inception, "load_state_dict_from_url", lambda *_, **__: {})
    with monkeypatch.context() as patch:
        patch.setattr(nn.Module, "load_state_dict", lambda *_, **__: None)
        state = inception.fid_inception_v3().state_dict()
    torch.save(state, tmp_path / "state.pth")
    return tmp_path / "state.pth"


@pytest.mark.filterwarnings("ignore::UserWarning")  # the library asks torchvision in a way that is out of date
def test_the_legacy_features_are_those_of_clean_fid(monkeypatch, legacy_state, folders):
    library, inception = pytest.importorskip("cleanfid.fid"), pytest.importorskip("cleanfid.inception_pytorch")
    images = sorted(folders[0].iterdir())[:2]
    ours = read_features(images, "legacy_pytorch", load_extractor("legacy_pytorch", legacy_state))
    monkeypatch.setattr(inception, "load_state_dict_from_url", lambda *_, **__: torch.load(legacy_state))
    theirs = library.get_files_features(
        list(map(str, images)),
        model=library.build_feature_extractor("legacy_pytorch", torch.device("cpu"), use_dataparallel=False),
        num_workers=0,
        device=torch.device("cpu"),
        mode="legacy_pytorch",
        verbose=False,
    )
    assert ours.shape == (2, 2048)
    torch.testing.assert_close(ours, torch.from_numpy(theirs), rtol=1e-4, atol=1e-6)


def test_a_state_of_another_network_is_refused(tmp_path):
    inception = pytest.importorskip("cleanfid.inception_pytorch")
    download = inception.load_state_dict_from_url
    torch.save({"Conv2d_1a_3x3.conv.weight": torch.zeros(1)}, tmp_path / "state.pth")
    with pytest.raises(InputError, match=r"state\.pth has not the weights of its network"):
        load_extractor("legacy_pytorch", tmp_path / "state.pth")
    assert inception.load_state_dict_from_url is download


@pytest.mark.parametrize("mode", ["clean", "legacy_pytorch"])
def test_without_weights_the_error_says_what_to_fetch(monkeypatch, tmp_path, folders, mode):
    pytest.importorskip("cleanfid")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))

    def refuse(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    with pytest.raises(
        InputError, match=r"could not be downloaded \(no route to host\); fetch https://.* give the file"
    ):
        fid(*folders, mode)
    with pytest.raises(InputError, match=r"no file .*gone\.pt"):
        fid(*folders, mode, weights=tmp_path / "gone.pt")
    (tmp_path / "text.pt").write_text("nothing")
    with pytest.raises(InputError, match=r"text\.pt (is not|cannot be read)"):
        fid(*folders, mode, weights=tmp_path / "text.pt")


def test_unknown_modes_and_empty_folders_are_named(tmp_path, folders):
    with pytest.raises(InputError, match="no mode 'newest'; there are clean, legacy_pytorch"):
        fid(*folders, "newest")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: FID needs at least two images, found 0"):
        fid(folders[0], tmp_path / "empty", "clean")
