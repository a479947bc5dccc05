import unicodedata

import pytest

from opdm.errors import InputError
from opdm.shot import Keyframe, plan_shot


@pytest.fixture
def plan(tmp_path):
    """Plans a shot of empty files: names of keyframes and of drawings."""

    def plan(keyframes, drawings):
        paths = [write(tmp_path / "keys" / name) for name in keyframes]
        for name in drawings:
            write(tmp_path / "lines" / name)
        return plan_shot(paths, tmp_path / "lines")

    return plan


def write(path):
    path.parent.mkdir(exist_ok=True)
    path.touch()
    return path


def order(shot):
    return [f"[{frame.path.stem}]" if isinstance(frame, Keyframe) else frame.path.stem for frame in shot.in_order]


def test_numbers_in_names_count_as_numbers(plan):
    shot = plan(["a.png"], ["Frame10.png", "frame2.png", "frame1.png"])
    assert order(shot) == ["[a]", "frame1", "frame2", "Frame10"]


@pytest.mark.parametrize(
    ("keyframes", "drawings", "expected"),
    [
        (["a.png", "b.png"], ["1.png", "2.png"], "[a] 1 2 [b]"),
        (["b.png", "a.png"], ["1.png", "2.png"], "[b] 1 2 [a]"),  # in the order given
        (["1.png", "3.png"], ["1.png", "2.png", "3.png"], "[1] 2 [3]"),
        (["2.tif", "x.png"], ["1.png", "2.png", "3.png"], "1 [2] 3 [x]"),
        (["x.png", "2.png"], ["1.png", "2.png", "3.png"], "[x] 1 [2] 3"),
        (["f0.png", "f9.png"], ["f1.png", "f2.png"], "[f0] f1 f2 [f9]"),
        (["f9.png", "f0.png"], ["f1.png", "f2.png"], "[f0] f1 f2 [f9]"),  # a mistake that their numbers reveal
        (["f3.png", "f4.png"], ["f1.png", "f2.png"], "[f3] f1 f2 [f4]"),  # two enclose everything
        (["f2.png", "f5.png"], ["f1.png", "f3.png", "f4.png"], "f1 [f2] f3 f4 [f5]"),
        (["a.png"], ["1.png", "2.png"], "[a] 1 2"),
        (["f3.png"], ["f1.png", "f2.png"], "f1 f2 [f3]"),
        (["f00.png", "f05.png", "f10.png"], ["f02.png", "f08.png", "f12.png"], "[f00] f02 [f05] f08 [f10] f12"),
        (["start.png", "2.png", "end.png"], ["1.png", "2.png", "3.png"], "[start] 1 [2] 3 [end]"),
    ],
)
def test_keyframes_find_their_places(plan, keyframes, drawings, expected):
    assert " ".join(order(plan(keyframes, drawings))) == expected


def test_each_drawing_has_its_nearest_keyframes(plan):
    shot = plan(["1.png", "3.png", "7.png"], [f"{i}.png" for i in range(1, 9)])
    nearest = {
        drawing.path.stem: [keyframe and keyframe.path.stem for keyframe in (drawing.earlier, drawing.later)]
        for drawing in shot.drawings
    }
    assert nearest == {"2": ["1", "3"], "4": ["3", "7"], "5": ["3", "7"], "6": ["3", "7"], "8": ["7", None]}


def test_the_time_of_a_drawing_is_where_it_stands_between_its_keyframes(plan):
    shot = plan(["1.png", "5.png"], [f"{i}.png" for i in range(1, 7)])
    assert {d.path.stem: d.time for d in shot.drawings} == {"2": 0.25, "3": 0.5, "4": 0.75, "6": None}


def test_references_are_both_neighbors_or_the_nearest(plan):
    shot = plan(["1.png", "5.png"], [f"{i}.png" for i in range(1, 7)])
    references = {d.path.stem: [[k.path.stem for k in d.references(n)] for n in (1, 2)] for d in shot.drawings}
    assert references == {
        "2": [["1"], ["1", "5"]],
        "3": [["1"], ["1", "5"]],  # as far from both: the earlier
        "4": [["5"], ["1", "5"]],
        "6": [["5"], ["5", "5"]],
    }


def test_a_drawing_named_like_a_keyframe_is_its_line_art(plan, tmp_path):
    shot = plan(["1.jpg", "x.png"], ["1.png", "2.png"])
    assert [keyframe.lines for keyframe in shot.keyframes] == [tmp_path / "lines" / "1.png", None]


def test_a_keyframe_inside_the_folder_of_drawings_is_no_drawing(tmp_path):
    paths = [write(tmp_path / name) for name in ("1.png", "2.png", "3.png")]
    shot = plan_shot([paths[0], paths[2]], tmp_path)
    assert order(shot) == ["[1]", "2", "[3]"]
    assert [keyframe.lines for keyframe in shot.keyframes] == [None, None]


def test_the_two_ways_of_storing_an_accent_are_one_name(plan):
    composed, decomposed = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    assert order(plan([f"{composed}1.png"], [f"{decomposed}1.png", f"{composed}2.png"]))[0] == f"[{composed}1]"


def test_other_files_and_hidden_ones_are_passed_over(plan):
    shot = plan(["a.png"], ["1.png", "notes.txt", ".2.png", "._1.png", "Thumbs.db", "3.TGA", "4.webp"])
    assert order(shot) == ["[a]", "1", "3", "4"]


@pytest.mark.parametrize(
    ("keyframes", "drawings", "message"),
    [
        (["a.png"], [], "no such folder"),
        (["a.png"], ["notes.txt"], "no drawings; put images there"),
        (["1.png"], ["1.png"], "no drawings besides"),
        (["1.png", "1.jpg"], ["2.png"], r"keys/1.jpg and .*keys/1.png: two keyframes for one place"),
        (["a.png"], ["1.png", "1.tga"], r"lines/1.tga and 1.png: two drawings of one name"),
        (["a.png", "b.png", "c.png"], ["1.png"], r"b.png: its place .* name it like the drawing"),
        ([], ["1.png"], "no keyframes"),
    ],
)
def test_what_cannot_be_planned_is_refused(plan, keyframes, drawings, message):
    with pytest.raises(InputError, match=message):
        plan(keyframes, drawings)


def test_missing_keyframes_and_folders_in_their_place_are_refused(tmp_path):
    lines = write(tmp_path / "lines" / "1.png").parent
    with pytest.raises(InputError, match=r"missing.png: no such keyframe"):
        plan_shot([tmp_path / "missing.png"], lines)
    with pytest.raises(InputError, match="lines: a folder; give the keyframes as files"):
        plan_shot([lines], lines)
    with pytest.raises(InputError, match=r"1.png: a file; give the folder"):
        plan_shot([lines / "1.png"], lines / "1.png")
