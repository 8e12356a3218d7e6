"""Saved states without their dead rows."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from services.retrieval.view import postings, texts
from services.retrieval.view.columns import KeywordColumn, NumberColumn, TagsColumn
from services.retrieval.view.texts import TextPart

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.retrieval.view.columns import Column
    from services.retrieval.view.postings import Postings
    from services.retrieval.view.rows import Rows
    from services.retrieval.view.texts import TextTable


def live_chunks(rows: Rows) -> NDArray[np.int64]:
    """Returns the chunk rows that live, ascending."""
    return np.flatnonzero(rows.live_chunks.rows(rows.chunk_count))


def compact(rows: Rows, about: dict[str, Any]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Returns the arrays of a state with the living rows only, and what they do not say.

    Vectors are left out: they are all in one segment, or in the array of the newest rows.

    Args:
        rows: As read from a state, with one part of each table.
        about: What that state says of its arrays.
    """
    documents, chunks = rows.document_count, rows.chunk_count
    alive = np.flatnonzero(rows.live.rows(documents))
    chosen = live_chunks(rows)
    new_document = _renumbered(documents, alive)
    new_chunk = _renumbered(chunks, chosen)
    counts = rows.chunk_counts.rows(documents)[alive]
    count = len(alive)
    order = np.arange(count, dtype=np.int32)
    arrays: dict[str, NDArray[Any]] = {
        "id_codes": order,
        "newest": order,
        "previous": np.empty((0, 2), np.int32),
        "versions": rows.versions.rows(documents)[alive],
        "first_chunks": (np.cumsum(counts) - counts).astype(np.int32),
        "chunk_counts": counts,
        "document_of": new_document[rows.document_of.rows(chunks)[chosen]].astype(np.int32),
        "ordinals": rows.ordinals.rows(chunks)[chosen],
        "live": np.ones(count, np.bool_),
        "live_chunks": np.ones(len(chosen), np.bool_),
        "lengths": rows.keywords.lengths.rows(chunks)[chosen],
    }
    if rows.expires is not None:
        arrays["expires"] = rows.expires.rows(documents)[alive]
    _add_table(arrays, "ids", _select(rows.id_table, rows.id_codes.rows(documents)[alive]))
    _add_lists(arrays, "terms", "words", rows.keywords.terms, rows.keywords.postings, new_chunk)
    _add_column(arrays, "acl", rows.acl, alive, new_document)
    _add_column(arrays, "uri", rows.uris, alive, new_document)
    for number, column in enumerate(rows.fields.values()):
        _add_column(arrays, f"field{number}", column, alive, new_document)
    described = dict(about)
    described |= {"documents": count, "chunks": len(chosen), "checksum": asdict(rows.checksum)}
    return arrays, described


def _add_column(
    arrays: dict[str, NDArray[Any]],
    name: str,
    column: Column,
    alive: NDArray[np.int64],
    new_document: NDArray[np.int64],
) -> None:
    count = len(new_document)
    if isinstance(column, KeywordColumn):
        codes = column.codes(count)[alive]
        used = np.unique(codes[codes >= 0])
        new_code = np.full(column.table.size + 1, -1, np.int32)  # the last place stands for null
        new_code[used] = np.arange(len(used))
        arrays[f"{name}.codes"] = new_code[codes]
        _add_table(arrays, f"{name}.texts", _select(column.table, used))
    elif isinstance(column, TagsColumn):
        arrays[f"{name}.present"] = column.present(count)[alive]
        tags = column.postings
        _add_lists(arrays, f"{name}.texts", f"{name}.rows", tags.table, tags.rows, new_document)
    elif isinstance(column, NumberColumn):
        arrays[f"{name}.values"] = column.values(count)[alive]
        arrays[f"{name}.present"] = column.present(count)[alive]


def _add_lists(
    arrays: dict[str, NDArray[Any]],
    table_name: str,
    list_name: str,
    table: TextTable,
    lists: Postings,
    new_row: NDArray[np.int64],
) -> None:
    """Adds the texts that still have rows, and their rows."""
    kept = postings.keep_rows(postings.merge_parts(lists.parts), new_row)
    _add_table(arrays, table_name, _select(table, kept.keys))
    described = kept.arrays()
    described["keys"] = np.arange(len(kept.keys), dtype=np.uint32)
    arrays |= {f"{list_name}.{key}": array for key, array in described.items()}


def _add_table(arrays: dict[str, NDArray[Any]], name: str, part: TextPart) -> None:
    arrays |= {f"{name}.{key}": array for key, array in part.arrays().items()}


def _select(table: TextTable, codes: NDArray[Any]) -> TextPart:
    """Returns a table of the texts of some codes, in their order."""
    if not table.parts:
        return texts.make_part(0, ())
    whole = texts.merge_parts(table.parts)
    codes = codes.astype(np.int64)
    starts = whole.offsets[codes]
    lengths = whole.offsets[codes + 1] - starts
    offsets = np.zeros(len(codes) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    places = np.arange(int(offsets[-1])) + np.repeat(starts - offsets[:-1], lengths)
    hash_of = np.empty(len(whole.order), np.uint64)
    hash_of[whole.order] = whole.hashes
    hashes = hash_of[codes]
    order = np.argsort(hashes, kind="stable").astype(np.int32)
    return TextPart(0, whole.blob[places], offsets, hashes[order], order)


def _renumbered(count: int, kept: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the new number of each row; -1: it is left out."""
    numbers = np.full(count, -1, np.int64)
    numbers[kept] = np.arange(len(kept))
    return numbers
