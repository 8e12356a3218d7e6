"""Questions to a gateway at a rate, whatever becomes of them, and what became of them."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import httpx

_NUMBERS = itertools.count()
_SECONDS = 20.0
"""Longest that a client waits for an answer."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What became of one question."""

    status: int
    """0: no answer at all."""
    seconds: float
    degraded: tuple[str, ...] = ()
    retry_after: str | None = None


@dataclass(slots=True)
class Load:
    """What became of many."""

    asked: list[Asked] = field(default_factory=list)

    @property
    def goodput(self) -> float:
        """Share that was answered."""
        return sum(each.status == 200 for each in self.asked) / len(self.asked)

    @property
    def statuses(self) -> Counter[int]:
        """Answers by status."""
        return Counter(each.status for each in self.asked)

    @property
    def degraded(self) -> Counter[str]:
        """Answers by what they had to do without."""
        return Counter(step for each in self.asked for step in each.degraded)

    def quantile(self, share: float, status: int = 200) -> float:
        """Returns the seconds within which that share of answers came."""
        took = sorted(each.seconds for each in self.asked if each.status == status)
        return took[min(len(took) - 1, math.ceil(share * len(took)) - 1)] if took else math.inf


async def ask_once(client: httpx.AsyncClient, query: str = "", timeout_seconds: float = 0) -> Asked:
    """Asks a question that no cache knows."""
    headers = {"x-cairn-cache": "off"}
    if timeout_seconds:
        headers["x-cairn-timeout-ms"] = str(round(timeout_seconds * 1e3))
    body = {"query": query or f"How does granite form, number {next(_NUMBERS)}?"}
    began = time.monotonic()
    try:
        async with asyncio.timeout(_SECONDS):
            answer = await _post(client, "/v1/query", json.dumps(body).encode(), headers)
    except (OSError, TimeoutError, ValueError, LookupError, EOFError):
        return Asked(0, time.monotonic() - began)
    status, told, content = answer
    seconds = time.monotonic() - began
    degraded = tuple(json.loads(content)["degraded"]) if status == 200 else ()
    return Asked(status, seconds, degraded, told.get("retry-after"))


async def _post(
    client: httpx.AsyncClient, path: str, body: bytes, headers: Mapping[str, str]
) -> tuple[int, dict[str, str], bytes]:
    """Returns status, headers and body; over a connection of its own, by hand.

    With hundreds of requests under way, httpx's pool takes more processor time for each than the
    suite does: what would be measured is the client, on the machine that the suite runs on.
    """
    address = client.base_url
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        lines = [
            f"POST {path} HTTP/1.1",
            f"host: {address.host}",
            f"authorization: {client.headers['authorization']}",
            "content-type: application/json",
            f"content-length: {len(body)}",
            "connection: close",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        answer = await reader.read(-1)
    finally:
        writer.close()
    head, _, content = answer.partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    told = dict(line.lower().split(": ", 1) for line in rest)
    if len(content) != int(told["content-length"]):
        raise EOFError("the answer broke off")
    return int(first.split(" ", 2)[1]), told, content


async def at_rate(
    client: httpx.AsyncClient,
    per_second: float,
    seconds: float,
    *,
    queries: Sequence[str] = (),
    timeout_seconds: float = 0,
) -> Load:
    """Asks at a rate, however long answers take: as people do."""
    load = Load()
    count = round(per_second * seconds)

    async def one(number: int) -> None:
        await asyncio.sleep(number / per_second)
        query = queries[number % len(queries)] if queries else ""
        load.asked.append(await ask_once(client, query, timeout_seconds))

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(one(number))
    return load


async def by_clients(client: httpx.AsyncClient, clients: int, count: int) -> Load:
    """Asks `count` questions, so many at once."""
    load = Load()
    left = iter(range(count))

    async def ask_some() -> None:
        for _ in left:
            load.asked.append(await ask_once(client))

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(ask_some())
    return load
