"""What a run trains, as the trainer sees it: a model, its data and objective, how it is saved and how it is judged.

A task is chosen by the type of the run's model, here and nowhere else.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from opdm.ant import AnT, load_ant
from opdm.ant_pictures import draw_matches
from opdm.checkpoint import copy_weights, export
from opdm.config import AnTConfig, CelPairDataConfig, ModelConfig, Run, ShotDataConfig
from opdm.data import DATASETS, PAIR_DATASETS
from opdm.data.cel_pairs import CelPairDataset, SegmentPair, stack_pairs
from opdm.data.replay import Replay, WholeDrawings, count_drawings, draw_again
from opdm.data.shot_dataset import ShotDataset
from opdm.data.training import stack
from opdm.metrics.image import bounded_psnr
from opdm.metrics.segments import label_scores
from opdm.model import OPDMModel
from opdm.objectives import OBJECTIVES, Objective
from opdm.pipeline import OPDMPipeline


@dataclass(frozen=True)
class Validation:
    """How a model does on held-out samples."""

    scores: dict[str, float]
    picture: list[Tensor]
    """Rows (N, 3, H, W) in [0, 1], one sample below the other."""


class Task:
    """Base: everything of a run that depends on what its model is for."""

    run: Run
    model: nn.Module
    dataset: Dataset
    objective: Objective
    stack: Callable[[Sequence[Any]], Any]
    """Makes one batch of samples; a batch has `to(device)`."""

    def plan_loads(self, passes: range) -> tuple[range, int]:
        """What the workers make for some forward passes of a process: numbered loads, and how many samples one has."""
        return passes, self.run.batch_size

    def batches(self, made: Iterator[Any], *, first_pass: int, process: int, device: torch.device) -> Iterator[Any]:
        """What is trained on, of the batches that the workers make."""
        return made

    def export(self, folder: Path) -> None:
        """Write what users load."""
        raise NotImplementedError

    def validate(self) -> Validation:
        """Judge the model on held-out samples."""
        raise NotImplementedError


class Painting(Task):
    """A model that paints drawings between keyframes."""

    model: OPDMModel
    shots: ShotDataset

    def __init__(self, run: Run, config: ModelConfig):
        assert isinstance(run.data, ShotDataConfig), "a run is checked when it is made"
        self.run, self.stack = run, stack
        self.shots = self.dataset = DATASETS[type(run.data)](
            run.data,
            references=config.references,
            uses_motion=config.uses_motion,
            seed=run.seed,
            matcher=config.matcher,
        )
        self.model = OPDMModel.from_model_config(config).to(memory_format=torch.channels_last)
        if run.init_from is not None:
            copy_weights(self.model, OPDMPipeline.from_pretrained(run.init_from).model, run.init_from)
        self.objective = OBJECTIVES[type(run.objective)](self.model, run.objective, run.schedule)

    def export(self, folder: Path) -> None:
        """A pipeline."""
        export(OPDMPipeline.from_model(self.model, self.run.schedule), folder)

    def validate(self) -> Validation:
        """Paint one drawing of each held-out shot; PSNR beside that of the nearest keyframe."""
        samples = stack([self.shots[i] for i in self.shots.held_out(self.run.validation_shots)])
        pipeline = OPDMPipeline.from_model(self.model, self.run.schedule)
        painted, _ = pipeline.denoise(samples.conditions, seeds=[int(seed) for seed in samples.seeds])
        painted = painted.cpu()
        keyframes = samples.conditions.keyframes
        copied = torch.stack([bounded_psnr(each, samples.target) for each in keyframes.unbind(dim=1)]).amax(dim=0)
        scores = {
            "validation_psnr_db": float(bounded_psnr(painted, samples.target).mean()),
            "validation_best_keyframe_psnr_db": float(copied.mean()),
        }
        lines = samples.conditions.lines.expand(-1, 3, -1, -1)
        return Validation(scores, [keyframes[:, 0], lines, painted, samples.target, keyframes[:, -1]])


class PaintingAgain(Painting):
    """The same, trained on crops of whole drawings, each of which is good for several."""

    def __init__(self, run: Run, config: ModelConfig):
        super().__init__(run, config)
        self.dataset, self.stack = WholeDrawings(self.shots), list

    def plan_loads(self, passes: range) -> tuple[range, int]:
        """A shot at a time, of which fewer are needed than of batches."""
        run, each = self.run, self.shots.config.targets_per_shot
        first = passes.start * run.batch_size // (run.reuse * each)
        drawings = count_drawings(len(passes), reuse=run.reuse, size=run.batch_size)
        return range(first, first - (-drawings // each)), each

    def batches(self, made: Iterator[Any], *, first_pass: int, process: int, device: torch.device) -> Iterator[Any]:
        """Crops of all drawings that were made."""
        run = self.run
        replay = Replay(side=self.shots.config.crop_size, most=run.kept_drawings, device=device)
        seed = run.seed, process
        return draw_again(made, replay, reuse=run.reuse, size=run.batch_size, seed=seed, first_pass=first_pass)


def make_painting(run: Run, config: ModelConfig) -> Painting:
    """The task of a model that paints."""
    return PaintingAgain(run, config) if run.reuse > 1 else Painting(run, config)


class Matching(Task):
    """A model that matches the segments of two drawings."""

    model: AnT
    dataset: CelPairDataset

    def __init__(self, run: Run, config: AnTConfig):
        assert isinstance(run.data, CelPairDataConfig), "a run is checked when it is made"
        self.run, self.stack = run, stack_pairs
        self.model = AnT.from_ant_config(config)
        if run.init_from is not None:
            copy_weights(self.model, load_ant(run.init_from), run.init_from)
        self.dataset = PAIR_DATASETS[type(run.data)](run.data, model=config, seed=run.seed)
        self.objective = OBJECTIVES[type(run.objective)](self.model, run.objective, run.schedule)

    def export(self, folder: Path) -> None:
        """The network."""
        export(self.model, folder)

    def validate(self) -> Validation:
        """Hand on the regions of one drawing of each held-out shot to another; the paper's two scores, mean over pairs.

        Beside them the accuracy of handing on rightly all that the reference shows.
        """
        pairs = [self.dataset[i] for i in self.dataset.held_out(self.run.validation_shots)]
        was_training = self.model.training
        self.model.eval()
        matches = [self.model.compare(*pair.crops).argmax(dim=0) for pair in pairs]
        self.model.train(was_training)
        scored = [score_pair(pair, match) for pair, match in zip(pairs, matches, strict=True)]
        scores = {f"validation_{name}": fmean(one[name] for one in scored) for name in scored[0]}
        return Validation(scores, draw_matches(pairs, matches))


def score_pair(pair: SegmentPair, match: Tensor) -> dict[str, float]:
    """Accuracy and mIoU of the regions that a target's segments (N,) take over from their matches, in percent."""
    scores = label_scores(pair.reference.regions[match], pair.target.regions)
    is_shown = torch.isin(pair.target.regions, pair.reference.regions)
    scores["reachable_accuracy"] = float(is_shown.double().mean())
    return {name: 100 * score for name, score in scores.items()}


TASKS: dict[type[ModelConfig] | type[AnTConfig], Callable[[Run, Any], Task]] = {
    ModelConfig: make_painting,
    AnTConfig: Matching,
}


def make_task(run: Run) -> Task:
    """The task of a run. Raises ValueError for weights to start from that are missing or do not fit."""
    return TASKS[type(run.model)](run, run.model)
