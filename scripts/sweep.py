"""Train and score groups of ablations, and lay the paper's numbers beside ours.

    python scripts/sweep.py table-3 --size tiny --seeds 2
    python scripts/sweep.py all --size full --protocol atd12k-224 --data ATD-12K
    python scripts/sweep.py gradient --size tiny --minutes 3
    python scripts/sweep.py small --size full --minutes 20 --sampling-steps 1 2 4 10
    python scripts/sweep.py kernel --size tiny --fields --objective.perceptual-weight 0

Each row is a run of configs/ablations.py. OUTPUT/ROW/SEED/ holds its training and its scores; table.md, table.csv and
sweep.html show them all, and are written anew whenever a row is done. The same command continues after a kill. As many
rows train at once as there are GPUs, or one on the CPU; one that fails says so in its row and stops nothing else.
--minutes compares at equal cost: what a step of each training takes is measured first, and it gets as many as fit;
an offset estimator, which several rows may share, has the same time before them.
"""

import argparse
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from configs import RUNS
from configs.ablations import ABLATIONS, ESTIMATORS, GROUPS, TINY, Ablation
from opdm.config import OffsetAdapterConfig
from opdm.errors import InputError
from sweep_report import Result, write_reports

ROOT = Path(__file__).resolve().parents[1]
SUFFIX = {"tiny": TINY, "full": ""}
PROTOCOL = {"tiny": "generated-tiny", "full": "generated-1"}
"""What a size is scored by unless another protocol is asked for."""
PROBE = ["--steps", "30", "--time-limit-s", "60", "--log-every", "1", "--validation-shots", "0"]
"""What a step takes, where every row may train for as long, is measured by a training of its own: at most so long."""


@dataclass(frozen=True)
class Settings:
    """What all jobs of a sweep have in common."""

    size: str
    output: Path
    protocol: str
    data: Path | None
    clips: int | None
    minutes: float | None
    """What every training may last; None: the steps of its run."""
    sampling_steps: tuple[int, ...]
    """Each row is scored with so many denoising steps; of none, with its own."""
    fields: tuple[str, ...]
    """Options for every training, as scripts/train.py takes them."""


@dataclass(frozen=True)
class Job:
    """One training, and what it is scored by."""

    name: str
    """Of the run, without its size."""
    seed: int
    settings: Settings
    steps: int | None = None
    """Of its training; None: those of its run."""

    @property
    def folder(self) -> Path:
        """Where everything of this job is."""
        return self.settings.output / self.name / str(self.seed)

    @property
    def estimator(self) -> "Job | None":
        """The training of the offset estimator that this one needs first."""
        adapter = RUNS[self.name].model.adapter
        if self.is_estimator or not isinstance(adapter, OffsetAdapterConfig):
            return None
        return Job(ESTIMATORS[adapter], self.seed, self.settings)

    @property
    def training(self) -> list[str]:
        """The command that trains it, or goes on."""
        return self.train(self.folder / "run", self.steps)

    def train(self, output: Path, steps: int | None) -> list[str]:
        """The command that trains it to a step, or to its last one."""
        command = [sys.executable, "scripts/train.py"]
        command += [self.name + SUFFIX[self.settings.size], "--output", str(output), "--seed", str(self.seed)]
        command += ["--steps", str(steps)] if steps else []
        if self.estimator is not None:
            command += ["--model.adapter.estimator", str(self.estimator.folder / "run" / "pipeline")]
        return command + (fields_of_data(self.settings.fields) if self.is_estimator else [*self.settings.fields])

    @property
    def scoring(self) -> list[str]:
        """The command that scores it."""
        pipeline = self.folder / "run" / "pipeline"
        command = [sys.executable, "eval/evaluate.py", "--protocol", self.settings.protocol]
        command += ["--output", str(self.folder / "eval"), "--methods"]
        command += [f"{self.name}{at}={pipeline}{at}" for at in [f"@{n}" for n in self.settings.sampling_steps] or [""]]
        command += ["--data", str(self.settings.data)] if self.settings.data else []
        return command + (["--clips", str(self.settings.clips)] if self.settings.clips else [])

    @property
    def log(self) -> Path:
        """What its last command wrote."""
        return self.folder / "log.txt"

    @property
    def is_estimator(self) -> bool:
        """Whether it is trained for others, and not scored."""
        return self.name in ESTIMATORS.values()


def fields_of_data(fields: Sequence[str]) -> list[str]:
    """Of options and their values those that say what is trained on: an estimator learns from the same data."""
    kept, is_kept = [], False
    for word in fields:
        if word.startswith("--"):
            is_kept = word.partition("=")[0] == "--clips" or word.startswith("--data.")
        if is_kept:
            kept.append(word)
    return kept


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 when every row is there, 1 when some failed, 2 for a bad request, 130 when interrupted."""
    options = parse(arguments)
    try:
        rows = choose_rows(options.groups)
        if options.seeds < 1:
            raise InputError(f"--seeds {options.seeds}: give at least one")
        if any(steps < 1 for steps in options.sampling_steps):
            raise InputError(f"--sampling-steps {' '.join(map(str, options.sampling_steps))}: give at least one")
        if options.minutes is not None and options.minutes <= 0:
            raise InputError(f"--minutes {options.minutes:g}: give more than 0")
    except InputError as error:
        print(f"sweep.py: error: {error}", file=sys.stderr)
        return 2
    settings = Settings(
        options.size,
        options.output.resolve(),
        options.protocol or PROTOCOL[options.size],
        options.data and options.data.resolve(),
        options.clips,
        options.minutes,
        tuple(options.sampling_steps),
        tuple(options.fields),
    )
    jobs = [Job(name, seed, settings) for seed in range(options.seeds) for name in dict.fromkeys(r.name for r in rows)]
    results: list[Result] = []
    try:
        for result in run_all(jobs, find_devices(), rows):
            results.append(result)
            report(rows, results, settings)
    except KeyboardInterrupt:
        print("\nsweep.py: interrupted; the same command goes on", file=sys.stderr)
        return 130
    print((settings.output / "table.md").read_text(encoding="utf-8"))
    print(f"curves and samples: {settings.output / 'sweep.html'}")
    return int(any(result.failure for result in results))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="+", metavar="GROUP", help=f"all, or some of {', '.join(GROUPS)}")
    parser.add_argument("--size", choices=list(SUFFIX), default="tiny", help="of the runs (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each row (default: %(default)s)")
    parser.add_argument("--minutes", type=float, help="train each row so long (default: the steps of its run)")
    parser.add_argument("--output", type=Path, default=Path("runs/sweep"), help="folder (default: %(default)s)")
    parser.add_argument("--protocol", help=f"of eval/evaluate.py (default: {PROTOCOL})")
    parser.add_argument("--data", type=Path, help="folder of the protocol's data set")
    parser.add_argument("--clips", type=int, help="score on so many clips only")
    parser.add_argument(
        "--sampling-steps",
        type=int,
        nargs="+",
        default=[],
        help="denoising steps to score with (default: the run's own)",
    )
    parser.add_argument(
        "--fields", nargs=argparse.REMAINDER, default=[], help="options for every training, last of all"
    )
    return parser.parse_args(arguments)


def choose_rows(groups: Sequence[str]) -> list[Ablation]:
    """The rows of the groups. Raises InputError."""
    if unknown := [group for group in groups if group not in (*GROUPS, "all")]:
        raise InputError(f"no group is called {', '.join(unknown)}; there are all, {', '.join(GROUPS)}")
    return [ablation for ablation in ABLATIONS if "all" in groups or ablation.group in groups]


def find_devices() -> list[str | None]:
    """What a job may be given: the number of a GPU, or None, the CPU."""
    import torch

    count = torch.cuda.device_count()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return list(visible.split(",")[:count] if visible else map(str, range(count))) if count else [None]


def run_all(jobs: Sequence[Job], devices: Sequence[str | None], rows: Sequence[Ablation]) -> Iterator[Result]:
    """Estimators first, then everything else; results as they come."""
    from tqdm import tqdm

    estimators = list(dict.fromkeys(job.estimator for job in jobs if job.estimator))
    free: queue.Queue[str | None] = queue.Queue()
    for device in devices:
        free.put(device)
    stop = threading.Event()
    with tqdm(total=len(estimators) + len(jobs), unit="run") as bar, ThreadPoolExecutor(len(devices)) as pool:
        try:
            for wave in (estimators, jobs):
                for result in pool.map(lambda job: run_on(job, free, stop, bar), wave):
                    bar.update()
                    if result.name not in ESTIMATORS.values():
                        yield result
        except BaseException:
            stop.set()
            raise


def run_on(job: Job, free: "queue.Queue[str | None]", stop: threading.Event, bar: object) -> Result:
    """Train and score one job on the next free device."""
    if stop.is_set():
        return Result(job.name, job.seed, job.folder, "not begun")
    device = free.get()
    try:
        bar.set_postfix_str(f"{job.name}, seed {job.seed}")  # type: ignore[attr-defined]
        return run_job(job, device)
    finally:
        free.put(device)


def run_job(job: Job, device: str | None) -> Result:
    """Train and score one job; a failure is part of the result."""
    job.folder.mkdir(parents=True, exist_ok=True)
    try:
        if job.settings.minutes is not None:
            job = replace(job, steps=count_steps(job, job.settings.minutes, device))
        commands = [job.training] if job.is_estimator else [job.training, job.scoring]
        described = json.dumps([command[1:] for command in commands])
        done = job.folder / "done.json"
        if not done.exists() or done.read_text(encoding="utf-8") != described:
            for command in commands:
                execute(command, job.log, device)
            done.write_text(described, encoding="utf-8")
    except CommandError as failure:
        return Result(job.name, job.seed, job.folder, str(failure))
    return Result(job.name, job.seed, job.folder, None)


class CommandError(Exception):
    """What a command that failed said."""


def execute(command: Sequence[str], log: Path, device: str | None) -> None:
    """Raises CommandError."""
    environment = dict(os.environ, CUDA_VISIBLE_DEVICES=device or "", ACCELERATE_USE_CPU=str(device is None).lower())
    with open(log, "w", encoding="utf-8") as file:
        finished = subprocess.run(command, cwd=ROOT, env=environment, stdout=file, stderr=file, check=False)
    if finished.returncode:
        raise CommandError(reason(log))


def count_steps(job: Job, minutes: float, device: str | None) -> int:
    """How many steps take so long; measured once, so that a later sweep goes on with the same number.

    Raises CommandError.
    """
    known = job.folder / "seconds_per_step.json"
    if not known.exists():
        probe = Result(job.name, job.seed, job.folder / "probe", None)
        execute([*job.train(probe.folder / "run", None), *PROBE], job.log, device)
        seconds = [record["seconds_per_step"] for record in probe.records() if "seconds_per_step" in record]
        if not seconds:
            raise CommandError("not one step in the minute that was measured; the same command tries again")
        known.write_text(json.dumps(fmean(seconds[1:] or seconds)), encoding="utf-8")  # the first one has the start
    return max(1, int(60 * minutes / json.loads(known.read_text(encoding="utf-8"))))


def reason(log: Path) -> str:
    """The last line that a failed command wrote, which is its error."""
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line]
    return (errors or lines or ["no word"])[-1].strip()


def report(rows: Sequence[Ablation], results: Sequence[Result], settings: Settings) -> None:
    """Write the tables of what is known so far."""
    facts = {
        "size": settings.size,
        "protocol": settings.protocol,
        "data": str(settings.data) if settings.data else None,
        "minutes": f"{settings.minutes:g}" if settings.minutes is not None else None,
        "fields": " ".join(settings.fields) or None,
    }
    write_reports(rows, results, facts, settings.output)


if __name__ == "__main__":
    sys.exit(main())
