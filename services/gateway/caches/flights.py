"""One computation for all who ask the same at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from services.gateway.usage import current_meter

T = TypeVar("T")

Publish = Callable[[Any], Awaitable[None]]


@dataclass(slots=True)
class Flight(Generic[T]):
    """A computation under way: its events so far, and who waits for it."""

    seconds: float
    """Time it was given."""
    events: list[Any] = field(default_factory=list)
    waiting: int = 0
    task: asyncio.Task[T] | None = None
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever there is something new; whoever waits takes a fresh one."""

    async def publish(self, event: Any) -> None:
        """Shows an event to everybody who waits."""
        self.events.append(event)
        self.move()

    def move(self) -> None:
        """Wakes everybody who waits."""
        moved, self.moved = self.moved, asyncio.Event()
        moved.set()


class Flights(Generic[T]):
    """Computations by what they compute.

    A computation runs in a task of its own: whoever began it may leave, and it goes on for the
    others. When the last one leaves, it is cancelled.
    """

    def __init__(self) -> None:
        self._flights: dict[str, Flight[T]] = {}

    def find(self, key: str) -> Flight[T] | None:
        """Returns the computation under way."""
        return self._flights.get(key)

    def begin(self, key: str, seconds: float, work: Callable[[Publish], Awaitable[T]]) -> Flight[T]:
        """Begins a computation in the context of whoever asks first.

        Args:
            key: What it computes.
            seconds: Time it is given.
            work: Computes, publishing events on the way.
        """
        flight: Flight[T] = Flight(seconds)

        async def run() -> T:
            # It may outlive whoever began it, on whose account it is.
            with current_meter().held():
                return await work(flight.publish)

        task = flight.task = asyncio.get_running_loop().create_task(run())
        self._flights[key] = flight

        def end(_: asyncio.Task[T]) -> None:
            if self._flights.get(key) is flight:
                del self._flights[key]
            if not task.cancelled():
                task.exception()  # looked at, even when nobody waits any more
            flight.move()

        task.add_done_callback(end)
        return flight

    async def follow(self, key: str, flight: Flight[T], emit: Publish | None) -> T:
        """Returns what the computation returns, passing its events on from the first one.

        Raises:
            BaseException: what the computation raised.
        """
        task = flight.task
        assert task is not None
        flight.waiting += 1
        shown = 0
        try:
            while True:
                moved = flight.moved
                while emit is not None and shown < len(flight.events):
                    shown += 1
                    await emit(flight.events[shown - 1])
                if task.done():
                    return task.result()
                if moved is flight.moved:
                    await moved.wait()
        finally:
            flight.waiting -= 1
            if not flight.waiting and not task.done():
                # From now on it is nobody's: newcomers begin their own.
                if self._flights.get(key) is flight:
                    del self._flights[key]
                task.cancel()
