"""Shows how the processes of a suite come up."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Self

from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn

from cli.errors import CliError
from cli.log_files import LogFolder
from cli.ports import PortUnavailableError
from cli.suite import RunningSuite, run_suite
from cli.suite_state import SuiteRunningError
from cli.supervisor import StartError
from cli.terminal import err, styled
from cli.valkey_server import ValkeyMissingError

if TYPE_CHECKING:
    from rich.console import Console

    from cli.suite_plan import SuiteOptions

_TAIL_LINES = 15
_DONE = {"ready": "[green]ready[/green]", "failed": "[red]failed[/red]"}


class StartView:
    """A line per process: live on a terminal, one line per event elsewhere."""

    def __init__(self, console: Console) -> None:
        """Writes to `console`."""
        self._console = console
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓[/green]"),
            TextColumn("{task.description:12}"),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def expect(self, names: Sequence[str]) -> None:
        """Shows which processes are awaited."""
        for name in names:
            if name not in self._tasks:
                self._tasks[name] = self._progress.add_task(name, total=1, note="starting")

    def show(self, name: str, state: str) -> None:
        """Shows a process's new state; the same state twice is shown once."""
        self.expect([name])
        task = self._progress.tasks[self._tasks[name]]
        if task.finished or state not in _DONE:
            return
        seconds = f"[dim]{time.monotonic() - self._began:5.1f} s[/dim]"
        self._progress.update(
            self._tasks[name], completed=state == "ready", note=f"{_DONE[state]} {seconds}"
        )
        if self._progress.finished:  # what is printed from now on stays as it is
            self._progress.stop()
        if not self._console.is_terminal:
            self._console.print(f"{name:12} {_DONE[state]} {seconds}")


@contextlib.asynccontextmanager
async def shown_suite(options: SuiteOptions) -> AsyncIterator[RunningSuite]:
    """Runs the suite while the block lasts; shows its start, and why it failed.

    Raises:
        CliError: it cannot be started.
    """
    logs = LogFolder(options.data_dir / "logs")
    try:
        with StartView(err) as view:
            async with run_suite(
                options, lambda child: view.show(child.spec.name, child.condition)
            ) as suite:
                view.expect([child.spec.name for child in suite.children])
                for note in suite.plan.notes:
                    err.print(styled(note, "yellow"))
                yield suite
    except SuiteRunningError:
        raise CliError(
            f"a suite runs on {options.data_dir} already",
            "see `cairn status`; stop it with `cairn down`",
        ) from None
    except PortUnavailableError as error:
        raise CliError(str(error), "name another with --http-port or --grpc-port") from None
    except ValkeyMissingError as error:
        raise CliError(str(error)) from None
    except StartError as error:
        name = error.child.spec.name
        err.print(styled(f"The last lines of {logs.path(name)}:", "bold"))
        for line in logs.tail(name, _TAIL_LINES):
            err.print(styled(line, "dim"))
        raise CliError(str(error), f"its log is {logs.path(name)}") from None
