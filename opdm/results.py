"""The folder that results go to: what is done already, what it was made with, and what must not be overwritten."""

import hashlib
import json
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opdm.confidence import DOUBTFUL, check_drawing, draw_checks, order_checks
from opdm.errors import InputError
from opdm.exact_fill import AreaPaint
from opdm.frames import write_frame, write_text
from opdm.layer_files import FOLDERS, PALETTE, LayerFiles
from opdm.painting import Painted, Settings
from opdm.shot import IMAGE_SUFFIXES, Drawing, Shot, normal_stem, same_file
from opdm.weights import checksum, folder_of, weights_file

SETTINGS_FILE = "opdm.json"
COLOR_LAYER = "color_layer"
LAYERS = "layers"
CHECK = "check"
CHECK_FILE = "check.json"


@dataclass(frozen=True)
class Results:
    """One PNG per drawing, on request its layers and what to check in it, and opdm.json: what they were made with.

    A result is valid while it is newer than its drawing, and than opdm.json, which is written when a run begins with
    other settings or overwrites.
    """

    folder: Path
    with_color_layer: bool = False
    with_layers: bool = False
    with_check: bool = False

    def frame_path(self, drawing: Drawing) -> Path:
        """Where the finished frame goes."""
        return self.folder / f"{drawing.path.stem}.png"

    def paths(self, drawing: Drawing) -> list[Path]:
        """Every file of a drawing's result, in the order of writing: the frame is last and so stands for the others."""
        frame = self.frame_path(drawing)
        layer = [self.folder / COLOR_LAYER / frame.name] if self.with_color_layer else []
        layers = self.layer_files(drawing.path.stem).paths if self.with_layers else ()
        check = [self._check_picture(drawing), self._check_list(drawing)] if self.with_check else []
        return [*layer, *layers, *check, frame]

    def layer_files(self, stem: str) -> LayerFiles:
        """Where the layers of a drawing go."""
        return LayerFiles(self.folder / LAYERS, stem)

    def _check_picture(self, drawing: Drawing) -> Path:
        return self.folder / CHECK / f"{drawing.path.stem}.png"

    def _check_list(self, drawing: Drawing) -> Path:
        return self._check_picture(drawing).with_suffix(".json")

    def save(self, painted: Painted) -> None:
        """Write the result of a drawing. Raises ValueError where a check is asked of a model that cannot doubt."""
        if self.with_color_layer or self.with_layers:
            self._save_layers(painted.drawing.path.stem, painted.area_paint)
        if self.with_check:
            self._save_check(painted)
        write_frame(self.frame_path(painted.drawing), painted.frame)

    def save_recolored(self, stem: str, paint: AreaPaint) -> None:
        """Write the result of a drawing whose colors have changed."""
        self._save_layers(stem, paint)
        write_frame(self.folder / f"{stem}.png", paint.composite.frame)

    def _save_layers(self, stem: str, paint: AreaPaint) -> None:
        if self.with_color_layer:
            write_frame(self.folder / COLOR_LAYER / f"{stem}.png", paint.composite.color_layer)
        if self.with_layers:
            self.layer_files(stem).save(paint)

    def _save_check(self, painted: Painted) -> None:
        assert painted.weights is not None and painted.stage.moved is not None, "the command sees to it"
        found = check_drawing(painted.drawing.path.name, painted.stage, painted.frame, painted.weights)
        picture = draw_checks(painted.frame, painted.regions, found.doubtful)
        write_frame(self._check_picture(painted.drawing), picture)
        write_text(self._check_list(painted.drawing), json.dumps(found.as_json(), indent=2) + "\n")

    def write_check(self, drawings: Iterable[Drawing]) -> Path:
        """Lay the lists of painted drawings together, those with the most to look at first."""
        found = [json.loads(self._check_list(drawing).read_text(encoding="utf-8")) for drawing in drawings]
        path = self.folder / CHECK / CHECK_FILE
        write_text(path, json.dumps({"doubtful_above": DOUBTFUL, "drawings": order_checks(found)}, indent=2) + "\n")
        return path

    def begin(self, record: dict[str, Any], *, overwrite: bool) -> None:
        """Note what the coming results are made with; earlier ones are outdated when it is something else."""
        if overwrite or self._read_record() != record:
            (self.folder / LAYERS / PALETTE).unlink(missing_ok=True)
            write_text(self.folder / SETTINGS_FILE, json.dumps(record, indent=2) + "\n")

    def done(self, drawings: Iterable[Drawing]) -> list[Drawing]:
        """The drawings whose results are there and newer than what they were made from."""
        settings_time = _time(self.folder / SETTINGS_FILE)
        if settings_time is None:
            return []
        return [drawing for drawing in drawings if self._is_done(drawing, settings_time)]

    def _is_done(self, drawing: Drawing, settings_time: int) -> bool:
        since = max(settings_time, _time(drawing.path) or 0)
        return all((_time(path) or 0) >= since for path in self.paths(drawing))

    def check_record(self, record: dict[str, Any], drawings: Sequence[Drawing]) -> None:
        """Raise InputError where results are there that were made with other settings, or that are not ours."""
        existing = [path for drawing in drawings if (path := self.frame_path(drawing)).exists()]
        if not existing:
            return
        found = self._read_record()
        if found is None:
            raise InputError(
                f"{existing[0]}: is there already and was not painted here; give another --output, or --overwrite"
            )
        changed = sorted(key for key in found.keys() | record.keys() if found.get(key) != record.get(key))
        if changed:
            raise InputError(
                f"{self.folder}: holds results made with other {' and '.join(changed)}; "
                "--overwrite paints them again, another --output keeps them"
            )

    def _read_record(self) -> dict[str, Any] | None:
        try:
            record = json.loads((self.folder / SETTINGS_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return record if isinstance(record, dict) else None

    def check_folder(self, shot: Shot, lines_folder: Path, others: Iterable[Path]) -> None:
        """Raise InputError where a file cannot be written or would overwrite what was given.

        `others` are the files that will be written beside the results.
        """
        names = (COLOR_LAYER, CHECK, *(f"{LAYERS}/{name}" for name in FOLDERS))
        if any(same_file(folder, lines_folder) for folder in (self.folder, *(self.folder / name for name in names))):
            raise InputError(f"{self.folder}: results would overwrite the drawings; give another --output")
        check_writable(self.folder)
        given = {identity for path in inputs_of(shot) if (identity := _identity(path))}
        for path in [path for drawing in shot.drawings for path in self.paths(drawing)]:
            if _identity(path) in given:
                raise InputError(f"{path}: the result would overwrite this keyframe; give another --output")
        for path in others:
            self._check_other(path, shot, lines_folder, given)

    def _check_other(self, path: Path, shot: Shot, lines_folder: Path, given: set[tuple[int, int]]) -> None:
        if path.is_dir():
            raise InputError(f"{path}: a folder; give a file name")
        if _identity(path) in given or (same_file(path.parent, lines_folder) and path.suffix in IMAGE_SUFFIXES):
            raise InputError(f"{path}: would overwrite or join the given images; give another name")
        if any(path.resolve() == result.resolve() for drawing in shot.drawings for result in self.paths(drawing)):
            raise InputError(f"{path}: is the name of a result; give another name")
        check_writable(path.parent)


def check_writable(folder: Path) -> None:
    """Raise InputError where no file can be made in a folder that exists or is to be made."""
    existing = next(parent for parent in [folder, *folder.absolute().parents] if parent.exists())
    if not existing.is_dir():
        raise InputError(f"{existing}: a file, and no results can be put there; give another folder")
    try:
        # Asking for permissions is not enough: read-only and full disks, and root, have their own rules.
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise InputError(f"{folder}: cannot be written to ({error.strerror}); give another folder") from error


def inputs_of(shot: Shot) -> Iterable[Path]:
    """Every file that the shot reads."""
    yield from (drawing.path for drawing in shot.drawings)
    for keyframe in shot.keyframes:
        yield keyframe.path
        if keyframe.lines is not None:
            yield keyframe.lines


def record_of(models: dict[str, str], settings: Settings, shot: Shot) -> dict[str, Any]:
    """Everything that decides what results look like, apart from the drawings themselves; JSON-able.

    `models` are the names or folders of what paints, by the option that chose it.
    """
    return {
        **models,
        "weights": {option: weights_checksum(name) for option, name in models.items()},
        "size": settings.size,
        "steps": settings.steps,
        "seed": settings.seed,
        "fill": settings.fill,
        "keyframes": [
            {
                "name": normal_stem(keyframe.path),
                "sha256": file_checksum(keyframe.path),
                "lines_sha256": keyframe.lines and file_checksum(keyframe.lines),
            }
            for keyframe in shot.keyframes
        ],
    }


def weights_checksum(model: str) -> str | None:
    """Of an embedded model or a folder; None for a model of the hub, which its name has to stand for."""
    folder = folder_of(model)
    return checksum(folder) if weights_file(folder).is_file() else None


def file_checksum(path: Path) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _time(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino
