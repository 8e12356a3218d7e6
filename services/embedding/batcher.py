"""One thread runs the models of this machine, a batch at a time, the moment it is free.

No delay to gather more. Within the layers of a bulk batch the thread looks for interactive work
and runs it first, and it abandons a batch for which nobody waits any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
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
        clock: Seconds, as `time.monotonic`.
        on_broken: Called once, in the loop, when the engine fails whatever it is given.
    """

    def __init__(
        self,
        limits: BatcherLimits,
        *,
        clock: Callable[[], float] = time.monotonic,
        on_broken: Callable[[], None] | None = None,
    ) -> None:
        self.limits = limits
        self._on_broken = on_broken
        self._intake = Intake(
            limits, clock=clock, hand_over=self._call_in_loop, on_arrival=self._wake
        )
        self._condition = threading.Condition(self._intake.lock)
        self._failures_in_a_row = 0
        self._pass_numbers = itertools.count()
        self._is_closing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._serve, name="inference", daemon=True)

    async def __aenter__(self) -> Self:
        """Starts the thread."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        self._intake.is_open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        """Refuses what waits and joins the thread."""
        with self._condition:
            self._is_closing = True
            self._intake.is_open = False
            self._condition.notify()
        await asyncio.to_thread(self._thread.join)
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

    # -- in the thread -------------------------------------------------------------------------

    def _serve(self) -> None:
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
            with self._condition:
                while not (items := self._intake.take()) and not self._is_closing:
                    self._condition.wait()
            if not items:
                return
            is_bulk = items[0].lane is Lane.BULK and self.limits.has_lanes
            self._run(items, may_yield=is_bulk)
            del items  # results must not live on until the next batch

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
        self._failures_in_a_row = 0
        seconds = time.perf_counter() - started - yielded
        series(INFERENCE_SECONDS, items[0].lane.name.lower()).observe(seconds)
        self._intake.learn_rate(sum(item.tokens for item in items), seconds)
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
        self._failures_in_a_row += 1
        if self._failures_in_a_row == _FAILURES_IN_A_ROW and self._on_broken is not None:
            self._call_in_loop(self._on_broken)
        return [Outcome(None, _failed(), None)]

    def _run_interactive(self) -> None:
        """Runs one interactive batch within a bulk one, if any waits."""
        items = self._intake.take(only_interactive=True)
        if items:
            self._run(items, may_yield=False)

    def _call_in_loop(self, callback: Callable[[], None]) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop closed: nobody waits any more
            self._loop.call_soon_threadsafe(callback)


def _failed() -> ServiceError:
    return InternalError(Reason.INTERNAL, "the model could not encode this text")


def _unwanted() -> ServiceError:
    return UnavailableError(Reason.NOT_READY, "abandoned: nobody waited")
