"""Check a data set, count it, and keep its line art and regions: `python scripts/prepare_data.py KIND ROOT [...]`.

The data set itself is left as it is. What is made goes to the folder given by --cache, from where
`opdm.data.clips.read_clips(KIND, ROOT, cache=...)` adds it to the clips; the same command continues what was stopped.
"""

import argparse
import itertools
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, is_dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from opdm.errors import InputError

if TYPE_CHECKING:
    from opdm.data.clips import Clip

EPILOG = """\
exit status: 0 all is well, 1 the data set has faults, which are listed, or is not complete, 2 the request cannot be
met, 130 interrupted"""
PUBLISHED = {
    "atd12k": ("clips", {"train_10k": 4881, "test_2k_540p": 759, "test_2k_original": 759}),
    "atd12k-all": ("clips", {"train_10k": 10000, "test_2k_540p": 2000, "test_2k_original": 2000}),
    "animerun": ("frames", {"train": 1760, "test": 1059}),
    "paintbucket": ("frames", {"train": 11345}),
    "linkto-anime": ("frames", {"train": 24230, "val": 720, "test": 4320}),
}
"""What the papers say: of the Japanese triplets OPDM's, section 4.1; of the others that of each data set."""
SHOWN_FAULTS = 20
FRAMES_PER_TASK = 16


@dataclass(frozen=True)
class Task:
    """Frames of one clip of which something is to be made."""

    make: Callable[[int, Path], None]
    """Makes the file of a frame."""
    frames: tuple[int, ...]
    files: tuple[Path, ...]


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status as in EPILOG."""
    options = parse_arguments(argv)
    try:
        return prepare(options)
    except InputError as error:
        print(f"prepare_data: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("prepare_data: interrupted; what is made stays, and the same command continues", file=sys.stderr)
        return 130
    return 2


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The request as it is written."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="prepare_data.py", description=__doc__, epilog=EPILOG, formatter_class=form)
    parser.add_argument("kind", help="layout of the data set, as in docs/data.md; another name lists them all")
    parser.add_argument("root", type=Path, help="its folder")
    parser.add_argument("--cache", type=Path, help="folder for what is made")
    parser.add_argument("--lines", nargs="+", default=[], metavar="EXTRACTOR", help="line art to make of all frames")
    parser.add_argument("--regions", action="store_true", help="regions to make of the drawings of clips without any")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: %(default)s)")
    options = parser.parse_args(argv)
    if (options.lines or options.regions) and options.cache is None:
        parser.error("--lines and --regions need --cache, the folder to keep them in")
    return options


def prepare(options: argparse.Namespace) -> int:
    """Check, count, and make what is wanted. Raises InputError."""
    from opdm.data.clips import read_clips
    from opdm.lines import EXTRACTORS

    for name in options.lines:
        if name not in EXTRACTORS:
            raise InputError(f"no line extractor is called {name!r}; there are {', '.join(EXTRACTORS)}")
    clips = read_clips(options.kind, options.root)
    faults = list(watch(map(find_faults, clips), len(clips), "checked", "clip"))
    counts, incomplete = count(options.kind, clips)
    print("\n".join([*counts, *describe(clips)]))
    report = [*incomplete, *itertools.chain.from_iterable(faults)]
    if report:
        shown = [*report[:SHOWN_FAULTS], *([f"and {len(report) - SHOWN_FAULTS} more"] * (len(report) > SHOWN_FAULTS))]
        print("\n".join(["faults:", *(f"  {fault}" for fault in shown)]))
    if options.cache is not None:
        make(options, clips)
    return 1 if report else 0


def count(kind: str, clips: "Sequence[Clip]") -> tuple[list[str], list[str]]:
    """Clips and frames of each part of the data set, and the parts that are not what was published."""
    unit, published = PUBLISHED.get(kind, ("", {}))
    found = {"clips": Counter[str](), "frames": Counter[str]()}
    for clip in clips:
        part = clip.name.split("/")[0] if published else ""
        found["clips"][part] += 1
        found["frames"][part] += len(clip)
    lines, faults = [], []
    for part, number in found["clips"].items():
        lines.append(f"{part or kind}: {number:,} clips, {found['frames'][part]:,} frames")
        expected = published.get(part)
        if expected is not None and found[unit][part] != expected:
            faults.append(f"{part}: {found[unit][part]:,} {unit}, {expected:,} are published")
    return lines, faults


def describe(clips: "Sequence[Clip]") -> list[str]:
    """What there is besides color."""
    known = ("lines", "regions", "flow_px", "is_occluded", "matches", "is_foreground", "is_flat")
    numbers = {name: sum(getattr(clip, name) is not None for clip in clips) for name in known}
    return [f"  {name}: {number:,} clips" for name, number in numbers.items() if number]


def find_faults(clip: "Clip") -> list[str]:
    """What is wrong with a clip: frames of other sizes, and the first frame and pair read as a sample of the rest."""
    from opdm.frames import FrameError, frame_size

    try:
        size = tuple(clip.color(0).shape[1:])
        faults = [
            f"{path}: {height} x {width} px, the clip is {size[0]} x {size[1]}"
            for path in clip.paths or ()
            for height, width in [frame_size(path)]
            if (height, width) != size
        ]
        for name in ("lines", "regions", "is_foreground", "is_flat"):
            read = getattr(clip, name)
            if read is not None and (other := tuple(read(0).shape[-2:])) != size:
                faults.append(f"{clip.name}: {name} of {other[0]} x {other[1]} px, frames of {size[0]} x {size[1]}")
        return faults + (check_pair(clip) + check_matches(clip) if len(clip) > 1 else [])
    except FrameError as error:
        return [str(error)]


def check_pair(clip: "Clip") -> list[str]:
    """Whether flow and occlusion mean here what we take them for: they must make neighboring frames more alike."""
    if clip.flow_px is None:
        return []
    from opdm.warp import backward_warp

    faults = []
    middle = len(clip) // 2
    for i, j in ((middle - 1, middle), (middle, middle - 1)):
        try:
            flow_px = clip.flow_px(i, j)
            is_seen = ~clip.is_occluded(i, j) if clip.is_occluded is not None else flow_px[0] == flow_px[0]
        except KeyError:
            continue
        source, target = clip.color(i), clip.color(j)
        if not flow_px.shape[1:] == is_seen.shape == source.shape[1:]:
            faults.append(f"{clip.name}: flow or occlusion of {clip.stems[i]} has another size than the frame")
            continue
        if is_seen.float().mean() < 0.5:
            faults.append(f"{clip.name}: most of {clip.stems[i]} counts as occluded; is the mask the wrong way round?")
        warped = backward_warp(target[None], flow_px[None])[0]
        moved, still = ((frame - source).abs().mean(dim=0)[is_seen].mean() for frame in (warped, target))
        if moved > still:
            faults.append(f"{clip.name}: the flow from {clip.stems[i]} to {clip.stems[j]} does not align the frames")
    return faults


def check_matches(clip: "Clip") -> list[str]:
    """Whether the first frame has one match for each of its regions."""
    if clip.matches is None or clip.regions is None:
        return []
    try:
        matches, regions = len(clip.matches(0, 1)) - 1, int(clip.regions(0).max())
    except KeyError:
        return []
    return [] if matches == regions else [f"{clip.name}: {matches} matches for {regions} regions of {clip.stems[0]}"]


def make(options: argparse.Namespace, clips: "Sequence[Clip]") -> None:
    """Line art and regions that are not there yet. Raises InputError."""
    from opdm.data.clips.cache import add_cached, lines_folder, record, regions_folder
    from opdm.lines import EXTRACTORS

    record(options.cache / "source.txt", f"{options.kind} {options.root.resolve()}")
    tasks: list[Task] = []
    for name in options.lines:
        record(options.cache / "lines" / name / "settings.txt", describe_extractor(EXTRACTORS[name]))
        for clip in clips:
            tasks += split(clip, partial(draw, clip, name), lines_folder(options.cache, name, clip))
    carry_out(tasks, options, "lines")
    if not options.regions:
        return
    tasks = []
    for clip in clips:
        if clip.regions is not None:
            continue
        extractor = options.lines[0] if options.lines and clip.lines is None else None
        [drawn] = add_cached([clip], options.cache, extractor) if clip.lines is None else [clip]
        if drawn.lines is None:
            raise InputError(f"{clip.name}: no drawings to find regions in; name an extractor with --lines")
        tasks += split(clip, partial(divide, drawn), regions_folder(options.cache, clip))
    carry_out(tasks, options, "regions")


def describe_extractor(extractor: object) -> str:
    """Its options, as far as they tell of themselves."""
    return repr(extractor) if is_dataclass(extractor) else type(extractor).__name__


def split(clip: "Clip", make_frame: Callable[[int, Path], None], folder: Path) -> Iterator[Task]:
    """The missing files of a clip, in portions: neighboring frames together, as a video is read best in order."""
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    names = [f"{stem}.png" for stem in clip.stems]
    missing = [i for i, name in enumerate(names) if name not in there]
    for first in range(0, len(missing), FRAMES_PER_TASK):
        frames = tuple(missing[first : first + FRAMES_PER_TASK])
        yield Task(make_frame, frames, tuple(folder / names[i] for i in frames))


def carry_out(tasks: Sequence[Task], options: argparse.Namespace, what: str) -> None:
    """Do what is to be done, and say how much it was."""
    total = sum(len(task.frames) for task in tasks)
    for _ in watch(work(tasks, options.workers), total, what, "frame"):
        pass
    print(f"{what}: {total:,} files made in {options.cache}")


def work(tasks: Sequence[Task], workers: int) -> Iterator[int]:
    """Once for each frame that is done. One worker works in this process."""
    if workers <= 1 or len(tasks) <= 1:
        for task in tasks:
            yield from run(task)
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
            yield from future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def enter_process() -> None:
    """Each process has a core to itself; an interrupt is for the one that started it."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def run(task: Task) -> tuple[int, ...]:
    """Make the files of a task; returns the frames."""
    for i, file in zip(task.frames, task.files, strict=True):
        task.make(i, file)
    return task.frames


def draw(clip: "Clip", extractor: str, i: int, file: Path) -> None:
    """Line art of frame i."""
    from opdm.frames import write_frame
    from opdm.lines import extract_lines

    write_frame(file, extract_lines(clip.color(i)[None], extractor)[0])


def divide(clip: "Clip", i: int, file: Path) -> None:
    """Regions of the drawing of frame i."""
    from opdm.data.clips.cache import write_regions
    from opdm.segments import find_regions

    assert clip.lines is not None, "clips without lines are refused before"
    write_regions(file, find_regions(clip.lines(i)))


def watch(results: Iterator, total: int, verb: str, unit: str) -> Iterator:
    """Pass results on under a progress bar, on a terminal."""
    from tqdm import tqdm

    return iter(tqdm(results, total=total, desc=verb, unit=unit, disable=None, file=sys.stderr))


if __name__ == "__main__":
    sys.exit(main())
