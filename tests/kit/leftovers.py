"""What a suite left behind: processes that know its data directory, ports that are still bound."""

import contextlib
import time
from pathlib import Path

import psutil

from cli.ports import is_port_free
from cli.suite_state import SuiteState


def processes_of(data_dir: Path) -> list[psutil.Process]:
    """Every process of the suite: its data directory stands in the environment or the command."""
    needle = str(data_dir)
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            places = [*process.cmdline(), *process.environ().values()]
            if process.status() != psutil.STATUS_ZOMBIE and any(
                needle in place for place in places
            ):
                found.append(process)
    return found


def ports_of(state: SuiteState) -> list[int]:
    """Every port the suite listens on."""
    addresses = [
        address
        for process in state.processes
        for address in (process.address, process.http_address, process.metrics_address)
        if address
    ]
    return [int(address.rpartition(":")[2]) for address in addresses]


def assert_nothing_left(data_dir: Path, ports: list[int], seconds: float = 15) -> None:
    """Fails unless all processes are gone and all ports are free within `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        left = [(process.pid, " ".join(process.cmdline())) for process in alive(data_dir)]
        bound = [port for port in ports if not is_port_free("127.0.0.1", port)]
        if not left and not bound:
            return
        assert time.monotonic() < deadline, f"left behind: {left}, ports {bound}"
        time.sleep(0.1)


def alive(data_dir: Path) -> list[psutil.Process]:
    """Processes of the suite that can still be looked at."""
    return [process for process in processes_of(data_dir) if process.is_running()]
