"""One collection in memory: loaded from its files or the store, kept current by its log."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

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
    open_segment,
)
from services.retrieval.view import merging
from services.retrieval.view.mask_cache import MaskCache
from services.retrieval.view.merging import Run, Shape
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


@dataclass(frozen=True, slots=True)
class Published:
    """A snapshot with the collection as it was then."""

    snapshot: Snapshot
    collection: Collection
    """Its fields are those of the snapshot's documents."""


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
                rows.append(change.written)
                rows.recent.add(change.written)
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
        if self._has_unsaved_work:
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
        if snapshot.chunk_count < _SMALL:
            return True
        return snapshot.seq == self.saved_seq and not self._has_unsaved_work

    @property
    def _has_unsaved_work(self) -> bool:
        """Whether a segment that cost work is not in its files; one of 8-bit codes is soon made."""
        parts = self.published.snapshot.segments
        saved = self._saved_parts
        return tuple(each.name for each in parts[: len(saved)]) != saved or any(
            each.segment.spec.kind is not IndexKind.FLAT for each in parts[len(saved) :]
        )

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
        chosen = merging.small_run(
            self.published.snapshot.segments, self._segment_rows, self.building
        )
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

    def run_to_merge(self, *, is_quiet: bool, everything: bool = False) -> Run | None:
        """Returns segments that are worth merging now, or None; see `merging.run_to_merge`."""
        snapshot = self.published.snapshot
        spec = self.spec(snapshot.memtable.first)
        return merging.run_to_merge(
            snapshot.segments,
            spec,
            self._shape,
            self.building,
            is_quiet=is_quiet,
            everything=everything,
        )

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
            fresh.snapshot.rows.recent = self.published.snapshot.rows.recent
            self.published = _advance(connection, fresh)
            self.tier = tier

    def spec(self, rows: int) -> BuildSpec:
        """Returns how a segment over so many rows is to be built."""
        return merging.spec_for(self.published.collection.settings, self._shape, rows)

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
