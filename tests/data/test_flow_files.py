from pathlib import Path

import numpy as np
import pytest
import torch

from opdm.data.exr import read_exr
from opdm.data.flow_files import read_flo, read_vector_pass
from opdm.frames import FrameError
from tiny_datasets import write_exr, write_flo

DATA = Path(__file__).parents[1] / "data_files"
Y, X = np.mgrid[:20, :9]
VECTORS = [((7 * Y + 3 * X + 5 * channel) % 11 - 5) * 0.25 for channel in range(4)]
"""What stands in both files, which the OpenEXR library wrote."""


@pytest.mark.parametrize(
    ("file", "names", "kind"),
    [
        ("vectors_zip.exr", list("RGBA"), np.float32),
        ("vectors_zips_half.exr", [f"ViewLayer.Vector.{axis}" for axis in "XYZW"], np.float16),
    ],
)
def test_files_of_the_openexr_library_are_read(file, names, kind):
    channels = read_exr(DATA / file)
    assert set(channels) == set(names)
    for name, expected in zip(names, VECTORS, strict=True):
        assert channels[name].dtype == kind
        np.testing.assert_array_equal(channels[name], expected)


@pytest.mark.parametrize("file", ["vectors_zip.exr", "vectors_zips_half.exr"])
def test_the_vector_pass_points_up_and_away_from_the_next_frame(file):
    before, after = (read_vector_pass(DATA / file, forward=forward) for forward in (False, True))
    np.testing.assert_array_equal(before, np.stack([VECTORS[0], -VECTORS[1]]))
    np.testing.assert_array_equal(after, np.stack([-VECTORS[2], VECTORS[3]]))


def test_a_flow_written_byte_by_byte_is_read_back(tmp_path):
    flow_px = torch.randn(2, 5, 7) * 30
    write_flo(tmp_path / "a.flo", flow_px)
    assert torch.equal(read_flo(tmp_path / "a.flo"), flow_px)


@pytest.mark.parametrize("keep", [0, 3, 11, 40])
def test_a_cut_flow_is_named(tmp_path, keep):
    write_flo(tmp_path / "a.flo", torch.zeros(2, 5, 7))
    (tmp_path / "a.flo").write_bytes((tmp_path / "a.flo").read_bytes()[:keep])
    with pytest.raises(FrameError, match=r"a\.flo: .*get it again"):
        read_flo(tmp_path / "a.flo")


@pytest.mark.parametrize("keep", [0, 6, 100, 400, 500])
def test_a_cut_exr_is_named(tmp_path, keep):
    data = (DATA / "vectors_zip.exr").read_bytes()
    assert keep < len(data)
    (tmp_path / "a.exr").write_bytes(data[:keep])
    with pytest.raises(FrameError, match=r"a\.exr"):
        read_exr(tmp_path / "a.exr")


def test_other_kinds_of_exr_are_refused_with_the_remedy(tmp_path):
    data = bytearray((DATA / "vectors_zip.exr").read_bytes())
    data[data.index(b"compression\0compression\0") + 28] = 4  # PIZ
    (tmp_path / "a.exr").write_bytes(data)
    with pytest.raises(FrameError, match="compressed by ZIP"):
        read_exr(tmp_path / "a.exr")


def test_an_exr_without_vectors_says_what_it_has(tmp_path):
    write_exr(tmp_path / "a.exr", {"R": torch.zeros(2, 3), "depth": torch.zeros(2, 3)})
    with pytest.raises(FrameError, match="has the channels R depth"):
        read_vector_pass(tmp_path / "a.exr", forward=True)


@pytest.mark.parametrize("read", [read_flo, read_exr])
def test_a_missing_file_is_named(tmp_path, read):
    with pytest.raises(FrameError, match="nowhere: cannot be read"):
        read(tmp_path / "nowhere")
