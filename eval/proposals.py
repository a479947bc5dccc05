"""How good a choice among the proposals could be: the ceiling of a model that chooses, and what each kind adds to it.

    python eval/proposals.py                                     # generated shots
    python eval/proposals.py --data shots/ --kind clips          # painted shots of your own

Every drawing between the first and the last frame of a clip is painted by taking, for each pixel, the proposal that
comes closest to the true frame. Prints the mean PSNR of that for growing sets of proposals, and of what the model
paints from them: with motion handed on from drawing to drawing, without, and, of generated shots, with what a better
flow would give, small errors taken out of every estimate, or one of the estimates true.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from opdm.errors import InputError
from protocols import FIRST_SEED

if TYPE_CHECKING:
    from torch import Tensor

    from opdm.data.clips import Clip
    from opdm.layers import Layers
    from opdm.matching import Match
    from opdm.motion import Motion
    from opdm.pipeline import OPDMPipeline
    from opdm.staging import Stage

SMALL_ERROR_PX = 8
"""Of flow, where refining it could be expected to help."""
HANDED_ON, ALONE = "handed on", "from keyframes alone"
REFINED = f"handed on, errors below {SMALL_ERROR_PX} px taken out"
TRUE = "handed on, and the third of them true"
HIDDEN_PX = 100.0
"""Forward-backward error of what a keyframe does not show."""
SETS = ("moved keyframes", "and unmoved ones", "and re-inked ones", "and the fill by vote", "and the fills by match")


@dataclass(frozen=True)
class Options:
    """The ceiling of the proposals."""

    kind: str = "clips"
    """Layout of the data set, a name of opdm.data.clips.READERS."""
    data: Path | None = None
    """Its folder; None is generated shots."""
    shots: int = 10
    """How many, at most."""
    frames: int = 10
    """Of a shot; the first and the last are given."""
    size: int = 224
    """Height and width of generated shots, in pixels."""
    model: str = "opdm-small"
    """What paints from the proposals: the name of an embedded model, or the folder of one that chooses."""


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0, or 2 for a bad request, told in one line."""
    options = tyro.cli(Options, args=arguments, description=__doc__)
    try:
        clips = find_clips(options)
        scores = measure(clips, options.frames, load_model(options.model), knows_flow=options.data is None)
    except InputError as error:
        print(f"proposals.py: error: {error}", file=sys.stderr)
        return 2
    columns = [*SETS, f"painted by {options.model}"]
    print("| motion | " + " | ".join(f"{name} [dB]" for name in columns) + " |\n|---" + "|---:" * len(columns) + "|")
    for motion, values in scores.items():
        print(f"| {motion} | " + " | ".join(f"{value:.2f}" for value in values) + " |")
    return 0


def load_model(name: str) -> "OPDMPipeline":
    """A model that chooses among proposals. Raises InputError."""
    from opdm.pipeline import OPDMPipeline

    pipeline = OPDMPipeline.from_pretrained(name)
    if not pipeline.chooses:
        raise InputError(f"--model {name}: paints without proposals; give a model with a choice head, as opdm-small")
    return pipeline


def find_clips(options: Options) -> "list[Clip]":
    """Clips with drawings. Raises InputError."""
    from opdm.data.cel_clips import cel_clips
    from opdm.data.clips import read_clips

    if options.data is None:
        seeds = range(FIRST_SEED, FIRST_SEED + options.shots)
        return cel_clips(seeds, height=options.size, width=options.size, frames=options.frames)
    clips = [clip for clip in read_clips(options.kind, options.data) if clip.lines and len(clip) >= options.frames]
    if not clips:
        raise InputError(f"{options.data}: no clip has drawings and {options.frames} frames")
    return clips[: options.shots]


def measure(clips: "list[Clip]", frames: int, pipeline: "OPDMPipeline", *, knows_flow: bool) -> dict[str, list[float]]:
    """Mean PSNR of each set of proposals, and last of what is painted, by how motion was found.

    `knows_flow`: the clips do, between any two frames.
    """
    import torch
    from tqdm import tqdm

    from opdm.flow import track_px
    from opdm.layers import Layers
    from opdm.motion import estimate_motion
    from opdm.segments import find_regions
    from opdm.staging import set_up

    scores: dict[str, list[Tensor]] = {}
    for clip in tqdm(clips, unit="shot", leave=False, disable=None):
        assert clip.lines is not None
        lines = [clip.lines(i) for i in range(frames)]
        keyframes = [Layers(clip.color(i), lines[i]) for i in (0, frames - 1)]
        tracks_px = torch.stack([torch.stack(track_px(lines)), torch.stack(track_px(lines[::-1])[::-1])], dim=1)
        for i in range(1, frames - 1):
            regions = find_regions(lines[i])
            handed_on = estimate_motion(lines[i], regions, keyframes, tracks_px[i])
            motions = {HANDED_ON: handed_on, ALONE: estimate_motion(lines[i], regions, keyframes)}
            if knows_flow:
                truth = true_motion(clip, i, frames)
                motions[REFINED] = without_small_errors(motions[HANDED_ON], *truth)
                motions[TRUE] = with_true_flow(motions[HANDED_ON], *truth)
            match = None if pipeline.matcher is None else remember(pipeline.matcher)
            for name, motion in motions.items():
                stage = set_up(
                    lines[i],
                    regions,
                    keyframes,
                    shorter_side=pipeline.default_size,
                    multiple=pipeline.size_multiple,
                    motion=motion,
                    time=i / (frames - 1),
                    matcher=match,
                )
                found = [*each_ceiling(clip.color(i), stage), score_painting(clip.color(i), stage, pipeline)]
                scores.setdefault(name, []).append(torch.stack(found))
    return {name: torch.stack(values).mean(dim=0).tolist() for name, values in scores.items()}


def remember(
    matcher: "Callable[[Tensor, Tensor, Layers], Match]",
) -> "Callable[[Tensor, Tensor, Layers], Match]":
    """The same matches of one drawing, found once for each keyframe: motion does not change them."""
    known: dict[int, Match] = {}

    def match(lines: "Tensor", regions: "Tensor", keyframe: "Layers") -> "Match":
        if id(keyframe) not in known:
            known[id(keyframe)] = matcher(lines, regions, keyframe)
        return known[id(keyframe)]

    return match


def true_motion(clip: "Clip", i: int, frames: int) -> "tuple[Tensor, Tensor]":
    """Flow (2, 2, H, W) in pixels from frame i to both ends, and what they do not show of it, (2, H, W) bool."""
    import torch

    assert clip.flow_px is not None
    assert clip.is_occluded is not None
    ends = (0, frames - 1)
    return torch.stack([clip.flow_px(i, j) for j in ends]), torch.stack([clip.is_occluded(i, j) for j in ends])


def without_small_errors(motion: "Motion", true_px: "Tensor", hidden: "Tensor") -> "Motion":
    """Motion whose estimates are true wherever they were less than `SMALL_ERROR_PX` wrong, as `true_motion` tells."""
    import torch

    from opdm.motion import Motion

    whole = motion.resize((true_px.shape[-2], true_px.shape[-1]))
    error_px = (whole.flow_px - true_px[:, None]).square().sum(dim=2, keepdim=True).sqrt()  # (K, FLOWS, 1, H, W)
    is_near = (error_px < SMALL_ERROR_PX) & ~hidden[:, None, None]
    return Motion(torch.where(is_near, true_px[:, None], whole.flow_px), whole.error_px, whole.settled)


def with_true_flow(motion: "Motion", true_px: "Tensor", hidden: "Tensor") -> "Motion":
    """Motion whose last estimate is the true one; it has no vote where the keyframe does not show the pixel."""
    import torch

    from opdm.motion import Motion

    whole = motion.resize((true_px.shape[-2], true_px.shape[-1]))
    flow_px, error_px = whole.flow_px.clone(), whole.error_px.clone()
    flow_px[:, -1] = true_px
    error_px[:, -1, 0] = torch.where(hidden, HIDDEN_PX, 0)
    return Motion(flow_px, error_px, whole.settled)


def each_ceiling(target: "Tensor", stage: "Stage") -> "Iterator[Tensor]":
    """PSNR in dB of the best choice from each of `SETS`, bounded, of a drawing."""
    import torch

    from opdm.metrics import bounded_psnr
    from opdm.motion import FLOWS

    proposals = list(stage.proposals())
    moved = 2 * FLOWS * len(stage.keyframes)  # each as it was, then re-inked
    voted = moved + len(stage.keyframes)
    kinds = [proposals[:moved:2], proposals[moved:voted], proposals[1:moved:2]]
    kinds += [proposals[voted : voted + 1], proposals[voted + 1 :]]
    best = torch.full_like(target, torch.inf)
    for kind in kinds:
        for proposal in kind:
            is_better = (proposal - target).square().sum(dim=0) < (best - target).square().sum(dim=0)
            best = torch.where(is_better, proposal, best)
        yield bounded_psnr(best[None], target[None])[0]


def score_painting(target: "Tensor", stage: "Stage", pipeline: "OPDMPipeline") -> "Tensor":
    """PSNR in dB of what the model paints, bounded."""
    from opdm.metrics import bounded_psnr

    (finished,) = pipeline.paint([stage], seeds=[0])
    return bounded_psnr(finished.frame[None], target[None])[0]


if __name__ == "__main__":
    sys.exit(main())
