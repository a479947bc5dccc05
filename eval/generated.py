"""Score a model on generated shots that no run trains on, beside the answers that need no model.

`python eval/generated.py --model opdm-small`: shots of ten frames, painted from the first and the last; drawings and
keyframe drawings as drawn. Every answer is scored as the 8-bit frame that `opdm-sample` would write.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import Tensor
from tqdm import tqdm

from baselines import METHODS, Reference
from opdm.compositing import compose
from opdm.data.cel_animation import CelShot
from opdm.data.sample import Frame
from opdm.metrics.image import psnr, ssim
from opdm.pipeline import OPDMPipeline
from opdm.runtime import choose_device, choose_dtype, reuse_freed_memory

FIRST_SEED = 2**62
"""Seeds of training shots are drawn below this."""
FRAMES = 10

Answer = Callable[[Tensor, list[Reference]], Tensor]
"""A drawing (1, H, W) and its two keyframes to a painted frame (3, H, W), as in `baselines.METHODS`."""


def paint_with(pipeline: OPDMPipeline, steps: int | None) -> Answer:
    """What `opdm-sample` writes: the model's paint with the drawn lines on top."""

    def paint(lines: Tensor, references: list[Reference]) -> Tensor:
        colors, drawings = [r.frame for r in references], [r.lines for r in references]
        given = lines[None], torch.stack(colors)[None], torch.stack(drawings)[None]
        painted = pipeline(*given, seeds=[0], num_inference_steps=steps).frames[0]
        return compose(painted, lines).frame

    return paint


def paint_shot(answer: Answer, frames: list[Frame]) -> Tensor:
    """All frames between the first and the last, (T - 2, 3, H, W), as 8-bit files would hold them."""
    last = len(frames) - 1
    painted = [
        answer(
            frames[index].lines,
            [
                Reference(frames[0].color, frames[0].lines, 1 - index / last),
                Reference(frames[last].color, frames[last].lines, index / last),
            ],
        )
        for index in range(1, last)
    ]
    return to_levels(torch.stack(painted))


def to_levels(frames: Tensor) -> Tensor:
    """The nearest values that 8 bits can hold."""
    return (frames.clamp(0, 1) * 255).round() / 255


def score(answers: dict[str, Answer], *, shots: int, size: int) -> dict[str, dict[str, list[float]]]:
    """Scores of each answer, a value per shot: the mean over its drawings."""
    scores: dict[str, dict[str, list[float]]] = {name: {"psnr": [], "ssim": []} for name in answers}
    for seed in tqdm(range(FIRST_SEED, FIRST_SEED + shots), unit="shot"):
        shot = CelShot(seed, height=size, width=size, frames=FRAMES)
        frames = [shot.frame(index) for index in range(FRAMES)]
        truth = to_levels(torch.stack([frame.color for frame in frames[1:-1]]))
        for name, answer in answers.items():
            painted = paint_shot(answer, frames)
            # A held pose can be copied exactly; its infinite PSNR counts as 60 dB.
            scores[name]["psnr"].append(float(psnr(painted, truth).clamp(max=60).mean()))
            scores[name]["ssim"].append(float(ssim(painted, truth).mean()))
    return scores


def table(scores: dict[str, dict[str, list[float]]]) -> str:
    """Markdown: mean over shots, and the half width of its 95 % interval."""
    lines = ["| answer | PSNR, dB | SSIM |", "|---|---|---|"]
    for name, values in scores.items():
        cells = []
        for metric, digits in (("psnr", 2), ("ssim", 4)):
            value = torch.tensor(values[metric])
            half = 1.96 * float(value.std()) / len(value) ** 0.5
            cells.append(f"{float(value.mean()):.{digits}f} ± {half:.{digits}f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    """Print the table, and write all values as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="opdm-small", help="name, folder or hub id")
    parser.add_argument("--shots", type=int, default=50, help="how many (default: %(default)s)")
    parser.add_argument("--size", type=int, default=224, help="height and width in pixels (default: %(default)s)")
    parser.add_argument("--steps", type=int, nargs="*", default=[], help="denoising steps; several make several rows")
    parser.add_argument("--json", type=Path, help="write the values per shot here")
    options = parser.parse_args()
    reuse_freed_memory()
    device = choose_device("auto")
    try:
        pipeline = OPDMPipeline.from_pretrained(options.model, dtype=choose_dtype("auto", device)).to(device)
    except ValueError as error:
        parser.error(str(error))
    answers: dict[str, Answer] = {
        "nearest keyframe": METHODS["nearest"],
        "blend of both": METHODS["blend"],
        "flow on the lines": METHODS["flow"],
    }
    for steps in options.steps or [None]:
        answers[f"{options.model}, {steps or pipeline.model.sampling_steps} steps"] = paint_with(pipeline, steps)
    scores = score(answers, shots=options.shots, size=options.size)
    print(table(scores))
    if options.json:
        options.json.write_text(json.dumps({"shots": options.shots, "size": options.size, "scores": scores}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
