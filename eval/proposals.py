"""How good a choice among the proposals could be: the ceiling of a model that chooses, and what each kind adds to it.

    python eval/proposals.py                                     # generated shots
    python eval/proposals.py --data shots/ --kind clips          # painted shots of your own

Every drawing between the first and the last frame of a clip is painted by taking, for each pixel, the proposal that
comes closest to the true frame. Prints the mean PSNR of that for growing sets of proposals, with motion handed on from
drawing to drawing, without, and, of generated shots, with the true flow as one of the estimates.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from opdm.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from opdm.data.clips import Clip
    from opdm.layers import Layers
    from opdm.motion import Motion
    from opdm.proposals import Fill

MATCHER = "ant-small"
FIRST_SEED = 2**62
"""Above the seeds of training shots, as in `protocols.py`."""
HANDED_ON, ALONE, TRUE = "handed on", "from keyframes alone", "handed on, and the third of them true"
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


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0, or 2 for a bad request, told in one line."""
    options = tyro.cli(Options, args=arguments, description=__doc__)
    try:
        scores = measure(find_clips(options), options.frames, knows_flow=options.data is None)
    except InputError as error:
        print(f"proposals.py: error: {error}", file=sys.stderr)
        return 2
    print("| motion | " + " | ".join(f"{name} [dB]" for name in SETS) + " |\n|---" + "|---:" * len(SETS) + "|")
    for motion, values in scores.items():
        print(f"| {motion} | " + " | ".join(f"{value:.2f}" for value in values) + " |")
    return 0


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


def measure(clips: "list[Clip]", frames: int, *, knows_flow: bool) -> dict[str, list[float]]:
    """Mean PSNR of each set of proposals, by how motion was found; `knows_flow`: between any two frames."""
    import torch
    from tqdm import tqdm

    from opdm.ant import load_ant
    from opdm.flow import track_px
    from opdm.layers import Layers
    from opdm.matching import Matcher
    from opdm.motion import estimate_motion
    from opdm.segments import find_regions

    matcher = Matcher(load_ant(MATCHER))
    scores: dict[str, list[Tensor]] = {}
    for clip in tqdm(clips, unit="shot", leave=False, disable=None):
        assert clip.lines is not None
        lines = [clip.lines(i) for i in range(frames)]
        ends = torch.stack([lines[0], lines[-1]])
        keyframes = [Layers(clip.color(i), lines[i]) for i in (0, frames - 1)]
        tracks_px = torch.stack([torch.stack(track_px(lines)), torch.stack(track_px(lines[::-1])[::-1])], dim=1)
        for i in range(1, frames - 1):
            regions = find_regions(lines[i])
            matched = [matcher(lines[i], regions, keyframe).fill for keyframe in keyframes]
            motions = {HANDED_ON: estimate_motion(lines[i], ends, tracks_px[i]), ALONE: estimate_motion(lines[i], ends)}
            if knows_flow:
                motions[TRUE] = with_true_flow(motions[HANDED_ON], clip, i, frames)
            for name, motion in motions.items():
                ceilings = each_ceiling(clip.color(i), lines[i], regions, keyframes, motion, matched)
                scores.setdefault(name, []).append(torch.stack(list(ceilings)))
    return {name: torch.stack(values).mean(dim=0).tolist() for name, values in scores.items()}


def with_true_flow(motion: "Motion", clip: "Clip", i: int, frames: int) -> "Motion":
    """Motion whose last estimate is the true one; it has no vote where the keyframe does not show the pixel."""
    import torch

    from opdm.motion import Motion

    assert clip.flow_px is not None
    assert clip.is_occluded is not None
    ends = (0, frames - 1)
    true_px = torch.stack([clip.flow_px(i, j) for j in ends])
    hidden = torch.stack([clip.is_occluded(i, j) for j in ends])
    whole = motion.resize((true_px.shape[-2], true_px.shape[-1]))
    flow_px, error_px = whole.flow_px.clone(), whole.error_px.clone()
    flow_px[:, -1] = true_px
    error_px[:, -1, 0] = torch.where(hidden, torch.inf, 0)
    return Motion(flow_px, error_px)


def each_ceiling(
    target: "Tensor",
    lines: "Tensor",
    regions: "Tensor",
    keyframes: "list[Layers]",
    motion: "Motion",
    matched: "list[Fill]",
) -> "Iterator[Tensor]":
    """PSNR in dB of the best choice from each of `SETS`, at most 60, of a drawing with its fills by match."""
    import torch

    from opdm.metrics.image import psnr
    from opdm.motion import FLOWS
    from opdm.proposals import cast_votes, each_proposal, fill_by_vote

    motion = motion.resize((lines.shape[-2], lines.shape[-1]))
    fills = [fill_by_vote(cast_votes(keyframes, motion, regions)), *matched]
    proposals = list(each_proposal(lines, keyframes, motion, regions, fills))
    moved = 2 * FLOWS * len(keyframes)  # each as it was, then re-inked
    voted = moved + len(keyframes)
    kinds = [proposals[:moved:2], proposals[moved:voted], proposals[1:moved:2]]
    kinds += [proposals[voted : voted + 1], proposals[voted + 1 :]]
    best = torch.full_like(target, torch.inf)
    for kind in kinds:
        for proposal in kind:
            is_better = (proposal - target).square().sum(dim=0) < (best - target).square().sum(dim=0)
            best = torch.where(is_better, proposal, best)
        yield psnr(best[None], target[None])[0].clamp(max=60)


if __name__ == "__main__":
    sys.exit(main())
