"""One collection in memory: loaded from its files or the store, kept current by its log."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from services.retrieval.collections import IndexType
from services.retrieval.metrics import VIEW_FILES_DAMAGED
from services.retrieval.snapshots.rows_files import freeze
from services.retrieval.snapshots.view_folder import Identity, Placed, Stacked, ViewFolder
from services.retrieval.store import catalog, changes
from services.retrieval.vectors import (
    BuildSpec,
    DamagedSegmentError,
    IndexKind,
    Tier,
    build,
    kind_for,
    open_segment,
)
from services.retrieval.view.mask_cache import MaskCache
from services.retrieval.view.rows import Part, Rows
from services.rpc.logs import get_logger

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from services.retrieval.collections import Collection
    from services.retrieval.store.changes import Change, Position
    from services.retrieval.view.rows import Snapshot

_SMALL = 1000
"""Dead rows that are never worth a rebuild, and rows that are loaded from the store as fast."""
_TAIL_SHARE = 8
"""Entries in lists are sealed into arrays when they are more than this part of all chunks."""
_TAIL = 200_000
"""Entries in lists that need not be sealed; about 40 MB at most."""
_MANY_SEGMENTS = 8
_JOINED_TIMES = 2
_KINDS = {
    IndexType.FLAT: IndexKind.FLAT,
    IndexType.HNSW: IndexKind.HNSW,
    IndexType.HNSW_SQ8: IndexKind.HNSW_SQ8,
    IndexType.IVF_FLAT: IndexKind.IVF_FLAT,
    IndexType.IVF_SQ8: IndexKind.IVF_SQ8,
    IndexType.IVF_PQ: IndexKind.IVF_PQ,
    IndexType.RABITQ: IndexKind.RABITQ,
}


@dataclass(frozen=True, slots=True)
class Shape:
    """When views change their shape."""

    segment_rows: int = 5_000
    """Newest rows from which they are closed into a segment: a float vector takes ten times as long
    to compare as its 8-bit code."""
    graph_rows: int = 20_000
    """Rows without a graph from which one is built over them, and from which they are closed into a
    segment if that is fewer."""
    dead_fraction: float = 0.2
    """Share of dead rows from which a view is rebuilt: at 30 % a graph loses .01 recall."""
    max_segment_rows: int = 2_000_000
    """Rows of a merged segment: bounds the memory of the process that builds it (2 kB a row)."""
    saved_rows: int = 20_000
    """Rows written since a view's files were saved from which they are saved again."""
    saved_seconds: float = 60.0
    """Fewer rows are saved after this time."""


@dataclass(frozen=True, slots=True)
class Published:
    """A snapshot with the collection as it was then."""

    snapshot: Snapshot
    collection: Collection
    """Its fields are those of the snapshot's documents."""


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring segments that are to become one."""

    parts: tuple[Part, ...]
    spec: BuildSpec


class View:
    """Follows one collection.

    Methods that read or write block and run in threads of the keeper; `published` may be read by
    anyone, at any time.

    Args:
        connection: Open on one state of the database, which is loaded.
        collection: Collection to load; its name is used in errors.
        shape: When to build and to rebuild.
        folder: Where its files are.
        tier: HOT has everything in memory, WARM maps it from files.

    Raises:
        NotFoundError: the collection is gone.
    """

    def __init__(
        self,
        connection: Connection,
        collection: Collection,
        shape: Shape,
        folder: ViewFolder,
        tier: Tier = Tier.HOT,
    ) -> None:
        self._shape = shape
        self._segment_rows = min(shape.segment_rows, shape.graph_rows)
        self._lock = threading.Lock()
        self.folder = folder
        self.tier = tier
        self.building: set[str] = set()
        """Segments that are being built: a sweep leaves them alone."""
        self.saved_seq = 0
        """Newest write in the saved files."""
        self._saved_chunks = 0
        self._saved_parts: tuple[str, ...] = ()
        self._saved_at = time.monotonic()
        self.published = self._load(connection, collection, tier)

    def advance(self, connection: Connection) -> Published:
        """Takes in what was committed since, and publishes it.

        Raises:
            NotFoundError: the collection is gone.
        """
        with self._lock:
            self.published = _advance(connection, self.published)
            self._seal_lists()
            return self.published

    def apply(self, pending: Sequence[tuple[Collection, Change]]) -> None:
        """Takes in writes of this process as far as they follow on what is published.

        Args:
            pending: Writes with the collection as each left it, in any order.
        """
        with self._lock:
            published = self.published
            rows, seq = published.snapshot.rows, published.snapshot.seq
            tenant_seq = published.snapshot.tenant_seq
            collection = published.collection
            for known, change in sorted(pending, key=lambda pair: pair[1].seq):
                if change.previous_seq != seq:
                    continue
                rows.ensure_fields(known.settings.fields.items())
                rows.retire(change.deleted)
                first = rows.document_count
                rows.append(change.written)
                rows.recent.add(first, change.written)
                seq, collection = change.seq, known
                tenant_seq = max(tenant_seq, seq)
            if seq != published.snapshot.seq:
                snapshot = rows.publish(seq, tenant_seq, published.snapshot.segments)
                self.published = Published(snapshot, collection)
                self._seal_lists()

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

    def refresh(self, collection: Collection) -> None:
        """Notes the collection's settings, which may change without a write."""
        if not self._lock.acquire(blocking=False):
            return  # it reads them itself
        try:
            self.published = replace(self.published, collection=collection)
        finally:
            self._lock.release()

    @property
    def wants_rebuild(self) -> bool:
        """Whether too many rows are dead."""
        snapshot = self.published.snapshot
        dead = snapshot.dead_chunks
        return dead > _SMALL and dead > self._shape.dead_fraction * snapshot.chunk_count

    @property
    def wants_segment(self) -> bool:
        """Whether enough rows are in no segment yet."""
        snapshot = self.published.snapshot
        return snapshot.chunk_count - snapshot.memtable.first >= self._segment_rows

    @property
    def wants_save(self) -> bool:
        """Whether its files are so old that a restart would take longer than it should."""
        snapshot = self.published.snapshot
        if snapshot.chunk_count < _SMALL:
            return False
        # A segment that took others' place cost work; one of the newest rows is soon made again.
        if _names(snapshot)[: len(self._saved_parts)] != self._saved_parts:
            return True
        if snapshot.seq == self.saved_seq:
            return False
        if abs(snapshot.chunk_count - self._saved_chunks) >= self._shape.saved_rows:
            return True
        return time.monotonic() - self._saved_at > self._shape.saved_seconds

    @property
    def is_saved(self) -> bool:
        """Whether its files hold what it holds, or reading them would save no time."""
        snapshot = self.published.snapshot
        return snapshot.seq == self.saved_seq or snapshot.chunk_count < _SMALL

    def build_segment(self) -> None:
        """Closes the newest rows into a segment of 8-bit codes; a graph comes with a merge."""
        snapshot = self.published.snapshot
        first, last = snapshot.memtable.first, snapshot.chunk_count
        name = self.folder.new_segment()
        self.building.add(name)
        try:
            spec = BuildSpec(IndexKind.FLAT, snapshot.rows.dimensions)
            build(snapshot.memtable.vectors(last), spec, self.folder.segment(name))
            part = self._open(name, first, last)
            with self._lock:
                current = self.published.snapshot
                if current.rows is snapshot.rows and current.memtable.first == first:
                    current.rows.memtable = current.memtable.after(last)
                    self._publish_parts((*current.segments, part))
        finally:
            self.building.discard(name)

    def join_small(self) -> None:
        """Joins the newest segments without an index while a slow merge of others runs.

        Graphs take longer to build than rows to arrive: without this, their number would only be
        bounded by the time a build takes.
        """
        chosen = self._small_run()
        if not chosen:
            return
        name = self.folder.new_segment()
        taken = {name, *(part.name for part in chosen)}
        self.building.update(taken)
        try:
            sources = [each.segment.vectors(slice(None)) for each in chosen]  # pyright: ignore[reportArgumentType] - mapped, not copied
            spec = BuildSpec(IndexKind.FLAT, self.published.snapshot.rows.dimensions)
            build(Stacked(sources, None).as_array(), spec, self.folder.segment(name))
            self.replace_run(Run(chosen, spec), name)
        finally:
            self.building.difference_update(taken)

    def _small_run(self) -> tuple[Part, ...]:
        """Returns neighbours of about one size that are many, the newest first looked at, or none.

        Sizes rise eight times from one to the next, so that each row is joined a few times at most.
        """
        parts = self.published.snapshot.segments
        floor = 0
        limit = _MANY_SEGMENTS * self._segment_rows
        for _ in range(_JOINED_TIMES):
            chosen: list[Part] = []
            for part in reversed(parts):
                is_plain = part.segment.spec.kind is IndexKind.FLAT
                if part.name in self.building or not is_plain or part.row_count > limit:
                    break
                if part.row_count > floor:
                    chosen.insert(0, part)
                elif chosen:
                    break
            if len(chosen) >= _MANY_SEGMENTS:
                return tuple(chosen)
            floor, limit = limit, limit * _MANY_SEGMENTS
        return ()

    def run_to_merge(self, *, is_quiet: bool, everything: bool = False) -> Run | None:
        """Returns segments that are worth merging now, or None.

        Args:
            is_quiet: Whether nothing was written lately, so that a small run will not grow soon.
            everything: Merge all that can be merged.
        """
        snapshot = self.published.snapshot
        parts = snapshot.segments
        spec = self.spec(snapshot.memtable.first)
        most = self._shape.max_segment_rows
        if everything and sum(part.row_count for part in parts) <= most:
            is_done = len(parts) == 1 and parts[0].segment.spec.kind is spec.kind
            is_taken = any(part.name in self.building for part in parts)
            return None if is_done or is_taken or not parts else Run(parts, spec)
        raw = 0
        while raw < len(parts) and parts[-1 - raw].segment.spec.kind is not spec.kind:
            raw += 1
        rows = sum(part.row_count for part in parts[len(parts) - raw :])
        grown = sum(part.row_count for part in parts[: len(parts) - raw])
        is_eager = is_quiet or everything
        is_due = raw and (is_eager or rows >= max(4 * self._shape.graph_rows, grown // 4))
        if not is_due and len(parts) <= _MANY_SEGMENTS:
            return None
        first = len(parts) - max(raw, 1)
        rows = sum(part.row_count for part in parts[first:])
        # Earlier ones come along while they are not much larger: each row is merged a few times.
        while first > 0 and parts[first - 1].row_count <= min(2 * rows, most - rows):
            first -= 1
            rows += parts[first].row_count
        chosen = list(parts[first:])
        while len(chosen) > 1 and rows > most:
            rows -= chosen.pop().row_count
        if len(chosen) == 1 and chosen[0].segment.spec.kind is spec.kind:
            return None
        if any(part.name in self.building for part in chosen):
            return None  # they are being joined: the result can be merged in a moment
        return Run(tuple(chosen), spec)

    def replace_run(self, run: Run, name: str) -> bool:
        """Puts a segment in the place of those it was built from; says whether they were there."""
        first, last = run.parts[0].first, run.parts[-1].last
        part = self._open(name, first, last)
        with self._lock:
            parts = self.published.snapshot.segments
            at = next((n for n, each in enumerate(parts) if each is run.parts[0]), -1)
            if at < 0 or parts[at : at + len(run.parts)] != run.parts:
                return False
            self._publish_parts((*parts[:at], part, *parts[at + len(run.parts) :]))
        return True

    def save(self) -> str:
        """Saves its files; returns the name of the state.

        Raises:
            OSError: the disk is full or broken; what was saved before is still there.
        """
        with self._lock:
            published = self.published
            snapshot = published.snapshot
            frozen = freeze(snapshot)
        frozen.merge()
        with self._lock:
            if self.published.snapshot.rows is snapshot.rows:
                frozen.adopt()
        placed = [Placed(each.name, each.first, each.last) for each in snapshot.segments]
        identity = identity_of(published.collection)
        name = self.folder.save(frozen.files(), frozen.about, placed, identity)
        self.saved_seq, self._saved_chunks = snapshot.seq, snapshot.chunk_count
        self._saved_parts = _names(snapshot)
        self._saved_at = time.monotonic()
        self.sweep()
        return name

    def sweep(self) -> None:
        """Removes files that nothing needs any more."""

        def in_use() -> set[str]:
            # First what is being built: once it is done, it is among the segments.
            building = set(self.building)
            return building | {each.name for each in self.published.snapshot.segments}

        self.folder.sweep(in_use)

    def load_beside(
        self, connection: Connection, tier: Tier, *, from_store: bool = False
    ) -> Published:
        """Loads everything anew; the old rows serve meanwhile.

        Args:
            connection: Open on one state of the database.
            tier: HOT or WARM.
            from_store: Do not read the files, and throw them away.
        """
        if from_store:
            for name in self.folder.names():
                self.folder.discard(name)
        return self._load(connection, self.published.collection, tier)

    def switch(self, connection: Connection, fresh: Published, tier: Tier) -> None:
        """Replaces the old rows by those of `load_beside`, brought up to date.

        Args:
            connection: Not read from before.
            fresh: What `load_beside` returned.
            tier: Where that is.
        """
        with self._lock:
            self.published = _advance(connection, fresh)
            self.tier = tier

    def spec(self, rows: int) -> BuildSpec:
        """Returns how a segment over so many rows is to be built."""
        settings = self.published.collection.settings
        kind = _KINDS.get(settings.index_type)
        if kind is None:
            kind = IndexKind.HNSW_SQ8 if rows >= self._shape.graph_rows else kind_for(rows)
        wanted = settings.index_parameters
        spec = BuildSpec(kind, settings.dimensions)
        return replace(
            spec,
            links=wanted.links or spec.links,
            build_effort=wanted.build_candidates or spec.build_effort,
            lists=wanted.lists or spec.lists,
            code_bytes=wanted.code_bytes or spec.code_bytes,
        )

    @property
    def nbytes(self) -> int:
        """About the bytes in memory."""
        snapshot = self.published.snapshot
        return snapshot.rows.nbytes + sum(each.segment.nbytes for each in snapshot.segments)

    def describe(self) -> str:
        """Returns what the index is and why, for people."""
        snapshot = self.published.snapshot
        newest = snapshot.chunk_count - snapshot.memtable.first
        if not snapshot.segments:
            return f"exact scan of {newest} rows (segments pay from {self._segment_rows} rows)"
        kinds: dict[str, int] = {}
        for part in snapshot.segments:
            kind = part.segment.spec.kind.name
            kinds[kind] = kinds.get(kind, 0) + part.row_count
        listed = ", ".join(f"{kind} over {rows} rows" for kind, rows in kinds.items())
        where = "mapped from disk" if self.tier is Tier.WARM else "in memory"
        return f"{len(snapshot.segments)} segments {where}: {listed}; exact scan of {newest}"

    def _load(self, connection: Connection, known: Collection, tier: Tier) -> Published:
        collection = catalog.by_id(connection, known.id)
        if collection is None:
            raise catalog.not_found(known.name)
        position = changes.positions(connection, [collection.id])[collection.id]
        for name in self.folder.names():
            try:
                return self._from_files(connection, collection, position, name, tier)
            except DamagedSegmentError as error:
                VIEW_FILES_DAMAGED.inc()
                get_logger().error(
                    "the files of a view are damaged: an earlier state or the store serves",
                    collection_id=collection.id,
                    state=name,
                    why=str(error),
                )
                self.folder.discard(name)
        rows = Rows(collection.settings.dimensions, collection.settings.language)
        rows.ensure_fields(collection.settings.fields.items())
        for part in changes.written_after(connection, collection.id, 0):
            rows.append(part)
        rows.seal()
        return Published(rows.publish(position.seq, position.tenant_seq, ()), collection)

    def _from_files(
        self,
        connection: Connection,
        collection: Collection,
        position: Position,
        name: str,
        tier: Tier,
    ) -> Published:
        """Returns a saved state, brought up to the store's.

        Raises:
            DamagedSegmentError: the files are not what was written, or not of this store.
        """
        loaded = self.folder.load(name, identity_of(collection), tier)
        if loaded.seq > position.seq:
            raise DamagedSegmentError("the store is older than the files")
        snapshot = loaded.rows.publish(loaded.seq, loaded.tenant_seq, loaded.parts)
        published = _advance(connection, Published(snapshot, collection))
        if published.snapshot.checksum != position.checksum:
            raise DamagedSegmentError("the files hold other documents than the store")
        self.saved_seq, self._saved_chunks = loaded.seq, snapshot.chunk_count
        self._saved_parts = _names(snapshot)
        return published

    def _open(self, name: str, first: int, last: int) -> Part:
        # Written a moment ago, by this process or its builder.
        segment = open_segment(self.folder.segment(name), tier=self.tier, is_checked=False)
        return Part(name, first, last, segment, self.tier)

    def _publish_parts(self, parts: tuple[Part, ...]) -> None:
        """Publishes the same rows in other parts; the lock is held."""
        published = self.published
        snapshot = replace(
            published.snapshot,
            segments=parts,
            memtable=published.snapshot.rows.memtable,
            masks=MaskCache(),
        )
        self.published = replace(published, snapshot=snapshot)

    def _seal_lists(self) -> None:
        snapshot = self.published.snapshot
        size = snapshot.rows.tail_size
        if size > _TAIL and size > snapshot.chunk_count // _TAIL_SHARE:
            snapshot.rows.seal()


def _names(snapshot: Snapshot) -> tuple[str, ...]:
    return tuple(part.name for part in snapshot.segments)


def identity_of(collection: Collection) -> Identity:
    """Returns what the files of a collection's view are held against."""
    settings = collection.settings
    return Identity(
        collection.id, collection.created_micros, settings.dimensions, settings.language
    )


def _advance(connection: Connection, published: Published) -> Published:
    snapshot, rows = published.snapshot, published.snapshot.rows
    collection = catalog.by_id(connection, published.collection.id)
    if collection is None:
        raise catalog.not_found(published.collection.name)
    position = changes.positions(connection, [collection.id])[collection.id]
    if position.seq <= snapshot.seq:
        tenant_seq = max(position.tenant_seq, snapshot.tenant_seq)
        return Published(replace(snapshot, tenant_seq=tenant_seq), collection)
    rows.ensure_fields(collection.settings.fields.items())
    rows.retire(changes.deleted_after(connection, collection.id, snapshot.seq))
    for part in changes.written_after(connection, collection.id, snapshot.seq):
        rows.append(part)
    return Published(rows.publish(position.seq, position.tenant_seq, snapshot.segments), collection)
