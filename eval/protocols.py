"""Named protocols: which clips, at what size, from what line art, which frames are given and which are painted.

`PROTOCOLS` is the table; a new protocol is a line in it. A protocol and a data set make tasks, in `eval/shots.py`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from opdm.data.clips import Clip

GENERATED = "generated"
FIRST_SEED = 2**62
"""Of generated shots. Seeds of training shots are drawn below this, so no run trains on them."""

DRAWN = "drawn"
"""The data set's own drawings."""
NO_LINES = "none"
"""Keyframes come without their drawings, and whoever paints extracts lines as it likes."""


@dataclass(frozen=True)
class Lines:
    """Where line art comes from: DRAWN, or the name of an extractor of `opdm.lines` or of `unknown_lines`."""

    drawings: str = DRAWN
    keyframes: str | None = None
    """Of the keyframes' own drawings, or NO_LINES; None is as the drawings."""

    @property
    def name(self) -> str:
        """Usable as a folder."""
        return self.drawings if self.keyframes in (None, self.drawings) else f"{self.drawings}-keys-{self.keyframes}"

    @property
    def extractors(self) -> set[str]:
        """The extractors that are needed."""
        return {self.drawings, self.keyframes or DRAWN} - {DRAWN, NO_LINES}


@dataclass(frozen=True)
class Task:
    """Frames of one clip: those that are given, and all others, which are to be painted."""

    name: str
    """A folder; `/` is allowed."""
    clip: "Clip"
    """As the protocol shows it: size and lines are final."""
    keyframes: tuple[int, ...]
    keyframe_lines: "Callable[[int], Tensor] | None" = None
    """The keyframes' own drawings, (1, H, W) each; None where they come without."""
    group: str = ""
    """Tasks of one group share a table of their own: the line style, where a protocol has several."""

    @property
    def targets(self) -> tuple[int, ...]:
        """The frames to paint."""
        return tuple(i for i in range(len(self.clip)) if i not in self.keyframes)


Rule = Callable[["Clip"], "tuple[Clip, tuple[int, ...]]"]
"""The frames of a clip that take part, and which of these are given."""


def ends(clip: "Clip") -> "tuple[Clip, tuple[int, ...]]":
    """The first and the last frame are given."""
    return clip, tuple({0, len(clip) - 1})


def first(clip: "Clip") -> "tuple[Clip, tuple[int, ...]]":
    """The first frame is given."""
    return clip, (0,)


def every(clip: "Clip", *, gap: int) -> "tuple[Clip, tuple[int, ...]]":
    """The first frame, every `gap`-th and the last one are given: none is farther than `gap` from the next."""
    return clip, tuple(sorted({*range(0, len(clip), gap), len(clip) - 1}))


def window(clip: "Clip", *, frames: int) -> "tuple[Clip, tuple[int, ...]]":
    """Of the first frames of a clip, so many, the first and the last are given."""
    from opdm.data.clips.clip import cut

    return ends(cut(clip, 0, min(frames, len(clip)), clip.name))


PAPER = ("psnr", "ssim", "qssim", "ms_ssim", "fid", "lpips", "region_color")
CLIPS = (*PAPER, "cdc", "warp_error", "region_flicker")
EXACT = ("psnr", "ssim", "ms_ssim", "lpips", "region_color", "cdc", "warp_error", "region_flicker")
STYLES = ("psnr", "ssim", "region_color")
EXTRACTED = ("xdog", "pencil", "inked", "sketch-keras", "anime2sketch", "informative-drawings")
ALL_STYLES = (
    *(Lines(extractor) for extractor in EXTRACTED),
    *(Lines("xdog", extractor) for extractor in (*EXTRACTED[1:], NO_LINES)),
)
"""Every extractor; and drawings by one with keyframes by each other one, or by none."""


UNKNOWN = tuple(Lines(name, NO_LINES) for name in ("darker", "adaptive", "dodge", "slope"))
"""Extractors of `unknown_lines`, whose lines nobody can make for the keyframes."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What a reader must know to repeat the numbers."""

    name: str
    description: str
    """One sentence with its source."""
    kind: str
    """A layout of `opdm.data.clips.READERS`, or GENERATED."""
    rule: Rule
    lines: tuple[Lines, ...] = (Lines(),)
    size: tuple[int, int] | None = None
    """(Height, width) that all frames are brought to; None is their own."""
    metrics: tuple[str, ...] = CLIPS
    """The columns of its table."""
    begin_with: str = ""
    """Of the clips only those whose names begin so: a split."""
    frames: int = 0
    """Of a generated shot."""
    shots: int = 50
    """Generated."""
    styles: "tuple[Mapping[str, Any], ...]" = ({},)
    """Of generated shots, in turn: fields of `opdm.data.cel_animation.CelStyle`."""


PAPER_LINES = (Lines("sketch-keras"),)
TABLE = (
    Protocol(
        name="atd12k-224",
        description="The 759 Japanese test triplets of ATD-12K at 224 x 224, the middle frame painted from the outer "
        "two, line art by Sketch-Keras (OPDM, section 4.1 and Table 1).",
        kind="atd12k", rule=ends, size=(224, 224), lines=PAPER_LINES, metrics=PAPER, begin_with="test_2k",
    ),
    Protocol(
        name="anicolorset-16",
        description="Clips of 29 frames at 224 x 224, of whose first 16 the outer two are given and 14 are painted, "
        "line art by Sketch-Keras (OPDM, Table 1 and Figure 3, read so).",
        kind="anicolorset", rule=partial(window, frames=16), size=(224, 224), lines=PAPER_LINES,
    ),
    Protocol(
        name="anicolorset-ends",
        description="Clips of 29 frames at 256 x 256 painted from the first and the last one, line art by Sketch-Keras "
        "(OPDM, Table 2, default).",
        kind="anicolorset", rule=ends, size=(256, 256), lines=PAPER_LINES,
    ),
    Protocol(
        name="anicolorset-first",
        description="Clips of 29 frames at 256 x 256 painted from the first one, line art by Sketch-Keras (OPDM, "
        "Table 2, 1-Input).",
        kind="anicolorset", rule=first, size=(256, 256), lines=PAPER_LINES,
    ),
    Protocol(
        name="lvcd-256",
        description="LVCD's test clips with its own sketches at 256 x 256, painted from the first frame (LVCD, Huang "
        "et al. 2024; the size as OPDM, Table 2).",
        kind="lvcd", rule=first, size=(256, 256),
    ),
    Protocol(
        name="anita-16",
        description="Painted scenes of Anita at their own size from the animators' sketches, every 16th frame given "
        "with its sketch (data of OPDM, section 4.4, which shows pictures only).",
        kind="anita", rule=partial(every, gap=16),
    ),
    Protocol(
        name="clips-1",
        description="Any folder of clips at 224 x 224, every other frame given, so that the next keyframes are one "
        "frame away; lines by XDoG (this project).",
        kind="clips", rule=partial(every, gap=2), size=(224, 224), lines=(Lines("xdog"),),
    ),
    Protocol(
        name="clips-16",
        description="Any folder of clips at 224 x 224, keyframes up to 16 frames apart; lines by XDoG (this project).",
        kind="clips", rule=partial(every, gap=16), size=(224, 224), lines=(Lines("xdog"),),
    ),
    Protocol(
        name="clips-lines",
        description="As clips-16 under every line extractor, and with drawings by XDoG but keyframes' lines in each "
        "other style (the question of OPDM, section 4.5; this project's setting).",
        kind="clips", rule=partial(every, gap=16), size=(224, 224), lines=ALL_STYLES, metrics=STYLES,
    ),
    Protocol(
        name="hand-drawn",
        description="A folder of clips with their drawings at their own size, keyframes up to 16 frames apart, each "
        "with its own drawing, as an animator has them (this project).",
        kind="clips", rule=partial(every, gap=16),
    ),
    Protocol(
        name="hand-drawn-1",
        description="As hand-drawn, every other frame given, so that the next keyframes are one frame away (this "
        "project).",
        kind="clips", rule=partial(every, gap=2),
    ),
    Protocol(
        name="generated-1",
        description="Generated shots of three frames at 224 x 224, the middle one painted, lines as drawn (this "
        "project; true flow and regions).",
        kind=GENERATED, rule=ends, size=(224, 224), metrics=EXACT, frames=3,
    ),
    Protocol(
        name="generated-8",
        description="Generated shots of ten frames at 224 x 224, eight painted between two, lines as drawn (this "
        "project; true flow and regions).",
        kind=GENERATED, rule=ends, size=(224, 224), metrics=EXACT, frames=10,
    ),
    Protocol(
        name="generated-16",
        description="Generated shots of 17 frames at 224 x 224, 15 painted between two that are 16 apart, lines as "
        "drawn (this project; true flow and regions).",
        kind=GENERATED, rule=ends, size=(224, 224), metrics=EXACT, frames=17,
    ),
    Protocol(
        name="generated-painted",
        description="Generated shots of ten frames at 224 x 224 before paintings at rest, of which the drawings show "
        "nothing, eight frames painted between two (this project; true flow and regions).",
        kind=GENERATED, rule=ends, size=(224, 224), metrics=EXACT, frames=10, shots=24,
        styles=tuple({"background": kind, "camera": False} for kind in ("strokes", "clouds", "noise")),
    ),
    Protocol(
        name="generated-held",
        description="Generated shots of ten frames at 224 x 224 whose characters hold their pose, all but faces and an "
        "arm of each, before a camera at rest, eight frames painted between two (this project; true flow and regions).",
        kind=GENERATED, rule=ends, size=(224, 224), metrics=EXACT, frames=10, shots=24,
        styles=({"kind": "character", "held": True, "camera": False},),
    ),
    Protocol(
        name="generated-tiny",
        description="Generated shots of five frames at 64 x 64, three painted between two, lines as drawn (this "
        "project; for runs that train in minutes).",
        kind=GENERATED, rule=ends, size=(64, 64), metrics=("psnr", "ssim", "qssim", "region_color"), frames=5, shots=40,
    ),
    Protocol(
        name="generated-lines",
        description="The shots of generated-8 as drawn and under every line extractor, and with drawings by one "
        "extractor but keyframes' lines by another (the question of OPDM, section 4.5; this project's setting).",
        kind=GENERATED, rule=ends, size=(224, 224), metrics=STYLES, frames=10, shots=20,
        lines=(Lines(), Lines(DRAWN, NO_LINES), *ALL_STYLES),
    ),
    Protocol(
        name="generated-unknown",
        description="The shots of generated-8 under each of four line extractors that opdm does not know, keyframes "
        "without drawings (this project).",
        kind=GENERATED, rule=ends, size=(224, 224), metrics=STYLES, frames=10, shots=12, lines=UNKNOWN,
    ),
    Protocol(
        name="clips-unknown",
        description="As clips-1 under each of four line extractors that opdm does not know, keyframes without drawings "
        "(this project).",
        kind="clips", rule=partial(every, gap=2), size=(224, 224), metrics=STYLES[:2], lines=UNKNOWN,
    ),
    Protocol(
        name="clips-unknown-16",
        description="As clips-unknown, keyframes up to 16 frames apart (this project).",
        kind="clips", rule=partial(every, gap=16), size=(224, 224), metrics=STYLES[:2], lines=UNKNOWN,
    ),
)  # fmt: skip
PROTOCOLS = {protocol.name: protocol for protocol in TABLE}
