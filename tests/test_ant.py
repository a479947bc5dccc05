"""The Animation Transformer: its crops, its network, its losses, and that it learns."""

from dataclasses import replace

import pytest
import torch

from opdm.ant import AnT, load_ant
from opdm.ant_crops import MASK_SAMPLES, SegmentBatch, SegmentCrops, crop_segments
from opdm.ant_losses import cycle_loss, forward_match_loss
from opdm.config import AnTConfig, MatchingObjectiveConfig, ScheduleConfig
from opdm.data.cel_pairs import PairBatch
from opdm.errors import InputError
from opdm.objectives import MatchingObjective
from tiny import ANT

TINY = replace(ANT, dropout=0)


def make_ant(**changes) -> AnT:
    torch.manual_seed(0)
    return AnT.from_ant_config(replace(TINY, **changes)).eval()


def make_crops(count: int, seed: int) -> SegmentCrops:
    generator = torch.Generator().manual_seed(seed)
    crops, boxes = torch.rand(count, 2, 8, 8, generator=generator), torch.rand(count, 4, generator=generator)
    return SegmentCrops(crops, boxes)


def make_labels() -> torch.Tensor:
    """Segments of one pixel, of one row, at the border, split in two, and inside another."""
    labels = torch.full((37, 53), -1)
    labels[2:20, 3:30] = 0
    labels[8:12, 8:15] = 1
    labels[30:, 40:] = 2
    labels[25, 5:35] = 3
    labels[0, 52] = 4
    labels[22:24, 0:4], labels[33:36, 12:20] = 5, 5
    return labels


def crop_slowly(ink, is_own, side, margin):
    """One segment, pixel by pixel: overlaps of areas for the ink, nearest samples for the mask."""
    y, x = torch.nonzero(is_own, as_tuple=True)
    extents = [(int(axis.min()), int(axis.max()) + 1) for axis in (y, x)]
    spans = [(a - margin * (b - a), (b - a) * (1 + 2 * margin) / side) for a, b in extents]
    overlaps = []
    for (start, step), length in zip(spans, ink.shape, strict=True):
        table = [
            [max(0, min(start + (k + 1) * step, p + 1) - max(start + k * step, p)) / step for p in range(length)]
            for k in range(side)
        ]
        overlaps.append(torch.tensor(table, dtype=torch.float64))
    mean_ink = overlaps[0] @ ink.double() @ overlaps[1].T
    mask = torch.zeros(side, side)
    for row in range(side * MASK_SAMPLES):
        for column in range(side * MASK_SAMPLES):
            (top, height), (left, width) = spans
            at = (
                int((top + (row + 0.5) / MASK_SAMPLES * height) // 1),
                int((left + (column + 0.5) / MASK_SAMPLES * width) // 1),
            )
            if 0 <= at[0] < ink.shape[0] and 0 <= at[1] < ink.shape[1] and is_own[at]:
                mask[row // MASK_SAMPLES, column // MASK_SAMPLES] += 1 / MASK_SAMPLES**2
    return torch.stack([mean_ink.float(), mask])


@pytest.mark.parametrize("margin", [0.0, 0.25])
def test_crops_are_what_a_loop_over_segments_and_pixels_makes(margin):
    labels, lines = make_labels(), torch.rand(1, 37, 53)
    found = crop_segments(lines, labels, side=8, margin=margin)
    for segment in range(6):
        expected = crop_slowly(1 - lines[0], labels == segment, 8, margin)
        assert torch.allclose(found.crops[segment], expected, atol=1e-5), segment


def test_boxes_are_measured_from_the_center_in_longer_sides():
    boxes = crop_segments(torch.ones(1, 37, 53), make_labels(), side=8, margin=0).boxes * 53
    assert torch.allclose(boxes[0], torch.tensor([16.5 - 26.5, 11 - 18.5, 18, 27]), atol=1e-4)
    assert torch.allclose(boxes[5], torch.tensor([10 - 26.5, 29 - 18.5, 14, 20]), atol=1e-4)


def test_a_drawing_without_segments_is_refused_in_one_line():
    for labels in (torch.full((8, 8), -1), torch.zeros(0, 0, dtype=torch.long)):
        with pytest.raises(InputError, match=r"^a drawing without segments: .*\Z"):
            crop_segments(torch.ones(1, *labels.shape), labels, side=8, margin=0)
    with pytest.raises(InputError, match="give the same size"):
        crop_segments(torch.ones(1, 8, 9), torch.zeros(8, 8, dtype=torch.long), side=8, margin=0)


@pytest.mark.parametrize("changes", [{}, {"position": "none"}, {"layers": 0}], ids=str)
def test_the_order_of_segments_changes_nothing_but_the_order(changes):
    model, reference, target = make_ant(**changes), make_crops(5, 1), make_crops(7, 2)
    rows, columns = torch.randperm(5), torch.randperm(7)
    shuffled = [SegmentCrops(c.crops[p], c.boxes[p]) for c, p in ((reference, rows), (target, columns))]
    expected = model.compare(reference, target)[rows][:, columns]
    assert torch.allclose(model.compare(*shuffled), expected, atol=1e-5)


def test_the_two_drawings_may_change_places():
    model, one, other = make_ant(), make_crops(5, 1), make_crops(7, 2)
    assert torch.allclose(model.compare(one, other), model.compare(other, one).T, atol=1e-5)


@torch.no_grad()
def test_padding_changes_nothing():
    model, counts = make_ant(), [(3, 5), (9, 1), (4, 4)]
    pairs = [(make_crops(m, 10 + i), make_crops(n, 20 + i)) for i, (m, n) in enumerate(counts)]
    together = model(SegmentBatch.pack([pair[side] for side in (0, 1) for pair in pairs]))
    assert together.shape == (3, 9, 9)
    for similarity, (m, n), pair in zip(together, counts, pairs, strict=True):
        assert torch.allclose(similarity[:m, :n], model.compare(*pair), atol=1e-5)


def test_every_part_sees_what_the_other_drawing_shows():
    model, reference = make_ant(), make_crops(4, 1)
    similarity = [model.compare(reference, make_crops(6, seed)) for seed in (2, 3)]
    assert not torch.allclose(*similarity, atol=1e-3)
    blind = make_ant(layers=0)
    changed = SegmentCrops(reference.crops, torch.cat([reference.boxes[:3], reference.boxes[3:] + 1]))
    before, after = (blind.compare(one, make_crops(6, 2)) for one in (reference, changed))
    assert torch.allclose(before[:3], after[:3], atol=1e-6) and not torch.allclose(before[3], after[3])


def test_without_positions_boxes_are_not_looked_at():
    model, reference, target = make_ant(position="none"), make_crops(4, 1), make_crops(6, 2)
    elsewhere = SegmentCrops(target.crops, target.boxes + 1)
    assert torch.equal(model.compare(reference, target), model.compare(reference, elsewhere))


def test_the_paper_has_nine_layers_of_both_attentions():
    model = AnT.from_ant_config(AnTConfig())
    assert len(model.blocks) == 18 and model.blocks[0].heads == 4
    assert 10e6 < sum(p.numel() for p in model.parameters()) < 12e6


def test_a_saved_network_matches_as_before(tmp_path):
    model, pair = make_ant(), (make_crops(4, 1), make_crops(6, 2))
    model.save_pretrained(tmp_path)
    loaded = load_ant(tmp_path)
    assert torch.equal(loaded.compare(*pair), model.compare(*pair))
    assert loaded.crop_size == 8 and not loaded.training


def test_what_cannot_be_loaded_is_told_in_one_line(tmp_path):
    with pytest.raises(InputError, match=r"no Animation Transformer; give ant-small, or pipeline/ .*\Z"):
        load_ant(tmp_path)
    (tmp_path / "config.json").write_text('{"architecture": {"kind": "warp"}}')
    with pytest.raises(InputError, match=r"cannot be loaded as an Animation Transformer .*\Z"):
        load_ant(tmp_path)


# Softmax shares of exactly 1/4 and 3/4, written as similarities.
THREE_TO_ONE = torch.tensor([[[3.0, 1.0], [1.0, 3.0]]]).log()
EVERYTHING = torch.ones(1, 2, 2, dtype=torch.bool)


def test_the_forward_loss_is_the_share_that_goes_wrong():
    truth = torch.eye(2, dtype=torch.bool)[None]
    assert forward_match_loss(THREE_TO_ONE, EVERYTHING, truth).item() == pytest.approx(-torch.tensor(0.75).log().item())
    # With one color for both, every match is right.
    assert forward_match_loss(THREE_TO_ONE, EVERYTHING, EVERYTHING).item() == pytest.approx(0, abs=1e-6)


def test_targets_that_match_nothing_are_left_out_of_the_forward_loss():
    truth = torch.tensor([[[False, False], [True, False]]])
    assert forward_match_loss(THREE_TO_ONE, EVERYTHING, truth).item() == pytest.approx(-torch.tensor(0.25).log().item())
    assert forward_match_loss(THREE_TO_ONE, EVERYTHING, ~EVERYTHING).item() == 0


def test_the_cycle_loss_is_the_share_that_does_not_come_home():
    home = 0.75 * 0.75 + 0.25 * 0.25
    assert cycle_loss(THREE_TO_ONE, EVERYTHING).item() == pytest.approx(-torch.tensor(home).log().item())


def test_padding_adds_nothing_to_the_losses_or_their_gradients():
    similarity = torch.randn(1, 3, 4, requires_grad=True)
    truth = torch.rand(1, 3, 4) < 0.4
    wide = torch.full((1, 6, 7), 5.0)
    wide[:, :3, :4] = similarity.detach()
    wide.requires_grad_()
    is_pair, wide_truth = torch.zeros(2, 1, 6, 7, dtype=torch.bool)
    is_pair[:, :3, :4], wide_truth[:, :3, :4] = True, truth
    everything = torch.ones_like(truth)
    alone = forward_match_loss(similarity, everything, truth) + cycle_loss(similarity, everything)
    padded = forward_match_loss(wide, is_pair, wide_truth) + cycle_loss(wide, is_pair)
    assert torch.allclose(alone, padded)
    alone.sum().backward()
    padded.sum().backward()
    assert torch.allclose(wide.grad[:, :3, :4], similarity.grad, atol=1e-6)
    assert wide.grad[~is_pair].eq(0).all()


def test_one_pair_is_learned_by_heart():
    torch.manual_seed(0)
    reference, target = make_crops(6, 1), make_crops(6, 2)
    truth = torch.eye(6, dtype=torch.bool)[torch.randperm(6)]
    segments = SegmentBatch.pack([reference, target])
    batch = PairBatch(segments=segments, matches={"ids": truth[None], "colors": truth[None]})
    model = make_ant().train()
    objective = MatchingObjective(model, MatchingObjectiveConfig(), ScheduleConfig())
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(80):
        named = objective(batch)
        loss = sum(objective.weights[name] * values.mean() for name, values in named.items())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]
    assert torch.equal(model.eval().compare(reference, target).argmax(dim=0), truth.int().argmax(dim=0))


@pytest.mark.parametrize("position", ["box", "none"])
def test_every_parameter_is_trained(position):
    model = make_ant(position=position).train()
    batch = PairBatch(
        segments=SegmentBatch.pack([make_crops(n, n) for n in (3, 5, 4, 2)]),
        matches={"ids": torch.rand(2, 5, 5) < 0.5},
    )
    losses = MatchingObjective(model, MatchingObjectiveConfig(), ScheduleConfig())(batch)
    assert all(values.shape == (2,) and values.isfinite().all() for values in losses.values())
    sum(values.sum() for values in losses.values()).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"heads": 3}, "model.heads"), ({"crop_size": 16}, "model.crop_size"), ({"norm_groups": 5}, "model.crop_widths")],
)
def test_impossible_networks_name_the_field(changes, named):
    with pytest.raises(ValueError, match=named):
        replace(TINY, **changes)
