"""Releases: the mean of several runs, one of which may lack a layer; what is written, and what is refused."""

from dataclasses import replace

import pytest
import torch

import release
from opdm.config import ChoiceHeadConfig, FlowAdapterConfig
from opdm.model import OPDMModel
from opdm.pipeline import OPDMPipeline
from opdm.weights import CHECKSUM_FILE, checksum
from tiny import SCHEDULE, UNET, make_model, model_config

MATCHES = FlowAdapterConfig(encodes="matches", blocks_per_level=1)
RANKED = ChoiceHeadConfig(evidence="lines", ranking_width=4)
PLAIN = ChoiceHeadConfig(evidence="lines")


def save(folder, model):
    OPDMPipeline.from_model(model, SCHEDULE).save_pretrained(folder)
    return folder


def write_runs(folder, *heads):
    """A saved pipeline for each head, no two with the same weights."""
    folders = []
    for nth, head in enumerate(heads):
        model = make_model(MATCHES, head)
        with torch.no_grad():
            for weight in model.parameters():
                weight += nth / 8
        folders.append(save(folder / str(nth), model))
    return folders


def weights_of(folder):
    return dict(OPDMPipeline.from_pretrained(folder, dtype=torch.float16).model.named_parameters())


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setattr(release, "FOLDER", folder)
    return folder


def run(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["release.py", *map(str, arguments)])
    return release.main()


def test_a_release_has_the_mean_weights_its_checksum_and_the_card_that_was_there(tmp_path, package, monkeypatch):
    first, second = write_runs(tmp_path, RANKED, RANKED)
    (package / "tiny").mkdir()
    (package / "tiny" / "README.md").write_text("# tiny\n")
    assert run(monkeypatch, first, first, second, "tiny") == 0
    assert (package / "tiny" / "README.md").read_text() == "# tiny\n"
    assert (package / "tiny" / CHECKSUM_FILE).read_text().strip() == checksum(package / "tiny")
    assert [file.name for file in package.iterdir()] == ["tiny"]
    one, two, mean = weights_of(first), weights_of(second), weights_of(package / "tiny")
    for name in mean:
        wanted = (2 * one[name].float() + two[name].float()) / 3
        torch.testing.assert_close(mean[name].float(), wanted, rtol=1e-3, atol=1e-4)


def test_a_run_without_ranking_counts_as_one_whose_ranking_adds_nothing(tmp_path, package, monkeypatch):
    ranked, plain = write_runs(tmp_path, RANKED, PLAIN)
    assert run(monkeypatch, ranked, plain, "tiny") == 0
    one, two, mean = weights_of(ranked), weights_of(plain), weights_of(package / "tiny")
    for name in ("ranking.project.weight", "ranking.project.bias"):
        torch.testing.assert_close(mean[name], one[name] / 2)
    for name in ("ranking.shown.weight", "ranking.kinds.weight"):
        torch.testing.assert_close(mean[name], one[name])
    name = "unet.project.weight"
    torch.testing.assert_close(mean[name].float(), (one[name].float() + two[name].float()) / 2, rtol=1e-3, atol=1e-4)


def test_models_of_several_shapes_have_no_mean(tmp_path, package, monkeypatch, capsys):
    wider = replace(model_config(MATCHES, RANKED), unet=replace(UNET, widths=(16, 16)))
    pipelines = [*write_runs(tmp_path, PLAIN, RANKED), save(tmp_path / "wider", OPDMModel.from_model_config(wider))]
    for second in pipelines[1:]:  # the first has no ranking: what it lacks cannot be added to it
        with pytest.raises(SystemExit) as stopped:
            run(monkeypatch, pipelines[0], second, "tiny")
        assert stopped.value.code == 2
        assert "models of several shapes" in capsys.readouterr().err
    assert not list(package.iterdir())
