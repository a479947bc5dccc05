"""How the U-Net's output becomes a prediction: of the noise, of the frame, or of a choice among proposals.

Computed in float32 whatever the U-Net runs in: bfloat16 cannot tell neighbouring 8-bit colors apart.
"""

from typing import ClassVar, Literal

from torch import Tensor

from opdm.config import ChoiceHeadConfig, FrameHeadConfig, HeadConfig, NoiseHeadConfig

PredictionType = Literal["epsilon", "sample"]


class NoiseHead:
    """The output is the noise."""

    prediction_type: ClassVar[PredictionType] = "epsilon"

    def channels(self, proposals: int) -> int:
        """Output channels of the U-Net."""
        return 3

    def __call__(self, output: Tensor, proposals: Tensor) -> Tensor:
        """output (B, 3, H, W): the noise, (B, 3, H, W) float32."""
        return output.float()


class FrameHead(NoiseHead):
    """The output is the clean frame."""

    prediction_type: ClassVar[PredictionType] = "sample"


class ChoiceHead:
    """The output weighs the proposals, pixel by pixel, and adds what none of them has."""

    prediction_type: ClassVar[PredictionType] = "sample"

    def channels(self, proposals: int) -> int:
        """Output channels of the U-Net: a logit per proposal and an RGB residual."""
        return proposals + 3

    def __call__(self, output: Tensor, proposals: Tensor) -> Tensor:
        """output (B, P + 3, H, W), proposals (B, P, 3, H, W) in [-1, 1]: the clean frame, (B, 3, H, W) float32."""
        count = proposals.shape[1]
        weights = output[:, :count].float().softmax(dim=1)  # (B, P, H, W)
        return (weights[:, :, None] * proposals).sum(dim=1) + output[:, count:].float()  # (B, 3, H, W)


Head = NoiseHead | FrameHead | ChoiceHead

HEADS: dict[type[HeadConfig], type[Head]] = {
    NoiseHeadConfig: NoiseHead,
    FrameHeadConfig: FrameHead,
    ChoiceHeadConfig: ChoiceHead,
}
