"""What the processor offers to this process, and the process-wide settings that follow from it."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import sys
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_MAPPED_BYTES = 32 * 1024 * 1024
"""glibc's largest. Smaller blocks come from a heap and stay there."""
_FREE_BYTES = 64 * 1024 * 1024
"""Free memory at the end of a heap that is kept for the next pass."""
_KERNELS_KEPT = "128"
_SPINS = "3000"
_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""`bf16` is its name on ARM."""
_CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_cores() -> int:
    """Counts the cores this process may use: its affinity, cut to the quota of its container."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    try:
        quota, period = _CGROUP_QUOTA.read_text(encoding="ascii").split()
        if quota != "max":
            cores = min(cores, max(1, int(quota) // int(period)))
    except (OSError, ValueError):
        pass
    return cores


def has_fast_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16; emulated, it is slower than float32."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    for line in lines:
        name, _, flags = line.partition(":")
        if name.strip() in {"flags", "Features"}:
            return not _BF16_FLAGS.isdisjoint(flags.split())
    return False


def configure_process(threads: int) -> None:
    """Sets what libraries read when they are first imported: call it before torch is.

    torch and oneDNN each keep 1024 compiled kernels of 670 KB, one for each shape seen. Shapes are
    rounded (`engines.shapes`), so that those of one kind of load find room in fewer.

    Threads that wait for each other within a product spin for some 30 µs and then sleep. By default
    they spin for milliseconds, and take the core from the thread they wait for wherever another
    process runs on it; without any spinning they slept 5,000 times a second.

    Args:
        threads: Threads of the tokenizers; torch is told its own.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
    os.environ.setdefault("LRU_CACHE_CAPACITY", _KERNELS_KEPT)
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", _KERNELS_KEPT)
    os.environ.setdefault("RAYON_NUM_THREADS", str(threads))
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    set_up_malloc()


def set_up_malloc(arenas: int = 2) -> None:
    """Keeps glibc from giving each thread a heap of its own, and from giving memory back too soon.

    What a pass frees, the next one takes: given back in between, each of its pages costs a fault,
    of which there were 2,700 to 4,600 a pass, an eighth of its time.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        libc = ctypes.CDLL(ctypes.util.find_library("c") or "libc.so.6")
        libc.mallopt(_M_ARENA_MAX, arenas)
        libc.mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _FREE_BYTES)
    except (OSError, AttributeError):
        return  # another C library, without such heaps


def return_free_memory() -> None:
    """Gives freed heap back to the system, after a model was loaded or unloaded."""
    if not sys.platform.startswith("linux"):
        return
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        return
