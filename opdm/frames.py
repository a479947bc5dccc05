"""Files <-> tensors, and the project's one tensor convention.

Outside the model frames are RGB, (B, C, H, W), float32, in [0, 1]; lines are (B, 1, H, W), 1 = paper, 0 = ink; flow
is (B, 2, H, W) in pixels, (dx, dy), from target to keyframe. Values are converted here, and where the denoiser is
entered and left. A single frame has no B.
"""

import io
import os
import secrets
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from opdm.errors import InputError

LUMINANCE = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
"""Rec. 601, as in every gray conversion of the tools that artists use."""


class FrameError(InputError):
    """An image that cannot be read or written: one line that names the file and the remedy."""


@dataclass(frozen=True)
class LineArt:
    """A drawing as it was read."""

    lines: Tensor
    """(1, H, W) in [0, 1], 1 = paper."""
    was_inverted: bool
    """The file had light lines on a dark ground."""


def read_frame(path: Path) -> Tensor:
    """Read an image as RGB (3, H, W) in [0, 1]; transparency becomes white paper. Raises FrameError."""
    color, alpha = _read(path)
    if alpha is not None:
        color = color * alpha + (1 - alpha)
    return color.expand(3, -1, -1).contiguous()


def read_layer(path: Path) -> Tensor:
    """Read an image as RGBA (4, H, W) in [0, 1], opaque where it says nothing of it. Raises FrameError."""
    color, alpha = _read(path)
    return torch.cat([color.expand(3, -1, -1), torch.ones_like(color[:1]) if alpha is None else alpha])


def read_lines(path: Path) -> LineArt:
    """Read a drawing: its luminance, light on dark turned over, tinted paper made white. Raises FrameError."""
    color, alpha = _read(path)
    gray = color if color.shape[0] == 1 else (color * LUMINANCE).sum(dim=0, keepdim=True)
    is_light_on_dark = _is_dark_ground(gray) if alpha is None else _is_light_on_nothing(gray, alpha)
    if alpha is not None:
        gray = gray * alpha + (0 if is_light_on_dark else 1 - alpha)
        is_light_on_dark = is_light_on_dark or _is_dark_ground(gray)
    if is_light_on_dark:
        gray = 1 - gray
    paper = gray.median()
    if 0.5 < paper < 1:
        gray = (gray / paper).clamp(max=1)
    return LineArt(gray, is_light_on_dark)


def _is_dark_ground(gray: Tensor) -> bool:
    """Most of the image and most of its border are dark; spotted blacks alone are not."""
    border = torch.cat([gray[0, 0], gray[0, -1], gray[0, :, 0], gray[0, :, -1]])
    return bool(gray.median() < 0.5 and border.median() < 0.5)


def _is_light_on_nothing(gray: Tensor, alpha: Tensor) -> bool:
    """Only light lines on transparent ground: on white paper they would vanish."""
    darkest = (gray * alpha + 1 - alpha).min()
    return bool(darkest > 0.5 and alpha.max() > 0.5 and alpha.mean() < 0.5)


def frame_size(path: Path) -> tuple[int, int]:
    """Height and width in pixels from the head of the file alone. Raises FrameError."""
    try:
        with open(path, "rb") as file, _silent_pillow(), Image.open(file) as image:
            # The general method: that of PNG reads all pixels in search of what may stand behind them.
            turned = Image.Image.getexif(image).get(0x0112, 1) in (5, 6, 7, 8)
            return (image.width, image.height) if turned else (image.height, image.width)
    except Exception:
        _, height, width = read_frame(path).shape
        return height, width


def _read(path: Path) -> tuple[Tensor, Tensor | None]:
    """Color (1 or 3, H, W) and alpha (1, H, W) or None, both in [0, 1]."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FrameError(f"{path}: cannot be read ({error.strerror}); check the name and the permissions") from error
    pixels = _to_tensor(_decode(path, data))
    channels = pixels.shape[0]
    return (pixels[:-1].contiguous(), pixels[-1:].contiguous()) if channels in (2, 4) else (pixels, None)


def _decode(path: Path, data: bytes) -> np.ndarray:
    """(H, W) or (H, W, C) of gray, gray + alpha, RGB or RGBA, with the depth that the file has."""
    if not data:
        raise FrameError(f"{path}: an empty file; export it again")
    try:
        # Pillow first: it refuses a truncated file, where OpenCV may return the part that is there.
        with _silent_pillow(), Image.open(io.BytesIO(data)) as image:
            keeps_depth = image.mode in ("RGB", "RGBA", "LA") and ";16" in str(image.tile)
            image.load()
            # Pillow has no color image of 16 bits.
            return _decode_deep(path, data) if keeps_depth else _pixels(ImageOps.exif_transpose(image))
    except UnidentifiedImageError:
        return _decode_deep(path, data)
    except FrameError:
        raise
    except Exception as error:  # decoders raise whatever they like for damaged data
        reason = " ".join(str(error).split()) or type(error).__name__
        raise FrameError(f"{path}: damaged or incomplete ({reason}); export it again") from error


def _decode_deep(path: Path, data: bytes) -> np.ndarray:
    with _silent_opencv():
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise FrameError(f"{path}: not an image that can be read; export it again as PNG")
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB)
    return pixels


@contextmanager
def _silent_pillow() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _silent_opencv() -> Iterator[None]:
    """OpenCV reports damaged files on stderr by itself; ours is the one line that a user should see."""
    logging = getattr(cv2.utils, "logging", cv2)  # OpenCV 5 moved it
    level = logging.getLogLevel()
    logging.setLogLevel(0)
    try:
        yield
    finally:
        logging.setLogLevel(level)


def _pixels(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)
    if image.mode == "I":
        return np.asarray(image).clip(0, 65535).astype(np.uint16)
    if image.mode == "F":
        return np.asarray(image, dtype=np.float32)
    if image.has_transparency_data:
        return np.asarray(image.convert("RGBA"))
    return np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB"))


def _to_tensor(pixels: np.ndarray) -> Tensor:
    """(H, W) or (H, W, C) of any depth -> (C, H, W) float32 in [0, 1]."""
    largest = {"uint8": 255, "uint16": 65535}.get(pixels.dtype.name, 1)
    planes = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(planes, dtype=np.float32)).div_(largest).nan_to_num_().clamp_(0, 1)


def write_frame(path: Path, frame: Tensor) -> None:
    """Write gray (1, H, W), RGB (3, H, W) or RGBA (4, H, W) in [0, 1] with 8 bits, in the format of the suffix.

    The file appears complete or not at all; missing folders are made. Raises FrameError, or OSError from the disk.
    """
    pixels = np.ascontiguousarray(to_8_bit(frame))
    to_bgr = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}.get(frame.shape[0])
    check_image_name(path)
    write_pixels(path, pixels if to_bgr is None else cv2.cvtColor(pixels, to_bgr))


def write_pixels(path: Path, pixels: np.ndarray) -> None:
    """Write (H, W) or (H, W, C), channels as OpenCV has them, with the depth that they have; as `write_frame`."""
    encoded = cv2.imencode(path.suffix, pixels)[1]
    with replacing(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def check_image_name(path: Path) -> None:
    """Raise FrameError for a suffix that `write_frame` cannot write."""
    if not cv2.haveImageWriter(f"image{path.suffix}"):
        raise FrameError(f"{path}: no image format is called {path.suffix!r}; take .png")


def to_8_bit(frame: Tensor) -> np.ndarray:
    """(C, H, W) in [0, 1] -> (H, W, C) uint8, rounded to the nearest level."""
    return frame.detach().float().cpu().clamp(0, 1).mul(255).round_().byte().permute(1, 2, 0).numpy()


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file that appears complete or not at all; missing folders are made."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` that becomes `path` when the block ends well, and is removed when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays: writers of videos choose their format by it.
    temporary = path.with_name(f".opdm-{secrets.token_hex(6)}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def resize(frame: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring (..., H, W) in [0, 1] to `size`, (height, width): means over areas to shrink, bicubic to enlarge."""
    height, width = size
    if frame.shape[-2:] == size:
        return frame
    shrinks = height * width < frame.shape[-2] * frame.shape[-1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    planes = frame.float().reshape(-1, *frame.shape[-2:]).numpy()
    resized = np.stack([cv2.resize(plane, (width, height), interpolation=method) for plane in planes])
    return torch.from_numpy(resized).clamp_(0, 1).reshape(*frame.shape[:-2], height, width)


def pad_to_multiple(frame: Tensor, multiple: int) -> Tensor:
    """Extend (..., H, W) to the right and below, repeating the edge, until both sides are multiples."""
    right, below = -frame.shape[-1] % multiple, -frame.shape[-2] % multiple
    if not right and not below:
        return frame
    planes = frame.reshape(-1, *frame.shape[-2:]).float()  # replication knows no integers
    planes = F.pad(planes, (0, right, 0, below), mode="replicate").to(frame.dtype)
    return planes.reshape(*frame.shape[:-2], *planes.shape[-2:])
