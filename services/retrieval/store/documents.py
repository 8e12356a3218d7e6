"""Documents and their chunks in SQL: whole versions in, whole versions out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, delete, func, insert, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from services.retrieval import fields as field_types
from services.retrieval.collections import AclPolicy, Collection
from services.retrieval.documents import EVERYONE, Chunk, Document
from services.retrieval.store import catalog, codec
from services.retrieval.store.changes import Change, ChunkState, DocumentState
from services.retrieval.store.tables import chunks, collections, deletions, documents
from services.rpc.errors import (
    AbortedError,
    FailedPreconditionError,
    InvalidArgumentError,
    Reason,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MUST_NOT_EXIST = -1
"""Expected version of a document that must not exist yet."""
_IDS_PER_STATEMENT = 500


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
    expected_version: int,
    check: Callable[[Collection], None],
    now_micros: int,
) -> Written:
    """Writes whole document versions, all or none.

    Args:
        connection: An open transaction.
        tenant: Owner of the collection.
        name: Collection or alias.
        new: The documents, each id once.
        expected_version: Version each must have now; 0: any, -1: must not exist.
        check: Refuses documents that do not fit the collection by raising.
        now_micros: Time of the commit.

    Raises:
        NotFoundError: no such collection.
        AbortedError: a document has another version.
        InvalidArgumentError: a metadata value has another type than its field.
        FailedPreconditionError: the collection requires access lists and a document has none.
    """
    catalog.lock_tenant(connection, tenant)
    collection = catalog.resolve(connection, tenant, name)
    check(collection)
    new = [_with_acl(document, index, collection) for index, document in enumerate(new)]
    new, known = field_types.fit(new, collection.settings.fields)
    ids = [document.document_id for document in new]
    current = _versions(connection, documents, collection.id, ids)
    _check_versions(ids, current, expected_version)
    former = _versions(connection, deletions, collection.id, ids)
    seq = catalog.next_seq(connection, tenant)
    versions = tuple(max(current.get(i, 0), former.get(i, 0)) + 1 for i in ids)
    _write(connection, collection.id, new, versions, current, seq, now_micros)
    if known != collection.settings.fields:
        catalog.set_fields(connection, collection.id, known)
    catalog.set_seq(connection, collection.id, seq)
    settings = replace(collection.settings, fields=known)
    written = [_state(document, each) for document, each in zip(new, versions, strict=True)]
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
    current = _versions(connection, documents, collection.id, ids)
    doomed = {
        each: version
        for each, version in current.items()
        if versions is None or versions.get(each) == version
    }
    if not doomed:
        return Deleted(collection, Change(collection.seq, collection.seq), 0)
    seq = catalog.next_seq(connection, tenant)
    for part in _parts(list(doomed)):
        for table in (chunks, documents, deletions):
            connection.execute(
                delete(table).where(
                    table.c.collection_id == collection.id, table.c.document_id.in_(part)
                )
            )
    rows = [
        {"collection_id": collection.id, "document_id": each, "seq": seq, "version": version}
        for each, version in doomed.items()
    ]
    connection.execute(insert(deletions), rows)
    catalog.set_seq(connection, collection.id, seq)
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


def read(
    connection: Connection,
    collection_id: int,
    ids: Sequence[str],
    *,
    may_read: Callable[[tuple[str, ...]], bool],
    now_micros: int,
    with_text: bool,
    with_chunks: bool,
    with_vectors: bool = False,
) -> list[Document]:
    """Returns the documents that exist, live and may be read, in the order of the ids."""
    columns = [column for column in documents.c if with_text or column is not documents.c.text]
    found: dict[str, Document] = {}
    for part in _parts(ids):
        rows = connection.execute(
            select(*columns).where(
                documents.c.collection_id == collection_id, documents.c.document_id.in_(part)
            )
        )
        for row in rows:
            acl = codec.load_texts(row.acl)
            is_live = row.expires_micros is None or row.expires_micros > now_micros
            if is_live and may_read(acl):
                found[row.document_id] = _document(row, acl, with_text=with_text)
    if with_chunks and found:
        parts = _chunks(connection, collection_id, list(found), with_vectors=with_vectors)
        found = {key: replace(each, chunks=parts.get(key, ())) for key, each in found.items()}
    return [found[each] for each in ids if each in found]


def count(connection: Connection, collection_id: int) -> tuple[int, int]:
    """Returns how many documents and chunks the store holds, expired ones included."""
    row = connection.execute(
        select(func.count(), func.coalesce(func.sum(documents.c.chunk_count), 0)).where(
            documents.c.collection_id == collection_id
        )
    ).one()
    return int(row[0]), int(row[1])


def _write(
    connection: Connection,
    collection_id: int,
    new: Sequence[Document],
    versions: Sequence[int],
    current: Mapping[str, int],
    seq: int,
    now_micros: int,
) -> None:
    for part in _parts(list(current)):
        connection.execute(
            delete(chunks).where(
                chunks.c.collection_id == collection_id, chunks.c.document_id.in_(part)
            )
        )
    rows = [
        _document_row(collection_id, document, version, seq, now_micros)
        for document, version in zip(new, versions, strict=True)
    ]
    dialect = sqlite_insert if connection.dialect.name == "sqlite" else postgresql_insert
    statement: Any = dialect(documents)
    keys = ("collection_id", "document_id")
    statement = statement.on_conflict_do_update(
        index_elements=list(keys),
        set_={c.name: statement.excluded[c.name] for c in documents.c if c.name not in keys},
    )
    connection.execute(statement, rows)
    chunk_rows = [
        _chunk_row(collection_id, document.document_id, ordinal, chunk)
        for document in new
        for ordinal, chunk in enumerate(document.chunks)
    ]
    if chunk_rows:
        connection.execute(insert(chunks), chunk_rows)


def _state(document: Document, version: int) -> DocumentState:
    return DocumentState(
        document_id=document.document_id,
        version=version,
        title=document.title,
        uri=document.uri,
        text=document.text,
        metadata=dict(document.metadata),
        acl=document.acl,
        expires_micros=document.expires_micros,
        chunks=tuple(
            ChunkState(each.start, each.end, each.heading_path) for each in document.chunks
        ),
        vectors=b"".join(each.vector for each in document.chunks),
    )


def _document_row(
    collection_id: int, document: Document, version: int, seq: int, now_micros: int
) -> dict[str, Any]:
    return {
        "collection_id": collection_id,
        "document_id": document.document_id,
        "version": version,
        "seq": seq,
        "title": document.title,
        "uri": document.uri,
        "metadata": codec.dump_metadata(document.metadata),
        "acl": codec.dump_texts(document.acl),
        "content_hash": document.content_hash,
        "expires_micros": document.expires_micros,
        "committed_micros": now_micros,
        "chunk_count": len(document.chunks),
        "text": document.text,
    }


def _chunk_row(collection_id: int, document_id: str, ordinal: int, chunk: Chunk) -> dict[str, Any]:
    return {
        "collection_id": collection_id,
        "document_id": document_id,
        "ordinal": ordinal,
        "chunk_id": chunk.chunk_id,
        "start_at": chunk.start,
        "end_at": chunk.end,
        "heading_path": codec.dump_texts(chunk.heading_path),
        "page": chunk.page,
        "vector": chunk.vector,
        "token_codes": chunk.token_codes or None,
    }


def _with_acl(document: Document, index: int, collection: Collection) -> Document:
    if document.acl:
        return document
    if collection.settings.acl_policy is AclPolicy.REQUIRED:
        raise FailedPreconditionError(
            Reason.ACL_REQUIRED,
            f"documents[{index}].acl: the collection requires an access list",
            metadata={"document_id": document.document_id},
        )
    return replace(document, acl=(EVERYONE,))


def _check_versions(ids: Sequence[str], current: Mapping[str, int], expected: int) -> None:
    if expected == 0:
        return
    if expected < MUST_NOT_EXIST:
        raise InvalidArgumentError.for_field(
            "expected_version", "must be a version, 0 for no condition, or -1 for a new document"
        )
    wanted = 0 if expected == MUST_NOT_EXIST else expected
    for each in ids:
        if current.get(each, 0) != wanted:
            raise AbortedError(
                Reason.CONFLICT,
                f"the document has version {current.get(each, 0)}, not {wanted}",
                metadata={"document_id": each, "version": str(current.get(each, 0))},
            )


def _versions(
    connection: Connection, table: Any, collection_id: int, ids: Sequence[str]
) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in _parts(ids):
        rows = connection.execute(
            select(table.c.document_id, table.c.version).where(
                table.c.collection_id == collection_id, table.c.document_id.in_(part)
            )
        )
        found.update((row[0], row[1]) for row in rows)
    return found


def _document(row: Any, acl: tuple[str, ...], *, with_text: bool) -> Document:
    return Document(
        document_id=row.document_id,
        title=row.title,
        uri=row.uri,
        text=row.text if with_text else "",
        metadata=codec.load_metadata(row.metadata),
        acl=acl,
        content_hash=row.content_hash,
        expires_micros=row.expires_micros,
        version=row.version,
        committed_micros=row.committed_micros,
    )


def _chunks(
    connection: Connection, collection_id: int, ids: Sequence[str], *, with_vectors: bool
) -> dict[str, tuple[Chunk, ...]]:
    left_out = set() if with_vectors else {"vector", "token_codes"}
    columns = [column for column in chunks.c if column.name not in left_out]
    found: dict[str, list[tuple[int, Chunk]]] = {}
    for part in _parts(ids):
        rows = connection.execute(
            select(*columns).where(
                chunks.c.collection_id == collection_id, chunks.c.document_id.in_(part)
            )
        )
        for row in rows:
            chunk = Chunk(
                chunk_id=row.chunk_id,
                start=row.start_at,
                end=row.end_at,
                vector=bytes(row.vector) if with_vectors else b"",
                heading_path=codec.load_texts(row.heading_path),
                page=row.page,
                token_codes=bytes(row.token_codes or b"") if with_vectors else b"",
            )
            found.setdefault(row.document_id, []).append((row.ordinal, chunk))
    return {
        key: tuple(chunk for _, chunk in sorted(each, key=lambda pair: pair[0]))
        for key, each in found.items()
    }


def _parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Cuts a list of ids so that one statement never holds too many parameters."""
    for start in range(0, len(ids), _IDS_PER_STATEMENT):
        yield ids[start : start + _IDS_PER_STATEMENT]
