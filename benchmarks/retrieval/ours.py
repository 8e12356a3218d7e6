"""Cairn's engine as a worker: one sealed segment, searched under a set of allowed rows."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.retrieval.peers.worker import Dataset, serve
from services.retrieval.vectors import Allowed, BuildSpec, IndexKind, RecallClass, build
from services.retrieval.vectors.kernels.registry import REGISTRY
from services.retrieval.vectors.opening import open_segment

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FORM = 1
"""Rises when segments of the same kind are built otherwise."""


class CairnEngine:
    """The setting is the recall class: `fast`, `high` or `exact`.

    Args:
        kind: Index of the segment.
    """

    name = "cairn"
    version = importlib.metadata.version("cairn-rag")

    def __init__(self, kind: IndexKind) -> None:
        self._kind = kind
        self.key = f"{kind.value}-{_FORM}"
        self._segment: Any = None
        self._masks: dict[str, Allowed | None] = {}
        self._allowed: Allowed | None = None
        self._recall = RecallClass.HIGH

    def open(self, data: Dataset, folder: Path) -> None:
        """Opens or builds the segment."""
        width = data.vectors.shape[1]
        if not (folder / "segment").exists():
            build(data.vectors, BuildSpec(self._kind, width), folder / "segment")
        self._segment = open_segment(folder / "segment")
        REGISTRY.wait(width)
        self._masks = {name: Allowed(mask) for name, mask in data.masks.items()}

    def prepare(self, case: str, setting: str) -> None:
        """Takes the allowed rows, which the service too makes once for a filter and a state."""
        self._allowed = self._masks[case] if case else None
        self._recall = RecallClass[setting.upper()]

    def search(self, query: NDArray[np.float32], count: int) -> Sequence[int]:
        """Returns the rows."""
        return (
            self._segment.search(query[None], self._allowed, count, self._recall).rows[0].tolist()
        )

    def search_batch(self, queries: NDArray[np.float32], count: int) -> list[list[int]]:
        """Returns the rows of several queries in one call."""
        return self._segment.search(queries, self._allowed, count, self._recall).rows.tolist()

    def extras(self) -> dict[str, float]:
        """Returns what the segment says of itself."""
        segment = self._segment
        return {
            "resident_bytes": segment.nbytes,
            "disk_bytes": segment.bytes_on_disk,
            **segment.measured,
        }


if __name__ == "__main__":
    serve(CairnEngine(IndexKind(sys.argv[1] if len(sys.argv) > 1 else "hnsw_sq8")))
