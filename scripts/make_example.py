"""Writes the example shot: two painted keyframes, the drawings of all frames, and the true frames between.

python scripts/make_example.py examples/shot
"""

import argparse
from pathlib import Path

from opdm.data.cel_animation import CelShot, CelStyle
from opdm.frames import write_frame

SEED = 6
STYLE = CelStyle(
    kind="character",
    background="none",
    figures=2,
    shading=True,
    texture=False,
    ink="black",
    line_px=1.3,
    speed=0.5,
    camera=False,
)
HEIGHT, WIDTH, FRAMES = 360, 640, 12


def main() -> None:
    """Write OUT/keyframes, OUT/lines and OUT/frames."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder to write to")
    out = parser.parse_args().out
    shot = CelShot(SEED, height=HEIGHT, width=WIDTH, frames=FRAMES, style=STYLE)
    for i in range(FRAMES):
        frame = shot.frame(i)
        is_keyframe = i in (0, FRAMES - 1)
        write_frame(out / ("keyframes" if is_keyframe else "frames") / f"{i:04d}.png", frame.color)
        write_frame(out / "lines" / f"{i:04d}.png", frame.lines)


if __name__ == "__main__":
    main()
