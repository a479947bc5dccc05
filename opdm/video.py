"""A shot as a video file, to look at in motion."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from torch import Tensor

from opdm.errors import InputError
from opdm.frames import FrameError, replacing, resize, to_8_bit

CODECS = {".mp4": "mp4v", ".mov": "mp4v", ".avi": "MJPG"}
"""What OpenCV's own wheels can write; H.264 is in none of them."""


def check_video_name(path: Path) -> None:
    """Raise InputError for a kind of file that cannot be written."""
    if path.suffix.lower() not in CODECS:
        raise InputError(f"{path}: videos are written as {' '.join(CODECS)}; give one of these endings")


def write_video(path: Path, frames: Iterable[Tensor], fps: float) -> None:
    """Write (3, H, W) frames in [0, 1], all at the first one's size; the file appears complete or not at all.

    Raises FrameError when this OpenCV cannot write it or cannot open what it wrote.
    """
    check_video_name(path)
    with replacing(path) as temporary:
        count = _encode(temporary, frames, fps)
        if not count or not _opens(temporary):
            raise FrameError(f"{path}: this OpenCV writes no such video; try another ending ({' '.join(CODECS)})")


def _encode(path: Path, frames: Iterable[Tensor], fps: float) -> int:
    """The number of frames written, 0 when the writer does not open."""
    writer, size, count = None, None, 0
    try:
        for frame in frames:
            size = size or (frame.shape[-2], frame.shape[-1])
            pixels = _even(cv2.cvtColor(np.ascontiguousarray(to_8_bit(resize(frame, size))), cv2.COLOR_RGB2BGR))
            if writer is None:
                codec = cv2.VideoWriter.fourcc(*CODECS[path.suffix.lower()])
                writer = cv2.VideoWriter(str(path), codec, fps, pixels.shape[1::-1])
                if not writer.isOpened():
                    return 0
            writer.write(pixels)
            count += 1
    finally:
        if writer is not None:
            writer.release()
    return count


def _even(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) with even sides, which video codecs want; an odd one has its last row or column twice."""
    height, width = pixels.shape[:2]
    return cv2.copyMakeBorder(pixels, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)


def _opens(path: Path) -> bool:
    video = cv2.VideoCapture(str(path))
    try:
        return bool(video.isOpened() and video.read()[0])
    finally:
        video.release()
