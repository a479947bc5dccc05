import pytest
import torch
from PIL import Image, ImageDraw

from opdm.frames import read_frame, write_frame
from opdm.sheet import KEYFRAME_COLOR, LARGEST_SIDE, Cell, fit_text, plan_sheet, write_contact_sheet


@pytest.mark.parametrize("count", [1, 12, 100, 1000, 5000])
@pytest.mark.parametrize("size", [(1080, 1920), (500, 300)])
def test_a_sheet_has_a_place_for_every_frame_and_stays_small(count, size):
    layout = plan_sheet(count, size)
    assert layout.columns * layout.rows >= count > layout.columns * (layout.rows - 1)
    assert max(layout.size) <= LARGEST_SIDE or count == 5000
    assert layout.picture_width / layout.picture_height == pytest.approx(size[1] / size[0], rel=0.1)


def test_pictures_stand_where_they_should_and_keyframes_are_framed(tmp_path):
    write_frame(tmp_path / "blue.png", torch.tensor([0.0, 0, 1]).view(3, 1, 1).expand(3, 90, 160))
    write_frame(tmp_path / "lines.png", torch.ones(1, 90, 160))
    (tmp_path / "broken.png").write_text("text")
    cells = [
        Cell("key", None, tmp_path / "blue.png", is_keyframe=True),
        Cell("01", tmp_path / "lines.png", tmp_path / "blue.png"),
        Cell("02", tmp_path / "broken.png", None),
    ]
    write_contact_sheet(tmp_path / "sheet.png", cells, (90, 160))
    sheet = read_frame(tmp_path / "sheet.png").permute(1, 2, 0).mul(255).round().int()
    layout = plan_sheet(3, (90, 160))
    assert tuple(sheet.shape[1::-1]) == layout.size
    blue = (sheet == torch.tensor([0, 0, 255])).all(dim=2)
    assert blue.sum() == pytest.approx(2 * layout.picture_width * layout.picture_height, rel=0.06)
    framed = (sheet == torch.tensor(KEYFRAME_COLOR)).all(dim=2)
    assert framed.sum() > 4 * layout.picture_width


def test_long_names_keep_their_ends():
    draw = ImageDraw.Draw(Image.new("RGB", (10, 10)))
    text = fit_text(draw, "a_very_long_name_of_a_shot_0012", 100)
    assert text.startswith("…") and text.endswith("0012")
    assert fit_text(draw, "0012", 100) == "0012"
