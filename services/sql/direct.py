"""Single reads past SQLAlchemy and without a transaction: where microseconds count."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from services.sql.engine import is_sqlite

if TYPE_CHECKING:
    from sqlalchemy import Engine


class DirectReads:
    """Runs statements that give one row, from any thread, each thread on a connection of its own.

    Args:
        engine: Database whose tables exist.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._is_sqlite = is_sqlite(engine)
        self._shared = threading.local()
        self._opened: list[Any] = []

    def row(self, statement: str, parameters: tuple[Any, ...] | dict[str, Any]) -> Any:
        """Returns the first row, a tuple, or None; what was committed before the call is seen.

        Args:
            statement: In SQL, with the driver's marks: `?` or `:name` on SQLite, `%s` on
                PostgreSQL.
            parameters: Its values; by name where the marks are names.

        Raises:
            Exception: the driver's, whatever it is; the connection is not used again.
        """
        try:
            return self._connection().execute(statement, parameters).fetchone()
        except Exception:
            self._drop()
            raise

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
            if not self._is_sqlite:
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
