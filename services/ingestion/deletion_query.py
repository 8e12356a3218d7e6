"""Deleting by filter, source or owner: what is indexed, what is on its way, and a second look."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.ingestion.catalog import Catalog
from services.ingestion.filter_match import matches
from services.ingestion.jobs import conditions
from services.ingestion.sources.placement import OWNER_FIELD, SOURCE_FIELD
from services.rpc.errors import (
    DeadlineExceededError,
    InvalidArgumentError,
    NotFoundError,
    Reason,
    ResourceExhaustedError,
    UnavailableError,
)

if TYPE_CHECKING:
    from services.filters.ast import Filter
    from services.filters.values import Value
    from services.ingestion.deletion import Deletions
    from services.ingestion.jobs.conditions import SubmittedFields
    from services.ingestion.jobs.store import JobStore
    from services.ingestion.ports import Index
    from services.rpc.scope import Scope

_PAGE = 500
_MAX_LOOKS = 4
_MAX_PRINCIPALS = 10_000
_PRINCIPALS_PER_READ = 500
_NO_ANSWER = (UnavailableError, DeadlineExceededError, ResourceExhaustedError)


@dataclass(frozen=True, slots=True)
class Condition:
    """Which documents to delete."""

    tree: Filter
    """For documents on their way."""
    message: Any
    """The same in the contract's form, for retrieval."""
    actor: str = ""
    """Also documents that this actor submitted and that name no owner; empty: none."""


@dataclass(frozen=True, slots=True)
class DeletedWhere:
    """What was deleted, and what a second look found."""

    count: int
    seq: int
    stopped_job_count: int
    remaining_count: int
    is_verified: bool
    """Whether the second look was made at the index, too."""


class DeletionQueries:
    """Deletes what meets a condition, then looks again.

    The second look only reads: a document that is submitted anew meanwhile is not touched by it.

    Args:
        store: The queue.
        deletions: Deletes by id.
        index: Retrieval.
    """

    def __init__(self, store: JobStore, deletions: Deletions, index: Index) -> None:
        self._store = store
        self._deletions = deletions
        self._index = index
        self._catalog = Catalog(index)

    async def delete(
        self, scope: Scope, collection: str, document_ids: Sequence[str]
    ) -> DeletedWhere:
        """Deletes documents by their ids and looks whether any is left.

        Raises:
            NotFoundError: there is no such collection.
            UnavailableError: retrieval does not answer. The deletion is recorded all the same and
                will be carried out; asking again confirms it.
        """
        name = await self._own_name(scope, collection)
        readers = await self._readers(scope, name)
        stopped = await self._stopped_count(scope.tenant, name, document_ids)
        deleted = await self._deletions.delete(scope, name, document_ids)
        try:
            remaining = await self._held_count(readers, name, document_ids)
        except _NO_ANSWER:
            return DeletedWhere(deleted.count, deleted.seq, stopped, 0, is_verified=False)
        return DeletedWhere(deleted.count, deleted.seq, stopped, remaining, is_verified=True)

    async def delete_where(
        self, scope: Scope, collection: str, condition: Condition
    ) -> DeletedWhere:
        """Deletes documents by a condition, whoever may read them, and looks whether any is left.

        Raises:
            NotFoundError: there is no such collection.
            InvalidArgumentError: the collection has no field that the condition names.
            UnavailableError: retrieval does not answer.
        """
        name = await self._own_name(scope, collection)
        readers = await self._readers(scope, name)
        ids = await self._on_the_way(scope.tenant, name, condition)
        stopped = await self._stopped_count(scope.tenant, name, ids)
        # By id first: the queue forgets them before anything can index them.
        deleted = await self._deletions.delete(scope, name, ids)
        count, seq = deleted.count, deleted.seq
        try:
            deleted = await self._deletions.delete_matching(scope, name, condition.message)
        except InvalidArgumentError as error:
            if not (ids or condition.actor) or "unknown_field" not in error.metadata:
                raise
            # Only documents on their way have the field, and they are gone by now.
            return DeletedWhere(count, seq, stopped, 0, is_verified=True)
        count, seq = count + deleted.count, max(seq, deleted.seq)
        remaining, is_verified = await self._look_again(scope, readers, name, condition)
        return DeletedWhere(count, seq, stopped, remaining, is_verified)

    async def _look_again(
        self, scope: Scope, readers: Sequence[Scope], name: str, condition: Condition
    ) -> tuple[int, bool]:
        """Deletes what is still found, a few times; returns what the last look found."""
        left: set[str] = set()
        for _ in range(_MAX_LOOKS):
            left = set(await self._on_the_way(scope.tenant, name, condition))
            try:
                for reader in readers:
                    left.update(await self._index.matching_ids(reader, name, condition.message))
                if not left:
                    return 0, True
                await self._deletions.delete(scope, name, sorted(left))
            except _NO_ANSWER:
                return len(left), False
        return len(left), True

    async def _readers(self, scope: Scope, name: str) -> list[Scope]:
        """Returns scopes that together may read whatever ingestion took in."""
        known = await self._store.principals_of(scope.tenant, name)
        principals = sorted({*known, *scope.principals, "everyone"})[:_MAX_PRINCIPALS]
        return [
            dataclasses.replace(scope, principals=tuple(part))
            for part in _batches(principals, _PRINCIPALS_PER_READ)
        ]

    async def _held_count(
        self, readers: Sequence[Scope], name: str, document_ids: Sequence[str]
    ) -> int:
        held: set[str] = set()
        for reader in readers:
            for ids in _batches(document_ids, _PAGE):
                found = await self._index.get_documents(reader, name, ids)
                held.update(each.document_id for each in found)
        return len(held)

    async def _own_name(self, scope: Scope, collection: str) -> str:
        """Returns the collection's own name.

        Raises:
            NotFoundError: neither retrieval nor the queue has such a collection.
        """
        try:
            info = await self._index.find_collection(scope, collection)
        except _NO_ANSWER:
            info = await self._catalog.find(scope, collection)
            return info.name if info is not None else collection
        if info is not None:
            return info.name
        is_known = await self._store.read(
            functools.partial(conditions.has_jobs, tenant=scope.tenant, collection=collection)
        )
        if not is_known:
            raise NotFoundError(
                Reason.COLLECTION_NOT_FOUND,
                f"no collection {collection!r}",
                metadata={"collection": collection},
            )
        return collection

    async def _stopped_count(self, tenant: str, name: str, ids: Sequence[str]) -> int:
        count = 0
        for part in _batches(ids, _PAGE):
            count += await self._store.read(
                functools.partial(
                    conditions.unended_count, tenant=tenant, collection=name, ids=part
                )
            )
        return count

    async def _on_the_way(self, tenant: str, name: str, condition: Condition) -> list[str]:
        """Returns the ids of documents that meet the condition by what they were submitted with."""
        found: dict[str, None] = {}
        after = 0
        while True:
            page = await self._store.read(
                functools.partial(
                    conditions.page,
                    tenant=tenant,
                    collection=name,
                    actor=condition.actor,
                    after=after,
                    limit=_PAGE,
                )
            )
            found.update((each.document_id, None) for each in page if _meets(each, condition))
            if len(page) < _PAGE:
                return list(found)
            after = page[-1].number


def _meets(document: SubmittedFields, condition: Condition) -> bool:
    owner = document.metadata.get(OWNER_FIELD)
    if condition.actor and document.actor == condition.actor and not owner:
        return True
    fields: dict[str, Value | None] = {
        SOURCE_FIELD: document.uri,
        **document.metadata,
        "document_id": document.document_id,
        "uri": document.uri,
    }
    return matches(condition.tree, fields)


def _batches(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
