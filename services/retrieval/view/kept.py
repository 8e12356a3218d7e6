"""A view of the keeper, with what is known of its use."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from services.retrieval.collections import Tier as WantedTier
from services.retrieval.vectors import Tier

if TYPE_CHECKING:
    from services.retrieval.collections import Collection
    from services.retrieval.store.changes import Change
    from services.retrieval.store.checksum import Checksum
    from services.retrieval.view.view import View

_USE_SECONDS = 60.0
"""Time over which searches are counted."""


class Kept:
    """A view on its way or here.

    Args:
        loaded: Resolves to the view.
        clock: Seconds that only rise.
    """

    def __init__(
        self, loaded: asyncio.Future[View], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self.loaded = loaded
        self.used_at = clock()
        self.wrote_at = clock()
        self._counted_from = clock()
        self._uses = self._uses_before = 0
        self.advancing: asyncio.Future[None] | None = None
        self.pending: list[tuple[Collection, Change]] = []
        """Writes of this process that are not in the view yet."""
        self.unacknowledged: dict[int, int] = {}
        """Committed writes of this process whose callers wait for the view: the number of each by
        that of the collection's write before."""
        self.required_seq = 0
        """Acknowledged write that every search must see, though the view was late."""
        self.seen_seq = 0
        self.is_sealing = False
        """Whether its newest rows are being closed into a segment."""
        self.is_saving = False
        self.is_maintained = False
        """Whether a rebuild, a merge or a move is under way."""
        self.is_rebuilt = False
        """Whether it is being made anew from a saved state, which must stay the newest."""
        self.wants_store = False
        """Whether it must be loaded from the store, because it holds something else."""
        self.wants_merge = False
        """Whether somebody asked for all segments to become one."""
        self.failures = 0
        self.retry_at = 0.0
        self.checked: tuple[int, Checksum, Checksum, int] | None = None
        """The newest comparison: number of the write, what the store has, what the view has."""

    @property
    def view(self) -> View | None:
        """The view, once loaded."""
        is_here = self.loaded.done() and not self.loaded.cancelled()
        return self.loaded.result() if is_here and self.loaded.exception() is None else None

    def lacks_acknowledged(self, seq: int, newest: int) -> bool:
        """Whether a state that stands at `seq` may lack an acknowledged write up to `newest`.

        What this process has committed and not acknowledged yet may be missing: a search that is
        under way did not begin after it.
        """
        while seq < newest:
            after = self.unacknowledged.get(seq)
            if after is None:
                return True
            seq = after
        return seq != newest

    def use(self) -> None:
        """Notes that it was asked for."""
        now = self.used_at = self._clock()
        if now - self._counted_from > _USE_SECONDS:
            self._uses_before = self._uses if now - self._counted_from < 2 * _USE_SECONDS else 0
            self._uses = 0
            self._counted_from = now
        self._uses += 1

    @property
    def idle_seconds(self) -> float:
        """Time since it was asked for."""
        return self._clock() - self.used_at

    @property
    def uses(self) -> int:
        """Times it was asked for within the last minute or two."""
        return self._uses + self._uses_before

    def note_seq(self, seq: int) -> None:
        """Notes how far it has come, which tells whether it is being written to."""
        if seq != self.seen_seq:
            self.seen_seq, self.wrote_at = seq, self._clock()

    @property
    def is_quiet(self) -> bool:
        """Whether nothing was written lately."""
        return self._clock() - self.wrote_at > 2.0

    def failed(self) -> None:
        """Notes that work on it failed: the next try waits longer."""
        self.failures += 1
        self.wants_merge = False  # who asked for it is told, and may ask again
        self.retry_at = self._clock() + min(2.0**self.failures, 300.0)

    @property
    def may_work(self) -> bool:
        """Whether the wait after a failure is over."""
        return self._clock() >= self.retry_at


class TierRules:
    """Where views live, by what collections ask for, by age and by use.

    Args:
        warm_after_seconds: Without a search for so long, a view moves from memory to disk.
        cold_after_seconds: Without a search for so long, it is dropped; its files stay.
        hot_uses: Searches in a minute that bring it back to memory.
        least_rows: Smaller views are not worth moving.
    """

    def __init__(
        self,
        warm_after_seconds: float,
        cold_after_seconds: float,
        hot_uses: int,
        least_rows: int,
    ) -> None:
        self._warm_after_seconds = warm_after_seconds
        self._cold_after_seconds = cold_after_seconds
        self._hot_uses = hot_uses
        self._least_rows = least_rows

    def first(self, collection: Collection) -> Tier:
        """Returns where a view is loaded to."""
        is_mapped = collection.settings.tier is WantedTier.WARM
        return Tier.WARM if is_mapped else Tier.HOT

    def wanted(self, kept: Kept, view: View) -> Tier | None:
        """Returns where a view should be; None: it should be dropped."""
        settings = view.published.collection.settings
        policy = settings.tier_policy
        idle = kept.idle_seconds
        if settings.tier in {WantedTier.HOT, WantedTier.WARM}:
            return self.first(view.published.collection)
        cold_after = _or(policy.cold_after_seconds, self._cold_after_seconds)
        if settings.tier is WantedTier.COLD:
            cold_after = min(cold_after, _COLD_LINGER_SECONDS)
        if idle > cold_after:
            return None
        if view.published.snapshot.chunk_count < self._least_rows:
            return view.tier
        is_old = idle > _or(policy.warm_after_seconds, self._warm_after_seconds)
        is_rare = view.tier is Tier.WARM and kept.uses < self._hot_uses
        return Tier.WARM if is_old or is_rare else Tier.HOT


_COLD_LINGER_SECONDS = 60.0
"""A collection that is to be cold stays so long after each use."""


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value
