"""What a suite left behind: processes that know its data directory, ports that are still bound."""

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from cli.ports import is_port_free
from cli.suite_state import SuiteState


def processes_of(data_dir: Path) -> list[psutil.Process]:
    """Every process of the suite.

    The data directory stands in the environment or the command; what those started counts, too.
    """
    needle = str(data_dir)
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            places = [*process.cmdline(), *process.environ().values()]
            if process.status() != psutil.STATUS_ZOMBIE and any(
                needle in place for place in places
            ):
                found += [process, *process.children(recursive=True)]
    return list(dict.fromkeys(found))


def ports_of(state: SuiteState) -> list[int]:
    """Every port the suite listens on."""
    addresses = [
        address
        for process in state.processes
        for address in (process.address, process.http_address, process.metrics_address)
        if address
    ]
    return [int(address.rpartition(":")[2]) for address in addresses]


def assert_nothing_left(
    data_dir: Path,
    ports: list[int],
    seconds: float = 15,
    known: Sequence[psutil.Process] = (),
) -> None:
    """Fails unless all processes are gone and all ports are free within `seconds`.

    Args:
        data_dir: Of the suite.
        ports: What it listened on.
        seconds: How long it may take.
        known: Processes it had; some of them could not be found by the data directory alone.
    """
    deadline = time.monotonic() + seconds
    while True:
        left = [process for process in {*known, *processes_of(data_dir)} if is_alive(process)]
        bound = [port for port in ports if not is_port_free("127.0.0.1", port)]
        if not left and not bound:
            return
        assert time.monotonic() < deadline, f"left behind: {left}, ports {bound}"
        time.sleep(0.1)


def is_alive(process: psutil.Process) -> bool:
    """Whether it is still the same process, and no zombie."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
