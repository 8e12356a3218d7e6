"""Chat completions through a gateway: what one costs in processor time, plain and as a stream."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gateway.engines import FAST, MODEL, PACED, TOKENS, WINDOWED
from benchmarks.gateway.load import Plan, percentile, send
from benchmarks.gateway.processes import Door, gateway, litellm, mock_engine
from benchmarks.gateway.rows import OURS, all_latencies, check, row

PEER = "litellm proxy"
_CONNECTIONS = 32
_STREAMS = 8
_IDLE_SECONDS = 3.0
_CASES = {
    "chat completion": "",
    "chat completion, stream at full speed": FAST,
    "chat completion, stream, a message a token": PACED,
    "chat completion, stream as served": WINDOWED,
}
"""Cases, and the words that make our engine write so; the peer's engine knows one form."""


@dataclass(frozen=True, slots=True)
class _Paths:
    """Where a system has chat completions."""

    door: Door
    path: str


async def measure(litellm_python: str, *, seconds: float, rounds: int) -> list[dict[str, Any]]:
    """Returns rows; without LiteLLM's Python only ours.

    Args:
        litellm_python: Python of an environment that has `litellm[proxy]`; empty: none.
        seconds: Of each measurement.
        rounds: Times both are measured, in turns; the median counts.
    """
    async with _systems(litellm_python) as systems:
        await asyncio.sleep(_IDLE_SECONDS)
        rows = [
            row("idle", "resident MiB", each.door.process.resident_mib(), name)
            for name, each in systems.items()
        ]
        for case, prompt in _CASES.items():
            found: dict[str, list[dict[str, float]]] = {name: [] for name in systems}
            for _ in range(rounds):
                for name, each in systems.items():
                    found[name].append(await _measured(each, prompt, seconds))
            for name, measured in found.items():
                for metric in measured[0]:
                    value = percentile([each[metric] for each in measured], 0.5)
                    rows.append(row(case, metric, value, name))
    _compare(rows)
    return rows


@contextlib.asynccontextmanager
async def _systems(litellm_python: str) -> AsyncIterator[dict[str, _Paths]]:
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cairn-bench-")))
        port = await stack.enter_async_context(mock_engine("services"))
        targets = dict.fromkeys(
            ("embedding", "retrieval", "generation", "ingestion"), f"127.0.0.1:{port}"
        )
        door = await stack.enter_async_context(gateway(folder, targets))
        systems = {OURS: _Paths(door, "/openai/v1/chat/completions")}
        if litellm_python:
            engine = await stack.enter_async_context(mock_engine("http"))
            peer = await stack.enter_async_context(litellm(litellm_python, folder, engine))
            systems[PEER] = _Paths(peer, "/v1/chat/completions")
        yield systems


async def _measured(system: _Paths, prompt: str, seconds: float) -> dict[str, float]:
    door = system.door
    is_stream = bool(prompt)
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": f"Tell me about granite {prompt}"}],
        **({"stream": True} if is_stream else {}),
    }
    asks = [{"path": system.path, "body": body}]
    connections = _STREAMS if is_stream else _CONNECTIONS
    await send(Plan(door.port, door.key, asks, connections, seconds=1.0))
    before = door.process.cpu_seconds()
    seen = await send(Plan(door.port, door.key, asks, connections, seconds))
    cpu = door.process.cpu_seconds() - before
    check(seen)
    latencies = all_latencies(seen)
    if is_stream:
        return {"µs CPU a token": cpu / (len(latencies) * TOKENS) * 1e6}
    return {
        "requests per CPU-second": len(latencies) / cpu,
        "requests per second": len(latencies) / seen["seconds"],
        "p50 ms": percentile(latencies, 0.5),
        "p99 ms": percentile(latencies, 0.99),
    }


def _compare(rows: list[dict[str, Any]]) -> None:
    """Says of our rows how they compare with the peer's."""
    peers = {(each["case"], each["metric"]): each for each in rows if each["system"] == PEER}
    for ours in rows:
        peer = peers.get((ours["case"], ours["metric"]))
        if ours["system"] == OURS and peer is not None and peer["value"]:
            ours |= {"ratio": round(ours["value"] / peer["value"], 4), "against": PEER}
