"""`OPDMPipeline`: drawings and keyframes in, painted frames out."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, DiffusionPipeline
from torch import Tensor

from opdm.ant import load_ant
from opdm.conditions import Conditions
from opdm.config import ScheduleConfig
from opdm.errors import InputError
from opdm.layers import Layers
from opdm.line_learning import trace_keyframes
from opdm.matching import Matcher
from opdm.model import OPDMModel
from opdm.motion import estimate_motion
from opdm.runtime import return_freed_memory
from opdm.sampler import denoise_step, make_scheduler, sampling_grid
from opdm.segments import find_regions
from opdm.staging import Finished, Stage, set_up
from opdm.weights import embedded_models, resolve

LARGE_PX = 1_000_000
"""From which on a drawing's own frames take more memory than the model."""


class ModelError(InputError):
    """A model that cannot be loaded: one line that names it and the remedy."""


@dataclass(frozen=True)
class PaintedFrames:
    """The pipeline's answer."""

    frames: Tensor
    """(B, 3, H, W) float32 in [0, 1], on the CPU."""


class OPDMPipeline(DiffusionPipeline):
    """Paints drawings between keyframes; loads, saves and moves between devices as diffusers' pipelines do."""

    model: OPDMModel
    scheduler: DDIMScheduler

    def __init__(self, model: OPDMModel, scheduler: DDIMScheduler):
        super().__init__()
        self.register_modules(model=model.to(memory_format=torch.channels_last), scheduler=scheduler)

    @classmethod
    def from_model(cls, model: OPDMModel, schedule: ScheduleConfig) -> "OPDMPipeline":
        """A pipeline around a model that was just made or trained."""
        return cls(model, make_scheduler(schedule, model.head.prediction_type))

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        dtype: torch.dtype | None = None,
        torch_dtype: torch.dtype | None = None,
        **options: Any,
    ) -> "OPDMPipeline":
        """Load by the name of an embedded model, a folder, or the id of a hub's repository.

        `dtype` (in older code `torch_dtype`) is what the networks compute in, float32 unless given. Raises ModelError
        where the model is missing, incomplete or another.
        """
        try:
            source = resolve(str(name))
        except ValueError as error:
            raise ModelError(str(error)) from error
        check_folder(source, cls.__name__)
        try:
            pipeline = super().from_pretrained(source, **options)
            return pipeline.to(dtype or torch_dtype or torch.float32)
        except Exception as error:
            raise ModelError(describe_failure(source, error)) from error

    @property
    def references(self) -> int:
        """K: keyframes that each drawing is painted from."""
        return self.model.references

    @property
    def size_multiple(self) -> int:
        """Height and width of what the networks take are multiples of this many pixels."""
        return self.model.size_multiple

    @property
    def uses_motion(self) -> bool:
        """Whether the model is given the motion between drawings and keyframes."""
        return self.model.uses_motion

    @cached_property
    def matcher(self) -> Matcher | None:
        """What matches regions for the model, on the CPU; None where it takes no matches. Raises InputError."""
        return None if self.model.matcher is None else Matcher(load_ant(self.model.matcher))

    @property
    def chooses(self) -> bool:
        """Whether the model paints by a choice among proposals."""
        return self.model.head.chooses

    @property
    def default_size(self) -> int:
        """Shorter side, in pixels, that the model was trained for."""
        return self.model.working_size

    @torch.no_grad()
    def __call__(
        self,
        lines: Tensor,
        keyframes: Tensor,
        keyframe_lines: Tensor | None = None,
        *,
        seeds: list[int],
        num_inference_steps: int | None = None,
        size: int | None = None,
    ) -> PaintedFrames:
        """Paint a batch of drawings.

        lines (B, 1, H, W), keyframes (B, K, 3, H, W) with the earlier before the later, keyframe_lines
        (B, K, 1, H, W), all in [0, 1]; keyframes without lines have them extracted in
        the style of the drawing. `seeds` has one per drawing, so
        that a frame does not depend on the batch that it is in. `size` is the shorter side, in pixels, at which the
        model works; frames come back at the drawings' own size. Raises ValueError for shapes that do not fit.
        """
        check_shapes(lines, keyframes, keyframe_lines, seeds, references=self.references)
        if keyframe_lines is None:
            pairs = zip(keyframes, lines, strict=True)
            keyframe_lines = torch.stack([torch.stack(trace_keyframes(list(k), d)) for k, d in pairs])
        stages = [
            self.set_up(drawing, [Layers(*pair) for pair in zip(colors, drawn, strict=True)], size=size)
            for drawing, colors, drawn in zip(lines, keyframes, keyframe_lines, strict=True)
        ]
        painted = self.paint(stages, seeds=seeds, steps=num_inference_steps)
        return PaintedFrames(torch.stack([finished.frame for finished in painted]))

    def set_up(
        self,
        lines: Tensor,
        keyframes: list[Layers],
        *,
        size: int | None = None,
        tracks_px: Tensor | None = None,
        time: float | None = None,
    ) -> Stage:
        """Everything about a drawing (1, H, W) and its K keyframes that is made on the CPU before painting.

        tracks_px: see `opdm.motion.estimate_motion`; time: see `opdm.staging.set_up`.
        """
        make_room([lines])
        regions, motion = find_regions(lines), None
        if self.uses_motion:
            motion = estimate_motion(lines, regions, keyframes, tracks_px)
        return set_up(
            lines,
            regions,
            keyframes,
            shorter_side=size or self.default_size,
            multiple=self.size_multiple,
            motion=motion,
            time=time,
            matcher=self.matcher,
        )

    @torch.no_grad()
    def paint(self, stages: Sequence[Stage], *, seeds: list[int], steps: int | None = None) -> Iterator[Finished]:
        """Drawings of one working size, one after the other."""
        make_room([stage.lines for stage in stages])
        frames, outputs = self.denoise(Conditions.stack([s.conditions for s in stages]), seeds=seeds, steps=steps)
        for stage, frame, output in zip(stages, frames.cpu(), outputs.cpu(), strict=True):
            height, width = stage.size
            small, output = frame[:, :height, :width].contiguous(), output[:, :height, :width]
            make_room([stage.lines])
            finished = self.model.head.enlarge(small, output, stage.lines, stage.proposals())
            yield Finished(stage.hold(finished), self.model.head.weights(output))

    @torch.no_grad()
    def denoise(self, conditions: Conditions, *, seeds: list[int], steps: int | None = None) -> tuple[Tensor, Tensor]:
        """The reverse process at the working size: frames (B, 3, h, w) in [0, 1], and the model's last output."""
        conditions = conditions.to(self.model.device)
        lines, guidance = conditions.lines, self.model.encode(conditions)
        noise = torch.stack([draw_noise(seed, lines.shape[-2:]) for seed in seeds]).to(self.model.device)
        grid = sampling_grid(self.scheduler, steps or self.model.sampling_steps)
        noisy_frame = noise
        for timestep in grid[:-1]:
            noisy_frame = denoise_step(self.model, self.scheduler, noisy_frame, timestep, lines, guidance)
        times = grid[-1].to(lines.device).expand(len(lines))
        output = self.model.evaluate(noisy_frame, times, lines, guidance)
        prediction = self.model.head(output, guidance.proposals)
        frames = self.scheduler.step(prediction, grid[-1], noisy_frame).prev_sample
        return ((frames + 1) / 2).clamp(0, 1).float(), output.float()


def make_room(drawings: Sequence[Tensor]) -> None:
    """Between stages of painting drawings (1, H, W): what one leaves of a large drawing is of no use to the next."""
    if any(lines.numel() > LARGE_PX for lines in drawings):
        return_freed_memory()


def draw_noise(seed: int, size: tuple[int, ...]) -> Tensor:
    """The start of one drawing's reverse process, (3, H, W); drawn on the CPU, so that devices agree."""
    return torch.randn((3, *size), generator=torch.Generator().manual_seed(seed))


def check_shapes(
    lines: Tensor, keyframes: Tensor, keyframe_lines: Tensor | None, seeds: list[int], *, references: int
) -> None:
    """Raise ValueError, naming the argument and what it should be."""
    batch, height, width = lines.shape[0], lines.shape[-2], lines.shape[-1]
    if lines.shape != (batch, 1, height, width):
        raise ValueError(f"lines: shape {tuple(lines.shape)}, expected (B, 1, H, W)")
    if keyframes.shape != (batch, references, 3, height, width):
        expected = (batch, references, 3, height, width)
        raise ValueError(f"keyframes: shape {tuple(keyframes.shape)}, expected {expected} (B, K, 3, H, W)")
    if keyframe_lines is not None and keyframe_lines.shape != (batch, references, 1, height, width):
        raise ValueError(
            f"keyframe_lines: shape {tuple(keyframe_lines.shape)}, expected {(batch, references, 1, height, width)}"
        )
    if len(seeds) != batch:
        raise ValueError(f"seeds: {len(seeds)} for {batch} drawings; give one for each")


def check_folder(source: str, class_name: str) -> None:
    """Raise ModelError for a local folder or file that cannot be a model of ours, before anything is loaded."""
    folder = Path(source)
    if folder.is_file():
        raise ModelError(f"{source}: a file; give the folder that training wrote as pipeline/")
    if folder.is_dir():
        for needed in ("model_index.json", "model/config.json", "scheduler/scheduler_config.json"):
            if not (folder / needed).is_file():
                raise ModelError(
                    f"{source}: incomplete, {needed} is missing; give the folder that training wrote as pipeline/"
                )
        found = json.loads((folder / "model_index.json").read_text()).get("_class_name")
        if found != class_name:
            raise ModelError(
                f"{source}: a model of class {found}, not {class_name}; give one that this project trained"
            )
    elif source.count("/") != 1 or source.startswith(("/", ".")):
        known = ", ".join([*embedded_models(), "folders that training wrote", "hub ids (owner/name)"])
        raise ModelError(f"{source}: no such model; there are {known}")


def describe_failure(source: str, error: Exception) -> str:
    """One line for whatever diffusers, safetensors or the hub raised."""
    reason = " ".join(str(error).split())
    return f"{source}: cannot be loaded as an OPDM model ({type(error).__name__}: {reason[:200]})"
