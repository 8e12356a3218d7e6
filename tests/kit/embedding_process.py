"""The embedding service as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

from tests.kit.ports import free_port

STOP_SECONDS = 30


@dataclass(frozen=True, slots=True)
class EmbeddingProcess:
    """A running process."""

    process: asyncio.subprocess.Process
    port: int
    metrics_port: int

    @property
    def target(self) -> str:
        """Where clients find it."""
        return f"127.0.0.1:{self.port}"


@contextlib.asynccontextmanager
async def embedding_process(
    python: str = sys.executable, **settings: str
) -> AsyncIterator[EmbeddingProcess]:
    """Starts `python -m services.embedding` and stops it at the end.

    Args:
        python: Interpreter, of the environment it shall run in.
        settings: Names without CAIRN_EMBEDDING_, and values.
    """
    port, metrics_port = free_port(), free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CAIRN_")}
    wanted = {
        "PORT": str(port),
        "METRICS_PORT": str(metrics_port),
        "DRAIN_DELAY_SECONDS": "0",
        **settings,
    }
    process = await asyncio.create_subprocess_exec(
        python,
        "-m",
        "services.embedding",
        env=kept | {f"CAIRN_EMBEDDING_{name}": value for name, value in wanted.items()},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield EmbeddingProcess(process, port, metrics_port)
    finally:
        if process.returncode is None:
            process.kill()
        # Reads what is left, so that the pipe is closed.
        await asyncio.wait_for(process.communicate(), STOP_SECONDS)
