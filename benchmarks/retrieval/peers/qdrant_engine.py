"""Qdrant's engine in process (`qdrant-edge-py`): the filters as indexed keywords."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import qdrant_edge as q
from numpy.typing import NDArray

from benchmarks.retrieval.peers.worker import Dataset, Engine

_ROWS_PER_BATCH = 2000
_LINKS = 32
_BUILD_EFFORT = 100


class QdrantEngine:
    """A shard. The setting is `ef` of the graph; narrow filters are scanned by its own planner."""

    name = "qdrant"
    version = importlib.metadata.version("qdrant-edge-py")
    key = f"m{_LINKS}-efc{_BUILD_EFFORT}-one-segment"

    def __init__(self) -> None:
        self._shard: Any = None
        self._filter: Any = None
        self._params: Any = None

    def open(self, data: Dataset, folder: Path) -> None:
        """Opens or builds the shard."""
        if (folder / "built").exists():
            self._shard = q.EdgeShard.load(str(folder / "shard"), _config(data))
            return
        (folder / "shard").mkdir(parents=True, exist_ok=True)
        shard = q.EdgeShard.create(str(folder / "shard"), _config(data))
        shard.update(q.UpdateOperation.create_field_index("tags", q.PayloadSchemaType.Keyword))
        tags = data.tags()
        for start in range(0, len(data.vectors), _ROWS_PER_BATCH):
            part = np.asarray(data.vectors[start : start + _ROWS_PER_BATCH]).tolist()
            points = [
                q.Point(start + at, vector, {"tags": tags[start + at]})
                for at, vector in enumerate(part)
            ]
            shard.update(q.UpdateOperation.upsert_points(points))
        while shard.optimize():
            pass
        shard.flush()
        (folder / "built").touch()
        self._shard = shard

    def prepare(self, case: str, setting: str) -> None:
        """Makes the filter and the parameters."""
        self._params = q.SearchParams(hnsw_ef=int(setting or 64))
        if case:
            condition = q.FieldCondition("tags", match=q.MatchValue(case))
            self._filter = q.Filter(must=[condition])
        else:
            self._filter = None

    def convert(self, query: NDArray[np.float32]) -> list[float]:
        """Returns a query as the engine takes it."""
        return query.tolist()

    def search(self, query: list[float], count: int) -> Sequence[int]:
        """Returns the point numbers."""
        found = self._shard.query(self._request(query, count))
        return [point.id for point in found]

    def search_batch(self, queries: NDArray[np.float32], count: int) -> list[list[int]]:
        """Returns the point numbers of several queries planned as one batch."""
        requests = [self._request(query, count) for query in queries.tolist()]
        answers = self._shard.query_batch(q.QueryBatchRequest(requests))
        return [[point.id for point in answer] for answer in answers]

    def extras(self) -> dict[str, float]:
        """Returns what the shard says of itself."""
        info = self._shard.info()
        return {"segments": info.segments_count, "indexed": info.indexed_vectors_count}

    def _request(self, vector: list[float], count: int) -> Any:
        return q.QueryRequest(
            limit=count,
            query=q.Query.Nearest(vector),
            filter=self._filter,
            params=self._params,
            with_payload=False,
            with_vector=False,
        )


def _config(data: Dataset) -> Any:
    return q.EdgeConfig(
        vectors=q.EdgeVectorParams(size=data.vectors.shape[1], distance=q.Distance.Dot),
        hnsw_config=q.HnswIndexConfig(
            m=_LINKS, ef_construct=_BUILD_EFFORT, full_scan_threshold=10_000
        ),
        optimizers=q.EdgeOptimizersConfig(
            default_segment_number=1, indexing_threshold=10_000, max_segment_size=4_000_000
        ),
        max_search_threads=1,
    )


def make() -> Engine:
    """Returns the engine."""
    return QdrantEngine()
