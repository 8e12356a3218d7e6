"""Waits for views, bounded by the deadline of the request that waits."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from services.rpc.deadline import remaining_seconds
from services.rpc.errors import DeadlineExceededError, Reason, UnavailableError

_MAX_WAIT_SECONDS = 30.0
"""Longest wait for a view when the request has no earlier deadline."""


@contextlib.asynccontextmanager
async def within(stage: str) -> AsyncIterator[None]:
    """Bounds a wait by the request's deadline.

    Args:
        stage: What is waited for: "view", or "min_seq" for a write to be seen.

    Raises:
        UnavailableError: no view in time.
        DeadlineExceededError: no such write in time.
    """
    remaining = remaining_seconds()
    wait = _MAX_WAIT_SECONDS if remaining is None else min(_MAX_WAIT_SECONDS, remaining)
    try:
        async with asyncio.timeout(wait):
            yield
    except TimeoutError:
        if stage == "view":
            raise UnavailableError(
                Reason.NOT_READY, "the collection is still loading", retry_after_seconds=1.0
            ) from None
        raise DeadlineExceededError(
            Reason.DEADLINE_EXCEEDED,
            "no write of that sequence number was seen in time",
            metadata={"stage": stage},
        ) from None
