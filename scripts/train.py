"""Train a named run of configs/: `accelerate launch scripts/train.py RUN [--clips FOLDER] [--field value ...]`.

The same command again resumes. Runs train on generated shots, or, with --clips, on a data set.
"""

import argparse
import contextlib
import io
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from configs import RUNS
from configs.ablations import TINY
from opdm.config import Run, on_clips


def main() -> int:
    """Exit status 0 when the run is complete, 2 for a bad request, 130 when interrupted."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help"):
        shown = {name: run.description for name, run in RUNS.items() if not name.endswith(TINY)}
        shown["RUN-tiny"] = "Most of these at a size that trains in minutes on two cores."
        print(__doc__ + "\n\nruns:\n" + "\n".join(f"  {name:<26}{text}" for name, text in shown.items()))
        print("\n`scripts/train.py RUN --help` lists the fields of a run.")
        return 0
    if name not in RUNS:
        return fail(f"{name}: no such run; there are {', '.join(RUNS)}")
    try:
        run = parse_fields(name, sys.argv[2:])
    except ValueError as error:
        return fail(str(error))
    return train(name, run)


def parse_fields(name: str, arguments: list[str]) -> Run:
    """The named run with the fields that the command line changes.

    Raises ValueError with one line; tyro would draw a box over several.
    """
    import tyro

    run, complaint = RUNS[name], io.StringIO()
    clips = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    clips.add_argument("--clips")
    try:
        found, arguments = clips.parse_known_args(arguments)
    except argparse.ArgumentError:
        raise ValueError("--clips: give the folder of the data set") from None
    if found.clips is not None:
        run = on_clips(run, found.clips)
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(
                tyro.conf.AvoidSubcommands[Run],
                default=run,
                args=arguments,
                prog=f"train.py {name}",
                description=run.description,
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        words = " ".join(re.sub(r"[─│╭╮╰╯]", " ", complaint.getvalue()).split())
        # The title of its box is also how what is in it begins.
        words = re.sub(r"^(.+) (?=\1)", "", words)
        raise ValueError(words.split(" For full helptext")[0]) from None


def train(name: str, run: Run) -> int:
    """Run the trainer; a ValueError is the user's and gets one line."""
    from opdm.runtime import reuse_freed_memory, use_all_cores

    use_all_cores()
    reuse_freed_memory()  # both before torch does anything
    from opdm.trainer import Trainer

    try:
        trainer = Trainer(run, Path(run.output or f"runs/{name}"))
        complete = trainer.train()
    except ValueError as error:
        return fail(str(error))
    except KeyboardInterrupt:
        print("\ninterrupted; the same command resumes from the last checkpoint", file=sys.stderr)
        return 130
    if not complete:
        print(f"stopped after {trainer.step} of {run.steps} steps; the same command resumes", file=sys.stderr)
    return 130 if trainer.interrupted else 0


def fail(reason: str) -> int:
    """One line on stderr."""
    print(f"train.py: error: {reason}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
