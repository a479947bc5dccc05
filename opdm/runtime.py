"""What the machine offers: devices, number formats, and memory that is not given back between two layers.

Importing this imports no torch, because `reuse_freed_memory` and `use_all_cores` want to come first.
"""

import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from opdm.errors import InputError

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "bfloat16", "float16")

# Parameters of glibc's mallopt, from malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
LARGEST_INT = 2**31 - 1

# Words of /proc/cpuinfo (x86 and ARM) of processors that multiply bfloat16 faster than float32. Intel's with AVX-512
# but without AMX do so at half the speed (`scripts/benchmark.py precision`); others only imitate it.
BFLOAT16_WORDS = ({"amx_bf16"}, {"avx512_bf16", "AuthenticAMD"}, {"bf16"})


def reuse_freed_memory() -> None:
    """Let glibc keep freed memory for the next tensor instead of returning it; elsewhere does nothing.

    Fresh pages for every activation cost a CPU more than the arithmetic on them. Affects the whole process, so
    programs call it, and importing does not.
    """
    if mallopt := find_in_libc("mallopt"):
        mallopt(M_MMAP_THRESHOLD, LARGEST_INT)
        mallopt(M_TRIM_THRESHOLD, LARGEST_INT)


def return_freed_memory() -> None:
    """Give back to the system what glibc has kept; elsewhere does nothing.

    Between two stages whose tensors have other sizes: the holes that one leaves do not fit the other. On Linux, where
    pages from within the heap are returned too.
    """
    if malloc_trim := find_in_libc("malloc_trim"):
        malloc_trim(0)


def find_in_libc(name: str) -> Callable[..., int] | None:
    """A function of the C library; None where there is none of that name."""
    try:
        return cast(Callable[..., int], getattr(ctypes.CDLL(None), name))
    except (OSError, AttributeError, TypeError):
        return None


def use_all_cores() -> None:
    """Undo the one thread that `accelerate launch` gives a single process unasked; to be called before torch comes.

    Any other number, as its --num_cpu_threads_per_process sets it, stays, and so do those of several processes.
    """
    is_launched = "ACCELERATE_MIXED_PRECISION" in os.environ  # what accelerate sets for its script, always
    if is_launched and "WORLD_SIZE" not in os.environ and os.environ.get("OMP_NUM_THREADS") == "1":
        del os.environ["OMP_NUM_THREADS"]


def choose_device(name: str) -> str:
    """The device of that name: `auto` (the fastest there is), `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises InputError for a device that is not there.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda", "mps"):
        raise InputError(f"--device {name}: no such device; take auto, cpu, cuda, cuda:N or mps")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"--device {name}: PyTorch finds no CUDA device on this machine; take --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"--device {name}: there are {torch.cuda.device_count()} CUDA devices, counted from 0")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise InputError(f"--device {name}: PyTorch finds no Metal device on this machine; take --device cpu")
    return name


def choose_dtype(name: str, device: str) -> "torch.dtype":
    """The number format of that name; `auto` is bfloat16 where `device` is faster in it, and float32 elsewhere."""
    import torch

    return default_dtype(device) if name == "auto" else {dtype: getattr(torch, dtype) for dtype in DTYPES}[name]


def default_dtype(device: str) -> "torch.dtype":
    """bfloat16 where `device` (a torch device's name) is faster in it, else float32."""
    import torch

    if device.startswith("cuda"):
        is_faster = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        is_faster = device == "cpu" and processor_prefers_bfloat16()
    return torch.bfloat16 if is_faster else torch.float32


def processor_prefers_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor multiplies bfloat16 faster than float32; False where the system does not say."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return any(words <= set(text.split()) for words in BFLOAT16_WORDS)
