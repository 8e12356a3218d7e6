"""A breaker: what fails, is slow or hangs is left alone for a while, then tried by one call.

    breaker = Breaker("embedding")
    call = breaker.enter()          # raises nothing; None: leave it alone
    ...
    call.succeeded()                # or failed(), or ignored(); exactly one of them

It opens on failures in a row, on a high share of failures or of slow calls among the latest, and
on calls that still wait while nothing has come back: a peer that hangs is noticed by those who
wait for it, long before their deadlines pass.
"""

from __future__ import annotations

import enum
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from services.rpc.metrics import BREAKER_OPENED, BREAKER_STATE

_LEAST_CALLS = 20
"""Fewer of the latest calls make no share."""


class BreakerState(enum.IntEnum):
    """State of a breaker; the number is the metric's value."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """When a breaker opens, and for how long."""

    failures_in_row: int = 8
    """Opens after this many failures without a success: where one call in five fails, by chance
    once in half a million calls; where the peer is dead, at once."""
    failure_share: float = 0.5
    """Opens when this share of the latest calls failed."""
    slow_seconds: float = 3.0
    """A call that took longer is slow; one that waits longer may hang."""
    slow_share: float = 0.8
    """Opens when this share of the latest calls was slow."""
    hanging_calls: int = 3
    """Opens when so many calls wait longer than `slow_seconds` and none has succeeded since the
    oldest of them began."""
    window: int = 100
    """Calls that are remembered."""
    window_seconds: float = 30.0
    """How long they are remembered."""
    pause_seconds: float = 1.0
    """First time it stays open; doubles with each probe that fails."""
    max_pause_seconds: float = 4.0
    """Longest time it stays open: what is back is used again within it."""


class BreakerCall:
    """One call that a breaker let through; says once how it ended."""

    __slots__ = ("_breaker", "_is_over", "began", "is_probe")

    def __init__(self, breaker: Breaker, began: float, *, is_probe: bool) -> None:
        self._breaker = breaker
        self._is_over = False
        self.began = began
        self.is_probe = is_probe

    def succeeded(self) -> None:
        """The peer answered; whether it was slow, the breaker's clock tells."""
        if not self._is_over:
            self._is_over = True
            self._breaker.book_success(self)

    def failed(self) -> None:
        """The peer failed, or did not answer in time."""
        if not self._is_over:
            self._is_over = True
            self._breaker.book_failure(self)

    def ignored(self) -> None:
        """The call ended in a way that says nothing of the peer: the caller left, or erred."""
        if not self._is_over:
            self._is_over = True
            self._breaker.book_nothing(self)


class Breaker:
    """See the module's text.

    Args:
        name: Label of the metrics.
        rules: When it opens.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        name: str,
        rules: BreakerRules | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._rules = rules or BreakerRules()
        self._clock = clock
        self._latest: deque[tuple[float, bool, bool]] = deque(maxlen=self._rules.window)
        """(when, whether it failed, whether it was slow)"""
        self._running: dict[BreakerCall, None] = {}
        """Calls on their way, the oldest first."""
        self._in_row = 0
        self._last_success = -float("inf")
        self._opened_at: float | None = None
        self._pause_seconds = self._rules.pause_seconds
        self._probe: BreakerCall | None = None
        self._gauge = BREAKER_STATE.labels(name)
        self._gauge.set(BreakerState.CLOSED)

    @property
    def state(self) -> BreakerState:
        """What the breaker does with the next call."""
        if self._opened_at is None:
            if not self._is_hanging():
                return BreakerState.CLOSED
            self._open()
        return BreakerState.HALF_OPEN if self.pause_left_seconds <= 0 else BreakerState.OPEN

    @property
    def would_pass(self) -> bool:
        """Whether `enter` would let a call through now."""
        state = self.state
        return state is BreakerState.CLOSED or (
            state is BreakerState.HALF_OPEN and self._probe is None
        )

    @property
    def pause_left_seconds(self) -> float:
        """Until a call is let through to try; 0 or less: now."""
        if self._opened_at is None:
            return 0.0
        return self._opened_at + self._pause_seconds - self._clock()

    def enter(self) -> BreakerCall | None:
        """Lets a call through, or not: then nothing needs to be said of it.

        While half open one call at a time passes.
        """
        if not self.would_pass:
            return None
        is_probe = self._opened_at is not None
        call = BreakerCall(self, self._clock(), is_probe=is_probe)
        self._running[call] = None
        if is_probe:
            self._probe = call
            self._gauge.set(BreakerState.HALF_OPEN)
        return call

    def book_success(self, call: BreakerCall) -> None:
        """Books a call that was answered."""
        now = self._leave(call)
        is_slow = now - call.began > self._rules.slow_seconds
        if self._opened_at is not None:
            # An answer from before it opened says little; the probe's says that the peer is back.
            if call.is_probe and not is_slow:
                self._close(now)
            elif call.is_probe:
                self._open_again()
            return
        self._in_row = 0
        if not is_slow:
            self._last_success = now
        self._book(now, failed=False, slow=is_slow)

    def book_failure(self, call: BreakerCall) -> None:
        """Books a call that failed."""
        now = self._leave(call)
        if self._opened_at is not None:
            if call.is_probe:
                self._open_again()
            return
        self._in_row += 1
        self._book(now, failed=True, slow=False)

    def book_nothing(self, call: BreakerCall) -> None:
        """Forgets a call."""
        self._leave(call)

    def _leave(self, call: BreakerCall) -> float:
        self._running.pop(call, None)
        if self._probe is call:
            self._probe = None
        return self._clock()

    def _book(self, now: float, *, failed: bool, slow: bool) -> None:
        rules = self._rules
        self._latest.append((now, failed, slow))
        if not failed and not slow:
            return
        while self._latest[0][0] < now - rules.window_seconds:
            self._latest.popleft()
        count = len(self._latest)
        is_bad = count >= _LEAST_CALLS and (
            sum(each[1] for each in self._latest) >= rules.failure_share * count
            or sum(each[2] for each in self._latest) >= rules.slow_share * count
        )
        if is_bad or self._in_row >= rules.failures_in_row:
            self._open()

    def _is_hanging(self) -> bool:
        """Whether enough calls wait too long, and nothing came back since the first of them."""
        rules = self._rules
        if len(self._running) < rules.hanging_calls:
            return False
        latest = self._clock() - rules.slow_seconds
        waiting = 0
        for call in self._running:
            if call.began > latest or call.began <= self._last_success:
                # Calls follow each other in time: no later one waits longer. One from before the
                # last answer may be slow by itself.
                if call.began > latest:
                    break
                continue
            waiting += 1
            if waiting >= rules.hanging_calls:
                return True
        return False

    def _open(self) -> None:
        self._opened_at = self._clock()
        self._pause_seconds = self._rules.pause_seconds
        self._gauge.set(BreakerState.OPEN)
        BREAKER_OPENED.labels(self.name).inc()

    def _open_again(self) -> None:
        self._opened_at = self._clock()
        self._pause_seconds = min(2 * self._pause_seconds, self._rules.max_pause_seconds)
        self._gauge.set(BreakerState.OPEN)

    def _close(self, now: float) -> None:
        self._opened_at = None
        self._pause_seconds = self._rules.pause_seconds
        self._latest.clear()
        # Those who still wait from before say nothing of the peer as it is now.
        self._running.clear()
        self._in_row = 0
        self._last_success = now
        self._gauge.set(BreakerState.CLOSED)
