"""Painting the shots of a protocol by models and baselines: OUTPUT/METHOD/CLIP/STEM.png, as `opdm-sample` writes them.

What is there already stays, so the same command continues a run that stopped.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from baselines import METHODS, paint_shot
from opdm import __version__
from opdm.errors import InputError
from opdm.shot import Drawing

if TYPE_CHECKING:
    from opdm.painting import Pipeline, Settings
    from opdm.shot import Shot
    from protocols import Task

RECORD = "method.json"


@dataclass(frozen=True)
class Method:
    """A baseline, or a model that `opdm-sample` takes."""

    label: str
    """Its row and its folder."""
    name: str
    """Of a baseline or an embedded model, a folder that training wrote, or the id of a hub."""
    steps: int | None = None
    """Sampling steps; None is the model's own number."""

    @property
    def is_baseline(self) -> bool:
        """Needs no weights."""
        return self.name in METHODS

    @property
    def about(self) -> str:
        """One sentence."""
        if self.is_baseline:
            return (METHODS[self.name].__doc__ or "").splitlines()[0]
        return f"The model {self.name}" + (f" in {self.steps} sampling steps." if self.steps else ".")


@dataclass(frozen=True, kw_only=True)
class Computing:
    """How models are run."""

    device: str = "auto"
    dtype: str = "auto"
    batch_size: int = 1
    seed: int = 0


def parse_methods(texts: Sequence[str]) -> list[Method]:
    """Each [LABEL=]NAME[@STEPS]. Raises InputError for two of one label, and for what is no method."""
    methods = [parse_method(text) for text in texts]
    labels = [method.label for method in methods]
    if len(set(labels)) < len(labels):
        raise InputError("two methods have one label; name them: --methods LABEL=MODEL ...")
    for label in labels:
        if label in ("", ".", "..", "shots", "scores") or "/" in label or "\\" in label:
            raise InputError(f"{label!r} cannot be the folder of a method; name it: --methods LABEL=MODEL ...")
    for method in methods:
        check_name(method)
    return methods


def check_name(method: Method) -> None:
    """Raise InputError for a name of neither a baseline nor a model."""
    if method.is_baseline:
        return
    from opdm.pipeline import OPDMPipeline, check_folder
    from opdm.weights import resolve

    try:
        check_folder(resolve(method.name), OPDMPipeline.__name__)
    except ValueError as error:
        raise InputError(f"{error}; or a baseline: {', '.join(METHODS)}") from error


def parse_method(text: str) -> Method:
    """[LABEL=]NAME[@STEPS]; the label of a folder is its name, and of RUN/pipeline that of the run."""
    label, separator, rest = text.partition("=")
    name, at, steps = (rest if separator else text).rpartition("@")
    if not at or not steps.isdecimal() or int(steps) < 1:
        name, steps = rest if separator else text, ""
    if not separator:
        label = (Path(name).parent if Path(name).name == "pipeline" else Path(name)).name + (f"@{steps}" * bool(steps))
    return Method(label, name, int(steps) if steps else None)


def paint_all(methods: Sequence[Method], tasks: Sequence["Task"], output: Path, computing: Computing) -> dict:
    """Paint every drawing that is not painted yet; returns what each method is, by label. Raises InputError."""
    from shots import keep_record

    records = {method.label: describe(method, computing) for method in methods}
    for label, record in records.items():
        keep_record(output / label / RECORD, record)
    baselines = {method.name: output / method.label for method in methods if method.is_baseline}
    if baselines:
        watch(paint_by_baselines(baselines, tasks, output), pending(baselines.values(), tasks), "baselines")
    for method in methods:
        if not method.is_baseline and (left := pending([output / method.label], tasks)):
            watch(paint_by_model(method, tasks, output, computing), left, method.label)
    return records


def describe(method: Method, computing: Computing) -> dict:
    """Everything that decides what a method paints; JSON-able."""
    if method.is_baseline:
        return {"name": method.name, "opdm": __version__}
    from opdm.results import weights_checksum
    from opdm.runtime import choose_device, choose_dtype

    device = choose_device(computing.device)
    return {
        "name": method.name,
        "weights": weights_checksum(method.name),
        "steps": method.steps or "the model's own",
        "seed": computing.seed,
        "dtype": str(choose_dtype(computing.dtype, device)).removeprefix("torch."),
        "device": device,
        "opdm": __version__,
    }


def watch(painted: Iterable[Drawing], total: int, name: str) -> None:
    """Paint under a progress bar."""
    from tqdm import tqdm

    for _ in tqdm(painted, total=total, unit="drawing", desc=f"painting: {name}", leave=False, disable=None):
        pass


def pending(folders: Iterable[Path], tasks: Sequence["Task"]) -> int:
    """How many drawings lack a frame in one of the folders."""
    folders = list(folders)
    return sum(
        any(not (folder / task.name / f"{task.clip.stems[i]}.png").exists() for folder in folders)
        for task in tasks
        for i in task.targets
    )


def unpainted(shot: "Shot", folders: Iterable[Path]) -> list[Drawing]:
    """The drawings of a shot that lack a frame in one of the folders."""
    folders = list(folders)
    return [d for d in shot.drawings if any(not (folder / f"{d.path.stem}.png").exists() for folder in folders)]


def paint_by_baselines(baselines: dict, tasks: Sequence["Task"], output: Path) -> Iterator[Drawing]:
    """All baselines together, because they share the flow."""
    from shots import plan

    for task in tasks:
        folders = {name: folder / task.name for name, folder in baselines.items()}
        shot = plan(task, output / "shots" / task.name)
        yield from paint_shot(shot, unpainted(shot, folders.values()), folders)


def paint_by_model(method: Method, tasks: Sequence["Task"], output: Path, computing: Computing) -> Iterator[Drawing]:
    """One model, the way of `opdm-sample`. Raises InputError for a model that cannot be had."""
    from opdm.cli import load_pipeline
    from opdm.painting import Settings
    from opdm.runtime import reuse_freed_memory
    from shots import plan

    reuse_freed_memory()
    pipeline = load_pipeline(method.name, computing.device, computing.dtype)
    settings = Settings(steps=method.steps, seed=computing.seed, batch_size=computing.batch_size)
    for task in tasks:
        shot = plan(task, output / "shots" / task.name)
        yield from paint_task(shot, output / method.label / task.name, pipeline, settings)


def paint_task(shot: "Shot", folder: Path, pipeline: "Pipeline", settings: "Settings") -> Iterator[Drawing]:
    """The drawings of one shot. Raises InputError for one that cannot be painted: nothing is dropped."""
    from opdm.frames import write_frame
    from opdm.painting import Failed, paint

    drawings = unpainted(shot, [folder])
    for outcome in paint(shot, drawings, pipeline, settings) if drawings else ():
        if isinstance(outcome, Failed):
            raise InputError(outcome.reason)
        write_frame(folder / f"{outcome.drawing.path.stem}.png", outcome.frame)
        yield outcome.drawing
