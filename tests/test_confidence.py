"""What is said to be checked first."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from conftest import SHOT_SIZE as SIZE
from opdm.cli import main
from opdm.confidence import (
    RED,
    VIOLET,
    RegionCheck,
    check_drawing,
    draw_checks,
    find_boxes,
    measure_doubt,
    order_checks,
)
from opdm.data.cel_clips import cel_clips
from opdm.frames import read_frame, write_frame
from opdm.heads import HEADS, ChoiceHead
from opdm.layers import Layers
from opdm.metrics.color import delta_e_2000, lab_colors, region_color_error
from opdm.pipeline import OPDMPipeline
from opdm.segments import fill_regions
from tiny import SCHEDULE, make_model, set_up_moved


@pytest.fixture(scope="module")
def stage(shot):
    keyframes = [Layers(shot.color(i), shot.lines(i)) for i in (0, 4)]
    return set_up_moved(shot.lines(2), keyframes)


def certain(stage, chosen):
    """Weights that take one proposal everywhere."""
    proposals = stage.conditions.proposals
    weights = torch.zeros(len(proposals), SIZE, SIZE)
    weights[chosen] = 1
    return weights, proposals[chosen]


def test_who_takes_one_proposal_has_no_doubt(stage):
    weights, frame = certain(stage, 2)
    found = check_drawing("0002.png", stage, frame, weights)
    assert len(found.regions) == int(stage.regions.max())
    assert max(region.doubt for region in found.regions) < 1e-3
    assert found.doubtful == ()


def test_doubt_is_the_expected_difference(stage):
    weights = torch.rand(len(stage.conditions.proposals), SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    weights /= weights.sum(dim=0)
    frame = torch.rand(3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    doubt = measure_doubt(stage, frame, weights)
    for y, x in ((5, 9), (40, 33)):
        expected = 0.0
        for weight, proposal in zip(weights, stage.conditions.proposals, strict=True):
            pair = [lab_colors(picture[:, y : y + 1, x : x + 1]) for picture in (proposal, frame)]
            expected += float(weight[y, x] * delta_e_2000(*pair))
        assert doubt[y, x] == pytest.approx(expected, rel=1e-4)


def test_a_region_between_two_colors_is_listed_with_its_place(stage):
    proposals = stage.conditions.proposals.clone()
    proposals[0], proposals[1] = 0.2, 0.8
    mixed = replace(stage, conditions=replace(stage.conditions, proposals=proposals))
    weights = torch.zeros(len(proposals), SIZE, SIZE)
    region = int(stage.regions[SIZE // 2].max())
    inside = stage.regions == region
    weights[0] = torch.where(inside, 0.5, 1.0)
    weights[1] = torch.where(inside, 0.5, 0.0)
    frame = torch.where(inside, 0.5, 0.2).expand(3, -1, -1)
    first = check_drawing("x", mixed, frame, weights).regions[0]
    rows, columns = torch.nonzero(inside, as_tuple=True)
    left, top, width, height = first.box
    assert first.region == region
    assert (left, top) == (int(columns.min()), int(rows.min()))
    assert (left + width - 1, top + height - 1) == (int(columns.max()), int(rows.max()))
    assert first.area_px == int(inside.sum())
    assert first.color == "#808080"


def test_agreement_is_told_piece_by_piece(stage):
    weights, _ = certain(stage, 2)
    frame = fill_regions(stage.regions, stage.moved.voted.colors, torch.zeros(3, SIZE, SIZE))
    found = {region.region: region for region in check_drawing("x", stage, frame, weights).regions}
    for number, share in enumerate(stage.moved.voted.sureness.tolist(), start=1):
        assert found[number].vote == pytest.approx(share, abs=1e-5), "painted as it was voted"
        assert found[number].match is None and found[number].keyframes_differ >= 0
    assert max(region.keyframes_differ for region in found.values()) > 1
    other = check_drawing("x", stage, (frame + 0.5) % 1, weights).regions
    assert sum(region.vote for region in other) < 0.2 * sum(region.vote for region in found.values())


def test_one_keyframe_cannot_differ_from_itself(shot, matcher):
    keyframe = Layers(shot.color(0), shot.lines(0))
    alone = set_up_moved(shot.lines(2), [keyframe] * 2, matcher)
    weights, frame = certain(alone, 0)
    for region in check_drawing("x", alone, frame, weights).regions:
        assert region.keyframes_differ is None and 0 <= region.match <= 1.001
        json.dumps(asdict(region))


def test_boxes_are_those_of_a_slow_loop():
    regions = torch.from_numpy(np.random.default_rng(0).integers(0, 9, (12, 17), dtype=np.int32))
    boxes = find_boxes(regions)
    assert set(boxes) == set(range(1, 9))
    for number, (left, top, width, height) in boxes.items():
        rows, columns = np.nonzero(regions.numpy() == number)
        assert (left, top) == (columns.min(), rows.min())
        assert (width, height) == (np.ptp(columns) + 1, np.ptp(rows) + 1)


def test_the_picture_shows_doubtful_regions_and_fades_the_others():
    regions = torch.zeros(20, 30, dtype=torch.int32)
    regions[4:9, 4:9], regions[4:9, 20:25], regions[14:18, 4:9] = 1, 2, 3
    frame = torch.rand(3, 20, 30)
    shown = [
        RegionCheck(1, 9.0, 0.0, False, 1.0, None, None, "#000000", 25, (4, 4, 5, 5)),
        RegionCheck(2, 8.0, 0.9, True, 1.0, None, None, "#000000", 25, (20, 4, 5, 5)),
    ]
    picture = draw_checks(frame, regions, shown)
    assert torch.equal(picture[:, 4:9, 4:9], frame[:, 4:9, 4:9])
    assert torch.allclose(picture[:, 3, 5], torch.tensor(RED))
    assert torch.allclose(picture[:, 3, 21], torch.tensor(VIOLET))
    assert picture[:, 14:18, 4:9].min() >= 0.75


def test_drawings_with_the_most_to_look_at_come_first():
    lists = [
        {"drawing": name, "doubtful": n, "doubtful_px": px} for name, n, px in (("a", 1, 9), ("b", 3, 2), ("c", 3, 5))
    ]
    assert [found["drawing"] for found in order_checks(lists)] == ["c", "b", "a"]


def test_only_a_head_that_chooses_has_weights():
    for head in (kind() for kind in HEADS.values()):
        output = torch.randn(len(head.channels(["one", "other"])), 4, 5)
        weights = head.weights(output)
        assert head.chooses == isinstance(head, ChoiceHead) == (weights is not None)
        if weights is not None:
            assert torch.allclose(weights.sum(dim=0), torch.ones(4, 5))


def write_shot(folder, frames=5, size=96):
    (shot,) = cel_clips([11], height=size, width=size, frames=frames)
    for i in range(frames):
        write_frame(folder / "lines" / f"{i:04}.png", shot.lines(i).expand(3, -1, -1))
    keyframes = [folder / "keyframes" / f"{i:04}.png" for i in (0, frames - 1)]
    for path in keyframes:
        write_frame(path, shot.color(int(path.stem)))
    return [
        "--keyframes",
        *map(str, keyframes),
        "--lines",
        str(folder / "lines"),
        "--output",
        str(folder / "out"),
    ]


def test_the_command_writes_what_to_check_first_and_goes_on(tmp_path, capsys):
    arguments = write_shot(tmp_path)
    assert main([*arguments, "--check"]) == 0
    folder = tmp_path / "out" / "check"
    report = json.loads((folder / "check.json").read_text())
    assert [found["drawing"] for found in order_checks(report["drawings"])] == [
        found["drawing"] for found in report["drawings"]
    ]
    assert {found["drawing"] for found in report["drawings"]} == {"0001.png", "0002.png", "0003.png"}
    for found in report["drawings"]:
        assert found["doubtful"] == len(found["check"]) <= found["regions"]
        assert all(region["doubt"] > report["doubtful_above"] for region in found["check"])
    assert read_frame(folder / "0002.png").shape == (3, 96, 96)
    (folder / "0002.json").unlink()
    capsys.readouterr()
    assert main([*arguments, "--check"]) == 0
    assert "painted 1 " in capsys.readouterr().out, "only what lacks its list is painted again"
    assert (folder / "0002.json").exists()


def test_a_model_that_does_not_choose_is_told(tmp_path, capsys):
    OPDMPipeline.from_model(make_model(), SCHEDULE).save_pretrained(tmp_path / "model")
    arguments = write_shot(tmp_path)
    assert main([*arguments, "--check", "--model", str(tmp_path / "model")]) == 2
    assert "--check: " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_shipped_model_doubts_what_is_wrong():
    (shot,) = cel_clips([2**62 + 1], height=160, width=160, frames=10)
    keyframes = [Layers(shot.color(i), shot.lines(i)) for i in (0, 9)]
    pipeline = OPDMPipeline.from_pretrained("opdm-small")
    stage = pipeline.set_up(shot.lines(4), keyframes)
    (finished,) = pipeline.paint([stage], seeds=[0])
    found = check_drawing("x", stage, finished.frame, finished.weights)
    doubtful = torch.tensor([region.region for region in found.doubtful])
    others = torch.tensor([region.region for region in found.regions if region not in found.doubtful])
    errors = [
        region_color_error(
            finished.frame, shot.color(4), torch.where(torch.isin(stage.regions, group), stage.regions, 0)
        )
        for group in (doubtful, others)
    ]
    assert errors[0]["wrong"] > 3 * errors[1]["wrong"]
