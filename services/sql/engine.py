"""Opens databases so that a commit is durable: SQLite embedded, PostgreSQL in production."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

if TYPE_CHECKING:
    from pathlib import Path

WRITES = {"cairn_writes": True}
"""Execution options of connections that write: SQLite takes its lock at once, PostgreSQL waits
for locks only so long."""

BUSY_TIMEOUT_SECONDS = 0.25
"""Wait of one SQLite statement for another process's lock; the writer tries until its deadline."""

_WAL_SWITCH_SECONDS = 5.0


def sqlite_url(path: Path) -> str:
    """Returns the URL of a SQLite file, making its folder."""
    path = path.absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    return URL.create("sqlite", database=str(path)).render_as_string()


def open_engine(url: str, *, pool_size: int = 8, log_pages: int = 1000) -> Engine:
    """Opens a database.

    SQLite runs in WAL mode with synchronous=FULL, so a committed transaction survives a crash and
    readers never wait for writers. PostgreSQL is reached through psycopg with connections checked
    before use.

    Args:
        url: `sqlite:///file` or `postgresql://user:password@host/name`.
        pool_size: Connections kept open at most.
        log_pages: Length of SQLite's log at which a commit moves it into the file; more where a
            `LogMover` does.

    Raises:
        ValueError: the URL names no supported database. The text never holds the password.
    """
    parsed = _parse(url)
    if parsed.get_backend_name() == "sqlite":
        return _open_sqlite(parsed, pool_size, log_pages)
    engine = create_engine(
        parsed,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=5.0,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": 5,
            "application_name": "cairn",
            "keepalives_idle": 10,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 15000,
        },
    )
    event.listen(engine, "begin", _begin_postgres)
    return engine


def is_sqlite(engine: Engine) -> bool:
    """Whether the engine talks to SQLite."""
    return engine.dialect.name == "sqlite"


def upserts(connection: Connection) -> Any:
    """Returns the dialect's insert, which knows ON CONFLICT."""
    return sqlite_insert if connection.dialect.name == "sqlite" else postgresql_insert


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ValueError("not a database URL: use sqlite:///file or postgresql://…") from None
    name = parsed.get_backend_name()
    if name == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise ValueError("a SQLite URL must name a file: several connections share it")
        return parsed.set(drivername="sqlite")
    if name in {"postgresql", "postgres"}:
        return parsed.set(drivername="postgresql+psycopg")
    raise ValueError(f"unsupported database {name!r}: use sqlite:///file or postgresql://…")


def _open_sqlite(url: URL, pool_size: int, log_pages: int) -> Engine:
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=5.0,
        connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_SECONDS},
    )
    event.listen(engine, "connect", _configure_sqlite)

    def bound_log(connection: Any, _record: object) -> None:
        connection.execute(f"PRAGMA wal_autocheckpoint={log_pages:d}")

    event.listen(engine, "connect", bound_log)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: Any, _record: object) -> None:
    # The driver's own implicit transactions begin late and commit around DDL: we begin explicitly.
    connection.isolation_level = None
    cursor = connection.cursor()
    if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        _switch_to_wal(cursor)
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA temp_store=MEMORY")
    cursor.execute("PRAGMA journal_size_limit=67108864")
    cursor.close()


def _switch_to_wal(cursor: Any) -> None:
    """Sets WAL mode; processes that start together race for it, outside SQLite's busy timeout."""
    give_up = time.monotonic() + _WAL_SWITCH_SECONDS
    while True:
        with contextlib.suppress(sqlite3.OperationalError):
            if cursor.execute("PRAGMA journal_mode=WAL").fetchone()[0] == "wal":
                return
        if time.monotonic() > give_up:
            raise sqlite3.OperationalError("cannot switch the database file to WAL mode")
        time.sleep(0.02)


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that turns to writing fails at once if another wrote in between.
    is_writing = connection.get_execution_options().get("cairn_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")


def _begin_postgres(connection: Connection) -> None:
    if connection.get_execution_options().get("cairn_writes", False):
        connection.exec_driver_sql("SET LOCAL lock_timeout = '1s'")
