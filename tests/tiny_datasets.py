"""Data sets of a few tiny frames in the layouts in which they are published, made of generated shots.

Each writer takes an empty folder, and a clip that knows everything, and returns nothing.
"""

import json
import struct

import cv2
import numpy as np
import torch

from opdm.data.cel_animation import CelStyle
from opdm.data.cel_clips import cel_clips
from opdm.data.region_labels import match_regions
from opdm.frames import write_frame

HEIGHT, WIDTH, FRAMES = 48, 64, 4
STYLE = CelStyle(kind="character", background="flat", figures=1, texture=False, camera=False, speed=0.5, line_px=1)


def tiny_clip(frames=FRAMES, seed=5):
    """A shot of which everything is known."""
    [clip] = cel_clips([seed], height=HEIGHT, width=WIDTH, frames=frames, style=STYLE)
    return clip


def write_frames(folder, frames, names=None, suffix=".png"):
    for i, frame in enumerate(frames):
        write_frame(folder / f"{names[i] if names else f'{i:04d}'}{suffix}", frame)


def colors(clip):
    return [clip.color(i) for i in range(len(clip))]


def drawings(clip):
    return [clip.lines(i) for i in range(len(clip))]


def flat_colors(ids):
    """(H, W) ids as (3, H, W) colors."""
    return torch.stack([ids >> 16, (ids >> 8) & 255, ids & 255]).float() / 255


def segments_of(clip, i):
    """The regions of a frame numbered from 0 without gaps."""
    return torch.from_numpy(np.unique(clip.regions(i).numpy(), return_inverse=True)[1].reshape(HEIGHT, WIDTH))


def pairs(clip):
    """Neighbors, forward and backward."""
    for i in range(len(clip) - 1):
        yield "forward", i, i + 1
        yield "backward", i + 1, i


def write_shot(root, clip):
    """A folder with color, line and seg, as in renders of rigs."""
    write_frames(root / "color", colors(clip))
    write_frames(root / "line", drawings(clip))
    write_frames(root / "seg", [flat_colors(0xFFFFFF - clip.regions(i)) for i in range(len(clip))])


def write_atd12k(root, clip):
    for split, suffix, names in (
        ("train_10k", ".jpg", ["Japan_v2_0_000001_s1", "Disney_v4_0_000002_s1"]),
        ("test_2k_540p", ".png", ["Japan_v2_1_000003_s2"]),
        ("test_2k_original", ".jpg", ["Japan_v2_1_000003_s2"]),
    ):
        for name in names:
            write_frames(root / split / name, colors(clip)[:3], ["frame1", "frame2", "frame3"], suffix)
    note = root / "test_2k_annotations" / "Japan_v2_1_000003_s2" / "Japan_v2_1_000003_s2.json"
    note.parent.mkdir(parents=True)
    note.write_text("{}")


def write_lvcd(root, clip):
    names = [f"{i:05d}" for i in range(len(clip))]
    write_frames(root / "img_48" / "Ponyo", colors(clip), names)
    write_frames(root / "skt_48" / "Ponyo", drawings(clip), names)
    write_frames(root / "img_24" / "Ponyo", [frame[:, ::2, ::2] for frame in colors(clip)], names)
    lists = {"a": [f"Ponyo/{name}" for name in names[:2]], "b": [f"Ponyo/{name}" for name in names[2:]]}
    (root / "train_clips.json").write_text(json.dumps(lists))


def write_animerun(root, clip, split="test", scene="agent_basement"):
    """As AnimeRun_v2: masks say what is *not* occluded, segments are numbered from 0, names differ between folders."""
    names = [f"{i + 186:04d}" for i in range(len(clip))]
    write_frames(root / split / "Frame_Anime" / scene / "original", colors(clip), [f"Image{name}" for name in names])
    write_frames(root / split / "Frame_Anime" / scene / "color_1", colors(clip), [f"Image{name}" for name in names])
    write_frames(root / split / "contour" / scene, drawings(clip), names)
    write_frames(root / split / "LineArea" / scene, drawings(clip), [f"{name}_line" for name in names])
    for i, name in enumerate(names):
        save(root / split / "Segment" / scene / f"{name}.npy", segments_of(clip, i).numpy())
        save(root / split / "LineArea" / scene / f"{name}.npy", (clip.lines(i)[0] > 0.9).double().numpy())
    for direction, i, j in pairs(clip):
        write_flo(root / split / "Flow" / scene / direction / f"{names[i]}.flo", clip.flow_px(i, j))
        unmatched = root / split / f"Unmatched{direction.capitalize()}" / scene
        save(unmatched / f"Image{names[i]}.npy", (~clip.is_occluded(i, j)).double().numpy())
        matches = match_regions(segments_of(clip, i), segments_of(clip, j), clip.flow_px(i, j), clip.is_occluded(i, j))
        file = root / split / "SegMatching" / scene / direction / f"{names[i]}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({str(k): targets for k, targets in enumerate(matches)}))


def write_linkto_anime(root, clip):
    """Blender's vector pass has the way to the frame before and, negative, that to the next; y points up."""
    view = root / "test" / "color_line_optic_01_25" / "68 model" / "01 visual_view"
    names = [f"{i + 1:04d}" for i in range(len(clip))]
    figure = [torch.where(clip.regions(i) > 0, clip.color(i).clamp(max=0.99), 1.0) for i in range(len(clip))]
    write_frames(view / "01_1 Rendering", figure, [f"{name}_1" for name in names])
    write_frames(view / "01_5 line", drawings(clip), names)
    (view / "01_10 Bounding_Box.json").write_text("{}")
    up = torch.tensor([1.0, -1.0]).view(2, 1, 1)
    for i, name in enumerate(names):
        before = clip.flow_px(i, max(i - 1, 0)) * up
        after = -clip.flow_px(i, min(i + 1, len(clip) - 1)) * up
        write_exr(
            view / "01_4 Optical_flow_exr" / f"Image{name}.exr", dict(zip("RGBA", [*before, *after], strict=True))
        )
    for direction, i, j in pairs(clip):
        folder = view / ("01_5 Occ_mask_for" if direction == "forward" else "01_5 Occ_mask_bac")
        write_frame(folder / f"{names[i]}.png", clip.is_occluded(i, j)[None].float())


def write_anita(root, clip):
    write_frames(root / "Mirror" / "scene_1" / "sketch", drawings(clip))
    write_frames(root / "Mirror" / "scene_1" / "color", colors(clip))
    write_frames(root / "Pirate" / "scene_1" / "composition", colors(clip))
    write_frames(root / "Embrace_Freedom" / "scene_1" / "sketch", drawings(clip))


def write_paintbucket(root, clip):
    """Paint and ink on nothing: the ground is transparent, ids are colors."""
    for part, labels in (("train/PaintBucket_Char/Abe", "label"), ("test/PaintBucket_Char/amy", "seg")):
        folder = root / part
        for i in range(len(clip)):
            ids, ink = clip.regions(i), 1 - clip.lines(i)
            paint = torch.cat([clip.color(i), (ids > 0)[None].float()])
            write_frame(folder / "gt" / f"{i:04d}.png", paint)
            write_frame(folder / "line" / f"{i:04d}.png", torch.cat([torch.zeros(3, HEIGHT, WIDTH), ink]))
            write_frame(folder / labels / f"{i:04d}.png", torch.cat([flat_colors(ids), (ids > 0)[None].float()]))


def write_video(path, clip, codec="MJPG"):
    """Frames that tell their number: column b of eight is bright where bit b is set."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 24, (64, 48))
    for i in range(clip if isinstance(clip, int) else len(clip)):
        bits = np.repeat([220 if i >> bit & 1 else 20 for bit in range(8)], 8).astype(np.uint8)
        writer.write(np.broadcast_to(bits[None, :, None], (48, 64, 3)).copy())
    writer.release()


def number_in(frame):
    """What `write_video` wrote into a frame."""
    return sum(int(frame[:, :, 8 * bit + 2 : 8 * bit + 6].mean() > 0.5) << bit for bit in range(8))


def save(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, values)


def write_flo(path, flow_px):
    """Byte by byte, as the format is described."""
    _, height, width = flow_px.shape
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        file.write(b"PIEH" + struct.pack("<ii", width, height))
        for y in range(height):
            for x in range(width):
                file.write(struct.pack("<ff", *flow_px[:, y, x].tolist()))


def write_exr(path, channels):
    """Full floats, not compressed."""
    names = sorted(channels)
    height, width = channels[names[0]].shape
    entries = b"".join(name.encode() + b"\0" + struct.pack("<4i", 2, 0, 1, 1) for name in names) + b"\0"
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    header = struct.pack("<ii", 20000630, 2)
    for name, kind, value in (
        ("channels", "chlist", entries),
        ("compression", "compression", b"\0"),
        ("dataWindow", "box2i", window),
        ("displayWindow", "box2i", window),
        ("lineOrder", "lineOrder", b"\0"),
        ("pixelAspectRatio", "float", struct.pack("<f", 1)),
        ("screenWindowCenter", "v2f", struct.pack("<ff", 0, 0)),
        ("screenWindowWidth", "float", struct.pack("<f", 1)),
    ):
        header += name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<i", len(value)) + value
    header += b"\0"
    rows = [b"".join(channels[name][y].float().numpy().tobytes() for name in names) for y in range(height)]
    first, size = len(header) + 8 * height, 8 + len(rows[0])
    offsets = b"".join(struct.pack("<Q", first + y * size) for y in range(height))
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = b"".join(struct.pack("<ii", y, len(row)) + row for y, row in enumerate(rows))
    path.write_bytes(header + offsets + blocks)
