"""Document versions into SQL and out of it: all or none of a request, as one entry of the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select

from services.retrieval import fields as field_types
from services.retrieval.collections import AclPolicy, Collection
from services.retrieval.documents import EVERYONE, Document
from services.retrieval.store import catalog, chunk_table, codec, counts
from services.retrieval.store.changes import Change, DocumentState
from services.retrieval.store.chunk_table import ChunkEntry
from services.retrieval.store.counts import Held
from services.retrieval.store.tables import collections, deletions, documents, token_codes
from services.rpc.errors import (
    AbortedError,
    FailedPreconditionError,
    InvalidArgumentError,
    Reason,
)
from services.sql import bulk

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from services.retrieval.store.counts import Quota

_VERSION = documents.c.keys().index("version")
_VECTORS = documents.c.keys().index("vectors")

_OPEN = (EVERYONE,)
"""Access list of documents that come without one, where the collection allows that."""
MUST_NOT_EXIST = -1
"""Expected version of a document that must not exist yet."""


@dataclass(frozen=True, slots=True)
class Written:
    """A committed write."""

    collection: Collection
    """As it is after the write, its newly inferred fields included."""
    change: Change
    versions: tuple[int, ...]

    @property
    def seq(self) -> int:
        """Number of the write."""
        return self.change.seq


@dataclass(frozen=True, slots=True)
class Deleted:
    """A committed delete."""

    collection: Collection
    change: Change
    count: int

    @property
    def seq(self) -> int:
        """Number of the delete; that of the collection's newest write when nothing was there."""
        return self.change.seq


def upsert(
    connection: Connection,
    tenant: str,
    name: str,
    new: Sequence[Document],
    *,
    expected_versions: Sequence[int] = (),
    expected_version: int = 0,
    check: Callable[[Collection], None],
    now_micros: int,
    default_quota: Quota = counts.UNLIMITED,
) -> Written:
    """Writes whole document versions, all or none.

    Args:
        connection: An open transaction.
        tenant: Owner of the collection.
        name: Collection or alias.
        new: The documents, each id once.
        expected_versions: Version each must have now, one for each document, or none at all.
        expected_version: Version all must have when none are given one by one; 0: any, -1: must
            not exist.
        check: Refuses documents that do not fit the collection by raising.
        now_micros: Time of the commit.
        default_quota: What a tenant may store that was given no quota of its own.

    Raises:
        NotFoundError: no such collection.
        AbortedError: a document has another version.
        InvalidArgumentError: a metadata value has another type than its field.
        FailedPreconditionError: the collection requires access lists and a document has none.
        ResourceExhaustedError: the tenant would hold more than its quota.
    """
    # The first statement: from here on the tenant's other writers wait, on every replica.
    seq = catalog.next_seq(connection, tenant, name)
    collection = catalog.resolve(connection, tenant, name)
    check(collection)
    _check_acl(new, collection)
    settings = collection.settings
    new, known = field_types.fit(new, settings.fields, settings.schema_policy)
    ids = [document.document_id for document in new]
    present = counts.held(connection, collection.id, ids)
    expected = expected_versions or [expected_version] * len(new)
    _check_versions(ids, present, expected)
    buried = _buried(connection, collection.id, ids)
    versions = tuple(
        max(present[i].version if i in present else 0, buried.get(i, 0)) + 1 for i in ids
    )
    rows = [
        document_row(collection.id, document, version, seq, now_micros)
        for document, version in zip(new, versions, strict=True)
    ]
    counts.move(
        connection,
        collection,
        seq,
        added=[_held(row) for row in rows],
        removed=present,
        default_quota=default_quota,
    )
    _remove(connection, collection.id, present)
    bulk.insert(connection, documents, rows)
    bulk.insert(connection, token_codes, code_rows(collection.id, new))
    if known != collection.settings.fields:
        catalog.set_fields(connection, collection.id, known)
    settings = replace(collection.settings, fields=known)
    written = [_state(document, row) for document, row in zip(new, rows, strict=True)]
    return Written(
        replace(collection, seq=seq, settings=settings),
        Change(collection.seq, seq, written=written),
        versions,
    )


def delete_by_ids(
    connection: Connection,
    tenant: str,
    name: str,
    ids: Sequence[str],
    *,
    versions: Mapping[str, int] | None = None,
) -> Deleted:
    """Deletes documents; unknown ids are ignored.

    Args:
        connection: An open transaction.
        tenant: Owner of the collection.
        name: Collection or alias.
        ids: Documents to delete.
        versions: When given, only documents that still have these versions are deleted.
    """
    catalog.lock_tenant(connection, tenant)
    collection = catalog.resolve(connection, tenant, name)
    doomed = {
        each: held
        for each, held in counts.held(connection, collection.id, ids).items()
        if versions is None or versions.get(each) == held.version
    }
    if not doomed:
        return Deleted(collection, Change(collection.seq, collection.seq), 0)
    seq = catalog.next_seq(connection, tenant, name)
    counts.move(connection, collection, seq, removed=doomed)
    _remove(connection, collection.id, doomed)
    counts.execute_for(connection, "DELETE FROM retrieval_deletions", collection.id, list(doomed))
    bulk.insert(
        connection,
        deletions,
        [(collection.id, each, seq, held.version) for each, held in doomed.items()],
    )
    change = Change(collection.seq, seq, deleted=list(doomed))
    return Deleted(replace(collection, seq=seq), change, len(doomed))


def expired(connection: Connection, now_micros: int, limit: int) -> list[tuple[str, str, str, int]]:
    """Returns (tenant, collection, document id, version) of documents past their time."""
    table = collections
    rows = connection.execute(
        select(table.c.tenant, table.c.name, documents.c.document_id, documents.c.version)
        .join(table, table.c.id == documents.c.collection_id)
        .where(documents.c.expires_micros <= now_micros)
        .limit(limit)
    )
    return [(row[0], row[1], row[2], row[3]) for row in rows]


def document_row(
    collection_id: int, document: Document, version: int, seq: int, now_micros: int
) -> tuple[Any, ...]:
    """Returns the values of a document's row, in the order of the table."""
    metadata = codec.dump_metadata(document.metadata)
    chunks = document.chunks
    packed = chunk_table.pack(chunks)
    text_bytes = (
        _utf8_bytes(document.text)
        + _utf8_bytes(document.title)
        + _utf8_bytes(document.uri)
        + _utf8_bytes(metadata)
        + len(packed)
    )
    return (
        collection_id,
        document.document_id,
        version,
        seq,
        len(chunks),
        text_bytes,
        sum(len(chunk.token_codes) for chunk in chunks),
        document.expires_micros,
        now_micros,
        document.title,
        document.uri,
        metadata,
        codec.dump_acl(document.acl or _OPEN),
        document.content_hash,
        packed,
        document.text,
        b"".join([chunk.vector for chunk in chunks]),
    )


def _held(row: tuple[Any, ...]) -> tuple[str, Held]:
    return row[1], Held(row[2], row[4], row[5], row[6])


def code_rows(collection_id: int, new: Sequence[Document]) -> list[tuple[Any, ...]]:
    """Returns the token codes of the documents' chunks as rows."""
    return [
        (collection_id, document.document_id, ordinal, chunk.token_codes)
        for document in new
        for ordinal, chunk in enumerate(document.chunks)
        if chunk.token_codes
    ]


def _state(document: Document, row: tuple[Any, ...]) -> DocumentState:
    """Returns what views need of a document, sharing its row's bytes."""
    return DocumentState(
        document.document_id,
        row[_VERSION],
        document.title,
        document.uri,
        document.text,
        document.metadata,
        document.acl or _OPEN,
        document.expires_micros,
        [
            ChunkEntry(each.chunk_id, each.start, each.end, each.heading_path, each.page)
            for each in document.chunks
        ],
        row[_VECTORS],
    )


def _remove(connection: Connection, collection_id: int, present: Mapping[str, Held]) -> None:
    """Deletes rows of documents that are there."""
    if not present:
        return
    counts.execute_for(connection, "DELETE FROM retrieval_documents", collection_id, list(present))
    coded = [each for each, held in present.items() if held.code_bytes]
    if coded:
        counts.execute_for(connection, "DELETE FROM retrieval_token_codes", collection_id, coded)


def _buried(connection: Connection, collection_id: int, ids: Sequence[str]) -> dict[str, int]:
    """Returns the versions that deleted documents had."""
    found = counts.execute_for(
        connection, "SELECT document_id, version FROM retrieval_deletions", collection_id, ids
    )
    return {row[0]: row[1] for row in found}


def _check_acl(new: Sequence[Document], collection: Collection) -> None:
    if collection.settings.acl_policy is not AclPolicy.REQUIRED:
        return
    for index, document in enumerate(new):
        if not document.acl:
            raise FailedPreconditionError(
                Reason.ACL_REQUIRED,
                f"documents[{index}].acl: the collection requires an access list",
                metadata={"document_id": document.document_id},
            )


def _check_versions(
    ids: Sequence[str], present: Mapping[str, Held], expected: Sequence[int]
) -> None:
    for each, asked in zip(ids, expected, strict=True):
        if asked == 0:
            continue
        if asked < MUST_NOT_EXIST:
            raise InvalidArgumentError.for_field(
                "expected_version",
                "must be a version, 0 for no condition, or -1 for a new document",
            )
        wanted = 0 if asked == MUST_NOT_EXIST else asked
        version = present[each].version if each in present else 0
        if version != wanted:
            raise AbortedError(
                Reason.CONFLICT,
                f"the document has version {version}, not {wanted}",
                metadata={"document_id": each, "version": str(version)},
            )


def _utf8_bytes(value: str) -> int:
    return len(value) if value.isascii() else len(value.encode())
