import pytest
import torch

from opdm.errors import InputError
from opdm.palette_file import read_palette, write_palette


def test_8_bit_colors_come_back_exactly(tmp_path):
    palette = torch.randint(0, 256, (40, 3), generator=torch.Generator().manual_seed(0)) / 255
    write_palette(tmp_path / "new" / "a.gpl", palette, "a shot")
    assert torch.equal(read_palette(tmp_path / "new" / "a.gpl"), palette)
    assert (tmp_path / "new" / "a.gpl").read_text().splitlines()[:2] == ["GIMP Palette", "Name: a shot"]


def test_other_programs_write_other_lines(tmp_path):
    file = tmp_path / "a.gpl"
    file.write_bytes(
        "\ufeffGIMP Palette\r\nName: Haut\r\nColumns: 0\r\n# \r\n\r\n255   0  12\r\n  1 2 3\tHaut \u00e4\r\n".encode()
    )
    assert read_palette(file).mul(255).round().int().tolist() == [[255, 0, 12], [1, 2, 3]]


def test_an_empty_palette_has_no_colors(tmp_path):
    write_palette(tmp_path / "a.gpl", torch.zeros(0, 3), "none")
    assert read_palette(tmp_path / "a.gpl").shape == (0, 3)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is no palette"),
        ("1 2 3\n", "is no palette"),
        ("GIMP Palette\n1 2\n", "line 2 is no color"),
        ("GIMP Palette\n#\n1 2 256\n", "line 3 is no color"),
        ("GIMP Palette\nred\n", "line 2 is no color"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, reason):
    (tmp_path / "a.gpl").write_text(text)
    with pytest.raises(InputError, match=f"a.gpl: .*{reason}"):
        read_palette(tmp_path / "a.gpl")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none.gpl: cannot be read"):
        read_palette(tmp_path / "none.gpl")
