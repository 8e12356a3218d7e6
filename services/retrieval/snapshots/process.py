"""Runs the builder of files in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from services.retrieval.snapshots import builder
from services.rpc.logs import get_logger

if TYPE_CHECKING:
    from services.retrieval.snapshots.builder import Job

_SAID_BYTES = 4096


class BuildFailedError(Exception):
    """The process ended without what it was to build."""


async def run(job: Job, limit_seconds: float) -> None:
    """Has a job done; cancelled, it kills the process.

    Args:
        job: What to build.
        limit_seconds: Longest time it may take.

    Raises:
        BuildFailedError: it failed, was killed, or took too long.
        OSError: it could not be started.
    """
    path = Path(job.folder) / f"job-{job.segment}.json"
    builder.write(job, path)
    environment = {**os.environ, "OMP_NUM_THREADS": str(job.threads)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", builder.__name__, str(path)),
        stdin=asyncio.subprocess.PIPE,  # it ends when this process does
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    try:
        async with asyncio.timeout(limit_seconds):
            said = await _last_words(process)
            code = await process.wait()
    except TimeoutError:
        raise BuildFailedError(f"it took more than {limit_seconds:.0f} s") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        path.unlink(missing_ok=True)
    if code:
        get_logger().warning("a builder failed", code=code, said=said)
        raise BuildFailedError(f"it ended with code {code}")


async def _last_words(process: asyncio.subprocess.Process) -> str:
    said = b""
    while process.stderr is not None and (part := await process.stderr.read(_SAID_BYTES)):
        said = (said + part)[-_SAID_BYTES:]
    return said.decode(errors="replace")
