"""The running suite: lock, plan, state file and supervisor put together."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from importlib import metadata
from typing import TYPE_CHECKING

from cli import internal_secret, valkey_server
from cli.log_files import LogFolder
from cli.process_table import start_ticks
from cli.suite_plan import PlannedProcess, SuiteOptions, SuitePlan, plan_suite
from cli.suite_state import ProcessState, StateFolder, SuiteState
from cli.supervisor import Child, Supervisor

if TYPE_CHECKING:
    from pathlib import Path

START_DEADLINE_SECONDS = 300.0
"""Long enough for vLLM under two busy cores; without it ten seconds usually suffice."""


class RunningSuite:
    """A suite that this process supervises."""

    def __init__(self, supervisor: Supervisor, plan: SuitePlan, journal: _Journal) -> None:
        """Ties the parts; `run_suite` makes it."""
        self.plan = plan
        self._supervisor = supervisor
        self._journal = journal

    @property
    def children(self) -> list[Child]:
        """The supervised processes."""
        return self._supervisor.children

    async def is_ready_before(self, stop: asyncio.Event) -> bool:
        """Waits until every service serves; returns False when `stop` came first.

        Raises:
            StartError: one ended, or was not ready in time.
        """
        ready = asyncio.ensure_future(self._supervisor.wait_ready(START_DEADLINE_SECONDS))
        stopped = asyncio.ensure_future(stop.wait())
        await asyncio.wait([ready, stopped], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not ready.done():
            ready.cancel()
            return False
        ready.result()
        self._journal.enter("ready")
        return True


def make_private(data_dir: Path) -> None:
    """Makes the data directory; documents lie in it as they are, so nobody else may look."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)


@contextlib.asynccontextmanager
async def run_suite(
    options: SuiteOptions, on_change: Callable[[Child], None]
) -> AsyncIterator[RunningSuite]:
    """Runs the suite while the block lasts.

    Raises:
        SuiteRunningError: another supervisor holds the data directory.
        PortUnavailableError, ValkeyMissingError: see `plan_suite`.
    """
    make_private(options.data_dir)
    folder = StateFolder(options.data_dir)
    with folder.lock(), contextlib.ExitStack() as held:
        plan = plan_suite(options)
        held.callback(plan.ports.close)
        valkey_server.write_config(plan.valkey_config, plan.valkey_url)
        internal_secret.ensure(options.data_dir)
        logs = LogFolder(options.data_dir / "logs")
        journal = _Journal(folder, plan, logs, options.data_dir)

        def changed(child: Child) -> None:
            journal.write()
            on_change(child)

        specs = [planned.spec for planned in plan.processes]
        supervisor = Supervisor(specs, logs, on_change=changed)
        journal.children = supervisor.children
        try:
            async with supervisor:
                try:
                    yield RunningSuite(supervisor, plan, journal)
                finally:
                    journal.enter("stopping")
                    _kill_on_next_signal(supervisor)
        finally:
            folder.clear()


@contextlib.asynccontextmanager
async def stop_signal() -> AsyncIterator[asyncio.Event]:
    """Gives an event that SIGINT, SIGTERM or SIGHUP sets."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in _STOP_SIGNALS:
            loop.remove_signal_handler(number)


_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _kill_on_next_signal(supervisor: Supervisor) -> None:
    for number in _STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, supervisor.hurry)


class _Journal:
    """Keeps `suite.json` true."""

    def __init__(
        self, folder: StateFolder, plan: SuitePlan, logs: LogFolder, data_dir: Path
    ) -> None:
        self.children: list[Child] = []
        self._folder = folder
        self._plan = plan
        self._logs = logs
        self._data_dir = data_dir
        self._phase = "starting"
        self._started_at = datetime.now(UTC)

    def enter(self, phase: str) -> None:
        self._phase = phase
        self.write()

    def write(self) -> None:
        self._folder.write(
            SuiteState(
                version=metadata.version("cairn-rag"),
                phase=self._phase,
                supervisor_pid=os.getpid(),
                supervisor_start_ticks=start_ticks(os.getpid()),
                started_at=_iso(self._started_at),
                data_dir=str(self._data_dir),
                http_url=self._plan.http_url,
                grpc_target=self._plan.grpc_target,
                admin_key_file=str(self._data_dir / "gateway" / "admin.key"),
                valkey_url=self._plan.valkey_url,
                processes=[
                    self._process(planned, child)
                    for planned, child in zip(self._plan.processes, self.children, strict=True)
                ],
            )
        )

    def _process(self, planned: PlannedProcess, child: Child) -> ProcessState:
        return ProcessState(
            name=planned.spec.name,
            service=planned.service,
            state=child.condition,
            pid=child.pid,
            start_ticks=child.start_ticks,
            started_at=_iso(child.started_at),
            address=planned.address,
            http_address=planned.http_address,
            metrics_address=planned.metrics_address,
            restart_count=child.restart_count,
            log=str(self._logs.path(planned.spec.name)),
        )


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
