import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from opdm.data import cel_background
from opdm.data.cel_acting import blinking
from opdm.data.cel_animation import CelShot, CelStyle
from opdm.data.cel_figure import pose_rigid, rigid_mesh
from opdm.data.cel_render import Renderer, find_occluded
from opdm.data.cel_scene import Paint, Part, Scene
from opdm.data.sample import Frame

SIZE, FRAMES = 128, 10


def shot_of(seed, *, size=SIZE, **style):
    return CelShot(seed, height=size, width=size, frames=FRAMES, style=CelStyle(**style))


def look_up(frame, flow_px):
    """Bilinear sampling of (C, H, W) by torch, not by the package."""
    H, W = frame.shape[-2:]
    y, x = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
    grid = torch.stack([2 * (x + flow_px[0]) / (W - 1) - 1, 2 * (y + flow_px[1]) / (H - 1) - 1], dim=-1)
    return F.grid_sample(frame[None].float(), grid[None], align_corners=True, padding_mode="border")[0]


def rounded_targets(flow_px):
    H, W = flow_px.shape[-2:]
    y, x = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
    return (y + flow_px[1]).round().long().clamp(0, H - 1), (x + flow_px[0]).round().long().clamp(0, W - 1)


@dataclass
class Comparison:
    error: float
    error_of_fills: float
    seen_share: float


def compare(shot, i, j):
    """Mean error in 1/255 of frame j brought to frame i by true flow, off the occlusions; the same far from ink."""
    ours, theirs, flow_px = shot.frame(i), shot.frame(j), shot.flow_px(i, j)
    seen = ~shot.is_occluded(i, j)
    error = 255 * (look_up(theirs.color, flow_px) - ours.color).abs().mean(dim=0)
    near_ink = (
        F.max_pool2d(1 - ours.lines, 5, 1, 2)[0] + F.max_pool2d(1 - look_up(theirs.lines, flow_px), 3, 1, 1)[0] > 0
    )
    edges = F.max_pool2d(ours.color, 3, 1, 1) + F.max_pool2d(-ours.color, 3, 1, 1)
    fills = seen & ~near_ink & (edges.amax(dim=0) == 0)
    return Comparison(float(error[seen].mean()), float(error[fills].mean()), float(seen.float().mean()))


@pytest.fixture(scope="module")
def comparisons():
    pairs = ((0, 1), (4, 7), (9, 5))
    return {
        kind: [compare(shot_of(seed, size=160, kind=kind, texture=False, shading=False, speed=1.0), i, j)
               for seed in range(8) for i, j in pairs]
        for kind in ("character", "abstract")
    }  # fmt: skip


def test_true_flow_reproduces_the_other_frame_off_the_occlusions(comparisons):
    everything = [c for found in comparisons.values() for c in found]
    assert np.mean([c.error for c in everything]) < 1
    assert max(c.error for c in everything) < 2.5  # thin lines lose contrast when they are sampled between pixels


@pytest.mark.parametrize("kind", ["character", "abstract"])
def test_fills_are_reproduced_exactly(comparisons, kind):
    assert np.mean([c.error_of_fills for c in comparisons[kind]]) < 0.05


@pytest.mark.parametrize("kind", ["character", "abstract"])
def test_most_of_a_frame_is_seen_in_others(comparisons, kind):
    assert np.mean([c.seen_share for c in comparisons[kind]]) > 0.6


@pytest.mark.parametrize("kind", ["character", "abstract"])
def test_regions_match_exactly_off_the_occlusions(kind):
    for seed in range(6):
        shot = shot_of(seed, kind=kind)
        for i, j in ((0, 9), (5, 4)):
            ours, theirs = shot.frame(i).regions, shot.frame(j).regions
            seen, (y, x) = ~shot.is_occluded(i, j), rounded_targets(shot.flow_px(i, j))
            assert torch.equal(theirs[y, x][seen], ours[seen])


def test_there_and_back_ends_where_it_started():
    for seed in range(6):
        shot = shot_of(seed)
        there, back, seen = shot.flow_px(2, 6), shot.flow_px(6, 2), ~shot.is_occluded(2, 6)
        trip = (there + look_up(back, there))[:, seen].norm(dim=0)
        # Between two triangles of a bending part the way back is a mixture.
        assert float(trip.mean()) < 0.05 and float((trip < 0.5).float().mean()) > 0.99


def test_flow_of_a_turning_disk_is_the_known_rotation():
    turn = np.array([0.0, 0.4])
    outline = np.stack([np.cos(np.linspace(0, 6, 30)), np.sin(np.linspace(0, 6, 30))], axis=1) * 20
    center = np.array([40 + 30j, 44 + 35j])
    paint = Paint(*(np.full(3, level) for level in (0.5, 0.4, 0.6, 0.0)))
    rows, cols = mesh = rigid_mesh(outline)
    part = Part(outline=outline, rows=rows, cols=cols, pose=pose_rigid(center, mesh, turn), paint=paint)
    scene = Scene([part], paint, np.array([[-1, 1, 1j]] * 2, dtype=complex), line_px=1.0, scale=4)
    renderer = Renderer(scene, 64, 80)
    surfaces = [renderer.surface(k, renderer.paint(k)) for k in range(2)]
    flow, stretch = renderer.flow(surfaces[0], 0, 1)
    y, x = np.mgrid[:64, :80]
    known = center[1] + (x + 1j * y - center[0]) * np.exp(0.4j) - (x + 1j * y)
    inside = surfaces[0].part == 1
    assert 1150 < inside.sum() < 1350
    assert np.abs(flow[..., 0] + 1j * flow[..., 1] - known)[inside].max() < 1e-3
    assert np.abs(flow[~inside]).max() < 1e-3
    occluded = find_occluded(surfaces[0], surfaces[1], flow, renderer.flow(surfaces[1], 1, 0)[0], stretch)
    covered = ~inside & (surfaces[1].part == 1)
    assert occluded[covered].all() and not occluded[np.abs(x + 1j * y - center[0]) < 15].any()


def digest(frame):
    content = b"".join(part.numpy().tobytes() for part in (frame.color, frame.lines, frame.regions))
    return hashlib.sha256(content).hexdigest()


def test_a_frame_depends_on_nothing_but_seed_and_index():
    shot, again = shot_of(2**61 + 5), shot_of(2**61 + 5)
    forward = [digest(shot.frame(i)) for i in range(FRAMES)]
    again.is_occluded(7, 3)
    assert [digest(again.frame(i)) for i in reversed(range(FRAMES))] == forward[::-1]
    assert [digest(shot.frame(i)) for i in (4, 4, 0)] == [forward[4], forward[4], forward[0]]
    program = "import sys; from test_cel_animation import digest, shot_of; print(digest(shot_of(2**61 + 5).frame(3)))"
    path = [*sys.path, str(Path(__file__).parent)]
    code = f"import sys; sys.path[:0] = {path!r}; {program}"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == forward[3]
    assert len(set(forward)) > 1 and digest(shot_of(6).frame(3)) != forward[3]


def test_frames_keep_the_contract():
    shot = CelShot(3, height=96, width=130, frames=4)
    frame = shot.frame(1)
    assert isinstance(frame, Frame) and len(shot) == 4
    assert frame.color.shape == (3, 96, 130) and frame.color.dtype == torch.float32
    assert frame.lines.shape == (1, 96, 130) and frame.regions.shape == (96, 130)
    assert frame.regions.dtype == torch.int32
    assert shot.flow_px(0, 3).shape == (2, 96, 130) and shot.is_occluded(0, 3).dtype == torch.bool
    for values in (frame.color, frame.lines):
        assert float(values.min()) >= 0 and float(values.max()) <= 1
    assert not shot.flow_px(1, 1).abs().max() > 1e-3 and not shot.is_occluded(1, 1).any()
    with pytest.raises(IndexError, match="frame 4 of a shot of 4"):
        shot.frame(4)
    with pytest.raises(ValueError, match="height=8"):
        CelShot(0, height=8, width=64, frames=3)


def test_lines_are_ink_on_white_paper():
    for seed in range(4):
        frame = shot_of(seed, kind="character", background="none", ink="black", line_px=4.0).frame(0)
        lines, paper = frame.lines[0], frame.regions == 0
        assert (lines[paper & (frame.color.amin(dim=0) == 1)] == 1).all()
        inked = lines == 0
        assert inked.any() and float(frame.color[:, inked].max()) < 0.05
        assert 0.005 < float((lines < 0.5).float().mean()) < 0.4


def test_fills_are_flat():
    for seed in range(4):
        for kind in ("character", "abstract"):
            frame = shot_of(seed, kind=kind, texture=False, shading=False, background="flat").frame(5)
            regions, clean = frame.regions.float()[None], 1 - frame.lines
            same = F.max_pool2d(regions, 5, 1, 2) == -F.max_pool2d(-regions, 5, 1, 2)
            inside = (same & (F.max_pool2d(clean, 5, 1, 2) == 0))[0]
            for region in frame.regions[inside].unique():
                colors = frame.color[:, inside & (frame.regions == region)]
                usual = colors.median(dim=1, keepdim=True).values
                # A sliver thinner than a pixel may lie between pixel centers.
                assert float((colors == usual).all(dim=0).float().mean()) > 0.97


def test_seeds_differ_in_everything():
    shots = [CelShot(seed, height=96, width=96, frames=2) for seed in range(160)]
    assert {shot.kind for shot in shots} == {"character", "abstract"}
    assert {shot.background_kind for shot in shots} == set(cel_background.KINDS)
    assert {shot.figures for shot in shots} == {1, 2, 3, 4}
    assert {shot.look.ink for shot in shots} == {"black", "dark", "tinted"}
    assert {shot.look.shades for shot in shots} == {0, 1, 2}
    widths = [shot.look.line_px for shot in shots]
    assert 0.5 <= min(widths) < 0.7 and 3.3 < max(widths) <= 4
    assert 0.3 < np.mean([shot.background_kind == "none" for shot in shots]) < 0.5
    assert any(shot.camera_moves for shot in shots) and not all(shot.camera_moves for shot in shots)
    assert min(shot.speed for shot in shots) < 0.3 and max(shot.speed for shot in shots) > 2


def test_style_pins_what_it_says():
    style = CelStyle(
        kind="character",
        background="room",
        figures=3,
        shading=True,
        texture=False,
        ink="tinted",
        line_px=2.0,
        speed=0.5,
    )
    shot = CelShot(9, height=96, width=96, frames=2, style=style)
    assert (shot.kind, shot.background_kind, shot.figures, shot.speed) == ("character", "room", 3, 0.5)
    assert shot.look.shades and shot.look.ink == "tinted" and shot.look.line_px == 2 and not shot.look.grain


def test_held_characters_move_faces_and_one_arm_only():
    free, held = (shot_of(3, kind="character", figures=1, camera=False, held=held) for held in (False, True))
    moving = [
        torch.stack([shot.flow_px(0, i).norm(dim=0) for i in range(1, FRAMES)]).amax(dim=0) for shot in (free, held)
    ]
    shares = [float((moved > 0.01).float().mean()) for moved in moving]
    assert 0 < shares[1] < 0.5 * shares[0]


def test_things_appear_that_no_keyframe_shows():
    """Solid areas of a middle frame, not just borders, that are in neither end of the shot."""
    new = []
    for seed in range(12):
        shot = shot_of(seed, kind="character", speed=1.5)
        hidden = (shot.is_occluded(5, 0) & shot.is_occluded(5, 9)).float()[None]
        solid = -F.max_pool2d(-hidden, 5, 1, 2)
        new.append(float(solid.mean()) > 0.002)
    assert np.mean(new) >= 0.5


@pytest.mark.parametrize("frames", [6, 10, 17, 40])
def test_eyes_shut_once_in_a_shot_and_stay_shut_in_some(frames):
    times = np.arange(-2.0, frames)  # two frames before what is shown
    shut = [blinking(np.random.default_rng(seed), times) > 0.5 for seed in range(200)]
    assert all(closed[2:22].any() and not closed.all() for closed in shut)
    lengths = [closed.sum() for closed in shut]
    assert min(lengths) <= 2 < max(lengths)


def test_how_long_eyes_stay_shut_changes_nothing_that_is_drawn_after():
    randoms = [np.random.default_rng(1) for _ in range(2)]
    blinking(randoms[0], np.arange(10.0))
    randoms[1].uniform(size=3)
    assert randoms[0].random() == randoms[1].random()


def test_speed_decides_how_far_things_move():
    def mean_flow(speed):
        return np.mean(
            [
                float(shot_of(s, kind="character", camera=False, speed=speed).flow_px(4, 5).norm(dim=0).mean())
                for s in range(5)
            ]
        )

    assert mean_flow(0.05) < 0.5 * mean_flow(1.0)
