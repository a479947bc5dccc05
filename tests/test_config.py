import dataclasses
import json

import pytest

from configs import RUNS
from opdm.config import (
    AnTConfig,
    CelPairDataConfig,
    ChoiceHeadConfig,
    FlowAdapterConfig,
    FlowObjectiveConfig,
    IdentityAdapterConfig,
    MatchingObjectiveConfig,
    ModelConfig,
    NoiseHeadConfig,
    OffsetAdapterConfig,
    Run,
    ScheduleConfig,
    UNetConfig,
    from_dict,
    to_dict,
)


@pytest.mark.parametrize("name", RUNS)
def test_every_run_survives_json(name):
    values = json.loads(json.dumps(to_dict(RUNS[name])))
    assert from_dict(Run, values) == RUNS[name]


@pytest.mark.parametrize("name", RUNS)
def test_every_run_has_a_one_sentence_description(name):
    assert RUNS[name].description.endswith(".") and "\n" not in RUNS[name].description


def test_the_kind_decides_the_member_of_a_union():
    values = to_dict(ModelConfig(adapter=FlowAdapterConfig(), head=ChoiceHeadConfig()))
    rebuilt = from_dict(ModelConfig, values)
    assert isinstance(rebuilt.adapter, FlowAdapterConfig) and isinstance(rebuilt.head, ChoiceHeadConfig)


def test_files_from_before_there_were_several_kinds_can_be_read():
    values = to_dict(RUNS["opdm"])
    del values["model"]["kind"]
    assert from_dict(Run, values) == RUNS["opdm"]


def test_unknown_fields_and_kinds_are_named():
    with pytest.raises(ValueError, match="no field depth"):
        from_dict(UNetConfig, {"depth": 3})
    with pytest.raises(ValueError, match="'warp' is none of identity, offset, deformable, flow"):
        from_dict(ModelConfig, {"adapter": {"kind": "warp"}})


@pytest.mark.parametrize(
    ("build", "named"),
    [
        (lambda: UNetConfig(widths=(20, 40)), "unet.widths"),
        (lambda: UNetConfig(attention_levels=(7,)), "unet.attention_levels"),
        (lambda: UNetConfig(attention_head_width=60), "unet.attention_head_width"),
        (lambda: ModelConfig(adapter=OffsetAdapterConfig(widths=(8, 8))), "adapter.widths"),
        (
            lambda: ModelConfig(
                unet=UNetConfig(widths=(32,), attention_levels=()), head=ChoiceHeadConfig(ranking_width=8)
            ),
            "head.ranking_width: 8",
        ),
        (
            lambda: replace_run(objective=FlowObjectiveConfig(), model=ModelConfig(adapter=IdentityAdapterConfig())),
            "offset",
        ),
        (lambda: replace_run(schedule=ScheduleConfig(zero_terminal_snr=True)), "zero_terminal_snr"),
        (lambda: replace_run(model=AnTConfig()), "objective.kind: joint is not for model.kind = ant; take matching"),
        (lambda: replace_run(data=CelPairDataConfig()), "data.kind: cel-pairs is not for model.kind = opdm; take cel"),
        (
            lambda: replace_run(objective=MatchingObjectiveConfig()),
            "objective.kind: matching is not for model.kind = opdm; take joint, alignment, flow",
        ),
        (lambda: replace_run(data=dataclasses.replace(RUNS["opdm"].data, crop_size=100)), "data.crop_size"),
        (lambda: replace_run(reuse=0), "reuse: 0"),
        (lambda: replace_run(reuse=2, kept_drawings=0), "0 kept_drawings"),
        (lambda: dataclasses.replace(RUNS["ant"], reuse=2), "reuse: 2"),
        (lambda: replace_run(data=dataclasses.replace(RUNS["opdm"].data, crop_size=512)), "data.shot_sizes"),
    ],
)
def test_impossible_combinations_name_the_field(build, named):
    with pytest.raises(ValueError, match=named):
        build()


def replace_run(**changes):
    assert isinstance(RUNS["opdm"].model.head, NoiseHeadConfig)
    return dataclasses.replace(RUNS["opdm"], **changes)
