"""Every protocol from a data set to its report, on trees of a few tiny frames."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import columns
import evaluate
import protocols
import shots
import unknown_lines
from opdm.data.cel_clips import cel_clips
from opdm.data.clips import Clip
from opdm.errors import InputError
from opdm.frames import read_frame, read_lines, resize
from opdm.lines import EXTRACTORS, extract_lines
from protocols import DRAWN, NO_LINES, PROTOCOLS, Lines
from tiny_datasets import write_anita, write_atd12k, write_frames, write_lvcd

SIZE = (48, 64)
METRICS = ("psnr", "region_color")


def flat_clip(frames, size=SIZE, **known):
    return Clip(
        name="flat",
        stems=tuple(f"{i:04d}" for i in range(frames)),
        color=lambda i: torch.full((3, *size), i / 255),
        **known,
    )


@pytest.mark.parametrize(
    ("name", "frames", "kept", "keyframes"),
    [
        ("atd12k-224", 3, 3, (0, 2)),
        ("anicolorset-16", 29, 16, (0, 15)),
        ("anicolorset-ends", 29, 29, (0, 28)),
        ("anicolorset-first", 29, 29, (0,)),
        ("lvcd-256", 5, 5, (0,)),
        ("anita-16", 40, 40, (0, 16, 32, 39)),
        ("clips-1", 6, 6, (0, 2, 4, 5)),
        ("clips-16", 17, 17, (0, 16)),
        ("clips-16", 1, 1, (0,)),
    ],
)
def test_the_rule_of_a_protocol_says_what_is_given(name, frames, kept, keyframes):
    part, given = PROTOCOLS[name].rule(flat_clip(frames))
    assert (len(part), given) == (kept, keyframes)


def test_a_task_paints_all_that_is_not_given():
    assert protocols.Task("flat", flat_clip(5), (0, 4)).targets == (1, 2, 3)


@pytest.mark.parametrize("protocol", protocols.TABLE, ids=lambda protocol: protocol.name)
def test_the_table_tells_its_source_and_known_columns(protocol):
    assert "(" in protocol.description
    assert set(protocol.metrics) <= set(columns.METRICS)
    if protocol.kind == protocols.GENERATED:
        assert protocol.size
        assert protocol.frames >= 3


def test_paintings_behind_generated_shots_are_at_rest():
    protocol = replace(PROTOCOLS["generated-painted"], shots=4, size=(96, 96))
    for clip in shots.find_clips(protocol, None):
        is_still = (clip.flow_px(0, 9).abs().amax(dim=0) < 1e-6) & ~clip.is_occluded(0, 9)
        assert is_still.float().mean() > 0.1
        assert (clip.color(0) == clip.color(9)).all(dim=0)[is_still].float().mean() > 0.9, "all but edges"
        colors = clip.color(0)[:, is_still].T
        assert len(colors.unique(dim=0)) > 50, "painted, not of one color"


def test_no_training_shot_has_the_seed_of_a_generated_one():
    assert protocols.FIRST_SEED == 2**62


@pytest.fixture(scope="module")
def clip():
    [clip] = cel_clips([11], height=SIZE[0], width=SIZE[1], frames=18)
    return clip


@pytest.fixture(scope="module")
def trees(tmp_path_factory, clip):
    """By layout: a data set of one clip or two."""
    root = tmp_path_factory.mktemp("data")
    frames = [clip.color(i) for i in range(len(clip))]
    write_atd12k(root / "atd12k", clip)
    write_lvcd(root / "lvcd", replace(clip, stems=clip.stems[:4]))
    write_anita(root / "anita", clip)
    write_frames(root / "clips" / "one" / "color", frames)
    write_frames(root / "clips" / "one" / "line", [clip.lines(i) for i in range(len(clip))])
    write_frames(root / "anicolorset" / "one", [*frames, *frames][:29])
    return {path.name: path for path in root.iterdir()}


@pytest.fixture
def tiny_protocols(monkeypatch):
    """The table at a small size, with lines that need no weights."""

    def shrink(lines):
        return tuple(Lines("xdog", lines[0].keyframes) if lines[0].extractors else each for each in lines[:1])

    for name, protocol in PROTOCOLS.items():
        small = replace(
            protocol,
            size=protocol.size and SIZE,
            shots=1,
            lines=protocol.lines[:3] if len(protocol.lines) > 1 else shrink(protocol.lines),
        )
        monkeypatch.setitem(PROTOCOLS, name, small)


def run(output, protocol, *arguments, methods=("nearest",), metrics=METRICS):
    command = ["--protocol", protocol, "--output", output, "--methods", *methods, "--metrics", *metrics, *arguments]
    return evaluate.main(list(map(str, command)))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_ends_in_reports_whose_numbers_are_right(tmp_path, capsys, trees, tiny_protocols, name):
    kind = PROTOCOLS[name].kind
    data = () if kind == protocols.GENERATED else ("--data", trees[kind])
    assert run(tmp_path, name, "--clips", 1, *data) == 0, capsys.readouterr().err
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert (tmp_path / "report.md").read_text(encoding="utf-8").startswith(f"# {name}\n")
    assert (tmp_path / "report.html").exists()
    values = []
    for shot, keyframes in report["protocol"]["keyframes"].items():
        folder = tmp_path / "shots" / shot
        assert sorted(path.stem for path in (folder / "keyframes").iterdir()) == keyframes
        scores = report["methods"]["nearest"]["clips"][shot]["frames"]
        assert sorted([*scores, *keyframes]) == sorted(path.stem for path in (folder / "frames").iterdir())
        for stem, frame in scores.items():
            painted, true = (
                read_frame(path / f"{stem}.png") for path in (tmp_path / "nearest" / shot, folder / "frames")
            )
            error = float(((painted - true).double() * 255).square().mean())
            assert frame["psnr"] == (pytest.approx(10 * np.log10(255**2 / error), abs=1e-3) if error else 60)
            values.append(frame["psnr"])
    assert report["methods"]["nearest"]["mean"]["psnr"]["mean"] == pytest.approx(np.mean(values))


def test_a_run_that_stopped_is_continued_and_nothing_is_painted_twice(tmp_path, capsys, tiny_protocols, monkeypatch):
    import methods

    paint, painted = methods.paint_shot, []

    def paint_two(*arguments):
        for drawing in paint(*arguments):
            yield drawing
            painted.append(drawing.path.stem)
            if len(painted) == 2:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(methods, "paint_shot", paint_two)
        assert run(tmp_path, "generated-8") == 130
    assert "the same command continues" in capsys.readouterr().err
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    assert sum("nearest" in path.parts for path in kept) == 2
    assert run(tmp_path, "generated-8") == 0
    first = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    all_written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    assert kept.items() <= all_written.items()
    assert run(tmp_path, "generated-8") == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")} == all_written
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["methods"] == first["methods"]


def test_a_shot_that_was_not_written_to_its_end_is_written_again(tmp_path, tiny_protocols):
    assert run(tmp_path, "generated-1") == 0
    [mark] = tmp_path.rglob("shot.json")
    mark.unlink()
    [frame] = [path for path in mark.parent.rglob("*.png") if "lines" in path.parts and "0001" in path.name]
    frame.unlink()
    assert run(tmp_path, "generated-1") == 0
    assert mark.exists()
    assert frame.exists()


def test_more_clips_join_those_that_are_there(tmp_path, capsys, tiny_protocols, monkeypatch):
    monkeypatch.setitem(PROTOCOLS, "generated-1", replace(PROTOCOLS["generated-1"], shots=2))
    assert run(tmp_path, "generated-1", "--clips", 1) == 0
    assert run(tmp_path, "generated-1") == 0
    assert "of 2 clips" in capsys.readouterr().out


def test_another_protocol_in_the_same_folder_is_refused(tmp_path, capsys, tiny_protocols):
    assert run(tmp_path, "generated-1") == 0
    assert run(tmp_path, "generated-8") == 2
    assert "take another --output" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lovely"], "no protocol is called 'lovely'"),
        (["clips-1"], "with --data"),
        (["clips-1", "--data", "nowhere"], "nowhere"),
        (["generated-1", "--clips", "0"], "give 1 or more"),
        (["generated-1", "--extractor", "lovely"], "no line extractor is called lovely"),
    ],
)
def test_bad_requests_are_answered_before_anything_is_painted(tmp_path, capsys, tiny_protocols, arguments, message):
    assert run(tmp_path / "out", *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("methods", [("a=nearest", "a=blend"), ("shots=nearest",), ("../x=nearest",)])
def test_methods_need_names_of_their_own(tmp_path, capsys, methods):
    assert run(tmp_path / "out", "generated-1", methods=methods) == 2
    assert "name" in capsys.readouterr().err


def test_a_name_of_no_method_is_told_before_the_others_paint(tmp_path, capsys, tiny_protocols):
    assert run(tmp_path / "out", "generated-1", methods=("nearest", "lovely")) == 2
    error = capsys.readouterr().err
    assert "lovely: no such model" in error
    assert "region-fill" in error
    assert not (tmp_path / "out").exists()


def test_a_metric_that_cannot_be_measured_is_told_before_anything_is_painted(tmp_path, capsys, tiny_protocols):
    assert run(tmp_path / "out", "generated-1", metrics=("cdc",)) == 2
    assert "cdc: needs clips of at least five frames" in capsys.readouterr().err
    assert not (tmp_path / "out" / "nearest").exists()


def test_each_extractor_is_looked_for_once_and_named_where_it_is_missing(monkeypatch, clip):
    asked = []

    def extract(frames, extractor):
        asked.append(extractor)
        if extractor == "anime2sketch":
            raise InputError("no weights; fetch them")
        return frames[:, :1]

    monkeypatch.setattr(shots, "extract_lines", extract)
    usable, left_out = shots.usable_lines(PROTOCOLS["clips-lines"], [clip])
    assert sorted(asked) == sorted(protocols.EXTRACTED)
    assert set(left_out) == {"lines anime2sketch", "lines xdog-keys-anime2sketch"}
    assert len(usable) + 2 == len(PROTOCOLS["clips-lines"].lines)
    only = replace(PROTOCOLS["clips-16"], lines=(Lines("anime2sketch"),))
    with pytest.raises(InputError, match=r"^no weights; fetch them, or take other line art with --extractor$"):
        shots.usable_lines(only, [clip])


def test_lines_are_extracted_from_frames_at_their_own_size(clip):
    protocol = replace(PROTOCOLS["clips-16"], size=(24, 32), lines=(Lines("xdog"),))
    task = shots.make_task(clip, (0, 17), protocol.lines[0], protocol)
    expected = resize(extract_lines(clip.color(3)[None], "xdog")[0], (24, 32))
    assert torch.equal(task.clip.lines(3), expected)


def test_keyframes_may_come_in_another_style_or_without_lines(tmp_path, clip):
    protocol = replace(PROTOCOLS["generated-8"], size=None)
    for lines in (Lines("xdog", DRAWN), Lines("xdog", NO_LINES)):
        task = shots.make_task(clip, (0, 17), lines, protocol)
        folder = tmp_path / lines.name
        shots.write_shot(task, folder)
        given = folder / "lines" / f"{clip.stems[0]}.png"
        if lines.keyframes == NO_LINES:
            assert not given.exists()
        else:
            assert torch.allclose(read_lines(given).lines, clip.lines(0), atol=1 / 255)


def test_true_flow_and_regions_follow_the_frames_to_their_size():
    flow_px = torch.stack([torch.full(SIZE, 6.0), torch.full(SIZE, -4.0)])
    regions = torch.zeros(SIZE, dtype=torch.int32)
    regions[:, 32:] = 2**24 + 1
    clip = flat_clip(2, flow_px=lambda i, j: flow_px, regions=lambda i: regions)
    small = shots.bring_to_size(clip, (24, 16))
    assert small.flow_px(0, 1)[:, 5, 5].tolist() == [1.5, -2]
    assert small.regions(0)[0].tolist() == [0] * 8 + [2**24 + 1] * 8


def test_frames_of_two_sizes_in_a_clip_are_named(tmp_path):
    clip = flat_clip(3, lines=lambda i: torch.ones(1, *SIZE))
    clip = replace(clip, color=lambda i: torch.zeros(3, 48, 64 + (i == 2)))
    with pytest.raises(InputError, match="0000 is 64 x 48 and 0002 is 65 x 48"):
        shots.write_shot(protocols.Task("flat", clip, (0,)), tmp_path)


@pytest.mark.parametrize("name", sorted(unknown_lines.UNKNOWN))
def test_unknown_extractors_draw_outlines_and_leave_paper(name, clip):
    frame = torch.full((3, 60, 80), 0.9)
    frame[:, 20:40, 30:50] = torch.tensor([0.6, 0.2, 0.3])[:, None, None]
    lines = unknown_lines.draw_unknown(frame, name)
    assert lines.shape == (1, 60, 80)
    assert 0 <= lines.min() < 0.7
    assert lines.max() <= 1
    assert (lines[:, :10] > 0.95).all(), "far from every edge"
    assert name not in EXTRACTORS


def test_nobody_is_given_unknown_lines_of_keyframes(clip):
    protocol = PROTOCOLS["clips-unknown"]
    assert {lines.drawings for lines in protocol.lines} == set(unknown_lines.UNKNOWN)
    for lines in protocol.lines:
        task = shots.make_task(clip, (0, 2), lines, replace(protocol, size=None))
        assert task.keyframe_lines is None
        assert torch.equal(task.clip.lines(1), unknown_lines.draw_unknown(clip.color(1), lines.drawings))
