"""How much of an open eye shows through closed lids: `python eval/blinks.py`.

Somebody blinks between two keyframes with open eyes: no keyframe shows the lids, and only the drawing tells that they
are shut. Each shot is generated twice, with blinks and without; what differs between the two is the eyes. A drawing of
the blink is painted, and within the eyes its colors are placed on the way from the true frame (0 %) to the one with
open eyes (100 %), by least squares: a ghost of the iris is what lies between.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import tyro

from confidence import load_pipeline, set_up_clip
from intervals import summarize
from opdm.errors import InputError
from protocols import FIRST_SEED

if TYPE_CHECKING:
    from torch import Tensor

    from opdm.data.clips import Clip
    from opdm.pipeline import OPDMPipeline

FRAMES = 10
EYES_PX = 25
"""In fewer pixels that differ nobody sees a blink."""
VISIBLE = 0.1
"""Difference of a color, in [0, 1], that belongs to the eyes."""
PLAIN = 0.25
"""A ghost of this share is plain to see."""


@dataclass(frozen=True)
class Options:
    """Ghosts of open eyes."""

    model: str = "opdm-small"
    """A model: a name, a folder, or the id of a hub's repository."""
    shots: int = 40
    """How many, with a blink each; at least 1."""
    size: int = 224
    """Their height and width, in pixels; at least 64, or no eye is large enough."""


@dataclass(frozen=True)
class Blink:
    """A drawing of closed eyes between two frames of open ones."""

    clip: "Clip"
    place: int
    open_eyes: "Tensor"
    """(3, H, W): its frame, had the eyes stayed open."""
    eyes: "Tensor"
    """(H, W) bool: where that is different."""


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0, or 2 for a bad request, told in one line."""
    options = tyro.cli(Options, args=arguments, description=__doc__)
    try:
        if options.shots < 1 or options.size < 64:
            raise InputError(f"--shots {options.shots} --size {options.size}: at least 1 and 64 are needed")
        pipeline = load_pipeline(options.model)
    except InputError as error:
        print(f"blinks.py: error: {error}", file=sys.stderr)
        return 2
    print(describe(options.model, measure(options, pipeline)))
    return 0


def measure(options: Options, pipeline: "OPDMPipeline") -> list[float]:
    """The ghost in each of so many blinks."""
    from itertools import islice

    from tqdm import tqdm

    blinks = tqdm(islice(find_blinks(options.size), options.shots), total=options.shots, unit="shot", disable=None)
    return [ghost(paint(blink, pipeline), blink) for blink in blinks]


def find_blinks(size: int) -> "Iterator[Blink]":
    """Of each generated shot that has one, the drawing in which the most of the eyes is shut."""
    from itertools import count

    from opdm.data.cel_animation import CelStyle
    from opdm.data.cel_clips import cel_clips

    styles = [CelStyle(kind="character", blinks=blinks) for blinks in (True, False)]
    for seed in count(FIRST_SEED):
        (clip,), (staring,) = (
            cel_clips([seed], height=size, width=size, frames=FRAMES, style=style) for style in styles
        )
        eyes = [(clip.color(i) - staring.color(i)).abs().amax(dim=0) > VISIBLE for i in range(FRAMES)]
        place = max(range(FRAMES), key=lambda i: int(eyes[i].sum()))
        if not eyes[0].any() and not eyes[-1].any() and eyes[place].sum() >= EYES_PX:
            yield Blink(clip, place, staring.color(place), eyes[place])


def paint(blink: Blink, pipeline: "OPDMPipeline") -> "Tensor":
    """The frame of a blink, (3, H, W)."""
    ((_, stage),) = set_up_clip(blink.clip, pipeline, FRAMES, [blink.place])
    (finished,) = pipeline.paint([stage], seeds=[0])
    return finished.frame


def ghost(painted: "Tensor", blink: Blink) -> float:
    """Share of the open eyes in a painted frame: 0 as it should be, 1 with the eyes open."""
    truth = blink.clip.color(blink.place)[:, blink.eyes]
    toward = blink.open_eyes[:, blink.eyes] - truth
    return float(((painted[:, blink.eyes] - truth) * toward).sum() / toward.square().sum())


def describe(model: str, ghosts: list[float]) -> str:
    """A Markdown table."""
    summary = summarize([[value] for value in ghosts])
    assert summary is not None
    interval = "" if summary.half_width is None else f" ± {100 * summary.half_width:.0f}"
    plain = sum(value > PLAIN for value in ghosts) / len(ghosts)
    return (
        f"| model | blinks | ghost of open eyes [%] | with more than {PLAIN:.0%} of it [%] |\n|---|---:|---:|---:|\n"
        f"| {model} | {len(ghosts)} | {100 * summary.mean:.0f}{interval} | {100 * plain:.0f} |"
    )


if __name__ == "__main__":
    sys.exit(main())
