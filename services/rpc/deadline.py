"""One deadline per request, handed down: gRPC for Python does not propagate it by itself.

The server interceptor sets the deadline of the running request; clients give each downstream call
what remains less a margin, so that the caller can still answer when a callee does not.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextvars import ContextVar, Token

from services.rpc.errors import DeadlineExceededError, Reason

MARGIN_SECONDS = 0.05
"""Kept back at each hop to turn a late answer into a precise error."""

_deadline: ContextVar[float | None] = ContextVar("cairn_deadline", default=None)


def remaining_seconds() -> float | None:
    """Seconds until the running request's deadline (may be negative), or None without one."""
    deadline = _deadline.get()
    return None if deadline is None else deadline - time.monotonic()


def budget_seconds(wanted: float) -> float:
    """Time-out for a downstream call: `wanted`, cut to what remains less the margin.

    Raises:
        DeadlineExceededError: nothing remains.
    """
    remaining = remaining_seconds()
    if remaining is None:
        return wanted
    if remaining <= MARGIN_SECONDS:
        raise DeadlineExceededError(
            Reason.DEADLINE_EXCEEDED, "the deadline passed before the call began"
        )
    return min(wanted, remaining - MARGIN_SECONDS)


def enter_deadline(seconds: float) -> Token[float | None]:
    """Sets a deadline `seconds` from now, unless an earlier one is set; returns how to leave it."""
    wanted = time.monotonic() + seconds
    current = _deadline.get()
    return _deadline.set(wanted if current is None else min(wanted, current))


def leave_deadline(token: Token[float | None]) -> None:
    """Puts the deadline back that was there before."""
    _deadline.reset(token)


@contextlib.contextmanager
def fresh_deadline_in(seconds: float) -> Iterator[None]:
    """Runs the block under a deadline `seconds` from now, whatever was set.

    For work that several requests share: its deadline must not be that of the one who began it.
    """
    token = _deadline.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        leave_deadline(token)


@contextlib.contextmanager
def deadline_in(seconds: float | None) -> Iterator[None]:
    """Runs the block under a deadline `seconds` from now; an earlier one already set stays."""
    if seconds is None:
        yield
        return
    token = enter_deadline(seconds)
    try:
        yield
    finally:
        leave_deadline(token)
