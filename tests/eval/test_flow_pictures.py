"""The pictures that show where colors come from."""

import torch

import correspondence
from flow_models import FlowModel, View
from flow_pictures import CHECK_PX, GRAY, LABEL_PX, MARGIN_PX, Keyframe, draw_sources, move, place_colors
from opdm.data.clips import Clip
from opdm.frames import read_frame

SIZE = 40


def make_key():
    color = torch.rand(3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    return Keyframe(View(color, None), place_colors(SIZE, SIZE))


def test_places_tell_their_coordinates():
    places = place_colors(50, 100)
    assert torch.equal(places[0, 0, :CHECK_PX], torch.linspace(0, 1, 100)[:CHECK_PX])
    assert torch.equal(places[1, :CHECK_PX, 0], torch.linspace(0, 1, 50)[:CHECK_PX])
    assert len({tuple(place.tolist()) for place in places.flatten(1).T}) == 50 * 100, "no two places look the same"


def test_what_is_moved_comes_from_where_the_flow_points():
    key = make_key()
    flow_px = torch.stack([torch.full((SIZE, SIZE), 3.0), torch.full((SIZE, SIZE), -2.0)])
    color, places = move(key, flow_px)
    for y, x in ((2, 0), (20, 36), (39, 10)):
        assert torch.allclose(color[:, y, x], key.view.color[:, y - 2, x + 3], atol=1e-5)
        assert torch.allclose(places[:, y, x], key.places[:, y - 2, x + 3], atol=1e-5)


def test_what_is_hidden_or_outside_is_gray():
    flow_px = torch.stack([torch.full((SIZE, SIZE), 3.0), torch.zeros(SIZE, SIZE)])
    is_hidden = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    is_hidden[5, 6] = True
    for picture in move(make_key(), flow_px, is_hidden):
        assert bool((picture[:, 5, 6] == GRAY).all()) and bool((picture[:, :, -3:] == GRAY).all())
        assert not bool((picture[:, 5, 7] == GRAY).all())


def test_a_picture_has_a_row_for_the_truth_and_for_each_model():
    flows = {(1, 0): torch.zeros(2, SIZE, SIZE), (1, 2): torch.zeros(2, SIZE, SIZE)}
    frames = torch.rand(3, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    clip = Clip(name="x", stems=("a", "b", "c"), color=frames.__getitem__, flow_px=lambda i, j: flows[i, j])
    still = FlowModel("color", lambda source, target: torch.zeros(2, SIZE, SIZE), "still")
    picture = draw_sources({"still": still}, clip, 1, (0, 2))
    tile = SIZE + 2 * MARGIN_PX
    assert picture.shape == (3, 3 * (tile + LABEL_PX), 5 * tile)
    rows = picture[:, :, tile:].unflatten(1, (3, -1))[:, :, LABEL_PX:]
    assert torch.equal(rows[:, 1], rows[:, 2]), "the truth is that nothing moves"
    assert torch.allclose(rows[:, 0], rows[:, 1], atol=1e-5), "and so the keyframes are as they were"


def test_pictures_of_generated_shots_are_written_by_the_command(tmp_path):
    options = ["show", "--shots", "1", "--size", "48", "--models", "dis-ink", "--output", str(tmp_path)]
    assert correspondence.main(options) == 0
    (path,) = tmp_path.glob("*.png")
    assert read_frame(path).shape[0] == 3


def test_a_wrong_request_is_told_in_one_line(tmp_path, capsys):
    options = ["show", "--shots", "0", "--output", str(tmp_path)]
    assert correspondence.main(options) == 2
    assert "--shots 0" in capsys.readouterr().err
