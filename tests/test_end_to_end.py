"""The shipped weights on the shipped example, through the command that users type."""

from pathlib import Path

import pytest
import torch

from opdm.cli import main
from opdm.frames import read_frame, resize
from opdm.metrics.image import psnr
from opdm.pipeline import OPDMPipeline
from opdm.weights import FOLDER
from tiny import SCHEDULE, make_model

EXAMPLE = Path(__file__).parents[1] / "examples" / "shot"


def keyframes():
    return sorted(map(str, (EXAMPLE / "keyframes").glob("*.png")))


def stems(folder):
    return sorted(path.stem for path in folder.glob("*.png"))


def test_a_pipeline_saved_by_training_paints_through_the_command(tmp_path):
    OPDMPipeline.from_model(make_model(), SCHEDULE).save_pretrained(tmp_path / "model")
    command = ["--keyframes", *keyframes(), "--lines", str(EXAMPLE / "lines"), "--output", str(tmp_path / "out")]
    assert main([*command, "--model", str(tmp_path / "model"), "--size", "64"]) == 0
    assert stems(tmp_path / "out") == stems(EXAMPLE / "frames")
    drawing = read_frame(EXAMPLE / "lines" / "0001.png")
    assert read_frame(tmp_path / "out" / "0001.png").shape == drawing.shape


@pytest.mark.slow
def test_the_embedded_weights_paint_the_example_better_than_its_nearest_keyframe(tmp_path):
    command = ["--keyframes", *keyframes(), "--lines", str(EXAMPLE / "lines"), "--output", str(tmp_path)]
    assert main(command) == 0
    first, last = (read_frame(Path(path)) for path in keyframes())
    names = stems(EXAMPLE / "frames")
    painted, copied = [], []
    for place, name in enumerate(names):
        truth = read_frame(EXAMPLE / "frames" / f"{name}.png")[None]
        nearest = first if place < len(names) / 2 else last
        painted.append(psnr(read_frame(tmp_path / f"{name}.png")[None], truth))
        copied.append(psnr(nearest[None], truth))
    assert torch.cat(painted).mean() > torch.cat(copied).mean() + 3
    assert all(a > b for a, b in zip(painted, copied, strict=True))


def test_the_embedded_weights_paint_in_one_batch_as_they_do_alone():
    pipeline = OPDMPipeline.from_pretrained("opdm-small")
    names = ["0001", "0002"]
    size = (64, 112)
    lines = torch.stack([resize(read_frame(EXAMPLE / "lines" / f"{name}.png")[:1], size) for name in names])
    given = torch.stack([resize(read_frame(Path(path)), size) for path in keyframes()])[None]
    together = pipeline(lines, given.expand(2, -1, -1, -1, -1), seeds=[1, 2]).frames
    alone = pipeline(lines[1:], given, seeds=[2]).frames
    assert torch.allclose(together[1:], alone, atol=2e-3)


def test_the_embedded_weights_fit_the_package():
    files = list(FOLDER.rglob("*.safetensors"))
    assert files and all(file.stat().st_size <= 16 * 2**20 for file in files)
    assert (FOLDER / "opdm-small" / "README.md").exists()
