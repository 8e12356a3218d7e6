"""The real process over gRPC: latency of a query beside bulk work, overload, memory."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from typing import Any

import grpc.aio
from cairn.embedding.v1 import embedding_service_pb2 as pb

from benchmarks.embedding.service import Service, service
from benchmarks.embedding.texts import passages, queries

_LATENCY_SECONDS = {True: 3.0, False: 20.0}
"""Longest that queries are timed, quick or not: without lanes each waits seconds."""
_OVERLOAD_SECONDS = {True: 3.0, False: 20.0}
_CALLS_AT_PEAK = 64


async def measure(threads: int, *, quick: bool, seed: int) -> list[dict[str, Any]]:
    """Returns rows; every text is new, so that the cache answers none."""
    rows: list[dict[str, Any]] = []
    async with service(threads) as served:
        rows.append(_row("start", "seconds_to_ready", served.seconds_to_ready))
        rows += [_row("idle", name, v) for name, v in served.measured.memory_mib().items()]
        rows += await _latencies(served, "lanes", quick=quick, seed=seed)
        rows += await _overload(served, _OVERLOAD_SECONDS[quick], seed=seed)
        if not quick:
            rows += await _many_requests(served, seed=seed)
        rows += [_row("after_load", name, v) for name, v in served.measured.memory_mib().items()]
    async with service(threads, LANES="false") as served:
        rows += await _latencies(served, "no_lanes", quick=quick, seed=seed)
    return rows


def _row(case: str, metric: str, value: float, **more: object) -> dict[str, Any]:
    row = {"case": case, "system": "cairn served", "metric": metric, "value": round(value, 3)}
    return row | more


async def _latencies(served: Service, name: str, *, quick: bool, seed: int) -> list[dict[str, Any]]:
    """Times queries alone, then while bulk requests keep the service busy."""
    asked = iter(queries(2000, seed + 3))
    count = 100 if quick else 500
    limit = _LATENCY_SECONDS[quick]
    alone = await _time_queries(served, list(itertools.islice(asked, count)), limit)
    number = itertools.count()

    async def bulk() -> None:
        while True:
            texts = [f"{next(number)} {text}" for text in passages(32, seed)]
            await served.embed(texts, pb.LANE_BULK)

    busy = [asyncio.create_task(bulk()) for _ in range(4)]
    await asyncio.sleep(1)
    loaded = await _time_queries(served, list(itertools.islice(asked, count)), limit)
    for task in busy:
        task.cancel()
    await asyncio.gather(*busy, return_exceptions=True)
    rows = []
    for percent in (50, 99):
        before, after = _percentile(alone, percent), _percentile(loaded, percent)
        rows.append(_row(f"query_alone_{name}", f"p{percent}_ms", before * 1000))
        rows.append(
            _row(
                f"query_under_bulk_{name}",
                f"p{percent}_ms",
                after * 1000,
                ratio=round(after / before, 2),
                against="alone",
            )
        )
    return rows


async def _time_queries(served: Service, texts: Sequence[str], limit: float) -> list[float]:
    seconds = []
    end = time.perf_counter() + limit
    for text in texts:
        if time.perf_counter() > end and seconds:
            break
        started = time.perf_counter()
        await served.embed([text])
        seconds.append(time.perf_counter() - started)
    return seconds


async def _overload(served: Service, seconds: float, *, seed: int) -> list[dict[str, Any]]:
    """Finds the peak with calls that wait for each other, then sends twice as much, unasked."""
    texts = (f"{number} {text}" for number, text in enumerate(itertools.cycle(passages(64, seed))))
    end = time.perf_counter() + seconds
    done = 0

    async def caller() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await served.embed([next(texts)])
            done += 1

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(_CALLS_AT_PEAK)))
    peak = done / (time.perf_counter() - started)

    admitted: list[float] = []
    refused: list[float] = []
    without_advice = 0

    async def call() -> None:
        nonlocal without_advice
        began = time.perf_counter()
        try:
            await served.embed([next(texts)])
        except grpc.aio.AioRpcError as error:
            refused.append(time.perf_counter() - began)
            details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
            without_advice += "RetryInfo" not in str(details)
        else:
            admitted.append(time.perf_counter() - began)

    calls: list[asyncio.Task[None]] = []
    started = time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds:
        while len(calls) < 2 * peak * passed:
            calls.append(asyncio.create_task(call()))
        await asyncio.sleep(0.002)
    await asyncio.gather(*calls)
    goodput = len(admitted) / (time.perf_counter() - started)
    rows = [
        _row("peak", "texts_per_second", peak),
        _row(
            "overload_2x",
            "texts_per_second",
            goodput,
            ratio=round(goodput / peak, 2),
            against="peak",
        ),
        _row("overload_2x_admitted", "p99_ms", _percentile(admitted, 99) * 1000),
        _row("overload_2x_refused", "calls", len(refused), without_retry_info=without_advice),
    ]
    if refused:
        for percent in (50, 99):
            value = _percentile(refused, percent) * 1000
            rows.append(_row("overload_2x_refused", f"p{percent}_ms", value))
    return rows


async def _many_requests(served: Service, *, seed: int) -> list[dict[str, Any]]:
    """Sends 100,000 requests and looks at the memory after each fifth of them."""
    asked = queries(1000, seed + 5)
    numbers = itertools.count()
    rows = []
    for part in range(1, 6):

        async def caller(until: int) -> None:
            while (number := next(numbers)) < until:
                await served.embed([f"{number} {asked[number % len(asked)]}"])

        await asyncio.gather(*(caller(20_000 * part) for _ in range(32)))
        memory = served.measured.memory_mib()["rss_mib"]
        rows.append(_row(f"after_{20 * part}000_requests", "rss_mib", memory))
    return rows


def _percentile(seconds: Sequence[float], percent: int) -> float:
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]
