"""The data directory: who may read it, what an end without order left behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cli import internal_secret
from cli.process_table import is_same_process
from cli.suite_state import StateFolder
from services.rpc.preflight import Check, Finding, Level

_OTHERS = 0o077
_MUCH_LOG_BYTES = 2 * 10**9


def folder_checks(data_dir: Path) -> Iterator[Check]:
    """Yields looks at a folder that `cairn up` uses, or will."""
    yield Check("data directory", lambda: _permissions(data_dir))
    yield Check("last run", lambda: _last_run(data_dir))
    yield Check("logs", lambda: _logs(data_dir))


def _permissions(data_dir: Path) -> Finding:
    name = "data directory"
    if not data_dir.exists():
        return Finding(name, Level.OK, f"{data_dir} will be made")
    secrets = ("gateway/*.key", "gateway/pepper*", internal_secret.FILE)
    keys = [data_dir, *(file for pattern in secrets for file in data_dir.glob(pattern))]
    if open_ones := [str(each) for each in keys if each.stat().st_mode & _OTHERS]:
        text = f"others may read {', '.join(open_ones)}"
        return Finding(name, Level.FAILURE, text, f"chmod -R go= {data_dir}")
    return Finding(name, Level.OK, f"{data_dir} is its owner's alone")


def _last_run(data_dir: Path) -> Finding:
    folder = StateFolder(data_dir)
    state = folder.read()
    if folder.is_locked():
        phase = state.phase if state else "starting"
        return Finding("last run", Level.OK, f"a suite runs here and is {phase}")
    if state is None:
        return Finding("last run", Level.OK, "no suite runs here")
    left = [
        process.name
        for process in state.processes
        if process.pid and is_same_process(process.pid, process.start_ticks)
    ]
    if left:
        text = f"its supervisor is gone and {', '.join(left)} still run"
        return Finding("last run", Level.FAILURE, text, "`cairn down` ends them")
    return Finding("last run", Level.OK, "no suite runs here")


def _logs(data_dir: Path) -> Finding:
    count = sum(file.stat().st_size for file in data_dir.glob("logs/*") if file.is_file())
    text = f"{count / 1e6:,.0f} MB"
    if count > _MUCH_LOG_BYTES:
        return Finding("logs", Level.WARNING, text, "look for what repeats, then remove old ones")
    return Finding("logs", Level.OK, text)
