"""What a running suite writes down so that other commands find it: `<data-dir>/run/`.

`suite.lock` is held by the supervisor for its whole life; the kernel releases it however the
supervisor ends, so that it alone says whether a suite runs. `suite.json` says what runs where.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Self

_MODE_PRIVATE = 0o600


class SuiteRunningError(Exception):
    """Another supervisor holds the data directory."""


@dataclass(frozen=True, slots=True)
class ProcessState:
    """One process of the suite."""

    name: str
    """Unique in the suite: `retrieval`, `retrieval-2`."""
    service: str
    """Which service it is an instance of."""
    state: str
    """`starting`, `ready`, `unready`, `restarting`, `stopping`, `stopped` or `failed`."""
    pid: int
    """0 while there is no process."""
    start_ticks: str
    """Tells the process from a later one of the same id."""
    started_at: str
    """ISO 8601, UTC."""
    address: str
    """`host:port` of its main server."""
    http_address: str
    """`host:port` of its HTTP server; empty: none."""
    metrics_address: str
    """`host:port` of `/metrics`; empty: none."""
    restart_count: int
    """Times it was started again."""
    log: str
    """Path of its log."""


@dataclass(frozen=True, slots=True)
class SuiteState:
    """The whole suite."""

    version: str
    phase: str
    """`starting`, `ready`, `stopping`."""
    supervisor_pid: int
    supervisor_start_ticks: str
    started_at: str
    data_dir: str
    http_url: str
    """Base URL of the gateway's REST and console."""
    grpc_target: str
    """`host:port` of the gateway's gRPC."""
    admin_key_file: str
    """File with the bootstrap key, written by the gateway."""
    valkey_url: str
    """With the password: the file is readable by its owner only."""
    processes: list[ProcessState] = field(default_factory=list)

    def of_service(self, service: str) -> list[ProcessState]:
        """Returns the service's processes, replicas in order."""
        return [process for process in self.processes if process.service == service]


class StateFolder:
    """The folder `<data-dir>/run`."""

    def __init__(self, data_dir: Path) -> None:
        """Names the folder; nothing is created before something is written."""
        self._folder = data_dir / "run"
        self._file = self._folder / "suite.json"
        self._lock_file = self._folder / "suite.lock"

    def lock(self) -> SuiteLock:
        """Takes the data directory for this process.

        Raises:
            SuiteRunningError: another process holds it.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        handle = self._lock_file.open("a+")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.close()
            raise SuiteRunningError from None
        return SuiteLock(handle)

    def is_locked(self) -> bool:
        """Returns whether a supervisor runs."""
        if not self._lock_file.exists():
            return False
        try:
            self.lock().release()
        except SuiteRunningError:
            return True
        return False

    def read(self) -> SuiteState | None:
        """Returns what was last written; None when there is nothing that can be read."""
        try:
            content = json.loads(self._file.read_text("utf-8"))
            processes = [ProcessState(**process) for process in content.pop("processes")]
            return SuiteState(**content, processes=processes)
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def write(self, state: SuiteState) -> None:
        """Replaces the file at once: a reader sees the old state or the new one."""
        self._folder.mkdir(parents=True, exist_ok=True)
        # mkstemp makes it readable by its owner only: it holds Valkey's password.
        descriptor, name = tempfile.mkstemp(dir=self._folder, prefix="suite.", suffix=".tmp")
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            json.dump(asdict(state), handle, indent=1)
        Path(name).replace(self._file)

    def clear(self) -> None:
        """Forgets the suite."""
        self._file.unlink(missing_ok=True)
        for left in self._folder.glob("suite.*.tmp"):
            left.unlink(missing_ok=True)


class SuiteLock:
    """The held lock; the process's end releases it too."""

    def __init__(self, handle: IO[str]) -> None:
        """Owns the open lock file."""
        self._handle = handle

    def release(self) -> None:
        """Gives the data directory back."""
        self._handle.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
