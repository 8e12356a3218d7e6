"""What a process has and uses of its container or machine: memory, disk, GPUs; read when asked."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

_CGROUP = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")
_NVIDIA = Path("/proc/driver/nvidia")


class Resources(Collector):
    """Exports memory, disk and GPUs.

    Args:
        data_dir: Directory whose disk is looked at; None: no disk.
        cgroup: Where the kernel tells of the container.
        meminfo: Where it tells of the machine.
    """

    def __init__(
        self, data_dir: Path | None, cgroup: Path = _CGROUP, meminfo: Path = _MEMINFO
    ) -> None:
        self._data_dir = data_dir
        self._cgroup = cgroup
        self._meminfo = meminfo

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yields what can be read; what cannot is left out."""
        used, limit = _memory(self._cgroup, self._meminfo)
        yield GaugeMetricFamily(
            "cairn_memory_used_bytes",
            "Memory in use in the container, else on the machine, less what can be freed at once.",
            value=used,
        )
        yield GaugeMetricFamily(
            "cairn_memory_limit_bytes", "Memory of the container, else of the machine.", value=limit
        )
        if self._data_dir is not None:
            with contextlib.suppress(OSError):
                disk = shutil.disk_usage(_existing(self._data_dir))
                yield GaugeMetricFamily(
                    "cairn_disk_size_bytes", "Size of the data directory's disk.", value=disk.total
                )
                yield GaugeMetricFamily(
                    "cairn_disk_free_bytes", "Free on the data directory's disk.", value=disk.free
                )
        yield from _gpus()


def _existing(folder: Path) -> Path:
    """Returns the folder, or the nearest above it that is there already."""
    folder = folder.absolute()
    return next(each for each in (folder, *folder.parents) if each.exists())


def _memory(cgroup: Path, meminfo: Path) -> tuple[float, float]:
    """Returns bytes used and the limit."""
    machine = _pairs(meminfo)
    total = machine.get("MemTotal", 0) * 1024
    with contextlib.suppress(OSError, ValueError):
        text = (cgroup / "memory.max").read_text().strip()
        limit = float(text)  # "max" is no limit: then the machine counts
        if 0 < limit < total or not total:
            used = float((cgroup / "memory.current").read_text())
            # Files that were read once fill what is left of the limit; they go when it is needed.
            return used - _pairs(cgroup / "memory.stat").get("inactive_file", 0), limit
    return total - machine.get("MemAvailable", 0) * 1024, float(total)


def _pairs(path: Path) -> dict[str, int]:
    found: dict[str, int] = {}
    with contextlib.suppress(OSError):
        for line in path.read_text().splitlines():
            name, _, rest = line.replace(":", " ").partition(" ")
            value = rest.split()
            if value and value[0].isdecimal():
                found[name] = int(value[0])
    return found


def _gpus() -> Iterator[GaugeMetricFamily]:
    """Yields the use of each GPU, where there is a driver and a library that asks it."""
    if not _NVIDIA.exists() or importlib.util.find_spec("pynvml") is None:
        return
    import pynvml  # noqa: PLC0415 - only where there is a GPU  # pyright: ignore[reportMissingImports]

    size = GaugeMetricFamily("cairn_gpu_memory_bytes", "Memory of a GPU.", labels=["gpu"])
    used = GaugeMetricFamily("cairn_gpu_memory_used_bytes", "Its memory in use.", labels=["gpu"])
    busy = GaugeMetricFamily(
        "cairn_gpu_busy_ratio", "Share of the last second it computed, 0 to 1.", labels=["gpu"]
    )
    nvml: Any = pynvml
    try:
        nvml.nvmlInit()
        for index in range(nvml.nvmlDeviceGetCount()):
            device = nvml.nvmlDeviceGetHandleByIndex(index)
            memory = nvml.nvmlDeviceGetMemoryInfo(device)
            size.add_metric([str(index)], memory.total)
            used.add_metric([str(index)], memory.used)
            with contextlib.suppress(nvml.NVMLError):  # parts of a divided GPU do not tell
                rates = nvml.nvmlDeviceGetUtilizationRates(device)
                busy.add_metric([str(index)], rates.gpu / 100)
    except nvml.NVMLError:
        return
    yield from (size, used, busy)
