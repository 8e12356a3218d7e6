"""Every kind of index: recall and what is lost of it, bytes of a vector, speed, time to build."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from benchmarks.retrieval import cases
from benchmarks.retrieval.dataset import COUNT
from benchmarks.retrieval.workers import Places, Worker, WorkerError, say
from services.retrieval.vectors import IndexKind

if TYPE_CHECKING:
    from benchmarks.retrieval.dataset import Folder


def measure(folder: Folder, places: Places, *, is_quick: bool) -> Iterator[dict[str, Any]]:
    """Yields a row for each kind and recall class; a kind that cannot be built is said aloud."""
    budget_seconds = 0.1 if is_quick else 0.6
    for kind in IndexKind:
        if is_quick and kind is IndexKind.IVF_PQ:
            say("left out: ivf_pq: it takes minutes to build")
            continue
        worker = Worker(f"cairn-{kind.value}", _command(kind))
        try:
            worker.open(folder.path, places.cache)
            about = worker.ask("extras")
            for setting in ("fast", "high"):
                yield _row(worker, folder, kind, setting, budget_seconds, about)
        except WorkerError as error:
            say(f"left out: {kind.value}: {error}")
        finally:
            worker.close()


def _command(kind: IndexKind) -> list[str]:
    return [sys.executable, "-m", "benchmarks.retrieval.ours", kind.value]


def _row(
    worker: Worker,
    folder: Folder,
    kind: IndexKind,
    setting: str,
    budget_seconds: float,
    about: dict[str, Any],
) -> dict[str, Any]:
    answer = worker.ask(
        "run", case="", setting=setting, first=0, last=folder.queries, count=COUNT,
        budget_seconds=budget_seconds,
    )  # fmt: skip
    found = cases.recall(answer["found"], folder.truths[""])
    return {
        "case": f"index {kind.value}, {folder.rows} rows",
        "system": f"cairn {setting}",
        "metric": "queries_per_cpu_second",
        "value": round(len(answer["found"]) / answer["cpu_seconds"], 1),
        "recall": round(found, 4),
        "recall_loss": round(1 - found, 4),
        "resident_bytes_per_vector": round(about["resident_bytes"] / folder.rows),
        "disk_bytes_per_vector": round(about["disk_bytes"] / folder.rows),
        "build_cpu_seconds": round(worker.build_cpu_seconds or 0.0, 1),
    }
