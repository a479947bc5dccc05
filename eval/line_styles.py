"""What keyframe lines in the style of the drawings are worth: a keyframe warped by flow between lines.

    python eval/line_styles.py                                              # generated shots
    python eval/line_styles.py --data shots/ --kind clips                   # painted shots of your own

Drawings are in each style in turn. The keyframe's lines are in the same style, by XDoG as it stands, by the extractor
that `opdm.line_style.choose_extractor` picks from the keyframe and the drawing beside it, or by what
`opdm.line_learning.learn_extractor` learns from the two. Prints a Markdown table of the PSNR of the warped keyframe in
dB, mean over shots, each with the better of `opdm.flow`'s two encodings.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from opdm.errors import InputError
from protocols import FIRST_SEED

if TYPE_CHECKING:
    from torch import Tensor

    from opdm.data.clips import Clip

DRAWN = "drawn"
COLUMNS = ("same style", "xdog", "chosen", "learned")


@dataclass(frozen=True)
class Options:
    """As in the command line."""

    kind: str = "clips"
    """Layout of the data set, a name of opdm.data.clips.READERS."""
    data: Path | None = None
    """Its folder; None is generated shots."""
    shots: int = 6
    """Of these, at most so many."""
    distances: tuple[int, ...] = (1, 8)
    """Frames between the drawing and the keyframe, the first frame."""
    short_side: int = 256
    """Frames are shrunk to it."""


def main(options: Options) -> int:
    """Print the table."""
    try:
        clips = [clip for clip in find_clips(options) if len(clip) > max(options.distances)][: options.shots]
        if not clips:
            raise InputError(f"{options.data}: no clip of more than {max(options.distances)} frames; lower --distances")
        print("\n".join(table(clips, options)))
    except InputError as error:
        print(f"line_styles: {error}", file=sys.stderr)
        return 2
    return 0


def find_clips(options: Options) -> "list[Clip]":
    """Shots to measure on. Raises InputError."""
    from opdm.data.cel_clips import cel_clips
    from opdm.data.clips import read_clips

    if options.data is not None:
        return read_clips(options.kind, options.data)
    seeds, side = range(FIRST_SEED, FIRST_SEED + options.shots), options.short_side
    return cel_clips(seeds, height=side, width=side, frames=max(options.distances) + 1)


def table(clips: "list[Clip]", options: Options) -> Iterator[str]:
    """Its lines."""
    from opdm.lines import CLASSICAL

    yield f"| drawings | distance | shots | {' | '.join(COLUMNS)} |"
    yield "|---" * (3 + len(COLUMNS)) + "|"
    for style in (DRAWN, *CLASSICAL):
        used = [clip for clip in clips if style != DRAWN or clip.lines is not None]
        for distance in options.distances if used else ():
            scores = [score(clip, style, distance, options.short_side) for clip in used]
            means = [sum(column) / len(used) for column in zip(*scores, strict=True)]
            yield f"| {style} | {distance} | {len(used)} | {' | '.join(f'{mean:.1f}' for mean in means)} |"


def score(clip: "Clip", style: str, distance: int, short_side: int) -> list[float]:
    """PSNR of the first frame warped to the one `distance` later, for each of COLUMNS."""
    from opdm.line_learning import learn_extractor
    from opdm.line_style import choose_extractor
    from opdm.lines import extract_lines

    keyframe, target = (shrink(clip.color(i), short_side) for i in (0, distance))
    own, neighbor, drawing = (draw(clip, i, style, short_side) for i in (0, 1, distance))
    found = (find([keyframe], [neighbor]) for find in (choose_extractor, learn_extractor))
    by_extractor = [extract_lines(keyframe[None], extractor)[0] for extractor in ("xdog", *found)]
    return [warped_psnr(keyframe, target, lines, drawing) for lines in (own, *by_extractor)]


def draw(clip: "Clip", i: int, style: str, short_side: int) -> "Tensor":
    """The drawing (1, H, W) of frame i."""
    from opdm.lines import extract_lines

    if style == DRAWN and clip.lines is not None:
        return shrink(clip.lines(i), short_side)
    return extract_lines(shrink(clip.color(i), short_side)[None], style)[0]


def warped_psnr(keyframe: "Tensor", target: "Tensor", keyframe_lines: "Tensor", lines: "Tensor") -> float:
    """Of the better of the two flows."""
    from opdm.flow import estimate_flow_px
    from opdm.metrics.image import psnr
    from opdm.warp import backward_warp

    flows = estimate_flow_px(lines, keyframe_lines)  # (2, 2, H, W)
    warped = backward_warp(keyframe.expand(len(flows), -1, -1, -1), flows).clamp(0, 1)
    return float(psnr(warped, target.expand_as(warped)).max())


def shrink(frame: "Tensor", short_side: int) -> "Tensor":
    """(C, H, W) with its shorter side at most `short_side`."""
    from opdm.frames import resize

    scale = min(1, short_side / min(frame.shape[1:]))
    return resize(frame, (round(frame.shape[1] * scale), round(frame.shape[2] * scale)))


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=__doc__)))
