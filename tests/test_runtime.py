import os
import subprocess
import sys

import pytest
import torch

from opdm.errors import InputError
from opdm.runtime import (
    choose_device,
    choose_dtype,
    default_dtype,
    find_in_libc,
    processor_prefers_bfloat16,
    return_freed_memory,
    reuse_freed_memory,
    use_all_cores,
)


def test_memory_settings_may_be_made_anywhere():
    reuse_freed_memory()


def test_a_c_library_without_mallopt_is_no_trouble(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())
    reuse_freed_memory()
    return_freed_memory()


@pytest.mark.parametrize(
    ("environment", "threads"),
    [
        ({"ACCELERATE_MIXED_PRECISION": "no", "OMP_NUM_THREADS": "1"}, None),
        ({"ACCELERATE_MIXED_PRECISION": "no", "OMP_NUM_THREADS": "3"}, "3"),
        ({"ACCELERATE_MIXED_PRECISION": "no", "OMP_NUM_THREADS": "1", "WORLD_SIZE": "2"}, "1"),
        ({"OMP_NUM_THREADS": "1"}, "1"),
        ({}, None),
    ],
)
def test_only_the_launchers_own_single_thread_is_undone(monkeypatch, environment, threads):
    for name in ("ACCELERATE_MIXED_PRECISION", "OMP_NUM_THREADS", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    use_all_cores()
    assert os.environ.get("OMP_NUM_THREADS") == threads


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="faults are counted as Linux does")
def test_freed_memory_is_reused():
    program = """
import resource, sys
from opdm.runtime import reuse_freed_memory
if sys.argv[1] == "reuse":
    reuse_freed_memory()
block = 2**26  # touched, not only asked for
bytearray(b"x") * block
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    bytearray(b"x") * block
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    faults = {
        mode: int(subprocess.run([sys.executable, "-c", program, mode], capture_output=True, check=True).stdout)
        for mode in ("reuse", "default")
    }
    if faults["default"] < 1000:
        pytest.skip("this C library keeps memory by itself")
    assert faults["reuse"] < faults["default"] / 10


@pytest.mark.skipif(find_in_libc("malloc_trim") is None, reason="this C library cannot")
def test_freed_memory_can_be_returned():
    program = """
from pathlib import Path
from opdm.runtime import return_freed_memory, reuse_freed_memory
reuse_freed_memory()
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1])
blocks = [bytearray(b"x") * 2**20 for _ in range(64)]
del blocks[:-1]  # the last one keeps the heap from shrinking
kept = resident()
return_freed_memory()
print(resident() / kept)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert float(done.stdout) < 0.6


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("vendor_id\t: AuthenticAMD\nflags\t\t: fpu avx512f avx512_bf16\n", True),
        ("vendor_id\t: GenuineIntel\nflags\t\t: fpu avx512f avx512_bf16\n", False),
        ("vendor_id\t: GenuineIntel\nflags\t\t: fpu avx512_bf16 amx_bf16 amx_tile\n", True),
        ("flags\t\t: fpu amx_bf16\n", True),
        ("Features\t: fp asimd bf16 i8mm\n", True),
        ("flags\t\t: fpu avx2 avx512f\n", False),
    ],
)
def test_whether_bfloat16_is_faster_is_read_from_what_the_processor_says(tmp_path, text, expected):
    (tmp_path / "cpuinfo").write_text(text)
    assert processor_prefers_bfloat16(tmp_path / "cpuinfo") == expected
    assert not processor_prefers_bfloat16(tmp_path / "missing")


def test_number_formats_go_by_name(monkeypatch):
    for has_bfloat16, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr("opdm.runtime.processor_prefers_bfloat16", lambda answer=has_bfloat16: answer)
        assert default_dtype("cpu") == choose_dtype("auto", "cpu") == expected
    assert choose_dtype("float16", "cpu") == torch.float16
    assert default_dtype("mps") == torch.float32


def test_devices_that_are_there_are_taken():
    assert choose_device("cpu") == "cpu"
    assert choose_device("auto") in ("cpu", "cuda", "mps")


@pytest.mark.parametrize("name", ["tpu", "cuda:x", "meta", "", "cuda:99"])
def test_devices_that_are_not_there_are_refused(name):
    with pytest.raises(InputError, match=f"--device {name}: "):
        choose_device(name)
