"""Animate still artwork: `python scripts/animate_artwork.py --figures FOLDER --backgrounds FOLDER --output clips/`.

Painted characters act before painted backgrounds under a camera, and each frame is compressed as in a video: a stand-in
for commercial animation, of art that may be used. `opdm.data.clips.read_clips("clips", OUTPUT)` reads the clips. They
are complete or absent; the same command continues what was stopped.
"""

import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import tyro
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from opdm.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

CAMERAS = {"rest": (0, 0, 0, 0), "pan": (0.06, 0.06, 0, 0), "zoom": (0, 0, 0.12, 0), "turn": (0.06, 0.06, 0.12, 0.04)}
"""How far each moves: right and down in widths of the frame, in size as a share of it, in angle in radians."""
SEQUENCE = ("rest", "rest", "pan", "zoom", "turn")
"""The cameras of the clips, in turn."""
SPARE = 1.6
"""Size of a background, in that of the frame, so that the camera finds paint wherever it goes."""
ACTING = (0.08, 0.08, 0.06, 0.04, 0.15)
"""How far figures move: right and down in heights of the frame, tilt in radians, size as a share, head in radians."""
HOLDS, LIVELINESS = (1, 1, 2, 3), (0.3, 1.2)
"""For how many frames a drawing is held, each as likely; what a figure's motion is multiplied by, least and most."""
TALLEST, CROWN = (1.15, 2.0), (-0.05, 0.2)
"""Height and upper end of figures in heights of the frame, whose lower edge cuts them, as in most talking shots."""
NECK, NECK_SOFTNESS = 0.23, 0.04
"""How far below its upper end a figure's head turns, and how softly that ends there, in heights of the figure."""
PUSHES, PUSH, PUSH_RADIUS = 4, 0.02, 0.09
"""Soft displacements that stand for limbs, hair and cloth: how many, how far and how wide, in heights of the figure."""
DETAIL = 2
"""Figures are kept so many times as large as they are drawn: lines would flicker as they move by parts of a pixel."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Clips of animated artwork."""

    figures: Path
    """Folder of characters with nothing around them (PNG); FIGURE_happy.png and FIGURE_sad.png are one figure."""
    backgrounds: Path
    """Folder of images to stand in front of."""
    output: Path
    """Folder for the clips."""
    clips: int = 10
    """How many."""
    frames: int = 17
    """Frames of each clip; at least 3."""
    size: tuple[int, int] = (640, 360)
    """Width and height of frames in pixels, 64 to 4096."""
    seed: int = 0
    """A clip is made from this number and its own."""
    quality: int = 90
    """Of the JPEG compression of each frame, 1 to 100; 100 leaves frames as they are drawn."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, 2 for a bad request, told in one line, or 130 when interrupted."""
    options = tyro.cli(Options, args=arguments, description=__doc__)
    try:
        animate(options)
    except (InputError, OSError) as error:
        print(f"animate_artwork: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("animate_artwork: interrupted; finished clips stay, and the same command continues", file=sys.stderr)
        return 130
    return 0


def animate(options: Options) -> None:
    """Make the clips that are missing. Raises InputError."""
    check(options)
    from opdm.data.clips.cache import record

    grounds, figures = list_artwork(options.backgrounds), group(list_artwork(options.figures))
    for files in figures:
        read_figure(files)  # tells what is wrong with any of them before the first clip
    # How many clips there are may change: others join those that are there.
    common = {name: value for name, value in vars(options).items() if name not in ("output", "clips")}
    record(options.output / "settings.txt", ", ".join(f"{name} {value}" for name, value in common.items()))
    folders = [options.output / f"{i:02d}_{SEQUENCE[i % len(SEQUENCE)]}" for i in range(options.clips)]
    names = [f"{i:04d}.png" for i in range(options.frames)]
    missing = [i for i, folder in enumerate(folders) if not all((folder / name).is_file() for name in names)]
    for i in tqdm(missing, desc="animated", unit="clip", disable=None, file=sys.stderr):
        write_clip(folders[i], draw_clip(i, options, figures, grounds), options.quality)
    print(f"{options.output}: {options.clips - len(missing)} clips were there, {len(missing)} are animated")


def check(options: Options) -> None:
    """Raise InputError for numbers that no clip can be made with."""
    limits = {"clips": (1, 9999), "frames": (3, 9999), "size": (64, 4096), "seed": (0, 2**32 - 1), "quality": (1, 100)}
    for name, (least, most) in limits.items():
        values = np.atleast_1d(getattr(options, name))
        if values.min() < least or values.max() > most:
            raise InputError(f"--{name} {' '.join(map(str, values))}: give {least} to {most}")


def list_artwork(folder: Path) -> list[Path]:
    """The images of a folder. Raises InputError where there are none."""
    from opdm.data.clips.trees import list_files

    files = list_files(folder)
    if not files:
        problem = "no images there" if folder.is_dir() else "no such folder"
        raise InputError(f"{folder}: {problem}; give a folder of painted images")
    return files


def group(files: Sequence[Path]) -> list[list[Path]]:
    """The expressions of each figure: files that share everything before the last `_` of their names."""
    figures: dict[str, list[Path]] = {}
    for file in files:
        figures.setdefault(file.stem.rpartition("_")[0] or file.stem, []).append(file)
    return list(figures.values())


def read_figure(files: Sequence[Path]) -> "Tensor":
    """A figure's expressions (K, 4, H, W), RGB times alpha and alpha, cut to what is painted. Raises InputError."""
    import torch

    from opdm.frames import read_layer

    layers = [read_layer(file) for file in files]
    for file, layer in zip(files, layers, strict=True):
        if layer[3].min() == 1 or layer[3].max() == 0:
            problem = "opaque" if layer[3].any() else "empty"
            raise InputError(f"{file}: {problem}; export the figure as PNG with transparency around it")
        if layer.shape != layers[0].shape:
            raise InputError(f"{file}: not as large as {files[0].name}; export a figure's expressions in one size")
    figure = torch.stack(layers)
    rows, columns = (figure[:, 3].amax(dim=(0, other)).nonzero() for other in (2, 1))
    figure = figure[:, :, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    return torch.cat([figure[:, :3] * figure[:, 3:], figure[:, 3:]], dim=1)


def write_clip(folder: Path, frames: Iterator[np.ndarray], quality: int) -> None:
    """Write (H, W, 3) frames, RGB in [0, 1], as a clip that is complete or not there at all."""
    from opdm.frames import write_pixels

    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        for i, frame in enumerate(frames):
            pixels = cv2.cvtColor(np.round(frame * 255).clip(0, 255).astype(np.uint8), cv2.COLOR_RGB2BGR)
            if quality < 100:
                file = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
                pixels = np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR))
            write_pixels(unfinished / f"{i:04d}.png", pixels)
        shutil.rmtree(folder, ignore_errors=True)  # lacks frames
        unfinished.replace(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def draw_clip(number: int, options: Options, figures: list[list[Path]], grounds: list[Path]) -> Iterator[np.ndarray]:
    """The frames of a clip, (H, W, 3) RGB in [0, 1]. Raises InputError."""
    random = np.random.default_rng((options.seed, number))
    camera = random_path(random, np.array(CAMERAS[SEQUENCE[number % len(SEQUENCE)]]))
    background = film(grounds[number % len(grounds)], camera, options.size)
    count = min(1 + number % 2, len(figures))
    chosen = random.choice(len(figures), size=count, replace=False)
    places = [random.uniform(0.25 + 0.5 * k / count, 0.25 + 0.5 * (k + 1) / count) for k in range(count)]
    cast = [act(random, read_figure(figures[i]), place, options) for i, place in zip(chosen, places, strict=True)]
    for i in range(options.frames):
        frame = background(i / (options.frames - 1))
        for figure in cast:
            layer = figure(i)
            frame = layer[..., :3] + frame * (1 - layer[..., 3:])
        yield frame


def random_path(random: np.random.Generator, reach: np.ndarray) -> Callable[[float], np.ndarray]:
    """A way with a gentle start and end, and a swing on it, for each of some values; about so far."""
    way, swing = random.normal(size=(2, *reach.shape)) * reach
    turns, phase = random.uniform(0.3, 1, reach.shape), random.uniform(0, 2 * np.pi, reach.shape)
    return lambda time_01: (
        way * (time_01**2 * (3 - 2 * time_01) - 0.5) + 0.6 * swing * np.sin(2 * np.pi * turns * time_01 + phase)
    )


def film(file: Path, camera: Callable[[float], np.ndarray], size: tuple[int, int]) -> Callable[[float], np.ndarray]:
    """A background (H, W, 3) as a camera sees it in the course of a clip. Raises InputError."""
    from opdm.frames import read_frame, resize

    painting, (width, height) = read_frame(file), size
    scale = SPARE * max(width / painting.shape[2], height / painting.shape[1])
    painting = resize(painting, (round(scale * painting.shape[1]), round(scale * painting.shape[2])))
    pixels = np.ascontiguousarray(painting.permute(1, 2, 0).numpy())
    middle = pixels.shape[1] / 2, pixels.shape[0] / 2

    def look(time_01: float) -> np.ndarray:
        right, down, growth, angle = camera(time_01)
        matrix = cv2.getRotationMatrix2D(middle, np.degrees(angle), 1 + growth)
        matrix[:, 2] += (width / 2 + right * width - middle[0], height / 2 + down * width - middle[1])
        return cv2.warpAffine(pixels, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)

    return look


def act(random: np.random.Generator, figure: "Tensor", place: float, options: Options) -> Callable[[int], np.ndarray]:
    """A figure's layer (H, W, 4) in each frame, RGB times alpha and alpha; `place` is that of its neck, in widths."""
    from opdm.frames import resize

    (width, height), (rows, columns) = options.size, figure.shape[2:]
    tall_px = min(random.uniform(*TALLEST) * height, width * rows / columns)
    neck_px = complex(place * width, random.uniform(*CROWN) * height + NECK * tall_px)
    figure = resize(figure, (round(DETAIL * tall_px), max(round(DETAIL * tall_px * columns / rows), 1)))
    pictures = np.ascontiguousarray(figure.permute(0, 2, 3, 1).numpy())[random.permutation(len(figure))]
    hold = min(int(random.choice(HOLDS)), options.frames - 1)
    starts = np.arange(hold, options.frames, hold)
    changes = random.choice(starts, min(int(random.integers(1, 3)), len(starts)), replace=False)
    liveliness = random.uniform(*LIVELINESS)
    body = random_path(random, liveliness * np.array(ACTING))
    pushes = random_path(random, np.full((PUSHES, 2), liveliness * PUSH))
    centers = random.uniform(-0.4, 0.4, PUSHES) * columns / rows + 1j * (random.uniform(0.3, 0.7, PUSHES) - NECK)
    pixels = np.arange(width, dtype=np.float32) + 1j * np.arange(height, dtype=np.float32)[:, None]

    def draw(i: int) -> np.ndarray:
        time_01 = i // hold * hold / (options.frames - 1)
        right, down, tilt, growth, head = body(time_01).tolist()
        # Where each pixel lies in the figure: in its heights, from the neck, right + 1j * down.
        spot = (
            (pixels - neck_px - height * complex(right, down)) / (tall_px * (1 + growth)) * complex(np.exp(1j * tilt))
        )
        spot = spot * np.exp(0.5j * head * (1 - np.tanh(spot.imag / NECK_SOFTNESS)))
        for center, push in zip(centers.tolist(), (pushes(time_01) @ (1, 1j)).tolist(), strict=True):
            spot = spot + push * np.exp(-(np.abs(spot - center) ** 2) / (2 * PUSH_RADIUS**2))
        picture = pictures[np.sum(changes <= i) % len(pictures)]
        tall, wide = picture.shape[:2]
        return cv2.remap(picture, spot.real * tall + wide / 2, (spot.imag + NECK) * tall, cv2.INTER_LINEAR)

    return draw


if __name__ == "__main__":
    sys.exit(main())
