"""What stands between a caller and one service it depends on: bulkhead, breaker, repetitions.

    guard = Guard("retrieval", budget, is_essential=True)
    channel = open_channel(target, guard=guard)

- The bulkhead bounds the calls on their way, so that one service that hangs cannot hold every
  request of the caller. Its size adapts: see `adaptive_limit`.
- The breaker leaves a service alone that fails, is slow or hangs: see `breaker`.
- Calls that may run twice are repeated when the service could not be reached, and reads of one with
  replicas also once when half of their time has passed without an answer. A budget that all
  services of the caller share keeps repetitions a small part of all calls: see `retry_budget`.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from services.rpc.adaptive_limit import AdaptiveLimit
from services.rpc.breaker import Breaker, BreakerCall, BreakerRules
from services.rpc.deadline import remaining_seconds
from services.rpc.errors import (
    Code,
    DeadlineExceededError,
    Reason,
    ResourceExhaustedError,
    ServiceError,
    UnavailableError,
)
from services.rpc.metrics import BULKHEAD_LIMIT, BULKHEAD_REFUSED
from services.rpc.retry_budget import RetryBudget

ATTEMPTS = 3
_BACKOFF_SECONDS = 0.03
_LEAST_PATIENCE_SECONDS = 0.5
"""A caller in a greater hurry than this tells nothing of the service."""
_LEAST_WAIT_SECONDS = 0.25
"""Reads are not repeated before it: the service would only have more to do."""
_FAILURES = frozenset({Code.UNAVAILABLE, Code.INTERNAL, Code.DATA_LOSS})
_SILENT = frozenset({Code.CANCELLED, Code.RESOURCE_EXHAUSTED})
"""Say neither that the service is well nor that it is not."""
_READS = (
    "Search", "Get", "List", "Embed", "Rerank", "Recommend", "Count", "Scroll", "Retrieve", "Facet",
)  # fmt: skip

T = TypeVar("T")


class GuardedCall:
    """One attempt that passed; says once how it ended."""

    __slots__ = ("_began", "_breaker_call", "_guard", "_is_over")

    def __init__(self, guard: Guard, breaker_call: BreakerCall) -> None:
        self._guard = guard
        self._breaker_call = breaker_call
        self._began = time.monotonic()
        self._is_over = False

    def answered(self) -> None:
        """The service has begun to answer: it is well, though the call may go on."""
        self._breaker_call.succeeded()

    def ended(self, error: BaseException | None = None) -> None:
        """The call is over. Further calls change nothing."""
        if self._is_over:
            return
        self._is_over = True
        is_late = isinstance(error, ResourceExhaustedError)
        if error is None:
            self._breaker_call.succeeded()
        elif not isinstance(error, ServiceError) or error.code in _SILENT:
            self._breaker_call.ignored()
        elif error.code is Code.DEADLINE_EXCEEDED:
            is_late = time.monotonic() - self._began >= _LEAST_PATIENCE_SECONDS
            if is_late:
                self._breaker_call.failed()
            else:
                self._breaker_call.ignored()
        elif error.code in _FAILURES:
            self._breaker_call.failed()
        else:  # the caller's mistake: the service is well
            self._breaker_call.succeeded()
        self._guard.leave(is_late=is_late)


class Guard:
    """See the module's text.

    Args:
        name: Of the service, in errors and metrics.
        budget: Repetitions; None: nothing is repeated.
        is_essential: Whether there is no answer without the service: such calls are repeated first.
        is_replicated: Whether another replica could be quicker: only then are slow reads repeated,
            and once, for what is slow by itself must come to its end.
        rules: When its breaker opens.
        limit: Calls on their way at once.
    """

    def __init__(
        self,
        name: str,
        budget: RetryBudget | None,
        *,
        is_essential: bool = False,
        is_replicated: bool = False,
        rules: BreakerRules | None = None,
        limit: AdaptiveLimit | None = None,
    ) -> None:
        self.name = name
        self.breaker = Breaker(name, rules)
        self._budget = budget
        self._is_essential = is_essential
        self._is_replicated = is_replicated
        self._limit = limit or AdaptiveLimit(least=16, most=512, start=256)
        self._in_flight = 0
        BULKHEAD_LIMIT.labels(name).set_function(lambda: self._limit.limit)
        self._refused = BULKHEAD_REFUSED.labels(name)

    @property
    def in_flight(self) -> int:
        """Calls on their way."""
        return self._in_flight

    def enter(self) -> GuardedCall:
        """Lets an attempt pass; it must be told how it `ended`.

        Raises:
            UnavailableError: the breaker is open.
            ResourceExhaustedError: too many calls are on their way.
        """
        if self._in_flight >= self._limit.limit:
            self._refused.inc()
            raise ResourceExhaustedError(
                Reason.OVERLOADED,
                f"too many calls wait for the {self.name} service",
                metadata={"dependency": self.name},
                retry_after_seconds=1.0,
            )
        call = self.breaker.enter()
        if call is None:
            raise UnavailableError(
                Reason.DEPENDENCY_UNAVAILABLE,
                f"the {self.name} service has just failed; it is left alone for a moment",
                metadata={"dependency": self.name},
                retry_after_seconds=max(0.1, self.breaker.pause_left_seconds),
            )
        self._in_flight += 1
        self._limit.began(self._in_flight)
        return GuardedCall(self, call)

    def leave(self, *, is_late: bool) -> None:
        """Books the end of an attempt."""
        self._in_flight -= 1
        self._limit.ended(is_late=is_late)

    def pay_in(self) -> None:
        """Counts a call, not a repetition."""
        if self._budget is not None:
            self._budget.pay_in()

    async def one_answer(
        self, method: str, attempt: Callable[[float], Awaitable[T]], *, timeout_seconds: float
    ) -> T:
        """Makes a call that may run twice, and repeats it as the module's text says.

        Args:
            method: Full name, "cairn.retrieval.v1.RetrievalService/Search".
            attempt: Makes the call once, in so many seconds.
            timeout_seconds: Of the whole.

        Raises:
            ServiceError: as the last attempt did, or as `enter`.
        """
        self.pay_in()
        ends_at = time.monotonic() + timeout_seconds
        is_read = method.rpartition("/")[2].startswith(_READS)
        number = 1
        while True:
            call = self.enter()
            may_repeat = number < ATTEMPTS
            left = ends_at - time.monotonic()
            try:
                if is_read and self._is_replicated and number == 1:
                    answer = await self.hurry(left / 2, left, attempt)
                else:
                    answer = await attempt(left)
            except ServiceError as error:
                call.ended(error)
                if not may_repeat or not await self.repeats(error, number, ends_at):
                    raise
            except BaseException as error:
                call.ended(error)
                raise
            else:
                call.ended()
                return answer
            number += 1

    async def repeats(self, error: ServiceError, number: int, ends_at: float) -> bool:
        """Returns whether a failed attempt is to be repeated, after a pause.

        Args:
            error: How it failed.
            number: Of the attempt, from 1.
            ends_at: When the call must be over, on the monotonic clock.
        """
        if isinstance(error, _ImpatienceError):
            return True  # paid for already
        if error.code is not Code.UNAVAILABLE or self._budget is None:
            return False
        pause = random.uniform(0.5, 1.5) * _BACKOFF_SECONDS * 2**number  # noqa: S311 - spreads load, guards nothing
        left = min(ends_at - time.monotonic(), remaining_seconds() or float("inf"))
        if left < 2 * pause or not self._budget.take(is_essential=self._is_essential):
            return False
        await asyncio.sleep(pause)
        return True

    async def hurry(
        self, patience: float, left: float, attempt: Callable[[float], Awaitable[T]]
    ) -> T:
        """Runs an attempt; gives it up after `patience` seconds if a repetition can be paid.

        Raises:
            DeadlineExceededError: it was given up; `repeats` says yes to it.
        """
        if patience < _LEAST_WAIT_SECONDS or self._budget is None:
            return await attempt(left)
        budget, loop = self._budget, asyncio.get_running_loop()
        limit = asyncio.timeout(None)

        def lose_patience() -> None:
            if budget.take(is_essential=self._is_essential):
                limit.reschedule(loop.time())

        try:
            async with limit:
                timer = loop.call_later(patience, lose_patience)
                try:
                    return await attempt(left)
                finally:
                    timer.cancel()
        except TimeoutError:
            raise _ImpatienceError(self.name) from None


class _ImpatienceError(DeadlineExceededError):
    """An attempt took half of the time that there is; another may be quicker."""

    def __init__(self, name: str) -> None:
        super().__init__(Reason.DEADLINE_EXCEEDED, f"the {name} service is slow")
