"""Deleting documents everywhere, so that neither a slow worker nor a restart brings one back."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from services.ingestion.catalog import Catalog
from services.ingestion.document import DocumentKey
from services.ingestion.jobs.rows import MICROSECONDS
from services.ingestion.ports import Deleted, Index
from services.ingestion.stages.index import WINDOW_SECONDS
from services.rpc.errors import ServiceError
from services.rpc.logs import get_logger
from services.rpc.scope import Scope

if TYPE_CHECKING:
    from services.ingestion.jobs.store import JobStore

_POLL_SECONDS = 0.05
_BATCH = 500
_PRINCIPALS_PER_READ = 500
_MAX_PRINCIPALS = 10_000


class Deletions:
    """Deletes documents.

    The order is what makes it safe: first the queue forgets the document and refuses any further
    write of it; then writes that are under way end; then retrieval deletes it. What a crash leaves
    undone, `repeat_due` does.

    Args:
        store: The queue.
        index: Retrieval.
    """

    def __init__(self, store: JobStore, index: Index) -> None:
        self._store = store
        self._index = index
        self._catalog = Catalog(index)

    async def delete(self, scope: Scope, collection: str, document_ids: Sequence[str]) -> Deleted:
        """Deletes documents by their ids; unknown ones are ignored.

        Raises:
            UnavailableError: retrieval does not answer. The deletion is recorded all the same and
                will be carried out; asking again confirms it.
        """
        name = await self._own_name(scope, collection)
        count, seq = 0, 0
        for batch in _batches(document_ids):
            deleted = await self._delete_batch(scope, name, batch)
            count, seq = count + deleted.count, max(seq, deleted.seq)
        return Deleted(count, seq)

    async def delete_matching(self, scope: Scope, collection: str, document_filter: Any) -> Deleted:
        """Deletes the documents that match a filter, whoever may read them."""
        name = await self._own_name(scope, collection)
        known = await self._store.principals_of(scope.tenant, name)
        principals = sorted({*known, *scope.principals, "everyone"})[:_MAX_PRINCIPALS]
        ids: dict[str, None] = {}
        for part in _batches(principals, _PRINCIPALS_PER_READ):
            reader = dataclasses.replace(scope, principals=tuple(part))
            found = await self._index.matching_ids(reader, name, document_filter)
            ids.update(dict.fromkeys(found))
        by_id = await self.delete(scope, name, list(ids))
        # What ingestion never took in, and readers it does not know of.
        rest = await self._index.delete_matching(scope, name, document_filter)
        return Deleted(by_id.count + rest.count, max(by_id.seq, rest.seq))

    async def repeat_due(self) -> None:
        """Repeats deletions in retrieval that were not confirmed, or that a late write followed."""
        due = await self._store.due_purges()
        groups: dict[tuple[str, str], list[DocumentKey]] = defaultdict(list)
        for key in due:
            groups[key.tenant, key.collection].append(key)
        for (tenant, collection), keys in groups.items():
            scope = Scope(tenant=tenant, principals=(), actor="service:ingestion")
            try:
                await self._index.delete(scope, collection, [key.document_id for key in keys])
            except ServiceError as error:
                get_logger().warning(
                    "deletions wait for retrieval",
                    reason=error.reason.value,
                    collection=collection,
                    count=len(keys),
                )
                continue
            await self._store.finish_purges(keys)

    async def _own_name(self, scope: Scope, collection: str) -> str:
        info = await self._catalog.find(scope, collection)
        return info.name if info is not None else collection

    async def _delete_batch(
        self, scope: Scope, collection: str, document_ids: Sequence[str]
    ) -> Deleted:
        deletion = await self._store.delete_documents(
            scope.tenant, collection, document_ids, purge_after_seconds=WINDOW_SECONDS
        )
        busy_until_us = deletion.busy_until_us
        was_busy = busy_until_us > 0
        while busy_until_us > self._store.now_us():
            left = (busy_until_us - self._store.now_us()) / MICROSECONDS
            await asyncio.sleep(min(_POLL_SECONDS, max(0.0, left)))
            busy_until_us = await self._store.busy_until(scope.tenant, collection, document_ids)
        deleted = await self._index.delete(scope, collection, document_ids)
        if not was_busy:
            await self._store.finish_purges(
                [DocumentKey(scope.tenant, collection, each) for each in deletion.known_ids]
            )
        return deleted


def _batches(items: Sequence[str], size: int = _BATCH) -> Iterator[Sequence[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
