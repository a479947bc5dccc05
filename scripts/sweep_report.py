"""What a sweep found: one table as Markdown and CSV, and a page with curves and samples."""

import base64
import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from statistics import fmean, stdev

from configs.ablations import Ablation
from opdm.frames import write_text

CURVE = "validation_psnr_db"
COLORS = ("#d1495b", "#2a6f97", "#66a182", "#edae49", "#7d5ba6", "#8d5524", "#00798c", "#444444")


@dataclass(frozen=True)
class Result:
    """One row trained with one seed."""

    name: str
    seed: int
    folder: Path
    failure: str | None
    """Why there are no scores."""

    def scores(self) -> dict[str, float]:
        """Means over frames, by name; where the denoising steps were asked for, by NAME@STEPS."""
        report = json.loads((self.folder / "eval" / "report.json").read_text(encoding="utf-8"))
        return {
            name + label.removeprefix(self.name): summary["mean"]
            for label, method in report["methods"].items()
            for name, summary in method["mean"].items()
            if summary
        }

    def records(self) -> list[dict[str, float]]:
        """The lines of metrics.jsonl; none before the first step."""
        file = self.folder / "run" / "metrics.jsonl"
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []

    def costs(self) -> dict[str, float]:
        """Steps, seconds per step (the median of what was recorded) and peak memory in MiB."""
        records = self.records()
        seconds = sorted(record["seconds_per_step"] for record in records if "seconds_per_step" in record)
        memory = [record["peak_memory_mib"] for record in records if "peak_memory_mib" in record]
        found = {"steps": max(record["step"] for record in records)}
        found |= {"seconds_per_step": seconds[len(seconds) // 2]} if seconds else {}
        return found | ({"peak_memory_mib": max(memory)} if memory else {})

    def sample(self) -> Path | None:
        """The last grid of validation samples."""
        return max((self.folder / "run" / "samples").glob("*.png"), default=None)


def write_reports(
    rows: Sequence[Ablation], results: Sequence[Result], facts: Mapping[str, str | None], folder: Path
) -> None:
    """table.md, table.csv and sweep.html."""
    table = make_table(rows, results)
    described = ", ".join(f"{name} {value}" for name, value in facts.items() if value)
    write_text(folder / "table.md", f"{as_markdown(table)}\n\n{described}. ±: standard deviation over seeds.\n")
    sheet = io.StringIO()
    csv.writer(sheet, lineterminator="\n").writerows(table)
    write_text(folder / "table.csv", sheet.getvalue())
    write_text(folder / "sweep.html", make_page(table, rows, results, described))


def make_table(rows: Sequence[Ablation], results: Sequence[Result]) -> list[list[str]]:
    """A heading, and a line for each row: the paper's PSNR, ours, the other scores, what a step costs, and failures."""
    done = {row.name: [r for r in results if r.name == row.name and r.failure is None] for row in rows}
    scores = {name: [result.scores() | result.costs() for result in found] for name, found in done.items()}
    names = list(dict.fromkeys(name for found in scores.values() for values in found for name in values))
    table = [["group", "run", "what it is", "paper, PSNR", *names, "seeds", "failed"]]
    for row in rows:
        failures = [f"seed {r.seed}: {r.failure}" for r in results if r.name == row.name and r.failure]
        cells = [summarize([values[name] for values in scores[row.name] if name in values]) for name in names]
        published = "" if row.published_psnr is None else f"{row.published_psnr:.2f}"
        known = [row.group, row.name, row.run.description, published]
        table.append([*known, *cells, str(len(scores[row.name])), "; ".join(failures)])
    return table


def summarize(values: Sequence[float]) -> str:
    """Mean, and the standard deviation where there are several."""
    if not values:
        return ""
    text = f"{fmean(values):.4g}"
    return f"{text} ± {stdev(values):.2g}" if len(values) > 1 else text


def as_markdown(table: Sequence[Sequence[str]]) -> str:
    """The table in Markdown."""
    head, *body = table
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines)


def make_page(
    table: Sequence[Sequence[str]], rows: Sequence[Ablation], results: Sequence[Result], described: str
) -> str:
    """One file that opens offline."""
    head, *body = table
    heading = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>" for line in body)
    groups = dict.fromkeys(row.group for row in rows)
    done = [result for result in results if result.failure is None]
    sections = "".join(group_section(group, [r.name for r in rows if r.group == group], done) for group in groups)
    return f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>Ablations</title><style>{STYLE}</style>
<h1>Ablations</h1><p>{escape(described)}. ±: standard deviation over seeds.</p>
<div class="scroll"><table><tr>{heading}</tr>{lines}</table></div>{sections}</html>
"""


STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2rem auto;padding:0 1rem;color:#222}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:13px}td,th{padding:.3rem .6rem;text-align:right;
border-bottom:1px solid #ddd;white-space:nowrap}td:nth-child(-n+3),th:nth-child(-n+3){text-align:left}
img{width:100%;max-height:420px;object-fit:contain;object-position:left top}svg{width:100%;max-width:720px}
figure{margin:1rem 0}figcaption{color:#555}text{font:11px system-ui,sans-serif;fill:#555}"""


def group_section(group: str, names: Sequence[str], results: Sequence[Result]) -> str:
    """Validation curves of a group, then the samples of each of its rows."""
    shown = [result for result in results if result.name in names]
    figures = "".join(sample_figure(result) for result in shown if result.seed == 0)
    return f"<h2>{escape(group)}</h2>{draw_curves(names, shown)}{figures}" if shown else ""


def sample_figure(result: Result) -> str:
    """Earlier keyframe, drawings, painted, true, later keyframe, one below the other."""
    if (path := result.sample()) is None:
        return ""
    data = base64.b64encode(path.read_bytes()).decode()
    caption = "earlier keyframe, drawing, painted, true frame, later keyframe, from top to bottom"
    image = f'<img alt="{escape(result.name)}" src="data:image/png;base64,{data}">'
    return f"<figure><figcaption><b>{escape(result.name)}</b>: {caption}</figcaption>{image}</figure>"


def draw_curves(names: Sequence[str], results: Sequence[Result]) -> str:
    """Validation PSNR by step, a line for each seed in the color of its row."""
    lines = [(result.name, list(points(result))) for result in results]
    xs = [x for _, line in lines for x, _ in line]
    ys = [y for _, line in lines for _, y in line]
    if not xs:
        return ""
    low, high, last = min(ys) - 0.5, max(ys) + 0.5, max(xs)

    def curve(name: str, line: Sequence[tuple[float, float]]) -> str:
        """A line with its points: of a single one nothing else is to be seen."""
        places = [(40 + 660 * x / last, 270 - 250 * (y - low) / (high - low)) for x, y in line]
        color, path = COLORS[names.index(name) % len(COLORS)], " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>' for x, y in places)
        return f'<polyline fill="none" stroke-width="2" stroke="{color}" points="{path}"/>{dots}'

    drawn = "".join(curve(name, line) for name, line in lines)
    legend = "".join(
        f'<text x="{50 + 110 * (i % 6)}" y="{310 + 16 * (i // 6)}" style="fill:{COLORS[i % len(COLORS)]}">'
        f"{escape(name)}</text>"
        for i, name in enumerate(names)
    )
    axes = "".join(
        f'<text x="2" y="{270 - 250 * share:.0f}">{low + share * (high - low):.1f}</text>' for share in (0, 0.5, 1)
    )
    axes += f'<text x="40" y="288">0</text><text x="640" y="288">{last:g} steps</text><text x="2" y="10">dB</text>'
    return f'<svg viewBox="0 0 720 {330 + 16 * (len(names) // 6)}">{axes}{drawn}{legend}</svg>'


def points(result: Result) -> Iterator[tuple[float, float]]:
    """(step, validation PSNR)."""
    for record in result.records():
        if CURVE in record:
            yield record["step"], record[CURVE]
