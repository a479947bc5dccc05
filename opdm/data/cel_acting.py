"""How a puppet moves: the angles of its joints over time, for a few kinds of action."""

from dataclasses import dataclass

import numpy as np

from opdm.data.cel_curves import Array, Complex, follow, key_poses

QUIET = 0.25
"""Below this speed nobody walks, waves or leaves."""
SIDES = (-1, 1)
"""Left and right in the picture."""


@dataclass(frozen=True)
class Build:
    """Proportions in head radii."""

    torso: float
    leg: float
    arm: float
    shoulder: float
    waist: float
    hip: float
    limb: float
    neck: float

    @property
    def height(self) -> float:
        """Of the whole figure, standing."""
        return self.torso + self.leg + self.neck + 2.5


@dataclass(eq=False)
class Acting:
    """Angles in radians, (T,) each; pairs are for the left and right side."""

    root: Complex
    """Pelvis, in head radii, relative to where the figure stands."""
    lean: Array
    bend: Array
    head: Array
    nod: Array
    yaw: Array
    body_yaw: Array
    shoulders: list[Array]
    elbows: list[Array]
    wrists: list[Array]
    hips: list[Array]
    knees: list[Array]
    breath: Array
    blink: Array
    mouth: Array
    gaze: Array


def choose_build(random: np.random.Generator) -> Build:
    """An adult, a child or a very small big-headed figure."""
    grown = float(random.choice([1.0, 0.8, 0.55], p=[0.6, 0.25, 0.15]))
    broad = random.uniform(0.85, 1.2)
    return Build(
        torso=random.uniform(2.6, 3.3) * grown,
        leg=random.uniform(3.8, 5.4) * grown,
        arm=random.uniform(3.0, 3.7) * grown,
        shoulder=random.uniform(0.85, 1.1) * broad * grown**0.5,
        waist=random.uniform(0.55, 0.75) * broad * grown**0.3,
        hip=random.uniform(0.7, 0.9) * broad * grown**0.4,
        limb=random.uniform(0.8, 1.1) * grown**0.4,
        neck=0.32 * grown,
    )


def act(random: np.random.Generator, times: Array, speed: float, build: Build) -> Acting:
    """One of the actions, at a speed of 1 for ordinary acting."""
    interval = float(np.clip(9 / max(speed, 0.05) ** 0.7, 4.5, 30))
    reach = float(np.clip(0.05 + 0.85 * speed, 0.05, 1.15))
    acting = gesture(random, times, interval, reach, build)
    kind = str(random.choice(["gesture", "walk", "run", "jump", "wave"], p=[0.46, 0.17, 0.12, 0.1, 0.15]))
    if speed < QUIET:
        return acting
    if kind in ("walk", "run"):
        stride(random, acting, times, speed, build, 1.0 if kind == "walk" else 1.7)
    elif kind == "jump":
        jump(random, acting, times, speed, build)
    elif kind == "wave":
        wave(random, acting, times, speed)
    return acting


def hold_pose(acting: Acting) -> None:
    """Everything stays as it is first but the face and one arm, which is how most of a dialogue is animated."""
    whole = (acting.root, acting.lean, acting.bend, acting.head, acting.nod, acting.yaw, acting.body_yaw, acting.breath)
    limbs = (*acting.hips, *acting.knees, acting.shoulders[0], acting.elbows[0], acting.wrists[0])
    for curve in (*whole, *limbs):
        curve[:] = curve[0]


def gesture(random: np.random.Generator, times: Array, interval: float, reach: float, build: Build) -> Acting:
    """Poses held and eased between: arms, lean, looks."""

    def poses(low: float, high: float, pace: float = 1.0) -> Array:
        middle = random.uniform(low, high)
        around = key_poses(random, times, low, high, interval * pace)
        return middle + reach * (around - middle)

    turned = random.uniform(-0.9, 0.9)
    yaw = np.clip(
        turned * (1 - min(reach, 0.7)) + reach * key_poses(random, times, -1.1, 1.1, interval * 1.2), -1.25, 1.25
    )
    sway = poses(-0.35, 0.35)
    knee = np.abs(poses(-0.5, 0.5, 1.5))
    return Acting(
        root=sway * 0.7 + 1j * knee**2 * 0.9,
        lean=poses(-0.16, 0.16),
        bend=poses(-0.35, 0.35),
        head=poses(-0.3, 0.3),
        nod=poses(-0.6, 0.6),
        yaw=yaw,
        body_yaw=np.clip(0.6 * follow(yaw, 0.35, 0.6), -0.9, 0.9),
        shoulders=[poses(0.1, random.choice([0.5, 1.2, 2.4])) for _ in SIDES],
        elbows=[poses(*random.choice([[0.0, 0.6], [0.2, 1.9], [-1.7, 0.0]])) for _ in SIDES],
        wrists=[poses(-0.4, 0.4) for _ in SIDES],
        hips=[np.full_like(times, 0.06) + 0.35 * knee - side * sway * 0.12 for side in SIDES],
        knees=[-0.75 * knee for _ in SIDES],
        breath=0.02 * np.sin(times * random.uniform(0.25, 0.5) + random.uniform(0, 6)),
        blink=blinking(random, times),
        mouth=talking(random, times),
        gaze=key_poses(random, times, -1, 1, interval),
    )


def blinking(random: np.random.Generator, times: Array) -> Array:
    """1 = closed, in every shot of six frames or more: open eyes tell nothing of lids, so a painter must see many."""
    shown = np.clip(times[-1] + 1, 6, 20)  # frames before the first are not
    first, period, pace = shown * random.uniform(0.15, 0.85), random.uniform(12, 30), random.uniform(1.0, 1.8)
    own = random.spawn(1)[0]  # so that everything drawn after this is what it was
    held = own.uniform(0, shown / 4) * (own.random() < 0.5)
    apart = np.abs((times - first + 9) % (period + held) - 9)
    return np.clip(1.3 - np.clip(apart - held / 2, 0, None) / pace, 0, 1)


def talking(random: np.random.Generator, times: Array) -> Array:
    """How far the mouth is open, 0 to 1; some are silent."""
    if random.random() < 0.35:
        return np.full_like(times, float(random.choice([0.0, 0.0, 0.6])))
    return np.clip(key_poses(random, times, -0.4, 1.0, random.uniform(2.0, 5.0)), 0, 1)


def stride(random: np.random.Generator, acting: Acting, times: Array, speed: float, build: Build, vigor: float) -> None:
    """Walk or run: legs and arms in opposite phase, the body bobbing."""
    period = float(np.clip(22 / vigor / max(speed, 0.3) ** 0.5, 7, 40))
    phase = 2 * np.pi * (times / period + random.random())
    heading = float(random.choice(SIDES))
    acting.yaw = heading * (0.75 + 0.25 * np.sin(phase * 0.5)) + 0.3 * (acting.yaw - acting.yaw.mean())
    acting.body_yaw = heading * 0.75 + 0.12 * np.sin(phase)
    swing = 0.42 * vigor**0.6
    for k, side in enumerate(SIDES):
        turn = phase + (0 if side < 0 else np.pi)
        # Hips and knees here are outward for their side; a stride is one direction in the picture.
        acting.hips[k] = side * heading * swing * np.sin(turn)
        acting.knees[k] = -side * heading * 0.55 * vigor * (0.5 + 0.5 * np.cos(turn)) ** 1.5
        acting.shoulders[k] = 0.12 - side * heading * 0.55 * vigor**0.5 * np.sin(turn)
        acting.elbows[k] = side * heading * (0.3 + 0.9 * (vigor - 1)) * (1 + 0.3 * np.sin(turn)) * np.ones_like(times)
    acting.lean = -heading * (0.05 + 0.16 * (vigor - 1)) * np.ones_like(times)
    travel = heading * build.leg * 4 * np.sin(swing) / period * (times - times.mean()) * random.choice([0.0, 0.5, 1.0])
    acting.root = travel - 1j * 0.18 * vigor * np.abs(np.sin(phase)) + 0.15j


def jump(random: np.random.Generator, acting: Acting, times: Array, speed: float, build: Build) -> None:
    """Crouch, fly, land."""
    period = float(np.clip(16 / max(speed, 0.3) ** 0.5, 9, 30))
    phase = (times / period + random.random()) % 1
    flight = np.clip((phase - 0.35) / 0.5, 0, 1)
    crouch = np.exp(-(((phase - 0.2) / 0.11) ** 2)) + 0.6 * np.exp(-(((phase - 0.93) / 0.06) ** 2))
    acting.root = acting.root.real + 1j * (0.9 * crouch - build.leg * 0.45 * 4 * flight * (1 - flight))
    for k in range(2):
        acting.hips[k] = 0.1 + 0.75 * crouch + 0.3 * np.sin(np.pi * flight)
        acting.knees[k] = -1.5 * crouch - 0.5 * np.sin(np.pi * flight)
        acting.shoulders[k] = 0.3 + 2.0 * np.sin(np.pi * flight) ** 0.7 * (flight < 1) + 0.3 * crouch
        acting.elbows[k] = 0.3 + 0.4 * crouch


def wave(random: np.random.Generator, acting: Acting, times: Array, speed: float) -> None:
    """One raised arm waves."""
    k = int(random.integers(2))
    rate = 2 * np.pi / float(np.clip(9 / max(speed, 0.3) ** 0.5, 5, 24))
    phase = rate * times + random.uniform(0, 6)
    acting.shoulders[k] = random.uniform(1.3, 2.3) + 0.15 * np.sin(phase)
    acting.elbows[k] = random.uniform(0.3, 1.0) + 0.5 * np.sin(phase)
    acting.wrists[k] = 0.5 * np.sin(phase - 0.8)
