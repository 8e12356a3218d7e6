"""Server processes under measurement: their CPU time, memory, ports and end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Measured:
    """A process, alone: none of the servers here has children that work."""

    pid: int

    def cpu_seconds(self) -> float:
        """CPU time since its start."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def memory_mib(self) -> dict[str, float]:
        """Resident memory, now and at its peak."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        fields = dict(re.findall(r"(VmRSS|VmHWM):\s+(\d+)", status))
        return {
            "rss_mib": int(fields["VmRSS"]) / 1024,
            "peak_rss_mib": int(fields["VmHWM"]) / 1024,
        }


@contextlib.asynccontextmanager
async def process(
    command: Sequence[str], environment: Mapping[str, str]
) -> AsyncIterator[Measured]:
    """Runs a program while the block runs; what it prints is dropped."""
    started = await asyncio.create_subprocess_exec(
        *command,
        env=os.environ | dict(environment),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield Measured(started.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            started.terminate()
        try:
            await asyncio.wait_for(started.wait(), 20)
        except TimeoutError:
            started.kill()
            await started.wait()


def free_port() -> int:
    """Returns a port that was free a moment ago."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]
