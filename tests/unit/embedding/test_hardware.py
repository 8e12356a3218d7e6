"""What the processor offers is read from where it is said, and its absence is no fault."""

from __future__ import annotations

import os

import pytest

from services.embedding import hardware


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("max 100000", 8), ("200000 100000", 2), ("50000 100000", 1), ("nonsense", 8)],
)
def test_cores_are_those_of_the_affinity_within_the_quota(monkeypatch, tmp_path, quota, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(hardware, "_CGROUP_QUOTA", tmp_path / "cpu.max")
    (tmp_path / "cpu.max").write_text(quota)
    assert hardware.usable_cores() == cores


def test_without_quota_the_affinity_decides(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3}, raising=False)
    monkeypatch.setattr(hardware, "_CGROUP_QUOTA", tmp_path / "absent")
    assert hardware.usable_cores() == 1


def test_what_libraries_read_is_set_unless_the_operator_did(monkeypatch):
    monkeypatch.setattr(hardware, "set_up_malloc", lambda: None)
    monkeypatch.setattr(os, "environ", {"RAYON_NUM_THREADS": "7"})
    hardware.configure_process(3)
    assert os.environ["RAYON_NUM_THREADS"] == "7"
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    assert os.environ["GOMP_SPINCOUNT"] == "3000"
    assert (
        os.environ["LRU_CACHE_CAPACITY"] == os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == "128"
    )
