"""Collections seen by those who look after them: settings, quotas, figures, consistency."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.retrieval.store import catalog, counts
from services.rpc.errors import Reason, UnavailableError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from services.retrieval.collections import Collection, CollectionSettings
    from services.retrieval.store.checksum import Checksum
    from services.retrieval.store.counts import Quota, Usage
    from services.retrieval.store.store import Store
    from services.retrieval.view.keeper import Keeper

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
