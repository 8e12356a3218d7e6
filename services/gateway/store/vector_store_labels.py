"""What a vector store has that its collection has not: a free name, metadata, batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from services.gateway.store.openai_tables import file_batches, vector_stores
from services.gateway.store.tables import read_time, time_text

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from services.sql.reader import Reader
    from services.sql.writer import GroupWriter


@dataclass(frozen=True, slots=True)
class Label:
    """Name and metadata of a vector store."""

    name: str
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FileBatch:
    """Files that were added to a vector store together."""

    batch_id: str
    collection: str
    entries: tuple[str, ...]
    """Identifiers of the documents they became."""
    failures: Mapping[str, tuple[str, str]]
    """Reason and message by file, of those that were refused."""
    created_at: datetime
    is_cancelled: bool = False


class VectorStoreLabels:
    """Keeps labels and batches.

    Args:
        reader: For reading.
        writer: For rows.
    """

    def __init__(self, reader: Reader, writer: GroupWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def of(self, tenant: str, collections: Sequence[str]) -> dict[str, Label]:
        """Returns the labels there are, by collection."""
        wanted = select(vector_stores).where(
            vector_stores.c.tenant == tenant, vector_stores.c.collection.in_(collections)
        )
        rows = await self._reader.run(lambda connection: connection.execute(wanted).all())
        return {row.collection: Label(row.name, dict(row.metadata)) for row in rows}

    async def put(self, tenant: str, collection: str, label: Label) -> None:
        """Sets the label of a collection."""
        own = (vector_stores.c.tenant == tenant) & (vector_stores.c.collection == collection)

        def run(connection: Connection) -> None:
            connection.execute(delete(vector_stores).where(own))
            connection.execute(
                insert(vector_stores).values(
                    tenant=tenant,
                    collection=collection,
                    name=label.name,
                    metadata=dict(label.metadata),
                )
            )

        await self._writer.run(run)

    async def forget(self, tenant: str, collection: str) -> None:
        """Drops what there is of a collection that is gone."""

        def run(connection: Connection) -> None:
            for table in (vector_stores, file_batches):
                connection.execute(
                    delete(table).where(table.c.tenant == tenant, table.c.collection == collection)
                )

        await self._writer.run(run)

    async def add_batch(self, tenant: str, batch: FileBatch) -> None:
        """Stores a batch."""
        row = insert(file_batches).values(
            batch_id=batch.batch_id,
            tenant=tenant,
            collection=batch.collection,
            entries={
                "documents": list(batch.entries),
                "failures": {name: list(why) for name, why in batch.failures.items()},
            },
            created_at=time_text(batch.created_at),
        )
        await self._writer.run(lambda connection: connection.execute(row))

    async def find_batch(self, tenant: str, collection: str, batch_id: str) -> FileBatch | None:
        """Returns a batch."""
        wanted = select(file_batches).where(
            file_batches.c.tenant == tenant,
            file_batches.c.collection == collection,
            file_batches.c.batch_id == batch_id,
        )
        row = await self._reader.run(lambda connection: connection.execute(wanted).first())
        if row is None:
            return None
        failures = {name: (why[0], why[1]) for name, why in row.entries["failures"].items()}
        created_at = read_time(row.created_at)
        assert created_at is not None
        return FileBatch(
            batch_id=row.batch_id,
            collection=row.collection,
            entries=tuple(row.entries["documents"]),
            failures=failures,
            created_at=created_at,
            is_cancelled=row.cancelled_at is not None,
        )

    async def cancel_batch(self, tenant: str, batch_id: str) -> None:
        """Notes that a batch was cancelled."""
        change = (
            file_batches.update()
            .where(file_batches.c.tenant == tenant, file_batches.c.batch_id == batch_id)
            .values(cancelled_at=time_text(datetime.now(UTC)))
        )
        await self._writer.run(lambda connection: connection.execute(change))
