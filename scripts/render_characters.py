"""Render rigged characters as cel animation: `python scripts/render_characters.py CHARACTER.glb ... --output TREE`.

Each animation of each character (.glb, .gltf or .vrm) becomes a clip for each view: color, paint without ink, line art,
regions, flow and occlusion to both neighbors, and the skeleton. `opdm.data.clips.read_clips("rigs", TREE)` reads them.
Clips are complete or absent; the same command continues what was stopped.
"""

import argparse
import os
import re
import signal
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from opdm.errors import InputError

if TYPE_CHECKING:
    from opdm.data.rig.animation import Animation
    from opdm.data.rig.character import Character
    from opdm.data.rig.posing import Motion

EPILOG = """\
exit status: 0 all clips are there, 1 some characters or clips failed and are listed, 2 the request cannot be met,
130 interrupted"""


@dataclass(frozen=True)
class Source:
    """What a motion is made from; read anew in each process."""

    character: Path
    hidden: tuple[str, ...]
    motions: tuple[Path, ...]
    animation: str
    frames: int
    fps: float


@dataclass(frozen=True)
class Task:
    """A clip to be made."""

    folder: Path
    source: Source
    view: int
    views: int
    size: int
    ground: Path | None


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status as in EPILOG."""
    options = parse_arguments(argv)
    try:
        return render(options)
    except InputError as error:
        print(f"render_characters: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("render_characters: interrupted; finished clips stay, and the same command continues", file=sys.stderr)
        return 130
    return 2


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The request as it is written."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="render_characters.py", description=__doc__, epilog=EPILOG, formatter_class=form
    )
    parser.add_argument("characters", nargs="+", type=Path, metavar="CHARACTER", help="a .glb, .gltf or .vrm file")
    parser.add_argument("--output", type=Path, required=True, metavar="TREE", help="folder for the clips")
    parser.add_argument("--clips", nargs="+", metavar="NAME", help="animations to render (default: all that move)")
    parser.add_argument(
        "--motion",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="take the animations of these glTF files, whose bones have the same names, not the character's own",
    )
    parser.add_argument(
        "--hide", nargs="+", default=[], metavar="NODE", help="leave out the meshes of these nodes; * matches anything"
    )
    parser.add_argument("--views", type=_whole, default=5, help="views around each motion (default: %(default)s)")
    parser.add_argument("--size", type=_whole, default=512, help="height and width in pixels (default: %(default)s)")
    parser.add_argument("--frames", type=_whole, default=30, help="most frames of a clip (default: %(default)s)")
    parser.add_argument("--fps", type=float, default=24, help="frames per second of motion (default: %(default)s)")
    parser.add_argument(
        "--background", type=Path, metavar="FOLDER", help="images to stand in front of (default: white)"
    )
    parser.add_argument("--workers", type=_whole, default=os.cpu_count() or 1, help="processes (default: %(default)s)")
    options = parser.parse_args(argv)
    if not options.fps > 0:
        parser.error("--fps must be above 0")
    return options


def _whole(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return number


def render(options: argparse.Namespace) -> int:
    """Plan, render what is missing, and report. Raises InputError."""
    from opdm.data.clips.cache import record
    from opdm.data.rig.render import open_gl

    grounds = list_grounds(options.background)
    tasks: list[Task] = []
    faults: list[str] = []
    for path in options.characters:
        try:
            tasks += plan(path, options, grounds)
        except InputError as error:
            faults.append(str(error))
    folders = [task.folder for task in tasks]
    twins = {folder for folder in folders if folders.count(folder) > 1} if len(set(folders)) < len(folders) else set()
    if twins:
        raise InputError(f"{min(twins)}: two clips would be written there; rename a character or an animation")
    missing = [task for task in tasks if not task.folder.is_dir()]
    if missing:
        open_gl()  # or say what to install
    if tasks:
        record(options.output / "settings.txt", describe(options))
    faults += watch(work(missing, options.workers), len(missing))
    print(f"{len(tasks)} clips in {options.output}: {len(tasks) - len(missing)} were there, {len(missing)} to render")
    if faults:
        print("\n".join(["failed:", *(f"  {fault}" for fault in dict.fromkeys(faults))]), file=sys.stderr)
    return 1 if faults else 0


def describe(options: argparse.Namespace) -> str:
    """What all clips of a tree have in common."""
    ground = "white" if options.background is None else options.background.resolve()
    return (
        f"{options.views} views, {options.size} px, {options.frames} frames, {options.fps:g} per second, on {ground}, "
        f"without {' '.join(options.hide) or 'hiding anything'}"
    )


def list_grounds(folder: Path | None) -> list[Path]:
    """The images of the folder of backgrounds. Raises InputError where there are none."""
    from opdm.data.clips.trees import list_files

    grounds = list_files(folder) if folder is not None else []
    if folder is not None and not grounds:
        raise InputError(f"{folder}: no images to stand in front of; give a folder of PNG or JPEG files")
    return grounds


def plan(path: Path, options: argparse.Namespace, grounds: Sequence[Path]) -> Iterator[Task]:
    """The clips of a character. Raises InputError."""
    character = load(path, tuple(options.hide))
    animations = load_animations(path, tuple(options.hide), tuple(options.motion))
    if not animations:
        raise InputError(f"{path}: has no animation; give one by --motion FILE, a glTF with bones of the same names")
    moving = {name for name, animation in animations.items() if len(animation.times(options.fps, options.frames)) > 1}
    for name in options.clips or ():
        if name not in animations:
            raise InputError(f"{path}: no animation is called {name!r}; there are {', '.join(animations)}")
    chosen = [name for name in options.clips or animations if name in moving]
    if not chosen:
        raise InputError(
            f"{path}: the animations asked for have a single frame; take others, or more --frames or --fps"
        )
    for name in chosen:
        source = Source(path, tuple(options.hide), tuple(options.motion), name, options.frames, options.fps)
        for view in range(options.views):
            inner = Path(as_folder(character.name)) / as_folder(name) / f"view{view + 1}"
            ground = grounds[zlib.crc32(inner.as_posix().encode()) % len(grounds)] if grounds else None
            yield Task(options.output / inner, source, view, options.views, options.size, ground)


def as_folder(name: str) -> str:
    """A name that every file system takes."""
    return re.sub(r"[^\w.-]+", "_", name).strip("._") or "unnamed"


@lru_cache(maxsize=4)
def load(path: Path, hidden: tuple[str, ...]) -> "Character":
    """A character. Raises InputError."""
    from opdm.data.rig.character import read_character

    return read_character(path, hidden=hidden)


def load_animations(path: Path, hidden: tuple[str, ...], motions: Sequence[Path]) -> "dict[str, Animation]":
    """A character's own animations, or those of other files. Raises InputError."""
    from opdm.data.rig.animation import hand_on

    character = load(path, hidden)
    if not motions:
        return character.animations
    animations = {}
    for file in motions:
        source = load(file, ())
        if not source.animations:
            raise InputError(f"{file}: has no animation; give another --motion")
        for name, animation in source.animations.items():
            try:
                animations[name] = hand_on(animation, source.nodes, character.nodes)
            except InputError as error:
                raise InputError(f"{path}: {error}, in {file}; give a --motion for this skeleton") from error
    return animations


@lru_cache(maxsize=1)
def load_motion(source: Source) -> "Motion":
    """The poses of all views of a clip. Raises InputError."""
    from opdm.data.rig.posing import pose

    animation = load_animations(source.character, source.hidden, source.motions)[source.animation]
    return pose(load(source.character, source.hidden), animation, animation.times(source.fps, source.frames))


def work(tasks: Sequence[Task], workers: int) -> Iterator[list[str]]:
    """For each clip that is done, what went wrong. One worker works in this process."""
    if workers <= 1 or len(tasks) <= 1:
        yield from map(run, tasks)
        return
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from multiprocessing import get_context

    # A fork of a process in which torch has started threads may hang.
    pool = ProcessPoolExecutor(min(workers, len(tasks)), mp_context=get_context("spawn"), initializer=enter_process)
    try:
        # A terminal interrupts all processes: those that are starting ignore it too, and print no tracebacks.
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            futures = [pool.submit(run, task) for task in tasks]
        finally:
            signal.signal(signal.SIGINT, handler)
        for future in as_completed(futures):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def enter_process() -> None:
    """Each process has a core to itself; an interrupt is for the one that started it."""
    os.environ["LP_NUM_THREADS"] = "0"  # of Mesa's software renderer
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def run(task: Task) -> list[str]:
    """Make a clip; returns what went wrong."""
    from opdm.data.rig.clip_writer import View, write_clip

    source = task.source
    about = {
        "character": source.character.name,
        "animation": source.animation,
        "fps": source.fps,
        "background": None if task.ground is None else task.ground.name,
    }
    try:
        task.folder.parent.mkdir(parents=True, exist_ok=True)
        view = View(task.view, task.views, task.size, task.ground)
        write_clip(task.folder, load(source.character, source.hidden), load_motion(source), view, about)
    except InputError as error:
        return [str(error)]
    return []


def watch(results: Iterator[list[str]], total: int) -> list[str]:
    """All that went wrong, under a progress bar on a terminal."""
    from tqdm import tqdm

    bar = tqdm(results, total=total, desc="rendered", unit="clip", disable=None, file=sys.stderr)
    return [fault for faults in bar for fault in faults]


if __name__ == "__main__":
    sys.exit(main())
