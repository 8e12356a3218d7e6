"""Layers one by one, where a whole server would hide what each does."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc
import pytest

from services.rpc.deadline import remaining_seconds
from services.rpc.errors import DeadlineExceededError
from services.rpc.interceptors.call import ServerCall
from services.rpc.interceptors.deadline import enforce_deadline
from services.rpc.interceptors.errors import answer_errors


class FakeContext:
    """What the error layer asks of a context; `abort` raises as the real one does."""

    def __init__(self, *, is_cancelled: bool = False) -> None:
        self._is_cancelled = is_cancelled
        self.aborts: list[tuple[grpc.StatusCode, str]] = []

    def cancelled(self) -> bool:
        return self._is_cancelled

    def code(self) -> int:
        return 0

    async def abort(self, code: grpc.StatusCode, details: str, trailing_metadata: Any) -> None:
        self.aborts.append((code, details))
        raise grpc.aio.AbortError


def call(timeout_seconds: float | None, *, age_seconds: float = 0, **kwargs: Any) -> ServerCall:
    return ServerCall(
        "cairn.test.v1.EchoService/UnaryUnary",
        FakeContext(**kwargs),  # type: ignore[arg-type]
        timeout_seconds=timeout_seconds,
        started=time.monotonic() - age_seconds,
    )


async def test_deadline_stops_work_even_if_nobody_cancels_the_call() -> None:
    ended = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    with pytest.raises(DeadlineExceededError):
        await enforce_deadline(call(0.05), work)
    assert ended == [True]
    assert remaining_seconds() is None


async def test_time_out_of_the_servicers_own_is_not_the_callers_deadline() -> None:
    async def work() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await enforce_deadline(call(60), work)


async def test_without_a_deadline_none_is_set() -> None:
    async def work() -> float | None:
        return remaining_seconds()

    assert await enforce_deadline(call(None), work) is None


@pytest.mark.parametrize(
    ("timeout_seconds", "age_seconds", "code"),
    [
        (None, 100, grpc.StatusCode.CANCELLED),
        (10, 5, grpc.StatusCode.CANCELLED),
        (10, 9.95, grpc.StatusCode.DEADLINE_EXCEEDED),
        (10, 11, grpc.StatusCode.DEADLINE_EXCEEDED),
    ],
)
async def test_cancelled_call_whose_time_is_over_ran_into_its_deadline(
    timeout_seconds: float | None, age_seconds: float, code: grpc.StatusCode
) -> None:
    """A client that gives up at its deadline cancels: the server hears only that."""
    cancelled = call(timeout_seconds, age_seconds=age_seconds, is_cancelled=True)

    async def work() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await answer_errors(cancelled, work)
    assert cancelled.code is code
    assert cancelled.context.aborts == []  # type: ignore[attr-defined]
