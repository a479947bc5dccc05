"""The knobs of the Animation Transformer (AnT, Casey et al. 2021): its network, its losses, its data.

Imports no torch. `opdm.config` joins them to the others. The defaults are the paper's where it gives a number.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class AnTConfig:
    """The network that matches the segments of two drawings (section 3.1)."""

    kind: Literal["ant"] = "ant"
    width: int = 256
    """D: channels of a segment's features."""
    layers: int = 9
    """L, each a block of self-attention and one of cross-attention; 0 matches by crops and boxes alone. Ours: the paper
    says "9 layers of alternating self- and cross-attention", in the words of SuperGlue, whose program counts so."""
    heads: int = 4
    """Of each attention."""
    expansion: int = 2
    """Channels inside a block's point-wise layers, in units of the width. Ours: the paper does not say."""
    dropout: float = 0.1
    """Of the features that enter the transformer, and of the attention."""
    crop_size: int = 32
    """Side of a segment's crop, in pixels."""
    crop_margin: float = 0.125
    """How far a crop reaches beyond the segment's box, on each side, in sides of the box. Ours: the paper's crop is the
    box; with the margin it shows the lines that enclose the segment."""
    crop_widths: tuple[int, ...] = (32, 64, 128, 256, 256)
    """Channels of the convolutions, each of which halves the crop, to 1 x 1. Ours: the paper says "conventional"."""
    norm_groups: int = 8
    """Groups of the GroupNorm after each of them."""
    position: Literal["box", "none"] = "box"
    """Whether the segment's box is added to its features (equation 1)."""

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"model.heads: {self.heads} does not divide model.width = {self.width}")
        if self.crop_size != 2 ** len(self.crop_widths):
            raise ValueError(
                f"model.crop_size: {self.crop_size} is not 2^{len(self.crop_widths)}, what the {len(self.crop_widths)} "
                "halvings of model.crop_widths bring to one pixel"
            )
        for width in self.crop_widths:
            if width % self.norm_groups:
                raise ValueError(
                    f"model.crop_widths: {width} is not a multiple of model.norm_groups = {self.norm_groups}"
                )


@dataclass(frozen=True, kw_only=True)
class MatchingObjectiveConfig:
    """Forward-match and cycle-consistency loss (equation 8)."""

    kind: Literal["matching"] = "matching"
    supervision: Literal["ids", "colors"] = "ids"
    """What tells which segments match: true identity, as in generated shots, or only that their colors are the same,
    as in painted frames."""
    cycle_weight: float = 0.25
    """α, of the cycle-consistency loss; 0 leaves it out."""


@dataclass(frozen=True, kw_only=True)
class CelPairDataConfig:
    """Pairs of drawings of generated cel animation, with their segments and which of them match."""

    kind: Literal["cel-pairs"] = "cel-pairs"
    shot_sizes: tuple[int, int] = (224, 320)
    """Smallest and largest height and width, in pixels, at which shots are drawn."""
    longest_gap: int = 8
    """Frames from one drawing of a pair to the other, at most: the paper's random frame skipping."""
    pairs_per_shot: int = 4
    """Pairs taken from each shot, in either order of time."""
    augmented_lines_share: float = 0.5
    """Share of shots whose drawings are changed by `augment_lines`, which leaves 3 in 10 as they are."""
    moved_share: float = 0.5
    """Share of drawings that are scaled, sheared, turned and shifted: the paper's cropping, jittering and shearing."""

    def __post_init__(self) -> None:
        smallest, largest = self.shot_sizes
        if not 32 <= smallest <= largest:
            raise ValueError(f"data.shot_sizes: {smallest} {largest}; give the smaller first, and none below 32")
        for name in ("longest_gap", "pairs_per_shot"):
            if getattr(self, name) < 1:
                raise ValueError(f"data.{name}: {getattr(self, name)}; at least 1")
