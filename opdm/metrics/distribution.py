"""Distance between two sets of frames, whatever frame belongs to which: the Fréchet inception distance.

It depends on the number of frames, strongly below the 2,048 dimensions of its features: never compare two of different
numbers, and never two modes.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from opdm.errors import InputError
from opdm.frames import read_frame, to_8_bit
from opdm.published_weights import find_weights, load_weights

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}
BATCH = 16
FEATURES = 2048

INCEPTION = {
    "clean": "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt",
    "legacy_pytorch": "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
    "pt_inception-2015-12-05-6726825d.pth",
}
"""Two ports of the network of Heusel et al. 2017, with the ways to resize that belong to them (Parmar et al. 2022)."""

Extractor = Callable[[Tensor], Tensor]
"""(B, 3, 299, 299) in 0 to 255 -> (B, 2048)."""


def frechet_distance(features_a: Tensor, features_b: Tensor) -> float:
    """Fréchet distance of the normal distributions fitted to two sets of features; covariances divide by N - 1.

    features: (N, D) and (M, D), at least two each. |mean_a - mean_b|^2 + tr(A + B - 2 sqrt(A B)), where tr sqrt(A B) is
    the sum of the singular values of X Y^T for A = X^T X and B = Y^T Y: exact however few the features are, where the
    root of a singular matrix is not.
    """
    if features_a.ndim != 2 or features_b.ndim != 2 or features_a.shape[1] != features_b.shape[1]:
        raise ValueError(f"expected (N, D) and (M, D), got {tuple(features_a.shape)} and {tuple(features_b.shape)}")
    if min(len(features_a), len(features_b)) < 2:
        raise ValueError(f"a covariance needs at least two samples, got {len(features_a)} and {len(features_b)}")
    (mean_a, root_a), (mean_b, root_b) = (_mean_and_root(features.double()) for features in (features_a, features_b))
    shared = torch.linalg.svdvals(root_a @ root_b.T).sum()
    distance = (mean_a - mean_b).square().sum() + root_a.square().sum() + root_b.square().sum() - 2 * shared
    return float(distance.clamp(min=0))


def _mean_and_root(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (D,), and X of at most D rows with covariance X^T X."""
    mean = features.mean(dim=0)
    centered = (features - mean) / (len(features) - 1) ** 0.5
    return mean, torch.linalg.qr(centered, mode="r").R if len(features) > features.shape[1] else centered


def fid(dir_a: Path, dir_b: Path, mode: str, *, weights: Path | None = None, device: str = "cpu") -> float:
    """FID (Heusel et al. 2017) of the images in two folders and below, by clean-fid's `clean` or `legacy_pytorch`.

    weights: the file of that mode's network, where it cannot be downloaded. Raises InputError without it, without the
    package, or with fewer than two images in a folder.
    """
    files = [_list_images(Path(folder)) for folder in (dir_a, dir_b)]
    extract = load_extractor(mode, weights, device)
    return frechet_distance(*(read_features(images, mode, extract) for images in files))


def _list_images(folder: Path) -> list[Path]:
    images = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if len(images) < 2:
        raise InputError(f"{folder}: FID needs at least two images, found {len(images)}")
    return images


def read_features(files: Iterable[Path], mode: str, extract: Extractor) -> Tensor:
    """(N, 2048) features of image files, a batch in memory at a time."""
    resize = load_resizer(mode)
    files = list(files)
    batches = (files[start : start + BATCH] for start in range(0, len(files), BATCH))
    with torch.no_grad():
        return torch.cat([extract(torch.stack([resize(read_frame(path)) for path in batch])) for batch in batches])


def load_resizer(mode: str) -> Callable[[Tensor], Tensor]:
    """(3, H, W) in [0, 1], as 8-bit levels, -> (3, 299, 299) in 0 to 255, the way of a mode. Raises InputError."""
    _check_mode(mode)
    with _clean_fid():
        from cleanfid.resize import build_resizer

        resize = build_resizer(mode)
    return lambda frame: torch.from_numpy(resize(to_8_bit(frame))).permute(2, 0, 1)


def load_extractor(mode: str, weights: Path | None = None, device: str = "cpu") -> Extractor:
    """The network of a mode. Raises InputError where its weights or its package are missing."""
    _check_mode(mode)
    with _clean_fid():
        return {"clean": _load_clean, "legacy_pytorch": _load_legacy}[mode](weights, device)


def _load_clean(weights: Path | None, device: str) -> Extractor:
    """The network of Heusel et al. as TorchScript, with the arithmetic of clean-fid around it."""
    url = INCEPTION["clean"]
    path = find_weights("FID (clean)", url, weights)
    try:
        layers = torch.jit.load(str(path), map_location=device).eval().layers
    except Exception as error:  # archives fail in many ways
        raise InputError(f"FID (clean): {path} is not its TorchScript network; give the file of {url}") from error
    return lambda images: layers((images.to(device) - 128) / 128).view(-1, FEATURES).cpu()


def _load_legacy(weights: Path | None, device: str) -> Extractor:
    """The network of pytorch-fid."""
    from cleanfid import inception_pytorch

    url = INCEPTION["legacy_pytorch"]
    state = load_weights("FID (legacy_pytorch)", url, weights)
    published_loader = inception_pytorch.load_state_dict_from_url
    # The one way to hand the library a file: it asks for the state by this name.
    inception_pytorch.load_state_dict_from_url = lambda *_, **__: state
    try:
        network = inception_pytorch.InceptionV3([3], resize_input=False).eval().to(device)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise InputError(
            f"FID (legacy_pytorch): {weights} has not the weights of its network; give the file of {url}"
        ) from error
    finally:
        inception_pytorch.load_state_dict_from_url = published_loader
    return lambda images: network(images.to(device) / 255)[0].view(-1, FEATURES).cpu()


def _check_mode(mode: str) -> None:
    if mode not in INCEPTION:
        raise InputError(f"FID has no mode {mode!r}; there are {', '.join(INCEPTION)}")


@contextmanager
def _clean_fid() -> Iterator[None]:
    """For what uses clean-fid: a clear error without it, and none of its and its libraries' talk of deprecation.

    Nothing here imports its own distance, which needs SciPy and broke with version 1.18. Afterwards warnings are what
    they were: one of its resizers would switch them off in the whole process.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except ImportError as error:
            raise InputError("FID needs the package clean-fid: pip install 'opdm[eval]'") from error
