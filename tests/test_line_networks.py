"""Facts of the published checkpoints, from model.py of higumax/sketchKeras-pytorch, Mukosame/Anime2Sketch and
carolineec/informative-drawings; no weights are needed and nothing is downloaded.
"""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from opdm import line_networks
from opdm.errors import InputError
from opdm.line_networks import (
    NETWORK_EXTRACTORS,
    Anime2Sketch,
    Anime2SketchNetwork,
    InformativeDrawings,
    InformativeNetwork,
    SketchKeras,
    SketchKerasNetwork,
)
from opdm.lines import extract_lines

BELOW = "model.model.1" + ".model.3" * 6
"""The innermost level of Anime2Sketch."""
PUBLISHED = {
    SketchKerasNetwork: {
        "downblock_1.1.weight": (32, 1, 3, 3),
        "downblock_2.5.weight": (64, 64, 3, 3),
        "downblock_5.1.weight": (512, 256, 4, 4),
        "downblock_6.2.running_var": (512,),
        "upblock_1.2.weight": (512, 1024, 4, 4),
        "upblock_4.6.weight": (32, 64, 3, 3),
        "last_conv.weight": (1, 64, 3, 3),
    },
    Anime2SketchNetwork: {
        "model.model.0.weight": (64, 3, 4, 4),
        "model.model.1.model.1.bias": (128,),
        "model.model.1.model.3.model.1.weight": (256, 128, 4, 4),
        f"{BELOW}.model.1.weight": (512, 512, 4, 4),
        f"{BELOW}.model.3.weight": (512, 512, 4, 4),
        "model.model.1.model.5.weight": (256, 64, 4, 4),
        "model.model.3.weight": (128, 1, 4, 4),
    },
    InformativeNetwork: {
        "model0.1.weight": (64, 3, 7, 7),
        "model1.3.weight": (256, 128, 3, 3),
        "model2.2.conv_block.5.weight": (256, 256, 3, 3),
        "model3.0.weight": (256, 128, 3, 3),
        "model3.3.bias": (64,),
        "model4.1.weight": (1, 64, 7, 7),
    },
}
TENSORS = {SketchKerasNetwork: 121, Anime2SketchNetwork: 32, InformativeNetwork: 24}
EXTRACTORS = [
    (SketchKeras, SketchKerasNetwork, "sketch-keras"),
    (Anime2Sketch, Anime2SketchNetwork, "anime2sketch"),
    (InformativeDrawings, InformativeNetwork, "informative-drawings"),
]


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """Tiny networks, an empty PyTorch folder, no hub, and nothing remembered."""

    def refuse(*_, **__):
        raise ConnectionError("no route to the hub\nwith details")

    monkeypatch.setattr(line_networks, "get_hf_file_metadata", refuse)
    monkeypatch.setattr(line_networks, "hf_hub_download", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    for _, network, _ in EXTRACTORS:
        monkeypatch.setattr(line_networks, network.__name__, partial(network, width=2))
    forget = line_networks._build.cache_clear
    forget()
    yield
    forget()


def random_state(network, seed=0):
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, tensor in network.state_dict().items():
        values = torch.randn(tensor.shape, generator=generator) * 0.3
        if tensor.ndim == 1:
            # So that variances are above 0, and most units are awake.
            values = values.abs() + 0.1
        state[name] = torch.tensor(7) if name.endswith("tracked") else values
    return state


def built(network, state):
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)


def normalize(x):
    centered = x - x.mean(dim=(2, 3), keepdim=True)
    return centered / (centered.square().mean(dim=(2, 3), keepdim=True) + 1e-5).sqrt()


def reflect(x, left, right=None):
    right = left if right is None else right
    return F.pad(x, (left, right, left, right), mode="reflect")


def slow_sketch_keras(state, x):
    def layer(x, block, index, after=1, stride=1):
        weight, bias = (state[f"{block}.{index}.{part}"] for part in ("weight", "bias"))
        x = F.conv2d(reflect(x, 1, after), weight, bias, stride=stride)
        scale, shift, mean, variance = (
            state[f"{block}.{index + 1}.{part}"][:, None, None]
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        return ((x - mean) / (variance + 1e-3).sqrt() * scale + shift).relu()

    one = layer(x, "downblock_1", 1)
    kept = [one]
    for number in (2, 3, 4):
        kept.append(layer(layer(kept[-1], f"downblock_{number}", 1, stride=2), f"downblock_{number}", 5))
    five = layer(kept[-1], "downblock_5", 1, stride=2)
    x = torch.cat([five, layer(five, "downblock_6", 1)], dim=1)
    for number in (1, 2, 3, 4):
        x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        x = layer(layer(x, f"upblock_{number}", 2, after=2), f"upblock_{number}", 6)
        x = torch.cat([kept.pop(), x], dim=1)
    return F.conv2d(reflect(x, 1), state["last_conv.weight"], state["last_conv.bias"])


def slow_anime2sketch(state, x):
    def down(x, name):
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], stride=2, padding=1)

    def up(x, name):
        return F.conv_transpose2d(x.relu(), state[f"{name}.weight"], state[f"{name}.bias"], stride=2, padding=1)

    def level(x, name, depth):
        x = torch.where(x > 0, x, 0.2 * x)
        inner = down(x, f"{name}.model.1")
        if depth == 7:
            return torch.cat([x, normalize(up(inner, f"{name}.model.3"))], dim=1)
        inner = level(normalize(inner), f"{name}.model.3", depth + 1)
        return torch.cat([x, normalize(up(inner, f"{name}.model.5"))], dim=1)

    return up(level(down(x, "model.model.0"), "model.model.1", 1), "model.model.3").tanh()


def slow_informative(state, x):
    def convolve(x, name, **options):
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], **options)

    x = normalize(convolve(reflect(x, 3), "model0.1")).relu()
    for index in (0, 3):
        x = normalize(convolve(x, f"model1.{index}", stride=2, padding=1)).relu()
    for block in range(3):
        y = normalize(convolve(reflect(x, 1), f"model2.{block}.conv_block.1")).relu()
        x = x + normalize(convolve(reflect(y, 1), f"model2.{block}.conv_block.5"))
    for index in (0, 3):
        weight, bias = state[f"model3.{index}.weight"], state[f"model3.{index}.bias"]
        x = F.conv_transpose2d(x, weight, bias, stride=2, padding=1, output_padding=1)
        x = normalize(x).relu()
    return convolve(reflect(x, 3), "model4.1").sigmoid()


@pytest.mark.parametrize("network", PUBLISHED)
def test_layers_have_the_names_and_shapes_of_the_published_checkpoints(network):
    with torch.device("meta"):
        state = network().state_dict()
    assert {name: tuple(state[name].shape) for name in PUBLISHED[network]} == PUBLISHED[network]
    assert len(state) == TENSORS[network]


@pytest.mark.parametrize(
    ("network", "slow", "channels", "height", "width"),
    [
        (SketchKerasNetwork, slow_sketch_keras, 1, 48, 64),
        (Anime2SketchNetwork, slow_anime2sketch, 3, 256, 512),
        (InformativeNetwork, slow_informative, 3, 40, 48),
    ],
)
def test_a_network_computes_what_is_published(network, slow, channels, height, width):
    tiny = network(width=2)
    state = random_state(tiny)
    picture = torch.rand(2, channels, height, width, generator=torch.Generator().manual_seed(1))
    expected = slow(state, picture)
    assert expected.std() > 0.01
    torch.testing.assert_close(built(tiny, state)(picture), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("extractor", "network", "name"), EXTRACTORS)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_load_and_frames_keep_their_size(tmp_path, extractor, network, name, suffix):
    state = {f"module.{key}": tensor for key, tensor in random_state(network(width=2)).items()}
    file = tmp_path / f"weights{suffix}"
    save_file(state, file) if suffix == ".safetensors" else torch.save(state, file)
    frames = torch.rand(2, 3, 61, 83)
    lines = extract_lines(frames, extractor(weights=file))
    assert lines.shape == (2, 1, 61, 83)
    assert 0 <= lines.min() < lines.max() <= 1
    assert not lines.requires_grad


@pytest.mark.parametrize(("extractor", "network", "name"), EXTRACTORS)
def test_weights_are_found_in_the_folder_of_pytorch(tmp_path, extractor, network, name):
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    state = random_state(network(width=2))
    torch.save(state, folder / f"{name}.pth")
    torch.save(state, tmp_path / "given.pth")
    frames = torch.rand(1, 3, 40, 64)
    found, given = extract_lines(frames, name), extract_lines(frames, extractor(weights=tmp_path / "given.pth"))
    assert torch.equal(found, given)


@pytest.mark.parametrize("name", NETWORK_EXTRACTORS)
def test_without_weights_the_error_says_what_to_fetch_and_where_to_put_it(tmp_path, name):
    with pytest.raises(InputError) as caught:
        extract_lines(torch.rand(1, 3, 16, 16), name)
    message = str(caught.value)
    assert "\n" not in message
    assert "no route to the hub" in message
    assert "linked from github.com/" in message
    assert str(tmp_path / "torch" / "hub" / "checkpoints" / f"{name}.pth") in message


def test_a_copy_that_was_downloaded_before_needs_no_network(tmp_path, monkeypatch):
    monkeypatch.setattr(line_networks, "try_to_load_from_cache", lambda repository, file: str(tmp_path / file))
    assert line_networks.fetch("some/repository", "net.pth") == tmp_path / "net.pth"


@pytest.mark.parametrize("name", NETWORK_EXTRACTORS)
def test_weights_come_from_a_copy_on_the_hub(tmp_path, monkeypatch, name):
    network = next(network for _, network, known in EXTRACTORS if known == name)
    torch.save(random_state(network(width=2)), tmp_path / "copy.pth")
    asked = []

    def fetch(repository, file):
        asked.append(f"{repository}/{file}")
        return tmp_path / "copy.pth"

    monkeypatch.setattr(line_networks, "fetch", fetch)
    for _ in range(2):
        assert extract_lines(torch.rand(1, 3, 16, 20), name).shape == (1, 1, 16, 20)
    assert len(asked) == 1


@pytest.mark.parametrize(("extractor", "network", "name"), EXTRACTORS)
@pytest.mark.parametrize("content", ["absent", "text", "other network", "damaged safetensors"])
def test_a_file_that_is_not_the_checkpoint_is_named(tmp_path, extractor, network, name, content):
    file = tmp_path / ("wrong.safetensors" if "safetensors" in content else "wrong.pth")
    if content == "other network":
        torch.save(torch.nn.Linear(2, 2).state_dict(), file)
    elif content != "absent":
        file.write_text("not weights")
    with pytest.raises(InputError) as caught:
        extractor(weights=file)(torch.rand(1, 3, 16, 16))
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(name)
    assert str(file) in message
    assert "linked from github.com/" in message


class Watcher(torch.nn.Module):
    """Keeps what it is shown; answers with `answer` of it."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, shown):
        self.shown = shown
        return self.answer(shown)


@pytest.fixture
def watch(monkeypatch):
    def install(answer):
        watcher = Watcher(answer)
        monkeypatch.setattr(line_networks, "_build", lambda *_: watcher)
        return watcher

    return install


def test_anime2sketch_sees_a_square_from_minus_one_to_one(watch):
    watcher = watch(lambda shown: shown.mean(dim=1, keepdim=True))
    frame = torch.full((1, 3, 50, 90), 0.25)
    lines = Anime2Sketch()(frame)
    assert watcher.shown.shape == (1, 3, 512, 512)
    torch.testing.assert_close(watcher.shown, torch.full_like(watcher.shown, -0.5))
    torch.testing.assert_close(lines, torch.full((1, 1, 50, 90), 0.25))


def test_informative_drawings_sees_colors_as_they_are_256_px_on_the_shorter_side(watch):
    watcher = watch(lambda shown: shown.mean(dim=1, keepdim=True))
    lines = InformativeDrawings()(torch.full((1, 3, 50, 100), 0.25))
    assert watcher.shown.shape == (1, 3, 256, 512)
    torch.testing.assert_close(lines, torch.full((1, 1, 50, 100), 0.25))


def test_sketch_keras_sees_details_of_one_channel_each_at_512_px(watch):
    watcher = watch(lambda shown: shown * 0)
    frame = torch.full((1, 3, 64, 128), 1.0)
    frame[:, 1, :, 60:64] = 0  # a line in green alone
    torch.testing.assert_close(SketchKeras()(frame), torch.ones(1, 1, 64, 128))
    assert watcher.shown.shape == (3, 1, 512, 512)
    assert watcher.shown.max() == 1
    assert not watcher.shown[:, :, 256:].any()
    assert [bool(channel.any()) for channel in watcher.shown] == [False, True, False]


def test_sketch_keras_takes_the_strongest_channel_and_drops_faint_ink(watch):
    strengths = torch.tensor([0.02, 0.4, 0.09]).view(3, 1, 1, 1)
    watch(lambda shown: strengths.expand_as(shown))
    torch.testing.assert_close(SketchKeras()(torch.rand(1, 3, 32, 48)), torch.full((1, 1, 32, 48), 0.6))
    watch(lambda shown: strengths.clamp(max=0.09).expand_as(shown))
    torch.testing.assert_close(SketchKeras()(torch.rand(1, 3, 32, 48)), torch.ones(1, 1, 32, 48))
