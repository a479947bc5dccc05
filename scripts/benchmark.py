"""How fast each part is, as ratios of two things measured in this same run: `python scripts/benchmark.py [ROW ...]`.

Absolute times depend on the machine and on what else it does; a ratio does not. The naive version of a row is the
same model in float32, channels-first, with the conditions computed again at every denoising step, and with the
allocator as the system sets it.
"""

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import opdm.blocks
import opdm.model
import opdm.reference_encoder
from configs import RUNS
from configs.opdm import OPDM
from opdm.ant import AnT
from opdm.conditions import Conditions
from opdm.config import AnTConfig, JointObjectiveConfig, ReverseConfig
from opdm.data.cel_animation import CelShot
from opdm.data.training import Batch
from opdm.layers import Layers
from opdm.line_learning import respond_finely, trace_keyframes
from opdm.lines import XDoG
from opdm.metrics import CLIP_METRICS, NEED_WEIGHTS, ClipFrame, ClipScorer
from opdm.metrics.motion import Motion, dis, find_motion
from opdm.model import OPDMModel
from opdm.motion import FLOWS, estimate_motion
from opdm.norm import norm_silu
from opdm.objectives import JointObjective
from opdm.proposals import count_proposals, each_proposal
from opdm.runtime import default_dtype, reuse_freed_memory
from opdm.sampler import denoise_step, make_scheduler, sampling_grid
from opdm.segments import find_regions, vote_colors
from opdm.tasks import Painting

SMALL = RUNS["opdm-small"]
# The paper's ten steps, also in the reverse pass: one alone would hide the cost of a step.
RUN = replace(SMALL, model=replace(SMALL.model, sampling_steps=10))
SIZE, FILLS = RUN.model.working_size, RUN.model.fills


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    value: float
    unit: str
    aim: str


def best_of(action: Callable[[], object], repetitions: int = 3) -> float:
    """Shortest time of an action in seconds, after one that does not count."""
    action()
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


def make_conditions(batch: int, size: int) -> Conditions:
    """Random conditions; the speed does not depend on what they show."""
    return Conditions(
        lines=torch.rand(batch, 1, size, size),
        keyframes=torch.rand(batch, 2, 3, size, size),
        keyframe_lines=torch.rand(batch, 2, 1, size, size),
        regions=torch.randint(60, (batch, 1, size, size), dtype=torch.int32),
        flow_px=torch.randn(batch, 2, FLOWS, 2, size, size) * 3,
        flow_error_px=torch.rand(batch, 2, FLOWS, 1, size, size),
        moved_lines=torch.rand(batch, 2, FLOWS, 1, size, size),
        proposals=torch.rand(batch, count_proposals(2, FILLS), 3, size, size),
        fill_sureness=torch.rand(batch, FILLS, 1, size, size),
    )


class NaiveModel(OPDMModel):
    """The same networks, but every denoising step encodes the conditions for itself."""

    def encode(self, conditions: Conditions) -> Conditions:
        """Nothing yet."""
        return conditions

    def denoise(self, noisy_frame: Tensor, timestep: Tensor, lines: Tensor, guidance: Conditions) -> Tensor:
        """One evaluation, with its conditions."""
        return super().denoise(noisy_frame, timestep, lines, super().encode(guidance))


@torch.no_grad()
def sample(model: OPDMModel, conditions: Conditions) -> None:
    """Paint one batch of drawings as the pipeline does, without the optical flow before it."""
    scheduler = make_scheduler(RUN.schedule, model.head.prediction_type)
    guidance = model.encode(conditions)
    frame = torch.randn_like(conditions.keyframes[:, 0])
    for timestep in sampling_grid(scheduler, RUN.model.sampling_steps):
        frame = denoise_step(model, scheduler, frame, timestep, conditions.lines, guidance)


def training_step(objective: JointObjective, batch: Batch, precision: torch.dtype) -> Callable[[], None]:
    """Forward and backward of one batch."""

    def step() -> None:
        with torch.autocast(batch.target.device.type, precision, enabled=precision != torch.float32):
            losses = objective(batch)
            total = sum(values.mean() for values in losses.values())
        total.backward()
        objective.zero_grad(set_to_none=True)

    return step


def make_batch(batch: int, size: int) -> Batch:
    """A random batch."""
    return Batch(
        conditions=make_conditions(batch, size),
        target=torch.rand(batch, 3, size, size),
        true_flow_px=torch.zeros(batch, 2, 2, size, size),
        is_occluded=torch.zeros(batch, 2, 1, size, size, dtype=torch.bool),
        seeds=torch.arange(batch),
    )


def objective_config(gradient: str) -> JointObjectiveConfig:
    """The shipped run's objective with another reverse pass."""
    return replace(RUN.objective, reverse=ReverseConfig(gradient=gradient))


def measure_naive(gradients: list[str]) -> dict[str, float]:
    """Seconds of each naive version; before the allocator is told to keep its memory."""
    channels_last = opdm.blocks.channels_last
    for module in (opdm.model, opdm.reference_encoder):
        module.channels_last = lambda tensor: tensor.contiguous()
    try:
        model = NaiveModel.from_model_config(RUN.model)
        conditions = make_conditions(1, SIZE)
        times = {"sampling": best_of(lambda: sample(model, conditions), 2)}
        batch = make_batch(RUN.batch_size, RUN.data.crop_size)
        for gradient in gradients:
            objective = JointObjective(model, objective_config(gradient), RUN.schedule)
            times[gradient] = best_of(training_step(objective, batch, torch.float32), 1)
        return times
    finally:
        for module in (opdm.model, opdm.reference_encoder):
            module.channels_last = channels_last


def measure_own(gradients: list[str]) -> dict[str, float]:
    """Seconds of each part as the command line and the trainer run it."""
    conditions = make_conditions(1, SIZE)
    model = OPDMModel.from_model_config(RUN.model).to(memory_format=torch.channels_last)
    batch = make_batch(RUN.batch_size, RUN.data.crop_size)
    times = {}
    for gradient in gradients:
        objective = JointObjective(model, objective_config(gradient), RUN.schedule)
        times[gradient] = best_of(training_step(objective, batch, torch.bfloat16), 2)
    model = model.to(torch.bfloat16)
    times["sampling"] = best_of(lambda: sample(model, conditions))
    return times


def model_rows(gradients: list[str]) -> list[Row]:
    """Sampling and training against their naive versions."""
    naive = measure_naive(gradients)
    reuse_freed_memory()
    own = measure_own(gradients)
    names = {"sampling": f"sampling, {RUN.model.sampling_steps} steps at {SIZE} px"}
    names |= {gradient: f"training step, reverse pass {gradient}" for gradient in gradients}
    aims = {"sampling": "5 with AMX"} | dict.fromkeys(gradients, "4 with AMX")
    return [Row(names[part], naive[part] / own[part], "times the naive speed", aims[part]) for part in names]


@dataclass(frozen=True)
class UNetCost:
    """A step of the U-Net while painting, and a 4096 x 4096 matrix product, in one number format."""

    step_s: float
    step_flops: int
    product_s: float


@torch.no_grad()
def measure_unet(dtype: torch.dtype) -> UNetCost:
    """One drawing of the working size, channels last."""
    reuse_freed_memory()
    model = OPDMModel.from_model_config(RUN.model).to(dtype, memory_format=torch.channels_last)
    conditions = make_conditions(1, SIZE)
    guidance = model.encode(conditions)
    arguments = torch.randn(1, 3, SIZE, SIZE), torch.tensor([400]), conditions.lines, guidance
    with FlopCounterMode(display=False) as counter:
        model.denoise(*arguments)
    matrix = torch.randn(4096, 4096).to(dtype)
    return UNetCost(
        step_s=best_of(lambda: model.denoise(*arguments), 10),
        step_flops=counter.get_total_flops(),
        product_s=best_of(lambda: matrix @ matrix, 5),
    )


def utilization_rows() -> list[Row]:
    """Share of the bfloat16 matrix-product rate that the U-Net reaches while painting."""
    cost = measure_unet(torch.bfloat16)
    share = (cost.step_flops / cost.step_s) / (2 * 4096**3 / cost.product_s)
    return [Row(f"U-Net at {SIZE} px, of the rate of a 4096 matrix product", share, "of the bfloat16 rate", "")]


def precision_rows() -> list[Row]:
    """What bfloat16 gains over float32, beside what `--dtype auto` takes."""
    single, half = measure_unet(torch.float32), measure_unet(torch.bfloat16)
    unit = f"times float32's speed; auto takes {str(default_dtype('cpu')).removeprefix('torch.')}"
    return [
        Row("4096 matrix product, bfloat16", single.product_s / half.product_s, unit, ""),
        Row(f"U-Net at {SIZE} px, bfloat16", single.step_s / half.step_s, unit, ""),
    ]


def norm_rows() -> list[Row]:
    """The backward pass of GroupNorm and SiLU against PyTorch's own."""
    reuse_freed_memory()
    hidden = torch.randn(8, 32, 160, 160).bfloat16().contiguous(memory_format=torch.channels_last).requires_grad_()
    norm, upstream = torch.nn.GroupNorm(8, 32), torch.randn_like(hidden)
    needed = [hidden, *norm.parameters()]

    def backward(output: Tensor) -> float:
        return best_of(lambda: torch.autograd.grad(output, needed, upstream, retain_graph=True), 10)

    own, theirs = backward(norm_silu(norm, hidden)), backward(torch.nn.functional.silu(norm(hidden)))
    return [Row("GroupNorm and SiLU backward, bfloat16", theirs / own, "times PyTorch's speed", "")]


def generator_rows() -> list[Row]:
    """Frames per second on one core, and against drawing every frame from a shot built anew."""
    cv2.setNumThreads(1)
    seeds = range(12)

    def together() -> None:
        for seed in seeds:
            shot = CelShot(seed, height=256, width=256, frames=10)
            for index in range(10):
                shot.frame(index)

    def anew() -> None:
        for seed in seeds:
            for index in range(10):
                CelShot(seed, height=256, width=256, frames=10).frame(index)

    frames = 10 * len(seeds)
    own, naive = best_of(together, 1), best_of(anew, 1)
    copied = np.zeros((256, 256, 3), np.float32)
    copy = best_of(lambda: [copied.copy() for _ in range(1000)], 3) / 1000
    return [
        Row("generator, 256 px, one core", frames / own, "frames per second", "25"),
        Row("generator, shots kept", naive / own, "times the naive speed", ""),
        Row("generator, cost of a frame", own / frames / copy, "copies of the frame", ""),
    ]


def data_rows() -> list[Row]:
    """What a worker takes for a batch of the shipped run, against the training step that consumes it."""
    reuse_freed_memory()
    task, batch = Painting(SMALL, SMALL.model), make_batch(SMALL.batch_size, SMALL.data.crop_size)
    step = best_of(training_step(task.objective, batch, torch.bfloat16), 3)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    batches = iter(range(8))

    def make() -> None:
        first = next(batches) * SMALL.batch_size
        for index in range(first, first + SMALL.batch_size):
            task.dataset[index]

    return [Row("a batch of generated samples, one core", best_of(make, 3) / step, "training steps", "")]


def line_rows() -> list[Row]:
    """Learning a hand and tracing two keyframes by it, against what cannot be saved: taking their responses once."""
    shot = CelShot(1, height=SIZE, width=SIZE, frames=3)
    keyframes, between = [shot.frame(i).color for i in (0, 2)], shot.frame(1).color
    drawing = XDoG(sigma_px=1.3)(between[None])[0]
    tracing = best_of(lambda: trace_keyframes(keyframes, drawing), 3)
    responses = best_of(lambda: [respond_finely(frame) for frame in keyframes], 3)
    return [Row(f"tracing two keyframes, {SIZE} px", tracing / responses, "times their responses", "")]


def proposal_rows() -> list[Row]:
    """What the choice of a 1080p drawing is carried out on: its moved keyframes, against copies of as many frames."""
    reuse_freed_memory()
    shot = CelShot(1, height=1080, width=1920, frames=3)
    drawing, *keyframes = (Layers(frame.color, frame.lines) for frame in map(shot.frame, (1, 0, 2)))
    regions = find_regions(drawing.lines)
    motion = estimate_motion(drawing.lines, regions, keyframes)
    count = count_proposals(len(keyframes), 0)
    made = best_of(lambda: [None for _ in each_proposal(drawing.lines, keyframes, motion, regions, [])], 3)
    copied = torch.empty_like(drawing.color)
    copies = best_of(lambda: [copied.copy_(drawing.color) for _ in range(count)], 10)
    return [Row("proposals of a 1080p drawing", made / copies, "copies of their frames", "")]


def make_scored_clip() -> list[ClipFrame]:
    """A generated shot of 256 px with all that is known about it, painted with small errors."""
    shot = CelShot(1, height=256, width=256, frames=10)
    frames = []
    for i in range(len(shot)):
        frame = shot.frame(i)
        motion = Motion("true", shot.flow_px(i - 1, i), shot.flow_px(i, i - 1)) if i else None
        painted = (frame.color + 0.05 * torch.randn_like(frame.color)).clamp(0, 1)
        frames.append(ClipFrame(prediction=painted, target=frame.color, regions=frame.regions, motion=motion))
    return frames


def score_clip(frames: list[ClipFrame], times: int = 1) -> None:
    """All scores that need no weights, of the frames again and again as one clip."""
    scorer = ClipScorer(metric() for name, metric in CLIP_METRICS.items() if name not in NEED_WEIGHTS)
    for _ in range(times):
        for frame in frames:
            scorer.update(replace(frame))  # a frame remembers what was computed from it
    scorer.compute()


def metric_rows() -> list[Row]:
    """All image, temporal and color scores of a frame, with the temporal ones of the true clip beside them."""
    import skimage.metrics

    reuse_freed_memory()
    frames, estimator = make_scored_clip(), dis()
    pair = [getattr(frames[1], name).permute(1, 2, 0).numpy() for name in ("prediction", "target")]
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1}
    one_ssim = best_of(lambda: skimage.metrics.structural_similarity(*pair, channel_axis=2, **settings), 10)

    def estimate() -> None:
        for i in range(1, len(frames)):
            find_motion(i - 1, i, None, lambda index: frames[index].target, estimator)

    scoring, flow = best_of(lambda: score_clip(frames), 5) / len(frames), best_of(estimate) / (len(frames) - 1)
    return [
        Row("metrics, 256 px, true flow", 1 / scoring, "frames per second", "50"),
        Row("metrics, 256 px, DIS flow", 1 / (scoring + flow), "frames per second", ""),
        Row("metrics, cost of a frame", scoring / one_ssim, "scikit-image SSIMs", ""),
    ]


def metric_memory_rows() -> list[Row]:
    """Peak memory of a process that scores 1,000 frames, and how much of it came after the first 100."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        early, late = pool.apply(measure_metric_memory)
    return [
        Row("metrics memory, 1,000 frames of 256 px", late, "MiB at most", ""),
        Row("metrics memory, after the first 100", late - early, "MiB more", "0"),
    ]


def measure_metric_memory() -> tuple[float, float]:
    """Peak resident MiB after 100 frames and after 900 more; Linux."""
    reuse_freed_memory()

    def peak() -> float:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(status.split("VmHWM:")[1].split()[0]) / 1024

    frames = make_scored_clip()
    score_clip(frames, 10)
    early = peak()
    score_clip(frames, 90)
    return early, peak()


def draw_rooms(height: int, width: int, rings: int) -> np.ndarray:
    """A drawing (H, W) uint8 of overlapping ellipses, every second one with a gap in its line."""
    random = np.random.RandomState(0)
    drawing = np.full((height, width), 255, np.uint8)
    for index in range(rings):
        center = int(random.randint(width)), int(random.randint(height))
        axes = int(random.randint(width // 60, width // 12)), int(random.randint(height // 60, height // 8))
        end, thickness = 358 if index % 2 else 360, int(random.randint(1, 4))
        cv2.ellipse(drawing, center, axes, int(random.randint(180)), 0, end, 0, thickness, cv2.LINE_AA)
    return drawing


def region_rows() -> list[Row]:
    """Regions of drawings with gaps in their lines, and their colors, on one core; against plain components."""
    cv2.setNumThreads(1)
    rows = []
    for height, width, aim in ((1080, 1920, "below 1"), (2160, 3840, "below 3")):
        drawing = draw_rooms(height, width, 85)
        lines, paper = torch.from_numpy(drawing[None] / np.float32(255)), (drawing > 229).view(np.uint8)
        regions, frame = find_regions(lines), torch.rand(3, height, width) * 0.05 + 0.4
        own = best_of(lambda lines=lines: find_regions(lines))
        plain = best_of(lambda paper=paper: cv2.connectedComponents(paper, connectivity=4))
        vote = best_of(lambda regions=regions, frame=frame: vote_colors(regions, frame))
        name = f"{int(regions.max())} regions, {width} x {height}"
        rows += [
            Row(f"{name}, one core", own, "seconds", aim),
            Row(f"{name}, cost", own / plain, "of OpenCV's components", ""),
            Row(f"{name}, vote of colors", vote / plain, "of OpenCV's components", ""),
        ]
    return rows


def draw_cells(count: int, size: int) -> tuple[Tensor, Tensor]:
    """A drawing (1, size, size) of so many rectangles, in rows of ten, and their labels (size, size)."""
    place = torch.arange(size)
    labels = place[:, None] * (count // 10) // size * 10 + place * 10 // size
    is_border = (labels != labels.roll(1, 0)) | (labels != labels.roll(1, 1))
    return (~is_border).float()[None], labels.masked_fill(is_border, -1)


@torch.no_grad()
def ant_rows() -> list[Row]:
    """The Animation Transformer at the paper's size, a pair of 1024 px at a time, crops included."""
    reuse_freed_memory()
    model, matrix, rows = AnT.from_ant_config(AnTConfig()).eval(), torch.randn(2048, 2048), []
    product_rate = 2 * 2048**3 / best_of(lambda: matrix @ matrix, 5)
    for count in (50, 300, 1000):
        cells = draw_cells(count, 1024)

        def match(cells: tuple[Tensor, Tensor] = cells) -> None:
            model.compare(model.crop(*cells), model.crop(*cells))

        with FlopCounterMode(display=False) as counter:
            match()
        seconds = best_of(match)
        cost = seconds * product_rate / counter.get_total_flops()
        rows.append(Row(f"AnT, {count} segments", 1000 * seconds, "ms per pair", ""))
        rows.append(Row(f"AnT, {count} segments, cost", cost, "products of equal FLOPs", ""))
    return rows


def paper_rows() -> list[Row]:
    """The paper's model, 206 M parameters at 224 px, on a GPU; nothing without one. No perceptual loss, which needs
    VGG's weights; everything else as in the run `opdm`, with the reverse pass through all ten steps."""
    if not torch.cuda.is_available():
        return []
    matrix, size = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16), 224
    product_rate = 2 * 8192**3 / best_of(to_the_end(lambda: matrix @ matrix), 20)
    model = OPDMModel.from_model_config(OPDM).to("cuda", memory_format=torch.channels_last)
    objective, rows = JointObjective(model, JointObjectiveConfig(perceptual_weight=0), RUNS["opdm"].schedule), []
    for count in (1, 8):
        batch = make_batch(count, size)
        batch = replace(batch, conditions=build_still(batch.conditions)).to("cuda")
        for name, action in (
            ("training step", training_step(objective, batch, torch.bfloat16)),
            ("painting", partial(paint_in_bfloat16, model, batch.conditions)),
        ):
            with FlopCounterMode(display=False) as counter:
                action()
            torch.cuda.reset_peak_memory_stats()
            seconds = best_of(to_the_end(action))
            share = counter.get_total_flops() / seconds / product_rate
            title = f"opdm, bfloat16, {name}, batch {count}"
            rows.append(Row(title, 1000 * seconds / count, "ms per drawing", ""))
            rows.append(Row(f"{title}, rate", share, "of an 8192 matrix product's", ""))
            rows.append(Row(f"{title}, memory", torch.cuda.max_memory_allocated() / 2**30, "GiB", ""))
    return rows


def build_still(conditions: Conditions) -> Conditions:
    """What a model is given that makes nothing of motion."""
    return Conditions(
        lines=conditions.lines,
        keyframes=conditions.keyframes,
        keyframe_lines=conditions.keyframe_lines,
        regions=conditions.regions,
    )


def paint_in_bfloat16(model: OPDMModel, conditions: Conditions) -> None:
    """As `sample`, by a model whose weights are float32, on the device of the conditions."""
    with torch.autocast(conditions.lines.device.type, torch.bfloat16):
        sample(model, conditions)


def to_the_end(action: Callable[[], object]) -> Callable[[], None]:
    """The action, and all that it has started on a GPU."""

    def whole() -> None:
        action()
        torch.cuda.synchronize()

    return whole


ROWS = {
    "generator": generator_rows,
    "regions": region_rows,
    "model": lambda: model_rows(["one-step", "full"]),
    "utilization": utilization_rows,
    "precision": precision_rows,
    "norm": norm_rows,
    "ant": ant_rows,
    "metrics": metric_rows,
    "metrics memory": metric_memory_rows,
    "lines": line_rows,
    "proposals": proposal_rows,
    "paper": paper_rows,
    "data": data_rows,
}


def main() -> int:
    """Print the table, and write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}; all unless given")
    parser.add_argument("--json", type=Path, help="write the rows here, too")
    options = parser.parse_args()
    unknown = set(options.rows) - set(ROWS)
    if unknown:
        parser.error(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    # The naive model comes first, and data last: allocator and threads cannot be told to forget.
    rows = [row for name, measure in ROWS.items() if name in (options.rows or ROWS) for row in measure()]
    for row in rows:
        print(f"{row.name:<58}{row.value:>9.2f} {row.unit:<24}{f'aim {row.aim}' if row.aim else ''}")
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
