"""What a caller allows caches to do with a request, told by headers or gRPC metadata."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from contextvars import ContextVar, Token

HEADER = "x-cairn-cache"
_CACHE_CONTROL = "cache-control"


class CachePolicy(enum.Enum):
    """What caches may do with a request."""

    ON = "on"
    """Answer from them, and keep the answer."""
    REFRESH = "refresh"
    """Compute anew, and keep the answer."""
    OFF = "off"
    """Neither."""


_policy: ContextVar[CachePolicy] = ContextVar("cairn_cache_policy", default=CachePolicy.ON)


def policy_of(headers: Iterable[tuple[str, str]]) -> CachePolicy:
    """Returns what the headers ask for.

    `X-Cairn-Cache: off` and `Cache-Control: no-store` pass caches by; `X-Cairn-Cache: refresh` and
    `Cache-Control: no-cache` (or `max-age=0`) compute anew and keep the answer. The stricter wins.

    Args:
        headers: Names in lower case, with their values.
    """
    policy = CachePolicy.ON
    for name, value in headers:
        if name == HEADER:
            words = {value.strip().lower()}
        elif name == _CACHE_CONTROL:
            words = {part.strip() for part in value.lower().split(",")}
        else:
            continue
        if words & {"off", "no-store", "0", "false"}:
            return CachePolicy.OFF
        if words & {"refresh", "no-cache", "max-age=0"}:
            policy = CachePolicy.REFRESH
    return policy


def current_policy() -> CachePolicy:
    """Returns what the running request allows."""
    return _policy.get()


def enter_policy(policy: CachePolicy) -> Token[CachePolicy]:
    """Sets what the running request allows."""
    return _policy.set(policy)
