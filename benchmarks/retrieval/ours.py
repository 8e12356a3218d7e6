"""Cairn's engine as a worker: one settled segment, searched under a mask as the service does."""

from __future__ import annotations

import importlib.metadata
import types
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.retrieval.peers.worker import Dataset, serve
from services.retrieval import dense, hnsw
from services.retrieval.queries import RecallClass

if TYPE_CHECKING:
    from numpy.typing import NDArray


class CairnEngine:
    """The setting is the recall class: `fast`, `high` or `exact`."""

    name = "cairn"
    version = importlib.metadata.version("cairn-rag")
    key = "hnsw-sq8"

    def __init__(self) -> None:
        self._snapshot: Any = None
        self._masks: dict[str, NDArray[np.bool_]] = {}
        self._allowed: Any = None
        self._recall = RecallClass.HIGH
        self._planner = dense.Planner()

    def open(self, data: Dataset, folder: Path) -> None:
        """Builds the segment anew."""
        vectors = np.array(data.vectors)
        segment = hnsw.build(vectors, 0, "segment", is_quantised=True)
        self._snapshot = types.SimpleNamespace(
            vectors=vectors, segments=(segment,), chunk_count=len(vectors)
        )
        self._masks = data.masks | {"": np.ones(len(vectors), np.bool_)}

    def prepare(self, case: str, setting: str) -> None:
        """Takes the mask, as a filter that was searched with before has it ready."""
        self._allowed = self._masks[case]
        self._recall = RecallClass[setting.upper()]

    def search(self, query: NDArray[np.float32], count: int) -> Sequence[int]:
        """Returns the rows."""
        return self.search_batch(query[None], count)[0]

    def search_batch(self, queries: NDArray[np.float32], count: int) -> list[list[int]]:
        """Returns the rows of several queries."""
        result = dense.search(
            self._snapshot, queries, self._allowed, count, self._recall, self._planner
        )
        return [found.rows.tolist() for found in result.found]


if __name__ == "__main__":
    serve(CairnEngine())
