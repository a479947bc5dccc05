"""Scores of painted folders against the true frames: every metric in one pass over a clip, all methods side by side.

Frames are compared as 8-bit RGB; nothing is resized, and nothing is left out without a name.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from columns import scores_of
from opdm.errors import InputError
from opdm.frames import frame_size, read_frame, write_text
from opdm.metrics import CLIP_METRICS, ClipFrame, ClipScorer
from opdm.metrics.motion import FlowEstimator, Motion, find_motion
from opdm.segments import find_regions
from opdm.shot import list_drawings, normal_stem
from protocols import Task

MOVES = ("warp_error", "region_flicker")
"""Metrics that follow the motion."""
INSIDE_REGIONS = ("region_color", "region_flicker")
FID_MODES = ("clean", "legacy_pytorch")

Folders = Mapping[str, Path]
"""By method: its painted frames, in a folder for each clip."""


@dataclass
class ClipScores:
    """Of one method on one clip."""

    frames: dict[str, dict[str, float]] = field(default_factory=dict)
    """Painted frame -> score -> value."""
    clip: dict[str, float | str] = field(default_factory=dict)
    """Score -> value."""


Scores = dict[str, dict[str, ClipScores]]
"""Method -> clip -> scores."""


def choose_metrics(
    asked: Sequence[str], wanted: Sequence[str], tasks: Sequence[Task]
) -> tuple[list[str], dict[str, str]]:
    """The metrics that can be measured here, and why others of the wanted ones cannot.

    Those that were asked for by name take the place of the wanted ones, and raise InputError where they cannot.
    """
    usable, left_out = [], {}
    for name in asked or wanted:
        try:
            check_metric(name, tasks)
        except ValueError as error:
            if asked:
                raise InputError(f"{name}: {error}; choose others with --metrics") from error
            left_out[name] = str(error)
        else:
            usable.append(name)
    if not usable:
        raise InputError("no metric is left: " + "; ".join(f"{name}: {reason}" for name, reason in left_out.items()))
    return usable, left_out


def check_metric(name: str, tasks: Sequence[Task]) -> None:
    """Raise ValueError for a metric that these clips or this machine do not allow."""
    if name == "fid":
        from opdm.metrics.distribution import load_extractor

        if sum(len(task.targets) for task in tasks) < 2:
            raise ValueError("needs at least two frames")
        for mode in FID_MODES:
            load_extractor(mode)
    elif name not in CLIP_METRICS:
        raise InputError(f"no metric is called so; there are {', '.join((*CLIP_METRICS, 'fid'))}")
    elif name in INSIDE_REGIONS and not any(has_regions(task) for task in tasks):
        raise ValueError("neither regions nor drawings of the clips are known; give the drawings with --lines")
    elif name == "cdc" and all(len(task.clip) < 5 for task in tasks):
        raise ValueError("needs clips of at least five frames")
    elif name in MOVES and all(len(task.clip) < 2 for task in tasks):
        raise ValueError("needs clips of at least two frames")
    elif name in MOVES and (mixed := [task.name for task in tasks if len(sizes_of(task)) > 1]):
        raise ValueError(f"no motion between frames of different sizes: {name_some(mixed)}")
    else:
        smallest = min(tasks, key=lambda task: min(min(size) for size in sizes_of(task)))
        frame = smallest.clip.color(0)
        CLIP_METRICS[name]().update(ClipFrame(prediction=frame, target=frame))


def sizes_of(task: Task) -> set[tuple[int, int]]:
    """The (height, width) of the frames of a clip, from the heads of its files."""
    assert task.clip.paths, "tasks are scored from disk"
    return {frame_size(path) for path in task.clip.paths}


def score_all(
    tasks: Sequence[Task], folders: Folders, metrics: Sequence[str], flow: FlowEstimator, cache: Path | None
) -> Scores:
    """Scores of every method on every clip; those kept in `cache` that are newer than the frames are taken over."""
    per_clip = [name for name in metrics if name in CLIP_METRICS]
    scores: Scores = {label: {} for label in folders}
    total = sum(len(task.clip) for task in tasks)
    with tqdm(total=total, unit="frame", desc="scoring", leave=False, disable=None) as bar:
        for task in tasks:
            assert task.clip.paths, "tasks are scored from disk"
            painted = {label: match_frames(folder / task.name, task) for label, folder in folders.items()}
            files = {label: cache and cache / label / f"{task.name or 'clip'}.json" for label in folders}
            kept = {
                label: read_kept(files[label], [*painted[label].values(), *task.clip.paths], per_clip, flow.name)
                for label in folders
            }
            missing = {label: painted[label] for label in folders if kept[label] is None}
            fresh = score_clip(task, missing, per_clip, flow, bar.update) if missing else {}
            for label in folders:
                scores[label][task.name] = fresh[label] if label in fresh else kept[label] or ClipScores()
                if label in fresh and (file := files[label]):
                    keep(file, fresh[label], per_clip, flow.name)
            if not missing:
                bar.update(len(task.clip))
    return scores


def match_frames(folder: Path, task: Task) -> dict[str, Path]:
    """The painted frames of a clip, exactly its targets; an InputError names every frame too few or too many."""
    given = {normal_stem(Path(f"{task.clip.stems[i]}.png")) for i in task.keyframes}
    wanted = {normal_stem(Path(f"{task.clip.stems[i]}.png")): task.clip.stems[i] for i in task.targets}
    found = {stem: path for stem, path in list_drawings(folder).items() if stem not in given}
    problems = [
        f"{verb} {name_some(sorted(stems))}"
        for verb, stems in (("lacks", wanted.keys() - found.keys()), ("has", found.keys() - wanted.keys()))
        if stems
    ]
    if problems:
        raise InputError(
            f"{folder}: {' and '.join(problems)} compared with the targets; paint or remove them, and name given "
            "keyframes with --keyframes"
        )
    return {wanted[stem]: path for stem, path in found.items()}


def name_some(names: Sequence[str], at_most: int = 8) -> str:
    """The first names and how many more there are."""
    more = f" and {len(names) - at_most} more" if len(names) > at_most else ""
    return ", ".join(names[:at_most]) + more


def score_clip(
    task: Task,
    painted: Mapping[str, Mapping[str, Path]],
    metrics: Sequence[str],
    flow: FlowEstimator,
    update: Callable[[int], object] = lambda _: None,
) -> dict[str, ClipScores]:
    """All methods on one clip, a frame of each in memory at a time. Raises InputError for frames of other sizes."""
    scorers = {label: ClipScorer(CLIP_METRICS[name]() for name in metrics) for label in painted}
    scores = {label: ClipScores() for label in painted}
    previous = None
    for i, stem in enumerate(task.clip.stems):
        target = task.clip.color(i)
        motion = None
        if previous is not None and any(name in MOVES for name in metrics):
            motion = motion_between(task, i, previous, target, flow)
        regions = regions_of(task, i) if any(name in INSIDE_REGIONS for name in metrics) else None
        persist = task.clip.regions is not None and task.clip.regions_persist
        for label, scorer in scorers.items():
            is_given = i in task.keyframes
            prediction = target if is_given else read_painted(painted[label][stem], target, task, i)
            values = scorer.update(
                ClipFrame(
                    prediction=prediction,
                    target=target,
                    is_given=is_given,
                    regions=regions,
                    regions_persist=persist,
                    motion=motion,
                )
            )
            if values:
                scores[label].frames[stem] = values
        previous = target
        update(1)
    for label, scorer in scorers.items():
        scores[label].clip = scorer.compute()
    return scores


def motion_between(task: Task, i: int, previous: Tensor, target: Tensor, flow: FlowEstimator) -> Motion:
    """The motion from the frame before frame i to it."""
    return find_motion(i - 1, i, task.clip.flow_px, {i - 1: previous, i: target}.__getitem__, flow)


def has_regions(task: Task) -> bool:
    """Whether regions are known, or can be found in drawings."""
    return task.clip.regions is not None or task.clip.lines is not None


def regions_of(task: Task, i: int) -> Tensor | None:
    """The true regions of frame i, or those that its drawing encloses; None for a keyframe that has no drawing."""
    if task.clip.regions is not None:
        return task.clip.regions(i)
    if task.clip.lines is None or (i in task.keyframes and task.keyframe_lines is None):
        return None
    return find_regions(task.clip.lines(i))


def read_painted(path: Path, target: Tensor, task: Task, i: int) -> Tensor:
    """A painted frame of the target's size. Raises InputError."""
    prediction = read_8_bit(path)
    if prediction.shape != target.shape:
        of = task.clip.paths[i] if task.clip.paths else task.clip.stems[i]
        raise InputError(
            f"{path} is {size_text(prediction)} and {of} is {size_text(target)}; "
            "frames are never resized here: paint at the size of the target"
        )
    return prediction


def read_8_bit(path: Path) -> Tensor:
    """A (3, H, W) frame whose values are those of 8-bit files; finer ones would score differently once saved."""
    frame = read_frame(path)
    levels = frame * 255
    if (levels - levels.round()).abs().max() > 1e-3:
        raise InputError(f"{path}: has more than 8 bits per channel; save it as 8 bit, as every protocol compares it")
    return frame


def size_text(frame: Tensor) -> str:
    """Width x height of a (3, H, W) frame."""
    return f"{frame.shape[-1]} x {frame.shape[-2]}"


def keep(file: Path, scores: ClipScores, metrics: Sequence[str], flow: str) -> None:
    """Write the scores of one method on one clip."""
    record = {"metrics": list(metrics), "flow": flow, "frames": scores.frames, "clip": scores.clip}
    write_text(file, json.dumps(record) + "\n")


def read_kept(file: Path | None, frames: Sequence[Path], metrics: Sequence[str], flow: str) -> ClipScores | None:
    """The kept scores, unless a frame is newer or they are of other metrics."""
    if file is None or not file.exists():
        return None
    record = json.loads(file.read_text(encoding="utf-8"))
    written = file.stat().st_mtime_ns
    is_old = any(path.stat().st_mtime_ns > written for path in frames)
    if is_old or record["flow"] != flow or not set(metrics) <= set(record["metrics"]):
        return None
    return ClipScores(record["frames"], record["clip"])


def score_distributions(tasks: Sequence[Task], folders: Folders) -> dict[str, dict[str, float]]:
    """FID of each method in both modes, over all painted frames."""
    from opdm.metrics.distribution import frechet_distance, load_extractor

    true = [task.clip.paths[i] for task in tasks for i in task.targets if task.clip.paths]
    painted = {
        label: [path for task in tasks for path in match_frames(folder / task.name, task).values()]
        for label, folder in folders.items()
    }
    scores: dict[str, dict[str, float]] = {label: {} for label in folders}
    total = len(FID_MODES) * (1 + len(folders)) * len(true)
    with tqdm(total=total, unit="frame", desc="FID", leave=False, disable=None) as bar:
        for mode in FID_MODES:
            extract = load_extractor(mode)
            of_truth = read_watched(true, mode, extract, bar.update)
            for label, files in painted.items():
                features = read_watched(files, mode, extract, bar.update)
                scores[label][f"fid_{mode}"] = frechet_distance(features, of_truth)
    return scores


def read_watched(files: Sequence[Path], mode: str, extract: Callable, update: Callable[[int], object]) -> Tensor:
    """`read_features` in parts, so that a progress bar can move."""
    from opdm.metrics.distribution import BATCH, read_features

    parts = []
    for start in range(0, len(files), BATCH):
        part = files[start : start + BATCH]
        parts.append(read_features(part, mode, extract))
        update(len(part))
    return torch.cat(parts)


def score_names(metrics: Sequence[str]) -> list[str]:
    """The scores of the metrics, in their order."""
    return [score for metric in metrics for score in scores_of(metric)]
