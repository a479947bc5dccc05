"""Every knob of a model and of a run, as frozen dataclasses.

Imports no torch, so that `--help` is instant. The defaults are the paper's model and training (OPDM, section 4.1);
where the paper is silent, the docstring under the field says so.
"""

import dataclasses
import types
import typing
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, Union

from opdm.ant_config import AnTConfig, CelPairDataConfig, MatchingObjectiveConfig

Config = TypeVar("Config")


@dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """The denoising U-Net."""

    widths: tuple[int, ...] = (128, 192, 384, 576)
    """Channels of each level, from full resolution down; one halving between two levels. Ours: the paper gives only
    the total size, 205.58 M with two keyframes and 205.00 M with one. These give 206.3 M beside the frozen offset
    estimator; their sum, 1280, is what makes the second keyframe cost 0.58 M."""
    blocks_per_level: int = 4
    """Residual blocks of each encoder level; the decoder has one more."""
    attention_levels: tuple[int, ...] = (2, 3)
    """Levels (0 = full resolution) whose residual blocks are followed by self-attention."""
    attention_head_width: int = 64
    """Channels of one attention head."""
    region_levels: tuple[int, ...] = ()
    """Levels whose decoder ends with a pooling over the regions of the drawing. Ours: the paper has none."""
    norm_groups: int = 32
    """Groups of every GroupNorm; divides every width."""
    injection: Literal["first_block", "every_block"] = "first_block"
    """Encoder blocks that receive the reference and offset features. Ours: the paper says "into the ResNet block"."""

    def __post_init__(self) -> None:
        for width in self.widths:
            if width % self.norm_groups:
                raise ValueError(f"unet.widths: {width} is not a multiple of unet.norm_groups = {self.norm_groups}")
        for name in ("attention_levels", "region_levels"):
            for level in getattr(self, name):
                if not 0 <= level < len(self.widths):
                    raise ValueError(f"unet.{name}: {level} is no level; there are {len(self.widths)}")
        for level in self.attention_levels:
            if self.widths[level] % self.attention_head_width:
                raise ValueError(
                    f"unet.attention_head_width: {self.attention_head_width} does not divide the {self.widths[level]} "
                    f"channels of level {level}"
                )


@dataclass(frozen=True, kw_only=True)
class ReferenceConfig:
    """The encoder of the keyframes (section 3.3)."""

    blocks_per_level: int = 5
    """Residual blocks after the convolution of each level."""


@dataclass(frozen=True, kw_only=True)
class IdentityAdapterConfig:
    """No offsets: the keyframe features reach the U-Net as they are (the paper's RDM and v1)."""

    kind: Literal["identity"] = "identity"


@dataclass(frozen=True, kw_only=True)
class OffsetAdapterConfig:
    """The paper's Offset-Adapter (section 3.2)."""

    kind: Literal["offset"] = "offset"
    kernel_size: Literal[1, 3, 5] = 5
    """N: each pixel has N x N offsets (Table 4 compares 1, 3 and 5)."""
    widths: tuple[int, ...] = (64, 128, 192, 256)
    """Channels of each level's estimator. Ours: the paper does not say."""
    blocks_per_level: int = 5
    """Bottleneck residual blocks of each estimator."""
    estimator: str | None = None
    """Pre-trained estimator, frozen once loaded: the pipeline folder of a pre-training run, or a safetensors file.
    None trains the estimator with the rest."""


@dataclass(frozen=True, kw_only=True)
class DeformableAdapterConfig:
    """Keyframes aligned by deformable convolution, painted in a single pass (DCM of Table 4)."""

    kind: Literal["deformable"] = "deformable"
    kernel_size: Literal[1, 3, 5] = 5
    """N: each pixel is gathered from N x N places of the keyframe."""
    widths: tuple[int, ...] = (64, 128, 192, 256)
    """Channels of each level's estimator."""
    blocks_per_level: int = 5
    """Bottleneck residual blocks of each estimator."""


@dataclass(frozen=True, kw_only=True)
class FlowAdapterConfig:
    """Optical flow between the drawings in the place of offsets (FlowDM of Table 4), and, beyond the paper, the
    keyframes warped by it."""

    kind: Literal["flow"] = "flow"
    encodes: Literal["flow", "alignment", "matches"] = "alignment"
    """What is encoded for the U-Net: the flow alone (FlowDM); also the warped keyframes, how well their lines meet the
    drawing, the forward-backward error, and the fill of regions that motion gives; or also the fills that the matches
    of regions with each keyframe give, and how sure all fills are."""
    blocks_per_level: int = 2
    """Residual blocks of each level of the encoder."""
    matcher: str = "ant-small"
    """Animation Transformer that matches the regions, by name or folder; only `matches` needs one."""

    def count_fills(self, references: int) -> int:
        """F: of the drawing's regions, the last of the proposals."""
        return 1 + references if self.encodes == "matches" else 1


@dataclass(frozen=True, kw_only=True)
class RaftAdapterConfig:
    """The same with the flow of a network, frozen, from the drawing to the painted keyframes (FlowDM of Table 4)."""

    kind: Literal["raft"] = "raft"
    network: Literal["raft-small", "raft-large"] = "raft-small"
    """Of torchvision."""
    estimator: str = "published"
    """Its weights: those that torchvision publishes, or a file with them."""
    blocks_per_level: int = 2
    """Residual blocks of each level of the encoder."""


AdapterConfig = (
    IdentityAdapterConfig | OffsetAdapterConfig | DeformableAdapterConfig | FlowAdapterConfig | RaftAdapterConfig
)


@dataclass(frozen=True, kw_only=True)
class NoiseHeadConfig:
    """The U-Net's output is the noise (the paper's)."""

    kind: Literal["noise"] = "noise"


@dataclass(frozen=True, kw_only=True)
class FrameHeadConfig:
    """The U-Net's output is the clean frame."""

    kind: Literal["frame"] = "frame"


@dataclass(frozen=True, kw_only=True)
class ChoiceHeadConfig:
    """The clean frame is a per-pixel choice among what motion proposes, plus a residual."""

    kind: Literal["choice"] = "choice"
    evidence: Literal["none", "lines"] = "none"
    """What speaks for or against a keyframe before the U-Net does: `lines`, those that only it or the drawing has."""
    ranking_width: int = 0
    """Channels of the network that ranks the proposals among themselves after the U-Net; 0 = none."""


HeadConfig = NoiseHeadConfig | FrameHeadConfig | ChoiceHeadConfig


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Everything that the saved model knows about itself."""

    kind: Literal["opdm"] = "opdm"
    references: Literal[1, 2] = 2
    """K: keyframes each drawing is painted from."""
    unet: UNetConfig = UNetConfig()
    reference: ReferenceConfig = ReferenceConfig()
    adapter: AdapterConfig = OffsetAdapterConfig()
    head: HeadConfig = NoiseHeadConfig()
    sampling_steps: int = 10
    """DDIM steps, in the reverse pass of the training as in painting (Table 5 compares 5 and 10)."""
    working_size: int = 224
    """Shorter side, in pixels, at which the model paints unless it is told otherwise."""

    @property
    def uses_motion(self) -> bool:
        """Whether optical flow, and the frames that it proposes, are made for the model."""
        return isinstance(self.adapter, FlowAdapterConfig) or isinstance(self.head, ChoiceHeadConfig)

    @property
    def matcher(self) -> str | None:
        """The Animation Transformer whose matches the model is given, if it is given any."""
        adapter = self.adapter
        return adapter.matcher if isinstance(adapter, FlowAdapterConfig) and adapter.encodes == "matches" else None

    @property
    def fills(self) -> int:
        """F: proposals that fill regions, one by motion and one for each keyframe that is matched."""
        return self.adapter.count_fills(self.references) if isinstance(self.adapter, FlowAdapterConfig) else 1

    def __post_init__(self) -> None:
        if isinstance(self.head, ChoiceHeadConfig) and self.head.ranking_width and len(self.unet.widths) < 2:
            raise ValueError(
                f"head.ranking_width: {self.head.ranking_width} works at half the size, but unet.widths = "
                f"{self.unet.widths} takes odd ones; give two levels, or no ranking"
            )
        if isinstance(self.adapter, OffsetAdapterConfig | DeformableAdapterConfig) and len(self.adapter.widths) != len(
            self.unet.widths
        ):
            raise ValueError(
                f"adapter.widths: {len(self.adapter.widths)} levels, unet.widths has "
                f"{len(self.unet.widths)}; give as many"
            )


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """The noise schedule."""

    timesteps: int = 500
    """T of the forward process."""
    betas: Literal["scaled", "unscaled"] = "scaled"
    """Those of Ho et al. (2020), made for T = 1000: scaled to T, so that the last timestep is almost pure noise, or as
    they are, so that at T = 500 it still shows the frame. Ours: the paper says neither."""
    zero_terminal_snr: bool = False
    """Rescale the betas so that the last step is pure noise (Lin et al. 2024). Needs a head that predicts the frame."""


@dataclass(frozen=True, kw_only=True)
class ReverseConfig:
    """The reverse pass of the joint training (section 3.3) and its gradient."""

    gradient: Literal["full", "last-k", "one-step", "none"] = "full"
    """`full`: through all steps. `last-k`: through the last `last_steps`. `one-step`: the clean frame estimated from
    the noised one is scored, without a reverse pass. `none`: only the noise loss."""
    last_steps: int = 1
    """The k of `last-k`."""
    start: Literal["noise", "noised-target"] = "noise"
    """Where `full` and `last-k` begin: at pure noise, as painting does, or at the target with the noise of the last
    timestep. Ours: the paper does not say."""
    checkpoint: bool = True
    """Recompute each step's activations in the backward pass: memory of one step instead of all."""


@dataclass(frozen=True, kw_only=True)
class JointObjectiveConfig:
    """Noise, content and perceptual loss (equations 7 to 10)."""

    kind: Literal["joint"] = "joint"
    noise_weight: float = 1.0
    """Of the mean squared error of the noise at a random timestep (of the frame, where the head predicts that)."""
    content_weight: float = 1.0
    """Of L1 + (1 - SSIM) on the generated frame (equation 8)."""
    perceptual_weight: float = 0.1
    """Of the VGG19 loss (equation 9). 0 needs no VGG weights."""
    vgg_weights: str | None = None
    """File with torchvision's VGG19 weights; None asks torchvision's own loader."""
    region_weight: float = 0.0
    """Of the L1 distance of the mean colors of each region of the drawing, small or large. Ours."""
    ghost_weight: float = 0.0
    """Of the L1 distance where moved keyframes have lines that the drawing has not; ours."""
    psnr_weight: float = 0.0
    """Of the negative PSNR in dB, which counts a good frame that becomes better like a bad one that does; ours."""
    last_timestep_share: float = 0.0
    """Share of samples whose noise loss is taken at t = T instead of a uniform t."""
    reverse: ReverseConfig = ReverseConfig()


@dataclass(frozen=True, kw_only=True)
class AlignmentObjectiveConfig:
    """Pre-training of the offset estimator without correspondence: deformable convolution aligns each keyframe to the
    target (section 3.2)."""

    kind: Literal["alignment"] = "alignment"


@dataclass(frozen=True, kw_only=True)
class FlowObjectiveConfig:
    """Pre-training of the offset estimator on true flow: the mean offset is the flow, off the occlusions."""

    kind: Literal["flow"] = "flow"


PaintingObjectiveConfig = JointObjectiveConfig | AlignmentObjectiveConfig | FlowObjectiveConfig
ObjectiveConfig = PaintingObjectiveConfig | MatchingObjectiveConfig


@dataclass(frozen=True, kw_only=True)
class ShotDataConfig:
    """What is done with shots, wherever they come from."""

    shot_sizes: tuple[int, int] = (224, 288)
    """Smallest and largest height and width, in pixels, of shots."""
    crop_size: int = 224
    """Side of the random crop that the model sees."""
    longest_gap: int = 16
    """Frames between the two keyframes, at most; 16 leaves fifteen drawings between them."""
    most_drawings: int = 6
    """Of those, how many are drawn at most."""
    targets_per_shot: int = 2
    """Drawings painted from each pair of keyframes."""
    crops_per_target: int = 2
    """Crops of each of them."""
    extracted_lines_share: float = 0.25
    """Share of shots whose lines are extracted from the color frames instead of drawn."""
    mixed_lines_share: float = 0.25
    """Share of shots whose keyframes come without a drawing: their lines are extracted in the drawings' style."""
    blended_lines_share: float = 0.1
    """Share of shots whose lines are those of two sources, drawn or extracted: one here, the other there."""
    augmented_lines_share: float = 1.0
    """Share of shots whose drawings are changed by `augment_lines`, which leaves 3 in 10 as they are."""
    untracked_share: float = 0.25
    """Share of shots in which motion is not handed on from drawing to drawing, as when a drawing comes alone."""
    compressed_share: float = 0.2
    """Share of shots whose frames went through JPEG compression."""
    single_keyframe_share: float = 0.1
    """Share of samples in which both keyframes are the same one, as when only one is given."""


@dataclass(frozen=True, kw_only=True)
class CelDataConfig(ShotDataConfig):
    """Generated cel animation."""

    kind: Literal["cel"] = "cel"


@dataclass(frozen=True, kw_only=True)
class ClipsDataConfig(ShotDataConfig):
    """Clips of a data set."""

    kind: Literal["clips"] = "clips"
    root: str
    """Its folder."""
    layout: str = "clips"
    """How it is laid out: a name of `opdm.data.clips.READERS`."""
    cache: str | None = None
    """Folder that `scripts/prepare_data.py` has made of it."""
    lines: str | None = None
    """Extractor whose lines are taken from the cache; None takes the data set's own drawings, and where it has none a
    classical extractor that is drawn for each shot."""
    held_out: tuple[str, ...] = ()
    """How the names of the clips begin that are kept for validation; of none given, every tenth of what comes first in
    the names: a character, a film."""
    backgrounds: str | None = None
    """Folder of pictures, one of which is drawn past behind each shot whose frames are transparent; None is paper."""
    generated_share: float = 0.0
    """Share of training shots that are generated instead."""
    recolored_share: float = 0.25
    """Share of training shots whose red, green and blue are exchanged."""


PaintingDataConfig = CelDataConfig | ClipsDataConfig
DataConfig = CelDataConfig | CelPairDataConfig | ClipsDataConfig


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """AdamW, which without weight decay is Adam, and what surrounds it."""

    lr: float = 1e-5
    warmup_steps: int = 0
    """Steps of linear warm-up."""
    decay: Literal["constant", "cosine"] = "constant"
    """After the warm-up. `cosine` ends at zero with the last step."""
    clip_norm: float = 1.0
    """Largest norm of the gradient. Ours."""
    weight_decay: float = 0.0
    """Share of a weight that each step takes off, in units of the rate (AdamW)."""
    ema_decay: float = 0.9999
    """Of the averaged weights, which are the ones exported. Ours."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One named run of `configs/`."""

    description: str
    model: ModelConfig | AnTConfig = ModelConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    """Of the noise; a model that matches has none."""
    objective: ObjectiveConfig = JointObjectiveConfig()
    data: DataConfig = CelDataConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    steps: int = 150_000
    """Optimizer steps."""
    batch_size: int = 1
    """Samples of one optimizer step on one process and one accumulation step."""
    accumulation: int = 1
    """Forward and backward passes before each optimizer step."""
    precision: Literal["no", "bf16", "fp16"] = "no"
    """Mixed precision, as accelerate names it."""
    workers: int = 2
    """Processes that make samples ahead of the training."""
    reuse: int = 1
    """Crops that each drawing is good for. With more than one, every pass draws them, mirrored and recolored, of all
    drawings that the workers have made so far, for a device that is faster than they are."""
    kept_drawings: int = 4096
    """Of those, how many stay on the device at most, the newest: 6 MB each at 224 px, with two keyframes."""
    seed: int = 0
    checkpoint_every: int = 1000
    """Steps between checkpoints."""
    validate_every: int = 1000
    """Steps between validations on held-out shots, with their sample grid."""
    log_every: int = 10
    """Steps between lines of metrics.jsonl."""
    validation_shots: int = 8
    """Held-out shots; one drawing of each is painted, or one pair matched."""
    output: str | None = None
    """Run folder; None is runs/NAME below the current folder."""
    init_from: str | None = None
    """Model folder or safetensors file whose weights the run starts from."""
    time_limit_s: float | None = None
    """Save and stop cleanly after so many seconds."""

    def __post_init__(self) -> None:
        check_run(self)


def check_run(run: Run) -> None:
    """Raise ValueError, naming field, value and remedy, for combinations that cannot be trained."""
    if isinstance(run.model, AnTConfig):
        objectives: Any = MatchingObjectiveConfig
        data: Any = CelPairDataConfig
    else:
        objectives, data = PaintingObjectiveConfig, PaintingDataConfig
    for field, value, expected in (("objective", run.objective, objectives), ("data", run.data, data)):
        if not isinstance(value, expected):
            kinds = ", ".join(member.kind for member in typing.get_args(expected) or [expected])
            raise ValueError(f"{field}.kind: {value.kind} is not for model.kind = {run.model.kind}; take {kinds}")
    if isinstance(run.model, AnTConfig) and run.reuse != 1:
        raise ValueError(
            f"reuse: {run.reuse} is not for model.kind = {run.model.kind}, whose samples are new; leave it out"
        )
    if isinstance(run.model, ModelConfig) and isinstance(run.data, ShotDataConfig):
        check_painting(run, run.model, run.data)


def check_painting(run: Run, model: ModelConfig, data: ShotDataConfig) -> None:
    """The same for runs whose model paints."""
    objective = run.objective
    if isinstance(objective, AlignmentObjectiveConfig | FlowObjectiveConfig) and not isinstance(
        model.adapter, OffsetAdapterConfig
    ):
        raise ValueError(
            f"objective: {objective.kind} trains offset estimators, but model.adapter is {model.adapter.kind}; "
            "take the offset adapter"
        )
    if isinstance(objective, FlowObjectiveConfig) and isinstance(data, ClipsDataConfig):
        raise ValueError(
            "data.kind: only generated shots have the true flow between any two frames that flow learns from"
        )
    if run.schedule.zero_terminal_snr and isinstance(model.head, NoiseHeadConfig):
        raise ValueError("schedule.zero_terminal_snr: the noise head cannot start from pure noise; take the frame head")
    if run.reuse < 1 or run.kept_drawings < 1:
        raise ValueError(
            f"reuse: {run.reuse} crops of {run.kept_drawings} kept_drawings; give 1 for crops that are all new, or more"
        )
    multiple = 2 ** (len(model.unet.widths) - 1)
    if data.crop_size % multiple:
        raise ValueError(f"data.crop_size: {data.crop_size} is not a multiple of {multiple}, as the U-Net needs")
    smallest, largest = data.shot_sizes
    if not data.crop_size <= smallest <= largest:
        raise ValueError(
            f"data.shot_sizes: {smallest} {largest}; give the smaller first, and none below data.crop_size = "
            f"{data.crop_size}"
        )


def on_clips(run: Run, root: str) -> Run:
    """A run that paints, trained on the clips in a folder; what else is set about its data stays.

    Raises ValueError for a run that cannot be.
    """
    if not isinstance(run.data, PaintingDataConfig):
        raise ValueError(f"--clips: {run.data.kind} is the only data of runs that match; leave it out")
    shared = {field.name: getattr(run.data, field.name) for field in dataclasses.fields(ShotDataConfig)}
    return dataclasses.replace(run, data=ClipsDataConfig(root=root, **shared))


def to_dict(config: Any) -> dict[str, Any]:
    """The configuration as JSON-able values; each union member carries its `kind`."""
    return dataclasses.asdict(config)


def from_dict(kind: type[Config], values: dict[str, Any]) -> Config:
    """Rebuild a configuration from `to_dict`'s values, as read from JSON.

    A member of a union without `kind` is the first: files written before there were others have none. Raises
    ValueError for a field that the class lacks or a `kind` that no union member has.
    """
    hints = typing.get_type_hints(kind)
    known = {entry.name for entry in dataclasses.fields(typing.cast(Any, kind))}
    unknown = set(values) - known
    if unknown:
        raise ValueError(
            f"{kind.__name__} has no field {', '.join(sorted(unknown))}; it has {', '.join(sorted(known))}"
        )
    return kind(**{name: _from_value(hints[name], value) for name, value in values.items()})


def _from_value(hint: Any, value: Any) -> Any:
    if isinstance(value, dict):
        members: list[Any] = [hint] if dataclasses.is_dataclass(hint) else _dataclass_members(hint)
        matching = [m for m in members if len(members) == 1 or m.kind == value.get("kind", members[0].kind)]
        if not matching:
            raise ValueError(f"kind: {value.get('kind')!r} is none of {', '.join(m.kind for m in members)}")
        return from_dict(matching[0], value)
    if isinstance(value, list):
        return tuple(value)
    return value


def _dataclass_members(hint: Any) -> list[Any]:
    if typing.get_origin(hint) in (Union, types.UnionType):
        return [member for member in typing.get_args(hint) if dataclasses.is_dataclass(member)]
    return []
