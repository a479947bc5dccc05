import pytest
import torch

import generated
from opdm.data.cel_animation import CelShot
from opdm.metrics.image import psnr


def test_the_trivial_answers_are_scored_as_they_are():
    answers = {"nearest": generated.METHODS["nearest"], "blend": generated.METHODS["blend"]}
    scores = generated.score(answers, shots=1, size=64)
    shot = CelShot(generated.FIRST_SEED, height=64, width=64, frames=generated.FRAMES)
    frames = [generated.to_levels(shot.frame(index).color) for index in range(generated.FRAMES)]
    nearest = [psnr(frames[0 if i < 5 else 9][None], frames[i][None]) for i in range(1, 9)]
    assert scores["nearest"]["psnr"] == [pytest.approx(float(torch.cat(nearest).clamp(max=60).mean()), abs=1e-3)]
    assert scores["nearest"] != scores["blend"]


def test_the_truth_is_scored_as_perfect():
    shot = CelShot(generated.FIRST_SEED, height=64, width=64, frames=generated.FRAMES)
    truth = iter([shot.frame(index).color for index in range(1, generated.FRAMES - 1)])
    scores = generated.score({"truth": lambda lines, references: next(truth)}, shots=1, size=64)
    assert scores["truth"] == {"psnr": [60.0], "ssim": [pytest.approx(1, abs=1e-5)]}


def test_the_table_has_a_row_per_answer_with_its_interval():
    scores = {"a": {"psnr": [30.0, 32.0], "ssim": [0.9, 0.9]}}
    assert generated.table(scores).splitlines()[-1] == "| a | 31.00 ± 1.96 | 0.9000 ± 0.0000 |"
