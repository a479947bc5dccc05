import pytest
import torch

import proposals
from opdm.data.cel_clips import cel_clips
from opdm.motion import Motion
from opdm.warp import backward_warp


def test_more_proposals_never_lower_the_ceiling():
    clips = cel_clips([3], height=64, width=64, frames=4)
    pipeline = proposals.load_model("opdm-small")
    scores = proposals.measure(clips, 4, pipeline, knows_flow=True)
    guessed = {proposals.HANDED_ON, proposals.ALONE}
    assert set(scores) == guessed | {proposals.REFINED, proposals.TRUE}
    assert set(proposals.measure(clips, 4, pipeline, knows_flow=False)) == guessed
    for *ceilings, painted in scores.values():
        assert ceilings == sorted(ceilings) and len(ceilings) == len(proposals.SETS)
        assert 10 < painted < ceilings[-1] + 1, "a residual may beat the choice, but not by much"


def test_only_small_errors_are_taken_out():
    (clip,) = cel_clips([3], height=96, width=96, frames=6)
    true_px, hidden = proposals.true_motion(clip, 2, 6)
    near, far = true_px[:, None] + 3, true_px[:, None] - 3 * proposals.SMALL_ERROR_PX
    wrong = Motion(torch.cat([near, far, near], dim=1), torch.ones(2, 3, 1, 96, 96))
    found = proposals.without_small_errors(wrong, true_px, hidden).flow_px
    is_true = (found == true_px[:, None]).all(dim=2)
    assert torch.equal(is_true[:, 0], ~hidden) and torch.equal(is_true[:, 2], ~hidden) and not is_true[:, 1].any()
    assert torch.equal(found[:, 1], wrong.flow_px[:, 1])


def test_the_true_flow_moves_what_a_keyframe_shows_to_its_place():
    (clip,) = cel_clips([3], height=96, width=96, frames=6)
    nothing = Motion(torch.zeros(2, 3, 2, 96, 96), torch.ones(2, 3, 1, 96, 96))
    motion = proposals.with_true_flow(nothing, *proposals.true_motion(clip, 2, 6))
    assert not motion.flow_px[:, :2].any()
    for k, j in enumerate((0, 5)):
        moved = backward_warp(clip.color(j)[None], motion.flow_px[k, 2:])[0]
        is_shown = motion.error_px[k, 2, 0] == 0
        wrong, unmoved = ((frame - clip.color(2)).abs().amax(dim=0) > 0.1 for frame in (moved, clip.color(j)))
        assert wrong[is_shown].float().mean() < 0.3 * unmoved[is_shown].float().mean()


def test_a_still_shot_can_be_painted_exactly():
    (clip,) = cel_clips([3], height=64, width=64, frames=4)
    still = type(clip)(**vars(clip) | {"color": lambda i: clip.color(0), "lines": lambda i: clip.lines(0)})
    scores = proposals.measure([still], 4, proposals.load_model("opdm-small"), knows_flow=False)
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
