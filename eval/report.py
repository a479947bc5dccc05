"""What an evaluation found, as one dictionary: written as JSON, shown as Markdown here and as a page by report_page."""

import math
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from columns import COLUMNS
from intervals import Summary, summarize

if TYPE_CHECKING:
    from protocols import Task
    from scoring import ClipScores, Scores

RECORDED_PACKAGES = ("opdm", "torch", "torchvision", "diffusers", "numpy", "opencv-python-headless")
TRUE = "true frames"
COMPARISON = (
    "8-bit RGB; scores of frames: mean over all painted frames, the given ones left out; scores of clips: mean over "
    "clips; ±: half the 95 % interval over clips (Student), none for fewer than three"
)


def describe_environment() -> dict:
    """Versions and the machine's kind, beside every number."""
    packages: dict[str, str | None] = {}
    for package in RECORDED_PACKAGES:
        try:
            packages[package] = version(package)
        except PackageNotFoundError:
            packages[package] = None
    return {
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": find_commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": packages,
    }


def find_commit() -> str | None:
    """Of this checkout; None outside of one, or without git."""
    command = ["git", "rev-parse", "HEAD"]
    try:
        git = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return git.stdout.strip() or None


def build_report(
    protocol: Mapping[str, object],
    tasks: Sequence["Task"],
    scores: "Scores",
    distances: Mapping[str, Mapping[str, float]],
    wanted: Sequence[str],
    left_out: Mapping[str, str],
    methods: Mapping[str, Mapping],
) -> dict:
    """Everything that is written to the JSON file. `wanted`: the scores, in order; `distances`: FID by method."""
    shown = [
        name for name in wanted if any(measured(clip, name) for clips in scores.values() for clip in clips.values())
    ]
    shown += [name for name in wanted if name not in shown and any(name in values for values in distances.values())]
    return {
        "protocol": {**protocol, **describe_tasks(tasks), "comparison": COMPARISON},
        "environment": describe_environment(),
        "scores": {name: {"heading": COLUMNS[name].heading, "definition": COLUMNS[name].definition} for name in shown},
        "left_out": dict(left_out),
        "warp_error_flow": flows_of(scores),
        "methods": {
            label: {
                **methods[label],
                "mean": summaries(clips, shown) | of_distances(distances.get(label, {}), len(clips)),
                "groups": by_group(tasks, clips, shown),
                "lead_of_first": lead_of_first(scores, label, shown),
                "exact_frames": count_exact(clips),
                "clips": {
                    name: {"scores": clean(clip.clip), "frames": clean_all(clip.frames)} for name, clip in clips.items()
                },
            }
            for label, clips in scores.items()
        },
        TRUE: summaries(next(iter(scores.values())), [f"{name}_true" for name in shown]),
    }


def describe_tasks(tasks: Sequence["Task"]) -> dict:
    """What was painted from what."""
    from opdm.frames import frame_size

    sizes = {frame_size(task.clip.paths[0]) for task in tasks if task.clip.paths}
    return {
        "clips": len(tasks),
        "painted_frames": sum(len(task.targets) for task in tasks),
        "sizes": [f"{width} x {height}" for height, width in sorted(sizes)],
        "keyframes": {task.name: [task.clip.stems[i] for i in task.keyframes] for task in tasks},
    }


def measured(clip: "ClipScores", name: str) -> bool:
    """Whether a clip has the score."""
    values = [frame[name] for frame in clip.frames.values() if name in frame]
    values += [clip.clip[name]] if isinstance(clip.clip.get(name), float | int) else []
    return any(not math.isnan(value) for value in values)


def values_of(clip: "ClipScores", name: str) -> list[float]:
    """A score of the painted frames of a clip, or of the clip where frames have none."""
    values = [frame[name] for frame in clip.frames.values() if name in frame]
    of_clip = clip.clip.get(name)
    return values or ([of_clip] if isinstance(of_clip, float | int) else [])


def summaries(clips: Mapping[str, "ClipScores"], names: Iterable[str]) -> dict:
    """Mean and interval of each score; None where nothing finite was measured."""
    return {
        name: as_record(summarize([values_of(clip, name) for clip in clips.values()]))
        for name in names
        if any(values_of(clip, name) for clip in clips.values())
    }


def by_group(tasks: Sequence["Task"], clips: Mapping[str, "ClipScores"], names: Sequence[str]) -> dict:
    """The summaries of each group of tasks, where there are groups."""
    groups = dict.fromkeys(task.group for task in tasks if task.group)
    return {
        group: summaries({task.name: clips[task.name] for task in tasks if task.group == group}, names)
        for group in groups
    }


def count_exact(clips: "Mapping[str, ClipScores]") -> int:
    """Frames that have as good a PSNR as is counted."""
    from opdm.metrics import BEST_PSNR_DB

    return sum(frame.get("psnr", 0) >= BEST_PSNR_DB for clip in clips.values() for frame in clip.frames.values())


def lead_of_first(scores: "Scores", label: str, names: Sequence[str]) -> dict:
    """How far the first method's scores are above another's, frame by frame."""
    first = next(iter(scores.values()))
    if scores[label] is first:
        return {}
    pairs = [(first[name].frames, scores[label][name].frames) for name in first]
    leads = {
        name: summarize(
            [[mine[stem][name] - other[stem][name] for stem in mine if name in mine[stem]] for mine, other in pairs]
        )
        for name in names
    }
    return {name: as_record(lead) for name, lead in leads.items() if lead is not None}


def of_distances(distances: Mapping[str, float], clips: int) -> dict:
    """FID has no interval: it is one number of all frames."""
    return {name: as_record(Summary(value, None, clips)) for name, value in distances.items()}


def as_record(summary: Summary | None) -> dict | None:
    """JSON-able."""
    return summary and {"mean": summary.mean, "interval_95": summary.half_width, "clips": summary.clips}


def flows_of(scores: "Scores") -> str | None:
    """The flow that the warp error follows, as the metric names it."""
    clips = (clip for clips in scores.values() for clip in clips.values())
    names = dict.fromkeys(str(clip.clip["warp_error_flow"]) for clip in clips if "warp_error_flow" in clip.clip)
    return " and ".join(names) or None


def clean(scores: Mapping[str, float | str]) -> dict:
    """JSON has no NaN."""
    return {n: None if isinstance(v, float) and not math.isfinite(v) else v for n, v in scores.items()}


def clean_all(frames: Mapping[str, Mapping[str, float]]) -> dict:
    """The same of every frame."""
    return {stem: clean(scores) for stem, scores in frames.items()}


def heading_of(report: Mapping, name: str) -> str:
    """Of a column; the warp error's names its flow."""
    heading, flow = COLUMNS[name].heading, report["warp_error_flow"]
    return heading.replace("WE", f"WE ({flow})") if name == "warp_error" and flow else heading


def show(name: str, summary: Mapping | None) -> str:
    """A mean with its interval."""
    if summary is None:
        return "–"
    column = COLUMNS[name.removesuffix("_true")]
    interval = summary["interval_95"]
    return column.show(summary["mean"]) + (f" ± {column.show(interval)}" if interval is not None else "")


def table_rows(report: Mapping) -> list[list[str]]:
    """A row for each method, and one for the true frames where clips have scores of their own."""
    names = list(report["scores"])
    rows = [["method", *(heading_of(report, name) for name in names)]]
    for label, method in report["methods"].items():
        rows.append([label, *(show(name, method["mean"].get(name)) for name in names)])
    if report[TRUE]:
        truth = ((name, report[TRUE].get(f"{name}_true")) for name in names)
        rows.append([TRUE, *(show(name, summary) if summary else "" for name, summary in truth)])
    return rows


def group_rows(report: Mapping, name: str) -> list[list[str]]:
    """One score: a row for each method, a column for each group."""
    groups = list(dict.fromkeys(group for method in report["methods"].values() for group in method["groups"]))
    rows = [[heading_of(report, name), *groups]]
    for label, method in report["methods"].items():
        rows.append([label, *(show(name, method["groups"][group].get(name)) for group in groups)])
    return rows if groups else []


def notes(report: Mapping) -> list[str]:
    """What must stand beneath the table."""
    protocol = report["protocol"]
    sizes = ", ".join(protocol["sizes"][:4]) + (" and others" * (len(protocol["sizes"]) > 4))
    amounts = f"{count(protocol['painted_frames'], 'painted frame')} of {count(protocol['clips'], 'clip')}"
    lines = [f"{amounts}, {sizes}. {COMPARISON}."]
    for label, method in report["methods"].items():
        if method["exact_frames"] and "psnr" in report["scores"]:
            exact = count(method["exact_frames"], "frame")
            lines.append(f"{label}: {exact} equal to the true one, or as good as equal.")
    if any(COLUMNS[name].better == "true" for name in report["scores"]):
        lines.append("≈ is best where it comes near the value of the true frames.")
    lines += [f"Left out: {name}: {reason}." for name, reason in report["left_out"].items()]
    return lines


def count(number: int, noun: str) -> str:
    """`1 clip`, `2 clips`."""
    return f"{number} {noun}{'s' * (number != 1)}"


def format_markdown(report: Mapping) -> str:
    """The page as text: tables, what they are of, definitions, protocol and environment."""
    protocol = report["protocol"]
    tables = [table_rows(report), *(group_rows(report, name) for name in report["scores"])]
    facts = {**{k: v for k, v in protocol.items() if k != "keyframes"}, **report["environment"]}
    parts = [
        f"# {protocol['name']}",
        str(protocol["description"]),
        *(format_table(rows) for rows in tables if rows),
        "\n".join(f"- {note}" for note in notes(report)),
        "\n".join(f"- **{heading_of(report, n)}**: {s['definition']}" for n, s in report["scores"].items()),
        "\n".join(f"- {label}: {method['about']}" for label, method in report["methods"].items()),
        "\n".join(f"- {name}: {value}" for name, value in facts.items()),
    ]
    return "\n\n".join(parts) + "\n"


def format_table(rows: Sequence[Sequence[str]]) -> str:
    """Markdown whose columns line up in a terminal too: the first to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["| " + " | ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) + " |" for row in rows]
    rule = "|:" + "-" * (widths[0] + 1) + "|" + "".join("-" * (width + 1) + ":|" for width in widths[1:])
    return "\n".join([lines[0], rule, *lines[1:]])
