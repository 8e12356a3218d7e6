"""A few threads run the models of this machine, a batch at a time each, the moment they are free.

No delay to gather more. Within the layers of a bulk batch a thread looks for interactive work and
runs it first, and it abandons a batch for which nobody waits any more.

On processors batches run side by side, each on a core of its own, rather than one after the other
on all cores: those would have to meet after each product, hundreds of times a batch, and each time
wait for the one that another process kept from running.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Self, cast

from services.embedding.batch_queue import Item
from services.embedding.encoder import AnyEncoder, Encoder, Output
from services.embedding.intake import BatcherLimits, Intake, Outcome, Pass, Text, Work
from services.embedding.metrics import BATCH_FILL, DROPPED, INFERENCE_SECONDS, TEXTS, TOKENS
from services.embedding.options import Caller, Lane
from services.rpc.errors import InternalError, Reason, ServiceError, UnavailableError
from services.rpc.logs import exception_fields, get_logger
from services.rpc.metrics import series

_FAILURES_IN_A_ROW = 16
"""Passes of single texts that fail one after the other before the engine counts as broken."""


class _Abandoned(Exception):  # noqa: N818 - no error: nobody waits any more
    """Ends a pass between two layers."""


class Batcher:
    """Runs texts of many callers through their models, a batch at a time.

    Use as an async context manager; `run` belongs to the loop that entered it.

    Args:
        limits: Bounds.
        threads: Batches that run side by side; more than one only where encoders allow it.
        niceness: How far the threads step back for others on this machine.
        clock: Seconds, as `time.monotonic`.
        on_broken: Called once, in the loop, when the engine fails whatever it is given.
    """

    def __init__(
        self,
        limits: BatcherLimits,
        *,
        threads: int = 1,
        niceness: int = 0,
        clock: Callable[[], float] = time.monotonic,
        on_broken: Callable[[], None] | None = None,
    ) -> None:
        self.limits = limits
        self._niceness = niceness
        self._on_broken = on_broken
        self._intake = Intake(
            limits, clock=clock, hand_over=self._call_in_loop, on_arrival=self._wake
        )
        self._condition = threading.Condition(self._intake.lock)
        self._failures_in_a_row = 0
        self._pass_numbers = itertools.count()
        self._is_closing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idle = 0
        """Threads that wait for work."""
        self._threads = [
            threading.Thread(target=self._serve, name=f"inference-{number}", daemon=True)
            for number in range(threads)
        ]

    async def __aenter__(self) -> Self:
        """Starts the threads."""
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()
        self._intake.is_open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        """Refuses what waits and joins the threads."""
        with self._condition:
            self._is_closing = True
            self._intake.is_open = False
            self._condition.notify_all()
        for thread in self._threads:
            await asyncio.to_thread(thread.join)
        self._intake.close()

    async def run(
        self,
        encoder: AnyEncoder,
        output: Output,
        works: Sequence[Work],
        *,
        lane: Lane,
        caller: Caller,
    ) -> list[Outcome]:
        """See `Runner`."""
        return await self._intake.run(encoder, output, works, lane=lane, caller=caller)

    def _wake(self) -> None:
        self._condition.notify()

    # -- in the threads ------------------------------------------------------------------------

    def _serve(self) -> None:
        _step_back(self._niceness)
        try:
            self._serve_until_closed()
        except BaseException as error:  # the thread must not end unnoticed
            self._intake.is_open = False
            get_logger().critical("the inference thread failed", **exception_fields(error))
            if self._on_broken is not None:
                self._call_in_loop(self._on_broken)
            raise

    def _serve_until_closed(self) -> None:
        while True:
            items = self._next()
            if not items:
                return
            is_bulk = items[0].lane is Lane.BULK and self.limits.has_lanes
            self._run(items, may_yield=is_bulk)
            del items  # results must not live on until the next batch

    def _next(self) -> list[Item[Text]]:
        """Waits for a batch; returns none when the batcher closes."""
        with self._condition:
            # What waits is divided among all who would otherwise stand by.
            while not (items := self._intake.take(takers=self._idle + 1)):
                if self._is_closing:
                    return []
                self._idle += 1
                self._condition.wait()
                self._idle -= 1
            if self._idle and not self._intake.is_empty:
                self._condition.notify()
            return items

    def _run(self, items: list[Item[Text]], *, may_yield: bool) -> None:
        lane = items[0].lane.name.lower()
        tokens = sum(item.tokens for item in items)
        series(BATCH_FILL, lane).observe(min(1.0, tokens / self.limits.budget_tokens))
        try:
            outcomes = self._encode(items, may_yield=may_yield)
        except _Abandoned:
            series(DROPPED, "cancelled").inc(len(items))
            outcomes = [Outcome(None, _unwanted(), None)] * len(items)
        series(TOKENS, lane).inc(tokens)
        series(TEXTS, lane).inc(len(items))
        self._intake.give_back(items, outcomes)

    def _encode(self, items: Sequence[Item[Text]], *, may_yield: bool) -> list[Outcome]:
        """Runs a batch; a failing one is cut in two, until the bad text is alone."""
        first = items[0].payload
        yielded = 0.0

        def checkpoint() -> None:
            nonlocal yielded
            if all(not item.payload.waiters for item in items):
                raise _Abandoned
            if may_yield:
                started = time.perf_counter()
                self._run_interactive()
                yielded += time.perf_counter() - started

        started = time.perf_counter()
        try:
            # Only encoders of this process come here; the others have a batcher of their own.
            results = cast("Encoder", first.encoder).encode(
                [item.payload.ids for item in items], first.output, checkpoint
            )
        except _Abandoned:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not reach other texts
            return self._encode_halves(items, error, may_yield=may_yield)
        with self._condition:
            self._failures_in_a_row = 0
        seconds = time.perf_counter() - started - yielded
        series(INFERENCE_SECONDS, items[0].lane.name.lower()).observe(seconds)
        self._intake.learn_rate(sum(item.tokens for item in items) * len(self._threads), seconds)
        ran_in = Pass(next(self._pass_numbers), seconds)
        return [Outcome(result, None, ran_in) for result in results]

    def _encode_halves(
        self, items: Sequence[Item[Text]], error: Exception, *, may_yield: bool
    ) -> list[Outcome]:
        if len(items) > 1:
            middle = len(items) // 2
            return self._encode(items[:middle], may_yield=may_yield) + self._encode(
                items[middle:], may_yield=may_yield
            )
        get_logger().error("a text could not be encoded", **exception_fields(error))
        with self._condition:
            self._failures_in_a_row += 1
            is_broken = self._failures_in_a_row == _FAILURES_IN_A_ROW
        if is_broken and self._on_broken is not None:
            self._call_in_loop(self._on_broken)
        return [Outcome(None, _failed(), None)]

    def _run_interactive(self) -> None:
        """Runs one interactive batch within a bulk one, if any waits."""
        # The other threads look for such work as often: it is divided among all.
        items = self._intake.take(only_interactive=True, takers=len(self._threads))
        if items:
            self._run(items, may_yield=False)

    def _call_in_loop(self, callback: Callable[[], None]) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop closed: nobody waits any more
            self._loop.call_soon_threadsafe(callback)


def _step_back(niceness: int) -> None:
    """Has this thread run with a smaller share than others where there are more than cores."""
    if not niceness or not sys.platform.startswith("linux"):
        return  # elsewhere this is not told of threads
    thread = threading.get_native_id()
    with contextlib.suppress(OSError):  # a sandbox may forbid it
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + niceness)


def _failed() -> ServiceError:
    return InternalError(Reason.INTERNAL, "the model could not encode this text")


def _unwanted() -> ServiceError:
    return UnavailableError(Reason.NOT_READY, "abandoned: nobody waited")
