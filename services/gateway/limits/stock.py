"""What a tenant has stored, as retrieval counts it."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from services.gateway.limits.rules import Resource

if TYPE_CHECKING:
    from services.rpc.scope import Scope

CACHE_SECONDS = 1.0
_MAX_TENANTS = 10_000


@dataclass(frozen=True, slots=True)
class Stored:
    """What is stored."""

    documents: int
    vectors: int
    bytes: int


class Library(Protocol):
    """Counts."""

    async def stored(self, scope: Scope) -> Stored:
        """Returns what the scope's tenant has stored."""
        ...


class CachedStock:
    """Asks at most once a second for each tenant.

    Args:
        library: Counts.
        clock: Monotonic seconds.
    """

    def __init__(self, library: Library, clock: Callable[[], float] = time.monotonic) -> None:
        self._library = library
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, Stored]] = OrderedDict()

    async def stored(self, scope: Scope, resource: Resource) -> int:
        """Returns how much of a resource is stored now, a second old at most."""
        known = self._known.get(scope.tenant)
        now = self._clock()
        if known is None or known[0] <= now:
            known = (now + CACHE_SECONDS, await self._library.stored(scope))
            self._known[scope.tenant] = known
            self._known.move_to_end(scope.tenant)
            while len(self._known) > _MAX_TENANTS:
                self._known.popitem(last=False)
        return getattr(known[1], resource.value)
