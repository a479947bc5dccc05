"""How well the model's doubt foretells what an artist has to repaint: `python eval/confidence.py`.

Shots are painted between their first and last frame. A region is wrong where its mean ΔE2000 to the true frame is
above 5, and new where neither keyframe shows most of it (by true occlusion, where the data have it). AUC is the area
under the ROC curve: how often a wrong region is doubted more than a right one; 0.5 is chance.
"""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import tyro

from opdm.errors import InputError
from proposals import Options, find_clips

if TYPE_CHECKING:
    from opdm.data.clips import Clip
    from opdm.pipeline import OPDMPipeline
    from opdm.staging import Finished, Stage


@dataclass(frozen=True)
class ConfidenceOptions(Options):
    """Doubt against error."""

    shots: int = 24
    """How many, at most."""
    model: str = "opdm-small"
    """A model that chooses among proposals: a name, a folder, or the id of a hub's repository."""
    every: int = 3
    """Of the drawings between, one in so many is painted."""


@dataclass(frozen=True)
class Judged:
    """A region and what is true of it."""

    doubt: float
    error: float
    """Mean ΔE2000 to the true frame."""
    mismatch: float
    agreement: dict[str, float]
    """`vote`, `match` and `keyframes_differ` as the check has them; the unknown ones are left out."""
    hidden: float | None
    """Share of it that neither keyframe shows; None where the data do not say."""


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0, or 2 for a bad request, told in one line."""
    options = tyro.cli(ConfidenceOptions, args=arguments, description=__doc__)
    try:
        judged = list(judge(options))
    except InputError as error:
        print(f"confidence.py: error: {error}", file=sys.stderr)
        return 2
    print(describe(judged))
    return 0


def judge(options: ConfidenceOptions) -> Iterator[Judged]:
    """Every region of every painted drawing. Raises InputError."""
    for clip, i, stage, finished in paint_clips(options):
        yield from judge_drawing(clip, i, stage, finished, options.frames)


def paint_clips(options: ConfidenceOptions) -> "Iterator[tuple[Clip, int, Stage, Finished]]":
    """Drawings of each clip, by their numbers, painted between its first and its last frame. Raises InputError."""
    clips = find_clips(options)
    pipeline = load_pipeline(options.model)
    from tqdm import tqdm

    if not pipeline.chooses:
        raise InputError(f"{options.model}: does not choose among proposals; take opdm-small")
    for clip in tqdm(clips, unit="shot", leave=False, disable=None):
        for i, stage in set_up_clip(clip, pipeline, options.frames, range(1, options.frames - 1, options.every)):
            (finished,) = pipeline.paint([stage], seeds=[0])
            yield clip, i, stage, finished


def load_pipeline(model: str) -> "OPDMPipeline":
    """A pipeline as the command line has it. Raises InputError."""
    from opdm.runtime import choose_device, choose_dtype, reuse_freed_memory

    reuse_freed_memory()  # before torch allocates anything
    from opdm.pipeline import OPDMPipeline

    device = choose_device("auto")
    return OPDMPipeline.from_pretrained(model).to(device=device, dtype=choose_dtype("auto", device))


def set_up_clip(
    clip: "Clip", pipeline: "OPDMPipeline", frames: int, places: Iterable[int]
) -> "Iterator[tuple[int, Stage]]":
    """The drawings at these places between the first and the last of so many frames, ready to be painted."""
    import torch

    from opdm.flow import track_px
    from opdm.layers import Layers

    assert clip.lines is not None, "find_clips sees to it"
    keyframes = [Layers(clip.color(k), clip.lines(k)) for k in (0, frames - 1)]
    lines = [clip.lines(i) for i in range(frames)]
    forward, backward = track_px(lines), track_px(lines[::-1])[::-1]
    for i in places:
        tracks_px = torch.stack([forward[i], backward[i]])
        yield i, pipeline.set_up(lines[i], keyframes, tracks_px=tracks_px, time=i / (frames - 1))


def judge_drawing(clip: "Clip", i: int, stage: "Stage", finished: "Finished", frames: int) -> Iterator[Judged]:
    """Regions of one drawing of a shot of so many frames."""
    import torch

    from opdm.confidence import check_drawing
    from opdm.metrics.color import delta_e_2000, lab_colors, region_means

    assert finished.weights is not None and stage.moved is not None, "the model chooses"
    planes = [delta_e_2000(lab_colors(finished.frame), lab_colors(clip.color(i)))]
    if clip.is_occluded is not None:
        planes.append((clip.is_occluded(i, 0) & clip.is_occluded(i, frames - 1)).float())
    true = region_means(torch.stack(planes), stage.regions)
    truths = dict(zip(true.ids.tolist(), true.means.T.tolist(), strict=True))
    for check in check_drawing(clip.stems[i], stage, finished.frame, finished.weights).regions:
        error, *hidden = truths[check.region]
        agreement = {"vote": check.vote, "match": check.match, "keyframes_differ": check.keyframes_differ}
        known = {name: value for name, value in agreement.items() if value is not None}
        yield Judged(check.doubt, error, check.mismatch, known, hidden[0] if hidden else None)


def describe(judged: list[Judged]) -> str:
    """The figures, for people."""
    from opdm.confidence import DOUBTFUL, NEW
    from opdm.metrics.color import VISIBLY_WRONG

    doubts, errors = np.array([j.doubt for j in judged]), np.array([j.error for j in judged])
    is_wrong = errors > VISIBLY_WRONG
    lines = [
        f"{len(judged)} regions, {is_wrong.mean():.1%} wrong; mean error {errors.mean():.2f}, mean doubt "
        f"{doubts.mean():.2f} ΔE2000",
        describe_threshold("doubt", doubts, DOUBTFUL, is_wrong, "wrong"),
        *describe_agreement(judged),
    ]
    if all(j.hidden is not None for j in judged):
        is_new = np.array([j.hidden > 0.5 for j in judged if j.hidden is not None])
        mismatches = np.array([j.mismatch for j in judged])
        lines.append(f"{is_new.mean():.1%} of the regions are shown by neither keyframe")
        lines.append(describe_threshold("mismatch", mismatches, NEW, is_new, "new"))
    return "\n".join(lines)


def describe_agreement(judged: list[Judged]) -> Iterator[str]:
    """How well each kind of agreement alone tells wrong regions from right ones, where it is known."""
    from opdm.metrics.color import VISIBLY_WRONG

    for name, sign in (("vote", -1), ("match", -1), ("keyframes_differ", 1)):
        known = [j for j in judged if name in j.agreement]
        is_wrong = np.array([j.error > VISIBLY_WRONG for j in known])
        auc = area_under_roc(np.array([sign * j.agreement[name] for j in known]), is_wrong)
        yield f"{name}: AUC {auc:.3f}, of {len(known)} regions"


def describe_threshold(name: str, scores: np.ndarray, threshold: float, is_so: np.ndarray, so: str) -> str:
    """How well a score tells what is so, and what its threshold does."""
    is_flagged = scores > threshold
    return (
        f"{name}: AUC {area_under_roc(scores, is_so):.3f}; {is_flagged.mean():.1%} of all regions are above "
        f"{threshold:g}, {share(is_flagged, is_so):.1%} of those that are {so}; of the ones above "
        f"{share(is_so, is_flagged):.1%} are {so}"
    )


def area_under_roc(scores: np.ndarray, is_positive: np.ndarray) -> float:
    """The share of pairs of a positive and a negative of which the positive has the higher score; equal ones half."""
    from scipy.stats import rankdata

    ranks, positives = rankdata(scores), int(is_positive.sum())
    negatives = len(scores) - positives
    if not positives or not negatives:
        return float("nan")
    return float((ranks[is_positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def share(of: np.ndarray, among: np.ndarray) -> float:
    """How many of those `among` are `of`; NaN where there are none."""
    return float(of[among].mean()) if among.any() else float("nan")


if __name__ == "__main__":
    sys.exit(main())
