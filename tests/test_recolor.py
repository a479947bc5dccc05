"""Layers as files, and other colors from them alone."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from psd_tools import PSDImage

from opdm.exact_fill import AS_PAINTED, fill_exactly
from opdm.frames import read_frame, to_8_bit, write_frame
from opdm.layer_files import LayerFiles, read_numbers, write_numbers
from opdm.palette_file import read_palette, write_palette
from opdm.recolor import main
from opdm.segments import find_regions

PALETTE = torch.tensor([[200, 40, 40], [40, 40, 200], [255, 255, 255]]) / 255
STEMS = ("a", "b")


@pytest.fixture
def painted(tmp_path):
    """A folder of results: two drawings of a red disk and a shaded one on paper, the lines brown."""
    y, x = torch.meshgrid(torch.arange(80.0), torch.arange(120.0), indexing="ij")
    for step, stem in enumerate(STEMS):
        frame, lines = torch.ones(3, 80, 120), torch.ones(1, 80, 120)
        for center, color in ((35 + step, PALETTE[0].view(3, 1, 1)), (85 + step, (y / 80).expand(3, 80, 120))):
            distance = ((x - center) ** 2 + (y - 40) ** 2).sqrt()
            frame = torch.where(distance < 20, color, frame)
            lines = torch.minimum(lines, ((distance - 20).abs() / 2).clamp(0, 1)[None])
        ink = torch.tensor([0.4, 0.2, 0.1]).view(3, 1, 1)
        paint = fill_exactly(ink + lines * (frame - ink), lines, find_regions(lines), PALETTE)
        LayerFiles(tmp_path / "layers", stem).save(paint)
        write_frame(tmp_path / f"{stem}.png", paint.composite.frame)
    return tmp_path


def change(folder, entry, color):
    palette = read_palette(folder / "layers" / "palette.gpl")
    palette[entry] = torch.tensor(color) / 255
    write_palette(folder / "layers" / "palette.gpl", palette, "changed")


def test_the_layers_give_the_frame(painted):
    files = LayerFiles(painted / "layers", "a")
    picture = Image.new("RGBA", (120, 80), "white")
    for layer in (files.color, files.lines):
        picture = Image.alpha_composite(picture, Image.open(layer).convert("RGBA"))
    frame = np.asarray(Image.open(painted / "a.png")).astype(int)
    assert np.abs(np.asarray(picture.convert("RGB")) - frame).max() <= 2
    assert np.asarray(Image.open(files.color))[0, 0, 3] == 0  # unpainted paper


def test_the_psd_has_the_layers_and_shows_the_frame(painted):
    files = LayerFiles(painted / "layers", "b")
    document = PSDImage.open(files.psd)
    assert [layer.name for layer in document] == ["paper", "color", "lines"]
    assert document.size == (120, 80)
    color = np.asarray(document[1].topil().convert("RGBA"))
    left, top, right, bottom = document[1].bbox
    wanted = np.asarray(Image.open(files.color))[top:bottom, left:right]
    assert np.array_equal(color[..., 3], wanted[..., 3])
    assert np.array_equal(color[wanted[..., 3] > 0], wanted[wanted[..., 3] > 0])
    seen = Image.open(files.psd)  # by another reader
    assert seen.size == (120, 80) and [name for name, *_ in seen.layers] == ["paper", "color", "lines"]
    shown = np.asarray(seen.convert("RGB")).astype(int)
    assert np.abs(shown - np.asarray(Image.open(painted / "b.png"))).max() <= 2


def test_areas_and_entries_say_what_has_which_color(painted):
    files = LayerFiles(painted / "layers", "a")
    areas, entries = read_numbers(files.areas), json.loads(files.entries.read_text())["entries"]
    at = {name: entries[int(areas[40, x]) - 1] for name, x in (("disk", 35), ("shaded", 85), ("paper", 5))}
    assert at == {"disk": 0, "shaded": None, "paper": 2}
    assert files.read_entries(PALETTE).tolist() == [AS_PAINTED if entry is None else entry for entry in entries]


def test_the_same_palette_gives_the_same_frames(painted):
    before = [(painted / f"{stem}.png").read_bytes() for stem in STEMS]
    for _ in range(2):
        assert main([str(painted)]) == 0
        assert [(painted / f"{stem}.png").read_bytes() for stem in STEMS] == before


def test_an_edited_color_is_everywhere_it_was(painted, capsys):
    before = {stem: to_8_bit(read_frame(painted / f"{stem}.png")) for stem in STEMS}
    change(painted, 0, (10, 200, 90))
    assert main([str(painted)]) == 0
    assert "recolored 2 in" in capsys.readouterr().out
    for stem in STEMS:
        after = to_8_bit(read_frame(painted / f"{stem}.png"))
        was_red = (before[stem] == (200, 40, 40)).all(axis=2)
        assert was_red.sum() > 800 and (after[was_red] == (10, 200, 90)).all()
        areas = read_numbers(LayerFiles(painted / "layers", stem).areas).numpy()
        others = (areas > 0) & ~np.isin(areas, np.unique(areas[was_red]))
        assert np.array_equal(after[others], before[stem][others])
    change(painted, 0, (200, 40, 40))
    assert main([str(painted)]) == 0
    for stem in STEMS:
        assert np.abs(to_8_bit(read_frame(painted / f"{stem}.png")).astype(int) - before[stem]).max() <= 1


def test_the_color_layer_that_is_there_follows(painted):
    write_frame(painted / "color_layer" / "a.png", torch.zeros(4, 80, 120))
    change(painted, 0, (10, 200, 90))
    assert main([str(painted)]) == 0
    assert read_frame(painted / "color_layer" / "a.png")[:, 40, 35].mul(255).round().tolist() == [10, 200, 90]


def test_painted_paper_is_opaque(painted):
    change(painted, 2, (240, 220, 180))
    assert main([str(painted)]) == 0
    assert np.asarray(Image.open(painted / "layers" / "color" / "a.png"))[0, 0].tolist() == [240, 220, 180, 255]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda folder: write_palette(folder / "layers" / "palette.gpl", PALETTE[:1], "short"), "has 1 colors"),
        (lambda folder: (folder / "layers" / "palette.gpl").unlink(), "palette.gpl: cannot be read"),
        (lambda folder: (folder / "layers" / "areas" / "b.json").write_text("{}"), "b.json: has no list"),
        (lambda folder: (folder / "layers" / "areas" / "a.png").write_bytes(b"no"), "a.png: is no 16-bit map"),
        (lambda folder: [file.unlink() for file in (folder / "layers" / "areas").iterdir()], "has no layers"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_written(painted, capsys, spoil, reason):
    before = (painted / "a.png").read_bytes()
    spoil(painted)
    assert main([str(painted)]) == 2
    assert reason in capsys.readouterr().err
    assert (painted / "a.png").read_bytes() == before


def test_numbers_up_to_16_bits_come_back(tmp_path):
    numbers = torch.tensor([[0, 1, 65535]], dtype=torch.int32)
    write_numbers(tmp_path / "a.png", numbers)
    assert torch.equal(read_numbers(tmp_path / "a.png"), numbers)
