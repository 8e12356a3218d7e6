"""A client of its own process: many kept connections, requests as bytes, little work per answer.

`python -m benchmarks.gateway.load` reads one JSON object (a `Plan`) from stdin and prints another.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
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


class Client(asyncio.Protocol):
    """One client with a kept connection, which it opens with its first request; one at a time.

    Timers and callbacks, no task: what it takes is time of the machine that is measured.

    Args:
        sender: Knows what to send, and takes what comes of it.
        due: When its first request is, on the clock of `time.perf_counter`.
    """

    __slots__ = ("_began", "_data", "_due", "_is_waiting", "_kind", "_sender", "_transport")

    def __init__(self, sender: Sender, due: float) -> None:
        self._sender = sender
        self._due = due
        self._transport: Any = None
        self._data = b""
        self._kind = ""
        self._began = 0.0
        self._is_waiting = False

    def wait(self) -> None:
        """Waits for the time of the next request, or ends when that is too late."""
        sender = self._sender
        now = time.perf_counter()
        if (self._due if sender.pause else now) >= sender.end:
            sender.client_ended()
        elif sender.pause and self._due > now:
            sender.loop.call_later(self._due - now, self._go)
        else:
            sender.loop.call_soon(self._go)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the connection."""
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Fails the request under way; the next one connects again."""
        self._transport, self._data = None, b""
        if self._is_waiting:
            self._answered(0, b"")

    def data_received(self, data: bytes) -> None:
        """Ends the request under way with its answer."""
        self._data = data = self._data + data if self._data else data
        end = data.find(b"\r\n\r\n")
        if end < 0 or not self._is_waiting:
            return
        head = data[:end].lower()
        place = head.find(b"content-length:")
        if place >= 0:
            stop = head.find(b"\r\n", place)
            size = int(head[place + 15 : stop if stop >= 0 else None])
            if len(data) < end + 4 + size:
                return
        elif not data.endswith(b"0\r\n\r\n"):
            return
        self._data = b""
        self._answered(int(head[9:12]), data[end + 4 :])

    def _go(self) -> None:
        """Sends the next request."""
        sender = self._sender
        self._began = self._due if sender.pause else time.perf_counter()
        if self._transport is None:
            sender.connect(self)
        else:
            self.send()

    def send(self) -> None:
        """Sends a request over the connection."""
        self._is_waiting = True
        self._kind, data = self._sender.next_ask()
        if self._transport is None or self._transport.is_closing():
            self._answered(0, b"")
        else:
            self._transport.write(data)

    def _answered(self, status: int, body: bytes) -> None:
        self._is_waiting = False
        sender = self._sender
        sender.note(self._kind, self._began, status, body)
        self._due += sender.random.uniform(0.5, 1.5) * sender.pause
        self.wait()


class Sender:
    """Sends a plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.random = random.Random(plan.seed)
        self._asks = [
            (each.get("kind", ""), _encoded(plan, each["path"], each["body"])) for each in plan.asks
        ]
        self.pause = plan.connections / plan.per_second if plan.per_second else 0.0
        """Seconds between two requests of a client in the mean; 0: none."""
        self.loop = asyncio.get_running_loop()
        self.end = 0.0
        """When the last request is due, on the clock of `time.perf_counter`."""
        self._next = 0
        self._counted_from = 0.0
        self._running = plan.connections
        self._is_over = asyncio.Event()
        self._connecting: set[asyncio.Task[None]] = set()
        self._latencies: dict[str, list[float]] = {}
        self._outside: list[float] = []
        self._accounted: list[float] = []
        self._degraded: Counter[str] = Counter()
        self._statuses: Counter[str] = Counter()
        self._cached: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()

    async def run(self) -> dict[str, Any]:
        """Returns what was seen."""
        gc.collect()
        gc.freeze()  # requests are many, and what looks for garbage among them stops the clients
        began = time.perf_counter()
        self._counted_from = began + self._plan.warm_seconds
        self.end = self._counted_from + self._plan.seconds
        for _ in range(self._plan.connections):
            Client(self, began + self.random.random() * self.pause).wait()
        await self._is_over.wait()
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

    def next_ask(self) -> tuple[str, bytes]:
        """Returns the kind of the next request, and its bytes."""
        found = self._asks[self._next % len(self._asks)]
        self._next += 1
        return found

    def client_ended(self) -> None:
        """A client has sent its last request."""
        self._running -= 1
        if not self._running:
            self._is_over.set()

    def connect(self, client: Client) -> None:
        """Connects a client, and has it send its request."""

        async def work() -> None:
            with contextlib.suppress(OSError):  # told by the request that cannot be sent
                await self.loop.create_connection(lambda: client, "127.0.0.1", self._plan.port)
            client.send()

        task = self.loop.create_task(work())
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    def note(self, kind: str, began: float, status: int, body: bytes) -> None:
        """Notes what came of a request.

        Args:
            kind: Of the request.
            began: When it was due.
            status: Of the answer; 0: there is none.
            body: Of the answer.
        """
        if began < self._counted_from:
            return
        took = (time.perf_counter() - began) * 1e3
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


async def _sent(plan: Plan) -> dict[str, Any]:
    return await Sender(plan).run()


if __name__ == "__main__":
    given = Plan(**json.load(sys.stdin))
    seen = json.dumps(uvloop.run(_sent(given)))
    os.set_blocking(sys.stdout.fileno(), True)  # else what does not fit into the pipe is lost
    print(seen)
