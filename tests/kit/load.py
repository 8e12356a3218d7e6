"""Questions to a gateway at a rate, whatever becomes of them, and what became of them."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx

_NUMBERS = itertools.count()


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
        response = await client.post("/v1/query", json=body, headers=headers)
    except httpx.HTTPError:
        return Asked(0, time.monotonic() - began)
    seconds = time.monotonic() - began
    degraded = tuple(response.json()["degraded"]) if response.status_code == 200 else ()
    return Asked(response.status_code, seconds, degraded, response.headers.get("retry-after"))


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
