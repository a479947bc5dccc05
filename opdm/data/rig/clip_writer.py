"""A view of a motion as a clip on disk, as `opdm.data.clips` reads `rigs`: complete or not at all."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from opdm.data.clips.cache import write_regions
from opdm.data.rig.camera import Camera, frame_motion, view_angles
from opdm.data.rig.cel import Cel, find_occluded, make_cel
from opdm.data.rig.character import Character
from opdm.data.rig.flow_png import write_flow
from opdm.data.rig.posing import Motion
from opdm.data.rig.render import Landing, Pose, Renderer, Samples
from opdm.frames import read_frame, to_8_bit

REGION_SPREAD = 0x9E3779
"""Odd, so that multiples of different ids below 2^24 stay different, and look different."""


@dataclass(frozen=True)
class View:
    """One of several views of a motion."""

    index: int
    count: int
    size: int
    """Height and width of frames in pixels."""
    ground: Path | None
    """An image behind the character; white without one."""


def write_clip(folder: Path, character: Character, motion: Motion, view: View, about: dict[str, object]) -> None:
    """Render a view of a motion and write it, with `about` and the skeleton in clip.json. Raises InputError."""
    azimuth, elevation = view_angles(view.index, view.count)
    camera = frame_motion(motion.positions.reshape(-1, 3), azimuth, elevation, view.size)
    ground = _read_ground(view)
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        for name in FOLDERS:
            (unfinished / name).mkdir(parents=True)
        with Renderer(character, view.size) as renderer:
            _write_frames(unfinished, _draw(renderer, motion, camera), ground)
        joints = describe_joints(character, motion, camera)
        described = {**about, "azimuth": azimuth, "elevation": elevation, **joints}
        (unfinished / "clip.json").write_text(json.dumps(described), encoding="utf-8")
        unfinished.replace(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


FOLDERS = (
    *("color", "paint", "lines", "regions"),
    *("flow_forward", "flow_backward", "occluded_forward", "occluded_backward"),
)


def _read_ground(view: View) -> np.ndarray:
    """(H, W, 3) uint8: the image, cut to the middle and scaled to cover the frame."""
    if view.ground is None:
        return np.full((view.size, view.size, 3), 255, np.uint8)
    image = to_8_bit(read_frame(view.ground))
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    method = cv2.INTER_AREA if side > view.size else cv2.INTER_CUBIC
    return cv2.resize(image[top : top + side, left : left + side], (view.size, view.size), interpolation=method)


def _draw(renderer: Renderer, motion: Motion, camera: Camera) -> Iterator[tuple[Samples, Landing, Landing]]:
    last = len(motion) - 1
    for i in range(len(motion)):
        later, earlier = motion.positions[min(i + 1, last)], motion.positions[max(i - 1, 0)]
        yield renderer.draw(Pose(motion.positions[i], motion.normals[i], later, earlier), camera)


def _write_frames(folder: Path, frames: Iterator[tuple[Samples, Landing, Landing]], ground: np.ndarray) -> None:
    before: tuple[str, Samples, Landing] | None = None
    for i, (samples, later, earlier) in enumerate(frames):
        name = f"{i + 1:04d}.png"
        _write_cel(folder, name, make_cel(samples, ground))
        if before is not None:
            name_before, samples_before, later_before = before
            write_flow(folder / "flow_forward" / name_before, later_before.flow_px)
            write_flow(folder / "flow_backward" / name, earlier.flow_px)
            _write(folder / "occluded_forward" / name_before, 255 * find_occluded(later_before, samples))
            _write(folder / "occluded_backward" / name, 255 * find_occluded(earlier, samples_before))
        before = name, samples, later


def _write_cel(folder: Path, name: str, cel: Cel) -> None:
    _write(folder / "color" / name, cv2.cvtColor(cel.color, cv2.COLOR_RGB2BGR))
    _write(folder / "paint" / name, cv2.cvtColor(cel.paint, cv2.COLOR_RGB2BGR))
    _write(folder / "lines" / name, cel.lines)
    spread = (cel.regions.astype(np.int64) * REGION_SPREAD) & 0xFFFFFF
    write_regions(folder / "regions" / name, torch.from_numpy(spread))


def _write(path: Path, pixels: np.ndarray) -> None:
    path.write_bytes(cv2.imencode(".png", pixels.astype(np.uint8))[1].tobytes())


def describe_joints(character: Character, motion: Motion, camera: Camera) -> dict[str, object]:
    """Names, parents (-1: none) and pixel positions (T, J, 2) of the joints of a skeleton."""
    numbers = {joint: index for index, joint in enumerate(character.joints)}
    parents = []
    for joint in character.joints:
        above = character.nodes.parents[joint]
        while above >= 0 and above not in numbers:
            above = character.nodes.parents[above]
        parents.append(numbers.get(above, -1))
    return {
        "joints": [character.nodes.names[joint] for joint in character.joints],
        "parents": parents,
        "joints_px": np.round(camera.project(motion.joints), 2).tolist(),
    }
