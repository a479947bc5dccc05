"""Score painted frames against the true ones, or models and baselines on a data set under a named protocol.

    python eval/evaluate.py --predictions opdm=out/ nearest=near/ --targets truth/ --lines drawings/ --json scores.json
    python eval/evaluate.py --protocol generated-8 --methods opdm-small nearest flow --output out/generated-8
    python eval/evaluate.py --protocol atd12k-224 --data ATD-12K --methods ours=runs/opdm/pipeline --output out/atd12k

Frames are matched by file stem and compared as 8-bit RGB; nothing is resized or left out unless the protocol says so.
OUTPUT gets report.json, report.md and report.html, one page that opens offline; of a protocol also the shots, the
painted frames and their scores, with which the same command continues a run that stopped. docs/evaluation.md has the
protocols.
"""

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from baselines import ALL
from columns import NO_WEIGHTS_NEEDED
from opdm.errors import InputError
from protocols import PROTOCOLS, Lines, Protocol
from report import build_report, describe_environment, format_markdown, format_table, notes, table_rows

if TYPE_CHECKING:
    from protocols import Task

__all__ = ["describe_environment", "format_table"]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Score painted frames, or methods under a protocol."""

    predictions: tuple[str, ...] = ()
    """Folders of painted frames, each FOLDER or LABEL=FOLDER; it has the frames, or a folder of them for each clip."""
    targets: Path | None = None
    """Folder of the true frames, laid out in the same way."""
    keyframes: tuple[str, ...] = ()
    """Given keyframes, as stems or files: left out of the scores of frames, for they were not painted."""
    lines: Path | None = None
    """Folder of the drawings, laid out in the same way: their regions are what region_color looks at."""
    protocol: str | None = None
    """Score methods under this protocol; docs/evaluation.md and any wrong name list them."""
    data: Path | None = None
    """Root folder of the protocol's data set; generated shots need none."""
    kind: str | None = None
    """Another layout of the data than the protocol's own, such as video."""
    methods: tuple[str, ...] = ("opdm-small", *ALL)
    """Baselines and models, each [LABEL=]NAME[@STEPS]; a model is a name, a folder that training wrote or a hub id."""
    extractor: str | None = None
    """Line art by this extractor, whatever the protocol says."""
    clips: int | None = None
    """Only the first clips, so many."""
    metrics: tuple[str, ...] = ()
    """Which scores, rather than those of the protocol: psnr, ssim, ms_ssim (frames over 160 px), qssim, lpips,
    region_color, cdc, warp_error, region_flicker, fid. One that is asked for by name must be measurable."""
    flow: Literal["dis", "raft"] = "dis"
    """Which flow the warp error follows where the data set has no true one."""
    output: Path | None = None
    """Folder of the results; a protocol needs it."""
    json: Path | None = None
    """Write the JSON report here as well."""
    device: str = "auto"
    """Where models run: auto, cpu, cuda, cuda:N or mps."""
    batch_size: int = 1
    """Drawings painted at once."""


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 when everything was scored, 2 for a bad request, told in one line, 130 when interrupted."""
    evaluation = tyro.cli(Evaluation, args=arguments, description=__doc__)
    try:
        report = evaluate(evaluation)
        print(format_table(table_rows(report)), *notes(report), sep="\n")
    except (InputError, OSError) as error:
        print(f"evaluate.py: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("evaluate.py: interrupted; what is done stays, and the same command continues", file=sys.stderr)
        return 130
    return 0


def evaluate(evaluation: Evaluation) -> dict:
    """Run everything and write the reports; returns what is written to the JSON file. Raises InputError."""
    if (evaluation.protocol is None) == (not evaluation.predictions):
        raise InputError("give either --predictions and --targets, or --protocol")
    from opdm.frames import write_text

    report, tasks, folders = run_protocol(evaluation) if evaluation.protocol else score_predictions(evaluation)
    text = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
    if evaluation.json is not None:
        write_text(evaluation.json, text)
    if evaluation.output is not None:
        from report_page import make_page

        write_text(evaluation.output / "report.json", text)
        write_text(evaluation.output / "report.md", format_markdown(report))
        write_text(evaluation.output / "report.html", make_page(report, tasks, folders))
        print(f"written: {evaluation.output / 'report.html'}", file=sys.stderr)
    return report


def run_protocol(evaluation: Evaluation) -> tuple[dict, "list[Task]", dict[str, Path]]:
    """Protocol -> shots on disk -> painted folders -> scores."""
    from methods import Computing, paint_all, parse_methods
    from scoring import choose_metrics
    from shots import keep_record, make_tasks, write_shots

    protocol, output = find_protocol(evaluation), evaluation.output
    if output is None:
        raise InputError("a protocol needs a folder for its shots and results; give --output")
    methods = parse_methods(evaluation.methods)
    tasks, left_out = make_tasks(protocol, evaluation.data, evaluation.clips)
    facts = describe_protocol(protocol, evaluation)
    # How many clips may change: further ones join those that are there.
    keep_record(output / "shots" / "protocol.json", {k: v for k, v in facts.items() if k != "changed"})
    tasks = write_shots(tasks, output / "shots")
    metrics, unmeasured = choose_metrics(evaluation.metrics, protocol.metrics, tasks)
    computing = Computing(device=evaluation.device, batch_size=evaluation.batch_size)
    settings = paint_all(methods, tasks, output, computing)
    folders = {method.label: output / method.label for method in methods}
    about = {method.label: {"about": method.about, "settings": settings[method.label]} for method in methods}
    left_out |= unmeasured
    report = score(evaluation, metrics, facts, tasks, folders, about, left_out, cache=output / "scores")
    return report, tasks, folders


def find_protocol(evaluation: Evaluation) -> Protocol:
    """The protocol with what was asked otherwise. Raises InputError."""
    if evaluation.protocol not in PROTOCOLS:
        listed = "\n".join(f"  {protocol.name:18} {protocol.description}" for protocol in PROTOCOLS.values())
        raise InputError(f"no protocol is called {evaluation.protocol!r}; there are\n{listed}")
    protocol = PROTOCOLS[evaluation.protocol]
    if evaluation.kind is not None:
        protocol = replace(protocol, kind=evaluation.kind, begin_with="")
    if evaluation.extractor is not None:
        protocol = replace(protocol, lines=(Lines(evaluation.extractor),))
    return protocol


def describe_protocol(protocol: Protocol, evaluation: Evaluation) -> dict:
    """What was asked of whom, apart from the methods."""
    asked = {"kind": evaluation.kind, "extractor": evaluation.extractor, "clips": evaluation.clips}
    return {
        "name": protocol.name,
        "description": protocol.description,
        "changed": {name: value for name, value in asked.items() if value is not None},
        "data": f"{protocol.kind} in {evaluation.data}" if evaluation.data else protocol.kind,
        "size": f"{protocol.size[1]} x {protocol.size[0]}, means over areas to shrink, bicubic to enlarge, truth and "
        "drawings alike, before anything is painted" if protocol.size else "each clip's own",
        "lines": [lines.name for lines in protocol.lines],
        "lines_made": "from frames at their own size, then brought to size as they are",
    }  # fmt: skip


def score_predictions(evaluation: Evaluation) -> tuple[dict, "list[Task]", dict[str, Path]]:
    """Painted folders -> scores."""
    from folders import read_tasks, split_label
    from scoring import choose_metrics

    if evaluation.targets is None:
        raise InputError("predictions are compared with the true frames; give --targets")
    folders = dict(split_label(text) for text in evaluation.predictions)
    if len(folders) < len(evaluation.predictions):
        raise InputError("two predictions have one label; name them: --predictions LABEL=FOLDER ...")
    tasks = read_tasks(evaluation.targets, evaluation.lines, evaluation.keyframes)
    facts = {
        "name": evaluation.targets.resolve().name,
        "description": f"Painted frames against those in {evaluation.targets}, matched by file stem.",
        "size": "each frame's own, never resized",
    }
    about = {label: {"about": f"Frames in {folder}.", "settings": {}} for label, folder in folders.items()}
    metrics, left_out = choose_metrics(evaluation.metrics, NO_WEIGHTS_NEEDED, tasks)
    return score(evaluation, metrics, facts, tasks, folders, about, left_out, cache=None), tasks, folders


def score(
    evaluation: Evaluation,
    metrics: list[str],
    facts: dict,
    tasks: "list[Task]",
    folders: dict[str, Path],
    about: dict[str, dict],
    left_out: dict[str, str],
    cache: Path | None,
) -> dict:
    """The report."""
    from opdm.metrics.motion import FLOW_ESTIMATORS
    from scoring import score_all, score_distributions, score_names

    scores = score_all(tasks, folders, metrics, FLOW_ESTIMATORS[evaluation.flow](), cache)
    distances = score_distributions(tasks, folders) if "fid" in metrics else {}
    names = score_names(metrics)
    return build_report(facts, tasks, scores, distances, names, left_out, about)


if __name__ == "__main__":
    sys.exit(main())
