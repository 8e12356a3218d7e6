"""Values bounded in bytes, the least used leaving first, gone when their collection changes."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from prometheus_client import Counter, Gauge

from services.rpc.metrics import series

if TYPE_CHECKING:
    from services.gateway.caches.keys import Place

T = TypeVar("T")

_ENTRIES = Gauge("cairn_gateway_cache_entries", "Entries kept.", ["cache"])
_BYTES = Gauge("cairn_gateway_cache_bytes", "About the bytes of the entries kept.", ["cache"])
_EVICTED = Counter(
    "cairn_gateway_cache_evicted_total", "Entries that left, by why.", ["cache", "reason"]
)


@dataclass(frozen=True, slots=True)
class Kept(Generic[T]):
    """A value that was kept."""

    value: T
    place: Place
    size_bytes: int
    kept_at: float
    """By the store's clock, monotonic seconds."""
    ends_at: float
    """By the store's wall clock, seconds since 1970."""


@dataclass(slots=True)
class _Member:
    """What is known of one collection."""

    generation: int
    keys: set[str] = field(default_factory=set)


def _ignore(_: str) -> None:
    """Nobody wants to know what leaves."""


class BoundedStore(Generic[T]):
    """Keeps values by key.

    Args:
        name: For metrics.
        limit_bytes: Most it may hold; 0 keeps nothing.
        max_seconds: How long anything is kept.
        on_removed: Told of every key that leaves.
        clock: Monotonic seconds.
        now: Seconds since 1970.
    """

    def __init__(
        self,
        name: str,
        limit_bytes: int,
        max_seconds: float,
        *,
        on_removed: Callable[[str], None] = _ignore,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self.size_bytes = 0
        self._limit_bytes = limit_bytes
        self._max_seconds = max_seconds
        self._on_removed = on_removed
        self._clock = clock
        self._now = now
        self._kept: OrderedDict[str, Kept[T]] = OrderedDict()
        self._members: dict[tuple[str, str], _Member] = {}
        _ENTRIES.labels(name).set_function(lambda: len(self._kept))
        _BYTES.labels(name).set_function(lambda: self.size_bytes)

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, key: str) -> Kept[T] | None:
        """Returns a live entry and makes it the most recently used one."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept.ends_at <= self._now() or self._clock() - kept.kept_at >= self._max_seconds:
            self._remove(key, "age")
            return None
        self._kept.move_to_end(key)
        return kept

    def age_seconds(self, kept: Kept[T]) -> float:
        """Returns how long the entry has been kept."""
        return max(0.0, self._clock() - kept.kept_at)

    def keep(
        self, key: str, value: T, place: Place, size_bytes: int, ends_at: float | None
    ) -> bool:
        """Keeps a value; False when it is too large, or its collection has changed meanwhile.

        Args:
            key: What it stands for.
            value: Never changed afterwards.
            place: Where it came from.
            size_bytes: About its size.
            ends_at: Seconds since 1970 from when on it must not be used; None: no such time.
        """
        ends_at = float("inf") if ends_at is None else ends_at
        if size_bytes > self._limit_bytes // 8 or ends_at <= self._now():
            return False
        self.advance(place)
        member = self._members.setdefault(
            (place.tenant, place.collection), _Member(place.generation)
        )
        if place.generation < member.generation:
            return False
        if key in self._kept:
            self._remove(key, "replaced")
            member = self._members.setdefault(
                (place.tenant, place.collection), _Member(place.generation)
            )
        self._kept[key] = Kept(value, place, size_bytes, self._clock(), ends_at)
        member.keys.add(key)
        self.size_bytes += size_bytes
        while self.size_bytes > self._limit_bytes:
            self._remove(next(iter(self._kept)), "space")
        return True

    def advance(self, place: Place) -> None:
        """Drops what came from older generations of the place's collection."""
        member = self._members.get((place.tenant, place.collection))
        if member is None or place.generation <= member.generation:
            return
        for key in tuple(member.keys):
            self._remove(key, "changed")
        self._members.pop((place.tenant, place.collection), None)

    def clear(self) -> None:
        """Drops everything."""
        for key in tuple(self._kept):
            self._remove(key, "cleared")

    def _remove(self, key: str, reason: str) -> None:
        kept = self._kept.pop(key)
        self.size_bytes -= kept.size_bytes
        name = (kept.place.tenant, kept.place.collection)
        member = self._members.get(name)
        if member is not None:
            member.keys.discard(key)
            if not member.keys:
                del self._members[name]
        self._on_removed(key)
        series(_EVICTED, self.name, reason).inc()
