"""What the denoiser is given beside the noisy frame: the drawing, its keyframes, and what their motion proposes.

Made once per drawing, on the CPU, by the data loader in training and by the pipeline in painting.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from opdm.backdrop import View
from opdm.layers import Layers
from opdm.motion import Motion
from opdm.proposals import Fill, each_proposal, move_lines
from opdm.region_colors import pick
from opdm.segments import grow_over_lines


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """B drawings with their K keyframes, earlier before later; of one drawing, without the B.

    Models that make nothing of motion have None in its place.
    """

    lines: Tensor
    """(B, 1, H, W) in [0, 1], 1 = paper."""
    keyframes: Tensor
    """(B, K, 3, H, W) in [0, 1]."""
    keyframe_lines: Tensor
    """(B, K, 1, H, W) in [0, 1]."""
    regions: Tensor
    """(B, 1, H, W) int32: of the drawing, from 1; a pixel of a line belongs to the nearest one."""
    flow_px: Tensor | None = None
    """(B, K, FLOWS, 2, H, W), from drawing to keyframe."""
    flow_error_px: Tensor | None = None
    """(B, K, FLOWS, 1, H, W), forward-backward error."""
    settled: Tensor | None = None
    """(B, K, 1, H, W) in [0, 1]: how much of the first flow is at rest or the camera's, by its lines."""
    moved_lines: Tensor | None = None
    """(B, K, FLOWS, 1, H, W) in [0, 1]: the keyframes' lines, moved by each flow."""
    proposals: Tensor | None = None
    """(B, P, 3, H, W) in [0, 1]: frames that may already be right in places."""
    fill_sureness: Tensor | None = None
    """(B, F, 1, H, W) in [0, 1], of the last F proposals, which fill regions; 0 on lines."""

    def map(self, change: Callable[[Tensor], Tensor]) -> "Conditions":
        """The same with every tensor changed."""
        every = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return Conditions(**{name: change(tensor) for name, tensor in every.items() if tensor is not None})

    def to(self, device: torch.device | str) -> "Conditions":
        """The same conditions on another device."""
        return self.map(lambda tensor: tensor.to(device))

    def inside_model(self) -> "Conditions":
        """The same with frames and lines in [-1, 1], as the networks take them."""
        signed = replace(self, flow_px=None, flow_error_px=None, settled=None).map(lambda frame: frame * 2 - 1)
        return replace(
            signed,
            regions=self.regions,
            flow_px=self.flow_px,
            flow_error_px=self.flow_error_px,
            settled=self.settled,
        )

    @staticmethod
    def stack(singles: Sequence["Conditions"]) -> "Conditions":
        """A batch of single drawings, which all know their motion or all do not."""
        columns = {entry.name: [getattr(single, entry.name) for single in singles] for entry in fields(Conditions)}
        present = {name: values for name, values in columns.items() if values[0] is not None}
        return Conditions(**{name: torch.stack(values) for name, values in present.items()})


def build_conditions(lines: Tensor, keyframes: Sequence[Layers], regions: Tensor) -> Conditions:
    """The conditions of one drawing (1, H, W) with regions (H, W) for a model that makes nothing of motion."""
    return Conditions(
        lines=lines,
        keyframes=torch.stack([keyframe.color for keyframe in keyframes]),
        keyframe_lines=torch.stack([keyframe.lines for keyframe in keyframes]),
        regions=grow_over_lines(regions)[None],
    )


def build_moved_conditions(
    lines: Tensor,
    keyframes: Sequence[Layers],
    motion: Motion,
    regions: Tensor,
    fills: Sequence[Fill],
    backdrop: View | None = None,
) -> Conditions:
    """The conditions of one drawing with everything that its motion proposes; arguments as `each_proposal` has them."""
    still = build_conditions(lines, keyframes, regions)
    return replace(
        still,
        flow_px=motion.flow_px,
        flow_error_px=motion.error_px,
        settled=motion.settled,
        moved_lines=move_lines(keyframes, motion),
        proposals=torch.stack(list(each_proposal(lines, keyframes, motion, regions, fills, backdrop))),
        fill_sureness=torch.stack([pick(fill.sureness, regions)[None] for fill in fills]),
    )
