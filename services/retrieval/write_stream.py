"""Writes of one stream: a few under way at once, acknowledged in the order they came.

A commit waits for the disk. Meanwhile the next messages are read and checked, and those that wait
then share the next commit. Writes of one document keep their order: a message with an id of one
under way waits for that one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from services.rpc.admission import Admission

M = TypeVar("M")
T = TypeVar("T")

_WINDOW = 8
"""Writes of one stream under way at once: measured, more make no more rows a second."""
_CANCEL_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Write(Generic[T]):
    """A message that was read and checked, and what it writes."""

    ids: frozenset[str]
    """Documents it writes."""
    work: Callable[[], Coroutine[Any, Any, T]]
    """Takes its place among all writes at its first step, and returns after the commit."""


async def in_order(
    messages: AsyncIterator[M],
    begin: Callable[[M, int], Awaitable[Write[T]]],
    cost: Callable[[M], int],
    admission: Admission,
) -> AsyncGenerator[T]:
    """Yields what the messages' writes return, in the order of the messages.

    The first failure ends it, after what came before is acknowledged. Writes after it are not begun
    any more; those that were under way by then may be committed or not.

    Args:
        messages: The stream.
        begin: Reads a message, given its cost; called for one at a time.
        cost: What a message costs the admission.
        admission: Bounds the writes under way. A stream waits for its own; it is refused only what
            does not fit beside those of others.

    Raises:
        ServiceError: of the first message that cannot be written.
    """
    under_way = _UnderWay[T](admission)
    begun: asyncio.Queue[asyncio.Task[T] | None] = asyncio.Queue()
    window = asyncio.Semaphore(_WINDOW)

    async def read() -> None:
        try:
            async for message in messages:
                await window.acquire()
                nbytes = cost(message)
                await under_way.has_room(nbytes)
                write = await begin(message, nbytes)
                await under_way.are_free(write.ids)
                if under_way.has_failed:
                    return
                begun.put_nowait(await under_way.start(write, nbytes))
        finally:
            begun.put_nowait(None)

    # Read and acknowledge side by side: a caller may wait for each answer before it sends on.
    reader = asyncio.create_task(read())
    try:
        while (task := await begun.get()) is not None:
            result = await task
            window.release()
            yield result
        await reader
    finally:
        await _end((reader, *under_way.tasks))


class _UnderWay(Generic[T]):
    """The writes of one stream that are not committed yet."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self.tasks: dict[asyncio.Task[T], frozenset[str]] = {}
        """Each with the documents it writes."""
        self.has_failed = False

    async def has_room(self, nbytes: int) -> None:
        """Waits until a write fits beside the others, or none of this stream is under way."""
        admission = self._admission
        while self.tasks and admission.cost_in_flight + nbytes > admission.max_cost:
            await asyncio.wait(self.tasks, return_when=asyncio.FIRST_COMPLETED)

    async def are_free(self, ids: frozenset[str]) -> None:
        """Waits until none of the documents is being written."""
        while clashing := [task for task, own in self.tasks.items() if not own.isdisjoint(ids)]:
            await asyncio.wait(clashing)

    async def start(self, write: Write[T], nbytes: int) -> asyncio.Task[T]:
        """Begins a write; returns when it has its place among all writes."""
        task = asyncio.create_task(self._run(write, nbytes))
        self.tasks[task] = write.ids
        task.add_done_callback(self._note)
        await asyncio.sleep(0)
        return task

    async def _run(self, write: Write[T], nbytes: int) -> T:
        async with self._admission.admit(nbytes):
            return await write.work()

    def _note(self, task: asyncio.Task[T]) -> None:
        self.has_failed |= task.cancelled() or task.exception() is not None
        del self.tasks[task]


async def _end(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Cancels tasks, and waits for them."""
    for task in tasks:
        task.cancel()
    done, _ = await asyncio.wait(tasks, timeout=_CANCEL_SECONDS)
    for task in done:
        if not task.cancelled():
            task.exception()  # seen: another one is on its way to the caller
