"""Where collections stand now: asked of retrieval, by many requests at once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from services.rpc.deadline import fresh_deadline_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.rpc.scope import Scope

_MOST_SEEN = 4_096
"""Collections, all of which are forgotten when there are more."""
ASK_SECONDS = 1.0
"""A position that takes longer is not worth having: the request goes on without caches."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a collection's log stands."""

    collection: str
    """Own name, whatever alias was asked for."""
    generation: int
    """Rises with every write; no two collections of a tenant ever share one."""


class PositionSource(Protocol):
    """Knows where collections stand."""

    async def position(self, scope: Scope, collection: str) -> Position:
        """Returns a position with every write acknowledged before the call began."""
        ...


class Positions:
    """Asks for positions on behalf of many requests.

    A request is answered by a call that began after the request did, never by an older one: so it
    sees every write that was acknowledged before it came, on whichever replica. Requests that come
    while a call is under way share the next one. So there is one call at a time for a collection,
    however many requests.

    Args:
        source: The retrieval service.
    """

    def __init__(self, source: PositionSource) -> None:
        self._source = source
        self._running: dict[tuple[str, str], asyncio.Task[Position]] = {}
        self._next: dict[tuple[str, str], asyncio.Task[Position]] = {}

    async def read(self, scope: Scope, collection: str) -> Position:
        """Returns where the collection stands.

        Raises:
            ServiceError: there is no such collection, or retrieval does not answer.
        """
        name = (scope.tenant, collection)
        running = self._running.get(name)
        if running is None:
            mine = self._start(name, scope, None)
        else:
            mine = self._next.get(name)
            if mine is None:
                mine = self._next[name] = self._start(name, scope, running)
        return await asyncio.shield(mine)

    def _start(
        self, name: tuple[str, str], scope: Scope, former: asyncio.Task[Position] | None
    ) -> asyncio.Task[Position]:
        task = asyncio.get_running_loop().create_task(self._ask(name, scope, former))
        task.add_done_callback(_seen)
        if former is None:
            self._running[name] = task
        return task

    async def _ask(
        self, name: tuple[str, str], scope: Scope, former: asyncio.Task[Position] | None
    ) -> Position:
        if former is not None:
            await asyncio.wait((former,))
            # From here on nobody may join this call: it begins now.
            self._running[name] = self._next.pop(name)
        try:
            with fresh_deadline_in(ASK_SECONDS):
                return await self._source.position(scope, name[1])
        finally:
            if name not in self._next:
                del self._running[name]


class SeenPositions:
    """Remembers where collections stood last, for requests that nothing is kept for.

    Whoever finds nothing under the position seen last computes afresh, and needs no newer one: what
    is computed sees every write before it, and is kept only if it is of that very position. Whoever
    could be shown something that is kept, or join who computes it, has the position asked for.

    Args:
        positions: Asks.
    """

    def __init__(self, positions: Positions) -> None:
        self._positions = positions
        self._seen: dict[tuple[str, str], Position] = {}

    async def read(
        self, scope: Scope, collection: str, is_new: Callable[[Position], bool]
    ) -> Position:
        """Returns where the collection stands, or where it was seen last.

        Args:
            scope: On whose behalf.
            collection: Its name, or an alias.
            is_new: Whether nothing is kept or computed for the request under a position.

        Raises:
            ServiceError: as of `Positions.read`.
        """
        seen = self.seen(scope, collection, is_new)
        if seen is not None:
            return seen
        name = (scope.tenant, collection)
        if len(self._seen) >= _MOST_SEEN:
            self._seen.clear()
        position = self._seen[name] = await self._positions.read(scope, collection)
        return position

    def seen(
        self, scope: Scope, collection: str, is_new: Callable[[Position], bool]
    ) -> Position | None:
        """Returns what `read` does where it need not ask; else None."""
        seen = self._seen.get((scope.tenant, collection))
        return seen if seen is not None and is_new(seen) else None

    def forget(self, scope: Scope, collection: str) -> None:
        """Forgets a position that is not that of what was computed."""
        self._seen.pop((scope.tenant, collection), None)


def _seen(task: asyncio.Task[Position]) -> None:
    """Looks at an error that nobody waits for any more, so that asyncio does not complain."""
    if not task.cancelled():
        task.exception()
