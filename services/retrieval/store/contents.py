"""Whole documents out of SQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from services.retrieval.documents import Chunk, Document
from services.retrieval.store import chunk_table, codec, counts

_COLUMNS = (
    "document_id, version, committed_micros, expires_micros, title, uri, metadata, acl, "
    "content_hash, chunk_count"
)


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
    with_codes: bool = True,
) -> list[Document]:
    """Returns the documents that exist, live and may be read, in the order of the ids.

    Args:
        connection: An open transaction.
        collection_id: Where they are.
        ids: Wanted documents.
        may_read: Whether an access list lets the caller read.
        now_micros: Documents whose time ended by then are left out.
        with_text: Whether to read their texts.
        with_chunks: Whether to read their chunks.
        with_vectors: Whether the chunks get their vectors.
        with_codes: Whether those that do get their token codes as well, 20 times as many bytes.
    """
    wanted = [_COLUMNS, "text" if with_text else "''"]
    wanted.append("chunks" if with_chunks else "NULL")
    wanted.append("vectors" if with_chunks and with_vectors else "NULL")
    # Only names of columns are put into the text; all values are bound.
    statement = f"SELECT {', '.join(wanted)} FROM retrieval_documents"  # noqa: S608 - see above
    rows = counts.execute_for(connection, statement, collection_id, ids)
    found: dict[str, Document] = {}
    for row in rows:
        expires, acl = row[3], codec.load_acl(row[7])
        if (expires is None or expires > now_micros) and may_read(acl):
            found[row[0]] = _document(row, acl)
    if with_chunks and with_vectors and with_codes:
        codes = _codes(connection, collection_id, list(found))
        found = {key: _with_codes(each, codes.get(key, {})) for key, each in found.items()}
    return [found[each] for each in ids if each in found]


def chunk_counts(connection: Connection, collection_id: int, ids: Sequence[str]) -> dict[str, int]:
    """Returns how many chunks each of the documents has, without reading them."""
    statement = "SELECT document_id, chunk_count FROM retrieval_documents"
    rows = counts.execute_for(connection, statement, collection_id, ids)
    return {row[0]: row[1] for row in rows}


def _document(row: Any, acl: tuple[str, ...]) -> Document:
    return Document(
        document_id=row[0],
        version=row[1],
        committed_micros=row[2],
        expires_micros=row[3],
        title=row[4],
        uri=row[5],
        metadata=codec.load_metadata(row[6]),
        acl=acl,
        content_hash=row[8],
        text=row[10],
        chunks=() if row[11] is None else _chunks(row[11], row[9], row[12]),
    )


def _chunks(packed: bytes, count: int, vectors: bytes | None) -> tuple[Chunk, ...]:
    size = len(vectors) // count if vectors and count else 0
    return tuple(
        Chunk(
            chunk_id=each.chunk_id,
            start=each.start,
            end=each.end,
            vector=b"" if vectors is None else vectors[place * size : (place + 1) * size],
            heading_path=each.heading_path,
            page=each.page,
        )
        for place, each in enumerate(chunk_table.unpack(packed, count))
    )


def _codes(
    connection: Connection, collection_id: int, ids: Sequence[str]
) -> dict[str, dict[int, bytes]]:
    rows = counts.execute_for(
        connection,
        "SELECT document_id, ordinal, codes FROM retrieval_token_codes",
        collection_id,
        ids,
    )
    found: dict[str, dict[int, bytes]] = {}
    for document_id, ordinal, codes in rows:
        found.setdefault(document_id, {})[ordinal] = codes
    return found


def _with_codes(document: Document, codes: dict[int, bytes]) -> Document:
    if not codes:
        return document
    chunks = tuple(
        replace(chunk, token_codes=codes.get(ordinal, b""))
        for ordinal, chunk in enumerate(document.chunks)
    )
    return replace(document, chunks=chunks)
