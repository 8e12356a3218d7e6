"""Tells workers that there is work. Only a hint: whoever misses it finds the job when it polls."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Self

from services.rpc.logs import get_logger

if TYPE_CHECKING:
    from types import TracebackType

    from redis.asyncio import Redis

_STREAM = "cairn:ingestion:wake"
_STREAM_LENGTH = 64
"""Hints kept: each says the same, that there is something to look for."""
_BLOCK_SECONDS = 5.0
_RECONNECT_SECONDS = 2.0
_PUBLISH_SECONDS = 0.25


class Wakeup:
    """Wakes the workers of this process, and through Valkey those of others.

    Args:
        valkey_url: `redis://…`; empty: this process only.
        is_listening: Whether this process has workers that others may wake.
    """

    def __init__(self, valkey_url: str = "", *, is_listening: bool = True) -> None:
        self._event = asyncio.Event()
        self._valkey_url = valkey_url
        self._is_listening = is_listening
        self._client: Redis | None = None
        self._listener: asyncio.Task[None] | None = None
        self._publisher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._valkey_url:
            from redis.asyncio import Redis  # noqa: PLC0415 - only where it is configured

            self._client = Redis.from_url(
                self._valkey_url, socket_timeout=None, socket_connect_timeout=1.0
            )
            if self._is_listening:
                self._listener = asyncio.create_task(self._listen(self._client))
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for task in (self._listener, self._publisher):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        if self._client is not None:
            await self._client.aclose()

    def wake(self) -> None:
        """Wakes the workers of this process alone."""
        self._event.set()

    async def notify(self) -> None:
        """Says that a job was queued. Never fails and never waits."""
        self._event.set()
        if self._client is not None and (self._publisher is None or self._publisher.done()):
            self._publisher = asyncio.create_task(self._publish(self._client))

    async def wait(self, seconds: float) -> None:
        """Waits for a hint, at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
        self._event.clear()

    async def _publish(self, client: Redis) -> None:
        # Without Valkey the workers of other processes find the job when they poll.
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_PUBLISH_SECONDS):
                await client.xadd(_STREAM, {"queued": 1}, maxlen=_STREAM_LENGTH)

    async def _listen(self, client: Redis) -> None:
        is_lost = False
        while True:
            try:
                await client.ping()
                is_lost = False
                # What was missed before is looked for.
                self._event.set()
                newest = await client.xrevrange(_STREAM, count=1)
                last: Any = newest[0][0] if newest else b"0-0"
                while True:
                    # A server that is frozen does not answer in time: then the connection is new.
                    async with asyncio.timeout(2 * _BLOCK_SECONDS):
                        found = await client.xread(
                            {_STREAM: last}, block=int(_BLOCK_SECONDS * 1000)
                        )
                    if found:
                        last = _last_id(found)
                        self._event.set()
            except Exception as error:  # noqa: BLE001 - whatever it is, polling goes on
                if not is_lost:
                    get_logger().warning(
                        "wake-ups are lost; workers poll", error_type=type(error).__name__
                    )
                is_lost = True
            await asyncio.sleep(_RECONNECT_SECONDS)


def _last_id(found: Any) -> bytes:
    """Returns the id of the last entry of an answer, in either form of the protocol."""
    entries = next(iter(found.values()))[0] if isinstance(found, dict) else found[0][1]
    return entries[-1][0]
