"""Sources, their items and their schedule, in the database of the jobs."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

from services.ingestion.sources import claims, queries
from services.ingestion.sources.tables import COMPONENT, SCHEMA_VERSION, metadata
from services.sql.schema import ensure_schema

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from services.ingestion.sources.model import (
        Source,
        SourceStatus,
        StoredItem,
        SyncLease,
        SyncReport,
        SyncRequest,
    )

T = TypeVar("T")

_MICROSECONDS = 1_000_000


class Database(Protocol):
    """The database of the jobs, as far as others may use it."""

    @property
    def engine(self) -> Engine:
        """For making tables."""
        ...

    def now_us(self) -> int:
        """Returns the time, in microseconds since 1970."""
        ...

    async def read(self, fn: Callable[[Connection], T]) -> T:
        """Runs a function that reads."""
        ...

    async def write(self, fn: Callable[[Connection], T]) -> T:
        """Runs a function that writes, in a transaction."""
        ...


class SourceStore:
    """Keeps sources.

    Args:
        database: Where; its tables must be there (`open`).
        lease_seconds: How long a synchronisation stays with a worker that gives no sign of life.
    """

    def __init__(self, database: Database, *, lease_seconds: float = 20.0) -> None:
        self._database = database
        self.lease_seconds = lease_seconds

    @classmethod
    async def open(cls, database: Database, *, lease_seconds: float = 20.0) -> Self:
        """Makes the tables where they are missing.

        Raises:
            ServiceError: the database does not answer, or belongs to a newer program.
        """
        await asyncio.to_thread(
            ensure_schema, database.engine, metadata, SCHEMA_VERSION, component=COMPONENT
        )
        return cls(database, lease_seconds=lease_seconds)

    async def put(
        self, tenant: str, tenant_class: int, source: Source, *, most: int
    ) -> tuple[SourceStatus, bool]:
        """Stores a source (see `queries.put`)."""
        now_us = self._database.now_us()
        return await self._database.write(
            functools.partial(
                queries.put,
                tenant=tenant,
                tenant_class=tenant_class,
                source=source,
                most=most,
                now_us=now_us,
            )
        )

    async def get(self, tenant: str, name: str) -> tuple[Source, SourceStatus]:
        """Returns a source (see `queries.get`)."""
        now_us = self._database.now_us()
        return await self._database.read(
            functools.partial(queries.get, tenant=tenant, name=name, now_us=now_us)
        )

    async def list_page(
        self, tenant: str, size: int, token: str
    ) -> tuple[list[tuple[Source, SourceStatus]], str]:
        """Returns a page of sources (see `queries.list_page`)."""
        now_us = self._database.now_us()
        return await self._database.read(
            functools.partial(
                queries.list_page, tenant=tenant, size=size, token=token, now_us=now_us
            )
        )

    async def list_items(
        self, tenant: str, name: str, *, failed_only: bool, size: int, token: str
    ) -> tuple[list[StoredItem], str]:
        """Returns a page of items (see `queries.list_items`)."""
        return await self._database.read(
            functools.partial(
                queries.list_items,
                tenant=tenant,
                name=name,
                failed_only=failed_only,
                size=size,
                token=token,
            )
        )

    async def request_sync(
        self, tenant: str, name: str, request: SyncRequest
    ) -> tuple[int, SourceStatus]:
        """Records that a source is to be gone through (see `queries.request_sync`)."""
        now_us = self._database.now_us()
        return await self._database.write(
            functools.partial(
                queries.request_sync, tenant=tenant, name=name, request=request, now_us=now_us
            )
        )

    async def delete(self, tenant: str, name: str) -> list[tuple[str, str]]:
        """Deletes a source; returns (collection, document id) of its items."""
        return await self._database.write(
            functools.partial(queries.delete_source, tenant=tenant, name=name)
        )

    async def documents_of(self, tenant: str, name: str) -> list[tuple[str, str]]:
        """Returns (collection, document id) of a source's items."""
        return await self._database.read(
            functools.partial(queries.documents_of, tenant=tenant, name=name)
        )

    async def pause(self, tenant: str, name: str) -> None:
        """Stops a source for good: the first step of deleting it."""
        await self._database.write(functools.partial(queries.pause, tenant=tenant, name=name))

    # ── workers ───────────────────────────────────────────────────────────────────────────────

    async def claim(self, owner: str) -> SyncLease | None:
        """Takes the next source that is due, or returns None (see `claims.claim`)."""
        now_us = self._database.now_us()
        return await self._database.write(
            functools.partial(
                claims.claim, owner=owner, now_us=now_us, until_us=self._lease_end(now_us)
            )
        )

    async def extend(self, lease: SyncLease) -> None:
        """Gives a sign of life, with the figures so far.

        Raises:
            LeaseLostError: someone else has the source now.
        """
        now_us = self._database.now_us()
        await self._database.write(
            functools.partial(claims.extend, lease=lease, until_us=self._lease_end(now_us))
        )

    async def finish(
        self, lease: SyncLease, report: SyncReport, next_seconds: float | None
    ) -> None:
        """Ends a synchronisation; the next one is due after that time, or when asked."""
        now_us = self._database.now_us()
        due_us = 0 if next_seconds is None else now_us + int(next_seconds * _MICROSECONDS)
        await self._database.write(
            functools.partial(
                claims.finish, lease=lease, report=report, due_us=due_us, now_us=now_us
            )
        )

    async def known(self, lease: SyncLease, paths: Sequence[str]) -> dict[str, StoredItem]:
        """Returns what is remembered of items, by path."""
        return await self._database.read(
            functools.partial(claims.known, source_key=lease.source_key, paths=paths)
        )

    async def remember(
        self,
        lease: SyncLease,
        items: Sequence[StoredItem],
        unchanged: Mapping[str, str],
        number: int,
    ) -> None:
        """Remembers items, and that others were seen (see `claims.remember`)."""
        await self._database.write(
            functools.partial(
                claims.remember, lease=lease, items_now=items, unchanged=unchanged, number=number
            )
        )

    async def unseen(self, lease: SyncLease, number: int, limit: int) -> list[StoredItem]:
        """Returns items that a synchronisation of everything did not see."""
        return await self._database.read(
            functools.partial(
                claims.unseen, source_key=lease.source_key, number=number, limit=limit
            )
        )

    async def count_items(self, lease: SyncLease) -> int:
        """Returns how many items of the source are known."""
        return await self._database.read(
            functools.partial(claims.count_items, source_key=lease.source_key)
        )

    async def forget(self, lease: SyncLease, paths: Sequence[str]) -> None:
        """Forgets items that are gone."""
        await self._database.write(functools.partial(claims.forget, lease=lease, paths=paths))

    def now_us(self) -> int:
        """Returns the database's time."""
        return self._database.now_us()

    def _lease_end(self, now_us: int) -> int:
        return now_us + int(self.lease_seconds * _MICROSECONDS)


class EnrichmentStore:
    """Keeps the enrichment settings of collections as text.

    Args:
        database: Where; the tables of `SourceStore.open`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, tenant: str, collection: str) -> str | None:
        """Returns a collection's own settings; None when it has none."""
        return await self._database.read(
            functools.partial(queries.get_enrichment, tenant=tenant, collection=collection)
        )

    async def put(self, tenant: str, collection: str, text: str | None) -> None:
        """Stores a collection's settings; None removes them."""
        await self._database.write(
            functools.partial(
                queries.put_enrichment, tenant=tenant, collection=collection, text=text
            )
        )
