"""Wakes a process when another one over the same database committed.

PostgreSQL tells whoever listens; SQLite cannot, and its waiters wait their whole time. A notice is
a reason to look and nothing more: it carries no data, and a lost one costs only the time to the
next look.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import threading
from typing import TYPE_CHECKING

import psycopg

from services.rpc.logs import exception_fields, get_logger
from services.sql.engine import is_sqlite

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection, Engine

_RECONNECT_SECONDS = 1.0


class Notices:
    """Sends and receives notices on one channel.

    Args:
        engine: Database.
        channel: A plain name; all processes of a kind use the same.
    """

    def __init__(self, engine: Engine, channel: str) -> None:
        self._channel = channel
        self._sender = os.urandom(8).hex()
        self._event = asyncio.Event()
        self._listener: _Listener | None = None
        self._is_postgres = not is_sqlite(engine)
        if self._is_postgres:
            loop = asyncio.get_running_loop()
            url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
            self._listener = _Listener(
                url,
                channel,
                self._sender,
                lambda: loop.call_soon_threadsafe(self._event.set),
            )

    def announce(self, connection: Connection) -> None:
        """Tells the other processes, if and when the transaction commits; once, however often."""
        if self._is_postgres:
            connection.exec_driver_sql("SELECT pg_notify(%s, %s)", (self._channel, self._sender))

    async def wait(self, seconds: float) -> bool:
        """Waits for a notice of another process, at most so long; returns whether one came."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True

    async def close(self) -> None:
        """Stops listening."""
        if self._listener is not None:
            await asyncio.to_thread(self._listener.close)


class _Listener:
    """A thread with a connection of its own that listens."""

    def __init__(self, url: str, channel: str, own: str, heard: Callable[[], object]) -> None:
        self._url = url
        self._channel = channel
        self._own = own
        self._heard = heard
        self._stop, self._stopped = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="sql-listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread."""
        self._stop.close()
        self._thread.join()
        self._stopped.close()

    def _run(self) -> None:
        was_lost = False
        while True:
            try:
                self._listen()
            except psycopg.Error as error:
                if not was_lost:
                    get_logger().warning("cannot hear of writes", **exception_fields(error))
                was_lost = True
            if self._is_stopped(_RECONNECT_SECONDS):
                return

    def _listen(self) -> None:
        """Listens until the connection breaks or `close` is called."""
        with psycopg.connect(self._url, autocommit=True, connect_timeout=5) as connection:
            connection.execute(f"LISTEN {self._channel}".encode())
            self._tell()  # what was said before is not repeated
            while True:
                ready, _, _ = select.select([connection.fileno(), self._stopped], [], [])
                if self._stopped in ready:
                    return
                for notice in connection.notifies(timeout=0):
                    if notice.payload != self._own:
                        self._tell()

    def _is_stopped(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._stopped], [], [], seconds)
        return bool(ready)

    def _tell(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._heard()
