import pytest

import proposals
from opdm.data.cel_clips import cel_clips


def test_more_proposals_never_lower_the_ceiling():
    scores = proposals.measure(cel_clips([3], height=64, width=64, frames=4), frames=4)
    assert set(scores) == {"handed on", "from keyframes alone"}
    for values in scores.values():
        assert values == sorted(values)
        assert len(values) == len(proposals.SETS)


def test_a_still_shot_can_be_painted_exactly():
    (clip,) = cel_clips([3], height=64, width=64, frames=4)
    still = type(clip)(**vars(clip) | {"color": lambda i: clip.color(0), "lines": lambda i: clip.lines(0)})
    scores = proposals.measure([still], frames=4)
    assert all(values[1] == 60 for values in scores.values()), "an unmoved keyframe is the frame itself"


def test_a_data_set_without_drawings_is_refused(tmp_path, capsys):
    (tmp_path / "clip").mkdir()
    for i in range(10):
        from opdm.frames import write_frame

        write_frame(tmp_path / "clip" / f"{i:04}.png", cel_clips([1], height=32, width=32, frames=2)[0].color(0))
    assert proposals.main(["--data", str(tmp_path)]) == 2
    assert "no clip has drawings" in capsys.readouterr().err


@pytest.mark.parametrize("argument", ["--kind"])
def test_an_unknown_layout_is_refused(tmp_path, capsys, argument):
    assert proposals.main(["--data", str(tmp_path), argument, "lovely"]) == 2
    assert "lovely" in capsys.readouterr().err
