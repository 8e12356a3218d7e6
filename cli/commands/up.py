"""`cairn up`: starts the suite."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from cli.errors import CliError
from cli.log_files import LogFolder
from cli.options import DEFAULT_DATA_DIR, DataDir
from cli.start_view import StartView, shown_suite
from cli.suite import START_DEADLINE_SECONDS, make_private, stop_signal
from cli.suite_plan import PlanError, SuiteOptions, parse_replicas
from cli.suite_state import StateFolder, SuiteState
from cli.terminal import err, styled

_TAIL_LINES = 25
_SUPERVISOR_LOG = "supervisor"


def up(
    *,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return once everything serves.")
    ] = False,
    http_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port of REST and console; 0: any free one."),
    ] = None,
    grpc_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port of the gateway's gRPC; 0: any free one."),
    ] = None,
    replicas: Annotated[
        str,
        typer.Option(envvar="CAIRN_UP_REPLICAS", help="Instances, such as embedding=2,gateway=2."),
    ] = "",
    generation_python: Annotated[
        Path,
        typer.Option(
            envvar="CAIRN_UP_GENERATION_PYTHON",
            help="Interpreter of the generation service, such as .venv-vllm/bin/python.",
        ),
    ] = Path(sys.executable),
) -> None:
    """Starts the five services and Valkey, and keeps them running until Ctrl-C."""
    options = SuiteOptions(
        data_dir=data_dir.resolve(),
        http_port=http_port,
        grpc_port=grpc_port,
        replicas=_replicas(replicas),
        generation_python=_interpreter(generation_python),
    )
    if detach:
        _start_detached(options, replicas)
    else:
        asyncio.run(_run(options))


class _FirstKey:
    """The key that the first start makes: told to the person who started it, this once."""

    def __init__(self, data_dir: Path) -> None:
        self._file = data_dir / "gateway" / "admin.key"
        self._was_there = self._file.exists()

    def tell(self) -> None:
        """Prints it when this start made it. Call where a person reads, never into a log."""
        if self._was_there or not self._file.exists():
            return
        err.print(f"Admin key, shown this once; it stays in {self._file}:")
        err.print(styled(self._file.read_text("utf-8").strip()), soft_wrap=True)


async def _run(options: SuiteOptions) -> None:
    first_key = _FirstKey(options.data_dir)
    async with stop_signal() as stop, shown_suite(options) as suite:
        if await suite.is_ready_before(stop):
            err.print(f"Cairn is up: {suite.plan.http_url} (Ctrl-C stops it)")
            if err.is_terminal:  # else what is written may be a log
                first_key.tell()
            await stop.wait()
        err.print("Stopping…")


def _start_detached(options: SuiteOptions, replicas: str) -> None:
    folder, logs = StateFolder(options.data_dir), LogFolder(options.data_dir / "logs")
    if folder.is_locked():
        raise CliError(
            f"a suite runs on {options.data_dir} already",
            "see `cairn status`; stop it with `cairn down`",
        )
    make_private(options.data_dir)
    first_key = _FirstKey(options.data_dir)
    folder.clear()
    logs.rotate(_SUPERVISOR_LOG)
    command = [sys.executable, "-m", "cli", "up", "--data-dir", str(options.data_dir)]
    for name, value in (
        ("--http-port", options.http_port),
        ("--grpc-port", options.grpc_port),
        ("--replicas", replicas or None),
        ("--generation-python", options.generation_python),
    ):
        command += [name, str(value)] if value is not None else []
    with logs.open(_SUPERVISOR_LOG) as log:
        process = subprocess.Popen(  # noqa: S603 - ourselves
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=os.environ | {"PYTHONSAFEPATH": "1"},
        )
    try:
        state = _await_ready(process, folder)
    except KeyboardInterrupt:
        process.send_signal(signal.SIGTERM)
        process.wait()
        raise
    if state is None:
        for line in logs.tail(_SUPERVISOR_LOG, _TAIL_LINES):
            err.print(styled(line, "dim"))
        raise CliError("the suite did not start", f"see {logs.path(_SUPERVISOR_LOG)}")
    err.print(f"Cairn is up: {state.http_url} (`cairn down` stops it)")
    first_key.tell()


def _await_ready(process: subprocess.Popen[bytes], folder: StateFolder) -> SuiteState | None:
    """Returns the state once everything serves; None when the supervisor ended."""
    deadline = time.monotonic() + START_DEADLINE_SECONDS + 10
    with StartView(err) as view:
        while process.poll() is None and time.monotonic() < deadline:
            if state := folder.read():
                for one in state.processes:
                    view.show(one.name, one.state)
                if state.phase == "ready":
                    return state
            time.sleep(0.1)
    return None


def _interpreter(path: Path) -> str:
    if not os.access(path, os.X_OK) or path.is_dir():
        raise CliError(f"{path} is no interpreter", "`make vllm` makes .venv-vllm/bin/python")
    return str(path.absolute())  # not resolved: an environment is known by its own link


def _replicas(text: str) -> dict[str, int]:
    try:
        return parse_replicas(text)
    except PlanError as error:
        raise CliError(str(error)) from None
