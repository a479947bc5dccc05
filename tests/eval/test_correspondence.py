import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import correspondence
from flow_benchmark import COLUMNS, read_line_area, score_flow
from flow_models import FlowModel, load_flow_model
from opdm.ant import AnT
from opdm.data.cel_clips import cel_clips
from opdm.data.clips import Clip
from opdm.errors import InputError
from opdm.frames import write_frame
from segment_benchmark import PairTruth, Relay, SegmentedFrame, score_matches, score_segments
from segment_matching import (
    BothWays,
    Matches,
    SegmentedView,
    SegmentMethod,
    is_mutual,
    load_segment_method,
    match_centroids,
    vote_along,
)
from tiny import ANT


def make_clip(name, size, frames=3, *, seed=0, **known):
    """Noise with random flow and masks; the same answer to the same question."""

    def draw(purpose, *index):
        return torch.Generator().manual_seed(hash((seed, purpose, *index)) % 2**31)

    answers = {
        "color": lambda i: torch.rand(3, *size, generator=draw(1, i)),
        "lines": lambda i: (torch.rand(1, *size, generator=draw(2, i)) > 0.01).float(),
        "flow_px": lambda i, j: 30 * torch.randn(2, *size, generator=draw(3, i, j)),
        "is_occluded": lambda i, j: torch.rand(size, generator=draw(4, i, j)) < 0.2,
        "is_foreground": lambda i: torch.rand(size, generator=draw(5, i)) < 0.4,
        "is_flat": lambda i: torch.rand(size, generator=draw(6, i)) < 0.3,
    }
    return Clip(name=name, stems=tuple(f"{i:04d}" for i in range(frames)), **(answers | known))


def whole(clip):
    return clip, range(len(clip))


def model(estimate, sees="color"):
    return FlowModel(sees, estimate, "")


def view(labels):
    labels = torch.as_tensor(labels)
    return SegmentedView(torch.zeros(3, *labels.shape), torch.ones(1, *labels.shape), labels)


def test_errors_are_pooled_over_the_pixels_of_clips_of_any_size():
    clips = [make_clip("small", (20, 24), seed=1), make_clip("large", (48, 40), 4, seed=2)]
    noise = model(lambda source, target: 20 * source.color[:2])
    rows, facts = score_flow({"noise": noise}, [whole(clip) for clip in clips])
    pairs = [(clip, i) for clip in clips for i in range(len(clip) - 1)]

    def pool(value):
        return torch.cat([value(clip, i).flatten() for clip, i in pairs])

    error = pool(lambda clip, i: (20 * clip.color(i)[:2] - clip.flow_px(i, i + 1)).norm(dim=0))
    speed = pool(lambda clip, i: clip.flow_px(i, i + 1).norm(dim=0))
    occ, flat = pool(lambda clip, i: clip.is_occluded(i, i + 1)), pool(lambda clip, i: clip.is_flat(i))
    fg = pool(lambda clip, i: clip.is_foreground(i))
    masks = {"epe": speed >= 0, "nonocc": ~occ, "occ": occ, "line": ~flat, "flat": flat, "bg": ~fg, "fg": fg}
    masks |= {"s<10": speed <= 10, "s10-50": (speed > 10) & (speed <= 50), "s>50": speed > 50}
    expected = {column: pytest.approx(float(error[masks[column]].double().mean()), rel=1e-5) for column in COLUMNS}
    assert rows["noise"]["mean"] == expected
    assert facts["pixels"]["epe"] == 2 * 20 * 24 + 3 * 48 * 40
    assert facts["sizes"] == ["24 x 20", "40 x 48"]


def test_a_column_without_pixels_is_empty():
    clip = make_clip("slow", (16, 16), 2, flow_px=lambda i, j: torch.ones(2, 16, 16), is_foreground=None)
    rows, _ = score_flow({"zero": load_flow_model("zero")}, [whole(clip)])
    scores = rows["zero"]["mean"]
    assert scores["epe"] == scores["s<10"] == pytest.approx(2**0.5)
    assert [scores[column] for column in ("s10-50", "s>50", "bg", "fg")] == [None] * 4
    assert rows["zero"]["clips"] == {"slow": scores}


def test_speeds_of_ten_and_fifty_belong_to_the_slower_column():
    speeds = torch.tensor([10, 10.001, 50, 50.001]).repeat(16, 4)
    flow_px = torch.stack([speeds, torch.zeros_like(speeds)])
    clip = make_clip("edges", (16, 16), 2, flow_px=lambda i, j: flow_px)
    _, facts = score_flow({"zero": load_flow_model("zero")}, [whole(clip)])
    assert [facts["pixels"][column] for column in ("s<10", "s10-50", "s>50")] == [64, 128, 64]


def test_the_line_area_is_what_lies_within_ten_pixels_of_ink():
    lines = torch.ones(1, 96, 128)
    lines[0, 20, 10:100] = lines[0, 79, 10:100] = lines[0, 20:80, 10] = lines[0, 20:80, 99] = 0
    clip = make_clip("box", (96, 128), 1, lines=lambda i: lines, is_flat=None)
    assert int(read_line_area(clip, 0).sum()) == 6092
    assert not read_line_area(make_clip("empty", (9, 9), lines=lambda i: torch.ones(1, 9, 9), is_flat=None), 0).any()


def test_without_a_mask_occlusion_is_where_true_flow_disagrees():
    def flow_px(i, j):
        flow = torch.zeros(2, 16, 16)
        flow[0, :8] = 1 if i < j else -2  # the upper half does not come back
        return flow

    clip = make_clip("half", (16, 16), 2, flow_px=flow_px, is_occluded=None)
    _, facts = score_flow({"zero": load_flow_model("zero")}, [whole(clip)])
    assert facts["pixels"]["occ"] == 8 * 16
    assert facts["pixels"]["nonocc"] == 8 * 16


@pytest.mark.parametrize(
    ("known", "model_name", "message"),
    [
        ({"flow_px": None}, "zero", "has no true flow; animerun"),
        ({"lines": None}, "dis-ink", "has no drawings"),
        ({"flow_px": lambda i, j: {}[i, j]}, "zero", "no true flow from frame 0000 to 0001; take --gap 1"),
    ],
)
def test_what_the_data_lack_is_told(known, model_name, message):
    with pytest.raises(InputError, match=message):
        score_flow({model_name: load_flow_model(model_name)}, [whole(make_clip("clip", (32, 32), **known))])


def test_a_model_that_fails_is_named_with_the_frame():
    failing = model(lambda source, target: torch.full((2, 16, 16), float("nan")))
    with pytest.raises(InputError, match=r"clip, 0000: raft=x finds no flow"):
        score_flow({"raft=x": failing}, [whole(make_clip("clip", (16, 16)))])


GOLDEN = [
    ([0, 1, 2, 3], [0, 1, 2, 3], {"accuracy": 1, "nonocc": 1}),
    ([0, 3, 2, 1, 4], [0, 1, 2, -1, -1], {"accuracy": 0.4, "nonocc": 2 / 3, "occ": 0, "hidden": 0}),
    ([1, -1], [-1, -1], {"accuracy": 0.5, "occ": 0.5, "hidden": 0.5}),
]


@pytest.mark.parametrize(("predicted", "truth", "expected"), GOLDEN)
def test_accuracy_counts_as_animerun_does(predicted, truth, expected):
    truth = torch.tensor(truth)
    scores = score_matches(torch.tensor(predicted), PairTruth(truth, torch.zeros_like(truth) > 0, has_many=False))
    assert scores == {column: pytest.approx(value) for column, value in expected.items()}


def test_thin_segments_are_left_out_of_hidden_and_crowded_pairs_counted_apart():
    truth = PairTruth(torch.tensor([-1, -1, 0]), torch.tensor([True, False, False]), has_many=True)
    scores = score_matches(torch.tensor([-1, 0, 0]), truth)
    assert scores == {
        "accuracy": pytest.approx(2 / 3),
        "nonocc": 1,
        "occ": 0.5,
        "hidden": 0,
        "many": pytest.approx(2 / 3),
    }


def by_number(source, target):
    """Segments keep their numbers here."""
    best = torch.arange(source.count)
    return Matches(torch.where(best < target.count, best, -1), best < target.count)


METHOD = SegmentMethod("segments", by_number, "")


def test_labels_are_handed_on_from_frame_to_frame_and_stay_lost():
    first, second, third = ([[0, 1, 2]], [[0, 1, -1]], [[0, 1, 2]])
    relay = Relay({"by number": METHOD}, torch.tensor([7, 8, 9]))
    labels = torch.tensor([7, 8]), torch.tensor([7, 8, 9])
    frames = [SegmentedFrame(view(frame), None) for frame in (first, second, third)]
    for earlier, later, regions in zip(frames, frames[1:], labels, strict=False):
        relay.hand_on(earlier, SegmentedFrame(later.view, regions))
    scores = relay.scores()
    assert relay.labels["by number"][-1].tolist() == [7, 8, -1]
    assert scores["by number"]["label_accuracy"] == pytest.approx(4 / 5)
    assert scores["by number"]["label_miou"] == pytest.approx(2 / 3)  # of the three labels, 9 never arrives
    assert scores["ceiling"] == {"label_accuracy": 1, "label_miou": 1}


def test_published_matches_are_the_truth_where_there_are_any():
    labels = 1 + torch.arange(4).repeat_interleave(4).repeat(8, 1)
    clip = make_clip(
        "animerun",
        (8, 16),
        regions=lambda i: labels,
        regions_persist=False,
        matches=lambda i, j: [[-1], [1, 3], [2], [-1], [1]],
    )
    rows, facts = score_segments({"by number": METHOD}, [whole(clip)])
    scores = rows["by number"]["mean"]
    assert scores["accuracy"] == pytest.approx(50)
    assert scores["nonocc"] == pytest.approx(200 / 3)
    assert scores["occ"] == 0
    assert scores["label_accuracy"] is None
    assert facts["segments_per_frame"] == 4


def test_without_a_map_segments_are_found_in_the_drawings():
    (clip,) = cel_clips([4], height=96, width=96, frames=3)
    rows, facts = score_segments({"overlap": load_segment_method("overlap")}, [whole(replace(clip, regions=None))])
    assert facts["segments_per_frame"] > 5
    assert rows["overlap"]["mean"]["accuracy"] > 50
    assert rows["overlap"]["mean"]["label_accuracy"] is None


def test_matches_of_another_map_are_refused():
    labels = torch.ones(8, 8, dtype=torch.long)
    known = {"regions": lambda i: labels, "regions_persist": False, "matches": lambda i, j: [[-1], [1], [1]]}
    with pytest.raises(InputError, match="clip, 0000: 2 matches for 1 segments"):
        score_segments({"by number": METHOD}, [whole(make_clip("clip", (8, 8), **known))])


def test_centroids_and_areas_find_segments_that_moved_a_little():
    labels = torch.full((40, 60), -1)
    for segment, (y, x, size) in enumerate([(2, 2, 8), (2, 30, 12), (25, 10, 10)]):
        labels[y : y + size, x : x + size] = segment
    renumbered = torch.tensor([2, 0, 1, -1])[labels.roll((3, 4), dims=(0, 1))]
    matches = match_centroids(view(labels), view(renumbered))
    assert matches.best.tolist() == [2, 0, 1]
    assert matches.is_visible.all()


def test_pixels_vote_along_the_flow_and_segments_that_none_returns_to_are_hidden():
    source = torch.zeros(20, 30, dtype=torch.long)
    source[:, 10:20] = 1
    source[:, 20:] = 2
    target = source.roll(4, dims=1)
    shift = {0: 4.0, 1: -4.0}
    estimates = iter([0, 1])

    def estimate(a, b):
        flow = torch.zeros(2, 20, 30)
        direction = next(estimates)
        flow[0] = shift[direction]
        flow[1, :, 24:] = 9.0 * direction  # on the way back the right edge goes astray
        return flow

    method = load_segment_method("zero")
    assert method.match(view(source), view(source)).decided.tolist() == [0, 1, 2]
    matches = vote_along(model(estimate)).match(view(source), view(target))
    assert matches.best.tolist() == [0, 1, 2]
    assert matches.is_visible.tolist() == [True, True, False]
    assert matches.decided.tolist() == [0, 1, -1]


def test_flow_both_ways_is_estimated_once_per_pair():
    asked = []
    both = BothWays(model(lambda a, b: asked.append((a, b)) or torch.full((2, 4, 4), float(len(asked)))))
    one, two = view([[0]]), view([[0]])
    forward, back = both(one, two)
    assert [tensor.mean().item() for tensor in both(two, one)] == [back.mean().item(), forward.mean().item()]
    assert len(asked) == 2
    both(one, view([[0]]))
    assert len(asked) == 4


def test_an_unknown_method_is_told_what_there_is():
    with pytest.raises(
        InputError, match=r"no flow model is called snake.*besides flow models there are overlap, centroid"
    ):
        load_segment_method("snake")


def run(*arguments):
    return correspondence.main([*map(str, arguments), "--shots", "2", "--size", "64", "--device", "cpu"])


def test_flow_on_generated_shots_is_written_with_protocol_and_environment(tmp_path, capsys):
    assert run("flow", "--models", "zero", "dis", "dis-distance", "--output", tmp_path) == 0
    report = json.loads((tmp_path / "flow.json").read_text())
    assert report["protocol"]["pairs"] == 20
    assert report["environment"]["packages"]["torch"]
    assert report["rows"]["dis"]["mean"]["epe"] < report["rows"]["zero"]["mean"]["epe"]
    table = capsys.readouterr().out
    assert table in (tmp_path / "flow.md").read_text()
    assert "| dis-distance |" in table


def test_segments_of_generated_shots_are_scored_in_both_papers_columns(tmp_path, capsys):
    assert run("segments", "--methods", "overlap", "dis", "--gap", 2, "--output", tmp_path) == 0
    report = json.loads((tmp_path / "segments.json").read_text())
    assert report["protocol"]["sequences"] == 2
    for row in report["rows"].values():
        assert all(0 <= row["mean"][column] <= 100 for column in report["columns"] if column != "many")
        assert row["mean"]["label_accuracy"] <= report["protocol"]["ceiling"]["label_accuracy"]
    assert "frames 2 apart: 20 pairs of 2 clips" in capsys.readouterr().out


def make_ant(folder):
    torch.manual_seed(0)
    AnT.from_ant_config(ANT).save_pretrained(folder)
    return f"ant={folder}"


def test_the_animation_transformer_is_scored_beside_the_others(tmp_path, capsys):
    method = make_ant(tmp_path / "pipeline")
    assert run("segments", "--methods", "overlap", method, "--output", tmp_path) == 0
    row = json.loads((tmp_path / "segments.json").read_text())["rows"][method]
    assert row["sees"] == "lines, segments" and "visible if" in row["settings"]
    assert all(0 <= row["mean"][column] <= 100 for column in ("accuracy", "nonocc", "label_accuracy", "label_miou"))
    assert method in capsys.readouterr().out


def test_the_animation_transformer_leaves_out_numbers_that_a_map_leaves_out(tmp_path):
    match = load_segment_method(make_ant(tmp_path)).match
    labels = torch.full((24, 24), -1)
    labels[2:10, 2:10], labels[12:20, 3:20] = 0, 1
    gappy = torch.where(labels == 1, 3, labels)
    lines = torch.rand(1, 24, 24)
    plain, sparse = (SegmentedView(torch.zeros(3, 24, 24), lines, one) for one in (labels, gappy))
    found = match(sparse, plain)
    assert found.best[[1, 2]].tolist() == [-1, -1] and not found.is_visible[[1, 2]].any()
    assert torch.equal(found.best[[0, 3]], match(plain, plain).best)
    assert set(match(plain, sparse).best.tolist()) <= {0, 3}
    nothing = SegmentedView(torch.zeros(3, 24, 24), lines, torch.full((24, 24), -1))
    assert match(plain, nothing).best.tolist() == [-1, -1] and match(nothing, plain).best.tolist() == []


def test_a_match_is_believed_that_finds_its_source_as_likely_as_its_best():
    similarity = torch.tensor([[5.0, 0.0], [4.9, 0.0], [3.0, 0.0]])
    assert is_mutual(similarity).tolist() == [True, True, False]


def write_animerun(split):
    """A box of 12 x 12 on flat ground that moves 2 pixels to the right in each of three frames, as published."""
    for index in range(3):
        name, box = f"{index + 1:04d}", (slice(10, 22), slice(8 + 2 * index, 20 + 2 * index))
        color, segments = np.full((40, 48, 3), 200, np.uint8), np.zeros((40, 48), np.int32)
        color[box], segments[box] = (30, 90, 160), 1
        flow = np.zeros((40, 48, 2), np.float32)
        flow[box] = (2, 0)
        is_visible = np.ones((40, 48), np.uint8)
        is_visible[10:22, box[1].stop : box[1].stop + 2] = 0  # what the box moves over
        write_frame(split / f"Frame_Anime/scene/original/{name}.png", torch.from_numpy(color).permute(2, 0, 1) / 255)
        for folder in ("Segment/scene", "UnmatchedForward/scene", "LineArea/scene"):
            (split / folder).mkdir(parents=True, exist_ok=True)
        np.save(split / f"Segment/scene/{name}.npy", segments)
        if index < 2:
            np.save(split / f"UnmatchedForward/scene/{name}.npy", is_visible)
            np.save(split / f"LineArea/scene/{name}.npy", np.zeros((40, 48), np.uint8))
            header = np.array([202021.25], np.float32).tobytes() + np.array([48, 40], np.int32).tobytes()
            write_bytes(split / f"Flow/scene/forward/{name}.flo", header + flow.tobytes())
            write_bytes(split / f"SegMatching/scene/forward/{name}.json", b'{"0": [0], "1": [1, 0]}')


def write_bytes(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def test_the_published_layout_of_animerun_is_scored(tmp_path):
    write_animerun(tmp_path / "test")
    common = "--kind", "animerun", "--data", tmp_path / "test", "--output", tmp_path / "out"
    assert run("flow", "--models", "zero", *common) == run("segments", "--methods", "overlap", *common) == 0
    flow, segments = (json.loads((tmp_path / f"out/{name}.json").read_text()) for name in ("flow", "segments"))
    scores = flow["rows"]["zero"]["mean"]
    assert scores["epe"] == scores["line"] == pytest.approx(2 * 144 / (40 * 48))
    assert scores["nonocc"] == pytest.approx(2 * 144 / (40 * 48 - 24))
    assert scores["occ"] == 0
    assert scores["flat"] is scores["fg"] is None
    assert segments["protocol"]["segments_per_frame"] == 2
    assert segments["rows"]["overlap"]["mean"]["accuracy"] == 100


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["flow", "--models", "nothing"], "no flow model is called nothing"),
        (["flow", "--gap", "0"], "--gap 0: at least 1"),
        (["segments", "--methods", "ant"], "ant: say whose, ant=FOLDER"),
        (["segments", "--methods", "ant=nowhere"], "nowhere: no Animation Transformer"),
        (["segments", "--kind", "animerun"], "give the folder of the data set with --data"),
        (["flow", "--kind", "sintel", "--data", "."], "sintel"),
    ],
)
def test_a_wrong_request_is_told_in_one_line(arguments, message, tmp_path, capsys):
    assert run(*arguments, "--output", tmp_path) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
