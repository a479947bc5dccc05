"""A protocol and a data set -> tasks -> shots on disk, which every method is given in the same way.

SHOTS/CLIP/keyframes/STEM.png   the frames that are given
SHOTS/CLIP/lines/STEM.png       the drawings, those of the keyframes too unless they come without
SHOTS/CLIP/frames/STEM.png      all true frames
    SHOTS/CLIP/shot.json            written last: the shot is complete
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from opdm.data.clips import Clip, read_clips
from opdm.data.clips.clip import color_of, lines_of, round_to_8_bit
from opdm.errors import InputError
from opdm.frames import resize, write_frame, write_text
from opdm.lines import EXTRACTORS, extract_lines
from opdm.shot import Shot, normal_stem, plan_shot
from protocols import DRAWN, GENERATED, NO_LINES, Lines, Protocol, Task
from unknown_lines import UNKNOWN, draw_unknown

Size = tuple[int, int]


def make_tasks(protocol: Protocol, root: Path | None, at_most: int | None) -> tuple[list[Task], dict[str, str]]:
    """The tasks of a protocol, of at most so many clips; and what is left out, with the reason. Raises InputError."""
    if at_most is not None and at_most < 1:
        raise InputError(f"--clips {at_most}: give 1 or more")
    clips = find_clips(protocol, root)[:at_most]
    styles, left_out = usable_lines(protocol, clips)
    tasks = []
    for lines in styles:
        for clip in clips:
            part, keyframes = protocol.rule(clip)
            if len(keyframes) == len(part):
                left_out[clip.name] = f"{len(part)} frames, none of them to be painted"
                continue
            tasks.append(make_task(part, keyframes, lines, protocol))
    if not tasks:
        raise InputError(f"{root}: no clip has a frame to paint under {protocol.name}; the first: {clips[0].name}")
    return tasks, left_out


def find_clips(protocol: Protocol, root: Path | None) -> list[Clip]:
    """The clips that a protocol is run on. Raises InputError."""
    if protocol.kind == GENERATED:
        from opdm.data.cel_animation import CelStyle
        from opdm.data.cel_clips import cel_clips
        from protocols import FIRST_SEED

        assert protocol.size is not None, "generated shots have the size of their protocol"
        height, width = protocol.size
        make = partial(cel_clips, height=height, width=width, frames=protocol.frames)
        styles = [CelStyle(**fields) for fields in protocol.styles]
        return [make([FIRST_SEED + i], style=styles[i % len(styles)])[0] for i in range(protocol.shots)]
    if root is None:
        raise InputError(f"{protocol.name}: give the folder of the data set ({protocol.kind}) with --data")
    clips = [clip for clip in read_clips(protocol.kind, root) if clip.name.startswith(protocol.begin_with)]
    if not clips:
        raise InputError(f"{root}: no clip whose name begins with {protocol.begin_with}, which {protocol.name} takes")
    return clips


def usable_lines(protocol: Protocol, clips: list[Clip]) -> tuple[list[Lines], dict[str, str]]:
    """The line styles that can be had here. Raises InputError where the only one cannot."""
    sources = {lines: {lines.drawings, lines.keyframes or lines.drawings} - {NO_LINES} for lines in protocol.lines}
    # Each is tried once: looking for weights on a hub takes long without a network.
    faults = {source: find_fault(clips[0], source) for source in sorted(set().union(*sources.values()))}
    usable, left_out = [], {}
    for lines in protocol.lines:
        if fault := next(filter(None, (faults[source] for source in sources[lines])), None):
            left_out[f"lines {lines.name}"] = fault
        else:
            usable.append(lines)
    if not usable:
        raise InputError(f"{next(iter(left_out.values()))}, or take other line art with --extractor")
    return usable, left_out


def find_fault(clip: Clip, source: str) -> str | None:
    """Why a clip cannot be had in lines of a source; None where it can."""
    try:
        find_lines(clip, source)(0)
    except InputError as error:
        return str(error)
    return None


def make_task(clip: Clip, keyframes: tuple[int, ...], lines: Lines, protocol: Protocol) -> Task:
    """A clip as the protocol shows it: lines, then size."""
    group = lines.name if len(protocol.lines) > 1 else ""
    of_keyframes = lines.keyframes or lines.drawings
    shown = bring_to_size(replace(clip, lines=find_lines(clip, lines.drawings)), protocol.size)
    given = None
    if of_keyframes != NO_LINES:
        given = bring_to_size(replace(clip, lines=find_lines(clip, of_keyframes)), protocol.size).lines
    return Task("/".join(filter(None, (group, clip.name))), shown, keyframes, given, group)


def find_lines(clip: Clip, source: str) -> partial[Tensor]:
    """Lines (1, H, W) by frame, drawn or extracted from the frame at its own size. Raises InputError."""
    if source == DRAWN:
        if clip.lines is None:
            raise InputError(f"{clip.name}: the data set has no drawings of it; add them")
        return partial(clip.lines)
    if source in UNKNOWN:
        return partial(_draw_unknown, clip, source)
    if source not in EXTRACTORS:
        raise InputError(f"no line extractor is called {source}; there are {', '.join(EXTRACTORS)}")
    return partial(_extract, clip, source)


def _extract(clip: Clip, extractor: str, i: int) -> Tensor:
    return extract_lines(clip.color(i)[None], extractor)[0]


def _draw_unknown(clip: Clip, name: str, i: int) -> Tensor:
    return draw_unknown(clip.color(i), name)


def bring_to_size(clip: Clip, size: Size | None) -> Clip:
    """The clip with everything that is known about it at (height, width)."""
    if size is None:
        return clip
    return replace(
        clip,
        color=partial(_resize_color, clip, size),
        lines=clip.lines and partial(_resize_lines, clip, size),
        regions=clip.regions and partial(_resize_regions, clip, size),
        flow_px=clip.flow_px and partial(_resize_flow, clip, size),
        is_occluded=None,
        matches=None,
        is_foreground=None,
        is_flat=None,
        paths=None,
    )


def _resize_color(clip: Clip, size: Size, i: int) -> Tensor:
    return round_to_8_bit(resize(clip.color(i), size))


def _resize_lines(clip: Clip, size: Size, i: int) -> Tensor:
    assert clip.lines is not None
    return resize(clip.lines(i), size)


def _resize_regions(clip: Clip, size: Size, i: int) -> Tensor:
    assert clip.regions is not None
    # Through float64, which holds every id exactly.
    return F.interpolate(clip.regions(i)[None, None].double(), size, mode="nearest-exact")[0, 0].int()


def _resize_flow(clip: Clip, size: Size, i: int, j: int) -> Tensor:
    assert clip.flow_px is not None
    flow_px = clip.flow_px(i, j)
    height, width = flow_px.shape[-2:]
    if (height, width) == size:
        return flow_px
    resized = F.interpolate(flow_px[None], size, mode="bilinear", antialias=size[0] < height)[0]
    return resized * torch.tensor([size[1] / width, size[0] / height]).view(2, 1, 1)


def write_shots(tasks: Iterable[Task], folder: Path) -> list[Task]:
    """Write what is not written yet; returns the tasks reading from there. Raises InputError."""
    tasks = list(tasks)
    written = []
    with tqdm(tasks, unit="shot", desc="writing shots", leave=False, disable=None) as bar:
        for task in bar:
            if not (folder / task.name / "shot.json").exists():
                write_shot(task, folder / task.name)
            written.append(from_disk(task, folder / task.name))
    return written


def write_shot(task: Task, folder: Path) -> None:
    """All files of one task. Raises InputError for frames of two sizes."""
    clip = task.clip
    assert clip.lines is not None
    sizes: dict[Size, str] = {}
    for i, stem in enumerate(clip.stems):
        color, name = clip.color(i), f"{stem}.png"
        sizes.setdefault((color.shape[-2], color.shape[-1]), stem)
        if len(sizes) > 1:
            facts = " and ".join(f"{stem} is {width} x {height}" for (height, width), stem in sizes.items())
            raise InputError(f"{clip.name}: frames of different sizes, {facts}; make them equal")
        write_frame(folder / "frames" / name, color)
        if i in task.keyframes:
            write_frame(folder / "keyframes" / name, color)
        lines = task.keyframe_lines if i in task.keyframes else clip.lines
        if lines is not None:
            write_frame(folder / "lines" / name, lines(i))
    plan(task, folder)
    given = [clip.stems[i] for i in task.keyframes]
    write_text(folder / "shot.json", json.dumps({"stems": clip.stems, "keyframes": given}) + "\n")


def from_disk(task: Task, folder: Path) -> Task:
    """The same task with frames and drawings from its shot."""
    frames = tuple(folder / "frames" / f"{stem}.png" for stem in task.clip.stems)
    drawings = [folder / "lines" / f"{stem}.png" for stem in task.clip.stems]
    return replace(task, clip=replace(task.clip, color=color_of(frames), lines=lines_of(drawings), paths=frames))


def plan(task: Task, folder: Path) -> Shot:
    """The shot as `opdm-sample` would understand its folders. Raises InputError where that is not the task."""
    keyframes = [folder / "keyframes" / f"{task.clip.stems[i]}.png" for i in task.keyframes]
    shot = plan_shot(keyframes, folder / "lines")
    if [normal_stem(frame.path) for frame in shot.in_order] != [normal_stem(Path(f"{s}.png")) for s in task.clip.stems]:
        raise InputError(f"{task.clip.name}: the order of its frames is not that of their names; rename them")
    return shot


def keep_record(path: Path, record: Mapping[str, object]) -> None:
    """Write down what the files beside `path` are made with. Raises InputError where it was something else."""
    new = json.loads(json.dumps(record))
    if not path.exists():
        write_text(path, json.dumps(new, indent=2) + "\n")
        return
    old = json.loads(path.read_text(encoding="utf-8"))
    changed = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    if changed:
        raise InputError(
            f"{path.parent}: was made with other {' and '.join(changed)}; take another --output or remove it"
        )
