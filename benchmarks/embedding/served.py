"""The real process over gRPC: throughput, the latency of a query under load, memory."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
from cairn.embedding.v1 import embedding_service_pb2 as pb
from cairn.embedding.v1 import embedding_service_pb2_grpc as rpc
from cairn.types.v1 import scope_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks.embedding.texts import passages, queries

_SCOPE = scope_pb2.Scope(tenant="bench")
_CALLS_AT_ONCE = 32
_LATENCY_SECONDS = 8.0
"""Longest that queries are timed: without lanes each waits seconds."""
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class _Service:
    pid: int
    stub: rpc.EmbeddingServiceStub
    seconds_to_ready: float

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def memory_mib(self) -> dict[str, float]:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return {
            name: int(re.search(rf"{key}:\s+(\d+)", status)[1]) / 1024
            for name, key in (("rss_mib", "VmRSS"), ("peak_rss_mib", "VmHWM"))
        }


async def measure(threads: int, *, quick: bool, seed: int) -> list[dict[str, Any]]:
    """Returns rows; every text is new, so that the cache answers none."""
    rows: list[dict[str, Any]] = []
    async with _service(threads) as service:
        rows.append(_row("start", "seconds_to_ready", service.seconds_to_ready))
        rows += [_row("idle", name, value) for name, value in service.memory_mib().items()]
        mixed = passages(128 if quick else 2048, seed + 1)
        mixed += queries(128 if quick else 2048, seed + 1)
        asked = queries(1024 if quick else 16_384, seed + 2)
        for case, texts in (("served_mix", mixed), ("served_queries", asked)):
            for per_call in (1, 16):
                fresh = [f"{per_call} {text}" for text in texts]
                speed = await _throughput(service, fresh, per_call)
                rows.append(_row(f"{case}_{per_call}_per_call", "texts_per_cpu_second", speed))
        rows += await _latencies(service, "lanes", quick=quick, seed=seed)
        rows += [_row("after_load", name, value) for name, value in service.memory_mib().items()]
    async with _service(threads, LANES="false") as service:
        rows += await _latencies(service, "no_lanes", quick=quick, seed=seed)
    return rows


def _row(case: str, metric: str, value: float) -> dict[str, Any]:
    return {"case": case, "system": "cairn served", "metric": metric, "value": round(value, 3)}


@contextlib.asynccontextmanager
async def _service(threads: int, **settings: str) -> AsyncIterator[_Service]:
    port, metrics_port = _free_port(), _free_port()
    wanted = {
        "PORT": port,
        "METRICS_PORT": metrics_port,
        "THREADS": threads,
        "LOG_LEVEL": "error",
        "DRAIN_DELAY_SECONDS": 0,
        **settings,
    }
    environment = os.environ | {f"CAIRN_EMBEDDING_{name}": str(v) for name, v in wanted.items()}
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.embedding", env=environment
    )
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            health = health_pb2_grpc.HealthStub(channel)
            watch = health.Watch(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=120)
            async for answer in watch:
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    break
            watch.cancel()
            ready = time.perf_counter() - started
            yield _Service(process.pid, rpc.EmbeddingServiceStub(channel), ready)
    finally:
        process.terminate()
        await process.wait()


def _free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


def _request(texts: Sequence[str], lane: pb.Lane) -> pb.EmbedRequest:
    return pb.EmbedRequest(scope=_SCOPE, texts=texts, options=pb.EmbedOptions(lane=lane))


async def _throughput(service: _Service, texts: Sequence[str], per_call: int) -> float:
    """Returns texts per second of the service's CPU time."""
    calls = iter([texts[begin : begin + per_call] for begin in range(0, len(texts), per_call)])

    async def work(mine: Iterator[Sequence[str]]) -> None:
        for some in mine:
            await service.stub.Embed(_request(some, pb.LANE_INTERACTIVE), timeout=120)

    began = service.cpu_seconds()
    await asyncio.gather(*(work(calls) for _ in range(_CALLS_AT_ONCE)))
    return len(texts) / (service.cpu_seconds() - began)


async def _latencies(
    service: _Service, name: str, *, quick: bool, seed: int
) -> list[dict[str, Any]]:
    """Times queries alone, then while bulk requests keep the service busy."""
    asked = iter(queries(2000, seed + 3))
    count = 100 if quick else 500
    alone = await _time_queries(service, list(itertools.islice(asked, count)))
    number = itertools.count()

    async def bulk() -> None:
        while True:
            texts = [f"{next(number)} {text}" for text in passages(32, seed)]
            await service.stub.Embed(_request(texts, pb.LANE_BULK), timeout=300)

    busy = [asyncio.create_task(bulk()) for _ in range(4)]
    await asyncio.sleep(1)
    loaded = await _time_queries(service, list(itertools.islice(asked, count)))
    for task in busy:
        task.cancel()
    await asyncio.gather(*busy, return_exceptions=True)
    rows = []
    for load, seconds in (("alone", alone), ("under_bulk", loaded)):
        for percent in (50, 99):
            value = sorted(seconds)[min(len(seconds) - 1, len(seconds) * percent // 100)]
            rows.append(_row(f"query_{load}_{name}", f"p{percent}_ms", value * 1000))
    return rows


async def _time_queries(service: _Service, texts: Sequence[str]) -> list[float]:
    seconds = []
    end = time.perf_counter() + _LATENCY_SECONDS
    for text in texts:
        if time.perf_counter() > end and seconds:
            break
        started = time.perf_counter()
        await service.stub.Embed(_request([text], pb.LANE_INTERACTIVE), timeout=120)
        seconds.append(time.perf_counter() - started)
    return seconds
