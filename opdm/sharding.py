"""Weights that are split between processes (FSDP), and averages of their parts."""

from typing import Any

from diffusers.training_utils import EMAModel
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor


class WeightAverage(EMAModel):
    """The moving average of weights, each process with the part that it trains; saved whole."""

    def gather(self) -> list[Tensor]:
        """The averages, whole; every process has to ask."""
        return [make_whole(part) for part in self.shadow_params]

    def state_dict(self) -> dict[str, Any]:
        """As any average's; every process has to ask."""
        return super().state_dict() | {"shadow_params": self.gather()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From a state of any number of processes."""
        pairs = zip(state_dict["shadow_params"], self.shadow_params, strict=True)
        super().load_state_dict(state_dict | {"shadow_params": [split_as(whole, part) for whole, part in pairs]})


def make_whole(part: Tensor) -> Tensor:
    """A tensor of which each process has a part; one that is whole already stays."""
    return part.full_tensor() if isinstance(part, DTensor) else part


def split_as(whole: Tensor, part: Tensor) -> Tensor:
    """This process's part of a tensor, split as another one is."""
    if not isinstance(part, DTensor):
        return whole
    return distribute_tensor(whole.to(part.device), part.device_mesh, part.placements)
