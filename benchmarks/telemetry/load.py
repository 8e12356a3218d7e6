"""Searches over plain HTTP/1.1 connections, as cheap as Python makes them; counts answers."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time

_WORDS = [
    "granite",
    "basalt",
    "slate",
    "marble",
    "schist",
    "gneiss",
    "quartz",
    "feldspar",
    "mica",
    "olivine",
    "magma",
    "lava",
    "crystal",
    "cooling",
    "pressure",
    "mineral",
    "layer",
    "plate",
    "fault",
    "crust",
    "mantle",
    "erosion",
    "sediment",
    "fossil",
    "limestone",
    "sandstone",
]


class Searcher:
    """Asks one suite, over connections that stay open.

    Args:
        url: `http://host:port`.
        key: API key.
        seed: Of the questions; none is asked twice.
    """

    def __init__(self, url: str, key: str, seed: int) -> None:
        host, _, port = url.removeprefix("http://").rpartition(":")
        self._address = (host, int(port))
        self._key = key
        self._random = random.Random(seed)
        self._numbers = itertools.count()

    async def run(self, seconds: float, clients: int) -> tuple[int, float]:
        """Asks as fast as answers come; returns the answers and the seconds they took.

        Raises:
            RuntimeError: an answer was not 200.
        """
        until = time.perf_counter() + seconds
        began = time.perf_counter()
        counts = await asyncio.gather(*(self._client(until) for _ in range(clients)))
        return sum(counts), time.perf_counter() - began

    async def _client(self, until: float) -> int:
        reader, writer = await asyncio.open_connection(*self._address)
        count = 0
        try:
            while time.perf_counter() < until:
                writer.write(self._request())
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
                if b" 200 " not in head[:16]:
                    raise RuntimeError(f"not answered: {head.splitlines()[0]!r}")
                count += 1
        finally:
            writer.close()
        return count

    def _request(self) -> bytes:
        words = " ".join(self._random.choices(_WORDS, k=5))
        body = json.dumps({"query": f"{words} {next(self._numbers)}", "top_k": 5}).encode()
        return (
            f"POST /v1/search HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {self._key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body
