"""Which texts go through the model next. Pure bookkeeping: no thread, no clock, no model."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from services.embedding.options import Lane

P = TypeVar("P")

_SMALLEST_SHARE = 128
"""Tokens of a batch below which it is not divided: a pass of fewer takes hardly less time."""
_REMEMBERED_TENANTS = 1000
"""Tenants without work whose debt is kept."""


@dataclass(slots=True, eq=False)
class Item(Generic[P]):
    """One text that waits."""

    group: Hashable
    """Only items of one group share a batch: same model, same output."""
    tokens: int
    lane: Lane
    payload: P
    enqueued_at: float = 0.0
    """Seconds of the queue's clock."""
    tenant: str = ""
    weight: float = 1.0
    """Share of its tenant against others, above 0."""
    sequence: int = field(default=-1, init=False)
    """Order of arrival; -1 while it does not wait."""


class _Shares:
    """Whose turn it is: the tenant that got least so far, by weight (start-time fair queueing).

    Who waited for nothing has saved nothing up: a tenant that comes back begins where the others
    are.
    """

    def __init__(self) -> None:
        self.waiting: dict[str, int] = {}
        """Tokens that wait, by tenant."""
        self._items: dict[str, int] = {}
        self._served: dict[str, float] = {}
        self._now = 0.0

    def add(self, item: Item[Any]) -> None:
        tenant = item.tenant
        if tenant not in self.waiting:
            self._served[tenant] = max(self._served.get(tenant, 0.0), self._now)
        self.waiting[tenant] = self.waiting.get(tenant, 0) + item.tokens
        self._items[tenant] = self._items.get(tenant, 0) + 1

    def drop(self, item: Item[Any]) -> None:
        tenant = item.tenant
        self.waiting[tenant] -= item.tokens
        self._items[tenant] -= 1
        if not self._items[tenant]:
            del self.waiting[tenant], self._items[tenant]
            if self._served[tenant] <= self._now or not self.waiting:
                del self._served[tenant]

    def charge(self, items: Sequence[Item[Any]]) -> None:
        """Counts what goes through the model; called before the items are dropped."""
        for item in items:
            self._served[item.tenant] += item.tokens / item.weight

    def next(self) -> str:
        """Returns the tenant whose turn it is; some item waits."""
        tenant = min(self.waiting, key=self._served.__getitem__)
        self._now = max(self._now, self._served[tenant])
        if len(self._served) > 2 * len(self.waiting) + _REMEMBERED_TENANTS:
            self._served = {
                each: served
                for each, served in self._served.items()
                if each in self.waiting or served > self._now
            }
        return tenant


class _Line(Generic[P]):
    """Items of one lane and group, by tenant and age, and by length."""

    def __init__(self) -> None:
        self._items: dict[int, Item[P]] = {}
        self._by_tenant: dict[str, dict[int, Item[P]]] = {}
        self._by_length: list[tuple[int, int]] = []

    def __bool__(self) -> bool:
        return bool(self._items)

    def oldest(self) -> Item[P]:
        return next(iter(self._items.values()))

    def oldest_of(self, tenant: str) -> Item[P] | None:
        items = self._by_tenant.get(tenant)
        return next(iter(items.values())) if items else None

    def put(self, item: Item[P]) -> None:
        self._items[item.sequence] = item
        self._by_tenant.setdefault(item.tenant, {})[item.sequence] = item
        bisect.insort(self._by_length, (item.tokens, item.sequence))

    def remove(self, item: Item[P]) -> None:
        self._forget(item.sequence)
        del self._by_length[bisect.bisect_left(self._by_length, (item.tokens, item.sequence))]

    def _forget(self, sequence: int) -> Item[P]:
        item = self._items.pop(sequence)
        of_tenant = self._by_tenant[item.tenant]
        del of_tenant[sequence]
        if not of_tenant:
            del self._by_tenant[item.tenant]
        return item

    def take(self, head: Item[P], budget_tokens: int) -> list[Item[P]]:
        """Removes an item and those closest to it in length, whosever they are, up to a budget."""
        low = bisect.bisect_left(self._by_length, (head.tokens, head.sequence))
        high, total = low + 1, head.tokens
        while True:
            shorter = self._by_length[low - 1][0] if low > 0 else None
            longer = self._by_length[high][0] if high < len(self._by_length) else None
            is_longer_closer = longer is not None and (
                shorter is None or longer - head.tokens <= head.tokens - shorter
            )
            chosen = longer if is_longer_closer else shorter
            if chosen is None or total + chosen > budget_tokens:
                break
            total += chosen
            if is_longer_closer:
                high += 1
            else:
                low -= 1
        taken = self._by_length[low:high]
        del self._by_length[low:high]
        return [self._forget(sequence) for _, sequence in taken]


class BatchQueue(Generic[P]):
    """Two lanes of waiting items: interactive ones go first, bulk ones that waited long take turns.

    Within a lane tenants take turns by what they got so far; a batch begins with the oldest item of
    the tenant whose turn it is and is filled with neighbours in length.

    Args:
        budget_tokens: Most tokens in a batch. A longer item goes alone.
        ageing_seconds: Wait after which bulk work gets every other batch however much interactive
            work there is.
        has_lanes: False puts everything in one line, to show what the lanes are worth.
    """

    def __init__(
        self, *, budget_tokens: int, ageing_seconds: float, has_lanes: bool = True
    ) -> None:
        self.budget_tokens = budget_tokens
        self._ageing_seconds = ageing_seconds
        self._has_lanes = has_lanes
        self._lines: dict[tuple[Lane, Hashable], _Line[P]] = {}
        self._tokens = dict.fromkeys(Lane, 0)
        self._shares = {lane: _Shares() for lane in Lane}
        self._sequence = itertools.count()
        self._was_turn_of_bulk = False

    def tokens(self, lane: Lane) -> int:
        """Tokens that wait in a lane."""
        return self._tokens[lane]

    def tokens_of(self, lane: Lane, tenant: str) -> int:
        """Tokens of one tenant that wait in a lane."""
        return self._shares[lane].waiting.get(tenant, 0)

    def oldest(self, lane: Lane) -> float | None:
        """When the item came that waits longest in a lane; None: none waits."""
        return min(
            (line.oldest().enqueued_at for (of, _), line in self._lines.items() if of is lane),
            default=None,
        )

    def put(self, item: Item[P]) -> None:
        """Adds an item as the youngest of its lane."""
        if not self._has_lanes:
            item.lane = Lane.BULK
        item.sequence = next(self._sequence)
        self._insert(item)

    def remove(self, item: Item[P]) -> bool:
        """Removes an item; False if it does not wait (any more)."""
        if item.sequence < 0:
            return False
        key = (item.lane, item.group)
        line = self._lines[key]
        line.remove(item)
        if not line:
            del self._lines[key]
        self._tokens[item.lane] -= item.tokens
        self._shares[item.lane].drop(item)
        item.sequence = -1
        return True

    def promote(self, item: Item[P]) -> None:
        """Moves a waiting bulk item to the interactive lane, because someone waits for it now."""
        if not self._has_lanes or item.lane is Lane.INTERACTIVE or item.sequence < 0:
            return
        sequence = item.sequence
        self.remove(item)
        item.lane, item.sequence = Lane.INTERACTIVE, sequence
        self._insert(item)

    def take(self, now: float, *, only_interactive: bool = False, takers: int = 1) -> list[Item[P]]:
        """Removes and returns the next batch; empty when nothing (of that kind) waits.

        Args:
            now: Seconds of the clock that `Item.enqueued_at` was read from.
            only_interactive: Leave bulk work where it is.
            takers: Among how many, who have nothing else to do, what waits is divided.
        """
        lane = self._next_lane(now, only_interactive=only_interactive)
        if lane is None:
            return []
        shares = self._shares[lane]
        key, head = self._head(lane, shares.next())
        line = self._lines[key]
        budget_tokens = self.budget_tokens
        if takers > 1:
            share = max(_SMALLEST_SHARE, -(-self._tokens[lane] // takers))
            budget_tokens = min(budget_tokens, share)
        items = line.take(head, budget_tokens)
        if not line:
            del self._lines[key]
        shares.charge(items)
        for item in items:
            item.sequence = -1
            self._tokens[lane] -= item.tokens
            shares.drop(item)
        if not only_interactive:
            self._was_turn_of_bulk = lane is Lane.BULK
        return items

    def _insert(self, item: Item[P]) -> None:
        self._lines.setdefault((item.lane, item.group), _Line()).put(item)
        self._tokens[item.lane] += item.tokens
        self._shares[item.lane].add(item)

    def _next_lane(self, now: float, *, only_interactive: bool) -> Lane | None:
        has_interactive = bool(self._shares[Lane.INTERACTIVE].waiting)
        if only_interactive:
            return Lane.INTERACTIVE if has_interactive else None
        if not self._shares[Lane.BULK].waiting:
            return Lane.INTERACTIVE if has_interactive else None
        if not has_interactive:
            return Lane.BULK
        oldest = self.oldest(Lane.BULK)
        assert oldest is not None  # some of it waits
        is_turn_of_bulk = now - oldest > self._ageing_seconds and not self._was_turn_of_bulk
        return Lane.BULK if is_turn_of_bulk else Lane.INTERACTIVE

    def _head(self, lane: Lane, tenant: str) -> tuple[tuple[Lane, Hashable], Item[P]]:
        """Returns a tenant's oldest item and its line; there are as many lines as models in use."""
        heads = [
            (key, item)
            for key, line in self._lines.items()
            if key[0] is lane and (item := line.oldest_of(tenant)) is not None
        ]
        return min(heads, key=lambda head: head[1].sequence)
