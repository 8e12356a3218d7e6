"""Bulkhead, breaker and repetitions in front of one service."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from services.rpc.adaptive_limit import AdaptiveLimit
from services.rpc.breaker import BreakerRules, BreakerState
from services.rpc.errors import (
    CancelledCallError,
    DeadlineExceededError,
    InternalError,
    InvalidArgumentError,
    Reason,
    ResourceExhaustedError,
    ServiceError,
    UnavailableError,
)
from services.rpc.guard import ATTEMPTS, Guard
from services.rpc.retry_budget import RetryBudget

DOWN = UnavailableError(Reason.DEPENDENCY_UNAVAILABLE, "down")
READ, WRITE = "cairn.test.v1.TestService/Search", "cairn.test.v1.TestService/Submit"


def guard(
    *,
    credit: float = 10,
    limit: AdaptiveLimit | None = None,
    row: int = 100,
    is_replicated: bool = True,
) -> Guard:
    return Guard(
        "test",
        RetryBudget("test", credit=credit),
        is_essential=True,
        is_replicated=is_replicated,
        limit=limit,
        rules=BreakerRules(failures_in_row=row, failure_share=1.1),
    )


class Service:
    """Fails as told, one error a call, then answers."""

    def __init__(self, *errors: Exception, seconds: tuple[float, ...] = ()) -> None:
        self._errors = list(errors)
        self._seconds = list(seconds)
        self.calls = 0

    async def __call__(self, _left: float) -> str:
        self.calls += 1
        if self._seconds:
            await asyncio.sleep(self._seconds.pop(0))
        if self._errors:
            raise self._errors.pop(0)
        return "ok"


async def ask(
    tried: Guard,
    service: Callable[[float], Awaitable[str]],
    method: str = WRITE,
    seconds: float = 5,
) -> str:
    return await tried.one_answer(method, service, timeout_seconds=seconds)


async def test_what_could_not_be_reached_is_asked_again() -> None:
    service = Service(DOWN, DOWN)

    assert await ask(guard(), service) == "ok"
    assert service.calls == ATTEMPTS == 3


async def test_repetitions_end_and_the_last_error_is_told() -> None:
    service = Service(DOWN, DOWN, UnavailableError(Reason.NOT_READY, "still"), DOWN)
    with pytest.raises(UnavailableError, match="still"):
        await ask(guard(), service)

    assert service.calls == ATTEMPTS


async def test_without_a_budget_left_nothing_is_repeated() -> None:
    service = Service(DOWN)
    with pytest.raises(UnavailableError):
        await ask(guard(credit=0), service)

    assert service.calls == 1


@pytest.mark.parametrize(
    "error",
    [
        InvalidArgumentError.for_field("x", "wrong"),
        ResourceExhaustedError(Reason.OVERLOADED, "full"),
        InternalError(Reason.INTERNAL, "broken"),
        DeadlineExceededError(Reason.DEADLINE_EXCEEDED, "late"),
    ],
)
async def test_other_errors_are_not_repeated(error: ServiceError) -> None:
    service = Service(error)
    with pytest.raises(type(error)):
        await ask(guard(), service)

    assert service.calls == 1


async def test_a_slow_read_is_given_up_for_another_try() -> None:
    service = Service(seconds=(30, 0))

    assert await ask(guard(), service, READ, seconds=0.6) == "ok"
    assert service.calls == 2


async def test_a_slow_read_is_waited_for_when_no_repetition_can_be_paid() -> None:
    service = Service(seconds=(0.4,))

    assert await ask(guard(credit=0), service, READ, seconds=0.6) == "ok"
    assert service.calls == 1


async def test_a_slow_read_is_waited_for_where_there_is_no_other_replica() -> None:
    service = Service(seconds=(0.4,))

    assert await ask(guard(is_replicated=False), service, READ, seconds=0.6) == "ok"
    assert service.calls == 1


async def test_what_is_slow_by_itself_comes_to_its_end_the_second_time() -> None:
    service = Service(seconds=(30, 0.4))

    assert await ask(guard(), service, READ, seconds=1.0) == "ok"
    assert service.calls == 2


async def test_a_slow_write_is_waited_for() -> None:
    service = Service(seconds=(0.4,))

    assert await ask(guard(), service, WRITE, seconds=0.6) == "ok"
    assert service.calls == 1


async def test_a_service_that_fails_is_left_alone_and_said_to_be() -> None:
    tried, service = guard(credit=0, row=3), Service(*[DOWN] * 10)
    for _ in range(3):
        with pytest.raises(UnavailableError, match="down"):
            await ask(tried, service)

    with pytest.raises(UnavailableError, match="left alone") as refused:
        await ask(tried, service)

    assert service.calls == 3
    assert refused.value.retry_after_seconds is not None
    assert refused.value.metadata == {"dependency": "test"}


@pytest.mark.parametrize(
    "error",
    [
        InvalidArgumentError.for_field("x", "wrong"),
        ResourceExhaustedError(Reason.OVERLOADED, "full"),
        CancelledCallError(Reason.CANCELLED, "gone"),
        DeadlineExceededError(Reason.DEADLINE_EXCEEDED, "the caller was in a hurry"),
    ],
)
async def test_mistakes_hurry_and_overload_do_not_open_the_breaker(error: ServiceError) -> None:
    tried = guard(credit=0, row=1)
    with pytest.raises(type(error)):
        await ask(tried, Service(error))

    assert tried.breaker.state is BreakerState.CLOSED


async def test_a_cancelled_call_leaves_its_place() -> None:
    tried = guard()
    task = asyncio.create_task(ask(tried, Service(seconds=(30,))))
    await asyncio.sleep(0)
    assert tried.in_flight == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert tried.in_flight == 0
    assert tried.breaker.state is BreakerState.CLOSED


async def test_more_calls_than_the_bulkhead_holds_are_refused_at_once() -> None:
    tried = guard(limit=AdaptiveLimit(least=1, start=2, most=2))
    running = [asyncio.create_task(ask(tried, Service(seconds=(30,)))) for _ in range(2)]
    await asyncio.sleep(0)

    with pytest.raises(ResourceExhaustedError) as refused:
        await ask(tried, Service())

    assert refused.value.retry_after_seconds == 1.0
    for each in running:
        each.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    assert await ask(tried, Service()) == "ok"
