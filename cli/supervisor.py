"""Starts processes, keeps them running, and leaves none behind.

A supervisor is an `async with` block: entering starts everything, leaving stops everything, in
order of `ProcessSpec.stop_rank`, each rank within a bound. Between the two a process that ends is
started again with backoff. How the supervisor itself ends does not matter: the kernel ends the
processes of one that was killed (`exec_guard`), and the sweeper takes what those started.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from cli.process_table import start_ticks

if TYPE_CHECKING:
    from cli.log_files import LogFolder
    from cli.probes import Probe

_GUARD = Path(__file__).with_name("exec_guard.py")
_SWEEPER = Path(__file__).with_name("sweeper.py")
_LOG_CHECK_SECONDS = 30.0


class Condition(enum.StrEnum):
    """What a process is doing."""

    STARTING = "starting"
    READY = "ready"
    UNREADY = "unready"
    RESTARTING = "restarting"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """A process to run."""

    name: str
    """Unique; names its log."""
    command: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path
    """Working directory; must exist."""
    probe: Probe
    stop_rank: int = 0
    """Processes of a lower rank are stopped, and gone, before those of a higher one."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things may take."""

    first_backoff_seconds: float = 0.2
    max_backoff_seconds: float = 15.0
    stable_seconds: float = 30.0
    """A process that ran this long begins with the first backoff again."""
    starting_poll_seconds: float = 0.1
    ready_poll_seconds: float = 2.0
    stop_seconds: float = 8.0
    """Given to each stop rank before its processes are killed."""


@dataclass(slots=True)
class Child:
    """A process that is kept running."""

    spec: ProcessSpec
    condition: Condition = Condition.STARTING
    process: asyncio.subprocess.Process | None = None
    start_ticks: str = ""
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    restart_count: int = 0
    exit_code: int | None = None
    """How it last ended; None: it has not."""

    @property
    def pid(self) -> int:
        """Process id; 0 while there is no process."""
        return self.process.pid if self.process else 0


class StartError(Exception):
    """A process did not become ready."""

    def __init__(self, child: Child, message: str) -> None:
        """Says which one, and what happened."""
        super().__init__(message)
        self.child = child


class Supervisor:
    """Runs a set of processes."""

    def __init__(
        self,
        specs: Sequence[ProcessSpec],
        logs: LogFolder,
        *,
        on_change: Callable[[Child], None],
        pace: Pace | None = None,
    ) -> None:
        """Prepares; `on_change` is called whenever a process's condition changes."""
        self.children = [Child(spec) for spec in specs]
        self._logs = logs
        self._on_change = on_change
        self._pace = pace or Pace()
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._changed = asyncio.Event()
        self._tasks: asyncio.TaskGroup = asyncio.TaskGroup()
        self._sweeper: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        """Starts every process; `wait_ready` says when they serve."""
        self._sweeper = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", str(_SWEEPER),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL, start_new_session=True, cwd="/",
        )  # fmt: skip
        await self._tasks.__aenter__()
        for child in self.children:
            self._logs.rotate(child.spec.name)
            self._tasks.create_task(self._keep(child))
        self._tasks.create_task(self._bound_logs())
        return self

    async def __aexit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        """Stops every process."""
        await self.stop()
        # A task group wraps every exception of the block but cancellation; ours shall stay bare.
        cancelled = error if isinstance(error, asyncio.CancelledError) else None
        await self._tasks.__aexit__(type(cancelled) if cancelled else None, cancelled, None)
        if self._sweeper and self._sweeper.stdin:
            self._sweeper.stdin.close()
            await self._sweeper.wait()

    async def wait_ready(self, deadline_seconds: float) -> None:
        """Waits until every process is ready.

        Raises:
            StartError: one ended, or was not ready in time.
        """
        deadline = time.monotonic() + deadline_seconds
        while not self._stopping.is_set():
            self._changed.clear()
            for child in self.children:
                if child.condition is Condition.FAILED:
                    raise StartError(child, f"{child.spec.name} ended with {_ending(child)}")
            waiting = [child for child in self.children if child.condition is not Condition.READY]
            if not waiting:
                return
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    await self._changed.wait()
            except TimeoutError:
                message = f"{waiting[0].spec.name} was not ready after {deadline_seconds:g} seconds"
                raise StartError(waiting[0], message) from None

    async def stop(self) -> None:
        """Stops every process, rank by rank; those that do not end in time are killed."""
        self._stopping.set()
        self._changed.set()
        for rank in sorted({child.spec.stop_rank for child in self.children}):
            await asyncio.gather(
                *(self._stop(child) for child in self.children if child.spec.stop_rank == rank)
            )

    def hurry(self) -> None:
        """Makes a running `stop` kill at once."""
        self._hurry.set()

    async def _keep(self, child: Child) -> None:
        was_ready = False
        backoff_seconds = self._pace.first_backoff_seconds
        while not self._stopping.is_set():
            began = time.monotonic()
            process = await self._start(child)
            was_ready |= await self._watch(child, process)
            await self._reap(child, process)
            if self._stopping.is_set():
                break
            if not was_ready:
                self._set(child, Condition.FAILED)
                return
            if time.monotonic() - began >= self._pace.stable_seconds or child.exit_code == 0:
                backoff_seconds = self._pace.first_backoff_seconds
            self._set(child, Condition.RESTARTING)
            await _wait(self._stopping, backoff_seconds)
            backoff_seconds = min(2 * backoff_seconds, self._pace.max_backoff_seconds)
            child.restart_count += 1
        self._set(child, Condition.STOPPED)

    async def _start(self, child: Child) -> asyncio.subprocess.Process:
        spec = child.spec
        with self._logs.open(spec.name) as log:
            # A session of its own: Ctrl-C in the terminal reaches the supervisor alone, which
            # stops the processes in order.
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", str(_GUARD), str(os.getpid()), *spec.command,
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                env=dict(spec.environment), cwd=spec.folder, start_new_session=True,
            )  # fmt: skip
        self._tell_sweeper(f"+{process.pid}")
        child.process = process
        child.start_ticks = start_ticks(process.pid)
        child.started_at = datetime.now(UTC)
        self._set(child, Condition.STARTING)
        if self._stopping.is_set():  # `stop` passed by while this was under way
            process.kill()
        return process

    async def _watch(self, child: Child, process: asyncio.subprocess.Process) -> bool:
        """Asks the process how it is until it ends; returns whether it was ever ready."""
        was_ready = False
        ended = asyncio.ensure_future(process.wait())
        while not ended.done():
            asked = asyncio.ensure_future(child.spec.probe.is_ready())
            await asyncio.wait([ended, asked], return_when=asyncio.FIRST_COMPLETED)
            if ended.done() or self._stopping.is_set():
                asked.cancel()
                await ended
                break
            is_ready = asked.result()
            was_ready |= is_ready
            if is_ready:
                self._set(child, Condition.READY)
            elif child.condition is Condition.READY:
                self._set(child, Condition.UNREADY)
            pace = self._pace
            poll = pace.ready_poll_seconds if is_ready else pace.starting_poll_seconds
            await asyncio.wait([ended], timeout=poll)
        return was_ready

    async def _reap(self, child: Child, process: asyncio.subprocess.Process) -> None:
        child.exit_code = await process.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # what it started and left
        self._tell_sweeper(f"-{process.pid}")
        child.process = None

    async def _stop(self, child: Child) -> None:
        process = child.process
        if process is None:
            return
        self._set(child, Condition.STOPPING)
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        ended = asyncio.ensure_future(process.wait())
        hurry = asyncio.ensure_future(self._hurry.wait())
        await asyncio.wait(
            [ended, hurry],
            timeout=self._pace.stop_seconds,
            return_when=asyncio.FIRST_COMPLETED,
        )
        hurry.cancel()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await ended

    async def _bound_logs(self) -> None:
        while not self._stopping.is_set():
            for child in self.children:
                self._logs.bound(child.spec.name)
            await _wait(self._stopping, _LOG_CHECK_SECONDS)

    def _tell_sweeper(self, line: str) -> None:
        if self._sweeper and self._sweeper.stdin:
            self._sweeper.stdin.write(f"{line}\n".encode())

    def _set(self, child: Child, condition: Condition) -> None:
        if child.condition is not condition or condition is Condition.STARTING:
            child.condition = condition
            self._changed.set()
            self._on_change(child)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


def _ending(child: Child) -> str:
    code = child.exit_code or 0
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
