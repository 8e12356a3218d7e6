"""Reads a collection without searching: counts, facets, pages."""

from __future__ import annotations

import base64
import binascii
import bisect
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from services.filters.ast import Filter
from services.filters.values import FieldType, Value
from services.retrieval.store.passages import Wanted
from services.retrieval.view import masks
from services.retrieval.view.columns import KeywordColumn, NumberColumn, TagsColumn
from services.rpc.errors import InvalidArgumentError, Reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.retrieval.queries import Passage
    from services.retrieval.view.rows import Snapshot
    from services.retrieval.view.view import Published

_FACETED = {FieldType.KEYWORD, FieldType.TAGS, FieldType.BOOL, FieldType.INTEGER}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended."""

    document_id: str
    ordinal: int = -1
    """Last chunk of that document on the page; -1: none, its chunks come next."""


def visible(
    published: Published, principals: Sequence[str], tree: Filter | None, now_micros: int
) -> NDArray[np.bool_]:
    """Returns which document rows a scope may read and a filter lets through."""
    readable = masks.readable(published.snapshot, principals, now_micros)
    if tree is None:
        return readable
    fields = published.collection.settings.fields
    return readable & masks.matching(published.snapshot, tree, fields)


def matching(published: Published, tree: Filter) -> NDArray[np.bool_]:
    """Returns which document rows match a filter, whoever may read them, dead or alive."""
    return masks.matching(published.snapshot, tree, published.collection.settings.fields)


def matching_live(published: Published, tree: Filter) -> dict[str, int]:
    """Returns ids and versions of all documents that match, whoever may read them: for writers."""
    snapshot = published.snapshot
    fields = published.collection.settings.fields
    mask = snapshot.live & masks.matching(snapshot, tree, fields)
    versions = snapshot.rows.versions.rows(snapshot.document_count)
    return {snapshot.rows.ids[row]: int(versions[row]) for row in np.flatnonzero(mask).tolist()}


def count(snapshot: Snapshot, documents: NDArray[np.bool_]) -> tuple[int, int]:
    """Returns the numbers of documents and chunks."""
    chunks = int(snapshot.chunks_per_document[documents].sum())
    return int(np.count_nonzero(documents)), chunks


def facet(
    published: Published, field: str, documents: NDArray[np.bool_], limit: int
) -> list[tuple[Value, int]]:
    """Returns a field's values with their numbers of documents, the most frequent first.

    Raises:
        InvalidArgumentError: an unknown field, or one whose values are not counted.
    """
    snapshot = published.snapshot
    fields = published.collection.settings.fields
    kind, column = masks.column_of(snapshot, field, fields, "field")
    if kind not in _FACETED:
        raise InvalidArgumentError.for_field("field", f"{field!r} is a {kind.name}: not countable")
    counted: list[tuple[Value, int]] = []
    if isinstance(column, KeywordColumn):
        codes = column.codes(snapshot.document_count)[documents]
        texts = column.texts()
        numbers = np.bincount(codes[codes >= 0], minlength=len(texts))
        counted = [(texts[code], int(numbers[code])) for code in np.flatnonzero(numbers)]
    elif isinstance(column, TagsColumn):
        for tag in column.postings.keys():  # noqa: SIM118 - it is no dict
            rows = column.postings.get(tag, snapshot.document_count)
            counted.append((tag, int(np.count_nonzero(documents[rows]))))
    elif isinstance(column, NumberColumn):
        chosen = documents & column.present(snapshot.document_count)
        values, numbers = np.unique(
            column.values(snapshot.document_count)[chosen], return_counts=True
        )
        make = bool if kind is FieldType.BOOL else int
        counted = [(make(v), int(n)) for v, n in zip(values, numbers, strict=True)]
    present = [pair for pair in counted if pair[1]]
    return sorted(present, key=lambda pair: (-pair[1], pair[0]))[:limit]  # pyright: ignore[reportArgumentType]


def document_page(
    snapshot: Snapshot, documents: NDArray[np.bool_], after: Place | None, size: int
) -> list[str]:
    """Returns the next document ids in their order."""
    ids, rows = snapshot.masks.get("ids in order", lambda: _ids_in_order(snapshot))
    first = 0 if after is None else bisect.bisect_right(ids, after.document_id)
    places = np.flatnonzero(documents[rows[first:]])[:size] + first
    return [ids[place] for place in places.tolist()]


def _ids_in_order(snapshot: Snapshot) -> tuple[list[str], NDArray[np.int64]]:
    """Returns the ids of the live documents in their order, and the rows of each."""
    rows = np.flatnonzero(snapshot.live)
    known = snapshot.rows.ids
    pairs = sorted(zip((known[row] for row in rows.tolist()), rows.tolist(), strict=True))
    return [each for each, _ in pairs], np.array([row for _, row in pairs], np.int64)


def vectors_of(snapshot: Snapshot, passages: Sequence[Passage]) -> NDArray[np.float32]:
    """Returns the vectors of passages found in a snapshot; zeros where one is not there."""
    rows = np.full(len(passages), -1, np.int64)
    for place, each in enumerate(passages):
        row = snapshot.row_of(each.document_id)
        if row is not None and each.ordinal < len(snapshot.chunks_of(row)):
            rows[place] = snapshot.chunks_of(row)[each.ordinal]
    vectors = np.zeros((len(passages), snapshot.rows.dimensions), np.float32)
    is_here = rows >= 0
    if is_here.any():
        vectors[is_here] = snapshot.vectors_of(rows[is_here])
    return vectors


def chunk_page(
    snapshot: Snapshot, documents: NDArray[np.bool_], after: Place | None, size: int
) -> list[Wanted]:
    """Returns the next chunks in the order of document id and ordinal."""
    page: list[Wanted] = []
    versions = snapshot.rows.versions.rows(snapshot.document_count)
    counts = snapshot.chunks_per_document
    if after is not None and after.ordinal >= 0:
        row = snapshot.row_of(after.document_id)
        if row is not None and documents[row]:
            page += [
                Wanted(after.document_id, int(versions[row]), ordinal)
                for ordinal in range(after.ordinal + 1, int(counts[row]))
            ]
    documents = documents & (counts > 0)
    # Each document has at least one chunk: `size` documents are enough.
    for document_id in document_page(snapshot, documents, after, size):
        if len(page) >= size:
            break
        row = snapshot.row_of(document_id)
        if row is not None:
            page += [
                Wanted(document_id, int(versions[row]), ordinal)
                for ordinal in range(int(counts[row]))
            ]
    return page[:size]


def page_key(*parts: object) -> str:
    """Returns what ties a page token to the list it belongs to."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def encode_token(place: Place, key: str) -> str:
    """Returns a page token."""
    text = json.dumps([key, place.document_id, place.ordinal])
    return base64.urlsafe_b64encode(text.encode()).decode()


def decode_token(token: str, key: str) -> Place | None:
    """Returns where the former page ended; None for the first page.

    Raises:
        InvalidArgumentError: the token was made by nobody, or for another list.
    """
    if not token:
        return None
    place = _read_token(token, key)
    if place is None:
        raise InvalidArgumentError.for_field(
            "page_token",
            "is not one that this list returned: begin again without it",
            Reason.INVALID_PAGE_TOKEN,
        )
    return place


def _read_token(token: str, key: str) -> Place | None:
    try:
        found = json.loads(base64.b64decode(token.encode(), altchars=b"-_", validate=True))
        token_key, document_id, ordinal = found
    except (ValueError, TypeError, binascii.Error, RecursionError):
        return None
    if token_key != key or not isinstance(document_id, str) or not isinstance(ordinal, int):
        return None
    return Place(document_id, ordinal)
