"""The one saved model: reference encoder, adapter, U-Net and head.

`encode` runs once per drawing, `denoise` once per step.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor

from opdm.adapters import ADAPTERS
from opdm.blocks import channels_last
from opdm.checkpoint import Channels
from opdm.conditions import Conditions
from opdm.config import ChoiceHeadConfig, ModelConfig, from_dict, to_dict
from opdm.evidence import weigh_lines
from opdm.heads import HEADS
from opdm.proposals import name_proposals
from opdm.ranking import Candidates, Ranking, show
from opdm.reference_encoder import PyramidEncoder
from opdm.region_pooling import RegionPooling
from opdm.unet import UNet

HARDLY_CHOSEN = -2.0
"""Logit of a proposal that a model which is trained on did not have before."""


@dataclass(frozen=True)
class Guidance:
    """What guides all denoising steps of a drawing."""

    features: list[Tensor]
    """One per level, (B, C_l, H / 2^l, W / 2^l), added inside the encoder's residual blocks."""
    regions: Tensor
    """(B, 1, H, W) int, of the drawing."""
    proposals: Tensor | None
    """(B, P, 3, H, W) float32 in [-1, 1]: frames that may already be right in places."""
    evidence: Tensor | None
    """(B, C, H, W) float32, added to what the U-Net gives the head: logits for the keyframes among the proposals."""
    candidates: Candidates | None
    """What is to be ranked, by models that rank."""


class OPDMModel(ModelMixin, ConfigMixin):
    """The Offset Prior-based Diffusion Model; `from_config_dataclass` is the way to make a new one."""

    _supports_gradient_checkpointing = False

    @register_to_config
    def __init__(self, architecture: dict[str, Any]):
        """architecture: `to_dict` of a `ModelConfig`, so that config.json says everything."""
        super().__init__()
        config = from_dict(ModelConfig, dict(architecture))
        self.references, self.uses_motion, self.matcher = config.references, config.uses_motion, config.matcher
        self.sampling_steps, self.working_size = config.sampling_steps, config.working_size
        self.size_multiple = 2 ** (len(config.unet.widths) - 1)
        self.reference_encoder = PyramidEncoder(
            3 * config.references,
            config.unet.widths,
            blocks_per_level=config.reference.blocks_per_level,
            norm_groups=config.unet.norm_groups,
        )
        self.adapter = ADAPTERS[type(config.adapter)](config.adapter, references=config.references, unet=config.unet)
        self.head = HEADS[type(config.head)]()
        self.weighs_lines = isinstance(config.head, ChoiceHeadConfig) and config.head.evidence == "lines"
        answers = tuple(self.head.channels(name_proposals(config.references, config.fills)))
        self.unet = UNet(config.unet, out_channels=len(answers))
        self.channels = {
            "unet.project.weight": Channels(0, answers),
            "unet.project.bias": Channels(0, answers, new=HARDLY_CHOSEN),
            **self.adapter.channels("adapter."),
        }
        self.ranking = None
        if isinstance(config.head, ChoiceHeadConfig) and config.head.ranking_width:
            self.ranking = Ranking(
                config.head.ranking_width,
                context_width=config.unet.widths[0],
                references=config.references,
                fills=config.fills,
            )
        self.idle_when_new = tuple(
            f"{name}." for name, module in self.named_modules() if isinstance(module, RegionPooling | Ranking)
        )

    def to(self, *arguments: Any, **options: Any) -> "OPDMModel":
        """As any module's; diffusers' own warns of modules to be kept in float32 even where there are none."""
        return torch.nn.Module.to(self, *arguments, **options)

    @classmethod
    def from_model_config(cls, config: ModelConfig) -> "OPDMModel":
        """A new model with random weights; a pre-trained offset estimator that the config names is loaded."""
        model = cls(architecture=to_dict(config))
        estimator = getattr(config.adapter, "estimator", None)
        if estimator is not None:
            model.adapter.load_estimator(estimator)
        return model

    def encode(self, conditions: Conditions) -> Guidance:
        """Everything about a drawing that does not change between denoising steps.

        The conditions' frames and lines are in [0, 1], as everywhere outside the model.
        """
        inside = conditions.inside_model()
        features = self.reference_encoder(inside.keyframes.flatten(1, 2))  # from (B, 3 K, H, W)
        if offsets := self.adapter(inside):
            features = [reference + offset for reference, offset in zip(features, offsets, strict=True)]
        logits = weigh_lines(conditions) if self.weighs_lines else None
        evidence = None
        if logits is not None:
            evidence = F.pad(logits, (0, 0, 0, 0, 0, self.unet.project.out_channels - logits.shape[1]))
        candidates = None if self.ranking is None else show(conditions, logits)
        return Guidance(features, inside.regions, inside.proposals, evidence, candidates)

    def denoise(self, noisy_frame: Tensor, timestep: Tensor, lines: Tensor, guidance: Guidance) -> Tensor:
        """The head's prediction, noise or clean frame in [-1, 1], (B, 3, H, W) float32; arguments as `evaluate` has."""
        return self.head(self.evaluate(noisy_frame, timestep, lines, guidance), guidance.proposals)

    def evaluate(self, noisy_frame: Tensor, timestep: Tensor, lines: Tensor, guidance: Guidance) -> Tensor:
        """One evaluation of the U-Net, and of the ranking: what the head takes, (B, C, H, W).

        noisy_frame (B, 3, H, W) float32, in the units of [-1, 1] frames; timestep (B,); lines (B, 1, H, W) in [0, 1].
        """
        dtype = self.dtype
        drawing = channels_last((lines * 2 - 1).to(dtype))
        noisy_frame = channels_last(noisy_frame.to(dtype))
        output, features = self.unet(noisy_frame, drawing, timestep, guidance.features, guidance.regions)
        if guidance.evidence is not None:
            output = output.float() + guidance.evidence
        if self.ranking is None or guidance.candidates is None:
            return output
        logits, residual = output[:, :-3].float(), output[:, -3:].float()
        ranks = self.ranking(logits, residual, features, guidance.candidates)
        return torch.cat([logits + ranks, residual], dim=1)

    def forward(self, noisy_frame: Tensor, timestep: Tensor, conditions: Conditions) -> Tensor:
        """`encode` and `denoise` in one; for a single step only."""
        return self.denoise(noisy_frame, timestep, conditions.lines, self.encode(conditions))
