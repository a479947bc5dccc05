"""Score painted frames against the true ones and print a Markdown table.

    python eval/evaluate.py --predictions out/ --targets truth/ --json scores.json

Frames are matched by file stem and compared as 8-bit RGB at their own size: nothing is resized or left out silently.
Several predictions, each LABEL=FOLDER, share one table, so a model stands beside its trivial rivals.
"""

import json
import math
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import tyro

from opdm.errors import InputError
from opdm.shot import list_drawings, normal_stem

Scores = dict[str, dict[str, float]]
"""Frame stem -> metric -> score."""

COLUMNS = {"psnr": ("PSNR [dB] ↑", 2), "ssim": ("SSIM ↑", 4), "ms_ssim": ("MS-SSIM ↑", 4), "qssim": ("QSSIM ↑", 4)}
"""Heading and decimals of each metric."""

RECORDED_PACKAGES = ("opdm", "torch", "torchvision", "diffusers", "numpy", "opencv-python-headless")


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Score painted frames against the true ones, matched by file stem."""

    predictions: tuple[str, ...]
    """Folders of painted frames, each FOLDER or LABEL=FOLDER."""
    targets: Path
    """Folder of the true frames."""
    keyframes: tuple[str, ...] = ()
    """Given keyframes, as stems or files: left out of the scores, for they were not painted."""
    metrics: tuple[str, ...] = tuple(COLUMNS)
    """Which scores: psnr, ssim, ms_ssim (frames over 160 px), qssim."""
    json: Path | None = None
    """Also write scores per frame, protocol and environment to this file."""
    per_frame: bool = False
    """Print a row for each frame as well as the means."""


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 when everything was scored, 2 for a bad request, told in one line."""
    evaluation = tyro.cli(Evaluation, args=arguments, description=__doc__)
    try:
        report = evaluate(evaluation)
        print(format_report(report, per_frame=evaluation.per_frame))
        if evaluation.json is not None:
            from opdm.frames import write_text

            write_text(evaluation.json, json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    except (InputError, OSError) as error:
        print(f"evaluate.py: error: {error}", file=sys.stderr)
        return 2
    return 0


def evaluate(evaluation: Evaluation) -> dict:
    """Everything that is written to the JSON file: protocol, environment, and scores by label."""
    unknown = [name for name in evaluation.metrics if name not in COLUMNS]
    if unknown:
        raise InputError(f"no metric is called {', '.join(unknown)}; there are {', '.join(COLUMNS)}")
    targets = list_drawings(evaluation.targets)
    keyframes = sorted({normal_stem(Path(name)) for name in evaluation.keyframes})
    targets = {stem: path for stem, path in targets.items() if stem not in keyframes}
    if not targets:
        raise InputError(f"{evaluation.targets}: no frames to score besides the keyframes")
    folders = dict(split_label(text) for text in evaluation.predictions)
    if len(folders) < len(evaluation.predictions):
        raise InputError("two predictions have one label; name them: --predictions LABEL=FOLDER ...")
    predictions = {
        label: match_frames(list_drawings(folder), targets, folder, keyframes) for label, folder in folders.items()
    }
    scores: dict[str, Scores] = {label: {} for label in folders}
    sizes = set()
    for stem, label, size, values in score_frames(predictions, targets, evaluation.metrics):
        scores[label][stem] = values
        sizes.add(size)
    return {
        "protocol": describe_protocol(evaluation, keyframes, len(targets), sorted(sizes)),
        "environment": describe_environment(),
        "predictions": {
            label: {"folder": str(folders[label]), **summarize(scores[label], evaluation.metrics)} for label in folders
        },
    }


def split_label(text: str) -> tuple[str, Path]:
    """LABEL=FOLDER, or a folder that is its own label."""
    label, separator, folder = text.partition("=")
    return (label, Path(folder)) if separator and not Path(text).exists() else (text, Path(text))


def match_frames(
    predictions: dict[str, Path], targets: dict[str, Path], folder: Path, keyframes: list[str]
) -> dict[str, Path]:
    """The predictions of exactly the targets; an error that names every frame too few or too many."""
    predictions = {stem: path for stem, path in predictions.items() if stem not in keyframes}
    problems = []
    for stems, problem in (
        (targets.keys() - predictions.keys(), "lacks"),
        (predictions.keys() - targets.keys(), "has"),
    ):
        if stems:
            problems.append(f"{problem} {name_some(sorted(stems))}")
    if problems:
        raise InputError(
            f"{folder}: {' and '.join(problems)} compared with the targets; paint or remove them, and name given "
            "keyframes with --keyframes"
        )
    return predictions


def name_some(names: list[str], at_most: int = 8) -> str:
    """The first names and how many more there are."""
    more = f" and {len(names) - at_most} more" if len(names) > at_most else ""
    return ", ".join(names[:at_most]) + more


def score_frames(
    predictions: dict[str, dict[str, Path]], targets: dict[str, Path], metrics: tuple[str, ...]
) -> Iterator[tuple[str, str, str, dict[str, float]]]:
    """(stem, label, size, scores) of every frame, one frame in memory at a time."""
    from tqdm import tqdm

    for stem, target_path in tqdm(targets.items(), unit="frame", desc="scoring", leave=False, disable=None):
        target = read_8_bit(target_path)
        for label, frames in predictions.items():
            prediction = read_8_bit(frames[stem])
            yield stem, label, size_text(target), score_frame(prediction, target, metrics, frames[stem], target_path)


def score_frame(prediction, target, metrics: tuple[str, ...], path: Path, target_path: Path) -> dict[str, float]:
    """The scores of one (3, H, W) frame."""
    from opdm.metrics import IMAGE_METRICS

    if prediction.shape != target.shape:
        raise InputError(
            f"{path} is {size_text(prediction)} and {target_path} is {size_text(target)}; "
            "frames are never resized here: paint at the size of the target"
        )
    scores = {}
    for name in metrics:
        try:
            scores[name] = IMAGE_METRICS[name](prediction[None], target[None]).item()
        except ValueError as error:
            raise InputError(f"{path}: {name}: {error}; choose others with --metrics") from error
    return scores


def read_8_bit(path: Path):
    """A (3, H, W) frame whose values are those of 8-bit files; finer ones would score differently once saved."""
    from opdm.frames import read_frame

    frame = read_frame(path)
    levels = frame * 255
    if (levels - levels.round()).abs().max() > 1e-3:
        raise InputError(f"{path}: has more than 8 bits per channel; save it as 8 bit, as every protocol compares it")
    return frame


def size_text(frame) -> str:
    """Width x height of a (3, H, W) frame."""
    return f"{frame.shape[-1]} x {frame.shape[-2]}"


def summarize(scores: Scores, metrics: tuple[str, ...]) -> dict:
    """Means over the frames, and the frames. Equal frames have no finite PSNR: they are counted, not averaged."""
    means: dict[str, float | None] = {}
    for name in metrics:
        finite = [frame[name] for frame in scores.values() if math.isfinite(frame[name])]
        means[name] = sum(finite) / len(finite) if finite else None
    return {
        "mean": means,
        "identical_frames": sum(math.isinf(frame.get("psnr", 0)) for frame in scores.values()),
        "frames": {
            stem: {name: value if math.isfinite(value) else None for name, value in frame.items()}
            for stem, frame in scores.items()
        },
    }


def describe_protocol(evaluation: Evaluation, keyframes: list[str], frames: int, sizes: list[str]) -> dict:
    """What a reader must know to repeat the numbers."""
    from opdm.metrics import IMAGE_METRICS

    return {
        "targets": str(evaluation.targets),
        "frames": frames,
        "sizes": sizes,
        "keyframes_left_out": keyframes,
        "comparison": "8-bit RGB at native size, matched by file stem, never resized; the mean over frames",
        "identical_frames": "have no finite PSNR: counted, and left out of its mean",
        "metrics": {name: (IMAGE_METRICS[name].__doc__ or "").splitlines()[0] for name in evaluation.metrics},
    }


def describe_environment() -> dict:
    """Versions and the machine's kind, beside every number."""
    packages: dict[str, str | None] = {}
    for package in RECORDED_PACKAGES:
        try:
            packages[package] = version(package)
        except PackageNotFoundError:
            packages[package] = None
    git = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    return {
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": git.stdout.strip() or None,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": packages,
    }


def format_report(report: dict, *, per_frame: bool) -> str:
    """A Markdown table: a row for each prediction, and one for each of its frames when asked; then the protocol."""
    metrics = list(report["protocol"]["metrics"])
    rows = [["predictions", "frames", *(COLUMNS[name][0] for name in metrics)]]
    notes = []
    for label, result in report["predictions"].items():
        identical = result["identical_frames"]
        rows.append([label, str(len(result["frames"])), *format_scores(result["mean"], metrics)])
        if per_frame:
            rows += [
                [f"{label}: {stem}", "", *format_scores(frame, metrics)] for stem, frame in result["frames"].items()
            ]
        if identical and "psnr" in metrics:
            notes.append(
                f"{label}: equal to the target and left out of the mean PSNR: {identical} of {len(result['frames'])}."
            )
    protocol = report["protocol"]
    notes.append(f"{protocol['frames']} frames of {', '.join(protocol['sizes'])}, 8-bit RGB, never resized.")
    if protocol["keyframes_left_out"]:
        notes.append(f"Keyframes left out: {', '.join(protocol['keyframes_left_out'])}.")
    return format_table(rows) + "\n\n" + " ".join(notes)


def format_scores(scores: dict[str, float | None], metrics: list[str]) -> list[str]:
    """Each score with its metric's decimals; ∞ where frames are equal."""
    values = ((scores[name], COLUMNS[name][1]) for name in metrics)
    return ["∞" if value is None else f"{value:.{decimals}f}" for value, decimals in values]


def format_table(rows: list[list[str]]) -> str:
    """Markdown whose columns line up in a terminal too: the first to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["| " + " | ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) + " |" for row in rows]
    rule = "|:" + "-" * (widths[0] + 1) + "|" + "".join("-" * (width + 1) + ":|" for width in widths[1:])
    return "\n".join([lines[0], rule, *lines[1:]])


if __name__ == "__main__":
    sys.exit(main())
