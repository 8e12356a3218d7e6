"""Reads the text of found chunks, and proves that each is still the truth."""

from __future__ import annotations

import functools
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import Connection, TextClause, text
from sqlalchemy.exc import SQLAlchemyError

from services.retrieval.queries import Passage
from services.retrieval.store import chunk_table, codec
from services.retrieval.store.chunk_table import ChunkEntry
from services.sql import bulk

if TYPE_CHECKING:
    from services.sql.direct import DirectReads

_WHOLE_BYTES = 64 << 10
"""Texts up to this size are read whole and cut here; of longer ones the database cuts passages."""
_CUTS_PER_STATEMENT = 200
_FEW = 64
"""Documents that are read in one row: 4 MB at most."""


def _few(metadata: str) -> str:
    # Only the name of a column is put into the text.
    return (
        "SELECT json_group_array(json_array(document_id, version, chunk_count, title, uri, "  # noqa: S608 - see above
        f"{metadata}, hex(chunks), CASE WHEN text_bytes <= ? THEN text END)) "
        "FROM retrieval_documents WHERE collection_id = ? "
        "AND document_id IN (SELECT value FROM json_each(?))"
    )


_FEW_WITH_METADATA, _FEW_WITHOUT = _few("metadata"), _few("NULL")

_CODES_FROM = (
    # SQLite keeps the order of tables in a CROSS JOIN; by its own choice it would go through all
    # codes of the collection, seconds for some thousand chunks.
    "CROSS JOIN retrieval_documents d CROSS JOIN retrieval_token_codes c "
    "WHERE d.collection_id = :collection AND d.document_id = wanted.first "
    "AND c.collection_id = :collection AND c.document_id = wanted.first "
    "AND c.ordinal = wanted.second"
)
_FEW_CODES = (
    "SELECT json_group_array(json_array(d.document_id, d.version, c.ordinal, length(c.codes))), "  # noqa: S608 - only what stands here is put into the text
    "CAST(group_concat(c.codes, '') AS BLOB) "
    f"FROM {bulk.sqlite_pair_table('wanted')} {_CODES_FROM}"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A chunk of one version of a document."""

    document_id: str
    version: int
    ordinal: int


class _Found(NamedTuple):
    """A document that holds wanted chunks."""

    version: int
    chunk_count: int
    title: str
    uri: str
    metadata: str | None
    chunks: bytes
    text: str | None
    """None: too long to be read whole."""


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
    ids = list(dict.fromkeys(each.document_id for each in wanted))
    documents = _documents(connection, collection_id, ids, with_metadata=with_metadata)
    entries = [_entry(each, documents.get(each.document_id)) for each in wanted]
    long = [
        (place, each.document_id, entry.start, entry.end)
        for place, (each, entry) in enumerate(zip(wanted, entries, strict=True))
        if entry is not None and documents[each.document_id].text is None
    ]
    cuts = _cut(connection, collection_id, long) if long else {}
    return _passages(wanted, documents, entries, cuts)


def fetch_few(
    direct: DirectReads, collection_id: int, wanted: Sequence[Wanted], *, with_metadata: bool
) -> list[Passage | None] | None:
    """Returns what `fetch` does, by one statement that gives one row; only on SQLite.

    Its driver gives up the interpreter's lock for each row, and waits for it each time beside
    threads that compute: ten rows one by one made half of what a search took beside others.

    Returns:
        None where `fetch` is to be asked: there are many, one is long, or the database fails.
    """
    ids = list(dict.fromkeys(each.document_id for each in wanted))
    if len(ids) > _FEW:
        return None
    try:
        (found,) = direct.row(
            _FEW_WITH_METADATA if with_metadata else _FEW_WITHOUT,
            (_WHOLE_BYTES, collection_id, json.dumps(ids, ensure_ascii=False)),
        )
    except (sqlite3.Error, SQLAlchemyError):
        return None  # whoever asks again tells what is wrong
    documents = {
        name: _Found(version, count, title, uri, metadata, bytes.fromhex(chunks), whole)
        for name, version, count, title, uri, metadata, chunks, whole in json.loads(found)
    }
    if any(each.text is None for each in documents.values()):
        return None
    entries = [_entry(each, documents.get(each.document_id)) for each in wanted]
    return _passages(wanted, documents, entries, {})


def _passages(
    wanted: Sequence[Wanted],
    documents: Mapping[str, _Found],
    entries: Sequence[ChunkEntry | None],
    cuts: Mapping[int, str],
) -> list[Passage | None]:
    """Returns passages by the documents that hold them; `cuts` are those of long texts."""
    metadata = {
        key: codec.load_metadata(each.metadata) if each.metadata is not None else {}
        for key, each in documents.items()
    }
    found: list[Passage | None] = []
    for place, (each, entry) in enumerate(zip(wanted, entries, strict=True)):
        if entry is None:
            found.append(None)
            continue
        document = documents[each.document_id]
        whole = document.text
        found.append(
            Passage(
                document_id=each.document_id,
                document_version=each.version,
                chunk_id=entry.chunk_id,
                ordinal=each.ordinal,
                start=entry.start,
                end=entry.end,
                text=cuts[place] if whole is None else whole[entry.start : entry.end],
                title=document.title,
                uri=document.uri,
                heading_path=entry.heading_path,
                page=entry.page,
                metadata=metadata[each.document_id],
            )
        )
    return found


def token_codes(
    connection: Connection, collection_id: int, wanted: Sequence[Wanted]
) -> list[bytes]:
    """Returns the token codes of chunks in order, in one read; empty where there are none.

    Documents of another version count as having none.
    """
    versions = {each.document_id: each.version for each in wanted}
    found: dict[tuple[str, int], bytes] = {}
    pairs = [(each.document_id, each.ordinal) for each in wanted]
    rows = connection.execute(
        # Only a table made here is put into the text; all values are bound. Chunk by chunk: a code
        # that is not asked for is 8 kB read for nothing.
        text(
            "SELECT d.document_id, d.version, c.ordinal, c.codes "  # noqa: S608 - see above
            f"FROM {bulk.pair_table(connection, 'wanted')} {_CODES_FROM}"
        ),
        {"collection": collection_id, **bulk.bind_pairs(connection, "wanted", pairs)},
    )
    for document_id, version, ordinal, codes in rows:
        if versions[document_id] == version:
            found[document_id, ordinal] = codes
    return [found.get((each.document_id, each.ordinal), b"") for each in wanted]


def few_token_codes(
    direct: DirectReads, collection_id: int, wanted: Sequence[Wanted]
) -> list[bytes] | None:
    """Returns what `token_codes` does, by one statement that gives one row; only on SQLite.

    Returns:
        None where `token_codes` is to be asked: there are many, or the database fails.
    """
    if len(wanted) > _FEW:
        return None
    pairs = json.dumps([(each.document_id, each.ordinal) for each in wanted], ensure_ascii=False)
    try:
        heads, joined = direct.row(_FEW_CODES, {"wanted": pairs, "collection": collection_id})
    except (sqlite3.Error, SQLAlchemyError):
        return None  # whoever asks again tells what is wrong
    versions = {each.document_id: each.version for each in wanted}
    codes = memoryview(joined or b"")
    found: dict[tuple[str, int], bytes] = {}
    for document_id, version, ordinal, size in json.loads(heads):
        if versions[document_id] == version:
            found[document_id, ordinal] = bytes(codes[:size])
        codes = codes[size:]
    if len(codes):
        return None  # not what was written down: never guess
    return [found.get((each.document_id, each.ordinal), b"") for each in wanted]


def _documents(
    connection: Connection, collection_id: int, ids: Sequence[str], *, with_metadata: bool
) -> dict[str, _Found]:
    rows = connection.execute(
        text(
            "SELECT document_id, version, chunk_count, title, uri, "  # noqa: S608 - as above
            f"{'metadata' if with_metadata else 'NULL'}, chunks, "
            "CASE WHEN text_bytes <= :whole THEN text END "
            "FROM retrieval_documents WHERE collection_id = :collection "
            f"AND {bulk.among(connection, 'document_id')}"
        ),
        {"collection": collection_id, "whole": _WHOLE_BYTES, "ids": bulk.bind(connection, ids)},
    )
    return {row[0]: _Found(*row[1:]) for row in rows}


def _entry(wanted: Wanted, document: _Found | None) -> ChunkEntry | None:
    if document is None or document.version != wanted.version:
        return None
    if wanted.ordinal >= document.chunk_count:
        return None
    return chunk_table.entry(document.chunks, document.chunk_count, wanted.ordinal)


def _cut(
    connection: Connection, collection_id: int, spans: Sequence[tuple[int, str, int, int]]
) -> dict[int, str]:
    """Returns pieces of long texts by their places; spans are (place, document, start, end)."""
    found: dict[int, str] = {}
    for first in range(0, len(spans), _CUTS_PER_STATEMENT):
        part = spans[first : first + _CUTS_PER_STATEMENT]
        parameters: dict[str, object] = {"collection": collection_id}
        for number, (_, document_id, start, end) in enumerate(part):
            parameters[f"d{number}"] = document_id
            parameters[f"s{number}"] = start + 1
            parameters[f"n{number}"] = end - start
        for row in connection.execute(_cut_statement(len(part)), parameters):
            found[part[row[0]][0]] = row[1]
    return found


@functools.lru_cache(maxsize=_CUTS_PER_STATEMENT)
def _cut_statement(count: int) -> TextClause:
    """Returns the query for so many spans; making one costs more than running it."""
    rows = ", ".join(
        f"({number}, CAST(:d{number} AS TEXT), CAST(:s{number} AS INTEGER), "
        f"CAST(:n{number} AS INTEGER))"
        for number in range(count)
    )
    # Only numbers counted here are put into the text; all values are bound.
    return text(
        f"""
        WITH wanted (place, document_id, first, count) AS (VALUES {rows})
        SELECT w.place, substr(d.text, w.first, w.count)
        FROM wanted w
        JOIN retrieval_documents d ON d.collection_id = :collection
          AND d.document_id = w.document_id
        """  # noqa: S608 - see above
    )
