"""Moves committed pages from SQLite's log into its file beside the writer, not within its commits.

SQLite does it in the commit with which the log passes a size, each second or so under load: one
that takes 4 ms took 70 then, and with it everybody behind it in the queue.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from services.rpc.logs import exception_fields, get_logger
from services.sql.engine import BUSY_TIMEOUT_SECONDS
from services.sql.failures import is_sync_failure

if TYPE_CHECKING:
    from sqlalchemy import Engine

MOVED_LOG_PAGES = 8000
"""The writer moves the log itself past so many pages (32 MB): should the mover not get to it."""
_INTERVAL_SECONDS = 1.0


class LogMover:
    """A thread that moves the log of a SQLite database while there is something to move.

    Args:
        engine: The database.
        on_sync_failure: Called when the disk did not confirm a write.
        interval_seconds: How often to look.
    """

    def __init__(
        self,
        engine: Engine,
        on_sync_failure: Callable[[BaseException], None],
        *,
        interval_seconds: float = _INTERVAL_SECONDS,
    ) -> None:
        self._path = str(engine.url.database)
        self._on_sync_failure = on_sync_failure
        self._interval_seconds = interval_seconds
        self._seen: tuple[int, int] | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._work, name="sql-log", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread."""
        self._closed.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._closed.wait(self._interval_seconds):
            state = self._state()
            if state is None or state == self._seen:
                continue
            try:
                self._move()
            except sqlite3.Error as error:
                # Locked or full: the next look tries again, and the writer does it past its bound.
                if is_sync_failure(error):
                    self._on_sync_failure(error)
                    return
                get_logger().debug("the database's log stays", **exception_fields(error))
            else:
                self._seen = state

    def _state(self) -> tuple[int, int] | None:
        try:
            found = Path(f"{self._path}-wal").stat()
        except OSError:
            return None
        return found.st_size, found.st_mtime_ns

    def _move(self) -> None:
        connection = sqlite3.connect(self._path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        finally:
            connection.close()
