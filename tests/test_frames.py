import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from opdm.frames import (
    FrameError,
    frame_size,
    pad_to_multiple,
    read_frame,
    read_lines,
    replacing,
    resize,
    write_frame,
    write_text,
)

SUFFIXES = [".png", ".jpg", ".tif", ".webp", ".tga", ".bmp"]


def picture(height=40, width=56):
    """A smooth (H, W, 3) uint8 image, which JPEG and WebP keep nearly."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 4, y * 6, 255 - x * 2 - y], axis=2).astype(np.uint8)


def drawing(height=40, width=56, ink=0, paper=255):
    pixels = np.full((height, width), paper, np.uint8)
    cv2.line(pixels, (5, 5), (50, 30), ink, 2)
    return pixels


def save(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_is_read_as_rgb(tmp_path, suffix):
    frame = read_frame(save(tmp_path / f"frame{suffix}", picture()))
    assert frame.shape == (3, 40, 56) and frame.dtype == torch.float32
    difference = np.abs(frame.permute(1, 2, 0).numpy() * 255 - picture())
    assert difference.mean() < (3 if suffix in (".jpg", ".webp") else 1e-4)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.95])
def test_a_truncated_file_is_refused_by_name(tmp_path, capfd, suffix, share):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    data = save(tmp_path / f"whole{suffix}", noise).read_bytes()
    path = tmp_path / f"half{suffix}"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(FrameError, match=f"half{suffix}") as caught:
        read_frame(path)
    assert "\n" not in str(caught.value) and "export it again" in str(caught.value)
    assert capfd.readouterr().err == "", "decoders' own complaints"


def test_what_is_no_image_is_refused_by_name(tmp_path):
    (tmp_path / "text.png").write_text("not an image")
    for name, reason in (("text.png", "not an image"), ("missing.png", "cannot be read"), (".", "cannot be read")):
        with pytest.raises(FrameError, match=reason):
            read_frame(tmp_path / name)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bits_keep_their_depth(tmp_path, suffix, channels):
    pixels = np.random.default_rng(0).integers(0, 65536, (9, 7, channels)).astype(np.uint16)
    if channels == 4:
        pixels[..., 3] = 65535
    (tmp_path / f"deep{suffix}").write_bytes(cv2.imencode(suffix, pixels)[1].tobytes())
    frame = read_frame(tmp_path / f"deep{suffix}")
    expected = pixels[..., 2::-1] if channels > 1 else pixels.repeat(3, axis=2)
    assert np.allclose(frame.permute(1, 2, 0).numpy() * 65535, expected, atol=0.01)


def test_a_truncated_16_bit_file_is_refused(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 65536, (64, 64, 3)).astype(np.uint16)
    data = cv2.imencode(".png", pixels)[1].tobytes()
    (tmp_path / "half.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(FrameError, match=r"half.png: damaged or incomplete"):
        read_frame(tmp_path / "half.png")


def test_transparency_is_white_paper(tmp_path):
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[0, 0] = 255, 0, 0, 255
    pixels[0, 1] = 255, 0, 0, 51
    frame = read_frame(save(tmp_path / "cel.png", pixels))
    assert frame[:, 0, 0].tolist() == [1, 0, 0]
    assert torch.allclose(frame[:, 0, 1], torch.tensor([1, 0.8, 0.8]))
    assert (frame[:, 1:] == 1).all()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_every_color_mode_is_read(tmp_path, mode):
    path = tmp_path / f"frame.{'tif' if mode == 'CMYK' else 'png'}"
    Image.fromarray(drawing()).convert("RGB").convert(mode).save(path)
    assert np.abs(read_frame(path)[0].numpy() * 255 - drawing()).max() <= 1


def test_a_photograph_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "turned.jpg", picture(), exif=exif)
    assert read_frame(path).shape == (3, 56, 40)
    assert frame_size(path) == (56, 40)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_size_is_read_without_the_pixels(tmp_path, suffix, monkeypatch):
    path = save(tmp_path / f"frame{suffix}", picture())
    monkeypatch.setattr(Image.Image, "load", None)
    assert frame_size(path) == (40, 56)


def test_names_with_spaces_and_foreign_letters_work(tmp_path):
    path = tmp_path / "背景 カット 3" / "ünï côdé [1].png"
    write_frame(path, torch.full((3, 4, 4), 0.5))
    assert read_frame(path).shape == (3, 4, 4)


def test_gray_and_color_drawings_are_lines(tmp_path):
    gray = read_lines(save(tmp_path / "gray.png", drawing()))
    assert gray.lines.shape == (1, 40, 56) and not gray.was_inverted
    assert gray.lines.min() == 0 and gray.lines.max() == 1
    color = np.full((40, 56, 3), 255, np.uint8)
    color[10, :] = 255, 0, 0
    assert read_lines(save(tmp_path / "red.png", color)).lines[0, 10, 0] == pytest.approx(0.299, abs=1e-5)


def test_white_on_black_is_turned_over(tmp_path):
    expected = read_lines(save(tmp_path / "dark.png", drawing())).lines
    inverted = read_lines(save(tmp_path / "light.png", 255 - drawing()))
    assert inverted.was_inverted and torch.equal(inverted.lines, expected)


@pytest.mark.parametrize("ink", [0, 255])
def test_lines_on_transparent_paper_show_whatever_their_color(tmp_path, ink):
    alpha = 255 - drawing()
    art = read_lines(save(tmp_path / "cel.png", np.dstack([np.full((40, 56, 3), ink, np.uint8), alpha])))
    assert art.was_inverted == (ink == 255)
    assert np.abs(art.lines[0].numpy() * 255 - drawing()).max() < 1e-3


def test_a_figure_filled_white_on_transparent_paper_is_not_turned_over(tmp_path):
    cel = np.zeros((40, 56, 4), np.uint8)
    cel[10:30, 10:30] = 255
    cel[10:30, 10:12, :3] = 0
    art = read_lines(save(tmp_path / "cel.png", cel))
    assert not art.was_inverted and (art.lines == 0).sum() == 40


def test_spotted_blacks_are_not_taken_for_a_dark_ground(tmp_path):
    pixels = drawing()
    pixels[3:-3, 3:-3] = 0
    assert not read_lines(save(tmp_path / "night.png", pixels)).was_inverted


def test_tinted_paper_becomes_white(tmp_path):
    lines = read_lines(save(tmp_path / "scan.png", drawing(paper=230, ink=23))).lines
    assert lines.max() == 1 and lines.median() == 1
    assert lines.min() == pytest.approx(0.1, abs=1e-3)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_written_frames_come_back_rounded_to_8_bits(tmp_path, channels):
    frame = torch.rand(channels, 9, 7)
    if channels == 4:
        frame[3] = 1
    write_frame(tmp_path / "frame.png", frame)
    expected = (frame[:3] * 255).round() / 255
    assert torch.allclose(read_frame(tmp_path / "frame.png"), expected.expand(3, -1, -1), atol=1e-6)


def test_values_out_of_range_are_clipped(tmp_path):
    write_frame(tmp_path / "frame.png", torch.tensor([-1.0, 2.0]).view(1, 1, 2))
    assert read_frame(tmp_path / "frame.png")[0].tolist() == [[0, 1]]


def test_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(FrameError, match=r"frame.xyz: no image format is called '.xyz'"):
        write_frame(tmp_path / "frame.xyz", torch.zeros(3, 4, 4))
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    write_text(tmp_path / "notes.txt", "old")
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "notes.txt") as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    assert (tmp_path / "notes.txt").read_text() == "old"


def test_a_written_file_never_shows_under_its_name_before_it_is_whole(tmp_path, monkeypatch):
    seen = []
    original = type(tmp_path).write_bytes

    def observed(path, data):
        seen.append((path.name, (tmp_path / "frame.png").exists()))
        return original(path, data)

    monkeypatch.setattr(type(tmp_path), "write_bytes", observed)
    write_frame(tmp_path / "frame.png", torch.zeros(3, 4, 4))
    [(name, existed)] = seen
    assert name.startswith(".opdm-") and not existed and (tmp_path / "frame.png").exists()


@pytest.mark.parametrize("size", [(10, 14), (80, 112), (40, 56), (13, 29)])
def test_resizing_keeps_flat_areas_flat(size):
    resized = resize(torch.full((2, 3, 40, 56), 0.3), size)
    assert resized.shape == (2, 3, *size)
    assert torch.allclose(resized, torch.tensor(0.3), atol=1e-6)


def test_shrinking_takes_means_and_enlarging_stays_in_range():
    frame = torch.rand(3, 40, 56)
    means = torch.nn.functional.avg_pool2d(frame[None], 4)[0]
    assert torch.allclose(resize(frame, (10, 14)), means, atol=1e-5)
    enlarged = resize((frame > 0.5).float(), (90, 100))
    assert enlarged.min() == 0 and enlarged.max() == 1


def test_padding_is_on_the_right_and_below():
    frame = torch.rand(3, 5, 8)
    repeated = pad_to_multiple(frame, 4)
    assert repeated.shape == (3, 8, 8) and torch.equal(repeated[:, :5], frame)
    assert torch.equal(repeated[:, 7], frame[:, 4])
    assert torch.equal(pad_to_multiple(frame[None, None], 4)[0, 0], repeated)
    assert pad_to_multiple(frame, 1) is frame
