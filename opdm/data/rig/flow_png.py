"""Flow in PNGs of 16 bits, as KITTI has it (Menze & Geiger 2015, development kit): exact to 1/128 px."""

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from opdm.errors import InputError
from opdm.frames import FrameError

STEPS_PER_PX, ZERO = 64.0, 1 << 15
LONGEST_PX = 511.0


def write_flow(path: Path, flow_px: np.ndarray) -> None:
    """Write (H, W, 2) in pixels, (dx, dy). Raises InputError for vectors that the format cannot hold."""
    longest = float(np.abs(flow_px).max(initial=0))
    if not longest <= LONGEST_PX:
        raise InputError(
            f"{path}: motion of {longest:.0f} px, at most {LONGEST_PX:.0f} can be kept; take a smaller size"
        )
    steps = np.round(flow_px * STEPS_PER_PX + ZERO).astype(np.uint16)
    is_valid = np.ones((*steps.shape[:2], 1), np.uint16)
    # Red, green and blue are dx, dy and validity; OpenCV wants them the other way round.
    pixels = np.ascontiguousarray(np.concatenate([steps, is_valid], axis=2)[..., ::-1])
    path.write_bytes(cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 3])[1].tobytes())


def read_flow(path: Path) -> Tensor:
    """(2, H, W) float32 in pixels, (dx, dy). Raises FrameError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FrameError(f"{path}: cannot be read ({error.strerror}); check the name and the permissions") from error
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    if pixels is None or pixels.dtype != np.uint16 or pixels.shape[2:] != (3,):
        raise FrameError(f"{path}: not flow in a PNG of 3 x 16 bits; get it again")
    steps = pixels[..., :0:-1].astype(np.float32).transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray((steps - ZERO) / STEPS_PER_PX))
