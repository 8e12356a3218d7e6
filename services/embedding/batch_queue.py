"""Which texts go through the model next. Pure bookkeeping: no thread, no clock, no model."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from services.embedding.options import Lane

P = TypeVar("P")


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
    sequence: int = field(default=-1, init=False)
    """Order of arrival; -1 while it does not wait."""


class _Line(Generic[P]):
    """Items of one lane and group, by age and by length."""

    def __init__(self) -> None:
        self._by_age: dict[int, Item[P]] = {}
        self._by_length: list[tuple[int, int]] = []

    def __bool__(self) -> bool:
        return bool(self._by_age)

    def oldest(self) -> Item[P]:
        return next(iter(self._by_age.values()))

    def put(self, item: Item[P]) -> None:
        self._by_age[item.sequence] = item
        bisect.insort(self._by_length, (item.tokens, item.sequence))

    def remove(self, item: Item[P]) -> None:
        del self._by_age[item.sequence]
        del self._by_length[bisect.bisect_left(self._by_length, (item.tokens, item.sequence))]

    def take(self, budget_tokens: int) -> list[Item[P]]:
        """Removes the oldest item and those closest to it in length, up to the budget."""
        head = self.oldest()
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
        return [self._by_age.pop(sequence) for _, sequence in taken]


class BatchQueue(Generic[P]):
    """Two lanes of waiting items: interactive ones go first, bulk ones that waited long take turns.

    Which line goes next is decided in `_next_line` alone: shares of tenants belong there.

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
        self._sequence = itertools.count()
        self._was_turn_of_bulk = False

    def tokens(self, lane: Lane) -> int:
        """Tokens that wait in a lane."""
        return self._tokens[lane]

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

    def take(self, now: float, *, only_interactive: bool = False) -> list[Item[P]]:
        """Removes and returns the next batch; empty when nothing (of that kind) waits.

        Args:
            now: Seconds of the clock that `Item.enqueued_at` was read from.
            only_interactive: Leave bulk work where it is.
        """
        key = self._next_line(now, only_interactive=only_interactive)
        if key is None:
            return []
        line = self._lines[key]
        items = line.take(self.budget_tokens)
        if not line:
            del self._lines[key]
        for item in items:
            item.sequence = -1
            self._tokens[item.lane] -= item.tokens
        if not only_interactive:
            self._was_turn_of_bulk = key[0] is Lane.BULK
        return items

    def _insert(self, item: Item[P]) -> None:
        self._lines.setdefault((item.lane, item.group), _Line()).put(item)
        self._tokens[item.lane] += item.tokens

    def _next_line(self, now: float, *, only_interactive: bool) -> tuple[Lane, Hashable] | None:
        interactive = self._oldest_line(Lane.INTERACTIVE)
        if only_interactive:
            return interactive
        bulk = self._oldest_line(Lane.BULK)
        if interactive is None or bulk is None:
            return interactive or bulk
        waited = now - self._lines[bulk].oldest().enqueued_at
        is_turn_of_bulk = waited > self._ageing_seconds and not self._was_turn_of_bulk
        return bulk if is_turn_of_bulk else interactive

    def _oldest_line(self, lane: Lane) -> tuple[Lane, Hashable] | None:
        """The line of the lane whose head waits longest; there are as many as models in use."""
        lines = [key for key in self._lines if key[0] is lane]
        if not lines:
            return None
        return min(lines, key=lambda key: self._lines[key].oldest().sequence)
