"""The rows of a view: documents and chunks in columns that only grow.

A new version of a document gets new rows; the old ones are marked dead in the next published state.
One thread appends; readers hold a `Snapshot`, which fixes how many rows exist and which of them
live, and never wait.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from services.filters.values import INT64_MAX
from services.retrieval.keyword.index import KeywordIndex
from services.retrieval.store.checksum import Checksum
from services.retrieval.vectors import Tier
from services.retrieval.view.arrays import GrowingArray
from services.retrieval.view.columns import Column, KeywordColumn, TagsColumn, new_column
from services.retrieval.view.mask_cache import GrowingMasks, MaskCache
from services.retrieval.view.memtable import Memtable, NewestRows, new_rows
from services.retrieval.view.recent import RecentDocuments
from services.retrieval.view.texts import ABSENT, TextTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from services.filters.values import FieldType, Value
    from services.retrieval.store.changes import DocumentState
    from services.retrieval.vectors import VectorSegment


@dataclass(frozen=True, slots=True)
class Part:
    """Vectors of the chunk rows first..last."""

    name: str
    """As explanations call it."""
    first: int
    last: int
    segment: VectorSegment
    tier: Tier = Tier.HOT

    @property
    def row_count(self) -> int:
        """Rows, dead ones included."""
        return self.last - self.first


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
    live_chunk_mask: NDArray[np.bool_]
    """Which chunk rows belong to live document rows."""
    live_documents: int
    live_chunks: int
    live_terms: int
    """Words in live chunks, for the mean length."""
    checksum: Checksum
    """Of the live documents."""
    seq: int
    """Newest write of the collection in this state."""
    tenant_seq: int
    """Number up to which the tenant's writes are known to be in here or in other collections."""
    segments: tuple[Part, ...]
    """Closed sets of vectors over leading chunk rows, in their order."""
    memtable: Memtable
    """Vectors of the chunk rows after them."""
    masks: MaskCache = field(default_factory=MaskCache)

    @property
    def parts(self) -> tuple[Part, ...]:
        """The sets of vectors in the order of their rows; the newest rows come last."""
        return self.masks.get("parts", self._parts)

    def vectors_of(self, rows: NDArray[np.integer[Any]] | range) -> NDArray[np.float32]:
        """Returns the unit vectors of chunk rows, (rows, dimensions) float32."""
        wanted = np.asarray(rows, np.int64)
        parts = self.parts
        if len(parts) == 1:
            return np.asarray(parts[0].segment.vectors(wanted - parts[0].first), np.float32)
        found = np.empty((len(wanted), self.rows.dimensions), np.float32)
        for part in parts:
            inside = np.flatnonzero((wanted >= part.first) & (wanted < part.last))
            if len(inside):
                found[inside] = part.segment.vectors(wanted[inside] - part.first)
        return found

    def identities(self, rows: NDArray[np.integer[Any]]) -> tuple[list[str], list[int], list[int]]:
        """Returns document id, document version and ordinal of chunk rows."""
        documents = self.document_of[rows]
        table = self.rows.id_table
        return (
            table.texts(self.rows.id_codes.rows(self.document_count)[documents].tolist()),
            self.rows.versions.rows(self.document_count)[documents].tolist(),
            self.ordinals[rows].tolist(),
        )

    def _parts(self) -> tuple[Part, ...]:
        first = self.memtable.first
        if first == self.chunk_count and self.segments:
            return self.segments
        newest = NewestRows(self.memtable.vectors(self.chunk_count))
        return (*self.segments, Part("memtable", first, self.chunk_count, newest))

    @property
    def document_of(self) -> NDArray[np.int32]:
        """Document row of each chunk row."""
        return self.rows.document_of.rows(self.chunk_count)

    @property
    def ordinals(self) -> NDArray[np.uint16]:
        """Position of each chunk row in its document."""
        return self.rows.ordinals.rows(self.chunk_count)

    @property
    def chunks_per_document(self) -> NDArray[np.uint16]:
        """Chunks of each document row."""
        return self.rows.chunk_counts.rows(self.document_count)

    @property
    def most_chunks(self) -> int:
        """Chunks of the document that has most."""
        return self.masks.get("most chunks", lambda: int(self.chunks_per_document.max(initial=0)))

    @property
    def dead_chunks(self) -> int:
        """Chunk rows of replaced and deleted documents."""
        return self.chunk_count - self.live_chunks

    def row_of(self, document_id: str) -> int | None:
        """Returns the live row of a document, or None."""
        row = self.rows.newest_row(document_id)
        while row >= self.document_count:
            row = self.rows.previous.get(row, -1)
        return row if row >= 0 and self.live[row] else None

    def rows_of(self, document_ids: Sequence[str]) -> dict[str, int]:
        """Returns the live rows of documents, looked up at once; others are left out."""
        newest = self.rows.newest_rows(document_ids).tolist()
        found: dict[str, int] = {}
        for each, row in zip(document_ids, newest, strict=True):
            if row >= self.document_count:  # written after this state
                live = self.row_of(each)
            else:
                live = row if row >= 0 and self.live[row] else None
            if live is not None:
                found[each] = live
        return found

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
        self.id_table = TextTable()
        self.id_codes = GrowingArray(np.int32)
        """Code of the id of each document row."""
        self.newest = GrowingArray(np.int32)
        """Newest document row of each id, by its code."""
        self.previous: dict[int, int] = {}
        """Row of the former version of a document row, where there was one."""
        self.versions = GrowingArray(np.int64)
        self.expires: GrowingArray | None = None
        """Ends of the documents' times, in microseconds; None: no document ever had one."""
        self.first_chunks = GrowingArray(np.int32)
        self.chunk_counts = GrowingArray(np.uint16)
        self.acl = TagsColumn()
        self.uris = KeywordColumn()
        self.fields: dict[str, Column] = {}
        self.document_of = GrowingArray(np.int32)
        self.ordinals = GrowingArray(np.uint16)
        self.memtable = Memtable(0, new_rows(dimensions))
        self.keywords = KeywordIndex(language)
        self.live = GrowingArray(np.bool_)
        self.live_chunks = GrowingArray(np.bool_)
        self.live_terms = 0
        """Words in live chunks."""
        self.checksum = Checksum()
        """Of the live documents."""
        self.masks = GrowingMasks()
        """What filters say of the rows, dead or alive."""
        self.recent = RecentDocuments()
        """The documents written last."""

    @property
    def ids(self) -> DocumentIds:
        """Ids of the document rows."""
        return DocumentIds(self)

    @property
    def has_expiring(self) -> bool:
        """Whether any document ever had an end of its time."""
        return self.expires is not None

    @property
    def document_count(self) -> int:
        """Document rows, dead ones included."""
        return self.id_codes.size

    @property
    def chunk_count(self) -> int:
        """Chunk rows, dead ones included."""
        return self.document_of.size

    def newest_row(self, document_id: str) -> int:
        """Returns the newest row of a document, dead or alive; -1: there never was one."""
        code = self.id_table.code(document_id)
        return -1 if code == ABSENT or code >= self.newest.size else int(self._newest(code))

    def newest_rows(self, document_ids: Sequence[str]) -> NDArray[np.int64]:
        """Returns the newest row of each document, dead or alive; -1: there never was one."""
        codes = np.array(self.id_table.codes(document_ids), np.int64)
        newest = self.newest.rows(self.newest.size)
        found = np.full(len(codes), -1, np.int64)
        is_known = (codes >= 0) & (codes < len(newest))
        found[is_known] = newest[codes[is_known]]
        return found

    def append(self, documents: Sequence[DocumentState]) -> None:
        """Adds document versions and retires the ones before.

        Args:
            documents: With different ids.
        """
        if not documents:
            return
        codes = self.id_table.intern_all([each.document_id for each in documents])
        self.newest.pad(self.id_table.size, -1)
        rows = np.arange(self.document_count, self.document_count + len(documents))
        newest = self.newest.rows(self.newest.size)
        former = newest[codes]
        for place in np.flatnonzero(former >= 0).tolist():
            self.previous[int(rows[place])] = int(former[place])
        self._retire(former[former >= 0])
        self._append_documents(documents, rows.tolist())
        self._append_chunks(documents, rows)
        self._append_numbers(documents)
        # Readers find a row by its id last of all, when everything else of it is there.
        self.id_codes.extend(codes)
        newest[codes] = rows
        self.checksum = self.checksum.changed(
            added=[(each.document_id, each.version, len(each.chunks)) for each in documents]
        )

    def retire(self, document_ids: Sequence[str]) -> None:
        """Marks the documents' newest rows as dead, where they live."""
        rows = [row for each in document_ids if (row := self.newest_row(each)) >= 0]
        self._retire(np.unique(np.array(rows, np.int64)))

    def ensure_fields(self, fields: Iterable[tuple[str, FieldType]]) -> None:
        """Adds columns for fields that are new."""
        for name, kind in fields:
            if name not in self.fields:
                column = new_column(kind)
                column.put((), (), self.document_count)
                self.fields[name] = column

    def publish(self, seq: int, tenant_seq: int, segments: tuple[Part, ...]) -> Snapshot:
        """Returns the present state."""
        live = self.live.rows(self.document_count).copy()
        live_chunks = self.live_chunks.rows(self.chunk_count).copy()
        live.flags.writeable = live_chunks.flags.writeable = False
        return Snapshot(
            rows=self,
            document_count=self.document_count,
            chunk_count=self.chunk_count,
            live=live,
            live_chunk_mask=live_chunks,
            live_documents=self.checksum.documents,
            live_chunks=self.checksum.chunks,
            live_terms=self.live_terms,
            checksum=self.checksum,
            seq=seq,
            tenant_seq=tenant_seq,
            segments=segments,
            memtable=self.memtable,
        )

    def seal(self) -> None:
        """Moves what lies in lists into arrays; the caller keeps other writers out."""
        self.id_table.seal()
        self.keywords.seal()
        for column in self.columns.values():
            column.seal()

    @property
    def tail_size(self) -> int:
        """Entries that lie in lists."""
        lists = sum(column.tail_size for column in self.columns.values())
        return self.id_table.tail_size + self.keywords.tail_size + lists

    @property
    def columns(self) -> dict[str, Column]:
        """All columns of documents: access lists, URIs, and the fields by their names."""
        named = {f"field:{name}": column for name, column in self.fields.items()}
        return {"acl": self.acl, "uri": self.uris, **named}

    @property
    def nbytes(self) -> int:
        """About the bytes in memory."""
        arrays = (
            *(self.id_codes, self.newest, self.versions, self.first_chunks, self.chunk_counts),
            *(self.document_of, self.ordinals, self.memtable.rows),
            *(self.live, self.live_chunks, *(() if self.expires is None else (self.expires,))),
        )
        # The marks of living rows are there twice: a state has a copy of its own.
        return (
            sum(each.nbytes for each in arrays)
            + self.live.nbytes
            + self.live_chunks.nbytes
            + sum(each.nbytes for each in self.columns.values())
            + self.keywords.nbytes
            + self.id_table.nbytes
            + self.masks.nbytes
            + self.recent.nbytes
            + 100 * len(self.previous)
        )

    def _newest(self, code: int) -> int:
        return self.newest.rows(self.newest.size)[code]

    def _retire(self, rows: NDArray[np.integer[Any]]) -> None:
        live = self.live.rows(self.live.size)
        rows = rows[live[rows]]
        if not len(rows):
            return
        live[rows] = False
        counts = self.chunk_counts.rows(self.document_count)
        firsts = self.first_chunks.rows(self.document_count)
        versions = self.versions.rows(self.document_count)
        live_chunks = self.live_chunks.rows(self.live_chunks.size)
        removed = []
        for row in rows.tolist():
            first, count = int(firsts[row]), int(counts[row])
            live_chunks[first : first + count] = False
            self.live_terms -= self.keywords.length_between(first, first + count)
            removed.append((self.ids[row], int(versions[row]), count))
        self.checksum = self.checksum.changed(removed=removed)

    def _append_documents(self, documents: Sequence[DocumentState], rows: list[int]) -> None:
        size = rows[-1] + 1
        self.acl.put(rows, [each.acl for each in documents], size)
        with_uri = [place for place, each in enumerate(documents) if each.uri]
        self.uris.put(
            [rows[place] for place in with_uri], [documents[place].uri for place in with_uri], size
        )
        found: dict[str, tuple[list[int], list[Value]]] = {name: ([], []) for name in self.fields}
        for row, document in zip(rows, documents, strict=True):
            for name, value in document.metadata.items():
                if value is not None and name in found:
                    found[name][0].append(row)
                    found[name][1].append(value)
        for name, (owners, values) in found.items():
            self.fields[name].put(owners, values, size)

    def _append_numbers(self, documents: Sequence[DocumentState]) -> None:
        first = self.document_count
        ends = [each.expires_micros for each in documents]
        if self.expires is None and any(each is not None for each in ends):
            expires = GrowingArray(np.int64)
            expires.pad(first, INT64_MAX)
            self.expires = expires
        if self.expires is not None:
            self.expires.extend([INT64_MAX if each is None else each for each in ends])
        self.versions.extend([each.version for each in documents])
        self.live.extend(np.ones(len(documents), np.bool_))

    def _append_chunks(
        self, documents: Sequence[DocumentState], rows: NDArray[np.integer[Any]]
    ) -> None:
        first = self.chunk_count
        counts = np.array([len(each.chunks) for each in documents])
        ends = np.cumsum(counts)
        total = int(ends[-1])
        self.first_chunks.extend(first + ends - counts)
        self.chunk_counts.extend(counts)
        if not total:
            return
        vectors = np.frombuffer(b"".join([each.vectors for each in documents]), np.float32)
        self.memtable.rows.extend(unit_rows(vectors.reshape(total, self.dimensions)))
        self.keywords.append(
            [
                (document.title, chunk.heading_path, document.text[chunk.start : chunk.end])
                for document in documents
                for chunk in document.chunks
            ]
        )
        self.live_terms += self.keywords.length_between(first, first + total)
        self.live_chunks.extend(np.ones(total, np.bool_))
        self.ordinals.extend(np.arange(total) - np.repeat(ends - counts, counts))
        self.document_of.extend(np.repeat(rows, counts))


class DocumentIds:
    """Ids of document rows.

    Args:
        rows: Whose.
    """

    __slots__ = ("_rows",)

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def __getitem__(self, row: int) -> str:
        rows = self._rows
        return rows.id_table.text(int(rows.id_codes.rows(rows.id_codes.size)[row]))

    def between(self, first: int, last: int) -> list[str]:
        """Returns the ids of the document rows first..last."""
        codes = self._rows.id_codes.rows(last)[first:]
        return self._rows.id_table.texts(codes.tolist())


def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the rows at length 1; zero rows stay zero.

    Args:
        vectors: (n, d) float32, finite.
    """
    # In double precision: the square of a large float32 overflows float32.
    wide = vectors.astype(np.float64)
    lengths = np.sqrt(np.einsum("ij,ij->i", wide, wide))[:, None]
    np.divide(wide, lengths, out=wide, where=lengths > 0)
    return wide.astype(np.float32)
