"""Line art by published networks: Sketch-Keras, Anime2Sketch and Informative Drawings.

The layers have the names and shapes of the published checkpoints, which load as they are. No weights come with this
package, and there are no random ones: an extractor without its weights says where they are published.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from textwrap import shorten
from typing import cast

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
from safetensors.torch import load_file
from torch import Tensor, nn

from opdm.errors import InputError
from opdm.frames import to_8_bit


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A file of weights, and where it is to be had."""

    extractor: str
    published: str
    """File and page of the authors."""
    hub: tuple[str, str]
    """Repository and file of a copy on the hub."""

    @property
    def kept_at(self) -> Path:
        """Where a file that was fetched by hand is found: in PyTorch's own folder, which TORCH_HOME moves."""
        return Path(torch.hub.get_dir()) / "checkpoints" / f"{self.extractor}.pth"

    def find(self, file: Path | None) -> Path:
        """The file given; or the one kept; or that of the hub, downloaded once. Raises InputError."""
        if file is not None:
            if not Path(file).is_file():
                raise InputError(f"{self.extractor}: no file {file}; give {self.published}")
            return Path(file)
        if self.kept_at.is_file():
            return self.kept_at
        try:
            return fetch(*self.hub)
        except Exception as error:  # networks, proxies and disks fail in many ways
            raise InputError(
                f"{self.extractor}: no weights (the hub gives none: {_first_line(error)}); "
                f"fetch {self.published}, and put it at {self.kept_at}"
            ) from error

    def load(self, file: Path | None) -> dict[str, Tensor]:
        """The state of the network, without executing what a pickle may hold. Raises InputError."""
        path = self.find(file)
        try:
            state = load_file(path) if path.suffix == ".safetensors" else _load_pickle(path)
            # Saved from several devices at once, names begin so.
            return {name.removeprefix("module."): tensor for name, tensor in state.items()}
        except Exception as error:
            raise self.unusable(path, error) from error

    def unusable(self, path: Path, error: Exception) -> InputError:
        """The error of a file that is something else."""
        return InputError(
            f"{self.extractor}: {path} is not its checkpoint ({_first_line(error)}); give {self.published}"
        )


def _load_pickle(path: Path) -> dict[str, Tensor]:
    return torch.load(path, map_location="cpu", weights_only=True)


def _first_line(error: Exception) -> str:
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return shorten(line, 120, placeholder=" ...")


def fetch(repository: str, file: str) -> Path:
    """A file of the hub, downloaded once. Raises whatever networks raise."""
    kept = try_to_load_from_cache(repository, file)
    if isinstance(kept, str):
        return Path(kept)
    # Fails at once where there is no way to the hub; the download would try again for half a minute.
    get_hf_file_metadata(hf_hub_url(repository, file), timeout=10)
    return Path(hf_hub_download(repository, file))


@lru_cache(maxsize=3)
def _build(network: Callable[[], nn.Module], checkpoint: Checkpoint, file: Path | None) -> nn.Module:
    """A network with its weights, read once. Raises InputError."""
    state = checkpoint.load(file)
    # Without memory of its own: the tensors of the file become the parameters.
    with torch.device("meta"):
        built = network()
    try:
        built.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        raise checkpoint.unusable(checkpoint.find(file), error) from error
    return built.float().eval().requires_grad_(False)


@dataclass(frozen=True, kw_only=True)
class SketchKeras:
    """Sketch-Keras (L. Zhang, github.com/lllyasviel/sketchKeras), in the weights of its PyTorch port by higumax.

    Each color channel, less its blur, is a picture of its own; the strongest answer of the three is the ink. Runs at
    512 px on the longer side, as published.
    """

    weights: Path | None = None
    """A local `model.pth` or .safetensors; None looks in PyTorch's folder of checkpoints, then on the hub."""
    threshold: float = 0.1
    """Ink that is still paper."""

    def __call__(self, frame: Tensor) -> Tensor:
        """Lines of (B, 3, H, W) frames in [0, 1]: (B, 1, H, W) in [0, 1], 1 = paper. Raises InputError."""
        network = _build(SketchKerasNetwork, SKETCH_KERAS, self.weights).to(frame.device)
        return torch.stack([self._draw(network, one) for one in frame])

    def _draw(self, network: nn.Module, frame: Tensor) -> Tensor:
        channels = _high_pass(to_8_bit(frame))
        height, width = channels.shape[1:]
        canvas = np.zeros((3, 1, 512, 512), np.float32)
        canvas[:, 0, :height, :width] = channels
        with torch.inference_mode():
            ink = network(torch.from_numpy(canvas).to(frame.device)).amax(dim=0)[:, :height, :width]  # (1, h, w)
        ink = torch.where(ink < self.threshold, 0, ink).clamp(0, 1)
        return _resize(1 - ink[None], frame.shape[1:])[0]


@dataclass(frozen=True, kw_only=True)
class Anime2Sketch:
    """Anime2Sketch (X. Xiang et al., github.com/Mukosame/Anime2Sketch): a U-Net on frames squashed to a square."""

    weights: Path | None = None
    """A local `netG.pth` or .safetensors; None looks in PyTorch's folder of checkpoints, then on the hub."""
    size_px: int = 512
    """Side of the square, a multiple of 256; 512 as published."""

    def __call__(self, frame: Tensor) -> Tensor:
        """Lines of (B, 3, H, W) frames in [0, 1]: (B, 1, H, W) in [0, 1], 1 = paper. Raises InputError."""
        network = _build(Anime2SketchNetwork, ANIME2SKETCH, self.weights).to(frame.device)
        square = _resize(frame, (self.size_px, self.size_px))
        with torch.inference_mode():
            lines = (network(square * 2 - 1) + 1) / 2  # (B, 1, size, size)
        return _resize(lines, frame.shape[2:])


@dataclass(frozen=True, kw_only=True)
class InformativeDrawings:
    """Chan, Durand, Isola: Learning to generate line drawings that convey geometry and semantics (CVPR 2022).

    The paper of OPDM calls it CGSM. All styles that its authors published (`anime_style`, `contour_style`,
    `opensketch_style`) have one architecture.
    """

    weights: Path | None = None
    """A local `netG_A_latest.pth` or .safetensors; None looks in PyTorch's folder of checkpoints, then on the hub."""
    size_px: int = 256
    """Shorter side that the network sees; 256 as published, more gives finer lines."""

    def __call__(self, frame: Tensor) -> Tensor:
        """Lines of (B, 3, H, W) frames in [0, 1]: (B, 1, H, W) in [0, 1], 1 = paper. Raises InputError."""
        network = _build(InformativeNetwork, INFORMATIVE_DRAWINGS, self.weights).to(frame.device)
        scale = self.size_px / min(frame.shape[2:])
        height, width = (max(round(side * scale), self.size_px) for side in frame.shape[2:])
        with torch.inference_mode():
            # The network rounds sides up to multiples of 4.
            lines = network(_resize(frame, (height, width)))[..., :height, :width]
        return _resize(lines, frame.shape[2:])


NETWORK_EXTRACTORS: dict[str, Callable[[Tensor], Tensor]] = {
    "sketch-keras": SketchKeras(),
    "anime2sketch": Anime2Sketch(),
    "informative-drawings": InformativeDrawings(),
}
"""Those that need weights, with the options that were published."""

SKETCH_KERAS = Checkpoint(
    extractor="sketch-keras",
    published="model.pth as linked from github.com/higumax/sketchKeras-pytorch",
    hub=("tellurion/line_extractor", "model.pth"),
)
ANIME2SKETCH = Checkpoint(
    extractor="anime2sketch",
    published="netG.pth as linked from github.com/Mukosame/Anime2Sketch",
    hub=("lllyasviel/Annotators", "netG.pth"),
)
INFORMATIVE_DRAWINGS = Checkpoint(
    extractor="informative-drawings",
    published="anime_style/netG_A_latest.pth of the model.zip linked from github.com/carolineec/informative-drawings",
    hub=("ali-vilab/VACE-Annotators", "scribble/anime_style/netG_A_latest.pth"),
)


def _high_pass(image: np.ndarray) -> np.ndarray:
    """What Sketch-Keras sees of an (H, W, 3) uint8 image: (3, h, w) float32, the longer side 512, at most 1."""
    scale = 512 / max(image.shape[:2])
    height, width = (max(int(side * scale), 1) for side in image.shape[:2])
    # By area, as the original does; its port samples, and thin lines break.
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    details = small.astype(np.float32) - cv2.GaussianBlur(small, (0, 0), 3)
    # Nothing but flat color has no details to scale.
    return (details / max(details.max(), 1)).transpose(2, 0, 1)


def _resize(images: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """(B, C, H, W) in [0, 1] at another size, bicubic, with Pillow's smoothing where it shrinks."""
    resized = F.interpolate(images, tuple(size), mode="bicubic", antialias=True, align_corners=False)
    return resized.clamp(0, 1)


class SketchKerasNetwork(nn.Module):
    """(B, 1, H, W) details -> (B, 1, H, W) ink; sides are multiples of 16."""

    def __init__(self, width: int = 32):
        super().__init__()
        widths = [width * 2**level for level in range(5)]
        self.downblock_1 = nn.Sequential(*_conv(1, width, 3))
        for level in (1, 2, 3):
            down = [*_conv(widths[level - 1], widths[level], 4, stride=2), *_conv(widths[level], widths[level], 3)]
            self.add_module(f"downblock_{level + 1}", nn.Sequential(*down))
        self.downblock_5 = nn.Sequential(*_conv(widths[3], widths[4], 4, stride=2))
        self.downblock_6 = nn.Sequential(*_conv(widths[4], widths[4], 3))
        for level in (4, 3, 2, 1):
            wide, narrow = widths[level], widths[level - 1]
            up = [nn.Upsample(scale_factor=2), *_conv(2 * wide, wide, 4), *_conv(wide, narrow, 3)]
            self.add_module(f"upblock_{5 - level}", nn.Sequential(*up))
        self.last_pad = nn.ReflectionPad2d(1)
        self.last_conv = nn.Conv2d(2 * width, 1, 3)

    def forward(self, details: Tensor) -> Tensor:
        """Ink, about 0 to 1."""
        levels = [details]
        for number in range(1, 7):
            levels.append(self.get_submodule(f"downblock_{number}")(levels[-1]))
        features = torch.cat([levels[5], levels[6]], dim=1)  # (B, 32 w, H/16, W/16)
        for number in range(1, 5):
            features = self.get_submodule(f"upblock_{number}")(features)
            features = torch.cat([levels[5 - number], features], dim=1)
        return self.last_conv(self.last_pad(features))


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    # An even kernel at full size reaches a pixel further to the right and below.
    margin = (1, 2, 1, 2) if kernel == 4 and stride == 1 else 1
    pad = nn.ReflectionPad2d(cast(int, margin))
    return [pad, nn.Conv2d(inputs, outputs, kernel, stride), nn.BatchNorm2d(outputs, eps=1e-3), nn.ReLU()]


class Anime2SketchNetwork(nn.Module):
    """(B, 3, H, W) in [-1, 1] -> (B, 1, H, W) lines in [-1, 1]; sides are multiples of 256."""

    def __init__(self, width: int = 64):
        super().__init__()
        within: _SkipLevel | None = None
        for outer, inner in [(8, 8), (8, 8), (8, 8), (8, 8), (4, 8), (2, 4), (1, 2)]:
            within = _SkipLevel(outer * width, inner * width, within)
        assert within is not None
        self.model = nn.Module()
        self.model.model = nn.Sequential(
            nn.Conv2d(3, width, 4, 2, 1), within, nn.ReLU(), nn.ConvTranspose2d(2 * width, 1, 4, 2, 1), nn.Tanh()
        )

    def forward(self, frame: Tensor) -> Tensor:
        """Lines, 1 = paper."""
        return cast(nn.Sequential, self.model.model)(frame)


class _SkipLevel(nn.Module):
    """Half the size and back, with all levels below, beside what came in."""

    def __init__(self, outer: int, inner: int, within: "_SkipLevel | None"):
        super().__init__()
        below = [] if within is None else [nn.InstanceNorm2d(inner), within]
        self.model = nn.Sequential(
            nn.LeakyReLU(0.2),
            nn.Conv2d(outer, inner, 4, 2, 1),
            *below,
            nn.ReLU(),
            nn.ConvTranspose2d(inner if within is None else 2 * inner, outer, 4, 2, 1),
            nn.InstanceNorm2d(outer),
        )

    def forward(self, features: Tensor) -> Tensor:
        # As published, the activation works in place: what is handed on beside the levels below is activated too.
        activated = self.model[0](features)
        return torch.cat([activated, self.model[1:](activated)], dim=1)


class InformativeNetwork(nn.Module):
    """(B, 3, H, W) in [0, 1] -> (B, 1, H', W') lines in [0, 1]; the sides are rounded up to multiples of 4."""

    def __init__(self, width: int = 64):
        super().__init__()
        self.model0 = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7), nn.InstanceNorm2d(width), nn.ReLU())
        self.model1 = nn.Sequential(*self._halve(width), *self._halve(2 * width))
        self.model2 = nn.Sequential(*(_Residual(4 * width) for _ in range(3)))
        self.model3 = nn.Sequential(*self._double(4 * width), *self._double(2 * width))
        self.model4 = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(width, 1, 7), nn.Sigmoid())

    def _halve(self, width: int) -> list[nn.Module]:
        return [nn.Conv2d(width, 2 * width, 3, 2, 1), nn.InstanceNorm2d(2 * width), nn.ReLU()]

    def _double(self, width: int) -> list[nn.Module]:
        up = nn.ConvTranspose2d(width, width // 2, 3, 2, 1, output_padding=1)
        return [up, nn.InstanceNorm2d(width // 2), nn.ReLU()]

    def forward(self, frame: Tensor) -> Tensor:
        """Lines, 1 = paper."""
        return self.model4(self.model3(self.model2(self.model1(self.model0(frame)))))


class _Residual(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        convolutions: list[nn.Module] = []
        for _ in range(2):
            convolutions += [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width), nn.ReLU()]
        self.conv_block = nn.Sequential(*convolutions[:-1])  # nothing after the second normalization

    def forward(self, features: Tensor) -> Tensor:
        return features + self.conv_block(features)
