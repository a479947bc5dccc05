import sys
import types
import urllib.error
from typing import ClassVar

import pytest
import torch
from torchvision.models import optical_flow

from flow_models import View, load_flow_model, pad_both_sides
from opdm.config import IdentityAdapterConfig
from opdm.data.cel_animation import CelShot, CelStyle
from opdm.errors import InputError
from opdm.pipeline import OPDMPipeline
from opdm.warp import backward_warp
from tiny import SCHEDULE, make_model

FLOWS = ["dis", "dis@lines", "farneback", "dis-ink", "dis-distance"]


@pytest.fixture(scope="module")
def views():
    """A textured frame, and the same scene 3 pixels to the left and 2 down."""
    frame = CelShot(3, height=160, width=176, frames=1, style=CelStyle(kind="character", texture=True)).frame(0)
    before, after = (slice(8, 136), slice(8, 152)), (slice(6, 134), slice(11, 155))
    return tuple(View(frame.color[:, y, x].contiguous(), frame.lines[:, y, x].contiguous()) for y, x in (before, after))


@pytest.fixture
def random_raft(tmp_path):
    torch.manual_seed(0)
    network = optical_flow.raft_small(weights=None).eval()
    torch.save(network.state_dict(), tmp_path / "raft.pth")
    return network, tmp_path / "raft.pth"


@pytest.mark.parametrize("name", FLOWS)
def test_a_shifted_scene_has_the_flow_of_its_shift(name, views):
    flow_px = load_flow_model(name).estimate(*views)
    inside = flow_px[:, 16:-16, 16:-16].flatten(1)
    assert flow_px.dtype == torch.float32
    assert inside.median(dim=1).values.tolist() == pytest.approx([-3, 2], abs=0.3)
    errors = [
        (backward_warp(views[1].color[None], flow[None])[0] - views[0].color).abs().mean()
        for flow in (flow_px, 0 * flow_px)
    ]
    assert errors[0] < errors[1] / 2


def test_zero_flow_has_the_size_of_the_frame(views):
    assert torch.equal(load_flow_model("zero").estimate(*views), torch.zeros(2, 128, 144))


@pytest.mark.parametrize(("name", "needs"), [("zero", False), ("dis", False), ("dis@lines", True), ("dis-ink", True)])
def test_models_say_whether_they_need_drawings(name, needs):
    assert load_flow_model(name).needs_lines == needs


def test_raft_with_weights_of_a_file_is_torchvisions(views, random_raft):
    network, file = random_raft
    with torch.no_grad():
        expected = network(views[0].color[None] * 2 - 1, views[1].color[None] * 2 - 1, num_flow_updates=32)[-1][0]
    torch.testing.assert_close(load_flow_model(f"raft-small={file}").estimate(*views), expected)


def test_raft_pads_frames_of_any_size_on_both_sides_and_crops_again(random_raft):
    network, file = random_raft
    source, target = torch.rand(2, 3, 100, 131)
    padded = [
        torch.nn.functional.pad(frame[None] * 2 - 1, (2, 3, 14, 14), mode="replicate") for frame in (source, target)
    ]
    with torch.no_grad():
        expected = network(*padded, num_flow_updates=32)[-1][0, :, 14:114, 2:133]
    flow_px = load_flow_model(f"raft-small={file}").estimate(View(source, None), View(target, None))
    torch.testing.assert_close(flow_px, expected)


def test_padding_is_undone():
    picture = torch.rand(3, 37, 64)
    padded, crop = pad_both_sides(picture[None], multiple=8, smallest=16)
    assert padded.shape[-2:] == (40, 64)
    assert torch.equal(padded[crop][0], picture)


def test_raft_is_never_random(monkeypatch, tmp_path):
    def offline(*_, **__):
        raise urllib.error.URLError("offline")

    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    with pytest.raises(InputError, match=r"raft-large.*offline.*fetch https.*raft_large_C_T_V1.*give the file"):
        load_flow_model("raft-large=C_T_V1")


def test_weights_of_another_network_are_refused(random_raft):
    with pytest.raises(InputError, match="has not the weights of torchvision's raft-large"):
        load_flow_model(f"raft-large={random_raft[1]}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pwc", "no flow model is called pwc; there are zero"),
        ("dis=a.pth", "dis has no weights"),
        ("dis-ink@lines", "does not choose what it sees"),
        ("dis:medium", "only ptlflow has models within"),
        ("raft-small=missing.pth", "no file missing.pth"),
        ("offsets", "offsets=FOLDER"),
    ],
)
def test_a_wrong_request_is_told_in_one_line(name, message):
    with pytest.raises(InputError, match=message) as raised:
        load_flow_model(name)
    assert "\n" not in str(raised.value)


def test_offsets_are_read_as_flow(tmp_path):
    model = make_model()
    finest = model.adapter.estimator.levels[0].project
    torch.nn.init.zeros_(finest.weight)
    finest.bias.data = torch.tensor([2.0, -3.0]).repeat(9)  # (dy, dx) at each of 3 x 3 positions
    OPDMPipeline.from_model(model, SCHEDULE).save_pretrained(tmp_path / "pipeline")
    view = View(torch.rand(3, 31, 45), torch.rand(1, 31, 45))
    flow_px = load_flow_model(f"offsets={tmp_path / 'pipeline'}").estimate(view, view)
    expected = torch.tensor([-3.0, 2.0]).view(2, 1, 1).expand(2, 31, 45)
    torch.testing.assert_close(flow_px, expected)


def test_a_model_without_offsets_is_refused(tmp_path):
    OPDMPipeline.from_model(make_model(IdentityAdapterConfig()), SCHEDULE).save_pretrained(tmp_path / "pipeline")
    with pytest.raises(InputError, match="this model has no offset estimator"):
        load_flow_model(f"offsets={tmp_path / 'pipeline'}")


class StandIn(torch.nn.Module):
    """Answers as models of ptlflow do: its flow tells what it was shown."""

    pretrained_checkpoints: ClassVar = {"things": "https://example.org/things.ckpt"}

    def forward(self, inputs):
        assert inputs["images"].ndim == 5
        return {"flows": inputs["images"][:, :1, :2]}


@pytest.fixture
def ptlflow(monkeypatch):
    module = types.ModuleType("ptlflow")
    module.__version__ = "0"
    module.asked = []

    def get_model_reference(name):
        if name != "raft":
            raise ValueError(name)
        return StandIn

    def get_model(name, ckpt_path):
        module.asked.append((name, ckpt_path))
        if ckpt_path != "things":
            raise ValueError(f"Invalid checkpoint name {ckpt_path}")
        return StandIn()

    module.get_model_reference, module.get_model = get_model_reference, get_model
    monkeypatch.setitem(sys.modules, "ptlflow", module)
    return module


def test_models_of_ptlflow_see_blue_first(ptlflow, views):
    flow_px = load_flow_model("ptlflow:raft=things").estimate(*views)
    assert torch.equal(flow_px, views[0].color[[2, 1]])
    assert ptlflow.asked == [("raft", "things")]


def test_models_of_ptlflow_can_be_shown_drawings(ptlflow, views):
    flow_px = load_flow_model("ptlflow:raft@lines=things").estimate(*views)
    assert torch.equal(flow_px, views[0].lines.expand(2, -1, -1))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ptlflow:raft", "say which weights.*there are things, or a file"),
        ("ptlflow:raft=mine", "Invalid checkpoint name mine; give a file"),
        ("ptlflow:nothing=things", "has no model called 'nothing'"),
    ],
)
def test_models_of_ptlflow_are_never_random(name, message, ptlflow):
    with pytest.raises(InputError, match=message):
        load_flow_model(name)


def test_without_ptlflow_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ptlflow", None)
    with pytest.raises(InputError, match=r"pip install 'opdm\[flow\]'"):
        load_flow_model("ptlflow:raft=things")
