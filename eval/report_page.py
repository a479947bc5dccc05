"""The report as one HTML file that opens offline: table, slider, clips in motion, plots, and the worst frames first."""

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from columns import COLUMNS
from protocols import Task
from report import TRUE, group_rows, heading_of, notes, show
from report_curves import plot_section
from report_html import dot, section
from report_images import make_strips
from report_strips import film_section, find_worst, strip_section, viewer_section

PAGE = Path(__file__).parent / "page"


def make_page(report: Mapping, tasks: Sequence[Task], folders: Mapping[str, Path]) -> str:
    """The whole page."""
    protocol = report["protocol"]
    strips = make_strips(find_worst(report, tasks), folders)
    sections = [
        table_section(report),
        viewer_section(strips),
        film_section(strips, folders),
        plot_section(report, tasks),
        strip_section(report, strips),
        detail_section(report),
    ]
    parts = {
        "title": escape(str(protocol["name"])),
        "description": escape(str(protocol["description"])),
        "facts": "".join(f"<li><b>{value}</b> <span>{name}</span></li>" for name, value in key_facts(report)),
        "sections": "\n".join(filter(None, sections)),
        "footer": f"opdm {escape(str(report['environment']['packages']['opdm']))}, {report['environment']['time']}",
        "style": (PAGE / "page.css").read_text(encoding="utf-8"),
        "script": (PAGE / "page.js").read_text(encoding="utf-8"),
    }
    page = (PAGE / "page.html").read_text(encoding="utf-8")
    # In one pass: a part that has such braces itself, as the name of a clip may, stays as it is.
    return re.sub(r"{{(\w+)}}", lambda match: parts[match[1]], page)


def key_facts(report: Mapping) -> Iterator[tuple[str, object]]:
    """What stands at the head of the page."""
    protocol = report["protocol"]
    amounts = {
        "clip": protocol["clips"],
        "painted frame": protocol["painted_frames"],
        "method": len(report["methods"]),
    }
    for noun, number in amounts.items():
        yield noun + "s" * (number != 1), number
    sizes = protocol["sizes"]
    yield "pixels", sizes[0] if len(sizes) == 1 else f"{len(sizes)} sizes"


def table_section(report: Mapping) -> str:
    """Means with their intervals; the best of each column stands out."""
    names = list(report["scores"])
    best = {name: best_of(report, name) for name in names}
    head = "".join(f"<th>{escape(heading_of(report, name))}</th>" for name in names)
    rows = []
    for number, (label, method) in enumerate(report["methods"].items()):
        cells = "".join(cell(name, method["mean"].get(name), label in best[name]) for name in names)
        rows.append(
            f'<tr{" class=first" * (number == 0)}><th scope="row">{dot(number)}{escape(label)}</th>{cells}</tr>'
        )
    if report[TRUE]:
        cells = "".join(
            cell(name, report[TRUE][of]) if (of := f"{name}_true") in report[TRUE] else "<td></td>" for name in names
        )
        rows.append(f'<tr class="truth"><th scope="row">{TRUE}</th>{cells}</tr>')
    table = scrolling_table(f"<th>method</th>{head}", "".join(rows))
    beneath = "".join(f'<p class="hint">{escape(note)}</p>' for note in notes(report))
    hint = "The best of each column stands out; definitions are at the end of the page."
    return section("Scores", hint, table + beneath + group_tables(report) + lead_table(report))


def scrolling_table(head: str, body: str) -> str:
    """A table that scrolls on its own."""
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def cell(name: str, summary: Mapping | None, is_best: bool = False) -> str:
    """A mean, and its interval smaller."""
    value, _, interval = show(name, summary).partition(" ± ")
    small = f"<small>± {interval}</small>" if interval else ""
    return f"<td{' class=best' * is_best}>{value}{small}</td>"


def best_of(report: Mapping, name: str) -> set[str]:
    """The methods that show the best value of a column."""
    means = {
        label: method["mean"][name]["mean"] for label, method in report["methods"].items() if method["mean"].get(name)
    }
    column, true = COLUMNS[name], report[TRUE].get(f"{name}_true")
    if len(means) < 2:
        return set()
    if column.better == "true":
        best = min(means.values(), key=lambda value: abs(value - true["mean"])) if true else None
    else:
        best = max(means.values()) if column.better == "higher" else min(means.values())
    return {label for label, value in means.items() if best is not None and column.show(value) == column.show(best)}


def group_tables(report: Mapping) -> str:
    """Each score by group, where there are groups."""
    tables = []
    for name in report["scores"]:
        if rows := group_rows(report, name):
            summary = f"<summary>{escape(rows[0][0])} by line art</summary>"
            tables.append(f"<details{' open' * (not tables)}>{summary}{plain_table(rows)}</details>")
    return "".join(tables)


def lead_table(report: Mapping) -> str:
    """How far the first method is ahead, frame by frame."""
    first, *others = report["methods"]
    names = [
        name for name in report["scores"] if any(name in report["methods"][label]["lead_of_first"] for label in others)
    ]
    if not names:
        return ""
    rows = [[f"{first} minus", *(COLUMNS[name].title for name in names)]]
    for label in others:
        leads = report["methods"][label]["lead_of_first"]
        rows.append([label, *(show(name, leads[name]) if name in leads else "" for name in names)])
    summary = f"{escape(first)} against each other method, frame by frame"
    return f"<details><summary>{summary}</summary>{plain_table(rows)}</details>"


def plain_table(rows: Sequence[Sequence[str]]) -> str:
    """Text as a table."""
    head = "".join(f"<th>{escape(text)}</th>" for text in rows[0])
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>{"".join(f"<td>{escape(text)}</td>" for text in row[1:])}</tr>'
        for row in rows[1:]
    )
    return scrolling_table(head, body)


def detail_section(report: Mapping) -> str:
    """Everything that is needed to repeat the numbers."""
    protocol = {name: value for name, value in report["protocol"].items() if name != "keyframes"}
    parts = {
        "Definitions of the scores": {heading_of(report, n): s["definition"] for n, s in report["scores"].items()},
        "Protocol": protocol,
        "Methods": {
            label: f"{method['about']} {describe_settings(method['settings'])}"
            for label, method in report["methods"].items()
        },
        "Environment": report["environment"],
    }
    body = "".join(
        f"<details><summary>{title}</summary>{definition_list(facts)}</details>" for title, facts in parts.items()
    )
    return section("How it was measured", "The same, and every score of every frame, is in report.json.", body)


def describe_settings(settings: Mapping) -> str:
    """On one line."""
    return ", ".join(f"{name} {value}" for name, value in settings.items() if value is not None)


def definition_list(facts: Mapping) -> str:
    """Names and values."""
    return (
        "<dl>" + "".join(f"<dt>{escape(str(n))}</dt><dd>{escape(as_text(v))}</dd>" for n, v in facts.items()) + "</dl>"
    )


def as_text(value: object) -> str:
    """For people."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {part}" for name, part in value.items()) or "nothing"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
