"""The service: durable writes, visibility, memory, RPC cost beside the engine, restarts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import statistics
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.retrieval import service as kit
from benchmarks.retrieval.peers.worker import Dataset
from benchmarks.retrieval.service import BATCH, Service, running
from benchmarks.retrieval.workers import ROOT, Worker
from benchmarks.retrieval.writing import streamed

if TYPE_CHECKING:
    from benchmarks.retrieval.dataset import Folder

_SYSTEM = "cairn service"
_SAMPLES = 100
_QUERIES_PER_BATCH = 64
_LABEL = "u100"
"""The filter that one row in a hundred matches."""


async def measure(
    folder: Folder, scratch: Path, worker: Worker, *, is_quick: bool
) -> AsyncIterator[dict[str, Any]]:
    """Yields the rows of the service.

    Args:
        folder: Data.
        scratch: An empty folder for the service's data.
        worker: The engine over the same data, open and not pinned.
        is_quick: Whether little time is given.
    """
    data = Dataset(folder.path)
    case = f"service, {folder.rows} rows"
    async with running(scratch) as service:
        await kit.create(service, data.vectors.shape[1])
        # Somebody searches: from here on every write has to be in the view when it is acknowledged.
        await service.stub.Search(kit.search(data.queries[0]))
        await service.settled(20)
        empty = service.memory()
        yield await _writes(service, data, case)
        for row in await _visibility(service, data, case):
            yield row
        await service.optimized()
        await service.settled(20)
        for row in await _cost(service, data, worker, case, is_quick=is_quick):
            yield row
        for row in await _beside(service, data, case, seconds=4 if is_quick else 12):
            yield row
        await service.settled(20 if is_quick else 60)
    async for row in _restarts(scratch, data, case, empty):
        yield row


async def _writes(service: Service, data: Dataset, case: str) -> dict[str, Any]:
    """Writes everything through one stream with a few batches on their way."""
    tags = data.tags()
    requests = list(kit.upserts(np.asarray(data.vectors), tags))
    cpu, began = service.own_cpu_seconds(), time.perf_counter()
    await streamed(service.stub, requests)
    seconds = time.perf_counter() - began
    return {
        "case": case,
        "system": _SYSTEM,
        "metric": "durable_rows_per_second",
        "value": round(len(data.vectors) / seconds),
        "batch": BATCH,
        "cpu_us_per_row": round((service.own_cpu_seconds() - cpu) / len(data.vectors) * 1e6, 1),
        "bar": 15_000,
    }


async def _visibility(service: Service, data: Dataset, case: str) -> list[dict[str, Any]]:
    """Times from an acknowledgement to the first search that finds what was written."""
    waits = []
    for number in range(_SAMPLES):
        vector = -np.asarray(data.vectors[number])
        row = len(data.vectors) + number
        (write,) = kit.upserts(vector[None], [["fresh"]], first=row)
        await service.stub.Upsert(write.request)
        began = time.perf_counter()
        while True:
            answer = await service.stub.Search(kit.search(vector))
            if answer.passages and answer.passages[0].passage.document_id == f"d{row:07}":
                break
        waits.append((time.perf_counter() - began) * 1000)
    return [
        {
            "case": case,
            "system": _SYSTEM,
            "metric": "visible_after_ack_ms_p99",
            "value": round(float(np.percentile(waits, 99)), 2),
            "p50": round(statistics.median(waits), 2),
            "note": "one search included",
            "bar": 50,
        }
    ]


async def _cost(
    service: Service, data: Dataset, worker: Worker, case: str, *, is_quick: bool
) -> list[dict[str, Any]]:
    """Compares the server's CPU time of a search with the engine's, in turns."""
    rows = []
    for label, name in (("", "no filter"), (_LABEL, "1 %")):
        unary: list[float] = []
        batched: list[float] = []
        engine: list[float] = []
        engine_batched: list[float] = []
        queries = data.queries
        await service.stub.Search(kit.search(queries[0], label))
        for turn in range(3 if is_quick else 5):
            part = queries[turn * 150 : turn * 150 + 150]
            run = {"case": label, "setting": "high", "first": 0, "last": 1000, "count": 10}
            answer = worker.ask("run", **run, budget_seconds=0.3)
            engine.append(answer["cpu_seconds"] / len(answer["found"]))
            answer = worker.ask(
                "batch", case=label, setting="high", first=0, last=_QUERIES_PER_BATCH * 4, count=10
            )
            engine_batched.append(answer["cpu_seconds"] / len(answer["found"]))
            unary.append(await _unary(service, part, label, rounds=2 if is_quick else 6))
            batched.append(await _batched(service, queries, label, rounds=8 if is_quick else 24))
        for metric, ours, theirs, bar in (
            ("unary", unary, engine, 150),
            ("batch", batched, engine_batched, 15),
        ):
            value, against = statistics.median(ours) * 1e6, statistics.median(theirs) * 1e6
            rows.append(
                {
                    "case": f"{case}, {name}",
                    "system": _SYSTEM,
                    "metric": f"{metric}_server_cpu_us_per_query",
                    "value": round(value, 1),
                    "against": "engine",
                    "engine_us": round(against, 1),
                    "over_engine_us": round(value - against, 1),
                    "bar_over_engine_us": bar,
                    "ratio": round(value / against, 2),
                    "passed": value - against <= bar,
                }
            )
    return rows


async def _unary(service: Service, queries: Any, label: str, rounds: int) -> float:
    requests = [kit.search(query, label) for query in queries]
    cpu = service.own_cpu_seconds()
    for _ in range(rounds):
        for request in requests:
            await service.stub.Search(request)
    return (service.own_cpu_seconds() - cpu) / (rounds * len(requests))


async def _batched(service: Service, queries: Any, label: str, rounds: int) -> float:
    requests = [
        kit.batch(queries[at * _QUERIES_PER_BATCH : (at + 1) * _QUERIES_PER_BATCH], label)
        for at in range(8)
    ]
    cpu = service.own_cpu_seconds()
    for number in range(rounds):
        await service.stub.BatchSearch(requests[number % len(requests)])
    return (service.own_cpu_seconds() - cpu) / (rounds * _QUERIES_PER_BATCH)


async def _beside(
    service: Service, data: Dataset, case: str, seconds: float
) -> list[dict[str, Any]]:
    """Times queries alone, then beside writes at full speed."""
    idle = await _latencies(service, data, seconds)
    async with _writing(service, data) as rates:
        busy = await _latencies(service, data, seconds)
    return [
        {
            "case": case,
            "system": _SYSTEM,
            "metric": "query_ms_p99_beside_writes",
            "value": round(float(np.percentile(busy, 99)), 2),
            "p50": round(statistics.median(busy), 2),
            "ratio": round(float(np.percentile(busy, 99) / np.percentile(idle, 99)), 2),
            "against": "idle",
            "idle_p99": round(float(np.percentile(idle, 99)), 2),
            "idle_p50": round(statistics.median(idle), 2),
            "bar_ratio": 2.0,
            "rows_per_second_meanwhile": rates[-1] if rates else 0,
        }
    ]


@contextlib.asynccontextmanager
async def _writing(service: Service, data: Dataset) -> AsyncIterator[list[int]]:
    """Has another process write at full speed; yields how many rows a second, filled at the end."""
    rates: list[int] = []
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.retrieval.writing", service.target, str(data.folder),
        cwd=ROOT, env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'protos'}"},
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None, "a pipe"
    try:
        await process.stdout.readline()
        yield rates
    finally:
        process.kill()
        said = await process.stdout.read()
        await process.wait()
    rates += [int(line) for line in said.split()]


async def _latencies(service: Service, data: Dataset, seconds: float) -> list[float]:
    waits = []
    give_up = time.perf_counter() + seconds
    number = 0
    while time.perf_counter() < give_up:
        request = kit.search(data.queries[number % len(data.queries)])
        began = time.perf_counter()
        await service.stub.Search(request)
        waits.append((time.perf_counter() - began) * 1000)
        number += 1
        await asyncio.sleep(0.002)
    return waits


async def _restarts(
    scratch: Path, data: Dataset, case: str, empty: dict[str, int]
) -> AsyncIterator[dict[str, Any]]:
    """Starts the service again over what it left, then without what it can make anew."""
    request = kit.search(data.queries[0])
    for name in ("restart_to_first_answer_seconds", "rebuild_to_first_answer_seconds"):
        service = Service(scratch)
        await service.start()
        try:
            seconds = await service.answers(request)
            row = {"case": case, "system": _SYSTEM, "metric": name, "value": round(seconds, 2)}
            yield row | ({"bar": 5.0} if name.startswith("restart") else {})
            if name.startswith("restart"):
                await service.settled(20)
                for query in data.queries[:300]:
                    await service.stub.Search(kit.search(query))
                yield _memory(service, data, case, empty)
        finally:
            await service.stop()
        _forget_views(scratch)


def _memory(service: Service, data: Dataset, case: str, empty: dict[str, int]) -> dict[str, Any]:
    held = service.memory()
    rows = len(data.vectors)
    return {
        "case": case,
        "system": _SYSTEM,
        "metric": "anonymous_bytes_per_vector",
        "value": round((held["anonymous"] - empty["anonymous"]) / rows),
        "resident_bytes_per_vector": round((held["resident"] - empty["resident"]) / rows),
        "process_mib": round(held["resident"] / 2**20),
        "bar": 800,
    }


def _forget_views(scratch: Path) -> None:
    """Removes everything but the database."""
    for each in (scratch / "retrieval").iterdir():
        if each.is_dir():
            shutil.rmtree(each)
        elif not each.name.startswith("retrieval.db"):
            each.unlink()
