"""Whole collections out of SQL and back into it: for snapshots that can be restored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Connection, text

from services.retrieval.store import catalog, changes, contents, counts, documents

if TYPE_CHECKING:
    from services.retrieval.collections import Collection
    from services.retrieval.documents import Document
    from services.retrieval.store.counts import Quota

_PART = 256
_PART_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Restored:
    """A committed restore."""

    collection: Collection
    """As it is afterwards; its `seq` is that of the restore."""
    written: int
    """Documents written again, because they were changed or taken away since."""
    removed: int
    """Documents deleted, because they came later."""
    replayed: int
    """Documents of the snapshot that were deleted since and stay so."""


_IDS = text(
    "SELECT document_id FROM retrieval_documents "
    "WHERE collection_id = :collection AND document_id > :after "
    "ORDER BY document_id LIMIT :part"
)
_VERSIONS = text(
    "SELECT document_id, version FROM retrieval_documents WHERE collection_id = :collection"
)


def position(connection: Connection, collection: Collection) -> int:
    """Returns the number of a collection's newest write.

    Raises:
        NotFoundError: it is gone.
    """
    found = changes.positions(connection, [collection.id])
    if collection.id not in found:
        raise catalog.not_found(collection.name)
    return found[collection.id].seq


def read_all(connection: Connection, collection_id: int) -> Iterator[list[Document]]:
    """Yields all documents with everything they were written with, part by part.

    Run it inside one snapshot transaction: then all parts together are one state of the collection.
    """
    after, part = "", _PART
    while True:
        where = {"collection": collection_id, "after": after, "part": part}
        ids = list(connection.scalars(_IDS, where))
        if not ids:
            return
        found = contents.read(
            connection,
            collection_id,
            ids,
            may_read=lambda _acl: True,
            now_micros=0,  # also those past their time: restoring brings back what was there
            with_text=True,
            with_chunks=True,
            with_vectors=True,
        )
        yield found
        after = ids[-1]
        size = sum(len(each.text) + sum(len(c.vector) for c in each.chunks) for each in found)
        # The next part has about as many documents as fit.
        part = min(_PART, max(1, len(ids) * _PART_BYTES // max(size, 1)))


def restore(
    connection: Connection,
    tenant: str,
    name: str,
    *,
    collection_id: int,
    seq: int,
    kept: Callable[[], Iterable[Sequence[Document]]],
    now_micros: int,
    default_quota: Quota = counts.UNLIMITED,
) -> Restored:
    """Puts a collection back to the documents it had, but for those deleted since.

    One transaction: readers see all of it or nothing. Documents that are as they were are not
    touched; others get a new version, for no version ever stands for two contents.

    Args:
        connection: An open transaction.
        tenant: Owner of the collection.
        name: Collection or alias.
        collection_id: The collection that the snapshot is of.
        seq: Newest write in the snapshot.
        kept: Returns the snapshot's documents, part by part; may be called again.
        now_micros: Time of the commit.
        default_quota: What a tenant may store that was given no quota of its own.

    Raises:
        NotFoundError: the collection is gone, or the name stands for another one.
        ResourceExhaustedError: the tenant would hold more than its quota.
    """
    catalog.lock_tenant(connection, tenant)
    collection = catalog.resolve(connection, tenant, name)
    if collection.id != collection_id:
        raise catalog.not_found(name)
    held = {row[0]: row[1] for row in connection.execute(_VERSIONS, {"collection": collection_id})}
    gone = set(changes.deleted_after(connection, collection_id, seq))
    wanted, replayed = _compare(kept, held, gone)
    doomed = [each for each in held if each not in wanted]
    # Deletes first: a tenant near its quota has room again.
    for first in range(0, len(doomed), _PART):
        deleted = documents.delete_by_ids(connection, tenant, name, doomed[first : first + _PART])
        collection = deleted.collection
    written = 0
    for part in kept():
        changed = [each for each in part if wanted.get(each.document_id)]
        if changed:
            collection = documents.upsert(
                connection,
                tenant,
                name,
                changed,
                check=lambda _collection: None,  # it was checked when it was first written
                now_micros=now_micros,
                default_quota=default_quota,
            ).collection
            written += len(changed)
    return Restored(collection, written, len(doomed), replayed)


def _compare(
    kept: Callable[[], Iterable[Sequence[Document]]], held: dict[str, int], gone: set[str]
) -> tuple[dict[str, bool], int]:
    """Returns who shall be there and whether to write it, and how many stay deleted."""
    wanted: dict[str, bool] = {}
    replayed = 0
    for part in kept():
        for each in part:
            if each.document_id in gone:
                replayed += 1
            else:
                wanted[each.document_id] = held.get(each.document_id) != each.version
    return wanted, replayed
