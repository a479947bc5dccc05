import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import cv2
import pytest
import torch

from opdm import cli, painting
from opdm.compositing import compose
from opdm.conditions import Conditions
from opdm.data.cel_clips import cel_clips
from opdm.errors import InputError
from opdm.frames import read_frame, resize, write_frame
from opdm.lines import extract_lines
from opdm.pipeline import ModelError, OPDMPipeline
from opdm.segments import find_regions
from opdm.shot import Keyframe, Shot, plan_shot
from opdm.staging import Finished, set_up

ROOT = Path(__file__).parents[1]
HEIGHT, WIDTH = 50, 70


@dataclass
class BlendPipeline:
    """Paints the mean of the keyframes, a little noise and the lines; remembers what it was asked."""

    references: int = 2
    size_multiple: int = 8
    uses_motion: bool = False
    chooses: bool = False
    default_size: int = 32
    calls: list = field(default_factory=list)
    fail_at: int | None = None
    overflows_at: int | None = None
    error: BaseException = field(default_factory=lambda: RuntimeError("broken"))

    def set_up(self, lines, keyframes, *, size, tracks_px, time):
        side = size or self.default_size
        return set_up(lines, find_regions(lines), keyframes, shorter_side=side, multiple=self.size_multiple)

    def paint(self, stages, *, seeds, steps):
        if len(self.calls) == self.fail_at:
            raise self.error
        given = Conditions.stack([stage.conditions for stage in stages])
        lines, keyframes, keyframe_lines = given.lines, given.keyframes, given.keyframe_lines
        batch, _, height, width = lines.shape
        assert height % self.size_multiple == 0 and width % self.size_multiple == 0
        assert keyframes.shape == (batch, self.references, 3, height, width)
        assert keyframe_lines.shape == (batch, self.references, 1, height, width)
        assert len(seeds) == batch
        self.calls.append(
            SimpleNamespace(lines=lines, keyframes=keyframes, keyframe_lines=keyframe_lines, seeds=seeds, steps=steps)
        )
        noise = torch.stack([torch.rand(3, height, width, generator=torch.Generator().manual_seed(s)) for s in seeds])
        frames = (keyframes.mean(dim=1) * 0.9 + noise * 0.1) * lines
        for stage, frame in zip(stages, frames, strict=True):
            finished = compose(frame[:, : stage.size[0], : stage.size[1]], stage.lines).frame
            yield Finished(finished * torch.nan if len(self.calls) - 1 == self.overflows_at else finished)

    @property
    def painted(self):
        return sum(len(call.seeds) for call in self.calls)


@pytest.fixture
def pipeline(monkeypatch):
    pipeline = BlendPipeline()
    monkeypatch.setattr(cli, "load_pipeline", lambda model, device, dtype: pipeline)
    return pipeline


@pytest.fixture
def shot(tmp_path):
    """A folder with two keyframes and five drawings."""
    write_frame(tmp_path / "first.png", colored(0.2))
    write_frame(tmp_path / "last.png", colored(0.8))
    for number in range(1, 6):
        write_frame(tmp_path / "lines" / f"{number:02}.png", drawn(number))
    return tmp_path


def colored(value, height=HEIGHT, width=WIDTH):
    return torch.tensor([value, 0.5, 1 - value]).view(3, 1, 1).expand(3, height, width).contiguous()


def drawn(number, height=HEIGHT, width=WIDTH):
    lines = torch.ones(1, height, width)
    lines[0, 10:40, number * 5 : number * 5 + 2] = 0
    return lines


def run(shot, *more, keyframes=("first.png", "last.png"), lines="lines", output="out"):
    """The exit status of the command, inside the folder of the shot."""
    arguments = ["--keyframes", *(str(shot / name) for name in keyframes), "--lines", str(shot / lines)]
    return cli.main([*arguments, *(["--output", str(shot / output)] if output else []), *map(str, more)])


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def error_line(capfd):
    """The one line on stderr."""
    text = capfd.readouterr().err
    assert text.startswith("opdm-sample: error: ") and text.count("\n") == 1, text
    return text


FRAMES = [f"{number:02}.png" for number in range(1, 6)]


def test_help_imports_nothing_heavy_and_is_quick():
    program = (
        "import sys, time; start = time.perf_counter()\n"
        "from opdm import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit as exit: status = exit.code\n"
        "seconds = time.perf_counter() - start\n"
        "heavy = {'torch', 'numpy', 'cv2', 'diffusers', 'PIL'} & set(sys.modules)\n"
        "assert status == 0 and not heavy and seconds < 1, (status, heavy, seconds)"
    )
    finished = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert "--keyframes" in finished.stdout and "exit status" in finished.stdout


def test_wrong_names_are_refused_before_torch_is_imported(tmp_path):
    program = (
        "import sys; from opdm.cli import main; s = main(sys.argv[1:]); assert 'torch' not in sys.modules; sys.exit(s)"
    )
    arguments = ["--keyframes", "missing.png", "--lines", str(tmp_path)]
    finished = subprocess.run([sys.executable, "-c", program, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert finished.returncode == 2
    assert finished.stderr == "opdm-sample: error: missing.png: no such keyframe; check the name\n"


def test_every_drawing_becomes_a_frame_of_its_size(shot, pipeline, capfd):
    write_frame(shot / "lines" / "04.png", drawn(4, 2 * HEIGHT, 2 * WIDTH))
    assert run(shot) == 0
    assert names(shot / "out") == [*FRAMES, "opdm.json"]
    sizes = [tuple(read_frame(shot / "out" / name).shape[1:]) for name in FRAMES]
    assert sizes == [(50, 70), (50, 70), (50, 70), (100, 140), (50, 70)]
    output = capfd.readouterr()
    assert "[first] 01 … 05 [last]" in output.out and "painted 5" in output.out
    assert output.err == ""


def test_frames_stand_beside_the_drawings_when_no_output_is_named(shot, pipeline):
    assert run(shot, output=None) == 0
    assert names(shot / "lines_painted") == [*FRAMES, "opdm.json"]


def test_the_drawn_lines_are_on_top(shot, pipeline):
    assert run(shot) == 0
    frame, lines = read_frame(shot / "out" / "03.png"), drawn(3)[0]
    assert (frame[:, lines == 0] < 0.1).all()
    assert (frame[:, lines == 1].amax(dim=0) > 0.3).all()


def test_the_model_works_at_the_asked_size(shot, pipeline):
    assert run(shot, "--size", 40) == 0
    assert {tuple(call.lines.shape[-2:]) for call in pipeline.calls} == {(40, 56)}
    pipeline.calls.clear()
    assert run(shot, "--size", 400, output="native") == 0
    assert {tuple(call.lines.shape[-2:]) for call in pipeline.calls} == {(56, 72)}, "not enlarged, padded to 8"
    padding = pipeline.calls[0].lines[..., HEIGHT:, :]
    assert (padding == 1).all(), "paper, repeated"


def test_steps_reach_the_pipeline(shot, pipeline):
    assert run(shot, "--steps", 3) == 0
    assert {call.steps for call in pipeline.calls} == {3}


def test_each_drawing_is_painted_from_its_neighbors(shot, pipeline):
    write_frame(shot / "03.png", colored(0.5))
    assert run(shot, keyframes=["first.png", "03.png", "last.png"]) == 0
    reds = [[round(keyframe[0, 0, 0].item(), 1) for keyframe in call.keyframes[0]] for call in pipeline.calls]
    assert reds == [[0.2, 0.5], [0.2, 0.5], [0.5, 0.8], [0.5, 0.8]]
    assert "03.png" not in names(shot / "out"), "a keyframe is not repainted"
    assert pipeline.calls[0].keyframe_lines[0, 1].amin() < 0.1, "its own drawing"
    assert pipeline.calls[0].keyframe_lines[0, 0].amin() > 0.999, "a flat frame has no lines to extract"


@pytest.mark.parametrize("references", [1, 2])
def test_one_keyframe_is_enough(shot, pipeline, references):
    pipeline.references = references
    assert run(shot, keyframes=["first.png"]) == 0
    assert pipeline.painted == 5


def test_batches_do_not_change_the_frames(shot, pipeline):
    write_frame(shot / "lines" / "03.png", drawn(3, 2 * HEIGHT, 2 * WIDTH))
    assert run(shot) == 0
    assert run(shot, "--batch-size", 2, output="batched") == 0
    assert [len(call.seeds) for call in pipeline.calls[5:]] == [2, 2, 1], "the larger drawing works at the same size"
    for name in FRAMES:
        assert (shot / "out" / name).read_bytes() == (shot / "batched" / name).read_bytes()


def test_the_seed_decides_each_frame_whatever_the_others(shot, pipeline):
    assert run(shot, "--seed", 7) == 0
    (shot / "lines" / "02.png").unlink()
    assert run(shot, "--seed", 7, output="fewer") == 0
    assert run(shot, "--seed", 8, output="other") == 0
    one, same, other = ((shot / folder / "03.png").read_bytes() for folder in ("out", "fewer", "other"))
    assert one == same and one != other


def test_color_layers_video_and_contact_sheet(shot, pipeline, capfd):
    assert run(shot, "--color-layer", "--video", shot / "new" / "shot.mp4", "--contact-sheet", "--fps", 8) == 0
    assert names(shot / "out") == [*FRAMES, *(f"color_layer/{name}" for name in FRAMES), "opdm.json"]
    layer = cv2.imread(str(shot / "out" / "color_layer" / "03.png"), cv2.IMREAD_UNCHANGED)
    assert layer.shape == (HEIGHT, WIDTH, 4)
    video = cv2.VideoCapture(str(shot / "new" / "shot.mp4"))
    assert video.get(cv2.CAP_PROP_FPS) == 8 and video.get(cv2.CAP_PROP_FRAME_COUNT) == 7
    assert video.read()[1].shape == (HEIGHT, WIDTH, 3)
    assert read_frame(shot / "out_contact_sheet.png").shape[0] == 3
    assert "out_contact_sheet.png" in capfd.readouterr().out


def test_exact_fill_with_layers(shot, pipeline):
    assert run(shot, "--fill", "exact", "--layers") == 0
    kinds = [("areas", "json"), ("areas", "png"), ("color", "png"), ("lines", "png"), ("psd", "psd")]
    layers = [f"layers/{folder}/{number:02}.{suffix}" for folder, suffix in kinds for number in range(1, 6)]
    assert names(shot / "out") == sorted([*FRAMES, *layers, "layers/palette.gpl", "opdm.json"])
    assert (shot / "out" / "layers" / "palette.gpl").read_text().count("color") == 2  # of the keyframes
    assert run(shot, "--fill", "exact", "--layers") == 0
    assert pipeline.painted == 5


def test_exact_fill_takes_the_very_colors_of_the_keyframes(shot, pipeline, monkeypatch):
    for name in ("first.png", "last.png"):
        write_frame(shot / name, colored(0.4))
    monkeypatch.setattr(torch, "rand", lambda *shape, generator: torch.zeros(shape) + 0.5)
    assert run(shot) == 0
    off = (read_frame(shot / "out" / "03.png") - colored(0.4)).abs().amax(dim=0)[:, 40:]
    assert run(shot, "--fill", "exact", output="exact") == 0
    exact = (read_frame(shot / "exact" / "03.png") - read_frame(shot / "first.png")).abs().amax(dim=0)[:, 40:]
    assert off.max() > 1 / 255 and exact.max() == 0


def test_new_settings_make_a_new_palette(shot, pipeline):
    assert run(shot, "--fill", "exact", "--layers") == 0
    write_frame(shot / "first.png", colored(0.4))
    assert run(shot, "--fill", "exact", "--layers", "--overwrite") == 0
    assert f"{round(0.4 * 255):3}" in (shot / "out" / "layers" / "palette.gpl").read_text()


def test_a_second_run_continues_and_says_what_it_skips(shot, pipeline, capfd):
    pipeline.fail_at, pipeline.error = 2, KeyboardInterrupt()
    assert run(shot) == 130
    assert "interrupted" in error_line(capfd)
    assert names(shot / "out") == ["01.png", "02.png", "opdm.json"]
    before = (shot / "out" / "01.png").stat().st_mtime_ns
    pipeline.fail_at = None
    assert run(shot) == 0
    assert pipeline.painted == 5
    assert (shot / "out" / "01.png").stat().st_mtime_ns == before
    assert "skipped 2 painted before (--overwrite repaints them): 01, 02" in capfd.readouterr().out


def test_a_finished_shot_loads_no_model(shot, pipeline, monkeypatch):
    assert run(shot) == 0
    monkeypatch.setattr(cli, "load_pipeline", None)
    assert run(shot, "--contact-sheet") == 0
    assert (shot / "out_contact_sheet.png").exists()


def test_a_corrected_drawing_is_painted_again(shot, pipeline):
    assert run(shot) == 0
    later = (shot / "out" / "05.png").stat().st_mtime_ns + 10**9
    write_frame(shot / "lines" / "02.png", drawn(6))
    os.utime(shot / "lines" / "02.png", ns=(later, later))
    assert run(shot) == 0
    assert pipeline.painted == 6


def test_a_color_layer_asked_for_later_is_painted(shot, pipeline):
    assert run(shot) == 0
    assert run(shot, "--color-layer") == 0
    assert pipeline.painted == 10 and len(names(shot / "out" / "color_layer")) == 5


@pytest.mark.parametrize(
    "change", [["--seed", 1], ["--steps", 9], ["--size", 40], ["--model", "other"], ["--fill", "exact"]]
)
def test_results_of_other_settings_are_not_mixed(shot, pipeline, capfd, change):
    assert run(shot) == 0
    capfd.readouterr()
    assert run(shot, *change) == 2
    line = error_line(capfd)
    assert f"holds results made with other {change[0][2:]}" in line and "--overwrite" in line
    assert run(shot, *change, "--overwrite") == 0
    assert pipeline.painted == 10


def test_other_keyframes_are_other_settings(shot, pipeline, capfd):
    assert run(shot) == 0
    capfd.readouterr()
    write_frame(shot / "last.png", colored(0.7))
    assert run(shot) == 2
    assert "made with other keyframes" in error_line(capfd)


def test_an_interrupted_overwrite_is_continued(shot, pipeline):
    assert run(shot) == 0
    pipeline.fail_at, pipeline.error = 7, KeyboardInterrupt()
    assert run(shot, "--seed", 1, "--overwrite") == 130
    pipeline.fail_at = None
    assert run(shot, "--seed", 1) == 0
    assert pipeline.painted == 10
    assert json.loads((shot / "out" / "opdm.json").read_text())["seed"] == 1


def test_files_that_were_not_painted_here_are_not_overwritten(shot, pipeline, capfd):
    write_frame(shot / "out" / "03.png", colored(0))
    assert run(shot) == 2
    assert "03.png: is there already and was not painted here" in error_line(capfd)
    assert run(shot, "--overwrite") == 0


def test_a_frame_corrected_by_hand_becomes_a_keyframe(shot, pipeline):
    assert run(shot) == 0
    write_frame(shot / "out" / "03.png", colored(0))
    corrected = (shot / "out" / "03.png").read_bytes()
    assert run(shot, "--overwrite", keyframes=["first.png", "out/03.png", "last.png"]) == 0
    assert (shot / "out" / "03.png").read_bytes() == corrected


def test_names_with_spaces_and_foreign_letters_work(shot, pipeline):
    (shot / "lines").rename(shot / "線 画 [カット 3]")
    (shot / "first.png").rename(shot / "clé nº 1.png")
    (shot / "線 画 [カット 3]" / "01.png").rename(shot / "線 画 [カット 3]" / "ünï 01 'a'.png")
    outputs = ["--video", shot / "dé mo.mp4", "--contact-sheet", shot / "plan–che.png"]
    assert run(shot, *outputs, keyframes=["clé nº 1.png", "last.png"], lines="線 画 [カット 3]", output="出 力") == 0
    assert names(shot / "出 力") == [*FRAMES[1:], "opdm.json", "ünï 01 'a'.png"]
    assert (shot / "dé mo.mp4").exists() and (shot / "plan–che.png").exists()


def test_white_on_black_is_said_aloud_once(shot, pipeline, capfd):
    for number in range(1, 6):
        write_frame(shot / "lines" / f"{number:02}.png", 1 - drawn(number))
    assert run(shot) == 0
    assert capfd.readouterr().out.count("light lines on dark") == 1
    assert pipeline.calls[0].lines.mean() > 0.5


def test_a_keyframe_s_drawing_by_another_hand_is_passed_over_and_said_so_once(tmp_path, pipeline, capfd):
    (clip,) = cel_clips([3], height=96, width=96, frames=5)
    own = {stem: "inked" if stem == "0000" else "xdog" for stem in clip.stems}
    lines = {stem: extract_lines(clip.color(i)[None], own[stem])[0] for i, stem in enumerate(clip.stems)}
    for stem, drawing in lines.items():
        write_frame(tmp_path / "lines" / f"{stem}.png", drawing)
    for i in (0, 4):
        write_frame(tmp_path / f"{i:04}.png", clip.color(i))
    assert run(tmp_path, keyframes=["0000.png", "0004.png"]) == 0
    said = capfd.readouterr().out
    assert said.count("by another hand") == 1 and f"{tmp_path / 'lines' / '0000.png'}: drawn by another hand" in said
    earlier, later = pipeline.calls[0].keyframe_lines[0]
    size = earlier.shape[1:]
    by_xdog, by_inked = resize(extract_lines(clip.color(0)[None], "xdog")[0], size), resize(lines["0000"], size)
    assert (earlier - by_xdog).abs().mean() < 0.3 * (earlier - by_inked).abs().mean()
    assert torch.allclose(later, resize(lines["0004"], size), atol=1 / 255)


def test_quiet_prints_nothing(shot, pipeline, capfd):
    assert run(shot, "--quiet") == 0
    assert capfd.readouterr() == ("", "")


# What bad input gets: one line that names it, exit status 2, nothing half-written.


def spoil(path, keep=0.5):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])


def noisy(height=HEIGHT, width=WIDTH):
    return torch.rand(3, height, width)


@pytest.fixture
def refused(shot, pipeline, capfd):
    """Runs the command, which must be refused without a trace; returns its line on stderr."""

    def refused(*more, **options):
        before = names(shot)
        assert run(shot, *more, **options) == 2
        assert names(shot) == before and not (shot / "out").exists(), "half-written"
        return error_line(capfd)

    return refused


def test_a_missing_keyframe(refused):
    assert "none.png: no such keyframe" in refused(keyframes=["none.png"])


def test_a_truncated_keyframe(shot, refused):
    write_frame(shot / "last.png", noisy())
    spoil(shot / "last.png")
    assert "last.png: damaged or incomplete" in refused()


def test_a_keyframe_that_is_no_image(shot, refused):
    (shot / "last.png").write_text("text")
    assert "last.png: not an image" in refused()


def test_a_keyframe_of_another_aspect_ratio(shot, refused):
    write_frame(shot / "last.png", colored(0.8, HEIGHT, WIDTH + 10))
    line = refused()
    assert "last.png: 80 x 50 pixels, another aspect ratio than the drawings' 70 x 50; crop" in line


def test_a_keyframe_of_another_size_is_fine(shot, pipeline):
    write_frame(shot / "last.png", colored(0.8, 3 * HEIGHT, 3 * WIDTH))
    write_frame(shot / "first.png", colored(0.2, 17, 24))
    assert run(shot, "--video", shot / "v.mp4") == 0


def test_two_keyframes_for_one_place(shot, refused):
    write_frame(shot / "other" / "first.png", colored(0.3))
    assert "two keyframes for one place" in refused(keyframes=["first.png", "other/first.png"])


def test_no_drawings(shot, refused):
    (shot / "empty").mkdir()
    assert "empty: no drawings" in refused(lines="empty")
    assert "none: no such folder" in refused(lines="none")


def test_only_unreadable_drawings(shot, refused):
    for name in FRAMES:
        (shot / "lines" / name).write_text("text")
    assert "lines/01.png: not an image" in refused()


def test_an_output_folder_that_is_the_input_folder(shot, refused):
    (shot / "link").symlink_to(shot / "lines")
    for output in ("lines", "link", "lines/../lines"):
        assert "would overwrite the drawings" in refused(output=output)
    (shot / "sub").mkdir()
    (shot / "sub" / "color_layer").symlink_to(shot / "lines")
    assert "would overwrite the drawings" in refused("--color-layer", output="sub")


def test_an_output_folder_that_cannot_be_written(shot, refused, monkeypatch):
    assert "first.png: a file" in refused(output="first.png")
    assert "first.png: a file" in refused(output="first.png/out")

    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    assert "out: cannot be written to (Permission denied); give another" in refused()


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--video", "lines/01.png", "videos are written as .mp4"),
        ("--video", "shot.wmv", "videos are written as .mp4"),
        ("--contact-sheet", "lines/01.png", "would overwrite or join the given images"),
        ("--contact-sheet", "lines/sheet.png", "would overwrite or join the given images"),
        ("--contact-sheet", "first.png", "would overwrite or join the given images"),
        ("--contact-sheet", "out/01.png", "is the name of a result"),
        ("--contact-sheet", "sheet.pdf", "no image format is called '.pdf'"),
        ("--contact-sheet", "lines", "no image format"),
    ],
)
def test_overviews_that_cannot_be_written(shot, refused, option, value, message):
    assert message in refused(option, shot / value)


@pytest.mark.parametrize("size", [0, -5, 7, 31, 5000])
def test_a_size_the_model_cannot_take(refused, size):
    assert f"--size {size}: the working resolution's shorter side is 32 to 4096 pixels" in refused("--size", size)


@pytest.mark.parametrize(
    "arguments",
    [["--steps", "0"], ["--batch-size", "x"], ["--fps", "0"], ["--dtype", "int8"], ["--nonsense"], ["--size", "big"]],
)
def test_options_that_make_no_sense(refused, arguments):
    assert "--help lists the options" in refused(*arguments)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_cuda_request_where_there_is_none():
    with pytest.raises(
        InputError, match="--device cuda: PyTorch finds no CUDA device on this machine; take --device cpu"
    ):
        cli.load_pipeline("opdm-small", "cuda", "auto")


def test_a_model_that_cannot_be_loaded(shot, capfd, monkeypatch):
    def refuse(name):
        raise ModelError(f"{name}: incomplete")

    monkeypatch.setattr(OPDMPipeline, "from_pretrained", refuse)
    assert run(shot, "--model", "broken") == 2
    assert "broken: incomplete" in error_line(capfd)
    assert not (shot / "out").exists()


# Bad drawings among good ones: the others are painted, exit status 1.


def test_a_bad_drawing_is_reported_at_the_end(shot, pipeline, capfd):
    write_frame(shot / "lines" / "02.png", noisy())
    spoil(shot / "lines" / "02.png")
    write_frame(shot / "lines" / "04.png", drawn(4, HEIGHT, HEIGHT))
    assert run(shot, "--batch-size", 3, "--contact-sheet", "--video", shot / "v.mp4") == 1
    assert names(shot / "out") == ["01.png", "03.png", "05.png", "opdm.json"]
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "02.png: damaged or incomplete" in lines[0] and "04.png: 50 x 50 pixels, another aspect" in lines[1]
    write_frame(shot / "lines" / "02.png", drawn(2))
    assert run(shot) == 1
    assert pipeline.painted == 4, "only the repaired one is painted"


def test_a_keyframes_own_drawing_may_be_bad(shot, pipeline, capfd):
    (shot / "lines" / "01.png").write_text("text")
    write_frame(shot / "01.png", colored(0.2))
    assert run(shot, keyframes=["01.png", "last.png"]) == 1
    assert names(shot / "out") == [*FRAMES[1:], "opdm.json"]
    assert "01.png: not an image" in error_line(capfd)


def test_numbers_that_overflow_are_reported_and_not_saved(shot, pipeline, capfd):
    pipeline.overflows_at = 0
    assert run(shot) == 1
    assert names(shot / "out") == [*FRAMES[1:], "opdm.json"]
    assert "01.png: the model's numbers overflowed; paint with --dtype float32" in error_line(capfd)


def test_running_out_of_memory_is_told_in_one_line(shot, pipeline, capfd):
    pipeline.fail_at, pipeline.error = 1, torch.OutOfMemoryError("a long story")
    assert run(shot) == 2
    assert "out of memory; take a smaller --size or --batch-size" in error_line(capfd)
    assert names(shot / "out") == ["01.png", "opdm.json"]


def test_a_full_disk_leaves_no_half_frame(shot, pipeline, capfd, monkeypatch):
    original, written = Path.write_bytes, []

    def write(path, data):
        written.append(path)
        if len(written) < 3:
            return original(path, data)
        original(path, data[: len(data) // 2])
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", write)
    assert run(shot) == 2
    assert "No space left on device" in error_line(capfd)
    assert names(shot / "out") == ["01.png", "02.png", "opdm.json"]


def test_a_killed_run_leaves_whole_frames_only(shot):
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "sys.path[:0] = sys.argv[1:3]\n"
        "import test_cli\n"
        "from opdm import cli\n"
        "original, written = Path.write_bytes, []\n"
        "def write(path, data):\n"
        "    written.append(path)\n"
        "    original(path, data[: len(data) // 2] if len(written) == 3 else data)\n"
        "    if len(written) == 3: os.kill(os.getpid(), signal.SIGKILL)\n"
        "Path.write_bytes = write\n"
        "cli.load_pipeline = lambda *_: test_cli.BlendPipeline()\n"
        "test_cli.run(Path(sys.argv[3]))"
    )
    tests = Path(__file__).parent
    finished = subprocess.run([sys.executable, "-c", program, str(tests), str(ROOT), str(shot)], capture_output=True)
    assert finished.returncode == -9, finished.stderr.decode()
    frames = [path for path in (shot / "out").iterdir() if path.name[0] != "."]
    assert sorted(path.name for path in frames) == ["01.png", "02.png", "opdm.json"]


def test_drawings_are_read_when_their_turn_comes(shot, pipeline, monkeypatch):
    events = []
    original = painting.prepare
    monkeypatch.setattr(painting, "prepare", lambda *given: (events.append("read"), original(*given))[1])
    monkeypatch.setattr("opdm.results.write_frame", lambda path, _: events.append(f"write {path.stem}"))
    assert run(shot) == 0
    open_drawings = [
        sum(e.startswith("read") for e in events[:i]) - sum(e.startswith("write") for e in events[:i])
        for i in range(len(events) + 1)
    ]
    assert max(open_drawings) == 1, "each is written before the next one is read"


def test_keyframes_are_kept_only_while_they_are_near(shot, pipeline):
    for number in range(10):
        write_frame(shot / "keys" / f"k{number}.png", colored(number / 10))
    reader = painting.ShotReader(Shot((), ()), (HEIGHT, WIDTH))
    for number in [*range(10), 0]:
        layers = reader.keyframe(Keyframe(shot / "keys" / f"k{number}.png", number, None), (30, 42))
        assert layers.color.shape == (3, 30, 42) and layers.lines.shape == (1, 30, 42)
        assert layers.color[0, 0, 0] == pytest.approx(number / 10, abs=1 / 255)
    assert len(reader._keyframes) == painting.KEPT_KEYFRAMES


def test_motion_is_handed_on_from_drawing_to_drawing(shot):
    """The bars of the drawings move by five pixels each; tracks are in pixels of their own size."""
    for number in range(1, 6):
        write_frame(shot / "lines" / f"{number:02}.png", drawn(number, 80, 120))
    (shot / "lines" / "03.png").write_bytes(b"not an image")
    for stem in ("01", "05"):
        write_frame(shot / f"{stem}.png", colored(0.5, 80, 120))
    plan = plan_shot([shot / "01.png", shot / "05.png"], shot / "lines")
    reader = painting.ShotReader(plan, (80, 120))
    tracks_px = reader.tracks_px(plan.drawings[-1], [plan.keyframes[0], plan.keyframes[1]])
    bar = drawn(4, 80, 120)[0] == 0
    assert tracks_px.shape == (2, 2, 80, 120)
    assert tracks_px[0, 0][bar].median() == pytest.approx(-15, abs=1)
    assert tracks_px[1, 0][bar].median() == pytest.approx(5, abs=1)


def test_motion_is_not_handed_on_for_ever(shot, monkeypatch):
    monkeypatch.setattr(painting, "LONGEST_TRACK", 2)
    plan = plan_shot([shot / "first.png"], shot / "lines")
    reader = painting.ShotReader(plan, (HEIGHT, WIDTH))
    known = [reader.tracks_px(drawing, [plan.keyframes[0]]) is not None for drawing in plan.drawings]
    assert known == [True, True, False, False, False]
