"""The shared tier of the cache, in Valkey or Redis.

A server that is dead or frozen costs the requests of that moment its time-out, once: then the tier
is left alone until it has answered a question that no request waits for. Keys are hashes over
tenant, model, prompt and text; values hold the vector, three numbers and token codes, no text.
"""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from services.embedding.cache import CachedVector
from services.embedding.metrics import SHARED_CACHE_FAILURES
from services.rpc.logs import get_logger

TIMEOUT_SECONDS = 0.05
"""Longest a request waits for the store. The client's own retries would take 5 s."""
_FIRST_PAUSE_SECONDS = 1.0
_MAX_PAUSE_SECONDS = 30.0
_KEYS_PER_READ = 256
_MAX_WAITING_WRITES = 4096
"""Entries on their way to the store; more are not kept."""
_ENTRIES_PER_WRITE = 128
_WRITE_TIMEOUT_SECONDS = 1.0
_PREFIX = b"cairn:embedding:2:"
_HEADER = struct.Struct("<IBI")
"""Tokens, whether some were dropped, and the bytes of the vector; token codes follow it."""


class ValkeyCache:
    """See the module's text. Belongs to one loop.

    Args:
        url: "redis://host:port/0".
        keep_seconds: How long an entry is kept.
        pause_seconds: How long a store that failed is left alone at first.
    """

    def __init__(
        self, url: str, *, keep_seconds: int, pause_seconds: float = _FIRST_PAUSE_SECONDS
    ) -> None:
        self._client = Redis.from_url(
            url,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
            max_connections=16,
            client_name="cairn-embedding",
        )
        self._keep_seconds = keep_seconds
        self._pause_seconds = pause_seconds
        self._revival: asyncio.Task[None] | None = None
        """Runs while the store is left alone."""
        self._waiting: list[tuple[bytes, CachedVector]] = []
        self._writer: asyncio.Task[None] | None = None

    async def get(self, keys: Sequence[bytes]) -> dict[bytes, CachedVector]:
        """See `SharedCache`."""
        found: dict[bytes, CachedVector] = {}
        for begin in range(0, len(keys), _KEYS_PER_READ):
            part = keys[begin : begin + _KEYS_PER_READ]
            values = await self._ask([_PREFIX + key for key in part])
            if values is None:
                break
            for key, value in zip(part, values, strict=True):
                entry = _unpack(value)
                if entry is not None:
                    found[key] = entry
        return found

    def put(self, entries: Sequence[tuple[bytes, CachedVector]]) -> None:
        """See `SharedCache`."""
        room = _MAX_WAITING_WRITES - len(self._waiting)
        self._waiting += entries[:room]
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())

    async def close(self) -> None:
        """See `SharedCache`."""
        if self._writer is not None:
            await asyncio.wait([self._writer], timeout=_WRITE_TIMEOUT_SECONDS)
        running = [task for task in (self._writer, self._revival) if task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._client.aclose()

    async def _ask(self, keys: Sequence[bytes]) -> Sequence[bytes | None] | None:
        if self._is_left_alone:
            return None
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                values: Any = await self._client.mget(keys)
                return values
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            self._fail(error)
            return None

    async def _write(self) -> None:
        while self._waiting:
            part = self._waiting[:_ENTRIES_PER_WRITE]
            del self._waiting[:_ENTRIES_PER_WRITE]
            if self._is_left_alone:
                self._waiting.clear()
                return
            try:
                async with asyncio.timeout(_WRITE_TIMEOUT_SECONDS):
                    pipeline = self._client.pipeline(transaction=False)
                    for key, entry in part:
                        pipeline.set(_PREFIX + key, _pack(entry), ex=self._keep_seconds)
                    await pipeline.execute()
            except (RedisError, OSError) as error:
                self._fail(error)

    @property
    def _is_left_alone(self) -> bool:
        return self._revival is not None and not self._revival.done()

    def _fail(self, error: Exception) -> None:
        SHARED_CACHE_FAILURES.inc()
        if not self._is_left_alone:
            get_logger().warning("the shared cache does not answer", reason=type(error).__name__)
            self._revival = asyncio.create_task(self._revive())

    async def _revive(self) -> None:
        """Ends when the store answers again."""
        pause = self._pause_seconds
        while True:
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    await self._client.execute_command("PING")
            except (RedisError, OSError):
                SHARED_CACHE_FAILURES.inc()
                pause = min(2 * pause, _MAX_PAUSE_SECONDS)
            else:
                get_logger().info("the shared cache answers again")
                return


def _pack(entry: CachedVector) -> bytes:
    vector = entry.vector.astype("<f4", copy=False).tobytes()
    header = _HEADER.pack(entry.token_count, entry.is_truncated, len(vector))
    return header + vector + entry.codes


def _unpack(value: bytes | None) -> CachedVector | None:
    """Returns the entry; None for none, or for what is not ours."""
    if value is None or len(value) <= _HEADER.size:
        return None
    count, is_truncated, size = _HEADER.unpack_from(value)
    end = _HEADER.size + size
    if not size or size % 4 or end > len(value):
        return None
    vector = np.frombuffer(value[_HEADER.size : end], "<f4").astype(np.float32)
    return CachedVector(vector, count, bool(is_truncated), value[end:])
