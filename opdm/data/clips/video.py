"""Video files as clips: any frame is found exactly, and reading in order costs one decoding."""

from functools import lru_cache, partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from opdm.data.clips.clip import Clip
from opdm.data.clips.trees import list_files, walk, wrong_tree
from opdm.frames import FrameError

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v")
VIDEO_TREE = f"""\
  ROOT                     a video ({" ".join(VIDEO_SUFFIXES)}), or
  ROOT/.../CLIP.mp4 ...    any tree of them"""

OPEN_VIDEOS = 4
NEAR_FRAMES = 48
"""Up to so many frames ahead it is quicker to decode on than to seek: seeking begins at a key picture before."""


def read_videos(root: Path) -> list[Clip]:
    """A video, or every video below a folder, as clips named by their paths.

    Frames are named by their number, from 000000 on. Listing decodes each video once, as containers are often wrong
    about how many frames they hold. Raises InputError.
    """
    if root.is_file() and root.suffix.lower() in VIDEO_SUFFIXES:
        return [_read_video(root, root.name)]
    folders = [root, *walk(root, lambda _: False)] if root.is_dir() else []
    files = [file for folder in folders for file in list_files(folder, VIDEO_SUFFIXES)]
    if not files:
        raise wrong_tree(root, VIDEO_TREE)
    return [_read_video(file, file.relative_to(root).as_posix()) for file in files]


def _read_video(path: Path, name: str) -> Clip:
    times_ms = _time_frames(path)
    return Clip(
        name=name,
        stems=tuple(f"{i:06d}" for i in range(len(times_ms))),
        color=partial(_read_frame, path, times_ms),
    )


def _read_frame(path: Path, times_ms: tuple[float, ...], i: int) -> Tensor:
    if not 0 <= i < len(times_ms):
        raise IndexError(f"{path}: frame {i} of {len(times_ms)}")
    pixels = cv2.cvtColor(_open(path, times_ms).read(i), cv2.COLOR_BGR2RGB)
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).float() / 255


def _time_frames(path: Path) -> tuple[float, ...]:
    """When each frame is shown."""
    video, times_ms = _capture(path), []
    while video.grab():
        times_ms.append(video.get(cv2.CAP_PROP_POS_MSEC))
    if not times_ms:
        raise FrameError(f"{path}: a video without frames; export it again")
    return tuple(times_ms)


def _capture(path: Path) -> cv2.VideoCapture:
    video = cv2.VideoCapture(str(path))
    if not video.isOpened():
        raise FrameError(f"{path}: not a video that OpenCV can read; export it again, such as H.264 in .mp4")
    return video


@lru_cache(maxsize=OPEN_VIDEOS)
def _open(path: Path, times_ms: tuple[float, ...]) -> "_Player":
    return _Player(path, times_ms)


class _Player:
    """An open video, which remembers where it stands."""

    def __init__(self, path: Path, times_ms: tuple[float, ...]):
        self.path, self.times_ms = path, times_ms
        self.can_seek = len(set(times_ms)) == len(times_ms)
        self.video, self.grabbed = _capture(path), -1

    def read(self, i: int) -> np.ndarray:
        """Frame `i`, (H, W, 3) in BGR."""
        if not 0 <= i - self.grabbed <= NEAR_FRAMES and not self._seek(i):
            self.video, self.grabbed = _capture(self.path), -1
        while self.grabbed < i:
            self._grab()
        succeeded, pixels = self.video.retrieve()
        if not succeeded:
            raise FrameError(f"{self.path}: frame {i} cannot be decoded; export the video again")
        return pixels

    def _seek(self, i: int) -> bool:
        """Stand at frame `i`. OpenCV only estimates where that is: the time of the frame tells whether it was right."""
        if not self.can_seek or not self.video.set(cv2.CAP_PROP_POS_FRAMES, i) or not self.video.grab():
            return False
        self.grabbed = i
        return self.video.get(cv2.CAP_PROP_POS_MSEC) == self.times_ms[i]

    def _grab(self) -> None:
        if not self.video.grab():
            raise FrameError(f"{self.path}: ends after {self.grabbed + 1} frames; it has changed, read it again")
        self.grabbed += 1
