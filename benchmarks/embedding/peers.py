"""Throughput of servers against each other and against the engine alone, in turns."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.embedding.offline import open_engine
from benchmarks.embedding.processes import Measured, free_port, process
from benchmarks.embedding.service import service
from benchmarks.embedding.texts import passages, queries
from services.embedding.hardware import has_fast_bfloat16

_CALLS_AT_ONCE = 32
_START_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class _Server:
    name: str
    measured: Measured
    embed: Callable[[Sequence[str]], Awaitable[None]]
    share: float = 1.0
    """Of the texts that it gets: slow ones get fewer."""


async def compare(
    threads: int, folder: Path, *, infinity_python: str, quick: bool, seed: int
) -> list[dict[str, Any]]:
    """Returns rows of texts per CPU second, 32 calls at once."""
    precision = "bfloat16" if has_fast_bfloat16() else "float32"
    async with contextlib.AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(_ours(threads, each))
            for each in dict.fromkeys((precision, "float32"))
        ]
        servers.append(await stack.enter_async_context(_fastapi(folder, threads)))
        if infinity_python:
            for dtype in ("float32", "bfloat16"):
                infinity = _infinity(infinity_python, folder, threads, dtype)
                servers.append(await stack.enter_async_context(infinity))
        alone = open_engine(folder, precision)
        return [
            row
            for case, texts in _cases(quick=quick, seed=seed).items()
            for row in await _turns(case, texts, servers, alone, rounds=2 if quick else 3)
        ]


def _cases(*, quick: bool, seed: int) -> dict[str, list[str]]:
    count = 128 if quick else 1024  # eight rounds of calls: with fewer, the last one weighs much
    some_passages, some_queries = passages(count, seed + 1), queries(count, seed + 1)
    mix = [text for pair in zip(some_passages, some_queries, strict=True) for text in pair]
    return {"served_mix": mix, "served_queries": queries(8 * count, seed + 2)}


async def _turns(
    case: str,
    texts: list[str],
    servers: Sequence[_Server],
    alone: Callable[[Sequence[str]], object],
    rounds: int,
) -> list[dict[str, Any]]:
    best: dict[tuple[str, int], float] = {}
    for turn in range(rounds):
        began = time.process_time()
        alone([f"{turn} 0 {text}" for text in texts])  # as many tokens as those that are served
        _note(best, ("offline", 0), len(texts) / (time.process_time() - began))
        for server in servers:
            some = texts[: max(64, int(len(texts) * server.share))]
            for per_call in (1, 16) if server.share == 1 else (1,):
                fresh = [f"{turn} {per_call} {text}" for text in some]
                speed = await _throughput(server, fresh, per_call)
                _note(best, (server.name, per_call), speed)
    ours = servers[0].name
    rows = []
    for (name, per_call), speed in best.items():
        row = {
            "case": f"{case}_{per_call}_per_call" if per_call else f"{case}_offline",
            "system": name,
            "metric": "texts_per_cpu_second",
            "value": round(speed, 1),
        }
        if name == ours:
            ratio, against = speed / best["offline", 0], "offline"
        elif per_call:
            ratio, against = speed / best[ours, per_call], ours
        else:
            ratio, against = 1.0, "offline"
        rows.append(row | {"ratio": round(ratio, 3), "against": against})
    return rows


def _note(best: dict[tuple[str, int], float], key: tuple[str, int], speed: float) -> None:
    best[key] = max(best.get(key, 0.0), speed)


async def _throughput(server: _Server, texts: Sequence[str], per_call: int) -> float:
    """Returns texts per second of the server's CPU time."""
    calls = iter([texts[begin : begin + per_call] for begin in range(0, len(texts), per_call)])

    async def work(mine: Iterator[Sequence[str]]) -> None:
        for some in mine:
            await server.embed(some)

    began = server.measured.cpu_seconds()
    await asyncio.gather(*(work(calls) for _ in range(_CALLS_AT_ONCE)))
    return len(texts) / (server.measured.cpu_seconds() - began)


@contextlib.asynccontextmanager
async def _ours(threads: int, precision: str) -> AsyncIterator[_Server]:
    async with service(threads, PRECISION=precision) as served:
        yield _Server(f"cairn served {precision}", served.measured, served.embed)


@contextlib.asynccontextmanager
async def _fastapi(folder: Path, threads: int) -> AsyncIterator[_Server]:
    port = free_port()
    program = str(Path(__file__).with_name("fastapi_server.py"))
    command = [sys.executable, program, str(folder), str(port), str(threads)]
    async with _http("FastAPI + sentence-transformers", command, port, {}, {}) as server:
        yield server


@contextlib.asynccontextmanager
async def _infinity(python: str, folder: Path, threads: int, dtype: str) -> AsyncIterator[_Server]:
    port = free_port()
    program = str(Path(python).with_name("infinity_emb"))
    options = ["--engine", "torch", "--device", "cpu", "--dtype", dtype, "--port", str(port)]
    fast = ["--no-bettertransformer", "--no-model-warmup"]  # the former needs a package long gone
    command = [program, "v2", "--model-id", str(folder), *options, *fast]
    environment = {
        "OMP_NUM_THREADS": str(threads),
        "HF_HUB_OFFLINE": "1",
        "INFINITY_ANONYMOUS_USAGE_STATS": "0",
    }
    body = {"model": str(folder)}
    async with _http(f"infinity-emb {dtype}", command, port, environment, body) as server:
        yield server


@contextlib.asynccontextmanager
async def _http(
    name: str, command: Sequence[str], port: int, environment: dict[str, str], body: dict[str, str]
) -> AsyncIterator[_Server]:
    limits = httpx.Limits(max_connections=_CALLS_AT_ONCE)
    async with (
        process(command, environment) as measured,
        httpx.AsyncClient(timeout=300, limits=limits) as client,
    ):

        async def embed(texts: Sequence[str]) -> None:
            url = f"http://127.0.0.1:{port}/embeddings"
            answer = await client.post(url, json=body | {"input": list(texts)})
            answer.raise_for_status()

        await _until_ready(embed)
        yield _Server(name, measured, embed, share=0.25)


async def _until_ready(embed: Callable[[Sequence[str]], Awaitable[None]]) -> None:
    async with asyncio.timeout(_START_SECONDS):
        while True:
            try:
                await embed(["ready?"])
            except httpx.HTTPError:
                await asyncio.sleep(0.5)
            else:
                return
