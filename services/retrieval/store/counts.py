"""What collections hold, kept in the transaction that changes it: counts, bytes, checksum."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Connection, TextClause, bindparam, func, select, text, update

from services.retrieval.store.checksum import Checksum, to_signed, to_unsigned
from services.retrieval.store.tables import collections, tenants
from services.rpc.errors import Reason, ResourceExhaustedError
from services.sql import bulk
from services.sql.engine import upserts

if TYPE_CHECKING:
    from services.retrieval.collections import Collection

_FLOAT_BYTES = 4


class Held(NamedTuple):
    """What a document counts for."""

    version: int
    chunk_count: int
    text_bytes: int
    code_bytes: int


@dataclass(frozen=True, slots=True)
class Quota:
    """What a tenant may store at most, over all its collections; None: no bound."""

    max_vectors: int | None = None
    max_bytes: int | None = None
    """Of vectors, token codes, text and metadata together, as they were sent."""


UNLIMITED = Quota()


@dataclass(frozen=True, slots=True)
class Usage:
    """What a collection or a tenant holds."""

    documents: int
    chunks: int
    """Chunks, each with one vector."""
    vector_bytes: int
    text_bytes: int
    """UTF-8 bytes of text, titles, URIs, metadata and the table of chunks."""
    code_bytes: int
    """Token codes."""

    @property
    def nbytes(self) -> int:
        """All of them."""
        return self.vector_bytes + self.text_bytes + self.code_bytes


@dataclass(frozen=True, slots=True)
class Counts:
    """The row of a collection that counts."""

    seq: int
    checksum: Checksum
    vector_bytes: int
    text_bytes: int
    code_bytes: int

    @property
    def nbytes(self) -> int:
        """All bytes."""
        return self.vector_bytes + self.text_bytes + self.code_bytes


def held(connection: Connection, collection_id: int, ids: Sequence[str]) -> dict[str, Held]:
    """Returns what those of the documents count for that are there."""
    rows = execute_for(
        connection,
        "SELECT document_id, version, chunk_count, text_bytes, code_bytes FROM retrieval_documents",
        collection_id,
        ids,
    )
    return {row[0]: Held(row[1], row[2], row[3], row[4]) for row in rows}


def execute_for(
    connection: Connection, statement: str, collection_id: int, ids: Sequence[str]
) -> Any:
    """Runs a statement, given up to its WHERE, for the documents of those ids."""
    return connection.execute(
        _for_ids(statement, bulk.among(connection, "document_id")),
        {"collection": collection_id, "ids": bulk.bind(connection, ids)},
    )


@functools.lru_cache(maxsize=32)
def _for_ids(statement: str, condition: str) -> TextClause:
    """Returns the clause; making one anew for each write costs as much as running it."""
    return text(f"{statement} WHERE collection_id = :collection AND {condition}")


_COUNTS = select(
    collections.c.seq,
    collections.c.document_count,
    collections.c.chunk_count,
    collections.c.checksum_xor,
    collections.c.checksum_sum,
    collections.c.vector_bytes,
    collections.c.text_bytes,
    collections.c.code_bytes,
).where(collections.c.id == bindparam("of"))


def read(connection: Connection, collection_id: int) -> Counts | None:
    """Returns a collection's counts at its newest write."""
    row = connection.execute(_COUNTS, {"of": collection_id}).first()
    if row is None:
        return None
    checksum = Checksum(row[1], row[2], to_unsigned(row[3]), to_unsigned(row[4]))
    return Counts(row[0], checksum, row[5], row[6], row[7])


def recount(connection: Connection, collection_id: int) -> Checksum:
    """Returns the checksum counted from the documents themselves; reads all their rows."""
    rows = connection.execute(
        text(
            "SELECT document_id, version, chunk_count FROM retrieval_documents "
            "WHERE collection_id = :collection"
        ),
        {"collection": collection_id},
    )
    return Checksum().changed(added=((row[0], row[1], row[2]) for row in rows))


def restore(connection: Connection, collection_id: int) -> None:
    """Sets a collection's counts to what its documents say; reads all their rows."""
    row = connection.execute(
        text(
            """
            SELECT c.seq, coalesce(sum(d.text_bytes), 0), coalesce(sum(d.code_bytes), 0),
                   coalesce(sum(length(d.vectors)), 0)
            FROM retrieval_collections c
            LEFT JOIN retrieval_documents d ON d.collection_id = c.id
            WHERE c.id = :collection GROUP BY c.seq
            """
        ),
        {"collection": collection_id},
    ).one()
    checksum = recount(connection, collection_id)
    _write(
        connection,
        collection_id,
        Counts(row[0], checksum, vector_bytes=row[3], text_bytes=row[1], code_bytes=row[2]),
    )


def move(
    connection: Connection,
    collection: Collection,
    seq: int,
    *,
    added: Iterable[tuple[str, Held]] = (),
    removed: Mapping[str, Held],
    default_quota: Quota = UNLIMITED,
) -> None:
    """Notes a write of a collection: its number and what it holds from then on.

    Args:
        connection: The write's transaction, which holds the tenant's lock.
        collection: As it was before.
        seq: Number of the write.
        added: The new versions.
        removed: The versions they replace, or that are deleted.
        default_quota: What the tenant may hold when it was given no quota of its own.

    Raises:
        ResourceExhaustedError: it would hold more than its quota, and more than before.
    """
    added = list(added)
    before = read(connection, collection.id)
    if before is None:
        return
    checksum = before.checksum.changed(
        added=((each, held.version, held.chunk_count) for each, held in added),
        removed=((each, held.version, held.chunk_count) for each, held in removed.items()),
    )
    after = Counts(
        seq,
        checksum,
        checksum.chunks * collection.settings.dimensions * _FLOAT_BYTES,
        before.text_bytes
        + sum(held.text_bytes for _, held in added)
        - sum(held.text_bytes for held in removed.values()),
        before.code_bytes
        + sum(held.code_bytes for _, held in added)
        - sum(held.code_bytes for held in removed.values()),
    )
    _write(connection, collection.id, after)
    if added:
        _check_quota(connection, collection.tenant, before, after, default_quota)


def usage(connection: Connection, tenant: str) -> Usage:
    """Returns what a tenant holds in all its collections."""
    table = collections.c
    row = connection.execute(
        select(
            *(
                func.coalesce(func.sum(each), 0)
                for each in (
                    table.document_count,
                    table.chunk_count,
                    table.vector_bytes,
                    table.text_bytes,
                    table.code_bytes,
                )
            )
        ).where(table.tenant == tenant)
    ).one()
    return Usage(*map(int, row))


_QUOTA = select(tenants.c.max_vectors, tenants.c.max_bytes).where(
    tenants.c.tenant == bindparam("of")
)


def quota(connection: Connection, tenant: str, default: Quota = UNLIMITED) -> Quota:
    """Returns what a tenant may store: its own quota, or the default where it has none."""
    row = connection.execute(_QUOTA, {"of": tenant}).first()
    if row is None:
        return default
    return Quota(
        default.max_vectors if row[0] is None else row[0],
        default.max_bytes if row[1] is None else row[1],
    )


def set_quota(connection: Connection, tenant: str, wanted: Quota) -> None:
    """Gives a tenant a quota of its own; a bound that is None goes back to the default."""
    connection.execute(
        upserts(connection)(tenants)
        .values(tenant=tenant, seq=0, max_vectors=wanted.max_vectors, max_bytes=wanted.max_bytes)
        .on_conflict_do_update(
            index_elements=["tenant"],
            set_={"max_vectors": wanted.max_vectors, "max_bytes": wanted.max_bytes},
        )
    )


_SET_COUNTS = update(collections).where(collections.c.id == bindparam("of"))


def _write(connection: Connection, collection_id: int, after: Counts) -> None:
    connection.execute(
        _SET_COUNTS,
        {
            "of": collection_id,
            "seq": after.seq,
            "document_count": after.checksum.documents,
            "chunk_count": after.checksum.chunks,
            "checksum_xor": to_signed(after.checksum.xor),
            "checksum_sum": to_signed(after.checksum.sum),
            "vector_bytes": after.vector_bytes,
            "text_bytes": after.text_bytes,
            "code_bytes": after.code_bytes,
        },
    )


def _check_quota(
    connection: Connection, tenant: str, before: Counts, after: Counts, default: Quota
) -> None:
    """Refuses a write that leaves the tenant above its quota and does not shrink what it holds."""
    allowed = quota(connection, tenant, default)
    if allowed == UNLIMITED:
        return
    held_now = usage(connection, tenant)
    bounds = (
        (
            "vectors",
            allowed.max_vectors,
            held_now.chunks,
            before.checksum.chunks,
            after.checksum.chunks,
        ),
        ("bytes", allowed.max_bytes, held_now.nbytes, before.nbytes, after.nbytes),
    )
    for unit, limit, used, was, now in bounds:
        if limit is not None and used > limit and now > was:
            raise ResourceExhaustedError(
                Reason.QUOTA_EXCEEDED,
                f"the tenant would store {used} {unit} of {limit} allowed: delete documents, "
                "or have its quota raised",
                metadata={"quota": unit, "limit": str(limit), "used": str(used - now + was)},
            )
