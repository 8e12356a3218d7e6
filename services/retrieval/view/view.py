"""One collection in memory: loaded from the store, kept current by its log."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from services.retrieval import hnsw
from services.retrieval.collections import IndexType
from services.retrieval.store import catalog, changes
from services.retrieval.view.rows import Rows

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from services.retrieval.collections import Collection
    from services.retrieval.hnsw import Segment
    from services.retrieval.view.rows import Snapshot

_SMALL = 1000
"""Dead rows that are never worth a rebuild."""
_MAX_SEGMENTS = 4


@dataclass(frozen=True, slots=True)
class Shape:
    """When views change their shape."""

    graph_rows: int = 20_000
    """Rows without a graph from which one is built over them."""
    dead_fraction: float = 0.2
    """Share of dead rows from which a view is rebuilt: at 30 % a graph loses .01 recall."""


@dataclass(frozen=True, slots=True)
class Published:
    """A snapshot with the collection as it was then."""

    snapshot: Snapshot
    collection: Collection
    """Its fields are those of the snapshot's documents."""


class View:
    """Follows one collection.

    `advance` and `maintain` block and run in threads of the keeper; `published` may be read by
    anyone, at any time.

    Args:
        connection: Open on one state of the database, which is loaded.
        collection: Collection to load; its name is used in errors.
        shape: When to build graphs and to rebuild.

    Raises:
        NotFoundError: the collection is gone.
    """

    def __init__(self, connection: Connection, collection: Collection, shape: Shape) -> None:
        self._shape = shape
        self._lock = threading.Lock()
        self._graph_count = 0
        self.published = _load(connection, collection)

    def advance(self, connection: Connection) -> Published:
        """Takes in what was committed since, and publishes it.

        Raises:
            NotFoundError: the collection is gone.
        """
        with self._lock:
            self.published = _advance(connection, self.published)
            return self.published

    def seen_up_to(self, tenant_seq: int, seq: int) -> None:
        """Notes that `seq` is the collection's newest write among its tenant's up to a number."""
        if not self._lock.acquire(blocking=False):
            return  # it is advancing: never make the event loop wait
        try:
            published = self.published
            if published.snapshot.seq == seq and tenant_seq > published.snapshot.tenant_seq:
                snapshot = replace(published.snapshot, tenant_seq=tenant_seq)
                self.published = replace(published, snapshot=snapshot)
        finally:
            self._lock.release()

    @property
    def wants_rebuild(self) -> bool:
        """Whether too many rows are dead."""
        snapshot = self.published.snapshot
        dead = snapshot.dead_chunks
        return dead > _SMALL and dead > self._shape.dead_fraction * snapshot.chunk_count

    @property
    def wants_graph(self) -> bool:
        """Whether enough rows have no graph yet."""
        published = self.published
        if published.collection.settings.index_type is IndexType.FLAT:
            return False
        return (
            published.snapshot.chunk_count - _graph_end(published.snapshot)
            >= self._shape.graph_rows
        )

    def load_anew(self, connection: Connection) -> Published:
        """Loads everything without dead rows, with its graph; others use the old rows meanwhile.

        Args:
            connection: Open on one state of the database.
        """
        fresh = _load(connection, self.published.collection)
        segments = self._graphs(fresh.snapshot)
        return replace(fresh, snapshot=replace(fresh.snapshot, segments=segments))

    def switch(self, connection: Connection, fresh: Published) -> None:
        """Replaces the old rows by those of `load_anew`, brought up to date.

        Args:
            connection: Open on a state of the database that is no older than any published.
            fresh: What `load_anew` returned.
        """
        with self._lock:
            self.published = _advance(connection, fresh)

    def build_graph(self) -> None:
        """Builds a graph over the rows that have none; over all rows when there are many graphs."""
        snapshot = self.published.snapshot
        segments = self._graphs(snapshot)
        with self._lock:
            published = self.published
            if published.snapshot.rows is snapshot.rows:
                current = replace(published.snapshot, segments=segments)
                self.published = replace(published, snapshot=current)

    @property
    def nbytes(self) -> int:
        """About the bytes used."""
        snapshot = self.published.snapshot
        per_row = snapshot.rows.dimensions + 4 * 2 * hnsw.LINKS
        return snapshot.rows.nbytes + per_row * _graph_end(snapshot)

    def describe(self) -> str:
        """Returns what the index is and why, for people."""
        snapshot = self.published.snapshot
        if not snapshot.segments:
            why = (
                "as the collection asks"
                if self.published.collection.settings.index_type is IndexType.FLAT
                else f"a graph pays from {self._shape.graph_rows} rows"
            )
            return f"exact scan of {snapshot.chunk_count} rows ({why})"
        kind = "HNSW" if not self._is_quantised else "HNSW over 8-bit vectors, refined"
        covered = _graph_end(snapshot)
        return (
            f"{len(snapshot.segments)} x {kind} over {covered} rows, exact scan of "
            f"{snapshot.chunk_count - covered}"
        )

    @property
    def _is_quantised(self) -> bool:
        return self.published.collection.settings.index_type is not IndexType.HNSW

    def _graphs(self, snapshot: Snapshot) -> tuple[Segment, ...]:
        """Returns the snapshot's graphs and one more over the rows that have none."""
        if self.published.collection.settings.index_type is IndexType.FLAT:
            return ()
        kept = snapshot.segments if len(snapshot.segments) < _MAX_SEGMENTS else ()
        first = kept[-1].last if kept else 0
        if snapshot.chunk_count - first < self._shape.graph_rows:
            return kept
        self._graph_count += 1
        name = f"segment-{self._graph_count}"
        vectors = snapshot.vectors[first:]
        return (*kept, hnsw.build(vectors, first, name, is_quantised=self._is_quantised))


def _graph_end(snapshot: Snapshot) -> int:
    return snapshot.segments[-1].last if snapshot.segments else 0


def _load(connection: Connection, known: Collection) -> Published:
    collection = catalog.by_id(connection, known.id)
    if collection is None:
        raise catalog.not_found(known.name)
    rows = Rows(collection.settings.dimensions, collection.settings.language)
    rows.ensure_fields(collection.settings.fields.items())
    position = changes.positions(connection, [collection.id])[collection.id]
    for part in changes.written_after(connection, collection.id, 0):
        rows.append(part)
    return Published(rows.publish(position.seq, position.tenant_seq, ()), collection)


def _advance(connection: Connection, published: Published) -> Published:
    snapshot, rows = published.snapshot, published.snapshot.rows
    collection = catalog.by_id(connection, published.collection.id)
    if collection is None:
        raise catalog.not_found(published.collection.name)
    position = changes.positions(connection, [collection.id])[collection.id]
    if position.seq == snapshot.seq:
        return Published(replace(snapshot, tenant_seq=position.tenant_seq), collection)
    rows.ensure_fields(collection.settings.fields.items())
    rows.retire(changes.deleted_after(connection, collection.id, snapshot.seq))
    for part in changes.written_after(connection, collection.id, snapshot.seq):
        rows.append(part)
    return Published(rows.publish(position.seq, position.tenant_seq, snapshot.segments), collection)
