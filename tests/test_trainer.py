"""The training loop, run as a user runs it: one process or two, stopped, killed and resumed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from opdm.ant import load_ant
from opdm.checkpoint import complete_checkpoints
from opdm.config import (
    AlignmentObjectiveConfig,
    ChoiceHeadConfig,
    FlowObjectiveConfig,
    IdentityAdapterConfig,
    OptimizerConfig,
)
from opdm.data.cel_pairs import SegmentedDrawing, SegmentPair
from opdm.data.shot_dataset import ShotDataset
from opdm.data.training import StepSampler
from opdm.frames import read_frame
from opdm.pipeline import OPDMPipeline
from opdm.tasks import score_pair
from opdm.trainer import Trainer, learning_rate
from tiny import OFFSET, make_matching_run, make_run, model_config

ROOT = Path(__file__).parents[1]
SMALL = ["--data.shot-sizes", "32", "32", "--data.crop-size", "32", "--validation-shots", "0"]


COSTS = ("seconds_per_step", "peak_memory_mib")


def records(folder):
    """What was recorded, but for what each step took."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{name: value for name, value in json.loads(line).items() if name not in COSTS} for line in lines]


def weights(folder):
    return load_file(folder / "pipeline" / "model" / "diffusion_pytorch_model.safetensors")


def launch(*arguments, processes=1, wait=True, script=ROOT / "scripts" / "train.py", hosts=None, **environment):
    """Several processes by torchrun, or, with a file of hosts, by MPI: accelerate knows no other way on CPUs."""
    if processes == 1 or hosts is not None:
        command = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", str(processes)]
        command += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
        command += [] if hosts is None else ["--mpirun_hostfile", str(hosts)]
    else:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command += [str(script), *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", **environment}
    if wait:
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment, start_new_session=True
    )


def test_what_a_step_takes_is_recorded(tmp_path):
    Trainer(make_run(), tmp_path, cpu=True).train()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    costs = [[line[name] for name in COSTS] for line in lines if "loss" in line]
    assert costs
    assert all(seconds > 0 and mebibytes > 10 for seconds, mebibytes in costs)


def test_two_steps_and_two_more_equal_four(tmp_path):
    Trainer(make_run(), tmp_path / "four", cpu=True).train()
    stopped = Trainer(make_run(), tmp_path / "two", cpu=True)
    stopped._should_stop = lambda: stopped.step == 2
    assert not stopped.train()
    assert Trainer(make_run(), tmp_path / "two", cpu=True).train()
    first, second = weights(tmp_path / "four"), weights(tmp_path / "two")
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert records(tmp_path / "four") == records(tmp_path / "two")


def test_a_run_that_draws_again_makes_fewer_drawings(tmp_path, monkeypatch):
    """16 crops of 3 uses each: 6 drawings, and four batches of two ahead, a shot of two at a time."""
    made, usual = [], ShotDataset.whole
    monkeypatch.setattr(ShotDataset, "whole", lambda self, index: made.append(index) or usual(self, index))
    run = make_run(reuse=3, steps=8, validation_shots=0)
    assert Trainer(run, tmp_path, cpu=True).train()
    assert made == list(range(14))
    assert [record["step"] for record in records(tmp_path) if "loss" in record] == list(range(1, 9))


def test_a_run_that_draws_again_is_resumed(tmp_path):
    """Of what was made before nothing is left, so that it is not the same run; but it ends, on drawings of its own."""
    run = make_run(reuse=2, validation_shots=0)
    stopped = Trainer(run, tmp_path, cpu=True)
    stopped._should_stop = lambda: stopped.step == 2
    assert not stopped.train()
    resumed = Trainer(run, tmp_path, cpu=True)
    assert resumed.step == 2 and resumed.train()


def test_a_run_leaves_everything_behind(tmp_path):
    Trainer(make_run(), tmp_path, cpu=True).train()
    assert json.loads((tmp_path / "config.json").read_text())["run"]["steps"] == 4
    losses = [record for record in records(tmp_path) if "loss" in record]
    assert [record["step"] for record in losses] == [1, 2, 3, 4]
    assert {"noise", "content", "loss", "gradient_norm", "lr", "skipped"} <= set(losses[0])
    assert any("validation_psnr_db" in record for record in records(tmp_path))
    assert list((tmp_path / "samples").glob("*.png")) and list((tmp_path / "tensorboard").iterdir())
    assert OPDMPipeline.from_pretrained(tmp_path / "pipeline").default_size == 32
    assert [path.name for path in complete_checkpoints(tmp_path / "checkpoints")] == ["step-00000002", "step-00000004"]


def test_a_matching_run_resumes_and_leaves_everything_behind(tmp_path):
    run = make_matching_run()
    Trainer(run, tmp_path / "four", cpu=True).train()
    Trainer(replace(run, steps=2), tmp_path / "two", cpu=True).train()
    assert Trainer(run, tmp_path / "two", cpu=True).train()
    models = [load_ant(tmp_path / name / "pipeline").state_dict() for name in ("four", "two")]
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])
    assert {"forward_match", "cycle", "loss"} <= set(records(tmp_path / "four")[0])
    scores = next(record for record in records(tmp_path / "four") if "validation_accuracy" in record)
    assert 0 <= scores["validation_accuracy"] <= scores["validation_reachable_accuracy"] <= 100
    picture = read_frame(tmp_path / "four" / "samples" / "step-00000004.png")
    assert picture.shape == (3, 3 * 224, 2 * 224)


def test_a_matching_run_starts_from_weights_that_fit(tmp_path):
    run = make_matching_run(validation_shots=0)
    Trainer(run, tmp_path / "first", cpu=True).train()
    source = str(tmp_path / "first" / "pipeline")
    started = Trainer(replace(run, init_from=source), tmp_path / "second", cpu=True)
    trained = load_ant(source).state_dict()
    assert all(torch.equal(started.model.state_dict()[name], trained[name]) for name in trained)
    with pytest.raises(ValueError, match="a model of another shape"):
        Trainer(replace(run, model=replace(run.model, width=8), init_from=source), tmp_path / "third", cpu=True)


def test_pairs_are_scored_by_the_regions_that_segments_take_over():
    reference = SegmentedDrawing(None, None, torch.tensor([4, 5, 5]), None)
    target = SegmentedDrawing(None, None, torch.tensor([5, 4, 6, 4]), None)
    pair = SegmentPair(reference=reference, target=target, crops=None, is_match=None)
    scores = score_pair(pair, torch.tensor([2, 0, 0, 1]))
    # Region 4: right once, of two segments and two given to it. Region 5: once, of one and two. 6: never.
    assert scores["accuracy"] == 50 and scores["reachable_accuracy"] == 75
    assert scores["miou"] == pytest.approx(100 * (1 / 3 + 1 / 2 + 0) / 3)


def test_a_run_from_before_a_field_was_new_is_resumed(tmp_path):
    Trainer(make_run(), tmp_path, cpu=True)
    file = tmp_path / "config.json"
    saved = json.loads(file.read_text())
    del saved["run"]["model"]["kind"], saved["run"]["optimizer"]["weight_decay"]
    file.write_text(json.dumps(saved))
    Trainer(make_run(), tmp_path, cpu=True)
    with pytest.raises(ValueError, match=r"optimizer.weight_decay = 0.0, not 0.1"):
        Trainer(make_run(optimizer=replace(make_run().optimizer, weight_decay=0.1)), tmp_path, cpu=True)


def test_an_interrupted_run_saves_before_it_stops(tmp_path):
    trainer = Trainer(make_run(checkpoint_every=100), tmp_path, cpu=True)
    advance = trainer._advance

    def interrupted_in_the_third_step(batches, report):
        if trainer.step == 2:
            os.kill(os.getpid(), signal.SIGINT)
        advance(batches, report)

    trainer._advance, usual = interrupted_in_the_third_step, signal.getsignal(signal.SIGINT)
    assert not trainer.train()
    assert [path.name for path in complete_checkpoints(tmp_path / "checkpoints")] == ["step-00000003"]
    assert signal.getsignal(signal.SIGINT) is usual


def test_a_run_that_lacks_something_leaves_no_folder(tmp_path):
    run = make_run(model=model_config(replace(OFFSET, estimator=str(tmp_path / "none"))))
    with pytest.raises(ValueError, match="none"):
        Trainer(run, tmp_path / "run", cpu=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("objective", [AlignmentObjectiveConfig(), FlowObjectiveConfig()], ids=lambda o: o.kind)
def test_an_estimator_is_trained_and_then_frozen_into_a_model(tmp_path, objective):
    run = make_run(model=model_config(), objective=objective, steps=2)
    Trainer(run, tmp_path / "estimator", cpu=True).train()
    trained = weights(tmp_path / "estimator")
    model = model_config(replace(OFFSET, estimator=str(tmp_path / "estimator" / "pipeline")))
    Trainer(make_run(model=model, steps=2), tmp_path / "model", cpu=True).train()
    after = weights(tmp_path / "model")
    estimator = [name for name in trained if "estimator" in name]
    assert estimator and all(torch.equal(trained[name], after[name]) for name in estimator)


def test_the_loss_of_one_sample_can_be_driven_down(tmp_path):
    run = make_run(
        model=make_run().model, optimizer=OptimizerConfig(lr=3e-3), steps=60, batch_size=1, validation_shots=0
    )
    trainer = Trainer(run, tmp_path, cpu=True)
    trainer.dataset.__class__.__getitem__, original = (
        lambda self, index: original(self, 0),
        type(trainer.dataset).__getitem__,
    )
    try:
        trainer.train()
    finally:
        type(trainer.dataset).__getitem__ = original
    losses = [record["loss"] for record in records(tmp_path) if "loss" in record]
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])


def test_a_step_with_a_gradient_that_is_not_finite_is_skipped_and_counted(tmp_path):
    trainer = Trainer(make_run(validation_shots=0), tmp_path, cpu=True)
    before = [p.detach().clone() for p in trainer.model.parameters()]
    trainer.weights = dict.fromkeys(trainer.weights, float("nan"))
    trainer.train()
    assert trainer.skipped == 4 and records(tmp_path)[-1]["skipped"] == 4
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.model.parameters(), strict=True))


def test_accumulation_equals_a_larger_batch(tmp_path):
    Trainer(make_run(batch_size=4), tmp_path / "batch", cpu=True).train()
    Trainer(make_run(batch_size=2, accumulation=2), tmp_path / "parts", cpu=True).train()
    for one, other in zip(weights(tmp_path / "batch").values(), weights(tmp_path / "parts").values(), strict=True):
        assert torch.allclose(one, other, atol=2e-4)


def test_a_folder_of_another_run_is_refused(tmp_path):
    Trainer(make_run(), tmp_path, cpu=True)
    with pytest.raises(ValueError, match=r"optimizer.lr = 0.001, not 0.5; give another --output"):
        Trainer(make_run(optimizer=OptimizerConfig(lr=0.5)), tmp_path, cpu=True)


def test_a_run_can_start_from_a_trained_model(tmp_path):
    Trainer(make_run(), tmp_path / "first", cpu=True).train()
    started = Trainer(make_run(init_from=str(tmp_path / "first" / "pipeline")), tmp_path / "second", cpu=True)
    for name, value in weights(tmp_path / "first").items():
        assert torch.equal(started.model.state_dict()[name], value)
    other = make_run(
        model=type(make_run().model)(
            unet=make_run().model.unet,
            reference=make_run().model.reference,
            adapter=IdentityAdapterConfig(),
            head=ChoiceHeadConfig(),
        ),
        init_from=str(tmp_path / "first" / "pipeline"),
    )
    with pytest.raises(ValueError, match="a model of another shape"):
        Trainer(other, tmp_path / "third", cpu=True)


def test_the_learning_rate_warms_up_and_decays():
    config = OptimizerConfig(lr=1.0, warmup_steps=10, decay="cosine")
    assert learning_rate(config, 0, 110) == pytest.approx(0.1)
    assert learning_rate(config, 9, 110) == learning_rate(config, 10, 110) == 1.0
    assert learning_rate(config, 60, 110) == pytest.approx(0.5)
    assert learning_rate(config, 110, 110) == pytest.approx(0)


def test_processes_share_the_samples_of_a_step():
    def indices(first_pass, process, processes, batch_size):
        loads = range(first_pass, 6)
        return list(StepSampler(loads=loads, batch_size=batch_size, process=process, processes=processes))

    alone = indices(0, 0, 1, 4)
    halves = [indices(0, process, 2, 2) for process in range(2)]
    assert [a + b for a, b in zip(*halves, strict=True)] == alone
    assert indices(2, 0, 1, 4) == alone[2:]


TWO_BY_TWO = ["smoke", *SMALL, "--steps", "2", "--objective.reverse.gradient", "one-step", "--batch-size"]


def check_in_step(tmp_path):
    """Two processes, who left their run in two/, against one with the doubled batch."""
    alone = launch(*TWO_BY_TWO, "4", "--output", tmp_path / "one")
    assert alone.returncode == 0, alone.stderr
    for one, two in zip(records(tmp_path / "one"), records(tmp_path / "two"), strict=True):
        assert one["loss"] == pytest.approx(two["loss"], rel=1e-4)
    for name, value in weights(tmp_path / "one").items():
        assert torch.allclose(value, weights(tmp_path / "two")[name], atol=2e-5), name


@pytest.mark.slow
def test_two_processes_train_in_step_with_one(tmp_path):
    both = launch(*TWO_BY_TWO, "2", "--output", tmp_path / "two", processes=2)
    assert both.returncode == 0, both.stderr
    check_in_step(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("mpirun") is None, reason="needs MPI")
def test_accelerate_launches_two_processes_through_mpi(tmp_path):
    hosts = tmp_path / "hosts"
    hosts.write_text("localhost slots=2\n")
    # Open MPI asks whoever is root, as in containers, whether it is meant so.
    allowed = dict.fromkeys(("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"), "1")
    both = launch(*TWO_BY_TWO, "2", "--output", tmp_path / "two", processes=2, hosts=hosts, **allowed)
    assert both.returncode == 0, both.stderr
    check_in_step(tmp_path)


COMMON = ["smoke", *SMALL[:-1], "2", "--validate-every", "2", "--objective.reverse.gradient", "one-step"]
FSDP = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_CPU_RAM_EFFICIENT_LOADING": "false"}
UNITS = {"FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP", "FSDP_TRANSFORMER_CLS_TO_WRAP": "PyramidEncoder,UNet"}


@pytest.fixture(scope="module")
def run_alone(tmp_path_factory):
    """What one process that has all weights leaves behind."""
    folder = tmp_path_factory.mktemp("alone")
    alone = launch(*COMMON, "--batch-size", "4", "--steps", "4", "--output", folder)
    assert alone.returncode == 0, alone.stderr
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("policy", [{}, UNITS], ids=["one unit", "units within"])
def test_split_weights_train_in_step_with_whole_ones(tmp_path, run_alone, policy):
    """Two processes, each with half of every weight, stopped and resumed, against one that has all."""
    for steps in ("2", "4"):
        both = launch(
            *[*COMMON, "--batch-size", "2", "--steps", steps, "--output", tmp_path / "two"],
            processes=2,
            script=Path(__file__).with_name("fsdp_on_cpu.py"),
            **FSDP | policy,
        )
        assert both.returncode == 0, both.stderr
    for one, two in zip(records(run_alone), records(tmp_path / "two"), strict=True):
        assert one == pytest.approx(two, rel=1e-3)
    for name, value in weights(run_alone).items():
        assert torch.allclose(value, weights(tmp_path / "two")[name], atol=2e-5), name


@pytest.mark.slow
def test_a_killed_run_resumes_with_the_same_command(tmp_path):
    command = ["smoke", *SMALL, "--steps", "60", "--checkpoint-every", "2", "--output", tmp_path]
    process = launch(*command, wait=False)
    deadline = time.monotonic() + 120
    while not complete_checkpoints(tmp_path / "checkpoints") and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    reached = complete_checkpoints(tmp_path / "checkpoints")
    assert reached and process.returncode != 0
    resumed = launch(*command, "--time-limit-s", "0.0")
    assert resumed.returncode == 0 and "of 60 steps; the same command resumes" in resumed.stderr
    steps = [record["step"] for record in records(tmp_path)]
    assert steps == sorted(set(steps)) and steps[-1] == int(reached[-1].name[5:])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["opmd"], "opmd: no such run"),
        (["smoke", "--data.crop-size", "30"], "data.crop_size: 30 is not a multiple of 8"),
        (["smoke", "--init-from", "nowhere"], "nowhere: no such model"),
        (["ant-tiny", "--init-from", "nowhere"], "nowhere: no Animation Transformer"),
        (["ant-tiny", "--model.heads", "5"], "model.heads: 5 does not divide"),
        (["smoke", "--objective.perceptual-weight", "1", "--objective.vgg-weights", "none.pth"], "none.pth"),
    ],
)
def test_bad_requests_get_one_line(tmp_path, arguments, named):
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), *arguments]
    if len(arguments) > 1:
        command += ["--output", str(tmp_path)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert found.returncode == 2
    lines = [line for line in found.stderr.splitlines() if line.startswith("train.py: error")]
    assert len(lines) == 1 and named in lines[0]
