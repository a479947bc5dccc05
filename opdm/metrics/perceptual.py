"""LPIPS (Zhang et al. 2018): distance of deep features, weighted by human judgment. Lower is better.

Reports of different networks are not comparable, so the network is part of the name: LPIPS-alex is the usual one.
"""

import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from opdm.errors import InputError
from opdm.published_weights import load_weights

TRUNKS = {
    "alex": "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    "vgg": "https://download.pytorch.org/models/vgg16-397923af.pth",
    "squeeze": "https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth",
}
"""ImageNet weights of torchvision; the weights that LPIPS itself learned come with its package."""


@torch.no_grad()
def lpips(prediction: Tensor, target: Tensor, *, net: str = "alex", weights: Path | None = None) -> Tensor:
    """LPIPS version 0.1 of the network `net` (alex, vgg or squeeze), mean over the frame; lower is better.

    prediction, target: (B, 3, H, W) in [0, 1]; the range is adjusted here. weights: a file of torchvision's weights of
    that network, where they cannot be downloaded. Returns (B,). Raises InputError without package or weights.
    """
    if prediction.shape != target.shape or prediction.ndim != 4 or prediction.shape[1] != 3:
        shapes = f"{tuple(prediction.shape)} and {tuple(target.shape)}"
        raise ValueError(f"frames must both be (B, 3, H, W), got {shapes}")
    network = load_network(net, weights).to(prediction.device)
    return network(prediction.float(), target.float(), normalize=True).flatten()


@lru_cache(maxsize=1)
def load_network(net: str, weights: Path | None = None) -> Any:
    """The `lpips.LPIPS` of a network with all of its weights. Raises InputError, see `lpips`."""
    if net not in TRUNKS:
        raise InputError(f"LPIPS knows no network {net!r}; there are {', '.join(TRUNKS)}")
    try:
        from lpips import LPIPS
    except ImportError as error:
        raise InputError("LPIPS needs the package lpips: pip install 'opdm[eval]'") from error
    state = load_weights(f"LPIPS-{net}", TRUNKS[net], weights)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it asks torchvision in a way that is out of date
        # Its own loader always downloads; a trunk that it made at random is filled here, or the state is refused.
        network = LPIPS(net=net, pnet_rand=True, verbose=False)
    trunk = network.net.state_dict()  # sliceK.LAYER.weight
    try:
        network.net.load_state_dict({name: state[f"features.{name.split('.', 1)[1]}"] for name in trunk})
    except (KeyError, RuntimeError, TypeError) as error:
        raise InputError(
            f"LPIPS-{net}: {weights} has not torchvision's weights; give those of {TRUNKS[net]}"
        ) from error
    return network.eval().requires_grad_(False)
