"""The page's plots: scores per clip, by distance to the keyframes, and per frame."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from columns import COLUMNS
from protocols import Task
from report_html import PLOTTED, dot, section
from report_plots import draw_plot

CLIPS_OVER_TIME = 9
"""Clips that are plotted frame by frame."""


def plot_section(report: Mapping, tasks: Sequence[Task]) -> str:
    """Scores per clip, by distance to the keyframes, and per frame."""
    scores = [name for name in PLOTTED if name in report["scores"]]
    if not scores:
        return ""
    legend = "".join(
        f'<button type="button" aria-pressed="true" data-method="{n}">{dot(n)}{escape(label)}</button>'
        for n, label in enumerate(report["methods"])
    )
    choices = "".join(
        f'<button type="button" data-choose="{name}">{escape(COLUMNS[name].heading)}</button>' for name in scores
    )
    plots = "".join(f'<div data-score="{name}">{plots_of(report, tasks, name)}</div>' for name in scores)
    if "<svg" not in plots:
        return ""
    body = f'<div class="controls">{choices}</div><div class="legend">{legend}</div>{plots}'
    return section(
        "Where it holds and where it breaks", "Press a method to hide it; a point tells its frame or clip.", body
    )


def plots_of(report: Mapping, tasks: Sequence[Task], score: str) -> str:
    """All plots of one score."""
    figures = [
        figure(by_clip(report, score), "clips, the worst of the first method on the left", score, has_numbers=False),
        figure(by_distance(report, tasks, score), "frames to the nearest keyframe", score),
    ]
    first = next(iter(report["methods"].values()))["clips"]
    long = [task for task in tasks if len(task.targets) > 1]
    ranked = sorted(long, key=lambda task: mean_of(first[task.name]["frames"].values(), score) or 0)
    if COLUMNS[score].better == "lower":
        ranked.reverse()
    small = [
        figure(over_time(report, task, score), f"{task.name or 'frames'}: frame", score, marks=task.keyframes)
        for task in ranked[:CLIPS_OVER_TIME]
    ]
    head = f"<h3>Frame by frame{': the worst clips first' * (len(ranked) > 1)}</h3>"
    return f'<div class="plots">{"".join(figures)}</div>' + (
        f'<br>{head}<br><div class="plots small">{"".join(small)}</div>' if any(small) else ""
    )


def figure(series: Mapping, title: str, score: str, *, has_numbers: bool = True, marks: Sequence[float] = ()) -> str:
    """A plot in its frame, nothing where there is nothing to compare."""
    if max((len(points) for points in series.values()), default=0) < 2:
        return ""
    labels = None if has_numbers else {0.0: ""}
    return f"<figure>{draw_plot(series, score=score, x_title=title, x_labels=labels, marks=marks)}</figure>"


def by_clip(report: Mapping, score: str) -> dict[int, list]:
    """Mean of each clip, in the order of the first method's."""
    methods = [method["clips"] for method in report["methods"].values()]
    means = [{name: mean_of(clip["frames"].values(), score) for name, clip in clips.items()} for clips in methods]
    known = [name for name in means[0] if means[0][name] is not None]
    order = sorted(known, key=lambda name: means[0][name], reverse=COLUMNS[score].better == "lower")
    return {
        number: [
            (x, mean[name], f"{label}, {name}: {COLUMNS[score].show(mean[name])}")
            for x, name in enumerate(order)
            if mean[name] is not None
        ]
        for number, (label, mean) in enumerate(zip(report["methods"], means, strict=True))
    }


def by_distance(report: Mapping, tasks: Sequence[Task], score: str) -> dict[int, list]:
    """Mean of all frames that are equally far from the nearest keyframe."""
    series = {}
    for number, (label, method) in enumerate(report["methods"].items()):
        values: dict[int, list] = {}
        for task in tasks:
            for i in task.targets:
                frame = method["clips"][task.name]["frames"].get(task.clip.stems[i], {})
                values.setdefault(min((abs(i - k) for k in task.keyframes), default=0), []).append(frame)
        means = {distance: mean_of(frames, score) for distance, frames in values.items()}
        series[number] = [
            (x, y, f"{label}, {x} frames away: {COLUMNS[score].show(y)} ({len(values[x])} frames)")
            for x, y in sorted(means.items())
            if y is not None
        ]
    return series


def over_time(report: Mapping, task: Task, score: str) -> dict[int, list]:
    """Every frame of a clip."""
    series = {}
    for number, (label, method) in enumerate(report["methods"].items()):
        frames = method["clips"][task.name]["frames"]
        known = [(i, frames.get(task.clip.stems[i], {}).get(score)) for i in task.targets]
        series[number] = [
            (i, y, f"{label}, {task.clip.stems[i]}: {COLUMNS[score].show(y)}") for i, y in known if y is not None
        ]
    return series


def mean_of(frames: Iterable[Mapping], score: str) -> float | None:
    """Of what is known."""
    known = [frame[score] for frame in frames if frame.get(score) is not None]
    return sum(known) / len(known) if known else None
