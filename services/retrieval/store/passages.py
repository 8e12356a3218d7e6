"""Reads the text of found chunks, and proves that each is still the truth."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, TextClause, text

from services.retrieval.queries import Passage
from services.retrieval.store import codec

_PER_STATEMENT = 200


@dataclass(frozen=True, slots=True)
class Wanted:
    """A chunk of one version of a document."""

    document_id: str
    version: int
    ordinal: int


def fetch(
    connection: Connection,
    collection_id: int,
    wanted: Sequence[Wanted],
    *,
    with_metadata: bool,
) -> list[Passage | None]:
    """Returns the passages in order; None where the document is gone or has another version.

    A view may be some milliseconds behind. What is read here is the committed truth, so a document
    that was deleted or whose readers changed is never answered with, on any replica, once that was
    acknowledged.
    """
    found: list[Passage | None] = []
    for start in range(0, len(wanted), _PER_STATEMENT):
        part = wanted[start : start + _PER_STATEMENT]
        found += _fetch_part(connection, collection_id, part, with_metadata=with_metadata)
    return found


def _fetch_part(
    connection: Connection, collection_id: int, wanted: Sequence[Wanted], *, with_metadata: bool
) -> list[Passage | None]:
    parameters: dict[str, object] = {"collection": collection_id}
    for place, each in enumerate(wanted):
        parameters[f"d{place}"] = each.document_id
        parameters[f"v{place}"] = each.version
        parameters[f"o{place}"] = each.ordinal
    statement = _statement(len(wanted), with_metadata=with_metadata)
    found: list[Passage | None] = [None] * len(wanted)
    for row in connection.execute(statement, parameters):
        each = wanted[row.place]
        found[row.place] = Passage(
            document_id=each.document_id,
            document_version=each.version,
            chunk_id=row.chunk_id,
            ordinal=each.ordinal,
            start=row.start_at,
            end=row.end_at,
            text=row.passage,
            title=row.title,
            uri=row.uri,
            heading_path=codec.load_texts(row.heading_path),
            page=row.page,
            metadata=codec.load_metadata(row.metadata) if row.metadata is not None else {},
        )
    return found


@functools.lru_cache(maxsize=2 * _PER_STATEMENT)
def _statement(count: int, *, with_metadata: bool) -> TextClause:
    """Returns the query for so many chunks; making one costs more than running it."""
    rows = ", ".join(
        f"({place}, CAST(:d{place} AS TEXT), CAST(:v{place} AS BIGINT), CAST(:o{place} AS INTEGER))"
        for place in range(count)
    )
    # Only numbers counted here are put into the text; all values are bound.
    return text(
        f"""
        WITH wanted (place, document_id, version, ordinal) AS (VALUES {rows})
        SELECT w.place, d.title, d.uri, c.chunk_id, c.start_at, c.end_at, c.heading_path, c.page,
               {"d.metadata" if with_metadata else "NULL"} AS metadata,
               substr(d.text, CAST(c.start_at + 1 AS INTEGER),
                      CAST(c.end_at - c.start_at AS INTEGER)) AS passage
        FROM wanted w
        JOIN retrieval_documents d ON d.collection_id = :collection
          AND d.document_id = w.document_id AND d.version = w.version
        JOIN retrieval_chunks c ON c.collection_id = :collection
          AND c.document_id = w.document_id AND c.ordinal = w.ordinal
        """  # noqa: S608 - see above
    )
