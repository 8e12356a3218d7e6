"""What a process tells of its memory, disk and GPUs, and how many tenants metrics name."""

from __future__ import annotations

import importlib.machinery
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from services.rpc import resources
from services.rpc.metrics import TenantLabels
from services.rpc.resources import Resources


@pytest.fixture
def kernel(tmp_path: Path) -> tuple[Path, Path]:
    """What the kernel tells of a container of 1,000,000 bytes on a machine of 8 MB."""
    cgroup, meminfo = tmp_path / "cgroup", tmp_path / "meminfo"
    cgroup.mkdir()
    (cgroup / "memory.max").write_text("1000000\n")
    (cgroup / "memory.current").write_text("800000\n")
    (cgroup / "memory.stat").write_text("anon 500000\ninactive_file 200000\nfile 300000\n")
    meminfo.write_text("MemTotal:        8000 kB\nMemFree: 10 kB\nMemAvailable:    6000 kB\n")
    return cgroup, meminfo


def figures(collector: Resources) -> dict[str, float]:
    return {
        sample.name + str(sample.labels.get("gpu", "")): sample.value
        for family in collector.collect()
        for sample in family.samples
    }


def test_memory_is_the_containers_without_what_can_go(kernel: tuple[Path, Path]) -> None:
    found = figures(Resources(None, *kernel))
    assert found["cairn_memory_used_bytes"] == 600_000
    assert found["cairn_memory_limit_bytes"] == 1_000_000


@pytest.mark.parametrize("limit", ["max", "99999999999", ""])
def test_without_a_limit_it_is_the_machines(kernel: tuple[Path, Path], limit: str) -> None:
    (kernel[0] / "memory.max").write_text(limit)
    found = figures(Resources(None, *kernel))
    assert found["cairn_memory_used_bytes"] == 2000 * 1024
    assert found["cairn_memory_limit_bytes"] == 8000 * 1024


def test_the_disk_is_that_of_a_folder_that_is_not_there_yet(
    kernel: tuple[Path, Path], tmp_path: Path
) -> None:
    found = figures(Resources(tmp_path / "not" / "yet", *kernel))
    assert 0 < found["cairn_disk_free_bytes"] < found["cairn_disk_size_bytes"]


def test_gpus_are_told_of_where_there_are_some(
    kernel: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NVMLError(Exception):
        pass

    def rates(device: int) -> SimpleNamespace:
        if device == 1:
            raise NVMLError  # as a part of a divided GPU does
        return SimpleNamespace(gpu=75)

    library = ModuleType("pynvml")
    library.__spec__ = importlib.machinery.ModuleSpec("pynvml", None)
    vars(library).update(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetMemoryInfo=lambda device: SimpleNamespace(total=100, used=40 + device),
        nvmlDeviceGetUtilizationRates=rates,
    )
    monkeypatch.setitem(sys.modules, "pynvml", library)
    assert (
        not [name for name in figures(Resources(None, *kernel)) if "gpu" in name]
        or Path("/proc/driver/nvidia").exists()
    )
    monkeypatch.setattr(resources, "_NVIDIA", tmp_path)
    found = figures(Resources(None, *kernel))
    assert found["cairn_gpu_memory_used_bytes1"] == 41
    assert found["cairn_gpu_memory_bytes0"] == 100
    assert found["cairn_gpu_busy_ratio0"] == 0.75
    assert "cairn_gpu_busy_ratio1" not in found


def test_the_real_library_has_what_is_asked_of_it(
    kernel: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")
    for name in ("Init", "DeviceGetCount", "DeviceGetHandleByIndex", "DeviceGetMemoryInfo"):
        assert callable(getattr(library, f"nvml{name}"))
    assert callable(library.nvmlDeviceGetUtilizationRates)
    assert issubclass(library.NVMLError, Exception)
    monkeypatch.setattr(resources, "_NVIDIA", tmp_path)
    found = figures(Resources(None, *kernel))
    assert "cairn_memory_used_bytes" in found, "without a driver the rest is told all the same"


def test_a_driver_that_fails_costs_the_gpus_figures_only(
    kernel: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NVMLError(Exception):
        pass

    def fail() -> None:
        raise NVMLError

    library = ModuleType("pynvml")
    library.__spec__ = importlib.machinery.ModuleSpec("pynvml", None)
    vars(library).update(NVMLError=NVMLError, nvmlInit=fail)
    monkeypatch.setitem(sys.modules, "pynvml", library)
    monkeypatch.setattr(resources, "_NVIDIA", tmp_path)
    assert "cairn_memory_used_bytes" in figures(Resources(None, *kernel))


def test_tenants_are_named_until_there_are_too_many() -> None:
    tenants = TenantLabels(most=2)
    assert [tenants.label(each) for each in ("a", "b", "c", "a", "d")] == [
        "a",
        "b",
        "other",
        "a",
        "other",
    ]
