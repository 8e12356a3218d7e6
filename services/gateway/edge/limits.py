"""Requests per key: one token bucket in Valkey for all replicas, one here when Valkey is away."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import Counter, Gauge

from services.rpc.errors import Reason, ResourceExhaustedError

OPEN_SECONDS = 1.0
"""How long Valkey is left alone after it failed; then one request tries it again."""

_MAX_BUCKETS = 50_000

_LIMITED = Counter("cairn_gateway_rate_limited_total", "Requests over their key's rate.")
_FALLBACK = Gauge(
    "cairn_gateway_limiter_is_local", "1 while limits are kept per replica because Valkey is away."
)


@dataclass(frozen=True, slots=True)
class Rate:
    """How much a key may ask."""

    per_second: float
    """Tokens that come back each second."""
    burst: int
    """Tokens in a full bucket."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a bucket said."""

    is_allowed: bool
    limit: int
    remaining: int
    reset_seconds: float
    """Until the bucket is full again."""
    retry_after_seconds: float
    """Until the next request passes; 0: now."""

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Returns the RateLimit headers."""
        return [
            (b"ratelimit-limit", str(self.limit).encode()),
            (b"ratelimit-remaining", str(self.remaining).encode()),
            (b"ratelimit-reset", str(math.ceil(self.reset_seconds)).encode()),
        ]

    def check(self) -> None:
        """Lets an allowed request pass.

        Raises:
            ResourceExhaustedError: it is over the rate.
        """
        if not self.is_allowed:
            _LIMITED.inc()
            raise ResourceExhaustedError(
                Reason.RATE_LIMITED,
                "too many requests with this key; try again later",
                metadata={"limit": str(self.limit)},
                retry_after_seconds=self.retry_after_seconds,
            )


def allowance(rate: Rate, tokens: float, *, is_allowed: bool) -> Allowance:
    """Returns what a bucket with that many tokens left says."""
    return Allowance(
        is_allowed=is_allowed,
        limit=rate.burst,
        remaining=max(0, int(tokens)),
        reset_seconds=(rate.burst - tokens) / rate.per_second,
        retry_after_seconds=0.0 if is_allowed else max(0.001, (1.0 - tokens) / rate.per_second),
    )


class Buckets(Protocol):
    """Token buckets by name."""

    async def take(self, name: str, rate: Rate) -> Allowance:
        """Takes one token, if there is one."""
        ...


class LocalBuckets:
    """Token buckets of this process; the least used are forgotten.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    async def take(self, name: str, rate: Rate) -> Allowance:
        """Takes one token, if there is one."""
        now = self._clock()
        tokens, since = self._buckets.get(name, (float(rate.burst), now))
        tokens = min(float(rate.burst), tokens + (now - since) * rate.per_second)
        is_allowed = tokens >= 1.0
        if is_allowed:
            tokens -= 1.0
        self._buckets[name] = (tokens, now)
        self._buckets.move_to_end(name)
        while len(self._buckets) > _MAX_BUCKETS:
            self._buckets.popitem(last=False)
        return allowance(rate, tokens, is_allowed=is_allowed)


class RateLimiter:
    """Limits requests per key and never fails them for a missing Valkey.

    Args:
        shared: Buckets of all replicas; None: there are none.
        rate: Rate of each key.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        shared: Buckets | None,
        rate: Rate,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shared = shared
        self._rate = rate
        self._clock = clock
        self._local = LocalBuckets(clock)
        self._closed_until = 0.0
        _FALLBACK.set(shared is None)

    @property
    def is_shared(self) -> bool:
        """Whether the buckets of all replicas are in use."""
        return self._shared is not None and self._closed_until == 0.0

    async def take(self, key_id: str) -> Allowance:
        """Takes one request of a key."""
        if self._shared is not None and self._clock() >= self._closed_until:
            if self._closed_until:
                # One request tries; the others stay with the local buckets until it is back.
                self._closed_until = self._clock() + OPEN_SECONDS
            try:
                result = await self._shared.take(key_id, self._rate)
            except OSError:
                self._closed_until = self._clock() + OPEN_SECONDS
                _FALLBACK.set(1)
            else:
                self._closed_until = 0.0
                _FALLBACK.set(0)
                return result
        return await self._local.take(key_id, self._rate)
