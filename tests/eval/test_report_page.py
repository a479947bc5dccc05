"""The page as a browser's parser reads it."""

import base64
import json
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
import torch

import evaluate
from opdm.frames import write_frame
from opdm.metrics.color import delta_e_2000, lab_colors
from protocols import Task
from report_images import error_map, keyframes_around
from report_plots import draw_plot, ticks

SIZE = (40, 56)
HOSTILE = "<script>alert('x')</script> {{script}} \"&"
VOID = {"meta", "img", "input", "br"}


class Page(HTMLParser):
    """Elements, in order, with their text; fails on what is not closed."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        element = (tag, dict(attributes), [])
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes), []))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        for _, _, text in self.open:
            text.append(data)

    def all(self, tag):
        return [(attributes, "".join(text)) for name, attributes, text in self.elements if name == tag]


def noise(seed, size=SIZE):
    return (torch.rand(3, *size, generator=torch.Generator().manual_seed(seed)) * 255).round() / 255


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """Two clips of six frames, the first and last given, painted by two methods; names are as bad as files allow."""
    root = tmp_path_factory.mktemp("evaluated")
    for clip in ("calm", "a&b <i> {{style}}"):
        for i in range(6):
            write_frame(root / "true" / clip / f"{i}.png", noise(i))
            write_frame(root / "lines" / clip / f"{i}.png", noise(i)[:1].round())
            if i not in (0, 5):
                write_frame(root / "ours" / clip / f"{i}.png", (noise(i) + i / 100).clamp(0, 1))
                write_frame(root / "far" / clip / f"{i}.png", noise(i + 50))
    command = ["--predictions", f"{HOSTILE}={root / 'ours'}", f"far={root / 'far'}", "--targets", root / "true"]
    command += ["--lines", root / "lines", "--keyframes", "0", "5", "--output", root / "out"]
    assert evaluate.main([*map(str, command), "--metrics", "psnr", "ssim", "cdc"]) == 0
    report = json.loads((root / "out" / "report.json").read_text(encoding="utf-8"))
    return Page((root / "out" / "report.html").read_text(encoding="utf-8")), report


def test_the_page_needs_nothing_but_itself(evaluated):
    page, _ = evaluated
    for tag, attributes, _ in page.elements:
        assert tag not in ("link", "iframe", "object", "base")
        for name in ("src", "href", "srcset", "data", "poster", "action"):
            assert attributes.get(name, "data:").startswith("data:"), (tag, attributes)
    styles = "".join(text for _, text in page.all("style"))
    assert "url(" not in styles
    assert "@import" not in styles
    assert not re.search(r"fetch\(|XMLHttpRequest|import\(", "".join(text for _, text in page.all("script")))


def test_every_picture_opens_and_shows_a_frame(evaluated):
    page, _ = evaluated
    pictures = page.all("img")
    # Per worst frame: two keyframes, drawing, truth, two paintings, two error maps.
    assert len([a for a, _ in pictures if a.get("loading") == "lazy"]) == 8 * 8
    for attributes, _ in pictures:
        coded = base64.b64decode(attributes["src"].removeprefix("data:image/webp;base64,"))
        image = cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_COLOR)
        assert image.shape == (*SIZE, 3)


def test_the_table_has_the_numbers_of_the_report(evaluated):
    page, report = evaluated
    cells = [text for _, text in page.all("td")]
    for method in report["methods"].values():
        for name, decimals in (("psnr", 2), ("ssim", 4)):
            assert f"{method['mean'][name]['mean']:.{decimals}f}" in cells


def test_names_are_shown_and_never_run(evaluated):
    page, _ = evaluated
    scripts = page.all("script")
    assert not any(text.startswith("alert") for _, text in scripts)
    # Data of the film, and the script of the page: once.
    assert [attributes.get("type") for attributes, _ in scripts] == ["application/json", None]
    assert HOSTILE in [text for _, text in page.all("th")]
    assert any("a&b <i> {{style}}" in text for _, text in page.all("h3"))
    assert len(page.all("style")) == 1


def test_worst_frames_come_first(evaluated):
    page, report = evaluated
    clips = next(iter(report["methods"].values()))["clips"]
    shown = [text.rpartition(" · ") for attributes, text in page.all("h3") if " · " in text]
    assert len(shown) == 8
    for clip, _, stem in shown[:2]:
        scores = {stem: frame["psnr"] for stem, frame in clips[clip]["frames"].items()}
        assert scores[stem] == min(scores.values())


def test_plots_have_a_point_for_every_frame_and_method(evaluated):
    page, report = evaluated
    titles = [text for _, text in page.all("title")]
    for label, method in report["methods"].items():
        for clip in method["clips"].values():
            for stem, frame in clip["frames"].items():
                assert f"{label}, {stem}: {frame['psnr']:.2f}" in titles


def test_every_label_of_a_menu_is_a_picture_of_some_frame(evaluated):
    page, _ = evaluated
    layers = {attributes["data-layer"] for attributes, _ in page.all("img") if "data-layer" in attributes}
    names = {text for attributes, text in page.all("option") if "value" not in attributes}
    assert names == layers


def test_a_report_of_equal_frames_has_a_page_too(tmp_path):
    write_frame(tmp_path / "true" / "1.png", noise(1))
    command = ["--predictions", tmp_path / "true", "--targets", tmp_path / "true", "--output", tmp_path / "out"]
    assert evaluate.main([*map(str, command), "--metrics", "psnr"]) == 0
    page = Page((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    assert "60.00" in [text for _, text in page.all("td")]
    assert not page.all("svg")


def test_error_maps_are_brighter_where_the_color_is_farther_off():
    target = torch.zeros(3, 4, 3)
    prediction = target.clone()
    prediction[:, :, 1], prediction[:, :, 2] = 0.1, 1.0
    brightness = error_map(prediction, target).sum(dim=0)[0]
    delta_e = delta_e_2000(lab_colors(prediction), lab_colors(target))[0]
    assert delta_e[0] == 0
    assert brightness[0] < 0.05
    assert brightness[0] < brightness[1] < brightness[2]


@pytest.mark.parametrize(
    ("i", "expected"),
    [
        (0, {"later keyframe": 2}),
        (3, {"earlier keyframe": 2, "later keyframe": 6}),
        (8, {"earlier keyframe": 6}),
    ],
)
def test_the_keyframes_on_either_side_are_the_nearest(i, expected):
    assert keyframes_around(Task("x", None, (2, 6)), i) == expected


@pytest.mark.parametrize(("low", "high"), [(0, 1), (11.2, 28.9), (1, 4), (0.00012, 0.00099), (-3, 250), (5, 5)])
def test_ticks_are_round_and_hold_all_values(low, high):
    marks = ticks(low, high, 5)
    assert marks[0] <= low
    assert marks[-1] >= high
    assert 2 <= len(marks) <= 11
    assert np.allclose(np.diff(marks), marks[1] - marks[0])


def test_points_and_labels_stay_inside_a_plot():
    points = [(float(x), 20.0 + x % 3, f"{x}") for x in range(1, 16)]
    plot = draw_plot({0: points}, score="psnr", x_title="frame", marks=(0, 16))
    across = [float(value) for value in re.findall(r'(?:cx|x|x1)="([\d.-]+)"', plot)]
    down = [float(value) for value in re.findall(r'cy="([\d.-]+)"', plot)]
    assert all(0 <= value <= 480 for value in across)
    assert all(0 <= value <= 250 for value in down)
    # Higher scores stand higher.
    assert down[0] > down[1]
    assert down[1] == down[4]


def test_no_part_of_the_page_is_left_unfilled(evaluated):
    page, _ = evaluated
    texts = [text for tag, _, text in page.elements if tag in ("h1", "footer")]
    assert all("{{" not in "".join(text) for text in texts)
