import json
from pathlib import Path

import pytest
import torch

from opdm.config import ChoiceHeadConfig, FrameHeadConfig, NoiseHeadConfig
from opdm.data.cel_animation import CelShot
from opdm.frames import resize
from opdm.pipeline import ModelError, OPDMPipeline
from opdm.weights import CHECKSUM_FILE, checksum, embedded_models, resolve
from tiny import ADAPTER_CONFIGS, SCHEDULE, make_conditions, make_model


@pytest.fixture
def pipeline():
    pipeline = OPDMPipeline.from_model(make_model(), SCHEDULE)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture
def given():
    conditions = make_conditions()
    return conditions.lines, conditions.keyframes, conditions.keyframe_lines


@pytest.mark.parametrize("head", [NoiseHeadConfig(), ChoiceHeadConfig(evidence="lines")], ids=lambda head: head.kind)
@pytest.mark.parametrize("adapter", ADAPTER_CONFIGS, ids=lambda config: config.kind)
def test_every_pipeline_reloads_to_equal_frames(tmp_path, adapter, head, given):
    pipeline = OPDMPipeline.from_model(make_model(adapter, head), SCHEDULE)
    pipeline.save_pretrained(tmp_path)
    reloaded = OPDMPipeline.from_pretrained(tmp_path)
    assert torch.allclose(pipeline(*given, seeds=[1, 2]).frames, reloaded(*given, seeds=[1, 2]).frames, atol=1e-6)
    assert (reloaded.default_size, reloaded.references, reloaded.size_multiple) == (32, 2, 2)


def test_frames_are_in_range_and_depend_on_the_seed(pipeline, given):
    frames = pipeline(*given, seeds=[1, 2]).frames
    assert frames.shape == (2, 3, 32, 32) and frames.dtype == torch.float32
    assert frames.min() >= 0 and frames.max() <= 1
    assert not torch.equal(frames[0], pipeline(*given, seeds=[7, 2]).frames[0])


def test_a_frame_does_not_depend_on_its_batch(given):
    pipeline = OPDMPipeline.from_model(make_model(head=FrameHeadConfig()), SCHEDULE)
    together = pipeline(*given, seeds=[1, 2]).frames
    alone = pipeline(*(tensor[1:] for tensor in given), seeds=[2]).frames
    assert torch.allclose(together[1:], alone, atol=1e-5)


@pytest.mark.parametrize("head", [NoiseHeadConfig(), ChoiceHeadConfig(evidence="lines")], ids=lambda head: head.kind)
def test_frames_have_the_drawings_own_size(head):
    pipeline = OPDMPipeline.from_model(make_model(head=head), SCHEDULE)
    conditions = make_conditions(size=45)
    frames = pipeline(conditions.lines, conditions.keyframes, conditions.keyframe_lines, seeds=[1, 2], size=20).frames
    assert frames.shape == (2, 3, 45, 45) and frames.isfinite().all()


def test_a_choice_keeps_the_detail_of_the_keyframes(given):
    """Between two equal keyframes and drawings nothing moves: each proposal is the keyframe, at full size."""
    torch.manual_seed(3)
    model = make_model(head=ChoiceHeadConfig())
    with torch.no_grad():
        model.unet.project.weight.zero_()
        model.unet.project.bias.zero_()
    shot = CelShot(5, height=96, width=96, frames=2).frame(0)
    frame = OPDMPipeline.from_model(model, SCHEDULE)(
        shot.lines[None], shot.color.expand(1, 2, -1, -1, -1), shot.lines.expand(1, 2, -1, -1, -1), seeds=[1], size=32
    ).frames[0]
    shrunk = resize(resize(shot.color, (32, 32)), (96, 96))
    assert (frame - shot.color).abs().mean() < 0.3 * (shrunk - shot.color).abs().mean()


def test_keyframes_without_lines_have_them_extracted(pipeline, given):
    lines, keyframes, _ = given
    assert pipeline(lines, keyframes, seeds=[1, 2]).frames.shape == (2, 3, 32, 32)


def test_conditions_are_encoded_once_however_many_steps(pipeline, given, monkeypatch):
    calls = {"encode": 0, "evaluate": 0}
    for name in calls:
        original = getattr(pipeline.model, name)

        def counted(*arguments, name=name, original=original):
            calls[name] += 1
            return original(*arguments)

        monkeypatch.setattr(pipeline.model, name, counted)
    pipeline(*given, seeds=[1, 2], num_inference_steps=7)
    assert calls == {"encode": 1, "evaluate": 7}


def test_bfloat16_paints_nearly_the_same(given):
    pipeline = OPDMPipeline.from_model(make_model(head=ChoiceHeadConfig()), SCHEDULE)
    exact = pipeline(*given, seeds=[1, 2]).frames
    rounded = pipeline.to(torch.bfloat16)(*given, seeds=[1, 2]).frames
    assert (exact - rounded).abs().mean() < 0.01


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda a, k, d: (a[..., :31], k, d), r"keyframes: shape .*, expected \(2, 2, 3, 32, 31\)"),
        (lambda a, k, d: (a.expand(-1, 3, -1, -1), k, d), r"lines: shape \(2, 3, 32, 32\)"),
        (lambda a, k, d: (a, k[:, :1], d), r"keyframes: shape \(2, 1, 3, 32, 32\), expected \(2, 2, 3, 32, 32\)"),
        (lambda a, k, d: (a, k, d[..., :30]), "keyframe_lines: shape"),
    ],
)
def test_shapes_that_do_not_fit_are_named(pipeline, given, change, named):
    with pytest.raises(ValueError, match=named):
        pipeline(*change(*given), seeds=[1, 2])


def test_one_seed_per_drawing(pipeline, given):
    with pytest.raises(ValueError, match="seeds: 1 for 2 drawings"):
        pipeline(*given, seeds=[1])


def test_a_model_that_does_not_exist_is_named():
    with pytest.raises(ModelError, match="opdm-smal: no such model"):
        OPDMPipeline.from_pretrained("opdm-smal")


def test_an_incomplete_folder_is_named(tmp_path, pipeline):
    pipeline.save_pretrained(tmp_path)
    (tmp_path / "model" / "config.json").unlink()
    with pytest.raises(ModelError, match=r"model/config.json is missing"):
        OPDMPipeline.from_pretrained(tmp_path)


def test_missing_weights_are_named(tmp_path, pipeline):
    pipeline.save_pretrained(tmp_path)
    (tmp_path / "model" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot be loaded"):
        OPDMPipeline.from_pretrained(tmp_path)


def test_a_checkpoint_that_is_no_safetensors_file_is_named(tmp_path, pipeline):
    pipeline.save_pretrained(tmp_path)
    (tmp_path / "model" / "diffusion_pytorch_model.safetensors").write_bytes(b"no weights at all, only text")
    with pytest.raises(ModelError) as caught:
        OPDMPipeline.from_pretrained(tmp_path)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_pipeline_of_another_class_is_named(tmp_path, pipeline):
    pipeline.save_pretrained(tmp_path)
    index = json.loads((tmp_path / "model_index.json").read_text())
    (tmp_path / "model_index.json").write_text(json.dumps(index | {"_class_name": "DDIMPipeline"}))
    with pytest.raises(ModelError, match="DDIMPipeline"):
        OPDMPipeline.from_pretrained(tmp_path)


def test_embedded_weights_are_those_that_were_released():
    for name in embedded_models():
        assert resolve(name).endswith(name)


def test_embedded_weights_do_not_say_where_they_were_made():
    for name in embedded_models():
        for file in Path(resolve(name)).rglob("*.json"):
            assert "_name_or_path" not in file.read_text(), file


def test_damaged_embedded_weights_are_refused(tmp_path, pipeline, monkeypatch):
    monkeypatch.setattr("opdm.weights.FOLDER", tmp_path)
    folder = tmp_path / "opdm-test"
    pipeline.save_pretrained(folder)
    (folder / CHECKSUM_FILE).write_text(checksum(folder))
    assert resolve("opdm-test") == str(folder)
    (folder / CHECKSUM_FILE).write_text("0" * 64)
    with pytest.raises(ValueError, match="damaged"):
        OPDMPipeline.from_pretrained("opdm-test")
