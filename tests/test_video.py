import cv2
import pytest
import torch

from opdm.errors import InputError
from opdm.frames import FrameError
from opdm.video import write_video


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".avi"])
def test_videos_open_again_with_every_frame_in_its_color(tmp_path, suffix):
    colors = [(1.0, 0, 0), (0, 1, 0), (0, 0, 1)]
    path = tmp_path / f"shot{suffix}"
    write_video(path, (torch.tensor(c).view(3, 1, 1).expand(3, 64, 96) for c in colors), fps=12)
    video = cv2.VideoCapture(str(path))
    assert video.get(cv2.CAP_PROP_FPS) == 12
    for color in colors:
        pixel = video.read()[1][30, 40, ::-1]
        assert abs(pixel - torch.tensor(color).numpy() * 255).max() < 20
    assert not video.read()[0]


def test_odd_and_different_sizes_become_one_even_size(tmp_path):
    write_video(tmp_path / "shot.mp4", [torch.rand(3, 33, 65), torch.rand(3, 66, 130)], fps=24)
    video = cv2.VideoCapture(str(tmp_path / "shot.mp4"))
    assert [video.read()[1].shape for _ in range(2)] == [(34, 66, 3)] * 2


def test_what_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"shot.webm: videos are written as .mp4 .mov .avi"):
        write_video(tmp_path / "shot.webm", [], fps=12)
    monkeypatch.setattr("cv2.VideoWriter.isOpened", lambda _: False, raising=False)
    with pytest.raises(FrameError, match=r"shot.mp4: this OpenCV writes no such video"):
        write_video(tmp_path / "shot.mp4", [], fps=12)
    assert not list(tmp_path.iterdir())
