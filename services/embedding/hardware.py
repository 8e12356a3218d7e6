"""What the processor offers to this process, and the process-wide settings that follow from it."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import sys
from pathlib import Path

_M_ARENA_MAX = -8
_KERNELS_KEPT = "32"
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

    torch and oneDNN each keep 1024 compiled kernels, one for each shape seen; unpadded batches
    have a new shape nearly each time, so that memory grew by 600 MB with no gain in speed.

    Threads that wait for each other within a product sleep: by default they spin, and take the core
    from the thread they wait for wherever another process runs on it.

    Args:
        threads: Threads of the tokenizers; torch is told its own.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("LRU_CACHE_CAPACITY", _KERNELS_KEPT)
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", _KERNELS_KEPT)
    os.environ.setdefault("RAYON_NUM_THREADS", str(threads))
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    limit_malloc_arenas()


def limit_malloc_arenas(count: int = 2) -> None:
    """Keeps glibc from giving each thread a heap of its own, which never shrinks."""
    if not sys.platform.startswith("linux"):
        return
    try:
        libc = ctypes.CDLL(ctypes.util.find_library("c") or "libc.so.6")
        libc.mallopt(_M_ARENA_MAX, count)
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
