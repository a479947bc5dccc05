"""The flow that the warp error follows, and its name: the number depends on it, so the name stands beside it.

True flow where the data set has it, else an estimate on the true frames, which is the same for every method judged.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from opdm.errors import InputError
from opdm.flow import dense_inverse_search, flow_tensor
from opdm.frames import LUMINANCE
from opdm.published_weights import load_weights
from opdm.raft import estimate_flow_px

TRUE = "true"


@dataclass(frozen=True)
class Motion:
    """Flow between two neighboring frames of a clip, each (2, H, W) in pixels (dx, dy)."""

    source: str
    """What it comes from, as a report names it."""
    forward_px: Tensor
    """From the earlier frame to the later one."""
    backward_px: Tensor
    """From the later frame to the earlier one."""


@dataclass(frozen=True)
class FlowEstimator:
    """An optical flow of pictures, with the name that stands beside what is measured along it."""

    name: str
    estimate: Callable[[Tensor, Tensor], Tensor]
    """Two (3, H, W) in [0, 1] -> (2, H, W), from the first to the second."""


TrueFlow = Callable[[int, int], Tensor]
"""(i, j) -> (2, H, W) in pixels from frame i to frame j; KeyError for a pair that the data set has not."""


def find_motion(
    earlier: int, later: int, true_flow_px: TrueFlow | None, color: Callable[[int], Tensor], estimator: FlowEstimator
) -> Motion:
    """The true flow both ways between two frames, or else the estimate on the true frames `color(i)`."""
    if true_flow_px is not None:
        try:
            return Motion(TRUE, true_flow_px(earlier, later), true_flow_px(later, earlier))
        except KeyError:
            pass
    first, second = color(earlier), color(later)
    return Motion(estimator.name, estimator.estimate(first, second), estimator.estimate(second, first))


def dis() -> FlowEstimator:
    """Dense inverse search (Kroeger et al. 2016) by OpenCV, on luminance: there on every machine."""

    def estimate(source: Tensor, target: Tensor) -> Tensor:
        return flow_tensor([dense_inverse_search(_gray(source), _gray(target))])[0]

    return FlowEstimator("DIS", estimate)


def raft(weights: Path | None = None, device: str = "cpu") -> FlowEstimator:
    """RAFT (Teed and Deng 2020), torchvision's large one, with its default weights or those of a file.

    Raises InputError where the weights cannot be had.
    """
    from torchvision.models.optical_flow import Raft_Large_Weights, raft_large

    published = Raft_Large_Weights.C_T_SKHT_V2
    state = load_weights("RAFT", published.url, weights)
    network = raft_large(weights=None)
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise InputError(f"RAFT: {weights} has not the weights of torchvision's raft_large") from error
    network.eval().to(device)

    @torch.no_grad()
    def estimate(source: Tensor, target: Tensor) -> Tensor:
        pictures = (torch.stack([source, target]) * 2 - 1).to(device)
        return estimate_flow_px(network, pictures[:1], pictures[1:])[0].float().cpu()

    return FlowEstimator(f"RAFT {published.name if weights is None else Path(weights).name}", estimate)


FLOW_ESTIMATORS: dict[str, Callable[[], FlowEstimator]] = {"dis": dis, "raft": raft}
"""By the name that a program asks for; `raft` also takes a file of weights."""


def _gray(picture: Tensor) -> np.ndarray:
    """(3, H, W) in [0, 1] -> (H, W) uint8 luminance."""
    return (picture.cpu() * LUMINANCE).sum(dim=0).mul(255).round().byte().numpy()
