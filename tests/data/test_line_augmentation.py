from dataclasses import fields

import numpy as np
import pytest
import torch

from opdm.data.line_augmentation import LineAugmentation, augment_lines, choose_augmentation, mix_lines
from opdm.line_style import measure_style


def drawing(width_px=2, gray=0.0):
    """(1, 96, 120): upright lines, one every 20 px."""
    lines = torch.ones(1, 96, 120)
    for left in range(9, 120, 20):
        lines[..., left : left + width_px] = gray
    return lines


def random(seed=0):
    return np.random.default_rng(seed)


def ink(lines):
    return float((1 - lines).mean())


def augment(lines, **changes):
    return LineAugmentation(**changes)(lines, random())


def test_the_default_changes_nothing():
    assert torch.allclose(augment(drawing()), drawing())


def test_augmented_lines_are_a_pure_function_of_lines_and_generator():
    lines = drawing(gray=0.3)
    before = lines.clone()
    for seed in range(30):
        changed = augment_lines(lines, random(seed))
        assert torch.equal(changed, augment_lines(lines, random(seed)))
        assert changed.shape == lines.shape
        assert changed.dtype == torch.float32
        assert changed.min() >= 0
        assert changed.max() <= 1
    assert torch.equal(lines, before)


@pytest.mark.parametrize("wider_px", [-0.5, 0.5, 1.2])
def test_lines_become_wider_on_either_side(wider_px):
    changed = augment(drawing(4), wider_px=wider_px)
    assert ink(changed) / ink(drawing(4)) == pytest.approx((4 + 2 * wider_px) / 4, rel=0.01)


def test_gaps_only_remove_ink_from_lines():
    changed = augment(drawing(), gaps=8)
    assert (changed >= drawing() - 1e-6).all()
    assert 0.7 < ink(changed) / ink(drawing()) < 0.97


def test_a_drawing_without_ink_stays_paper_under_every_change_but_grain():
    blank = torch.ones(1, 40, 50)
    every = {"wider_px": 1, "gaps": 8, "wobble_px": 0.6, "faintest": 0.3, "pressure": 0.5, "fading": 0.4, "blur_px": 1}
    assert torch.allclose(augment(blank, **every, hard_at=0.3), blank, atol=1e-6)


def test_wobble_moves_lines_by_its_amplitude():
    y = torch.arange(120.0)
    moved_px = []
    for seed in range(8):
        changed = LineAugmentation(wobble_px=0.5)(drawing(), random(seed))
        near = 1 - changed[0, :, 0:20]  # the first line, its middle at 9.5
        moved_px.append((near * y[:20]).sum(dim=1) / near.sum(dim=1) - 9.5)
    assert torch.cat(moved_px).std() == pytest.approx(0.45, rel=0.25)
    assert torch.cat(moved_px).mean().abs() < 0.15
    steps = torch.stack(moved_px).diff(dim=1)
    assert steps.std() < 0.15, "neighboring pixels of a line move together"


def test_faint_lines_drop_out_and_strong_ones_stay():
    assert torch.equal(augment(drawing(gray=0.75), faintest=0.3), torch.ones(1, 96, 120))
    assert torch.allclose(augment(drawing(gray=0.3), faintest=0.3), drawing(gray=0.3))


def test_light_pressure_varies_within_its_bound():
    share = (1 - augment(drawing(), pressure=0.5))[drawing() == 0]
    assert share.min() >= 0.5 - 1e-6
    assert share.max() > share.min() + 0.2


def test_fading_takes_its_share_of_all_ink():
    assert ink(augment(drawing(), fading=0.4)) == pytest.approx(0.6 * ink(drawing()), rel=1e-5)


def test_blur_makes_soft_lines_and_hardening_binary_ones():
    soft = augment(drawing(), blur_px=1)
    assert measure_style(soft).softness > 0.4
    assert ink(soft) == pytest.approx(ink(drawing()), rel=0.02)
    hard = augment(drawing(gray=0.4), hard_at=0.5)
    assert torch.equal(hard, drawing())


def test_grain_has_its_standard_deviation_on_paper():
    changed = augment(torch.full((1, 200, 200), 0.5), grain=0.02)
    assert changed.std() == pytest.approx(1.5 * 0.02, rel=0.15)


def test_mixed_lines_are_one_drawing_here_and_the_other_there():
    one, other = torch.zeros(1, 128, 128), torch.ones(1, 128, 128)
    mixed = mix_lines(one, other, random(2))
    assert (mixed < 0.01).float().mean() > 0.1
    assert (mixed > 0.99).float().mean() > 0.1
    assert torch.equal(mix_lines(one, one, random()), one)


def test_three_in_ten_drawings_stay_and_every_change_happens():
    hands = [choose_augmentation(random(seed)) for seed in range(600)]
    plain = LineAugmentation()
    assert sum(hand == plain for hand in hands) / 600 == pytest.approx(0.3 + 0.7 * 0.65**8, abs=0.06)
    for field in fields(LineAugmentation):
        assert any(getattr(hand, field.name) != field.default for hand in hands), field.name


def test_augmented_drawings_keep_their_lines_visible():
    kept = [ink(augment_lines(drawing(), random(seed))) / ink(drawing()) for seed in range(100)]
    assert min(kept) > 0.15
    assert np.median(kept) > 0.7
