"""Lines for keyframes that came without a drawing, as whoever drew the shot would have drawn them: learned from it.

Ours. Nobody says how the drawings of a shot were made, and extractors differ in what they outline. But next to a
keyframe there is a drawing of nearly the same: once aligned with it, each of its pixels is an example of what becomes
of the colors there. From these a small regression learns to draw, the keyframe is drawn anew, and is aligned better.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from opdm.backdrop import hide_backdrop
from opdm.flow import dense_inverse_search, encode_lines, flow_tensor
from opdm.frames import resize
from opdm.line_style import busiest_window, choose_extractor
from opdm.lines import Extractor, Inked, Pencil, XDoG
from opdm.motion import resize_flow
from opdm.warp import backward_warp, forward_backward_error_px, sample

SCALES = (0.5, 0.5, 0.5, 1, 1, 1, 2, 2)
"""Of the drawings when they are aligned, one for each round: coarse while the lines are not alike yet."""
EXAMPLES = 10_000
"""Pixels of each drawing to learn from."""
INK_PX, INKED, ELSEWHERE = 2, 0.1, 0.15
"""Pixels so near to ink of that coverage are likely examples; how likely all others are, for most are empty paper."""
HIDDEN = 128
"""Random features."""
RIDGE = 1e-4
"""Of the mean square of the features."""
SATURATION_STEPS, FARTHEST = 40, 5.0
"""How often, and how far, what is paper or ink in any case is let go beyond 0 and 1."""
BETTER = 0.9
"""What is learned must disagree with the drawings by less than this share of what the extractor before it does."""
DISAGREEING = 0.25
"""And by less than this; else the figures had moved too far to learn from them."""
ALIKE = 0.02
"""A keyframe's own drawing that disagrees less with the one beside it is by the same hand in any case."""
FOREIGN = 0.8
"""And it is not where what is learned disagrees by less than this share of what it does: about 1 or more where both are
by one hand, else a half or less, if the figures did not move far."""
ODDEST = 5.0
"""Standard deviations beyond which a response tells nothing more."""
SMALL_PX = 384
"""Shorter side of frames that may have been larger, and wider, when their lines were drawn: benchmarks bring those of a
film to a square."""
STRIP_PX, REACH_PX = 2**17, 20
"""Pixels that are drawn at once, and how far the responses of one reach."""
FIXED: tuple[Extractor, ...] = (
    XDoG(sigma_px=0.4),
    XDoG(),
    XDoG(sigma_px=1),
    Pencil(),
    Inked(),
    Inked(fills_from_px=5, threshold=0.3, strength=4),
)
"""Extractors whose lines are among the responses: a shot drawn by one of them is drawn by it again."""

Image = np.ndarray
"""(H, W) float32."""


@dataclass(frozen=True)
class LearnedExtractor:
    """Ink by a linear function of responses and of random features of theirs (Rahimi and Recht 2008)."""

    respond: Callable[[Tensor], Tensor]
    """Gives the responses (C, H, W) of a frame (3, H, W)."""
    mean: Tensor
    """(C,) of the responses."""
    deviation: Tensor
    """(C,)."""
    weights: Tensor
    """(1 + C + HIDDEN,): of a constant, the responses and the features."""

    def __call__(self, frames: Tensor) -> Tensor:
        """Lines of (B, 3, H, W) frames in [0, 1]: (B, 1, H, W) in [0, 1], 1 = paper."""
        return torch.stack([self._draw(frame) for frame in frames.detach().float().cpu()]).to(frames.device)

    def _draw(self, frame: Tensor) -> Tensor:
        height, width = frame.shape[1:]
        rows = max(1, STRIP_PX // width)  # the responses of a large frame at once would take a gibibyte
        strips = []
        for top in range(0, height, rows):
            first, last = max(top - REACH_PX, 0), min(top + rows + REACH_PX, height)
            strips.append(self.draw(self.respond(frame[:, first:last])[:, top - first :][:, :rows]))
        return torch.cat(strips, dim=1)

    def draw(self, responses: Tensor) -> Tensor:
        """Lines (1, H, W) in [0, 1], 1 = paper, of a frame's responses (C, H, W)."""
        ink = torch.cat([self._predict(part) for part in responses.flatten(1).split(STRIP_PX, dim=1)])
        return 1 - ink.clamp(0, 1).view(1, *responses.shape[1:])

    def _predict(self, responses: Tensor) -> Tensor:
        """The ink (N,) of pixels with responses (C, N), not kept to what ink can be."""
        normal, hidden = expand(responses, self.mean, self.deviation)
        constant, linear, random = self.weights.split([1, len(normal), HIDDEN])
        return constant + linear @ normal + random @ hidden


def trace_keyframes(colors: Sequence[Tensor], drawing: Tensor) -> list[Tensor]:
    """Lines (1, H, W) of keyframes (3, H, W) in the style of a drawing (1, H, W) between them, a painting left out."""
    figures = [hide_backdrop(color, [other for other in colors if other is not color], drawing) for color in colors]
    extract = learn_extractor(figures, [drawing] * len(figures))
    return [extract(figure[None])[0] for figure in figures]


def is_by_hand_of(drawing: Tensor, own: Tensor, trace: Callable[[], Tensor]) -> bool:
    """Whether a keyframe's own lines serve better than what `trace` draws of it by the hand of a drawing beside it.

    drawing, own and what is traced, if it must be: (1, H, W) in [0, 1].
    """
    before = disagreement(*busiest_window(own, drawing))
    if before < ALIKE:
        return True
    return disagreement(*busiest_window(trace(), drawing)) > min(FOREIGN * before, DISAGREEING)


def learn_extractor(frames: Sequence[Tensor], drawings: Sequence[Tensor]) -> Extractor:
    """The extractor that draws painted frames as the drawings of the same shot are drawn.

    frames: (3, H, W) each; drawings: one (1, H, W) for each frame, of a moment close to it and of its size; all in
    [0, 1]. It is the one of `choose_extractor` where what is learned is not clearly better, and where there is nothing
    to learn from. Raises ValueError for unequal numbers or sizes.
    """
    chosen = choose_extractor(frames, drawings)
    pairs = [busiest_window(frame, drawing) for frame, drawing in zip(frames, drawings, strict=True)]
    seen, windows = zip(*pairs, strict=True)
    if all((window > 1 - INKED).all() for window in windows):
        return chosen
    answer = respond_finely if min(frames[0].shape[1:]) <= SMALL_PX else respond
    responses = [answer(frame) for frame in seen]
    lines = [chosen(frame[None])[0] for frame in seen]
    before = sum(map(disagreement, lines, windows))
    for turn, scale in enumerate(SCALES):
        examples = [
            take_examples(*example, scale=scale, seed=turn) for example in zip(responses, windows, lines, strict=True)
        ]
        learned = learn(answer, *(torch.cat(parts, dim=-1) for parts in zip(*examples, strict=True)))
        lines = [learned.draw(response) for response in responses]
    after = sum(map(disagreement, lines, windows))
    return learned if after < min(BETTER * before, DISAGREEING * len(pairs)) else chosen


def take_examples(
    responses: Tensor, drawing: Tensor, lines: Tensor, *, scale: float, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Responses (C, N) of a frame, the drawing's ink (N,) there, and what each example counts (N,).

    responses (C, H, W); drawing (1, H, W); lines (1, H, W) of the frame, by which it is aligned with the drawing.
    """
    flow_px, error_px = align(drawing, lines, scale)
    ink = 1 - drawing
    kernel = np.ones((2 * INK_PX + 1,) * 2, np.uint8)
    inked = torch.maximum(ink, backward_warp(1 - lines[None], flow_px[None])[0])[0]
    near = torch.from_numpy(cv2.dilate(inked.numpy(), kernel) > INKED)
    chance = torch.where(near, 1, ELSEWHERE).flatten()
    generator = torch.Generator().manual_seed(seed)
    likely = chance * torch.exp(-error_px.flatten()) + torch.finfo().tiny
    taken = torch.multinomial(likely, min(EXAMPLES, len(likely)), generator=generator)
    width = ink.shape[-1]
    x, y = taken % width + flow_px[0].flatten()[taken], taken // width + flow_px[1].flatten()[taken]
    places_px = torch.stack([x, y])[None, :, None]  # (1, 2, 1, N)
    return sample(responses[None], places_px)[0, :, 0], ink.flatten()[taken], 1 / chance[taken]


def align(drawing: Tensor, lines: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """The flow (2, H, W) from a drawing to a frame's lines (1, H, W) in pixels, and its forward-backward error (H, W).

    Of the flows by both encodings the one that leads back better; searched at so many times the size.
    """
    size = drawing.shape[-2], drawing.shape[-1]
    searched = max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)
    pairs = list(zip(encode_lines(resize(drawing, searched)), encode_lines(resize(lines, searched)), strict=True))
    there = [dense_inverse_search(*pair) for pair in pairs]
    back = [dense_inverse_search(other, own, -flow) for (own, other), flow in zip(pairs, there, strict=True)]
    flow_px = flow_tensor(there)
    error_px = forward_backward_error_px(flow_px, flow_tensor(back))  # (2, 1, h, w)
    best = torch.where(error_px[1] < error_px[0], flow_px[1], flow_px[0])
    return resize_flow(best[None], size)[0], resize_flow(error_px.amin(dim=0, keepdim=True), size)[0, 0]


def disagreement(lines: Tensor, drawing: Tensor) -> float:
    """1 minus the correlation of a drawing (1, H, W) with a frame's lines aligned with it, where motion leads back.

    Not the squared difference: where figures moved too far to be aligned, that would be least without any lines.
    """
    flow_px, error_px = align(drawing, lines, 1)
    weights = torch.exp(-error_px)
    moved = backward_warp(lines[None], flow_px[None])[0, 0]
    one, other = (image - (image * weights).sum() / weights.sum() for image in (drawing[0], moved))
    common, own, others = ((a * b * weights).sum() for a, b in ((one, other), (one, one), (other, other)))
    return 1 - float(common / (own * others).sqrt().clamp(min=1e-6))


def learn(respond: Callable[[Tensor], Tensor], responses: Tensor, ink: Tensor, counts: Tensor) -> LearnedExtractor:
    """By ridge regression of the ink (N,) on responses (C, N) of that kind, each example counting so much (N,).

    Ink ends at 0 and 1. What is predicted to be beyond counts as met, as in censored regression (Tobin 1958), so that
    lines may be as sharp as they are: the system is solved anew with the prediction as its own target there.
    """
    mean, deviation = responses.mean(dim=1), responses.std(dim=1) + 1e-3
    features = torch.cat([torch.ones(1, len(ink)), *expand(responses, mean, deviation)])
    exact = features.double()  # sums of single precision may leave a matrix that is not positive definite
    gram = exact * counts @ exact.T
    gram += RIDGE * gram.diagonal().mean() * torch.eye(len(gram))
    factor = torch.linalg.cholesky(gram)
    target, weights = ink, torch.zeros(len(gram))
    for _ in range(SATURATION_STEPS):
        weights = torch.cholesky_solve((features @ (counts * target))[:, None].double(), factor).float()[:, 0]
        predicted = weights @ features
        target = torch.where((ink > 0.99) & (predicted > 1), predicted.clamp(max=FARTHEST), ink)
        target = torch.where((ink < 0.01) & (predicted < 0), predicted.clamp(min=1 - FARTHEST), target)
    return LearnedExtractor(respond, mean, deviation, weights)


def expand(responses: Tensor, mean: Tensor, deviation: Tensor) -> tuple[Tensor, Tensor]:
    """Responses (C, N), normalized, and random features (HIDDEN, N) of them."""
    normal = (responses - mean[:, None]).div_(deviation[:, None]).clamp_(-ODDEST, ODDEST)
    generator = torch.Generator().manual_seed(0)
    count = len(normal)
    directions = torch.randn(count, HIDDEN, generator=generator) * math.sqrt(3 / count)
    offsets = torch.rand(HIDDEN, generator=generator) * 2 - 1
    return normal, torch.addmm(offsets[:, None], directions.T, normal).relu_()


def respond(frame: Tensor) -> Tensor:
    """What may tell of a line at each pixel of a frame (3, H, W) in [0, 1], (C, H, W); of `REACH_PX` around it."""
    extracted = [1 - extract(frame[None])[0, 0] for extract in FIXED]
    return torch.stack([*extracted, *(torch.from_numpy(image) for image in _filter(frame.numpy()))])


def respond_finely(frame: Tensor) -> Tensor:
    """The same of the frame (3, H, W) as it is and at twice its width, (2 C, H, W): as wide it may have been drawn."""
    height, width = frame.shape[1:]
    wide = [cv2.resize(channel, (2 * width, height), interpolation=cv2.INTER_CUBIC) for channel in frame.numpy()]
    enlarged = torch.from_numpy(np.stack(wide)).clamp(0, 1)
    return torch.cat([respond(frame), F.avg_pool2d(respond(enlarged), (1, 2))])


def _filter(frame: np.ndarray) -> Iterator[Image]:
    """Responses of filters that line extractors are made of."""
    gray = np.tensordot(np.array([0.299, 0.587, 0.114], np.float32), frame, axes=1)
    for measure, amounts in MEASURES.items():
        for amount in amounts:
            yield measure(gray, amount)
            yield np.max([measure(np.ascontiguousarray(channel), amount) for channel in frame], axis=0)
    for side in (3, 5, 7):
        yield gray / (cv2.dilate(gray, _square(side)) + 0.02)
    for side in (5, 9, 15):
        yield cv2.blur(gray, (side, side), borderType=cv2.BORDER_REPLICATE) - gray
    yield gray


def _darker(image: Image, sigma_px: float) -> Image:
    return _blur(image, 2 * sigma_px) - _blur(image, sigma_px)


def _below(image: Image, sigma_px: float) -> Image:
    return _blur(image, sigma_px) - image


def _slope(image: Image, sigma_px: float) -> Image:
    image = _blur(image, sigma_px)
    across, down = cv2.Sobel(image, cv2.CV_32F, 1, 0), cv2.Sobel(image, cv2.CV_32F, 0, 1)
    return np.sqrt(across**2 + down**2) / 4  # cv2.magnitude differs in its last bit from call to call


def _narrow(image: Image, side: float) -> Image:
    return _close(image, side) - image


def _coverage(image: Image, side: float) -> Image:
    return 1 - image / (_close(image, side) + 0.05)


def _rise(image: Image, side: float) -> Image:
    return cv2.dilate(image, _square(side)) - image


def _fall(image: Image, side: float) -> Image:
    return image - cv2.erode(image, _square(side))


MEASURES: dict[Callable[[Image, float], Image], tuple[float, ...]] = {
    _darker: (0.5, 0.8, 1.2, 2.0),
    _below: (3.0, 6.0),
    _slope: (0.5, 1.0, 1.5),
    _narrow: (3, 5, 9, 15),
    _coverage: (3, 5, 9, 15),
    _rise: (3, 5, 7),
    _fall: (3, 5, 7),
}
"""Each with its widths in pixels: standard deviations, or sides of a square. Of lightness, and of the color channel
that has most of it."""


def _blur(image: Image, sigma_px: float) -> Image:
    side = 2 * math.ceil(3 * sigma_px) + 1
    return cv2.GaussianBlur(image, (side, side), sigma_px, borderType=cv2.BORDER_REPLICATE)


def _close(image: Image, side: float) -> Image:
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (int(side), int(side)))
    return cv2.morphologyEx(image, cv2.MORPH_CLOSE, brush, borderType=cv2.BORDER_REPLICATE)


def _square(side: float) -> np.ndarray:
    return np.ones((int(side), int(side)), np.uint8)
