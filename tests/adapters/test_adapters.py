import pytest
import torch
from safetensors.torch import save_file

from opdm.adapters import ADAPTERS, OffsetAdapter
from opdm.config import OffsetAdapterConfig
from tiny import ADAPTER_CONFIGS, OFFSET, UNET, make_conditions, make_model


@pytest.fixture(params=ADAPTER_CONFIGS, ids=lambda config: f"{config.kind}-{getattr(config, 'encodes', '')}")
def config(request):
    return request.param


@pytest.mark.parametrize("references", [1, 2])
def test_every_adapter_keeps_the_contract(config, references):
    adapter = ADAPTERS[type(config)](config, references=references, unet=UNET)
    conditions = make_conditions(batch=3, references=references, adapter=config).inside_model()
    expected = [(3, width, 32 >> level, 32 >> level) for level, width in enumerate(UNET.widths)]
    assert [tuple(feature.shape) for feature in adapter(conditions)] in (expected, [])


def test_every_adapter_treats_samples_of_a_batch_apart(config):
    model = make_model(config)
    together = model.encode(make_conditions(batch=2, adapter=config))
    one = make_conditions(batch=2, adapter=config)
    alone = model.encode(one.map(lambda tensor: tensor[1:]))
    for batched, single in zip(together.features, alone.features, strict=True):
        assert torch.allclose(batched[1:], single, atol=1e-5)


def test_every_adapter_runs_in_bfloat16(config):
    guidance = make_model(config).to(torch.bfloat16).encode(make_conditions(adapter=config))
    assert all(feature.dtype == torch.bfloat16 for feature in guidance.features)
    assert guidance.proposals.dtype == torch.float32


def test_untrained_offsets_are_zero():
    adapter = OffsetAdapter(OFFSET, references=2, unet=UNET)
    assert all(not level.any() for level in adapter.estimate(make_conditions()))


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_each_pixel_has_one_offset_per_kernel_position(kernel_size):
    config = OffsetAdapterConfig(kernel_size=kernel_size, widths=(8, 8), blocks_per_level=1)
    offsets = OffsetAdapter(config, references=2, unet=UNET).estimate(make_conditions())
    assert [level.shape for level in offsets] == [
        (2, 2, 2 * kernel_size**2, 32, 32),
        (2, 2, 2 * kernel_size**2, 16, 16),
    ]


def test_pretrained_estimator_is_loaded_and_frozen(tmp_path):
    source = OffsetAdapter(OFFSET, references=2, unet=UNET)
    save_file(source.estimator.state_dict(), tmp_path / "estimator.safetensors")
    adapter = OffsetAdapter(OFFSET, references=2, unet=UNET)
    adapter.load_estimator(tmp_path / "estimator.safetensors")
    for ours, theirs in zip(adapter.estimator.parameters(), source.estimator.parameters(), strict=True):
        assert torch.equal(ours, theirs) and not ours.requires_grad
    assert all(p.requires_grad for p in adapter.projections.parameters())


def test_a_pretrained_estimator_is_taken_out_of_a_saved_model(tmp_path):
    model = make_model(OFFSET)
    model.save_pretrained(tmp_path / "pipeline" / "model")
    adapter = OffsetAdapter(OFFSET, references=2, unet=UNET)
    adapter.load_estimator(tmp_path / "pipeline")
    for ours, theirs in zip(adapter.estimator.parameters(), model.adapter.estimator.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_an_estimator_of_another_kernel_size_is_refused(tmp_path):
    other = OffsetAdapterConfig(kernel_size=5, widths=(8, 8), blocks_per_level=1)
    save_file(OffsetAdapter(other, references=2, unet=UNET).estimator.state_dict(), tmp_path / "five.safetensors")
    with pytest.raises(ValueError, match=r"five.safetensors.*50 offset channels.*18"):
        OffsetAdapter(OFFSET, references=2, unet=UNET).load_estimator(tmp_path / "five.safetensors")


def test_a_file_that_is_no_estimator_is_refused(tmp_path):
    (tmp_path / "text.safetensors").write_text("not weights")
    with pytest.raises(ValueError, match=r"text.safetensors"):
        OffsetAdapter(OFFSET, references=2, unet=UNET).load_estimator(tmp_path / "text.safetensors")
