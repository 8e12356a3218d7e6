"""`cairn down`: stops the suite."""

import contextlib
import os
import signal
import time

from cli.errors import CliError
from cli.options import DEFAULT_DATA_DIR, DataDir
from cli.process_table import is_same_process
from cli.suite_state import StateFolder, SuiteState
from cli.terminal import err

_STOP_SECONDS = 45.0
_KILL_SECONDS = 10.0
_POLL_SECONDS = 0.05


def down(*, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Stops the suite that runs on the data directory; removes what a killed one left."""
    folder = StateFolder(data_dir.resolve())
    state = folder.read()
    if not folder.is_locked():
        _clean(folder, state)
        err.print("Removed what a killed suite left." if state else "No suite runs here.")
        return
    if state is None:
        raise CliError("the suite has not written its state yet", "try again in a moment")
    err.print("Stopping…")
    _signal_supervisor(state, signal.SIGTERM)
    if not _is_released(folder, _STOP_SECONDS):
        err.print("It does not stop in time: killing it.")
        _signal_supervisor(state, signal.SIGKILL)
        if not _is_released(folder, _KILL_SECONDS):
            raise CliError(f"process {state.supervisor_pid} does not end", "end it by hand")
    _clean(folder, folder.read())
    err.print("Stopped.")


def _clean(folder: StateFolder, state: SuiteState | None) -> None:
    """Ends what is left of a suite without a supervisor and forgets it."""
    left = [
        process
        for process in (state.processes if state else [])
        if process.pid and is_same_process(process.pid, process.start_ticks)
    ]
    for process in left:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    folder.clear()


def _signal_supervisor(state: SuiteState, number: signal.Signals) -> None:
    if is_same_process(state.supervisor_pid, state.supervisor_start_ticks):
        with contextlib.suppress(ProcessLookupError):
            os.kill(state.supervisor_pid, number)


def _is_released(folder: StateFolder, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while folder.is_locked():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True
