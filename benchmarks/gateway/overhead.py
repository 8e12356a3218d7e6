"""What the gateway adds to a query beside the stages of its answer.

The services behind it are mocks that answer at once. Whatever a request takes beside its stages,
from the first byte sent to the last one read, is counted: credential, limits, a look into the
caches, ledger, audit, traces, reading and writing. Half load is half of
the rate that one process reaches when it is asked as fast as it answers.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.gateway.load import Plan, send
from benchmarks.gateway.processes import Door, gateway, mock_engine
from benchmarks.gateway.rows import all_latencies, check, latency_rows, row

_CONNECTIONS = 16
_FRESH = {"cache-control": "no-cache"}
"""Misses every time, and keeps what it finds: the dearest way."""


async def measure(*, seconds: float) -> list[dict[str, Any]]:
    """Returns rows for queries that miss the caches, and for queries that hit the exact one."""
    with tempfile.TemporaryDirectory(prefix="cairn-bench-") as folder:
        async with mock_engine("services") as port:
            targets = dict.fromkeys(
                ("embedding", "retrieval", "generation", "ingestion"), f"127.0.0.1:{port}"
            )
            async with gateway(Path(folder), targets) as door:
                missed = await _at_half_load(door, "query, cache miss", _FRESH, seconds)
                hit = await _at_half_load(door, "query, exact hit", {}, seconds)
    return [*missed, *hit]


async def _at_half_load(
    door: Door, case: str, headers: dict[str, str], seconds: float
) -> list[dict[str, Any]]:
    asks = [{"path": "/v1/query", "body": {"query": f"What is word{n}?"}} for n in range(50)]
    most = await send(Plan(door.port, door.key, asks, _CONNECTIONS, seconds / 2, headers=headers))
    check(most)
    rate = sum(most["statuses"].values()) / most["seconds"]
    before = door.process.cpu_seconds()
    seen = await send(
        Plan(
            door.port,
            door.key,
            asks,
            _CONNECTIONS,
            seconds,
            per_second=rate / 2,
            headers=headers,
            keeps_timings=True,
        )
    )
    cpu = door.process.cpu_seconds() - before
    check(seen)
    count = sum(seen["statuses"].values())
    hits = seen["cached"].get("exact", 0)
    return [
        row(case, "requests per second, most", rate),
        row(case, "requests per second, half load", count / seen["seconds"]),
        row(case, "share of hits", hits / count),
        row(case, "ms CPU a request", cpu / count * 1e3),
        *latency_rows(f"{case}, whole request", all_latencies(seen)),
        *latency_rows(f"{case}, beside its stages", seen["outside_ms"]),
    ]
