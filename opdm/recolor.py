"""The command `opdm-recolor`: finished frames in the colors of an edited palette, without the model."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from opdm import __version__
from opdm.errors import InputError

PROGRAM = "opdm-recolor"
DESCRIPTION = """\
Put an edited palette to work.

Takes a folder that opdm-sample --fill exact --layers wrote, and its layers/palette.gpl, edited in GIMP, Krita or a
text editor: colors may change, their number and order may not. Frames, color layers and PSD are written again; lines,
and areas that have no color of the palette, stay."""
EPILOG = "exit status: 0 all frames are recolored, 2 the request cannot be met, 130 interrupted"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status, which `EPILOG` lists."""
    options = make_parser().parse_args(argv)
    try:
        count = recolor(options.folder)
    except InputError as error:
        print(f"{PROGRAM}: error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{PROGRAM}: error: {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{PROGRAM}: error: interrupted; the same command does the rest", file=sys.stderr)
        return 130
    print(f"recolored {count} in {options.folder}")
    return 0


def recolor(folder: Path) -> int:
    """Compose every frame of a folder of results again; returns how many. Raises InputError and OSError."""
    from tqdm import tqdm

    from opdm.layer_files import PALETTE, LayerFiles
    from opdm.palette_file import read_palette
    from opdm.results import COLOR_LAYER, LAYERS, Results

    drawings = LayerFiles.find_all(folder / LAYERS)
    if not drawings:
        raise InputError(f"{folder}: has no layers; paint with opdm-sample --fill exact --layers")
    palette = read_palette(folder / LAYERS / PALETTE)
    for drawing in drawings:  # before the first is written: a palette that does not fit changes nothing
        drawing.read_entries(palette)
    results = Results(folder, with_color_layer=(folder / COLOR_LAYER).is_dir(), with_layers=True)
    for drawing in tqdm(drawings, unit="drawing", disable=None):
        results.save_recolored(drawing.stem, drawing.load(palette))
    return len(drawings)


def make_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(
        PROGRAM, description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"opdm {__version__}")
    parser.add_argument("folder", type=Path, help="what opdm-sample wrote, the folder with opdm.json")
    return parser


if __name__ == "__main__":
    sys.exit(main())
