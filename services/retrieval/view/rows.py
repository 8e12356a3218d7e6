"""The rows of a view: documents and chunks in columns that only grow.

A new version of a document gets new rows; the old ones are marked dead in the next published state.
One thread appends; readers hold a `Snapshot`, which fixes how many rows exist and which of them
live, and never wait.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from services.filters.values import INT64_MAX
from services.retrieval.keyword.index import KeywordIndex
from services.retrieval.view.arrays import GrowingArray
from services.retrieval.view.columns import Column, KeywordColumn, TagsColumn, new_column

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from services.filters.values import FieldType
    from services.retrieval.hnsw import Segment
    from services.retrieval.store.changes import DocumentState

_CACHED_MASKS = 64


class MaskCache:
    """The most recent masks of one snapshot, by what they stand for."""

    def __init__(self) -> None:
        self._masks: OrderedDict[Any, NDArray[np.bool_]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Any, make: Callable[[], NDArray[np.bool_]]) -> NDArray[np.bool_]:
        """Returns the mask for a key, made when it is not there. Callers must not change it."""
        with self._lock:
            mask = self._masks.get(key)
            if mask is not None:
                self._masks.move_to_end(key)
                return mask
        mask = make()
        mask.flags.writeable = False
        with self._lock:
            self._masks[key] = mask
            if len(self._masks) > _CACHED_MASKS:
                self._masks.popitem(last=False)
        return mask


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One published state of a view."""

    rows: Rows
    document_count: int
    """Document rows in this state, dead ones included."""
    chunk_count: int
    """Chunk rows in this state, dead ones included."""
    live: NDArray[np.bool_]
    """Which document rows hold the newest version of a document that exists."""
    live_documents: int
    live_chunks: int
    live_terms: int
    """Words in live chunks, for the mean length."""
    seq: int
    """Newest write of the collection in this state."""
    tenant_seq: int
    """Number up to which the tenant's writes are known to be in here or in other collections."""
    segments: tuple[Segment, ...]
    """Graphs over leading chunk rows; rows after them are scanned."""
    masks: MaskCache = field(default_factory=MaskCache)

    @property
    def vectors(self) -> NDArray[np.float32]:
        """Unit vectors of the chunk rows, (chunks, dimensions) float32."""
        return self.rows.vectors.rows(self.chunk_count)

    @property
    def document_of(self) -> NDArray[np.int32]:
        """Document row of each chunk row."""
        return self.rows.document_of.rows(self.chunk_count)

    @property
    def ordinals(self) -> NDArray[np.int32]:
        """Position of each chunk row in its document."""
        return self.rows.ordinals.rows(self.chunk_count)

    @property
    def chunks_per_document(self) -> NDArray[np.int32]:
        """Chunks of each document row."""
        return self.rows.chunk_counts.rows(self.document_count)

    @property
    def dead_chunks(self) -> int:
        """Chunk rows of replaced and deleted documents."""
        return self.chunk_count - self.live_chunks

    def row_of(self, document_id: str) -> int | None:
        """Returns the live row of a document, or None."""
        row = self.rows.newest_row.get(document_id, -1)
        while row >= self.document_count:
            row = int(self.rows.previous[row])
        return row if row >= 0 and self.live[row] else None

    def chunks_of(self, row: int) -> range:
        """Returns the chunk rows of a document row."""
        first = int(self.rows.first_chunks.rows(self.document_count)[row])
        return range(first, first + int(self.chunks_per_document[row]))


class Rows:
    """Columns of one collection. One thread appends.

    Args:
        dimensions: Numbers in a vector.
        language: Snowball language of the keyword index.
    """

    def __init__(self, dimensions: int, language: str) -> None:
        self.dimensions = dimensions
        self.ids: list[str] = []
        self.newest_row: dict[str, int] = {}
        self.previous: list[int] = []
        """Row of the former version of each document row; -1: none."""
        self.versions = GrowingArray(np.int64)
        self.expires = GrowingArray(np.int64)
        self.first_chunks = GrowingArray(np.int64)
        self.chunk_counts = GrowingArray(np.int32)
        self.acl = TagsColumn()
        self.uris = KeywordColumn()
        self.fields: dict[str, Column] = {}
        self.document_of = GrowingArray(np.int32)
        self.ordinals = GrowingArray(np.int32)
        self.vectors = GrowingArray(np.float32, dimensions)
        self.keywords = KeywordIndex(language)
        self._live = GrowingArray(np.bool_)
        self._live_documents = self._live_chunks = self._live_terms = 0
        self._has_expiring = False

    @property
    def has_expiring(self) -> bool:
        """Whether any document ever had an end of its time."""
        return self._has_expiring

    def append(self, document: DocumentState) -> None:
        """Adds a document version and retires the one before."""
        row = len(self.ids)
        first = self.vectors.size
        self.retire(document.document_id)
        self.previous.append(self.newest_row.get(document.document_id, -1))
        self.ids.append(document.document_id)
        self.versions.append(document.version)
        expires = document.expires_micros
        self.expires.append(INT64_MAX if expires is None else expires)
        self._has_expiring |= expires is not None
        self.first_chunks.append(first)
        self.chunk_counts.append(len(document.chunks))
        self.acl.put(row, frozenset(document.acl))
        if document.uri:
            self.uris.put(row, document.uri)
        for name, value in document.metadata.items():
            if value is not None and name in self.fields:
                self.fields[name].put(row, value)
        self._append_chunks(row, document)
        self._live.append(True)
        self._live_documents += 1
        self._live_chunks += len(document.chunks)
        self._live_terms += self.keywords.length_between(first, self.vectors.size)
        self.newest_row[document.document_id] = row

    def retire(self, document_id: str) -> None:
        """Marks a document's newest row as dead, if it lives."""
        row = self.newest_row.get(document_id, -1)
        if row < 0 or not self._live.rows(row + 1)[row]:
            return
        self._live.rows(row + 1)[row] = False
        first = int(self.first_chunks.rows(row + 1)[row])
        count = int(self.chunk_counts.rows(row + 1)[row])
        self._live_documents -= 1
        self._live_chunks -= count
        self._live_terms -= self.keywords.length_between(first, first + count)

    def ensure_fields(self, fields: Iterable[tuple[str, FieldType]]) -> None:
        """Adds columns for fields that are new."""
        for name, kind in fields:
            if name not in self.fields:
                self.fields[name] = new_column(kind)

    def publish(self, seq: int, tenant_seq: int, segments: tuple[Segment, ...]) -> Snapshot:
        """Returns the present state."""
        count = len(self.ids)
        for column in (self.acl, self.uris, *self.fields.values()):
            column.pad(count)
        live = self._live.rows(count).copy()
        live.flags.writeable = False
        return Snapshot(
            rows=self,
            document_count=count,
            chunk_count=self.vectors.size,
            live=live,
            live_documents=self._live_documents,
            live_chunks=self._live_chunks,
            live_terms=self._live_terms,
            seq=seq,
            tenant_seq=tenant_seq,
            segments=segments,
        )

    @property
    def nbytes(self) -> int:
        """About the bytes used."""
        arrays = (
            *(self.versions, self.expires, self.first_chunks, self.chunk_counts),
            *(self.document_of, self.ordinals, self.vectors, self._live),
        )
        columns: Sequence[Column] = (self.acl, self.uris, *self.fields.values())
        return (
            sum(each.nbytes for each in arrays)
            + sum(each.nbytes for each in columns)
            + self.keywords.nbytes
            + 250 * len(self.ids)
        )

    def _append_chunks(self, row: int, document: DocumentState) -> None:
        if not document.chunks:
            return
        vectors = np.frombuffer(document.vectors, np.float32)
        self.vectors.extend(unit_rows(vectors.reshape(-1, self.dimensions)))
        for ordinal, chunk in enumerate(document.chunks):
            self.document_of.append(row)
            self.ordinals.append(ordinal)
            self.keywords.append(
                document.title, chunk.heading_path, document.text[chunk.start : chunk.end]
            )


def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the rows at length 1; zero rows stay zero.

    Args:
        vectors: (n, d) float32, finite.
    """
    # In double precision: the square of a large float32 overflows float32.
    wide = vectors.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    np.divide(wide, lengths, out=wide, where=lengths > 0)
    return wide.astype(np.float32)
