"""Whole suites that benchmarks start, through the program that users start them with."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gateway.processes import Measured
from cli.suite_state import StateFolder

ROOT = Path(__file__).parents[1]
_NO_LIMITS = {
    "CAIRN_GATEWAY_RATE_PER_SECOND": "100000",
    "CAIRN_GATEWAY_RATE_BURST": "100000",
}


@dataclass(frozen=True, slots=True)
class Suite:
    """A running suite."""

    data_dir: Path
    url: str
    """`http://host:port`."""
    key: str
    """Of its administrator."""
    processes: Mapping[str, Measured]
    """By the service they run."""
    metrics: tuple[str, ...]
    """`host:port` of each endpoint of metrics."""

    @property
    def port(self) -> int:
        """Of its HTTP server."""
        return int(self.url.rpartition(":")[2])

    def cpu_seconds(self) -> dict[str, float]:
        """Returns the processor time that each service has taken."""
        return {name: each.cpu_seconds() for name, each in self.processes.items()}


@contextlib.contextmanager
def suite(data_dir: Path, **environment: str) -> Iterator[Suite]:
    """Runs a suite over a folder while the block lasts; its rates are not limited."""
    data_dir.mkdir(parents=True, exist_ok=True)
    try:
        cairn(data_dir, "up", "--detach", "--http-port", "0", "--grpc-port", "0", **environment)
        yield running(data_dir)
    finally:
        cairn(data_dir, "down")


def running(data_dir: Path) -> Suite:
    """Returns the suite that runs over a folder."""
    state = StateFolder(data_dir).read()
    assert state is not None, f"no suite runs over {data_dir}"
    return Suite(
        data_dir,
        state.http_url,
        Path(state.admin_key_file).read_text("utf-8").strip(),
        {each.service: Measured(each.pid) for each in state.processes},
        tuple(each.metrics_address for each in state.processes if each.metrics_address),
    )


def cairn(data_dir: Path, *arguments: str, **environment: str) -> str:
    """Runs the program on a suite and returns what it printed.

    Raises:
        CalledProcessError: it failed; what it said went to stderr.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CAIRN_")}
    given = {"CAIRN_DATA_DIR": str(data_dir), "HF_HUB_OFFLINE": "1", **_NO_LIMITS, **environment}
    done = subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        cwd=ROOT,
        env=kept | given,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout
