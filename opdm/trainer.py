"""The training loop: prepare, step, checkpoint, report. It knows no model, loss, adapter or dataset by name."""

import copy
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from statistics import fmean
from typing import Any

import cv2
import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import DistributedType
from torch import nn
from torch.utils.data import DataLoader

from opdm.checkpoint import load_checkpoint, save_checkpoint
from opdm.config import OptimizerConfig, Run, from_dict, to_dict
from opdm.data.training import StepSampler
from opdm.report import Report
from opdm.sharding import WeightAverage, make_whole
from opdm.tasks import make_task

MAY_CHANGE = (
    "checkpoint_every",
    "description",
    "init_from",
    "log_every",
    "output",
    "steps",
    "time_limit_s",
    "validate_every",
    "validation_shots",
    "workers",
)
"""Fields of a run that a resumed one may set otherwise; a run with more steps goes on."""


class Trainer:
    """One run on one folder; construct it and call `train`, again and again, until the steps are done."""

    def __init__(self, run: Run, folder: Path, *, cpu: bool = False):
        self.run, self.folder = run, folder
        self.started, self.interrupted = time.monotonic(), False
        self.accelerator = Accelerator(
            mixed_precision=run.precision,
            # Said aloud, because processes on CPUs find each other only then.
            cpu=cpu or not torch.accelerator.is_available(),
            # The perceptual loss and frozen estimators have parameters without gradients; all others get one.
            kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
        )
        check_folder(run, folder)
        torch.manual_seed(run.seed)
        self.task = make_task(run)
        if self.accelerator.is_main_process:
            open_folder(run, folder)  # now that the run has all that it needs
        self.accelerator.wait_for_everyone()
        self.model, self.dataset, objective = self.task.model, self.task.dataset, self.task.objective
        self.twin = None
        if self._is_split:
            if self.accelerator.is_main_process:  # a whole model, to be judged and saved
                self.twin = copy.deepcopy(self.model).to(self.accelerator.device)
            objective = objective.to(memory_format=torch.contiguous_format)  # FSDP splits no other layout
        optimizer = torch.optim.AdamW(trained(objective), lr=run.optimizer.lr, weight_decay=run.optimizer.weight_decay)
        self.weights = objective.weights
        self.objective, self.optimizer = self.accelerator.prepare(objective, optimizer)
        self.ema = WeightAverage(self.model.parameters(), decay=run.optimizer.ema_decay)
        self.ema.to(self.accelerator.device)
        self.accelerator.register_for_checkpointing(self.ema)
        progress = load_checkpoint(self.accelerator, folder / "checkpoints") or {"step": 0, "skipped": 0}
        self.step, self.skipped = int(progress["step"]), int(progress["skipped"])
        self.timed_steps: list[float] = []

    def train(self) -> bool:
        """Train to the last step, the time limit or Ctrl-C, and save; True when the run is complete."""
        run = self.run
        report = Report(self.folder, first_step=self.step, steps=run.steps, enabled=self.accelerator.is_main_process)
        batches = self.task.batches(
            iter(self._loader()),
            first_pass=self.step * run.accumulation,
            process=self.accelerator.process_index,
            device=self.accelerator.device,
        )
        usual = signal.signal(signal.SIGINT, self._request_stop)
        try:
            while self.step < run.steps and not self._should_stop():
                self._advance(batches, report)
            complete = self.step >= run.steps
            if self.step % run.checkpoint_every or not complete:
                self._save(report)
        finally:
            signal.signal(signal.SIGINT, usual)
            report.close()
        self.accelerator.end_training()
        return complete

    def _advance(self, batches: Iterator[Any], report: Report) -> None:
        """One optimizer step and whatever is due after it."""
        run = self.run
        began = time.perf_counter()
        losses, norm = self._optimize(batches)
        self.timed_steps.append(time.perf_counter() - began)
        self.step += 1
        report.advance(self.step, losses["loss"])
        if self.step % run.log_every == 0 or self.step == run.steps:
            facts = {"gradient_norm": norm, "lr": self._lr(), "skipped": self.skipped}
            cost = {"seconds_per_step": fmean(self.timed_steps)} | peak_memory()
            report.record(self.step, losses | facts | cost)
            self.timed_steps.clear()
        if self.step % run.checkpoint_every == 0:
            self._save(report)
        if self.step % run.validate_every == 0 or self.step == run.steps:
            self._validate(report)

    def _optimize(self, batches: Iterator[Any]) -> tuple[dict[str, float], float]:
        """Accumulate, clip, step, average; a step whose gradient is not finite is skipped and counted."""
        run, totals = self.run, dict.fromkeys([*self.weights, "loss"], 0.0)
        for group in self.optimizer.param_groups:
            group["lr"] = self._lr()
        for part in range(run.accumulation):
            batch = next(batches).to(self.accelerator.device)
            with self._synchronized(part == run.accumulation - 1):
                with self.accelerator.autocast():
                    losses = {name: values.mean() for name, values in self.objective(batch).items()}
                    loss = torch.stack([self.weights[name] * value for name, value in losses.items()]).sum()
                self.accelerator.backward(loss / run.accumulation)
            for name, value in [*losses.items(), ("loss", loss)]:
                totals[name] += float(self.accelerator.reduce(value.detach(), "mean")) / run.accumulation
        norm = float(make_whole(self.accelerator.clip_grad_norm_(trained(self.objective), run.optimizer.clip_norm)))
        # A loss scaler leaves such a step out by itself, and has to see it to lower its scale.
        if math.isfinite(norm) or self.accelerator.scaler is not None:
            self.optimizer.step()
        if math.isfinite(norm):
            self.ema.step(self.model.parameters())
        else:
            self.skipped += 1
        self.optimizer.zero_grad(set_to_none=True)
        return totals, norm

    @property
    def _is_split(self) -> bool:
        """Whether each process has only a part of every weight."""
        return self.accelerator.distributed_type == DistributedType.FSDP

    def _synchronized(self, is_last: bool) -> AbstractContextManager[None]:
        """Exchange gradients between processes only in the last pass before the optimizer's step."""
        return nullcontext() if is_last else self.accelerator.no_sync(self.objective)

    def _lr(self) -> float:
        return learning_rate(self.run.optimizer, self.step, self.run.steps)

    def _loader(self) -> DataLoader:
        run = self.run
        loads, size = self.task.plan_loads(range(self.step * run.accumulation, run.steps * run.accumulation))
        sampler = StepSampler(
            loads=loads,
            batch_size=size,
            process=self.accelerator.process_index,
            processes=self.accelerator.num_processes,
        )
        return DataLoader(
            self.dataset,
            batch_sampler=sampler,
            collate_fn=self.task.stack,
            # Its own, so that a resumed run draws the same dropout: a loader takes a number when it starts.
            generator=torch.Generator(),
            num_workers=run.workers,
            persistent_workers=run.workers > 0,
            prefetch_factor=4 if run.workers else None,
            worker_init_fn=give_way,
        )

    def _request_stop(self, signal_number: int, frame: object) -> None:
        """Finish the step and save; a second Ctrl-C stops at once."""
        self.interrupted = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def _should_stop(self) -> bool:
        """When time is up or the user said so; decided together, so that all processes stop at the same step."""
        limit = self.run.time_limit_s
        stops = self.interrupted or (limit is not None and time.monotonic() - self.started > limit)
        if self.accelerator.num_processes == 1:
            return stops
        votes = torch.tensor(float(stops), device=self.accelerator.device)
        return bool(self.accelerator.reduce(votes, "sum") > 0)

    def _save(self, report: Report) -> None:
        save_checkpoint(self.accelerator, self.folder / "checkpoints", self.step, {"skipped": self.skipped})
        with self._averaged_weights():
            if self.accelerator.is_main_process:
                self.task.export(self.folder / "pipeline")
        report.say(f"step {self.step}: checkpoint and pipeline saved in {self.folder}")
        self.accelerator.wait_for_everyone()

    @contextmanager
    def _averaged_weights(self) -> Iterator[None]:
        """The task's model with its averaged weights, for as long as the context lasts; every process has to enter."""
        if self._is_split:
            averages = self.ema.gather()
            if self.twin is not None:
                for parameter, average in zip(self.twin.parameters(), averages, strict=True):
                    parameter.data.copy_(average)
                self.task.model = self.twin
            try:
                yield
            finally:
                self.task.model = self.model
            return
        parameters = list(self.model.parameters())
        self.ema.store(parameters)
        self.ema.copy_to(parameters)
        try:
            yield
        finally:
            self.ema.restore(parameters)

    @torch.no_grad()
    def _validate(self, report: Report) -> None:
        """Judge the averaged weights on held-out samples."""
        if not self.run.validation_shots:
            return
        with self._averaged_weights(), self.accelerator.autocast():
            found = self.task.validate() if self.accelerator.is_main_process else None
        if found is not None:
            report.record(self.step, found.scores)
            report.say(f"step {self.step}: " + ", ".join(f"{name} {value:.2f}" for name, value in found.scores.items()))
            report.picture(self.step, found.picture)
        self.accelerator.wait_for_everyone()


def trained(module: nn.Module) -> list[nn.Parameter]:
    """What the optimizer changes."""
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


def learning_rate(config: OptimizerConfig, step: int, steps: int) -> float:
    """The rate of the step after `step` steps: linear warm-up, then constant or a cosine to zero."""
    if step < config.warmup_steps:
        return config.lr * (step + 1) / config.warmup_steps
    if config.decay == "constant":
        return config.lr
    done = (step - config.warmup_steps) / max(steps - config.warmup_steps, 1)
    return config.lr * 0.5 * (1 + math.cos(math.pi * done))


def peak_memory() -> dict[str, float]:
    """`peak_memory_mib` of this process so far, of the GPU where there is one; nothing where the system cannot say."""
    if torch.cuda.is_available():
        return {"peak_memory_mib": torch.cuda.max_memory_allocated() / 2**20}
    try:
        import resource
    except ImportError:  # not on Windows
        return {}
    unit = 1 if sys.platform == "darwin" else 2**10  # bytes there, kibibytes elsewhere
    return {"peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20}


def give_way(worker: int) -> None:
    """A loader process keeps to one thread, and leaves the cores to the training where both want them."""
    os.nice(10)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the training, which still needs its samples
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


RUN_FILE = "config.json"


def check_folder(run: Run, folder: Path) -> None:
    """Raise ValueError, naming the first setting that differs, where a folder holds another run."""
    file = folder / RUN_FILE
    if not file.exists():
        return
    # Through the dataclasses, so that fields which are newer than the file have the value that they had then.
    saved = flatten(to_dict(from_dict(Run, json.loads(file.read_text())["run"])))
    for name, value in flatten(to_dict(run)).items():
        if name not in MAY_CHANGE and saved.get(name) != value:
            raise ValueError(
                f"{folder} holds a run with {name} = {saved.get(name)!r}, not {value!r}; "
                "give another --output, or the same settings to resume it"
            )


def open_folder(run: Run, folder: Path) -> None:
    """Make the folder of a run, unless it is there."""
    file = folder / RUN_FILE
    if file.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(".tmp")
    temporary.write_text(json.dumps({"run": to_dict(run), "commit": git_commit()}, indent=2) + "\n")
    temporary.rename(file)


def flatten(values: dict, prefix: str = "") -> dict[str, object]:
    """{"a": {"b": 1}} to {"a.b": 1}."""
    flat: dict[str, object] = {}
    for name, value in values.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat


def git_commit() -> str | None:
    """The commit of the code, where it is a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
