"""Collections seen by those who look after them: settings, quotas, figures, consistency."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.retrieval.collections import IndexType, Tier
from services.retrieval.store import catalog, counts
from services.rpc.errors import Reason, UnavailableError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from services.retrieval.collections import Collection, CollectionSettings
    from services.retrieval.store.checksum import Checksum
    from services.retrieval.store.counts import Quota, Usage
    from services.retrieval.store.store import Store
    from services.retrieval.vectors import BuildSpec
    from services.retrieval.view.keeper import Keeper
    from services.retrieval.view.rows import Part, Snapshot

_QUEUED, _BUILDING, _DONE = 1, 3, 6
"""Stages, numbered as in the contract."""
_LOOK_SECONDS = 0.1
_SECONDS_PER_ROW = 0.0006
"""About the time a graph takes to build, for the estimate of how far it is."""
_CHECK_ROUNDS = 20
_CHECK_PAUSE_SECONDS = 0.05
"""Between two tries to see store and view at the same write."""


@dataclass(frozen=True, slots=True)
class Consistency:
    """A comparison of this replica's view with the store."""

    seq: int
    """Write at which both were looked at."""
    stored: Checksum
    viewed: Checksum
    checked_micros: int

    @property
    def is_consistent(self) -> bool:
        """Whether they agree."""
        return self.stored == self.viewed


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an optimization has come."""

    stage: int
    """Numbered as in the contract."""
    fraction: float
    message: str


@dataclass(frozen=True, slots=True)
class IndexFigures:
    """One part of a view's index."""

    segment: str
    index_type: IndexType
    spec: BuildSpec | None
    rows: int
    tombstones: int
    resident_bytes: int
    disk_bytes: int
    recall_loss: float | None
    tier: Tier

    @property
    def bytes_per_vector(self) -> float:
        """Bytes in memory for each row."""
        return self.resident_bytes / self.rows if self.rows else 0.0


class Administration:
    """What the owner of a tenant does to its collections as a whole.

    Args:
        store: The truth.
        keeper: Views of it.
        default_quota: What tenants may store that were given no quota of their own.
    """

    def __init__(
        self, store: Store, keeper: Keeper, *, default_quota: Quota = counts.UNLIMITED
    ) -> None:
        self._store = store
        self._keeper = keeper
        self._default_quota = default_quota

    async def update(
        self, tenant: str, name: str, change: Callable[[CollectionSettings], CollectionSettings]
    ) -> Collection:
        """Changes a collection's settings and returns it.

        Args:
            tenant: Owner of the collection.
            name: Collection or alias.
            change: Returns the new settings for the old; may raise what is wrong with them.
        """
        return await self._store.change_catalog(
            lambda c: catalog.update_settings(c, tenant, name, change)
        )

    async def quota(self, tenant: str) -> tuple[Quota, Usage]:
        """Returns what a tenant may store, and what it has stored."""
        return await self._store.read(
            lambda c: (counts.quota(c, tenant, self._default_quota), counts.usage(c, tenant))
        )

    async def set_quota(self, tenant: str, wanted: Quota) -> Quota:
        """Gives a tenant a quota of its own and returns what holds now."""

        def write(connection: Connection) -> Quota:
            counts.set_quota(connection, tenant, wanted)
            return counts.quota(connection, tenant, self._default_quota)

        return await self._store.write(write)

    async def index_figures(self, collection: Collection) -> list[IndexFigures]:
        """Returns the parts of a loaded view's index; nothing when it is not loaded."""
        view = self._keeper.loaded(collection.id)
        if view is None:
            return []
        snapshot = view.published.snapshot
        return await asyncio.to_thread(
            lambda: [_figures(snapshot, part) for part in snapshot.parts if part.last > part.first]
        )

    async def optimize(
        self,
        tenant: str,
        name: str,
        change: Callable[[CollectionSettings], CollectionSettings] | None,
    ) -> AsyncIterator[Progress]:
        """Builds a collection's index anew as one segment, telling how far it has come.

        Args:
            tenant: Owner of the collection.
            name: Collection or alias.
            change: Returns settings with another kind of index; None: as it is set.

        Raises:
            NotFoundError: there is no such collection.
        """
        if change is not None:
            collection = await self.update(tenant, name, change)
        else:
            collection = await self._store.resolve_afresh(tenant, name)
        yield Progress(_QUEUED, 0.0, "waiting for the view and for other builds")
        view = await self._keeper.current_view(collection)
        rows = view.published.snapshot.chunk_count
        self._keeper.optimize(collection.id)
        began = time.monotonic()
        expected = 1.0 + rows * _SECONDS_PER_ROW
        while self._keeper.is_busy(collection.id):
            await asyncio.sleep(_LOOK_SECONDS)
            waited = time.monotonic() - began
            # Nobody knows the whole beforehand: it comes nearer and nearer to the end.
            fraction = 0.95 * (1 - math.exp(-2 * waited / expected))
            yield Progress(_BUILDING, fraction, f"building over {rows} vectors")
        view = await self._keeper.current_view(collection)
        yield Progress(_DONE, 1.0, view.describe())

    def last_check(self, collection: Collection) -> Consistency | None:
        """Returns the newest comparison that was made by itself; None: none was made."""
        checked = self._keeper.checked(collection.id)
        return None if checked is None else Consistency(*checked)

    async def check(self, tenant: str, name: str) -> Consistency:
        """Compares this replica's view of a collection with the store.

        Raises:
            NotFoundError: there is no such collection.
            UnavailableError: writes came so fast that both were never seen at the same one.
        """
        collection = await self._store.resolve_afresh(tenant, name)
        for _ in range(_CHECK_ROUNDS):
            view = await self._keeper.current_view(collection)
            held = await self._store.read(lambda c: counts.read(c, collection.id))
            if held is None:
                raise catalog.not_found(name)
            snapshot = view.published.snapshot
            if snapshot.seq == held.seq:
                return Consistency(
                    held.seq, held.checksum, snapshot.checksum, time.time_ns() // 1000
                )
            await asyncio.sleep(_CHECK_PAUSE_SECONDS)
        raise UnavailableError(
            Reason.NOT_READY,
            "the collection is written too fast to be checked: try again",
            retry_after_seconds=1.0,
        )


def _figures(snapshot: Snapshot, part: Part) -> IndexFigures:
    segment = part.segment
    live = int(snapshot.live_chunk_mask[part.first : part.last].sum())
    spec = getattr(segment, "spec", None)
    measured = getattr(segment, "measured", {})
    return IndexFigures(
        segment=part.name,
        index_type=IndexType.FLAT if spec is None else IndexType[spec.kind.name],
        spec=spec,
        rows=part.last - part.first,
        tombstones=part.last - part.first - live,
        resident_bytes=int(getattr(segment, "nbytes", 4 * snapshot.rows.dimensions * live)),
        disk_bytes=int(getattr(segment, "bytes_on_disk", 0)),
        recall_loss=measured.get("recall_loss"),
        tier=Tier[part.tier.name],
    )
