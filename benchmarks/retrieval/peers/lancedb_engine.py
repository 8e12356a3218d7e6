"""LanceDB in process: inverted lists with graphs over 8-bit codes, filters before the search."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.retrieval.peers.worker import Dataset, Engine


class LanceEngine:
    """A table. The setting is `nprobes`; twice the results are refined by float vectors."""

    name = "lancedb"
    version = importlib.metadata.version("lancedb")
    key = "ivf-hnsw-sq"

    def __init__(self) -> None:
        self._table: Any = None
        self._where = ""
        self._probes = 20

    def open(self, data: Dataset, folder: Path) -> None:
        """Opens or builds the table."""
        database = lancedb.connect(str(folder / "db"))
        if (folder / "built").exists():
            self._table = database.open_table("bench")
            return
        rows, width = data.vectors.shape
        flat = pa.array(np.asarray(data.vectors).reshape(-1))
        columns = {
            "row": pa.array(np.arange(rows)),
            "vector": pa.FixedSizeListArray.from_arrays(flat, width),
            **{name: pa.array(mask) for name, mask in data.masks.items()},
        }
        self._table = database.create_table("bench", pa.table(columns))
        self._table.create_index(
            metric="dot", vector_column_name="vector", index_type="IVF_HNSW_SQ"
        )
        for name in data.masks:
            self._table.create_scalar_index(name, index_type="BITMAP")
        (folder / "built").touch()

    def prepare(self, case: str, setting: str) -> None:
        """Makes the filter."""
        self._where = f"{case} = true" if case else ""
        self._probes = int(setting or 20)

    def search(self, query: NDArray[np.float32], count: int) -> Sequence[int]:
        """Returns the rows."""
        search = self._table.search(query, vector_column_name="vector").metric("dot")
        search = search.nprobes(self._probes).refine_factor(2).limit(count)
        search = search.select(["row", "_distance"])
        if self._where:
            search = search.where(self._where, prefilter=True)
        return search.to_arrow()["row"].to_pylist()


def make() -> Engine:
    """Returns the engine."""
    return LanceEngine()
