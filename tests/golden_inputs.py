"""Images that golden values were computed on, from specifications like ["jitter", ["cartoon", 1, 224, 224], 2, 12].

`numpy.random.RandomState` streams are frozen for good (NEP 19) and all arithmetic is on integers, so every machine
builds the same pixels; `content_hash` proves it.
"""

import hashlib

import numpy as np


def noise(seed, height, width):
    return np.random.RandomState(seed).randint(0, 256, size=(height, width, 3), dtype=np.uint8)


def const(rgb, height, width):
    return np.tile(np.uint8(rgb), (height, width, 1))


def cartoon(seed, height, width, discs=12):
    """Flat discs with black outlines on a flat ground. Drawn per disc, in this order: x, y, radius, color."""
    random = np.random.RandomState(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.int64)
    image = const(random.randint(0, 256, size=3), height, width)
    side = min(height, width)
    for _ in range(discs):
        center_x, center_y = int(random.randint(0, width)), int(random.randint(0, height))
        radius = int(random.randint(side // 16, side // 4 + 1))
        color = random.randint(0, 256, size=3)
        squared_distance = (x - center_x) ** 2 + (y - center_y) ** 2
        image[squared_distance <= radius * radius] = color
        image[(squared_distance > (radius - 1) ** 2) & (squared_distance <= (radius + 1) ** 2)] = 0
    return image


def jitter(image, seed, amplitude):
    change = np.random.RandomState(seed).randint(-amplitude, amplitude + 1, size=image.shape)
    return np.clip(image.astype(np.int64) + change, 0, 255).astype(np.uint8)


def shift(image, amount):
    return np.clip(image.astype(np.int64) + amount, 0, 255).astype(np.uint8)


def swap(image):
    return np.ascontiguousarray(image[:, :, ::-1])


def negative(image):
    return 255 - image


BUILDERS = {builder.__name__: builder for builder in (noise, const, cartoon, jitter, shift, swap, negative)}


def build(specification):
    """(H, W, 3) uint8 of [builder, *arguments]; an argument that is itself a specification is built first."""
    name, *arguments = specification
    return BUILDERS[name](*(build(value) if is_specification(value) else value for value in arguments))


def is_specification(value):
    return isinstance(value, list) and value[0] in BUILDERS


def content_hash(image):
    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()[:16]


def wave_flow(seed, height, width, amplitude):
    """(2, H, W) float64: one wave across each axis and a constant. Drawn in this order: two phases, two constants."""
    random = np.random.RandomState(seed)
    phase_x, phase_y = random.random_sample(2) * 2 * np.pi
    constant_x, constant_y = random.random_sample(2) * 4 - 2
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    dx = amplitude * np.sin(2 * np.pi * x / width + phase_x) + constant_x
    dy = amplitude * np.cos(2 * np.pi * y / height + phase_y) + constant_y
    return np.stack([dx, dy])


def constant_flow(dx, dy, height=96, width=128):
    """(2, H, W) float64."""
    return np.tile(np.array([dx, dy], np.float64)[:, None, None], (1, height, width))


def moving_square():
    """Two 96 x 128 frames in which a square moves by (6, 4), and the flows forward and backward, (2, 96, 128)."""
    frames = [cartoon(81, 96, 128) for _ in range(2)]
    flows = [np.zeros((2, 96, 128)) for _ in range(2)]
    for frame, flow, top, left, sign in zip(frames, flows, (30, 34), (40, 46), (1, -1), strict=True):
        frame[top : top + 20, left : left + 20] = [200, 40, 90]
        flow[0, top : top + 20, left : left + 20], flow[1, top : top + 20, left : left + 20] = 6 * sign, 4 * sign
    return *frames, *flows
