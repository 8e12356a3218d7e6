"""Plans follow what things cost, and say why."""

from __future__ import annotations

import json

import pytest

from services.retrieval.vectors import IndexKind, RecallClass, calibration
from services.retrieval.vectors import planner as plans
from services.retrieval.vectors.kernels.registry import REGISTRY, KernelRegistry
from services.retrieval.vectors.planner import Costs, Profile, Rung, choose

LADDER = (
    Rung(48, 0.966, 1268),
    Rung(64, 0.979, 1546),
    Rung(96, 0.993, 2069),
    Rung(192, 0.999, 3407),
)
GRAPH = Profile(IndexKind.HNSW_SQ8, 100_000, 384, 0, LADDER)
HUGE = Profile(IndexKind.HNSW_SQ8, 3_000_000, 384, 0, LADDER)
LISTS = Profile(
    IndexKind.IVF_SQ8, 1_000_000, 384, 4_000, (Rung(8, 0.9, 2_000), Rung(32, 0.993, 8_000))
)
COSTS = Costs()


@pytest.mark.parametrize(
    ("profile", "allowed", "recall", "expected"),
    [
        (GRAPH, 0, RecallClass.HIGH, plans.SKIP),
        (GRAPH, 100_000, RecallClass.EXACT, plans.EXACT),
        (GRAPH, 100_000, RecallClass.HIGH, plans.GRAPH),
        (GRAPH, 100_000, RecallClass.FAST, plans.GRAPH),
        (GRAPH, 10_000, RecallClass.HIGH, plans.EXACT),
        (GRAPH, 10, RecallClass.FAST, plans.EXACT),
        (GRAPH, 5, RecallClass.HIGH, plans.EXACT),
        (HUGE, 50_000, RecallClass.HIGH, plans.EXACT),
        (HUGE, 300_000, RecallClass.HIGH, plans.FILTERED_GRAPH),
        (HUGE, 2_900_000, RecallClass.HIGH, plans.GRAPH),
        (LISTS, 1_000_000, RecallClass.HIGH, plans.IVF),
        (LISTS, 400, RecallClass.FAST, plans.EXACT),
        (Profile(IndexKind.FLAT, 10_000, 384), 10_000, RecallClass.FAST, plans.EXACT),
    ],
)
def test_plans(profile, allowed, recall, expected):
    plan = choose(profile, allowed, 10, recall, COSTS)
    assert plan.name == expected
    assert plan.why


def test_effort_is_the_least_that_found_enough():
    assert GRAPH.effort(RecallClass.FAST, 10) == 51  # between 48 (.966) and 64 (.979)
    assert GRAPH.effort(RecallClass.HIGH, 10) == 94
    assert GRAPH.effort(RecallClass.HIGH, 100) == 247
    assert Profile(IndexKind.HNSW, 10, 64).effort(RecallClass.HIGH, 10) == 192
    weak = Profile(IndexKind.HNSW, 10, 64, 0, (Rung(32, 0.5, 10), Rung(64, 0.6, 20)))
    assert weak.effort(RecallClass.HIGH, 10) == 64
    assert LISTS.effort(RecallClass.HIGH, 10) == 64  # twice what rows of its own need
    assert LISTS.effort(RecallClass.HIGH, 100_000) == 4_000


def test_dear_scans_lead_to_graphs():
    slow = Costs(row=500.0, far_row=500.0)
    assert choose(GRAPH, 40_000, 10, RecallClass.FAST, slow).name == plans.FILTERED_GRAPH
    assert (
        choose(GRAPH, 40_000, 10, RecallClass.FAST, Costs(row=0.5, far_row=0.5)).name == plans.EXACT
    )


def test_costs_are_measured_within_reason_and_kept(tmp_path):
    kernels = REGISTRY.wait(384)
    assert kernels is not None, REGISTRY.failure
    usual = Costs()
    found = calibration.load_or_measure(kernels, tmp_path)
    for name in ("row", "far_row", "step", "base"):
        assert getattr(usual, name) / 4 <= getattr(found, name) <= getattr(usual, name) * 4
    assert calibration.load_or_measure(None, tmp_path) == found
    (tmp_path / "costs.json").write_text(json.dumps({"unknown": 1}))
    assert calibration.load_or_measure(kernels, tmp_path).row > 0


def test_a_folder_that_cannot_be_written_does_not_matter(tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.write_text("in the way")
    monkeypatch.setattr("services.retrieval.vectors.kernels.registry._BESIDE", file / "kernels")
    registry = KernelRegistry(file / "kernels")
    assert registry.wait(64) is not None
    assert registry.failure == ""


def test_compiled_code_is_kept_in_the_data_directory_where_the_package_is_read_only(
    tmp_path, monkeypatch
):
    folder = tmp_path / "kernels"
    nowhere = tmp_path / "nothing" / "there"
    monkeypatch.setattr("services.retrieval.vectors.kernels.registry._BESIDE", nowhere)
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")
    registry = KernelRegistry()
    registry.configure(folder)
    assert registry._cache().parent == folder
    assert KernelRegistry()._cache().parent == folder  # a builder started from here


def test_without_numba_it_says_so(monkeypatch):
    registry = KernelRegistry()

    def missing(width, *, is_cached):
        raise ImportError("No module named 'numba'")

    monkeypatch.setattr(registry, "_compile", missing)
    assert registry.wait(64) is None
    assert "numba" in registry.failure
    registry.prepare(128)  # does not try again
    assert registry.get(128) is None


def test_code_that_cannot_be_compiled_is_replaced_by_numpy(monkeypatch):
    registry = KernelRegistry()

    def broken(width, *, is_cached):
        raise RuntimeError("LLVM")

    monkeypatch.setattr(registry, "_compile", broken)
    assert registry.wait(64) is None
    assert "RuntimeError" in registry.failure
