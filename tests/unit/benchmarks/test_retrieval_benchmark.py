"""The retrieval benchmark: its data, its arithmetic, and one tiny run from end to end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.retrieval import cases, data, engine
from benchmarks.retrieval.peers.worker import MODULES
from cli.benchmarks import benchmark_names, summary_of

ROOT = Path(__file__).parents[3]


def test_the_same_seed_gives_the_same_data():
    one, two = data.make(300, 5, queries=10), data.make(300, 5, queries=10)
    assert np.array_equal(one.vectors, two.vectors)
    assert np.array_equal(one.queries, two.queries)
    assert np.linalg.norm(one.vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert not np.array_equal(one.vectors, data.make(300, 6, queries=10).vectors)


def test_masks_have_the_share_that_their_case_says():
    clusters = np.sort(np.random.default_rng(0).integers(0, 50, 10_000))
    masks = cases.masks(clusters, 1)
    for case in cases.FILTERED:
        assert masks[cases.label(case)].sum() == round(case.fraction * 10_000)
    correlated = clusters[masks["c100"]]
    assert len(set(correlated)) <= 3  # whole neighbouring clusters
    assert len(set(clusters[masks["u100"]])) > 20


@pytest.mark.parametrize("share", [1.0, 0.5, 0.001])
def test_truth_is_what_brute_force_finds(share):
    random = np.random.default_rng(2)
    vectors = random.normal(size=(2000, 8)).astype(np.float32)
    queries = random.normal(size=(5, 8)).astype(np.float32)
    mask = random.random(2000) < share
    found = cases.truth(vectors, queries, mask, 10)
    scores = np.where(mask[:, None], vectors @ queries.T, -np.inf)
    for row, column in zip(found, scores.T, strict=True):
        order = [each for each in np.argsort(-column)[:10] if mask[each]]
        assert [each for each in row if each >= 0] == order


def test_recall_counts_only_what_there_is():
    wanted = np.array([[1, 2, -1], [-1, -1, -1], [4, 5, 6]])
    assert cases.recall([[1], [], [6, 5, 4]], wanted) == pytest.approx((0.5 + 1 + 1) / 3)


def tally(speeds, is_right):
    found = [[1]] if is_right else [[2]]
    return engine._Tally(speeds, found, [[1]])


def test_ratios_are_taken_against_the_fastest_peer_that_passes_and_losing_rows_stay():
    tallies = {
        ("cairn", "fast"): tally([900.0, 1000.0, 1100.0], False),
        ("cairn", "high"): tally([400.0, 500.0, 600.0], True),
        ("qdrant", "32"): tally([5000.0, 5000.0, 5000.0], False),
        ("qdrant", "64"): tally([1000.0, 1000.0, 1000.0], True),
        ("qdrant", "128"): tally([250.0, 250.0, 250.0], True),
    }
    rows = list(engine._rows(cases.HALF, 1000, tallies))
    (comparison,) = [row for row in rows if "ratio" in row]
    assert comparison["system"] == "cairn high"
    assert comparison["against"] == "qdrant 64"
    assert comparison["ratio"] == 0.5
    assert comparison["passed"] is False
    assert len(rows) == 6  # every setting of every system, and the comparison


def run(*options: str) -> tuple[dict, str]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.retrieval", "--json", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=110,
    )
    return json.loads(done.stdout), done.stderr


def test_a_tiny_run_from_end_to_end(tmp_path):
    """FAISS is in this environment: it stands for the peers; another is missing, and said so."""
    report, said = run(
        "--quick", "--rows", "300", "--peers", "faiss,qdrant",
        "--cases", "1 %", "--cache", str(tmp_path),
    )  # fmt: skip
    assert report["bench"] == "retrieval"
    assert report["seed"] == 0
    assert report["versions"]["faiss"]
    systems = {row["system"] for row in report["rows"]}
    assert {"cairn high", "faiss flat"} <= systems
    assert any(row.get("against", "").startswith("faiss") for row in report["rows"])
    assert all(row["recall"] == 1.0 for row in report["rows"] if row["system"] == "cairn high")
    assert "left out: qdrant" in said


def test_every_peer_has_its_engine_and_the_benchmark_its_summary():
    folder = ROOT / "benchmarks" / "retrieval" / "peers"
    assert all((folder / f"{module}.py").exists() for module in MODULES.values())
    assert "retrieval" in benchmark_names()
    assert "Qdrant" in summary_of("retrieval")
