"""The cheapest question to the database: how far has a collection's log come by now?

A view that stands where the log stands holds the truth: nothing it finds has to be looked up again
to know that it still exists and who may read it. The question is one row by its key, on connections
of its own, without a transaction around it: microseconds on SQLite, a round trip on PostgreSQL.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.sql.engine import is_sqlite

if TYPE_CHECKING:
    from sqlalchemy import Engine

_QUESTION = (
    "SELECT c.seq, k.version FROM retrieval_collections c, retrieval_catalog k WHERE c.id = "
)
GONE = -1
"""Sequence number of a collection that does not exist any more."""


@dataclass(frozen=True, slots=True)
class Newest:
    """Where the log stands."""

    seq: int
    """Newest committed write of the collection, or GONE."""
    catalog_version: int
    """Rises when any collection, field or alias changes; 0 with GONE."""


class Positions:
    """Asks for positions from any thread.

    Args:
        engine: Database whose tables exist.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.is_instant = is_sqlite(engine)
        """Whether asking takes microseconds, so that the event loop may do it."""
        self._question = _QUESTION + ("?" if self.is_instant else "%s")
        self._shared = threading.local()
        self._opened: list[Any] = []

    def read(self, collection_id: int) -> Newest | None:
        """Returns where the log stands now; None when the database does not say."""
        try:
            row = self._connection().execute(self._question, (collection_id,)).fetchone()
        except Exception:  # noqa: BLE001 - drivers differ; whoever asks looks things up instead
            self._drop()
            return None
        return Newest(GONE, 0) if row is None else Newest(row[0], row[1])

    def close(self) -> None:
        """Closes the connections."""
        for each in self._opened:
            with contextlib.suppress(Exception):
                each.close()
        self._opened.clear()

    def _connection(self) -> Any:
        """Returns the thread's own connection."""
        connection = getattr(self._shared, "connection", None)
        if connection is None:
            fairy = self._engine.raw_connection()
            connection: Any = fairy.driver_connection
            fairy.detach()
            if not self.is_instant:
                connection.autocommit = True
            self._shared.connection = connection
            self._opened.append(connection)
        return connection

    def _drop(self) -> None:
        connection = getattr(self._shared, "connection", None)
        self._shared.connection = None
        if connection is not None:
            with contextlib.suppress(ValueError):
                self._opened.remove(connection)
            with contextlib.suppress(Exception):
                connection.close()
