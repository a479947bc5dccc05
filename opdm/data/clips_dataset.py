"""Clips of any data set as training samples."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from opdm.config import ClipsDataConfig
from opdm.data.cel_dataset import make_cel_shot
from opdm.data.clips import Clip, read_clips
from opdm.data.clips.clip import OfPair
from opdm.data.clips.trees import list_images
from opdm.data.sample import Frame
from opdm.data.shot_dataset import ShotDataset, TrueShot
from opdm.frames import read_frame, read_layer, resize
from opdm.lines import CLASSICAL, extract_lines
from opdm.motion import resize_flow

SHORTEST = 3
"""Frames of a clip that has a drawing between two keyframes."""
PICTURE_VIEWS = 1.5
"""Shorter side of a background, in sides of the window that looks at it."""
HELD_OUT_GROUPS = 10
"""One in so many groups of clips is kept for validation, unless the configuration names some."""


@dataclass(frozen=True)
class Pan:
    """A picture under a camera that moves evenly."""

    path: Path
    start: tuple[float, float]
    step: tuple[float, float]
    """Where the view begins and how far it goes from frame to frame, down and to the right, in its own sides."""

    def picture(self, i: int, side: int) -> Tensor:
        """What frame i shows of it, (3, side, side); it is mirrored where it ends."""
        image = _read_picture(self.path, round(PICTURE_VIEWS * side))
        y, x = (side * (start + i * step) for start, step in zip(self.start, self.step, strict=True))
        matrix = np.array([[1, 0, -x], [0, 1, -y]])
        view = cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        return torch.from_numpy(view).permute(2, 0, 1).contiguous()


@lru_cache(maxsize=4)
def _read_picture(path: Path, shorter_side: int) -> np.ndarray:
    """(H, W, 3) in [0, 1], brought to a size."""
    picture = read_frame(path)
    scale = shorter_side / min(picture.shape[1:])
    size = round(picture.shape[1] * scale), round(picture.shape[2] * scale)
    return np.ascontiguousarray(resize(picture, size).permute(1, 2, 0).numpy())


@dataclass(frozen=True, kw_only=True)
class Window:
    """Part of a clip, of the size that is trained on: as `TrueShot` has it."""

    clip: Clip
    places: tuple[int, ...]
    """Frames of the clip, forward or backward."""
    size: tuple[int, int]
    """(Height, width) that frames are brought to before they are cropped."""
    top: int
    left: int
    side: int
    extractor: str
    """Of the lines, where the clip has none."""
    is_mirrored: bool = False
    channels: tuple[int, ...] = (0, 1, 2)
    """Which channel becomes red, green and blue."""
    behind: Pan | None = None
    """What shows where frames are transparent."""

    def __len__(self) -> int:
        return len(self.places)

    def frame(self, i: int) -> Frame:
        """Frame i; regions are not trained on and left out."""
        place = self.places[i]
        if self.behind is None or self.clip.paths is None:
            color = self._cut(resize(self.clip.color(place), self.size))
        else:
            layer = read_layer(self.clip.paths[place])
            layer[:3] *= layer[3:]  # what is transparent has some color, too, which must not seep in
            figure, alpha = self._cut(resize(layer, self.size)).split([3, 1])
            color = (figure + (1 - alpha) * self.behind.picture(i, self.side)).clamp(0, 1)
        if self.clip.lines is None:
            lines = extract_lines(color[None], self.extractor)[0]
        else:
            lines = self._cut(resize(self.clip.lines(place), self.size))
        return Frame(color[list(self.channels)], lines, torch.zeros(self.side, self.side, dtype=torch.int32))

    def flow_px(self, i: int, j: int) -> Tensor:
        """True flow where the data have it, else zero."""
        flow_px = self._of_pair(self.clip.flow_px, i, j)
        if flow_px is None:
            return torch.zeros(2, self.side, self.side)
        flow_px = self._cut(resize_flow(flow_px[None], self.size)[0])
        return flow_px * torch.tensor([-1.0 if self.is_mirrored else 1.0, 1.0])[:, None, None]

    def is_occluded(self, i: int, j: int) -> Tensor:
        """True occlusion where the data have it; else all of the frame, so that nothing learns from the zero flow."""
        hidden = None if self.clip.flow_px is None else self._of_pair(self.clip.is_occluded, i, j)
        if hidden is None:
            return torch.ones(self.side, self.side, dtype=torch.bool)
        return self._cut(resize(hidden[None].float(), self.size))[0] > 0.5

    def _of_pair(self, source: OfPair | None, i: int, j: int) -> Tensor | None:
        """What the clip knows of frame i with respect to frame j, if it does."""
        try:
            return None if source is None else source(self.places[i], self.places[j])
        except KeyError:
            return None

    def _cut(self, image: Tensor) -> Tensor:
        """The window of an image (C, H, W)."""
        window = image[:, self.top : self.top + self.side, self.left : self.left + self.side]
        return (window.flip(-1) if self.is_mirrored else window).contiguous()


class ClipsDataset(ShotDataset):
    """Windows of clips, forward and backward, mirrored and recolored; some of the shots may be generated."""

    config: ClipsDataConfig

    def __init__(self, config: ClipsDataConfig, **options: Any):
        super().__init__(config, **options)
        cache = None if config.cache is None else Path(config.cache)
        clips = read_clips(config.layout, Path(config.root), cache=cache, lines=config.lines)
        self.trained, self.kept = split_clips(clips, config)
        self.backgrounds = [] if config.backgrounds is None else list_pictures(Path(config.backgrounds))

    def make_shot(self, random: np.random.Generator, *, is_held_out: bool) -> TrueShot:
        """Some frames of some clip, or a generated shot; held-out ones are as the data set has them."""
        config = self.config
        if not is_held_out and random.random() < config.generated_share:
            return make_cel_shot(config, random)
        window = self._choose_window(self.kept if is_held_out else self.trained, random)
        if is_held_out:
            return window
        is_reversed, is_mirrored = (random.random(2) < 0.5).tolist()
        is_recolored = random.random() < config.recolored_share
        return replace(
            window,
            places=window.places[::-1] if is_reversed else window.places,
            is_mirrored=is_mirrored,
            channels=tuple(random.permutation(3).tolist()) if is_recolored else window.channels,
        )

    def _choose_window(self, clips: Sequence[Clip], random: np.random.Generator) -> Window:
        """A square somewhere in some frames of some clip."""
        clip = clips[int(random.integers(len(clips)))]
        gap = min(2 + int(random.integers(self.config.longest_gap - 1)), len(clip) - 1)
        start = int(random.integers(len(clip) - gap))
        height, width = clip.color(start).shape[-2:]
        side = int(random.integers(self.config.shot_sizes[0], self.config.shot_sizes[1] + 1))
        scale = side / min(height, width)
        size = max(round(height * scale), side), max(round(width * scale), side)
        return Window(
            clip=clip,
            places=tuple(range(start, start + gap + 1)),
            size=size,
            top=int(random.integers(size[0] - side + 1)),
            left=int(random.integers(size[1] - side + 1)),
            side=side,
            extractor=str(random.choice(list(CLASSICAL))),
            behind=self._choose_background(random) if self.backgrounds else None,
        )

    def _choose_background(self, random: np.random.Generator) -> Pan:
        """A picture at rest or moving by up to a tenth of the view from frame to frame."""
        path = self.backgrounds[int(random.integers(len(self.backgrounds)))]
        top, left = random.uniform(0, PICTURE_VIEWS - 1, 2).tolist()
        down, right = (random.uniform(-0.1, 0.1, 2) * (random.random() < 0.6)).tolist()
        return Pan(path, (top, left), (0.3 * down, right))


def list_pictures(folder: Path) -> list[Path]:
    """The images directly in a folder. Raises ValueError where there is none."""
    pictures = list(list_images(folder).values()) if folder.is_dir() else []
    if not pictures:
        raise ValueError(f"data.backgrounds: {folder} holds no pictures; give a folder of paintings")
    return pictures


def split_clips(clips: Sequence[Clip], config: ClipsDataConfig) -> tuple[list[Clip], list[Clip]]:
    """The clips to train on and those for validation: whole groups, by the first part of their names (a character, a
    film), so that nothing that is validated on was seen.

    Raises ValueError where one of the two would be empty.
    """
    usable = [clip for clip in clips if len(clip) >= SHORTEST]
    if not usable:
        raise ValueError(f"data.root: {config.root} has no clip of {SHORTEST} frames; give clips of at least as many")
    groups = sorted({clip.name.split("/")[0] for clip in usable})
    beginnings = config.held_out or tuple(f"{group}/" for group in groups[::HELD_OUT_GROUPS])
    kept = [clip for clip in usable if f"{clip.name}/".startswith(beginnings)]
    trained = [clip for clip in usable if not f"{clip.name}/".startswith(beginnings)]
    if not kept or not trained:
        names = ", ".join(groups[:8])
        raise ValueError(
            f"data.held_out: {', '.join(beginnings)} leaves {len(trained)} clips to train on and {len(kept)} for "
            f"validation; name the clips to keep by how they begin, of {names}"
        )
    return trained, kept
