"""What only a CUDA device can show; everything here has its proof on the CPU elsewhere."""

import pytest
import torch
from accelerate.state import AcceleratorState

from opdm.config import ChoiceHeadConfig, FlowAdapterConfig, JointObjectiveConfig
from opdm.objectives import JointObjective
from opdm.pipeline import OPDMPipeline
from opdm.trainer import Trainer
from tiny import SCHEDULE, make_batch, make_conditions, make_model, make_run

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def another_accelerator():
    """accelerate keeps one device and precision per process; the other tests have chosen the CPU."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def make_choice_model():
    return make_model(FlowAdapterConfig(blocks_per_level=1), ChoiceHeadConfig(evidence="lines", ranking_width=4))


def test_the_pipeline_paints_as_on_the_cpu():
    conditions = make_conditions()
    given = conditions.lines, conditions.keyframes, conditions.keyframe_lines
    on_cpu = OPDMPipeline.from_model(make_choice_model(), SCHEDULE)(*given, seeds=[1, 2]).frames
    on_gpu = OPDMPipeline.from_model(make_choice_model(), SCHEDULE).to("cuda")(*given, seeds=[1, 2]).frames
    assert not on_gpu.is_cuda
    assert torch.allclose(on_cpu, on_gpu, atol=5e-3)


def test_the_joint_objective_costs_as_on_the_cpu():
    objective = JointObjective(make_choice_model(), JointObjectiveConfig(perceptual_weight=0), SCHEDULE)
    on_cpu = objective(make_batch())
    on_gpu = objective.to("cuda")(make_batch().to("cuda"))
    for name, values in on_cpu.items():
        assert torch.allclose(values, on_gpu[name].cpu(), rtol=1e-2)


@pytest.mark.parametrize("precision", ["no", "bf16", "fp16"])
def test_a_run_trains(tmp_path, precision):
    assert Trainer(make_run(precision=precision), tmp_path).train()
