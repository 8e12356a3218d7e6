"""One thread runs the model; what it runs next is decided when it is free, so nothing waits idly.

A batch is taken the moment the thread is free: no delay to gather more. Between the layers of a
bulk batch the thread looks for interactive work and runs it first, and it abandons a batch for
which nobody waits any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

from services.embedding.batch_queue import BatchQueue, Item
from services.embedding.encoder import Encoder, Output, TokenArray, VectorArray
from services.embedding.metrics import (
    BATCH_FILL,
    COALESCED,
    DROPPED,
    FAILED,
    INFERENCE_SECONDS,
    QUEUE_TOKENS,
    TEXTS,
    TOKENS,
)
from services.embedding.options import Lane
from services.rpc.errors import (
    DeadlineExceededError,
    InternalError,
    Reason,
    ResourceExhaustedError,
    ServiceError,
    UnavailableError,
)
from services.rpc.logs import exception_fields, get_logger

_MIN_RETRY_SECONDS = 0.05
_MAX_RETRY_SECONDS = 10.0
_FIRST_RATE = 10_000.0
"""Tokens per second assumed before the first batch."""
_SMOOTHING = 0.2
_FAILURES_IN_A_ROW = 16
"""Passes of single texts that fail one after the other before the engine counts as broken."""


@dataclass(frozen=True, slots=True)
class BatcherLimits:
    """Bounds of the queue and of a batch, in tokens."""

    budget_tokens: int = 1024
    """Most tokens in one forward pass."""
    max_interactive_tokens: int = 32_768
    max_bulk_tokens: int = 262_144
    """Most tokens that wait in each lane; a larger request is admitted to an empty lane."""
    ageing_seconds: float = 2.0
    """Wait after which bulk work gets every other batch."""
    has_lanes: bool = True

    def max_tokens(self, lane: Lane) -> int:
        """The bound of one lane."""
        return self.max_interactive_tokens if lane is Lane.INTERACTIVE else self.max_bulk_tokens


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """One text to run."""

    ids: TokenArray
    key: bytes | None = None
    """Equal keys in flight share one pass; None shares with nobody."""


@dataclass(frozen=True, slots=True, eq=False)
class Pass:
    """One forward pass, shared by the texts of its batch."""

    number: int
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What became of one text: a result, or an error of its own."""

    result: VectorArray | None
    error: ServiceError | None
    ran_in: Pass | None
    """The pass that made the result."""
    is_shared: bool = False
    """Whether an equal text in flight paid for it."""


class _Abandoned(Exception):  # noqa: N818 - no error: nobody waits any more
    """Ends a pass between two layers."""


@dataclass(slots=True, eq=False)
class _Call:
    """One caller, waiting for all of its texts."""

    outcomes: list[Outcome | None]
    remaining: int
    done: asyncio.Future[None]


@dataclass(slots=True, eq=False)
class _Text:
    """A text in the queue or in the model, and who waits for it."""

    encoder: Encoder
    output: Output
    ids: TokenArray
    key: tuple[int, Output, bytes] | None
    deadline: float | None
    """The latest of those who wait; None when one of them has none."""
    waiters: list[tuple[_Call, int]] = field(default_factory=list)


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
        self._clock = clock
        self._on_broken = on_broken
        self._queue: BatchQueue[_Text] = BatchQueue(
            budget_tokens=limits.budget_tokens,
            ageing_seconds=limits.ageing_seconds,
            has_lanes=limits.has_lanes,
        )
        self._condition = threading.Condition()
        self._in_flight: dict[tuple[int, Output, bytes], Item[_Text]] = {}
        self._tokens_per_second = _FIRST_RATE
        self._failures_in_a_row = 0
        self._pass_numbers = itertools.count()
        self._is_closing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._serve, name="inference", daemon=True)

    async def __aenter__(self) -> Self:
        """Starts the thread."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Refuses what waits and joins the thread."""
        with self._condition:
            self._is_closing = True
            self._condition.notify()
        await asyncio.to_thread(self._thread.join)
        error = UnavailableError(Reason.NOT_READY, "the service is stopping", retry_after_seconds=1)
        for lane in Lane:
            while items := self._queue.take(
                self._clock(), only_interactive=lane is Lane.INTERACTIVE
            ):
                self._deliver(items, [Outcome(None, error, None)] * len(items))

    async def run(
        self,
        encoder: Encoder,
        output: Output,
        works: Sequence[Work],
        *,
        lane: Lane,
        deadline: float | None = None,
    ) -> list[Outcome]:
        """Runs texts and returns their outcomes in order. Cancelling it drops what has not run.

        Args:
            encoder: The model.
            output: What it returns for each text.
            works: The texts, any number of them.
            lane: The queue they wait in.
            deadline: Seconds of the clock after which nobody waits.

        Raises:
            ResourceExhaustedError: Too much waits already.
            UnavailableError: The batcher is closing.
        """
        if not works:
            return []
        call = _Call([None] * len(works), len(works), asyncio.get_running_loop().create_future())
        items: list[Item[_Text]] = []
        with self._condition:
            self._check_open()
            self._admit(lane, sum(len(work.ids) for work in works))
            for index, work in enumerate(works):
                items.append(self._enqueue(encoder, output, work, lane, deadline, call, index))
            self._measure_queue()
            self._condition.notify()
        try:
            await call.done
        except asyncio.CancelledError:
            self._withdraw(call, items)
            raise
        return [outcome for outcome in call.outcomes if outcome is not None]

    # -- in the loop ---------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._is_closing or not self._thread.is_alive():
            raise UnavailableError(
                Reason.NOT_READY, "the engine is not running", retry_after_seconds=1
            )

    def _admit(self, lane: Lane, tokens: int) -> None:
        waiting = self._queue.tokens(lane if self.limits.has_lanes else Lane.BULK)
        limit = self.limits.max_tokens(lane)
        if waiting == 0 or waiting + tokens <= limit:
            return
        retry_after = (waiting + tokens - limit) / self._tokens_per_second
        raise ResourceExhaustedError(
            Reason.OVERLOADED,
            f"{waiting} tokens wait in the {lane.name.lower()} lane; at most {limit} may",
            metadata={"limit": str(limit), "waiting": str(waiting), "size": str(tokens)},
            retry_after_seconds=min(max(retry_after, _MIN_RETRY_SECONDS), _MAX_RETRY_SECONDS),
        )

    def _enqueue(
        self,
        encoder: Encoder,
        output: Output,
        work: Work,
        lane: Lane,
        deadline: float | None,
        call: _Call,
        index: int,
    ) -> Item[_Text]:
        key = None if work.key is None else (id(encoder), output, work.key)
        shared = self._in_flight.get(key) if key is not None else None
        if shared is not None:
            COALESCED.inc()
            text = shared.payload
            text.waiters.append((call, index))
            if deadline is None or text.deadline is None:
                text.deadline = None
            else:
                text.deadline = max(deadline, text.deadline)
            if lane is Lane.INTERACTIVE:
                self._queue.promote(shared)
            return shared
        text = _Text(encoder, output, work.ids, key, deadline, [(call, index)])
        item = Item((id(encoder), output), len(work.ids), lane, text, self._clock())
        if key is not None:
            self._in_flight[key] = item
        self._queue.put(item)
        return item

    def _withdraw(self, call: _Call, items: Sequence[Item[_Text]]) -> None:
        """Drops what nobody else waits for."""
        with self._condition:
            for item in items:
                text = item.payload
                text.waiters = [waiter for waiter in text.waiters if waiter[0] is not call]
                if not text.waiters:
                    if self._queue.remove(item):
                        DROPPED.labels("cancelled").inc()
                    self._forget(item)
            self._measure_queue()

    def _deliver(self, items: Sequence[Item[_Text]], outcomes: Sequence[Outcome]) -> None:
        with self._condition:
            for item in items:
                self._forget(item)
        for item, outcome in zip(items, outcomes, strict=True):
            if outcome.error is not None:
                FAILED.labels(outcome.error.reason.value).inc()
            for place, (call, index) in enumerate(item.payload.waiters):
                if place == 1:
                    outcome = Outcome(outcome.result, outcome.error, outcome.ran_in, is_shared=True)  # noqa: PLW2901 - the rest gets its own
                call.outcomes[index] = outcome
                call.remaining -= 1
                if call.remaining == 0 and not call.done.done():
                    call.done.set_result(None)
            item.payload.waiters = []

    def _forget(self, item: Item[_Text]) -> None:
        key = item.payload.key
        if key is not None and self._in_flight.get(key) is item:
            del self._in_flight[key]

    def _measure_queue(self) -> None:
        for lane in Lane:
            QUEUE_TOKENS.labels(lane.name.lower()).set(self._queue.tokens(lane))

    # -- in the thread -------------------------------------------------------------------------

    def _serve(self) -> None:
        try:
            self._serve_until_closed()
        except BaseException as error:  # the thread must not end unnoticed
            get_logger().critical("the inference thread failed", **exception_fields(error))
            if self._on_broken is not None:
                self._call_in_loop(self._on_broken)
            raise

    def _serve_until_closed(self) -> None:
        while True:
            with self._condition:
                while not (items := self._take()) and not self._is_closing:
                    self._condition.wait()
            if not items:
                return
            is_bulk = items[0].lane is Lane.BULK and self.limits.has_lanes
            self._run(items, may_yield=is_bulk)
            del items  # results must not live on until the next batch

    def _take(self, *, only_interactive: bool = False) -> list[Item[_Text]]:
        """Returns the next batch without those whose deadline passed. Holds the lock."""
        now = self._clock()
        while items := self._queue.take(now, only_interactive=only_interactive):
            live, expired = [], []
            for item in items:
                deadline = item.payload.deadline
                (live if deadline is None or deadline > now else expired).append(item)
            if expired:
                DROPPED.labels("expired").inc(len(expired))
                error = DeadlineExceededError(
                    Reason.DEADLINE_EXCEEDED,
                    "the deadline passed in the queue",
                    metadata={"stage": "queue"},
                )
                self._hand_over(expired, [Outcome(None, error, None)] * len(expired))
            self._measure_queue()
            if live:
                return live
        return []

    def _run(self, items: list[Item[_Text]], *, may_yield: bool) -> None:
        lane = items[0].lane.name.lower()
        tokens = sum(item.tokens for item in items)
        BATCH_FILL.labels(lane).observe(min(1.0, tokens / self.limits.budget_tokens))
        try:
            outcomes = self._encode(items, may_yield=may_yield)
        except _Abandoned:
            DROPPED.labels("cancelled").inc(len(items))
            outcomes = [Outcome(None, _unwanted(), None)] * len(items)
        TOKENS.labels(lane).inc(tokens)
        TEXTS.labels(lane).inc(len(items))
        self._hand_over(items, outcomes)

    def _encode(self, items: Sequence[Item[_Text]], *, may_yield: bool) -> list[Outcome]:
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
            results = first.encoder.encode(
                [item.payload.ids for item in items], first.output, checkpoint
            )
        except _Abandoned:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not reach other texts
            return self._encode_halves(items, error, may_yield=may_yield)
        self._failures_in_a_row = 0
        seconds = time.perf_counter() - started - yielded
        INFERENCE_SECONDS.labels(items[0].lane.name.lower()).observe(seconds)
        self._learn_rate(sum(item.tokens for item in items), seconds)
        ran_in = Pass(next(self._pass_numbers), seconds)
        return [Outcome(result, None, ran_in) for result in results]

    def _encode_halves(
        self, items: Sequence[Item[_Text]], error: Exception, *, may_yield: bool
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
        with self._condition:
            items = self._take(only_interactive=True)
        if items:
            self._run(items, may_yield=False)

    def _learn_rate(self, tokens: int, seconds: float) -> None:
        rate = tokens / max(seconds, 1e-6)
        self._tokens_per_second += _SMOOTHING * (rate - self._tokens_per_second)

    def _hand_over(self, items: Sequence[Item[_Text]], outcomes: Sequence[Outcome]) -> None:
        self._call_in_loop(lambda: self._deliver(items, outcomes))

    def _call_in_loop(self, callback: Callable[[], None]) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop closed: nobody waits any more
            self._loop.call_soon_threadsafe(callback)


def _failed() -> ServiceError:
    return InternalError(Reason.INTERNAL, "the model could not encode this text")


def _unwanted() -> ServiceError:
    return UnavailableError(Reason.NOT_READY, "abandoned: nobody waited")
