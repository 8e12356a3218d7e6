"""Writes at full speed to a running service, in a process of its own, until it is ended.

In the process that times searches it would share the interpreter with them, and its own work would
be counted as theirs. It says "go" when it begins, then every few batches how many rows a
second were acknowledged since.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import grpc.aio
import numpy as np
from cairn.retrieval.v1 import retrieval_service_pb2_grpc as rpc

from benchmarks.retrieval import service as kit
from benchmarks.retrieval.peers.worker import Dataset

_ROWS = kit.BATCH * 40
_WINDOW = 8
"""Batches on their way."""
_TOLD = 8
"""Batches from one word to the next."""


async def streamed(stub: Any, requests: Iterable[Any]) -> None:
    """Sends writes through one stream, a few on their way; returns when all are acknowledged."""
    async for _ in _acknowledged(stub, requests):
        pass


async def _acknowledged(stub: Any, requests: Iterable[Any]) -> AsyncIterator[int]:
    """Sends writes through one stream; yields how many are acknowledged by now."""
    window = asyncio.Semaphore(_WINDOW)

    async def flow() -> AsyncIterator[Any]:
        for request in requests:
            await window.acquire()
            yield request

    done = 0
    async for _ in stub.UpsertStream(flow()):
        window.release()
        done += 1
        yield done


async def _write(target: str, folder: Path) -> None:
    """Replaces the first rows, time and again: new versions of them."""
    some = np.asarray(Dataset(folder).vectors[:_ROWS])
    requests = list(kit.upserts(some, [[] for _ in some]))
    async with grpc.aio.insecure_channel(target, options=kit.OPTIONS) as channel:
        stub = rpc.RetrievalServiceStub(channel)
        print("go", flush=True)
        began = time.perf_counter()
        async for done in _acknowledged(stub, itertools.cycle(requests)):
            if not done % _TOLD:
                print(round(done * kit.BATCH / (time.perf_counter() - began)), flush=True)


if __name__ == "__main__":
    asyncio.run(_write(sys.argv[1], Path(sys.argv[2])))
