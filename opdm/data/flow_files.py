"""Optical flow as data sets publish it: Middlebury's .flo, and Blender's vector pass in OpenEXR."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from opdm.data.exr import read_exr
from opdm.frames import FrameError

FLO_TAG = np.float32(202021.25).tobytes()


def read_flo(path: Path) -> Tensor:
    """(2, H, W) in pixels, (dx, dy), from a .flo file (Baker et al. 2011, Middlebury). Raises FrameError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FrameError(f"{path}: cannot be read ({error.strerror}); check the name and the permissions") from error
    if data[:4] != FLO_TAG or len(data) < 12:
        raise FrameError(f"{path}: not a .flo file; get it again")
    width, height = np.frombuffer(data, "<i4", count=2, offset=4).tolist()
    if len(data) < 12 + 8 * width * height:
        raise FrameError(f"{path}: {len(data)} bytes are too few for {width} x {height} vectors; get it again")
    flow = np.frombuffer(data, "<f4", count=2 * width * height, offset=12).reshape(height, width, 2)
    return torch.from_numpy(np.ascontiguousarray(flow.transpose(2, 0, 1)))


def read_vector_pass(path: Path, *, forward: bool) -> Tensor:
    """(2, H, W) in pixels, (dx, dy), to the next frame or to the one before, from Blender's vector pass.

    The pass has four channels, saved as X Y Z W or R G B A: the first two lead to the frame before, the others, with
    the opposite sign, to the next; y points up (BlenderProc's FlowRendererUtility). Raises FrameError.
    """
    channels = {name.rpartition(".")[2]: values for name, values in read_exr(path).items()}
    for names in ("XYZW", "RGBA"):
        if set(names) <= set(channels):
            dx, dy = (channels[name].astype(np.float32) for name in (names[2:] if forward else names[:2]))
            return torch.from_numpy(np.stack([-dx, dy] if forward else [dx, -dy]))
    raise FrameError(f"{path}: has the channels {' '.join(channels)}; a vector pass has X Y Z W or R G B A")
