"""Regions that decide by their matches."""

import json
from dataclasses import replace

import pytest
import torch

from opdm import matching
from opdm.ant import load_ant
from opdm.cli import main
from opdm.data.cel_clips import cel_clips
from opdm.frames import read_frame, write_frame
from opdm.layers import Layers
from opdm.matching import Match, Matcher
from opdm.motion import Motion
from opdm.proposals import Ballot
from opdm.region_pipelines import AnTPipeline, elect_colors, most_alike, nearest_color, settle
from opdm.segments import find_regions
from opdm.staging import Moved, fill_all, set_up
from opdm.weights import embedded_networks, folder_of

RED, BLUE, GREEN = torch.tensor([[0.8, 0.2, 0.2], [0.2, 0.2, 0.8], [0.2, 0.8, 0.2]])
HEIGHT, WIDTH = 40, 90


def three_rooms():
    lines = torch.ones(1, HEIGHT, WIDTH)
    lines[:, :, [29, 30, 59, 60]] = 0
    return lines


def painted(*colors):
    """Rooms in colors (3,) or pictures (3, H, 30), lines black."""
    rooms = [color.view(3, 1, 1).expand(3, HEIGHT, 30) if color.ndim == 1 else color for color in colors]
    return torch.cat(rooms, dim=2) * three_rooms()


class OneToOne:
    """A network that thinks segment i is segment `order[i]`."""

    def __init__(self, *order):
        self.order, self.crops = torch.tensor(order), 0

    def crop(self, lines, labels):
        self.crops += 1
        return int(labels.max()) + 1

    def compare(self, reference, target):
        similarity = torch.zeros(reference, target)
        similarity[self.order[:target], torch.arange(target)] = 9
        return similarity


def stage_of(keyframe, lines=None):
    lines = three_rooms() if lines is None else lines
    return set_up(lines, find_regions(lines), [keyframe, keyframe], shorter_side=HEIGHT, multiple=1)


def test_a_region_takes_the_color_of_its_best_match_in_the_surest_keyframe():
    sure = Match(torch.tensor([[0.1, 0.9], [0.5, 0.5], [0, 0]]), torch.stack([RED, BLUE]))
    other = Match(torch.tensor([[0.7, 0.3], [0.2, 0.8], [0, 0]]), torch.stack([GREEN, GREEN]))
    colors = most_alike([sure, other])
    assert torch.equal(colors[:2], torch.stack([BLUE, GREEN])) and colors[2].isnan().all()


def test_the_vote_counts_paint_matches_and_agreement():
    regions = find_regions(three_rooms())
    fill = painted(RED, RED, RED)
    own, nothing = RED.expand(3, 3), torch.full((3, 3), torch.nan)
    votes = Ballot(regions, painted(BLUE, BLUE, BLUE)[None], torch.ones(1, HEIGHT, WIDTH))
    no_votes = replace(votes, weights=torch.zeros(1, HEIGHT, WIDTH))
    still = Motion(torch.zeros(1, 1, 2, HEIGHT, WIDTH), torch.zeros(1, 1, 1, HEIGHT, WIDTH))
    blue, nobody = (Moved(still, ballot, fill_all(regions, ballot), []) for ballot in (votes, no_votes))
    for_red = Match(torch.tensor([[1.0, 0.0]] * 3), torch.stack([RED, BLUE]))
    for_blue = Match(torch.tensor([[0.1, 0.9]] * 3), torch.stack([RED, BLUE]))
    assert torch.equal(elect_colors(regions, fill, own, blue, [for_red]), own)
    assert torch.equal(elect_colors(regions, fill, own, None, [for_blue]), own)  # the paint is surer than the match
    assert torch.equal(elect_colors(regions, fill, own, nobody, [for_blue]), own)
    assert torch.equal(elect_colors(regions, fill, own, blue, [for_blue]), BLUE.expand(3, 3))  # two against one
    assert torch.equal(elect_colors(regions, fill, nothing, nobody, [for_blue]), BLUE.expand(3, 3))


def test_a_mixture_is_no_color_of_the_keyframes():
    regions = find_regions(three_rooms())
    purple = (RED + BLUE) / 2 + torch.tensor([0.1, 0, 0])
    nowhere = torch.full((1, 3), torch.nan)
    unsure = Match(torch.full((3, 3), 1 / 3), torch.stack([GREEN, BLUE, RED]))
    unmatched = Match(torch.zeros(3, 1), nowhere)
    own = torch.stack([purple, purple, nowhere[0]])
    assert torch.equal(nearest_color(own, [unsure, unmatched])[:2], RED.expand(2, 3))
    assert nearest_color(own, [unsure])[2].isnan().all()
    assert torch.equal(nearest_color(own[:2], [unmatched]), own[:2])
    for_green = Match(torch.tensor([[0.4, 0.3, 0.3]] * 3), torch.stack([GREEN, BLUE, RED]))
    painted_purple = painted(purple, purple, purple)
    assert torch.equal(elect_colors(regions, painted_purple, own, None, [for_green]), GREEN.expand(3, 3))


def test_flat_regions_are_outvoted_and_shaded_ones_stay():
    keyframe = Layers(painted(RED, BLUE, GREEN), three_rooms())
    shaded = torch.linspace(0.2, 0.9, HEIGHT)[None, :, None].expand(3, HEIGHT, 30)
    frame = painted(BLUE, BLUE, shaded)  # the first room is wrong
    stage = stage_of(keyframe)
    match = Twice(OneToOne(0, 1, 2))
    settled = settle(stage, frame, [match(stage.lines, stage.regions, k) for k in stage.keyframes])
    assert torch.allclose(settled[:, :, :28], painted(RED, BLUE, shaded)[:, :, :28], atol=1e-6)
    assert torch.allclose(settled[:, :, 61:], frame[:, :, 61:], atol=1e-6)


class Twice(Matcher):
    """Has two votes, so that it outvotes the paint alone."""

    def __call__(self, lines, regions, keyframe):
        match = super().__call__(lines, regions, keyframe)
        return Match(2 * match.chances, match.colors)


def test_a_keyframe_is_looked_at_once():
    network = OneToOne(0, 1, 2)
    matcher = Matcher(network)
    keyframe = Layers(painted(RED, BLUE, GREEN), three_rooms())
    regions = find_regions(three_rooms())
    found = [matcher(three_rooms(), regions, keyframe) for _ in range(3)]
    assert network.crops == 1 + 3
    assert torch.allclose(found[2].colors, torch.stack([RED, BLUE, GREEN]), atol=1 / 255)
    for _ in range(matching.KEPT_KEYFRAMES):
        matcher(three_rooms(), regions, Layers(keyframe.color, keyframe.lines))
    matcher(three_rooms(), regions, keyframe)
    assert network.crops == 4 + 2 * matching.KEPT_KEYFRAMES + 2  # forgotten, and seen again


def test_of_too_many_regions_the_largest_are_matched(monkeypatch):
    monkeypatch.setattr(matching, "MOST_SEGMENTS", 2)
    lines = torch.ones(1, HEIGHT, WIDTH)
    lines[:, :, [19, 20, 59, 60]] = 0  # 19, 38 and 29 pixels wide
    keyframe = Layers(painted(RED, BLUE, GREEN), three_rooms())
    match = Matcher(OneToOne(0, 1))(lines, find_regions(lines), keyframe)
    assert match.chances.sum(dim=1).tolist() == pytest.approx([0, 1, 1]) and len(match.colors) == 2


def test_without_the_model_each_room_has_its_color():
    keyframe = Layers(painted(RED, BLUE, GREEN), three_rooms())
    pipeline = AnTPipeline(OneToOne(2, 1, 0))
    stage = pipeline.set_up(three_rooms(), [keyframe, keyframe])
    (finished,) = pipeline.paint([stage], seeds=[0])
    assert torch.allclose(finished.frame, painted(GREEN, BLUE, RED), atol=1.5 / 255)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_drawings_without_lines_or_paper(value):
    blank = torch.full((1, HEIGHT, WIDTH), value)
    keyframe = Layers(torch.full((3, HEIGHT, WIDTH), 0.5), blank)
    pipeline = AnTPipeline(load_ant("ant-small"))
    (finished,) = pipeline.paint([pipeline.set_up(blank, [keyframe, keyframe])], seeds=[0])
    assert finished.frame.isfinite().all() and finished.frame.shape == (3, HEIGHT, WIDTH)


def test_the_embedded_network_finds_a_drawing_in_itself():
    assert "ant-small" in embedded_networks()
    matcher = Matcher(load_ant("ant-small"))
    right = total = 0
    for clip in cel_clips(range(3), height=160, width=200, frames=3):
        lines, regions = clip.lines(0), find_regions(clip.lines(0))
        chances = matcher(lines, regions, Layers(clip.color(0), lines)).chances
        right += int((chances.argmax(dim=1) == torch.arange(len(chances))).sum())
        total += len(chances)
    assert right / total > 0.95


@pytest.fixture
def shot(tmp_path):
    (clip,) = cel_clips([4], height=64, width=96, frames=4)
    for name, i in (("first", 0), ("last", 3)):
        write_frame(tmp_path / f"{name}.png", clip.color(i))
    for i in (1, 2):
        write_frame(tmp_path / "lines" / f"{i}.png", clip.lines(i))
    return tmp_path


def sample(shot, *more, output="out"):
    files = ["--keyframes", str(shot / "first.png"), str(shot / "last.png"), "--lines", str(shot / "lines")]
    return main([*files, "--output", str(shot / output), "--quiet", *more])


def test_the_command_paints_by_every_method(shot, capsys):
    for method in ("diffusion", "ant", "both"):
        assert sample(shot, "--method", method, output=method) == 0
    frames = {method: read_frame(shot / method / "1.png") for method in ("diffusion", "ant", "both")}
    assert not torch.equal(frames["ant"], frames["diffusion"])
    assert (frames["both"] - frames["diffusion"]).abs().mean() < (frames["ant"] - frames["diffusion"]).abs().mean()
    records = {method: json.loads((shot / method / "opdm.json").read_text()) for method in frames}
    assert records["ant"].keys() ^ records["both"].keys() == {"model"}
    assert records["both"]["weights"].keys() == {"model", "ant"}
    assert sample(shot, "--method", "both", output="ant") == 2
    assert "other model and weights" in capsys.readouterr().err


def test_a_network_whose_matches_the_model_has_does_not_match_again(shot, monkeypatch):
    matched = []
    match = Matcher.__call__
    monkeypatch.setattr(Matcher, "__call__", lambda self, *drawn: matched.append(self) or match(self, *drawn))
    assert sample(shot, "--method", "both", output="own") == 0
    assert len(matched) == 4, "two drawings with two keyframes"
    assert sample(shot, "--method", "both", "--ant", str(folder_of("ant-small")), output="other") == 0
    assert len(matched) == 12
    assert torch.equal(*(read_frame(shot / output / "1.png") for output in ("own", "other")))


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["--ant", "nowhere"], "nowhere: no Animation Transformer"),
        (["--check"], "ant-small does not choose among proposals"),
    ],
)
def test_what_the_matcher_lacks_is_said_in_a_line(shot, capsys, more, reason):
    assert sample(shot, "--method", "ant", *more) == 2
    error = capsys.readouterr().err
    assert reason in error and error.count("\n") == 1
