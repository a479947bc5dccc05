"""The command `opdm-sample`: paints a folder of drawings between painted keyframes.

Imports nothing heavy before the request is understood, so that help and wrong names are answered at once.
"""

import argparse
import math
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from opdm import __version__
from opdm.errors import InputError
from opdm.runtime import DTYPES, choose_device, choose_dtype, reuse_freed_memory
from opdm.shot import Drawing, Keyframe, Shot, plan_shot

if TYPE_CHECKING:
    from opdm.painting import Failed, Painted, Pipeline
    from opdm.pipeline import OPDMPipeline
    from opdm.results import Results

PROGRAM = "opdm-sample"
METHODS = {"diffusion": ("model",), "ant": ("ant",), "both": ("model", "ant")}
"""What can paint, and the options that name its models."""
DESCRIPTION = """\
Paint line drawings between painted keyframes.

Drawings are taken in the order of their names. A keyframe named like a drawing takes that drawing's place, and the
drawing is its line art; one that is numbered like the drawings stands where its number says; otherwise the first
keyframe stands before all drawings and the last one after them. Each drawing is painted from the nearest keyframe on
either side and saved as PNG, in its own size and with its own lines. The same command continues a run that stopped."""
EPILOG = """\
exit status: 0 everything is painted, 1 some drawings could not be, 2 the request cannot be met, 130 interrupted"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status, which `EPILOG` lists."""
    try:
        return sample(parse_arguments(argv))
    except InputError as error:
        complain(str(error))
    except OSError as error:
        complain(f"{error.filename or 'a file'}: {error.strerror or error}; check the disk and run it again")
    except KeyboardInterrupt:
        complain("interrupted; what is painted stays, and the same command continues")
        return 130
    return 2


def sample(options: argparse.Namespace) -> int:
    """Paint what is not painted yet, then make contact sheet and video; returns the exit status."""
    shot = plan_shot(options.keyframes, options.lines)
    reuse_freed_memory()  # before torch allocates anything
    from opdm.painting import Failed, Settings, check_shot, paint
    from opdm.results import Results, record_of

    results = Results(options.output, options.color_layer, options.layers, options.check)
    check_outputs(options, shot, results)
    failures = check_shot(shot)
    settings = Settings(
        size=options.size,
        steps=options.steps,
        seed=options.seed,
        fill=options.fill,
        batch_size=options.batch_size,
    )
    record = record_of(chosen_models(options), settings, shot)
    if not options.overwrite:
        results.check_record(record, shot.drawings)
    finished = [] if options.overwrite else results.done(shot.drawings)
    announce(options, shot, finished)
    are_finished = {drawing.place for drawing in finished}
    pending = [drawing for drawing in shot.drawings if drawing.place not in are_finished]
    painted: list[Drawing] = []
    if pending:
        pipeline = load_method(options)
        if options.check and not pipeline.chooses:
            name = " and ".join(chosen_models(options).values())
            raise InputError(f"--check: {name} does not choose among proposals, and cannot doubt; opdm-small does")
        for outcome in watch(paint(shot, pending, pipeline, settings), len(pending), options):
            if isinstance(outcome, Failed):
                failures.append(outcome)
                continue
            if not painted:
                results.begin(record, overwrite=options.overwrite)
            results.save(outcome)
            painted.append(outcome.drawing)
            del outcome  # it is large, and would stay while the next drawing is painted
    if painted or finished:
        write_overviews(options, shot, [*painted, *finished], results)
    return conclude(options, painted, finished, failures)


def chosen_models(options: argparse.Namespace) -> dict[str, str]:
    """The models that the method takes, by the option that names them."""
    return {option: getattr(options, option) for option in METHODS[options.method]}


def load_method(options: argparse.Namespace) -> "Pipeline":
    """What paints. Raises InputError for a model or device that cannot be had."""
    if options.method == "diffusion":
        return load_pipeline(options.model, options.device, options.dtype)
    from opdm.ant import load_ant
    from opdm.region_pipelines import AnTPipeline, BothPipeline

    if options.method == "ant":
        return AnTPipeline(load_ant(options.ant, choose_device(options.device)))
    pipeline = load_pipeline(options.model, options.device, options.dtype)
    is_its_own = options.ant == pipeline.model.matcher
    return BothPipeline(pipeline, None if is_its_own else load_ant(options.ant, choose_device(options.device)))


def load_pipeline(model: str, device: str, dtype: str) -> "OPDMPipeline":
    """The pipeline, ready to paint. Raises InputError for a model or device that cannot be had."""
    device = choose_device(device)
    number_format = choose_dtype(dtype, device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # libraries warn of each other, which no user of this command can mend
        from diffusers.utils import logging

        from opdm.pipeline import OPDMPipeline

        logging.set_verbosity_error()
        logging.disable_progress_bar()
        return OPDMPipeline.from_pretrained(model).to(device=device, dtype=number_format)


def watch(
    outcomes: Iterable["Painted | Failed"], total: int, options: argparse.Namespace
) -> Iterator["Painted | Failed"]:
    """Pass outcomes on under a progress bar; tells remarks once, and when memory runs out."""
    import torch
    from tqdm import tqdm

    told = set()
    try:
        # Without a terminal there is no bar: it would fill a log file.
        with tqdm(total=total, unit="drawing", file=sys.stderr, disable=options.quiet or None) as bar:
            for outcome in outcomes:
                for remark in getattr(outcome, "remarks", ()):
                    if remark not in told:
                        say(options, remark)
                        told.add(remark)
                yield outcome
                bar.update()
                del outcome  # as whoever asked for it has let go of it
    except torch.OutOfMemoryError as error:
        raise InputError(f"{options.device}: out of memory; take a smaller --size or --batch-size") from error


def write_overviews(options: argparse.Namespace, shot: Shot, finished: Sequence[Drawing], results: "Results") -> None:
    """Contact sheet, video and list of checks, where asked for; drawings that are not finished are not in them."""
    from opdm.painting import usual_size

    are_finished = {drawing.place for drawing in finished}
    frames = {frame.place: frame.path for frame in shot.keyframes} | {
        drawing.place: results.frame_path(drawing) for drawing in shot.drawings if drawing.place in are_finished
    }
    if options.contact_sheet:
        from opdm.sheet import Cell, write_contact_sheet

        cells = [
            Cell(frame.path.stem, frame.lines, frames[frame.place], is_keyframe=True)
            if isinstance(frame, Keyframe)
            else Cell(frame.path.stem, frame.path, frames.get(frame.place))
            for frame in shot.in_order
        ]
        write_contact_sheet(options.contact_sheet, cells, usual_size(shot.drawings))
        say(options, f"contact sheet: {options.contact_sheet}")
    if options.check:
        say(options, f"check first: {results.write_check(finished)}")
    if options.video:
        from opdm.frames import read_frame, resize
        from opdm.video import write_video

        size = usual_size(shot.drawings)
        write_video(options.video, (resize(read_frame(frames[i]), size) for i in sorted(frames)), options.fps)
        say(options, f"video: {options.video}")


def check_outputs(options: argparse.Namespace, shot: Shot, results: "Results") -> None:
    """Raise InputError for anything that cannot be written, before the work is done."""
    from opdm.frames import check_image_name
    from opdm.video import check_video_name

    if options.contact_sheet:
        check_image_name(options.contact_sheet)
    if options.video:
        check_video_name(options.video)
    results.check_folder(shot, options.lines, [path for path in (options.contact_sheet, options.video) if path])


def announce(options: argparse.Namespace, shot: Shot, finished: Sequence[Drawing]) -> None:
    """What is going to happen: the order of the shot, and what is skipped."""
    keyframes = len(shot.keyframes)
    drawings = f"{len(shot.drawings)} drawing{'s' * (len(shot.drawings) != 1)}"
    say(options, f"{drawings}, {keyframes} keyframe{'s' * (keyframes != 1)}: {describe_order(shot)}")
    if finished:
        names = name_some([drawing.path.stem for drawing in finished])
        say(options, f"skipped {len(finished)} painted before (--overwrite repaints them): {names}")


def describe_order(shot: Shot) -> str:
    """The shot in order, keyframes in brackets: [first] 01 … 08 [last]."""
    parts: list[str] = []
    run: list[str] = []
    for frame in [*shot.in_order, None]:
        if isinstance(frame, Drawing):
            run.append(frame.path.stem)
            continue
        parts += [run[0], "…", run[-1]] if len(run) > 2 else run
        run = []
        if frame is not None:
            parts.append(f"[{frame.path.stem}]")
    return " ".join(parts)


def name_some(names: Sequence[str], at_most: int = 8) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - at_most} more" if len(names) > at_most else ""
    return ", ".join(names[:at_most]) + more


def conclude(
    options: argparse.Namespace, painted: Sequence[Drawing], finished: Sequence[Drawing], failures: Sequence["Failed"]
) -> int:
    """Report what was done and what could not be; returns the exit status."""
    if painted:
        say(options, f"painted {len(painted)} in {options.output}")
    for failure in failures:
        complain(failure.reason)
    if not failures:
        return 0
    return 1 if painted or finished else 2


def say(options: argparse.Namespace, text: str) -> None:
    """A line on stdout, above the progress bar if there is one."""
    if not options.quiet:
        from tqdm import tqdm

        tqdm.write(_printable(text, sys.stdout.encoding), file=sys.stdout)


def complain(reason: str) -> None:
    """One line on stderr."""
    print(f"{PROGRAM}: error: {' '.join(reason.split())}", file=sys.stderr)


def _printable(text: str, encoding: str | None) -> str:
    """The text without what this terminal cannot show; a name must not stop a run."""
    return text.encode(encoding or "utf-8", errors="backslashreplace").decode(encoding or "utf-8")


class _OneLineParser(argparse.ArgumentParser):
    """Refuses in one line, as everything here does."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; {PROGRAM} --help lists the options")


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The request, its defaults filled in. Raises InputError."""
    options = make_parser().parse_args(argv)
    options.output = options.output or default_output(options.lines)
    if options.contact_sheet is True:
        options.contact_sheet = options.output.with_name(f"{options.output.name}_contact_sheet.png")
    return options


def default_output(lines: Path) -> Path:
    """LINES_painted beside the folder of the drawings."""
    named = lines if lines.name not in ("", "..") else Path(os.path.abspath(lines))
    return named.with_name(f"{named.name}_painted")


def make_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = _OneLineParser(
        PROGRAM,
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"opdm {__version__}")
    add_files(parser.add_argument_group("files"))
    add_painting(parser.add_argument_group("painting"))
    return parser


def add_files(group: argparse._ArgumentGroup) -> None:
    """Options that name files."""
    group.add_argument(
        "--keyframes",
        type=Path,
        nargs="+",
        required=True,
        metavar="IMAGE",
        help="painted frames, one or more, in order",
    )
    group.add_argument(
        "--lines", type=Path, required=True, metavar="FOLDER", help="the drawings, white or transparent paper"
    )
    group.add_argument("--output", type=Path, metavar="FOLDER", help="where the frames go (default: LINES_painted)")
    group.add_argument(
        "--color-layer",
        action="store_true",
        help="also save the paint without the lines, unpainted paper transparent, in OUTPUT/color_layer",
    )
    group.add_argument(
        "--layers",
        action="store_true",
        help="also save color, lines and areas as layers of PNG, each drawing as PSD, and with --fill exact the "
        "palette, in OUTPUT/layers; opdm-recolor OUTPUT puts an edited palette to work",
    )
    group.add_argument(
        "--check",
        action="store_true",
        help="also save what to look at first: regions of doubtful color, as pictures and lists in OUTPUT/check",
    )
    group.add_argument(
        "--contact-sheet",
        type=Path,
        nargs="?",
        const=True,
        metavar="IMAGE",
        help="also save all drawings and frames on one page (default: OUTPUT_contact_sheet.png)",
    )
    group.add_argument(
        "--video", type=Path, metavar="FILE", help="also save the whole shot as a video, such as shot.mp4"
    )
    group.add_argument("--fps", type=frame_rate, default=12, help="frames per second of the video (default: 12)")
    group.add_argument("--overwrite", action="store_true", help="paint everything again")
    group.add_argument("--quiet", action="store_true", help="print errors only")


def add_painting(group: argparse._ArgumentGroup) -> None:
    """Options of the model."""
    group.add_argument(
        "--model",
        default="opdm-small",
        help="a model inside the package, a folder that training wrote, or a hub id (default: opdm-small)",
    )
    group.add_argument(
        "--method",
        choices=list(METHODS),
        default="diffusion",
        help="diffusion: the model; ant: every region has the color of the one that the Animation Transformer matches "
        "it with; both: the model, whose color for a flat region may be outvoted (default: diffusion)",
    )
    group.add_argument(
        "--ant",
        default="ant-small",
        metavar="MODEL",
        help="the Animation Transformer of --method ant and both: a model inside the package, or the pipeline/ folder "
        "of a run (default: ant-small)",
    )
    group.add_argument(
        "--fill",
        choices=["model", "exact"],
        default="model",
        help="exact: what is painted flat takes the very colors that the keyframes have (default: model, colors as "
        "the model paints them)",
    )
    group.add_argument("--steps", type=count, metavar="N", help="sampling steps (default: the model's own number)")
    group.add_argument("--seed", type=int, default=0, metavar="N", help="another one gives another result (default: 0)")
    group.add_argument(
        "--size",
        type=int,
        metavar="PIXELS",
        help="shorter side at which the model works; frames keep their own size (default: what it was trained for)",
    )
    group.add_argument(
        "--batch-size",
        type=count,
        default=1,
        metavar="N",
        help="drawings painted at once (default: 1)",
    )
    group.add_argument(
        "--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: auto, a GPU where there is one)"
    )
    group.add_argument(
        "--dtype",
        choices=["auto", *DTYPES],
        default="auto",
        help="number format (default: auto, bfloat16 where the processor is faster in it)",
    )


def count(text: str) -> int:
    """A whole number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def frame_rate(text: str) -> float:
    """Frames per second, up to 240."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 240:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0 and up to 240")
    return value


if __name__ == "__main__":
    sys.exit(main())
