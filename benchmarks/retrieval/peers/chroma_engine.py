"""Chroma in process: its local index, the filters as flags in its metadata."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
from numpy.typing import NDArray

from benchmarks.retrieval.peers.worker import Dataset, Engine

_ROWS_PER_BATCH = 2000


class ChromaEngine:
    """A persistent collection. The setting is `ef_search`, fixed when it is built: 100."""

    name = "chroma"
    version = importlib.metadata.version("chromadb")
    key = "ef100"

    def __init__(self) -> None:
        self._collection: Any = None
        self._where: dict[str, Any] | None = None

    def open(self, data: Dataset, folder: Path) -> None:
        """Opens or builds the collection."""
        quiet = chromadb.Settings(anonymized_telemetry=False)
        client = chromadb.PersistentClient(str(folder / "db"), settings=quiet)
        if (folder / "built").exists():
            self._collection = client.get_collection("bench")
            return
        self._collection = client.create_collection(
            "bench", configuration={"hnsw": {"space": "ip", "ef_construction": 100}}
        )
        tags = data.tags()
        for start in range(0, len(data.vectors), _ROWS_PER_BATCH):
            part = np.asarray(data.vectors[start : start + _ROWS_PER_BATCH])
            rows = range(start, start + len(part))
            self._collection.add(
                ids=[str(row) for row in rows],
                embeddings=part,
                metadatas=[{"row": row, **dict.fromkeys(tags[row], True)} for row in rows],
            )
        (folder / "built").touch()

    def prepare(self, case: str, setting: str) -> None:
        """Makes the filter."""
        self._where = {case: True} if case else None

    def search(self, query: NDArray[np.float32], count: int) -> Sequence[int]:
        """Returns the rows."""
        return self.search_batch(query[None], count)[0]

    def search_batch(self, queries: NDArray[np.float32], count: int) -> list[list[int]]:
        """Returns the rows of several queries."""
        found = self._collection.query(
            query_embeddings=queries, n_results=count, where=self._where, include=[]
        )
        return [[int(each) for each in ids] for ids in found["ids"]]


def make() -> Engine:
    """Returns the engine."""
    return ChromaEngine()
