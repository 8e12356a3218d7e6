"""What Milvus found, held against SQL: only what is committed, readable and matching leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from services.retrieval.history import VECTORS_COMPARED
from services.retrieval.milvus.matching import Candidate, matches
from services.retrieval.queries import Passage, Query, SearchOptions
from services.retrieval.store import contents
from services.retrieval.store.passages import Wanted, fetch, token_codes
from services.retrieval.store.store import now_micros

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sqlalchemy import Connection

    from services.retrieval.collections import Collection
    from services.retrieval.documents import Document
    from services.retrieval.history import History
    from services.retrieval.likeness import Likeness
    from services.retrieval.search import Reach


@dataclass(frozen=True, slots=True)
class Proof:
    """Chunks that are the truth and may be told."""

    passages: Mapping[Wanted, Passage]
    token_codes: Mapping[Wanted, bytes]


def prove(
    connection: Connection,
    collection: Collection,
    reach: Reach,
    asked: Sequence[Wanted],
    options: SearchOptions,
) -> Proof:
    """Reads chunks of documents that still have that version, may be read, and match the filter.

    Args:
        connection: Open on one state of the database.
        collection: Where they are.
        reach: Who reads.
        asked: What Milvus found.
        options: With the filter.
    """
    ids = list(dict.fromkeys(each.document_id for each in asked))
    fields = collection.settings.fields
    allowed = {
        each.document_id: each.version
        for each in _documents(connection, collection, reach, ids)
        if options.filter is None
        or matches(options.filter, Candidate(each.document_id, each.uri, each.metadata), fields)
    }
    rest = [each for each in asked if allowed.get(each.document_id) == each.version]
    texts = fetch(connection, collection.id, rest, with_metadata=options.include_metadata)
    there = {each: text for each, text in zip(rest, texts, strict=True) if text is not None}
    codes: dict[Wanted, bytes] = {}
    if options.token_codes_top_k and there:
        found = token_codes(connection, collection.id, list(there))
        codes = dict(zip(there, found, strict=True))
    return Proof(there, codes)


def mean_query(
    connection: Connection, collection: Collection, reach: Reach, likeness: Likeness
) -> Query:
    """Returns the mean of what is liked less the mean of what is not.

    Raises:
        NotFoundError: nothing of what is liked exists with a vector.
    """
    given = (*likeness.positive_ids, *likeness.negative_ids)
    found = _documents(connection, collection, reach, given, with_vectors=True)
    means = {each.document_id: _mean(each) for each in found if each.chunks}
    positive, negative = (
        [means[each] for each in ids if each in means]
        for ids in (likeness.positive_ids, likeness.negative_ids)
    )
    return likeness.mean(positive, negative)


def past_vectors(
    connection: Connection, collection: Collection, reach: Reach, past: History
) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]:
    """Returns unit vectors of each document liked, and disliked, that may be read."""
    given = (*past.liked_ids, *past.disliked_ids)
    found = _documents(connection, collection, reach, given, with_vectors=True)
    known = {each.document_id: _some(_unit_rows(each)) for each in found if each.chunks}
    liked, disliked = (
        [known[each] for each in ids if each in known]
        for ids in (past.liked_ids, past.disliked_ids)
    )
    return liked, disliked


def _documents(
    connection: Connection,
    collection: Collection,
    reach: Reach,
    ids: Sequence[str],
    *,
    with_vectors: bool = False,
) -> list[Document]:
    readers = frozenset(reach.principals)
    return contents.read(
        connection,
        collection.id,
        ids,
        may_read=lambda acl: not readers.isdisjoint(acl),
        now_micros=now_micros(),
        with_text=False,
        with_chunks=with_vectors,
        with_vectors=with_vectors,
    )


def _mean(document: Document) -> NDArray[np.float32]:
    """Returns the mean of a document's unit vectors."""
    return _unit_rows(document).mean(axis=0).astype(np.float32)


def _some(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    """Returns rows spread evenly, few enough to be compared."""
    return rows[:: -(-len(rows) // VECTORS_COMPARED)].astype(np.float32)


def _unit_rows(document: Document) -> NDArray[np.float64]:
    flat = np.frombuffer(b"".join(chunk.vector for chunk in document.chunks), "<f4")
    wide = flat.reshape(len(document.chunks), -1).astype(np.float64)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)
