"""A client of its own process: many kept connections, requests as bytes, little work per answer.

`python -m benchmarks.gateway.load` reads one JSON object (a `Plan`) from stdin and prints another.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import uvloop


@dataclass(frozen=True, slots=True)
class Ask:
    """One request."""

    path: str
    body: dict[str, Any]
    kind: str = ""
    """Under which its latency is counted."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send."""

    port: int
    key: str
    asks: list[dict[str, Any]]
    """`Ask`s, taken in turns."""
    connections: int
    seconds: float
    per_second: float = 0.0
    """Requests per second of all connections together, at random times; 0: as fast as answered."""
    warm_seconds: float = 0.0
    """Time at the beginning that is not counted."""
    keeps_timings: bool = False
    """Whether what answers say of their stages' time and of what they lack is returned, too."""
    headers: dict[str, str] = field(default_factory=dict)
    seed: int = 0


class Connection(asyncio.Protocol):
    """One kept connection; one request at a time."""

    def __init__(self) -> None:
        self.transport: Any = None
        self._waiting: asyncio.Future[tuple[int, bytes]] | None = None
        self._data = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the connection."""
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Fails the request under way."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionError("the connection was closed"))

    def data_received(self, data: bytes) -> None:
        """Ends the request under way with its answer."""
        self._data += data
        end = self._data.find(b"\r\n\r\n")
        if end < 0 or self._waiting is None:
            return
        head = bytes(self._data[:end]).lower()
        place = head.find(b"content-length:")
        if place >= 0:
            stop = head.find(b"\r\n", place)
            size = int(head[place + 15 : stop if stop >= 0 else None])
            if len(self._data) < end + 4 + size:
                return
        elif not self._data.endswith(b"0\r\n\r\n"):
            return
        body, self._data = bytes(self._data[end + 4 :]), bytearray()
        waiting, self._waiting = self._waiting, None
        waiting.set_result((int(head[9:12]), body))

    async def ask(self, data: bytes) -> tuple[int, bytes]:
        """Sends a request; returns status and body.

        Raises:
            ConnectionError: the connection was closed.
        """
        if self.transport.is_closing():
            raise ConnectionError("the connection was closed")
        self._waiting = asyncio.get_running_loop().create_future()
        self.transport.write(data)
        return await self._waiting


class Sender:
    """Sends a plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._random = random.Random(plan.seed)
        self._asks = [
            (each.get("kind", ""), _encoded(plan, each["path"], each["body"])) for each in plan.asks
        ]
        self._next = 0
        self._counted_from = 0.0
        self._end = 0.0
        self._latencies: dict[str, list[float]] = {}
        self._outside: list[float] = []
        self._accounted: list[float] = []
        self._degraded: Counter[str] = Counter()
        self._statuses: Counter[str] = Counter()
        self._cached: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()

    async def run(self) -> dict[str, Any]:
        """Returns what was seen."""
        began = time.perf_counter()
        self._counted_from = began + self._plan.warm_seconds
        self._end = self._counted_from + self._plan.seconds
        await asyncio.gather(*(self._one() for _ in range(self._plan.connections)))
        return {
            "latencies_ms": self._latencies,
            "outside_ms": self._outside,
            "accounted": self._accounted,
            "degraded": dict(self._degraded),
            "statuses": dict(self._statuses),
            "cached": dict(self._cached),
            "refused": dict(self._refused),
            "seconds": time.perf_counter() - self._counted_from,
            "whole_seconds": time.perf_counter() - began,
        }

    async def _one(self) -> None:
        """Sends one client's requests; it connects when it has the first one, and stays."""
        connection: Connection | None = None
        pause = self._plan.connections / self._plan.per_second if self._plan.per_second else 0.0
        due = time.perf_counter() + self._random.random() * pause
        while True:
            if pause:
                if due >= self._end:
                    return
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
            began = max(due, 0.0) if pause else time.perf_counter()
            if began >= self._end:
                return
            if connection is None:
                connection = await self._connected()
            await self._ask(connection, began)
            due += self._random.uniform(0.5, 1.5) * pause

    async def _connected(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(Connection, "127.0.0.1", self._plan.port)
        return made

    async def _ask(self, connection: Connection, began: float) -> None:
        kind, data = self._asks[self._next % len(self._asks)]
        self._next += 1
        try:
            status, body = await connection.ask(data)
        except ConnectionError:
            status, body = 0, b""
        took = (time.perf_counter() - began) * 1e3
        if began < self._counted_from:
            return
        self._statuses[str(status)] += 1
        self._latencies.setdefault(kind, []).append(took)
        if status != 200:
            self._refused[f"{status} {_reason(body)}"] += 1
        if self._plan.keeps_timings and status == 200:
            answer = json.loads(body)
            self._cached[answer.get("cached", "")] += 1
            self._degraded.update(answer["degraded"])
            timings = answer["timings_ms"]
            self._outside.append(took - stages_ms(timings))
            told = stages_ms(timings) + timings.get("cache", 0.0)
            self._accounted.append(told / timings["total"])


STAGES = (
    *("understand", "rewrite", "embed", "retrieve", "rerank", "history"),
    *("assemble", "generate", "verify"),
)
"""Stages of an answer; whatever else a request takes is what the gateway adds to them."""


def stages_ms(timings: dict[str, float]) -> float:
    """Returns the time that the stages of an answer took."""
    return sum(timings.get(name, 0.0) for name in STAGES)


def _reason(body: bytes) -> str:
    """Returns why a request was refused; empty when the answer does not say, or there is none."""
    try:
        return json.loads(body).get("reason", "")
    except (ValueError, AttributeError):
        return ""


def _encoded(plan: Plan, path: str, body: dict[str, Any]) -> bytes:
    data = json.dumps(body).encode()
    more = "".join(f"{name}: {value}\r\n" for name, value in plan.headers.items())
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {plan.key}\r\n{more}"
        f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


def percentile(values: Sequence[float], share: float) -> float:
    """Returns the value that a share (0..1) of the values does not exceed; 0 without values."""
    if not values:
        return 0.0
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


async def send(plan: Plan) -> dict[str, Any]:
    """Runs a plan in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.gateway.load",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await process.communicate(json.dumps(asdict(plan)).encode())
    if process.returncode:
        raise RuntimeError("the load generator failed")
    return json.loads(told)


if __name__ == "__main__":
    given = Plan(**json.load(sys.stdin))
    seen = json.dumps(uvloop.run(Sender(given).run()))
    os.set_blocking(sys.stdout.fileno(), True)  # else what does not fit into the pipe is lost
    print(seen)
