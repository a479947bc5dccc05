"""Two keyframes that were moved to one drawing show the same there: what differs in place is aligned by their colors.

Ours. Each was moved by its lines alone, and where these leave both a pixel off, their mean is a blur.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from opdm.flow import compose_flow, dense_inverse_search, move
from opdm.settling import COARSE, Flow, Image

FARTHEST_PX = 6.0
"""Beyond, what is found is no correction any more."""
SETTLED = 0.05
"""How much a keyframe gives way where it is settled, to how much it would."""
AROUND_PX = 9
"""Side of the squares over which colors are compared."""
BETTER = 0.7
"""Of the difference of colors, what must be left at most where a correction is taken."""
LEAST = 1e-6
"""Mismatch of lines from which on it counts: below, both give way alike."""


def align(
    flows: Sequence[Flow], lightness: Sequence[Image], mismatches: Sequence[Image], is_settled: Sequence[np.ndarray]
) -> tuple[Flow, Flow]:
    """The flows from a drawing to two keyframes, corrected so that the moved keyframes agree.

    lightness: (H, W) uint8 of both keyframes. The one whose lines mismatch more, as `compare_lines` has it, gives way
    more; where one is settled (H, W), as `settle` has it, hardly that one.
    """
    first, second = (
        m * np.where(s[::COARSE, ::COARSE], SETTLED, 1) + LEAST for m, s in zip(mismatches, is_settled, strict=True)
    )
    share = cv2.resize((first / (first + second)).astype(np.float32), lightness[0].shape[::-1])[..., None]
    moved = [move(*pair, interpolation=cv2.INTER_CUBIC) for pair in zip(lightness, flows, strict=True)]
    correction = dense_inverse_search(*moved)
    correction = correction * (np.linalg.norm(correction, axis=-1, keepdims=True) <= FARTHEST_PX)
    steps = -share * correction, (1 - share) * correction
    corrected = [compose_flow(step, flow) for step, flow in zip(steps, flows, strict=True)]
    aligned = [move(*pair, interpolation=cv2.INTER_CUBIC) for pair in zip(lightness, corrected, strict=True)]
    is_better = (_differ(*aligned) < BETTER * _differ(*moved))[..., None]
    one, other = (np.where(is_better, *pair) for pair in zip(corrected, flows, strict=True))
    return one, other


def _differ(one: Image, other: Image) -> Image:
    return cv2.blur(cv2.absdiff(one, other).astype(np.float32), (AROUND_PX, AROUND_PX))
