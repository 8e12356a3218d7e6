"""Calls that many jobs make at once become one.

Whoever comes while a call is under way shares the next, as callers of a group commit do. Made for
each alone, statements, messages and commits take as long as the embedding of a short document.
A lone call starts at once, unless it is told to linger: what is work in bulk gains by waiting a
moment for its neighbours.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Key = TypeVar("Key")
Item = TypeVar("Item")
Result = TypeVar("Result")


class SharedCalls(Generic[Key, Item, Result]):
    """Runs the calls of several tasks together.

    Args:
        run: Makes one call for some items of one key and returns, in their order, the result of
            each or the error that concerns it alone.
        most: Weight of one call; a single item may weigh more.
        weigh: Weight of an item.
        linger_seconds: How long a call waits for company.
        is_urgent: Whether a key's calls do not wait.
        parts_on: Errors of a whole call after which each item is tried alone, because one of them
            may be to blame. Other errors concern all of them.
        calls_at_once: Calls of one key that may be under way.
    """

    def __init__(
        self,
        run: Callable[[Key, Sequence[Item]], Awaitable[Sequence[Result | Exception]]],
        *,
        most: int,
        weigh: Callable[[Item], int] = lambda _: 1,
        linger_seconds: float = 0.0,
        is_urgent: Callable[[Key], bool] = lambda _: False,
        parts_on: Callable[[Exception], bool] = lambda _: False,
        calls_at_once: int = 1,
    ) -> None:
        self._run = run
        self._most = most
        self._weigh = weigh
        self._linger_seconds = linger_seconds
        self._is_urgent = is_urgent
        self._parts_on = parts_on
        self._calls_at_once = calls_at_once
        self._waiting: dict[Key, deque[tuple[Item, asyncio.Future[Result]]]] = {}
        self._callers: dict[Key, int] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def ask(self, key: Key, item: Item) -> Result:
        """Returns the item's result.

        A caller that is cancelled before its call begins takes no part in it; one that is cancelled
        later leaves the call to the others.
        """
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, deque()).append((item, future))
        callers = self._callers.get(key, 0)
        if callers < self._calls_at_once:
            self._callers[key] = callers + 1
            task = asyncio.create_task(self._work(key))
            # Held here, because the loop does not hold it; ends when nobody waits any more.
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return await future

    async def _work(self, key: Key) -> None:
        queue = self._waiting[key]
        taken: list[tuple[Item, asyncio.Future[Result]]] = []
        try:
            while queue:
                if self._linger_seconds and not self._is_urgent(key):
                    await self._linger(queue)
                taken = self._take(queue)
                if taken:
                    await self._call(key, taken)
        finally:
            self._callers[key] -= 1
            left = taken
            if not self._callers[key]:
                del self._callers[key], self._waiting[key]
                left = [*taken, *queue]
            for _, future in left:
                # Only when the loop ends under way: nobody may wait for ever.
                future.cancel()

    async def _linger(self, queue: Sequence[tuple[Item, asyncio.Future[Result]]]) -> None:
        if sum(self._weigh(item) for item, _ in queue) < self._most:
            await asyncio.sleep(self._linger_seconds)

    def _take(
        self, queue: deque[tuple[Item, asyncio.Future[Result]]]
    ) -> list[tuple[Item, asyncio.Future[Result]]]:
        taken: list[tuple[Item, asyncio.Future[Result]]] = []
        weight = 0
        while queue:
            item, future = queue[0]
            if future.cancelled():
                queue.popleft()
                continue
            weight += self._weigh(item)
            if taken and weight > self._most:
                break
            taken.append(queue.popleft())
        return taken

    async def _call(self, key: Key, taken: Sequence[tuple[Item, asyncio.Future[Result]]]) -> None:
        results = await self._results(key, [item for item, _ in taken])
        for (_, future), result in zip(taken, results, strict=True):
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)

    async def _results(self, key: Key, items: Sequence[Item]) -> Sequence[Result | Exception]:
        try:
            return await self._run(key, items)
        except Exception as error:  # noqa: BLE001 - it is the callers', each gets it
            if len(items) == 1 or not self._parts_on(error):
                return [error] * len(items)
        return [(await self._results(key, [item]))[0] for item in items]
