"""The loop of a worker process: one engine, asked over pipes, timed by its own CPU clock.

Runs under any Python with numpy: `python -m benchmarks.retrieval.peers.worker NAME` in the peers'
environment, and inside Cairn's worker. Each line on stdin is a JSON object with `do`; each answer
is a line on stdout. Arrays stay in files of the data folder.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

MODULES = {
    "qdrant": "qdrant_engine",
    "faiss": "faiss_engine",
    "pgvector": "pgvector_engine",
    "chroma": "chroma_engine",
    "lancedb": "lancedb_engine",
}


class Engine(Protocol):
    """What a system under test offers."""

    name: str
    version: str
    key: str
    """What its index depends on besides data and version."""

    def open(self, data: Dataset, folder: Path) -> None:
        """Opens the index of a folder; builds it there first when the folder is empty."""
        ...

    def prepare(self, case: str, setting: str) -> None:
        """Gets ready for searches of one kind; not timed."""
        ...

    def search(self, query: Any, count: int) -> Sequence[int]:
        """Returns the rows nearest to a query, best first."""
        ...


class Dataset:
    """The data folder: vectors, queries and the masks of the filters.

    Args:
        folder: Where the harness wrote them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.vectors: NDArray[np.float32] = np.load(folder / "vectors.npy", mmap_mode="r")
        self.queries: NDArray[np.float32] = np.load(folder / "queries.npy")
        names = json.loads((folder / "masks.json").read_text("utf-8"))
        stack = np.load(folder / "masks.npy")
        self.masks: dict[str, NDArray[np.bool_]] = dict(zip(names, stack, strict=True))

    def tags(self) -> list[list[str]]:
        """Returns the labels of the filters that each row matches."""
        found: list[list[str]] = [[] for _ in range(len(self.vectors))]
        for name, mask in self.masks.items():
            for row in np.flatnonzero(mask):
                found[row].append(name)
        return found


def serve(engine: Engine) -> None:
    """Answers the harness until it hangs up."""
    # Libraries print; the pipe is for answers only.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    worker = _Worker(engine)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(worker, request.pop("do"))(**request)
        except Exception as error:  # noqa: BLE001 - told to the harness, which says it aloud
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


class _Worker:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._data: Dataset | None = None
        self._prepared = ("", "")

    def describe(self) -> dict[str, Any]:
        return {"version": self._engine.version, "key": self._engine.key}

    def open(self, data: str, folder: str) -> dict[str, Any]:
        before = self._cpu_seconds()
        self._data = Dataset(Path(data))
        self._engine.open(self._data, Path(folder))
        return {"cpu_seconds": self._cpu_seconds() - before}

    def pin(self, core: int) -> dict[str, Any]:
        for task in Path("/proc/self/task").iterdir():
            with contextlib.suppress(ProcessLookupError):  # it may have ended since
                os.sched_setaffinity(int(task.name), {core})
        return {}

    def run(
        self, case: str, setting: str, first: int, last: int, count: int, budget_seconds: float
    ) -> dict[str, Any]:
        """Searches for queries one by one until they end, or the CPU time is spent."""
        assert self._data is not None, "open comes first"
        engine, queries = self._engine, self._data.queries
        if self._prepared != (case, setting):
            engine.prepare(case, setting)
            self._prepared = (case, setting)
            convert = getattr(engine, "convert", None)
            engine.search(convert(queries[first]) if convert else queries[first], count)
        # An engine that takes lists gets lists: what a caller would have ready is not timed.
        convert = getattr(engine, "convert", None)
        wanted = [convert(each) if convert else each for each in queries[first:last]]
        found = []
        began = self._cpu_seconds()
        for query in wanted:
            found.append([int(row) for row in engine.search(query, count)])
            if self._cpu_seconds() - began > budget_seconds:
                break
        return {"cpu_seconds": self._cpu_seconds() - began, "found": found}

    def batch(self, case: str, setting: str, first: int, last: int, count: int) -> dict[str, Any]:
        """Searches for queries in one call where the engine can."""
        assert self._data is not None, "open comes first"
        engine: Any = self._engine
        if self._prepared != (case, setting):
            engine.prepare(case, setting)
            self._prepared = (case, setting)
        queries = self._data.queries[first:last]
        engine.search_batch(queries, count)
        began = self._cpu_seconds()
        found = engine.search_batch(queries, count)
        return {
            "cpu_seconds": self._cpu_seconds() - began,
            "found": [[int(row) for row in rows] for rows in found],
        }

    def _cpu_seconds(self) -> float:
        """Returns the CPU time of this process, its threads and what an engine runs for it."""
        servers = getattr(self._engine, "server_cpu_seconds", None)
        return time.process_time() + (servers() if servers else 0.0)

    def extras(self) -> dict[str, Any]:
        """Returns what an engine tells of itself: figures by name."""
        more = getattr(self._engine, "extras", dict)
        return dict(more()) | {"rss_bytes": _rss_bytes()}


def _rss_bytes() -> int:
    text = Path("/proc/self/statm").read_text("utf-8")
    return int(text.split()[1]) * resource.getpagesize()


def main() -> None:
    """Serves the engine named on the command line."""
    module = importlib.import_module(f"benchmarks.retrieval.peers.{MODULES[sys.argv[1]]}")
    serve(module.make())


if __name__ == "__main__":
    main()
