"""Work on its way to an engine: admitted, queued, shared, withdrawn, handed back.

The waiting room in front of every engine, whoever runs it. What is taken out of it, and when, is
decided by a batcher.
"""

from __future__ import annotations

import asyncio
import functools
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from services.embedding.batch_queue import BatchQueue, Item
from services.embedding.encoder import AnyEncoder, Output, TokenArray, VectorArray
from services.embedding.metrics import (
    COALESCED,
    DROPPED,
    FAILED,
    QUEUE_AGE_SECONDS,
    QUEUE_TOKENS,
)
from services.embedding.options import Caller, Lane
from services.rpc.errors import (
    DeadlineExceededError,
    Reason,
    ResourceExhaustedError,
    ServiceError,
    UnavailableError,
)
from services.rpc.metrics import series

_MIN_RETRY_SECONDS = 0.05
_MAX_RETRY_SECONDS = 10.0
_FIRST_RATE = 10_000.0
"""Tokens per second assumed before the first batch."""
_SMOOTHING = 0.2
_GREED = 2
"""A tenant with work waiting may hold this many times what is still free in the lane: one alone
two thirds of it, so that others find room while it is at its bound."""


@dataclass(frozen=True, slots=True)
class BatcherLimits:
    """Bounds of the queue and of a batch, in tokens."""

    budget_tokens: int = 1024
    """Most tokens in one forward pass."""
    max_interactive_tokens: int = 49_152
    max_bulk_tokens: int = 393_216
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
    stated_tokens: int = 0
    """As `Tokens.stated_count`."""

    @property
    def tokens(self) -> int:
        """What it costs."""
        return self.stated_tokens or len(self.ids)


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


@dataclass(slots=True, eq=False)
class Call:
    """One caller, waiting for all of its texts."""

    outcomes: list[Outcome | None]
    remaining: int
    done: asyncio.Future[None]


@dataclass(slots=True, eq=False)
class Text:
    """A text in the queue or in the model, and who waits for it."""

    encoder: AnyEncoder
    output: Output
    ids: TokenArray
    key: tuple[int, Output, bytes] | None
    deadline: float | None
    """The latest of those who wait; None when one of them has none."""
    waiters: list[tuple[Call, int]] = field(default_factory=list)


class Runner(Protocol):
    """Runs texts through an engine."""

    @property
    def limits(self) -> BatcherLimits:
        """Bounds of its queue."""
        ...

    async def run(
        self,
        encoder: AnyEncoder,
        output: Output,
        works: Sequence[Work],
        *,
        lane: Lane,
        caller: Caller,
    ) -> list[Outcome]:
        """Runs texts and returns their outcomes in order. Cancelling it drops what has not run.

        Args:
            encoder: The model.
            output: What it returns for each text.
            works: The texts, any number of them.
            lane: The queue they wait in.
            caller: For whom, and until when.

        Raises:
            ResourceExhaustedError: Too much waits already.
            UnavailableError: The engine is not running.
        """
        ...


class Intake:
    """The waiting room of one engine. `run` belongs to a loop, `take` may be called in a thread.

    Args:
        limits: Bounds.
        clock: Seconds, as `time.monotonic`.
        hand_over: Calls a function in the loop.
        on_arrival: Called, with `lock` held, when there is something to take.
        on_withdrawal: Called, with `lock` held, when somebody does not wait any more.
    """

    def __init__(
        self,
        limits: BatcherLimits,
        *,
        clock: Callable[[], float] = time.monotonic,
        hand_over: Callable[[Callable[[], None]], None],
        on_arrival: Callable[[], None],
        on_withdrawal: Callable[[], None] = lambda: None,
    ) -> None:
        self.limits = limits
        self.lock = threading.RLock()
        self.is_open = False
        self._clock = clock
        self._hand_over = hand_over
        self._on_arrival = on_arrival
        self._on_withdrawal = on_withdrawal
        self._queue: BatchQueue[Text] = BatchQueue(
            budget_tokens=limits.budget_tokens,
            ageing_seconds=limits.ageing_seconds,
            has_lanes=limits.has_lanes,
        )
        self._in_flight: dict[tuple[int, Output, bytes], Item[Text]] = {}
        self._tokens_per_second = _FIRST_RATE
        with _intakes_lock:
            _intakes.add(self)

    def queued_tokens(self, lane: Lane) -> int:
        """Tokens that wait in a lane. From any thread."""
        return self._queue.tokens(lane)

    def oldest_seconds(self, lane: Lane) -> float:
        """How long the text has waited that waits longest in a lane. From any thread."""
        with self.lock:
            came = self._queue.oldest(lane)
            return 0.0 if came is None else self._clock() - came

    async def run(
        self,
        encoder: AnyEncoder,
        output: Output,
        works: Sequence[Work],
        *,
        lane: Lane,
        caller: Caller,
    ) -> list[Outcome]:
        """Waits until texts have run and returns their outcomes in order.

        Cancelling it drops what has not run. See `Runner.run`.
        """
        if not works:
            return []
        call = Call([None] * len(works), len(works), asyncio.get_running_loop().create_future())
        items: list[Item[Text]] = []
        with self.lock:
            if not self.is_open:
                raise UnavailableError(
                    Reason.NOT_READY, "the engine is not running", retry_after_seconds=1
                )
            self._admit(lane, caller.tenant, sum(work.tokens for work in works))
            for index, work in enumerate(works):
                items.append(self._enqueue(encoder, output, work, lane, caller, call, index))
            self._on_arrival()
        try:
            await call.done
        except asyncio.CancelledError:
            self._withdraw(call, items)
            raise
        return [outcome for outcome in call.outcomes if outcome is not None]

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits. Belongs to whoever holds `lock`."""
        return not any(self._queue.tokens(lane) for lane in Lane)

    def take(self, *, only_interactive: bool = False, takers: int = 1) -> list[Item[Text]]:
        """Returns the next batch, without those whose deadline passed; empty: nothing waits.

        See `BatchQueue.take`.
        """
        with self.lock:
            now = self._clock()
            while items := self._queue.take(now, only_interactive=only_interactive, takers=takers):
                live, expired = [], []
                for item in items:
                    deadline = item.payload.deadline
                    (live if deadline is None or deadline > now else expired).append(item)
                if expired:
                    series(DROPPED, "expired").inc(len(expired))
                    error = DeadlineExceededError(
                        Reason.DEADLINE_EXCEEDED,
                        "the deadline passed in the queue",
                        metadata={"stage": "queue"},
                    )
                    self.give_back(expired, [Outcome(None, error, None)] * len(expired))
                if live:
                    return live
            return []

    def give_back(self, items: Sequence[Item[Text]], outcomes: Sequence[Outcome]) -> None:
        """Tells those who wait what became of their texts."""
        self._hand_over(lambda: self._deliver(items, outcomes))

    def learn_rate(self, tokens: int, seconds: float) -> None:
        """Notes how fast the engine was; refusals say when to come back by it."""
        rate = tokens / max(seconds, 1e-6)
        self._tokens_per_second += _SMOOTHING * (rate - self._tokens_per_second)

    def close(self) -> None:
        """Refuses what comes and what waits. Belongs to the loop."""
        with self.lock:
            self.is_open = False
        error = UnavailableError(Reason.NOT_READY, "the service is stopping", retry_after_seconds=1)
        while items := self._queue.take(self._clock()):
            self._deliver(items, [Outcome(None, error, None)] * len(items))

    def _admit(self, lane: Lane, tenant: str, tokens: int) -> None:
        queued = lane if self.limits.has_lanes else Lane.BULK
        waiting, own = self._queue.tokens(queued), self._queue.tokens_of(queued, tenant)
        limit = self.limits.max_tokens(lane)
        # Whoever waits for nothing gets in while there is room; too large a request if it is empty.
        excess = waiting + tokens - limit
        if own:
            excess = max(excess, own + tokens - _GREED * (limit - waiting))
        if waiting == 0 or excess <= 0:
            return
        retry_after = excess / self._tokens_per_second
        raise ResourceExhaustedError(
            Reason.OVERLOADED,
            f"{waiting} tokens wait in the {lane.name.lower()} lane, {own} of them yours; "
            f"at most {limit} may, and one tenant's may not take the room of others",
            metadata={"limit": str(limit), "waiting": str(waiting), "size": str(tokens)},
            retry_after_seconds=min(max(retry_after, _MIN_RETRY_SECONDS), _MAX_RETRY_SECONDS),
        )

    def _enqueue(
        self,
        encoder: AnyEncoder,
        output: Output,
        work: Work,
        lane: Lane,
        caller: Caller,
        call: Call,
        index: int,
    ) -> Item[Text]:
        key = None if work.key is None else (id(encoder), output, work.key)
        shared = self._in_flight.get(key) if key is not None else None
        if shared is not None:
            COALESCED.inc()
            text = shared.payload
            text.waiters.append((call, index))
            if caller.deadline is None or text.deadline is None:
                text.deadline = None
            else:
                text.deadline = max(caller.deadline, text.deadline)
            if lane is Lane.INTERACTIVE:
                self._queue.promote(shared)
            return shared
        text = Text(encoder, output, work.ids, key, caller.deadline, [(call, index)])
        item = Item(
            (id(encoder), output),
            work.tokens,
            lane,
            text,
            self._clock(),
            caller.tenant,
            caller.weight,
        )
        if key is not None:
            self._in_flight[key] = item
        self._queue.put(item)
        return item

    def _withdraw(self, call: Call, items: Sequence[Item[Text]]) -> None:
        """Drops what nobody else waits for."""
        with self.lock:
            for item in items:
                text = item.payload
                text.waiters = [waiter for waiter in text.waiters if waiter[0] is not call]
                if not text.waiters:
                    if self._queue.remove(item):
                        series(DROPPED, "cancelled").inc()
                    self._forget(item)
            self._on_withdrawal()

    def _deliver(self, items: Sequence[Item[Text]], outcomes: Sequence[Outcome]) -> None:
        with self.lock:
            for item in items:
                self._forget(item)
        for item, outcome in zip(items, outcomes, strict=True):
            if outcome.error is not None:
                series(FAILED, outcome.error.reason.value).inc()
            for place, (call, index) in enumerate(item.payload.waiters):
                if place == 1:
                    outcome = Outcome(outcome.result, outcome.error, outcome.ran_in, is_shared=True)  # noqa: PLW2901 - the rest gets its own
                call.outcomes[index] = outcome
                call.remaining -= 1
                if call.remaining == 0 and not call.done.done():
                    call.done.set_result(None)
            item.payload.waiters = []

    def _forget(self, item: Item[Text]) -> None:
        key = item.payload.key
        if key is not None and self._in_flight.get(key) is item:
            del self._in_flight[key]


_intakes: weakref.WeakSet[Intake] = weakref.WeakSet()
"""All of this process: each engine that batches by itself has one of its own."""
_intakes_lock = threading.Lock()


def _all_intakes() -> list[Intake]:
    with _intakes_lock:
        return list(_intakes)


def _tokens_of_all(lane: Lane) -> int:
    return sum(each.queued_tokens(lane) for each in _all_intakes())


def _oldest_of_all(lane: Lane) -> float:
    return max((each.oldest_seconds(lane) for each in _all_intakes()), default=0.0)


# Asked for when somebody looks: set on every arrival, they took a twentieth of a call's time.
for _lane in Lane:
    QUEUE_TOKENS.labels(_lane.name.lower()).set_function(functools.partial(_tokens_of_all, _lane))
    QUEUE_AGE_SECONDS.labels(_lane.name.lower()).set_function(
        functools.partial(_oldest_of_all, _lane)
    )
