"""How the U-Net's output becomes a prediction: of the noise, of the frame, or of a choice among proposals.

Computed in float32 whatever the U-Net runs in: bfloat16 cannot tell neighboring 8-bit colors apart.
"""

from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from opdm.checkpoint import RGB
from opdm.compositing import compose
from opdm.config import ChoiceHeadConfig, FrameHeadConfig, HeadConfig, NoiseHeadConfig

PredictionType = Literal["epsilon", "sample"]


class NoiseHead:
    """The output is the noise."""

    prediction_type: ClassVar[PredictionType] = "epsilon"
    chooses: ClassVar[bool] = False

    def channels(self, proposals: Sequence[str]) -> list[str]:
        """What each output channel of the U-Net is, given the names of the proposals."""
        return list(RGB)

    def __call__(self, output: Tensor, proposals: Tensor | None) -> Tensor:
        """output (B, 3, H, W): the noise, (B, 3, H, W) float32."""
        return output.float()

    def enlarge(self, frame: Tensor, output: Tensor, lines: Tensor, proposals: Iterable[Tensor]) -> Tensor:
        """The finished frame (3, H, W) at the drawing's size, from the one that was painted, all in [0, 1].

        frame (3, h, w); output of the last step (C, h, w); lines (1, H, W); proposals (3, H, W) each. Here the frame
        is enlarged and the drawing's lines are laid over it.
        """
        return compose(frame, lines).frame

    def weights(self, output: Tensor) -> Tensor | None:
        """How much of each proposal an output (C, h, w) takes, (P, h, w), in all 1; None where there is no choice."""
        return None


class FrameHead(NoiseHead):
    """The output is the clean frame."""

    prediction_type: ClassVar[PredictionType] = "sample"


class ChoiceHead:
    """The output weighs the proposals, pixel by pixel, and adds what none of them has."""

    prediction_type: ClassVar[PredictionType] = "sample"
    chooses: ClassVar[bool] = True

    def channels(self, proposals: Sequence[str]) -> list[str]:
        """As the other heads'; a logit per proposal and an RGB residual."""
        return [*proposals, *RGB]

    def __call__(self, output: Tensor, proposals: Tensor | None) -> Tensor:
        """output (B, P + 3, H, W), proposals (B, P, 3, H, W) in [-1, 1]: the clean frame, (B, 3, H, W) float32."""
        assert proposals is not None
        weights = output[:, :-3].float().softmax(dim=1)  # (B, P, H, W)
        return (weights[:, :, None] * proposals).sum(dim=1) + output[:, -3:].float()  # (B, 3, H, W)

    def enlarge(self, frame: Tensor, output: Tensor, lines: Tensor, proposals: Iterable[Tensor]) -> Tensor:
        """As the other heads'; the choice is enlarged, and what it chooses from has the drawing's size already."""
        size, small = lines.shape[-2:], output[None].float()
        # One proposal at a time, as all logits of a large drawing would take more memory than everything else. None of
        # them exceeds the enlarged maximum.
        highest = F.interpolate(small[:, :-3].amax(dim=1, keepdim=True), size, mode="bilinear")[0]
        chosen, total = torch.zeros(3, *size), torch.zeros(1, *size)
        for index, proposal in enumerate(proposals):
            logit = F.interpolate(small[:, index, None], size, mode="bilinear")[0]  # (1, H, W)
            weight = logit.sub_(highest).exp_()
            chosen.addcmul_(weight, proposal)
            total += weight
            del proposal  # or it would stay in memory while the next one is made
        residual = F.interpolate(small[:, -3:], size, mode="bilinear")[0]
        return chosen.div_(total).add_(residual, alpha=0.5).clamp_(0, 1)

    def weights(self, output: Tensor) -> Tensor | None:
        """As the other heads'."""
        return output[:-3].float().softmax(dim=0)


Head = NoiseHead | FrameHead | ChoiceHead

HEADS: dict[type[HeadConfig], type[Head]] = {
    NoiseHeadConfig: NoiseHead,
    FrameHeadConfig: FrameHead,
    ChoiceHeadConfig: ChoiceHead,
}
