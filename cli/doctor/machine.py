"""The machine: is it one that Cairn runs well on?"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from services.rpc.preflight import Check, Finding, Level

_LEAST_FILES = 4096
_LEAST_MEMORY_BYTES = 3 * 10**9
_SLOW_SYNC_SECONDS = 0.02
_SYNC_ROUNDS = 5
_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}


def machine_checks(data_dir: Path) -> Iterator[Check]:
    """Yields looks at Python, processor, memory, files and the disk under `data_dir`."""
    yield Check("python", _python)
    yield Check("processor", _processor)
    yield Check("memory", _memory)
    yield Check("open files", _open_files)
    yield Check("disk", lambda: _sync_time(data_dir))
    yield Check("gpu", _gpu)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("python", Level.OK, version)


def _processor() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return Finding("processor", Level.OK, f"{cores} cores")
    has_bf16 = not _BF16_FLAGS.isdisjoint(text.split())
    what = (
        "multiplies bfloat16"
        if has_bf16
        else "no bfloat16: embedding runs in float32, half as fast"
    )
    if (cores or 1) < 2:
        remedy = "give it two cores: questions wait behind documents on one"
        return Finding("processor", Level.WARNING, f"{cores} core, {what}", remedy)
    return Finding("processor", Level.OK, f"{cores} cores, {what}")


def _memory() -> Finding:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (text := limit.read_text(encoding="ascii").strip()).isdigit():
        total = min(total, int(text))
    text = f"{total / 1e9:.1f} GB"
    if total < _LEAST_MEMORY_BYTES:
        remedy = "give it 3 GB: the suite takes 1 GB before your documents"
        return Finding("memory", Level.WARNING, text, remedy)
    return Finding("memory", Level.OK, text)


def _open_files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _LEAST_FILES:
        remedy = f"raise it: `ulimit -n {min(65536, hard) if hard > 0 else 65536}`"
        return Finding("open files", Level.WARNING, f"at most {soft}", remedy)
    return Finding("open files", Level.OK, f"at most {soft}")


def _sync_time(data_dir: Path) -> Finding:
    """Every acknowledged write waits for the disk once: its time is the least a write can take."""
    place = data_dir
    while not place.exists():
        place = place.absolute().parent
    times: list[float] = []
    with tempfile.NamedTemporaryFile(dir=place) as file:
        for _ in range(_SYNC_ROUNDS):
            file.write(b"\0" * 4096)
            file.flush()
            begun = time.monotonic()
            os.fsync(file.fileno())
            times.append(time.monotonic() - begun)
    middle = sorted(times)[_SYNC_ROUNDS // 2]
    text = f"a write is durable after {1000 * middle:.1f} ms"
    if middle > _SLOW_SYNC_SECONDS:
        return Finding("disk", Level.WARNING, text, "put the data directory on a local SSD")
    return Finding("disk", Level.OK, text)


def _gpu() -> Finding:
    program = shutil.which("nvidia-smi")
    if program is None:
        return Finding("gpu", Level.OK, "none: embedding and answers run on the processor")
    done = subprocess.run(  # noqa: S603 - fixed arguments
        [program, "--query-gpu=name,memory.total", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    if done.returncode != 0:
        remedy = "mend the driver, or run without a GPU"
        return Finding("gpu", Level.WARNING, "nvidia-smi fails", remedy)
    used = os.environ.get("CAIRN_EMBEDDING_DEVICE", "").startswith("cuda") or "vllm" in (
        os.environ.get("CAIRN_GENERATION_ENGINES", "")
    )
    remedy = "" if used else "CAIRN_EMBEDDING_DEVICE=cuda uses it; vLLM by `--generation-python`"
    return Finding("gpu", Level.OK, "; ".join(done.stdout.strip().splitlines()), remedy)
