import line_styles
from opdm.data.cel_clips import cel_clips
from opdm.lines import CLASSICAL


def test_a_keyframe_with_the_drawings_lines_warps_onto_itself():
    (clip,) = cel_clips([3], height=96, width=96, frames=2)
    frame, lines = clip.color(0), clip.lines(0)
    assert line_styles.warped_psnr(frame, frame, lines, lines) > 45
    (other,) = cel_clips([4], height=96, width=96, frames=2)
    assert line_styles.warped_psnr(frame, frame, other.lines(0), lines) < 45


def test_every_style_is_measured(capsys):
    options = line_styles.Options(shots=1, distances=(1,), short_side=64)
    assert line_styles.main(options) == 0
    printed = capsys.readouterr().out
    assert all(style in printed for style in ("drawn", *CLASSICAL))


def test_clips_that_are_too_short_are_refused(tmp_path, capsys):
    options = line_styles.Options(kind="clips", data=tmp_path / "nowhere")
    assert line_styles.main(options) == 2
    error = capsys.readouterr().err
    assert "nowhere" in error
