"""Score correspondence: optical flow and segment matching, with the columns of the papers whose data it is.

    python eval/correspondence.py flow --models zero dis dis-distance raft-large --output out/shots
    python eval/correspondence.py segments --kind animerun --data AnimeRun/test --methods overlap dis --output out/test
    python eval/correspondence.py show --gap 4 --models dis offsets=runs/offset-pretraining/pipeline --output out/shots

`eval/flow_models.py` lists the models and `eval/segment_matching.py` the methods; docs/correspondence.md has the
protocols and results. OUTPUT gets flow.json or segments.json, with protocol and environment, and the same as Markdown;
`show` draws a picture of each clip.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from evaluate import describe_environment, format_table
from opdm.errors import InputError
from protocols import FIRST_SEED

if TYPE_CHECKING:
    from opdm.data.clips import Clip

GENERATED = "generated"
PAIRS_PER_SHOT = 10
"""Of generated shots: as long as the sequences of the Animation Transformer's evaluation."""


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """What both benchmarks ask for."""

    output: Path
    """Folder that gets the scores, as JSON and Markdown."""
    kind: str = GENERATED
    """Layout of the data: generated, animerun, linkto-anime or another that `opdm.data.clips` reads."""
    data: Path | None = None
    """Root folder of the data; generated shots need none."""
    gap: int = 1
    """Frames from one frame of a pair to the other; in between they are left out. The papers have 1."""
    shots: int = 30
    """How many shots to generate."""
    size: int = 256
    """Height and width of generated shots, in pixels."""
    device: str = "auto"
    """Where networks run: auto, cpu, cuda, cuda:N or mps."""


@dataclass(frozen=True, kw_only=True)
class FlowBenchmark(Benchmark):
    """End-point error of optical flow, pooled over all pixels of all pairs."""

    models: tuple[str, ...] = ("zero", "dis", "dis-ink", "dis-distance", "farneback")
    """Names as in eval/flow_models.py: NAME[@lines][=WEIGHTS]."""


@dataclass(frozen=True, kw_only=True)
class SegmentBenchmark(Benchmark):
    """Accuracy of segment matching between neighbors, and of labels handed on over ten frames."""

    methods: tuple[str, ...] = ("overlap", "centroid", "dis", "dis-ink", "dis-distance", "farneback")
    """Names as in eval/segment_matching.py: overlap, centroid, ant=FOLDER, or any flow model, whose pixels vote."""


@dataclass(frozen=True, kw_only=True)
class Pictures(Benchmark):
    """Where in the keyframes before and after it a drawing finds its colors: a picture of the middle of each clip."""

    models: tuple[str, ...] = ("dis", "dis-ink", "dis-distance")
    """Names as in eval/flow_models.py: NAME[@lines][=WEIGHTS]."""
    shots: int = 4
    """How many shots to generate."""


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 when everything was scored, 2 for a bad request, told in one line."""
    choices = {"flow": FlowBenchmark, "segments": SegmentBenchmark, "show": Pictures}
    benchmark = tyro.extras.subcommand_cli_from_dict(choices, args=arguments, description=__doc__)
    try:
        if isinstance(benchmark, Pictures):
            draw_pictures(benchmark)
            return 0
        report = run(benchmark)
        write_report(benchmark.output / report["benchmark"], report)
        print(format_report(report), end="")
    except (InputError, OSError) as error:
        print(f"correspondence.py: error: {error}", file=sys.stderr)
        return 2
    return 0


def run(benchmark: FlowBenchmark | SegmentBenchmark) -> dict:
    """Everything that is written to the JSON file."""
    from opdm.runtime import choose_device

    check(benchmark)
    device = choose_device(benchmark.device)
    sequences = read_sequences(benchmark)
    if isinstance(benchmark, FlowBenchmark):
        from flow_benchmark import COLUMNS, PROTOCOL, score_flow
        from flow_models import load_flow_model

        name, contestants = "flow", {label: load_flow_model(label, device) for label in benchmark.models}
        rows, facts = score_flow(contestants, sequences)
    else:
        from segment_benchmark import COLUMNS, PROTOCOL, score_segments
        from segment_matching import load_segment_method

        name, contestants = "segments", {label: load_segment_method(label, device) for label in benchmark.methods}
        rows, facts = score_segments(contestants, sequences)
    return {
        "benchmark": name,
        "protocol": {"data": describe_data(benchmark), **facts, **PROTOCOL},
        "columns": COLUMNS,
        "environment": describe_environment(),
        "rows": {
            label: {"sees": contestant.sees, "settings": contestant.settings, **rows[label]}
            for label, contestant in contestants.items()
        },
    }


def draw_pictures(benchmark: Pictures) -> None:
    """OUTPUT/CLIP.png for every clip that has a frame with two others `gap` away."""
    from flow_models import load_flow_model
    from flow_pictures import draw_sources
    from opdm.frames import write_frame
    from opdm.runtime import choose_device

    check(benchmark)
    device = choose_device(benchmark.device)
    sequences = [(clip, frames) for clip, frames in read_sequences(benchmark) if len(frames) > 2]
    if not sequences:
        raise InputError(f"{benchmark.data}: no clip has three frames {benchmark.gap} apart; take a smaller --gap")
    models = {label: load_flow_model(label, device) for label in benchmark.models}
    for clip, frames in sequences:
        middle = len(frames) // 2
        picture = draw_sources(models, clip, frames[middle], (frames[middle - 1], frames[middle + 1]))
        path = benchmark.output / f"{clip.name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_frame(path, picture)
        print(path)


def check(benchmark: Benchmark) -> None:
    """Raise InputError for what cannot be run."""
    if benchmark.gap < 1:
        raise InputError(f"--gap {benchmark.gap}: at least 1")
    if benchmark.kind == GENERATED and (benchmark.shots < 1 or benchmark.size < 32):
        raise InputError(f"--shots {benchmark.shots} --size {benchmark.size}: at least 1 and 32")
    if benchmark.kind != GENERATED and benchmark.data is None:
        raise InputError(f"--kind {benchmark.kind}: give the folder of the data set with --data")


def read_sequences(benchmark: Benchmark) -> "list[tuple[Clip, range]]":
    """Every clip, and which of its frames are neighbors in the benchmark."""
    if benchmark.kind == GENERATED:
        from opdm.data.cel_clips import cel_clips

        seeds = range(FIRST_SEED, FIRST_SEED + benchmark.shots)
        frames = PAIRS_PER_SHOT * benchmark.gap + 1
        clips = cel_clips(seeds, height=benchmark.size, width=benchmark.size, frames=frames)
    else:
        from opdm.data.clips import read_clips

        assert benchmark.data is not None, "checked before"
        clips = read_clips(benchmark.kind, benchmark.data)
    sequences = [(clip, range(0, len(clip), benchmark.gap)) for clip in clips]
    sequences = [(clip, frames) for clip, frames in sequences if len(frames) > 1]
    if not sequences:
        raise InputError(f"{benchmark.data}: no clip has two frames {benchmark.gap} apart; take a smaller --gap")
    return sequences


def describe_data(benchmark: Benchmark) -> str:
    """One sentence, for people."""
    frames = "neighboring frames" if benchmark.gap == 1 else f"frames {benchmark.gap} apart"
    if benchmark.kind == GENERATED:
        return (
            f"{benchmark.shots} generated shots of {benchmark.size} x {benchmark.size} px that no run trains on "
            f"(seeds from 2^62), {frames}"
        )
    return f"{benchmark.kind} in {benchmark.data}, {frames}"


def format_report(report: dict) -> str:
    """A Markdown table, and under it what it was measured on."""
    rows = [[report["benchmark"], "sees", *report["columns"].values()]]
    for label, row in report["rows"].items():
        values = (row["mean"][column] for column in report["columns"])
        rows.append([label, row["sees"], *("–" if value is None else f"{value:.2f}" for value in values)])
    protocol = report["protocol"]
    facts = [f"{protocol['data']}: {protocol['pairs']} pairs of {protocol['clips']} clips."]
    if ceiling := protocol.get("ceiling"):
        facts.append(f"{protocol['segments_per_frame']} segments per frame.")
        if ceiling["label_accuracy"] is not None:
            accuracy, miou = ceiling["label_accuracy"], ceiling["label_miou"]
            facts.append(
                f"{protocol['sequences']} sequences of labels; with all that a first frame shows handed on rightly, "
                f"{accuracy:.2f} and {miou:.2f} could be reached."
            )
    return format_table(rows) + "\n\n" + " ".join(facts) + "\n"


def write_report(stem: Path, report: dict) -> None:
    """STEM.json and STEM.md."""
    from opdm.frames import write_text

    write_text(stem.with_suffix(".json"), json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    notes = "\n".join(f"- {name}: {text}" for name, text in report["protocol"].items() if isinstance(text, str))
    write_text(stem.with_suffix(".md"), f"{format_report(report)}\n{notes}\n")


if __name__ == "__main__":
    sys.exit(main())
