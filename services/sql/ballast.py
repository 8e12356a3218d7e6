"""Space on the disk that only deletes may use.

A delete on a full disk needs some space before it gives any back: for the pages of the log that it
writes. A file of that size is kept beside the database; it makes way for a delete that found no
space, and is put back before anything else may be written.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING

from services.rpc.logs import get_logger

if TYPE_CHECKING:
    from sqlalchemy import Engine

_WORTH_BYTES = 1 << 20
_RETRY_SECONDS = 1.0
"""Between two attempts to put it back."""


class Ballast:
    """A file that keeps space on the disk of a SQLite database; used by one thread.

    Args:
        engine: The database.
        nbytes: Size of the file, at least 1.
    """

    def __init__(self, engine: Engine, nbytes: int) -> None:
        self._engine = engine
        self._path = Path(f"{engine.url.database}.reserve")
        self._nbytes = nbytes
        self._tried_at = -_RETRY_SECONDS

    def put(self) -> bool:
        """Takes the space if it is not taken; returns whether it is now.

        After a failure the next attempts within a second fail without looking.
        """
        if self._is_in_place:
            return True
        now = time.monotonic()
        if now - self._tried_at < _RETRY_SECONDS:
            return False
        self._tried_at = now
        try:
            self._truncate_log()
            self._allocate()
        except (OSError, sqlite3.Error):
            self._remove()
            return False
        get_logger().info("the disk's reserve is in place")
        return True

    def give(self) -> bool:
        """Gives the space to the disk; returns whether there was any to give."""
        if not self._is_in_place:
            return False
        get_logger().warning("the disk is full: its reserve is given to deletes")
        self._remove()
        self._tried_at = time.monotonic()
        return True

    @property
    def _is_in_place(self) -> bool:
        # Asked each time: another process over the same file may have given it.
        try:
            return self._path.stat().st_size == self._nbytes
        except OSError:
            return False

    def tidy(self) -> bool:
        """Gives the disk what the log took and does not need; returns whether that was much."""
        before = self._log_bytes
        with contextlib.suppress(sqlite3.Error):
            self._truncate_log()
        return before - self._log_bytes >= _WORTH_BYTES

    def _truncate_log(self) -> None:
        connection = self._engine.raw_connection()
        try:
            connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.close()

    @property
    def _log_bytes(self) -> int:
        try:
            return Path(f"{self._engine.url.database}-wal").stat().st_size
        except OSError:
            return 0

    def _allocate(self) -> None:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(descriptor).st_size > self._nbytes:
                os.ftruncate(descriptor, self._nbytes)
            # Blocks, not only a length: a sparse file would keep nothing.
            os.posix_fallocate(descriptor, 0, self._nbytes)
        finally:
            os.close(descriptor)

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink()
