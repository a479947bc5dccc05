"""Optical flow behind one call: every estimator that `correspondence.py` compares, by name.

A model is asked for as NAME[@lines][=WEIGHTS]. Estimators of pictures see color frames, or the drawings with `@lines`.

    zero                          nothing moves: the rival that needs no estimator
    dis, farneback                OpenCV, on the luminance of pictures
    dis-ink, dis-distance         OpenCV's DIS on either encoding of drawings of `opdm.flow`
    raft-small, raft-large        torchvision; WEIGHTS is a file or the name of a set of its weights
    ptlflow:NAME=WEIGHTS          any model of ptlflow; WEIGHTS is a file or the name of a checkpoint of that model
    offsets=FOLDER                the offset estimator in a pipeline's folder: the mean offset, read as flow
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from opdm.errors import InputError
from opdm.flow import dense_inverse_search, encode_lines, flow_tensor
from opdm.frames import LUMINANCE, pad_to_multiple
from opdm.metrics import motion
from opdm.published_weights import load_weights

RAFT_UPDATES = 32
"""As the evaluation that comes with AnimeRun has it; torchvision's own default is 12."""
RAFT_SMALLEST = 128
"""Its correlation pyramid has no fourth level for smaller pictures."""


@dataclass(frozen=True)
class View:
    """What an estimator may see of a frame."""

    color: Tensor
    """(3, H, W) in [0, 1]."""
    lines: Tensor | None
    """(1, H, W) in [0, 1], 1 = paper; None where the data set has no drawings."""


@dataclass(frozen=True)
class FlowModel:
    """An estimator that is ready to run."""

    sees: str
    """What it looks at, for the reader of a table."""
    estimate: Callable[[View, View], Tensor]
    """(source, target) -> (2, H, W) float32 on the CPU, pixels (dx, dy) from source to target."""
    settings: str
    """Everything else that decides its numbers, in one phrase."""

    @property
    def needs_lines(self) -> bool:
        """Whether its views must have drawings."""
        return "lines" in self.sees


@dataclass(frozen=True)
class Request:
    """NAME[:VARIANT][@lines][=WEIGHTS], taken apart."""

    text: str
    name: str
    variant: str
    on_lines: bool
    weights: str


PictureFlow = Callable[[Tensor, Tensor], Tensor]
"""Two pictures (3, H, W) in [0, 1] to the flow between them, (2, H, W)."""


def load_flow_model(text: str, device: str = "cpu") -> FlowModel:
    """The model of that name with its weights. Raises InputError where either is not to be had."""
    front, _, weights = text.partition("=")
    on_lines = front.endswith("@lines")
    name, _, variant = front.removesuffix("@lines").partition(":")
    request = Request(text, name, variant, on_lines, weights)
    if name not in FLOW_MODELS:
        raise InputError(f"no flow model is called {text}; there are {', '.join(FLOW_MODELS)} (ptlflow:NAME=WEIGHTS)")
    if variant and name != "ptlflow":
        raise InputError(f"{text}: only ptlflow has models within; take {name}")
    if weights and name not in LEARNED:
        raise InputError(f"{text}: {name} has no weights; take {front}")
    if on_lines and name not in OF_PICTURES:
        raise InputError(f"{text}: {name} does not choose what it sees; only {', '.join(OF_PICTURES)} do")
    return FLOW_MODELS[name](request, device)


def zero(request: Request, device: str) -> FlowModel:
    """Nothing moves."""
    return FlowModel("nothing", lambda source, target: torch.zeros(2, *source.color.shape[-2:]), "no motion")


def dis(request: Request, device: str) -> FlowModel:
    """Kroeger et al. 2016, on the luminance of pictures."""

    return of_pictures(request, motion.dis().estimate, f"OpenCV {cv2.__version__}, preset medium")


def farneback(request: Request, device: str) -> FlowModel:
    """Farnebäck 2003, on the luminance of pictures; the parameters of OpenCV's own example."""

    def flow(source: Tensor, target: Tensor) -> Tensor:
        start = np.zeros((*source.shape[-2:], 2), np.float32)
        found = cv2.calcOpticalFlowFarneback(to_gray(source), to_gray(target), start, 0.5, 3, 15, 3, 5, 1.2, 0)
        return flow_tensor([np.asarray(found)])[0]

    return of_pictures(request, flow, f"OpenCV {cv2.__version__}, 3 levels of half size, window 15, 3 iterations")


def dis_of_drawings(request: Request, device: str) -> FlowModel:
    """The flow that paints in this package: DIS on blurred ink, or on the distance to ink."""
    encoding = ("dis-ink", "dis-distance").index(request.name)

    def estimate(source: View, target: View) -> Tensor:
        assert source.lines is not None and target.lines is not None, "views were checked against needs_lines"
        images = (encode_lines(view.lines)[encoding] for view in (source, target))
        return flow_tensor([dense_inverse_search(*images)])[0]

    return FlowModel("lines", estimate, f"OpenCV {cv2.__version__}, preset medium, encoding {encoding} of opdm.flow")


def raft(request: Request, device: str) -> FlowModel:
    """Teed and Deng 2020, by torchvision; never with random weights."""
    from torchvision.models import optical_flow

    make, sets = {
        "raft-small": (optical_flow.raft_small, optical_flow.Raft_Small_Weights),
        "raft-large": (optical_flow.raft_large, optical_flow.Raft_Large_Weights),
    }[request.name]
    chosen = sets.__members__.get(request.weights or "DEFAULT")
    file = Path(request.weights) if chosen is None else None
    state = load_weights(request.text, (chosen or sets.DEFAULT).url, file)
    network = make(weights=None)
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        message = f"{request.text}: {request.weights} has not the weights of torchvision's {request.name}"
        raise InputError(message) from error
    network.eval().to(device)

    @torch.no_grad()
    def flow(source: Tensor, target: Tensor) -> Tensor:
        pictures, crop = pad_both_sides(torch.stack([source, target]) * 2 - 1, multiple=8, smallest=RAFT_SMALLEST)
        pictures = pictures.to(device)
        predictions = network(pictures[:1], pictures[1:], num_flow_updates=RAFT_UPDATES)
        return predictions[-1][0].float().cpu()[crop]

    settings = request.weights if chosen is None else f"torchvision's {chosen.name}"
    return of_pictures(request, flow, f"{settings}, {RAFT_UPDATES} updates")


def ptlflow_model(request: Request, device: str) -> FlowModel:
    """Any model of ptlflow (https://ptlflow.readthedocs.io), with a checkpoint by name or file."""
    try:
        import ptlflow
    except ImportError as error:
        raise InputError(f"{request.text}: needs ptlflow: pip install 'opdm[flow]'") from error
    try:
        checkpoints = getattr(ptlflow.get_model_reference(request.variant), "pretrained_checkpoints", {})
    except ValueError as error:
        raise InputError(
            f"{request.text}: ptlflow {ptlflow.__version__} has no model called {request.variant!r}; "
            "see python -c 'import ptlflow; print(*ptlflow.get_model_names())'"
        ) from error
    if not request.weights:
        names = ", ".join(checkpoints) or "none of its own"
        raise InputError(f"{request.text}: say which weights, {request.text}=CHECKPOINT; there are {names}, or a file")
    try:
        network = ptlflow.get_model(request.variant, ckpt_path=request.weights)
    except Exception as error:  # downloads, files and models each fail in their own way
        remedy = f"download {url} and give the file" if (url := checkpoints.get(request.weights)) else "give a file"
        raise InputError(f"{request.text}: {one_line(error)}; {remedy}: ptlflow:{request.variant}=FILE") from error
    network.eval().to(device)

    @torch.no_grad()
    def flow(source: Tensor, target: Tensor) -> Tensor:
        # Its models expect OpenCV's order of channels, and pad for themselves.
        pictures = torch.stack([source, target]).flip(1)[None].to(device)  # (1, 2, 3, H, W)
        return network({"images": pictures})["flows"][0, 0].float().cpu()

    return of_pictures(request, flow, f"ptlflow {ptlflow.__version__}, checkpoint {request.weights}")


def offsets(request: Request, device: str) -> FlowModel:
    """The offset estimator of a trained model: the mean over its kernel (equation 1) at the finest level."""
    from opdm.adapters import OffsetAdapter
    from opdm.pipeline import OPDMPipeline
    from opdm.warp import mean_offset_px

    if not request.weights:
        raise InputError("offsets: say whose, offsets=FOLDER; scripts/train.py offset-pretraining makes such a folder")
    adapter = OPDMPipeline.from_pretrained(request.weights).model.adapter
    if not isinstance(adapter, OffsetAdapter):
        raise InputError(f"{request.text}: this model has no offset estimator; take one with model.adapter.kind offset")
    estimator = adapter.estimator.float().eval().to(device)
    multiple = 2 ** (len(estimator.levels) - 1)

    @torch.no_grad()
    def estimate(source: View, target: View) -> Tensor:
        assert source.lines is not None, "views were checked against needs_lines"
        height, width = source.color.shape[-2:]
        lines, keyframe = (pad_to_multiple(picture, multiple)[None] * 2 - 1 for picture in (source.lines, target.color))
        finest = estimator(lines.to(device), keyframe.to(device))[0]
        return mean_offset_px(finest)[0, :, :height, :width].float().cpu()

    return FlowModel("lines of the source, color of the target", estimate, "mean offset of the finest level")


FLOW_MODELS: dict[str, Callable[[Request, str], FlowModel]] = {
    "zero": zero,
    "dis": dis,
    "farneback": farneback,
    "dis-ink": dis_of_drawings,
    "dis-distance": dis_of_drawings,
    "raft-small": raft,
    "raft-large": raft,
    "ptlflow": ptlflow_model,
    "offsets": offsets,
}
OF_PICTURES = ("dis", "farneback", "raft-small", "raft-large", "ptlflow")
LEARNED = ("raft-small", "raft-large", "ptlflow", "offsets")


def of_pictures(request: Request, flow: PictureFlow, settings: str) -> FlowModel:
    """An estimator of pictures, shown color frames or drawings as the request says."""

    def estimate_on_lines(source: View, target: View) -> Tensor:
        assert source.lines is not None and target.lines is not None, "views were checked against needs_lines"
        return flow(source.lines.expand(3, -1, -1), target.lines.expand(3, -1, -1))

    if request.on_lines:
        return FlowModel("lines", estimate_on_lines, settings)
    return FlowModel("color", lambda source, target: flow(source.color, target.color), settings)


def to_gray(picture: Tensor) -> np.ndarray:
    """(3, H, W) in [0, 1] -> (H, W) uint8 luminance."""
    return (picture * LUMINANCE).sum(dim=0).mul(255).round().byte().numpy()


def pad_both_sides(pictures: Tensor, *, multiple: int, smallest: int) -> tuple[Tensor, tuple]:
    """(..., C, H, W) with repeated borders, as RAFT's evaluation pads, and the slices that undo it."""
    starts, padding = [], []
    for length in pictures.shape[-2:]:
        wanted = max(smallest, length + -length % multiple)
        starts.append((wanted - length) // 2)
        padding.append((starts[-1], wanted - length - starts[-1]))
    padded = F.pad(pictures, (*padding[1], *padding[0]), mode="replicate")
    crops = (slice(start, start + length) for start, length in zip(starts, pictures.shape[-2:], strict=True))
    return padded, (..., *crops)


def one_line(error: Exception) -> str:
    """What an exception says, without line breaks."""
    return " ".join(str(error).split()) or type(error).__name__
