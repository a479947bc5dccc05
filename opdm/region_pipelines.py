"""Two more ways to paint, which decide region by region: by the Animation Transformer, and by it and the model at once.

Both are pipelines as `opdm.painting` takes them. The first fills every region with the color of the region that
matches it best in a keyframe. The second lets the model paint, and recolors those flat regions where the matches and
the moved keyframes outvote it.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from opdm.ant import AnT
from opdm.compositing import compose
from opdm.exact_fill import entry_colors, repaint
from opdm.layers import Layers, lay_lines
from opdm.matching import Match, Matcher, is_same
from opdm.pipeline import OPDMPipeline
from opdm.region_colors import (
    FLAT_SHARE,
    SAME_COLOR,
    choose_entries,
    color_distance,
    interior_weights,
    measure_flatness,
    sum_by_region,
)
from opdm.segments import fill_regions, find_regions, grow_over_lines, vote_colors
from opdm.staging import Finished, Moved, Stage, set_up


def most_alike(matches: Sequence[Match]) -> Tensor:
    """The color (S, 3) of each region's best match, in the keyframe that is surest of it; NaN without one."""
    sure = torch.stack([match.chances.amax(dim=1) for match in matches])  # (K, S)
    colors = torch.stack([match.best_colors for match in matches])  # (K, S, 3)
    return colors[sure.argmax(dim=0), torch.arange(sure.shape[1])]


def nearest_color(colors: Tensor, matches: Sequence[Match]) -> Tensor:
    """The color of the keyframes' regions that is nearest to each of colors (S, 3), which stay where there is none."""
    palette = torch.cat([match.colors for match in matches])
    palette = palette[~palette.isnan().any(dim=1)]
    nearest = entry_colors(palette, choose_entries(colors, palette))
    return torch.where(nearest.isnan(), colors, nearest)


def elect_colors(regions: Tensor, fill: Tensor, own: Tensor, moved: Moved | None, matches: Sequence[Match]) -> Tensor:
    """For each region (H, W) that color, (S, 3), which has most votes.

    `own` (S, 3) is most of what the region is painted with in fill (3, H, W): the color of the keyframes nearest to it
    is a candidate, and so are what the moved keyframes elect and the best match. Each has the votes of the share of
    the region that is painted so, of the share of the moved keyframes' votes, and of how likely the region matches one
    of that color. A mixture that the model painted is no candidate, for a painter has none on the palette.
    """
    weights = interior_weights(regions)
    sizes = sum_by_region(regions, weights, len(own))
    candidates = [nearest_color(own, matches), most_alike(matches)]
    if moved is not None:
        candidates.insert(1, moved.voted.colors)
    votes = []
    for colors in candidates:
        is_near = color_distance(regions, fill, colors) <= SAME_COLOR
        painted = (sum_by_region(regions, weights * is_near, len(colors)) / sizes).nan_to_num()
        found = painted + torch.stack([match.chance_of(colors) for match in matches]).amax(dim=0)
        if moved is not None:
            found = found + moved.ballot.share(colors)
        votes.append(torch.where(colors.isnan().any(dim=1), -1, found))
    best = torch.stack(votes).argmax(dim=0)
    return torch.stack(candidates)[best, torch.arange(len(best))]


class AnTPipeline:
    """Every region in the color of its best match, without the diffusion model."""

    references, size_multiple, default_size = 2, 1, 256
    uses_motion = chooses = False

    def __init__(self, network: AnT):
        self.match = Matcher(network)

    def set_up(
        self,
        lines: Tensor,
        keyframes: list[Layers],
        *,
        size: int | None = None,
        tracks_px: Tensor | None = None,
        time: float | None = None,
    ) -> Stage:
        """A drawing (1, H, W) and its keyframes; `size` has no effect, for regions are matched as they are drawn."""
        return set_up(lines, find_regions(lines), keyframes, shorter_side=self.default_size, multiple=1)

    def paint(self, stages: Sequence[Stage], *, seeds: list[int], steps: int | None = None) -> Iterator[Finished]:
        """Drawings one after the other; nothing here is random."""
        for stage in stages:
            matches = [self.match(stage.lines, stage.regions, keyframe) for keyframe in stage.keyframes]
            nearest = stage.keyframes[0]
            fill = fill_regions(grow_over_lines(stage.regions), most_alike(matches), nearest.paint)
            yield Finished(lay_lines(fill, nearest.ink, stage.lines))


class BothPipeline:
    """The diffusion model, whose colors the Animation Transformer and the moved keyframes may outvote.

    Without a network, regions have the matches that the model itself is given.
    """

    def __init__(self, pipeline: OPDMPipeline, network: AnT | None):
        self.pipeline, self.match = pipeline, Matcher(network) if network else None
        self.references, self.size_multiple = pipeline.references, pipeline.size_multiple
        self.uses_motion, self.chooses = pipeline.uses_motion, pipeline.chooses
        self.default_size, self.set_up = pipeline.default_size, pipeline.set_up

    def paint(self, stages: Sequence[Stage], *, seeds: list[int], steps: int | None = None) -> Iterator[Finished]:
        """Drawings of one working size, one after the other."""
        painted = self.pipeline.paint(stages, seeds=seeds, steps=steps)
        for stage, finished in zip(stages, painted, strict=True):
            settled = settle(stage, finished.frame, self._matches(stage))
            yield Finished(stage.hold(settled), finished.weights)

    def _matches(self, stage: Stage) -> Sequence[Match]:
        if self.match is None:
            assert stage.moved is not None, "a model that is given matches is given motion"
            return stage.moved.matches
        return [self.match(stage.lines, stage.regions, keyframe) for keyframe in stage.keyframes]


def settle(stage: Stage, frame: Tensor, matches: Sequence[Match]) -> Tensor:
    """The frame (3, H, W), with those regions in another color that are painted flat and were outvoted.

    `matches` with each keyframe. What is not flat keeps its light and shadow.
    """
    regions = stage.regions
    layers = compose(frame, stage.lines)
    own = vote_colors(regions, layers.fill, interior_weights(regions))
    colors = elect_colors(regions, layers.fill, own, stage.moved, matches)
    is_flat = measure_flatness(regions, layers.fill, own) >= FLAT_SHARE
    is_outvoted = is_flat & ~is_same(colors, own)
    return repaint(frame, layers, regions, torch.where(is_outvoted[:, None], colors, torch.nan)).frame
