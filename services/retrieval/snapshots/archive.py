"""Snapshots of collections that can be restored: what was written, not what was made of it.

```
<collection id>/<snapshot id>/documents.bin, segment.json (what it is, with checksums)
```

Replicas may share the folder: each snapshot has a folder of its own, which is there whole or not at
all, and is changed by nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from services.retrieval.metrics import SNAPSHOTS, SNAPSHOTS_DAMAGED
from services.retrieval.snapshots import document_file
from services.retrieval.store import counts, restoring
from services.retrieval.store.store import now_micros
from services.retrieval.vectors import DamagedSegmentError, files
from services.rpc.errors import (
    DataLossError,
    NotFoundError,
    Reason,
    ResourceExhaustedError,
    UnavailableError,
)
from services.rpc.logs import exception_fields, get_logger

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from services.retrieval.collections import Collection
    from services.retrieval.store.counts import Quota
    from services.retrieval.store.restoring import Restored
    from services.retrieval.store.store import Store

T = TypeVar("T")

_DOCUMENTS = "documents.bin"
_TEMPORARY = ".tmp"
_STALE_SECONDS = 86_400.0
"""Age of a half-written snapshot that nobody is writing any more."""
_SWEEP_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Record:
    """A snapshot."""

    snapshot_id: str
    collection_id: int
    collection_created_micros: int
    collection: str
    """Name it had then."""
    seq: int
    """Newest write in it."""
    created_micros: int
    documents: int
    size_bytes: int
    checksum: str
    """Over its documents."""
    retention_seconds: float | None
    """How long it is kept; None: until it is deleted."""

    @property
    def is_expired(self) -> bool:
        """Whether it is past its time."""
        seconds = self.retention_seconds
        return seconds is not None and self.created_micros + seconds * 1e6 <= now_micros()


class Archive:
    """The snapshots of all collections.

    Args:
        store: The truth.
        restored: Told of each restore, once it is committed: what is searched must catch up.
        folder: Where they are.
        most: Snapshots of a collection at most.
        default_quota: What a tenant may store that was given no quota of its own.
    """

    def __init__(
        self,
        store: Store,
        restored: Callable[[Collection], None],
        folder: Path,
        *,
        most: int = 16,
        default_quota: Quota = counts.UNLIMITED,
    ) -> None:
        self._store = store
        self._restored = restored
        self._folder = folder
        self._most = most
        self._default_quota = default_quota
        # One at a time: each reads or writes a whole collection.
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="snapshots")
        self._busy = asyncio.Lock()

    async def close(self) -> None:
        """Ends the thread."""
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)

    async def create(
        self, tenant: str, name: str, retention_seconds: float | None = None
    ) -> Record:
        """Writes a snapshot of everything committed by now.

        Raises:
            NotFoundError: there is no such collection.
            ResourceExhaustedError: it has too many snapshots, or the disk is full.
            UnavailableError: another snapshot is being written or restored.
        """
        collection = await self._store.resolve_afresh(tenant, name)
        async with self._alone():
            await asyncio.to_thread(self._make_room, collection)
            reader = self._store.reader
            snapshot_id = uuid.uuid4().hex
            record = await self._here(
                lambda: reader.run_here(
                    lambda c: self._write(c, collection, snapshot_id, retention_seconds)
                )
            )
        SNAPSHOTS.labels(done="created").inc()
        return record

    async def list(self, tenant: str, name: str) -> list[Record]:
        """Returns the snapshots of a collection, the newest first.

        Raises:
            NotFoundError: there is no such collection.
        """
        collection = await self._store.resolve_afresh(tenant, name)
        found = await asyncio.to_thread(self._records, collection)
        return [each for each in found if not each.is_expired]

    async def restore(self, tenant: str, name: str, snapshot_id: str) -> Restored:
        """Puts a collection back to a snapshot; documents deleted since stay deleted.

        Once this returns, the restore is committed, and searches here wait until they see it.

        Raises:
            NotFoundError: there is no such collection or snapshot.
            DataLossError: the snapshot's files are damaged; nothing was changed.
            UnavailableError: another snapshot is being written or restored.
        """
        collection = await self._store.resolve_afresh(tenant, name)
        async with self._alone():
            record = await asyncio.to_thread(self._record, collection, snapshot_id)
            path = self._of(collection.id) / snapshot_id
            await self._here(partial(self._check, path, collection.id))
            write = partial(
                restoring.restore,
                tenant=tenant,
                name=name,
                collection_id=collection.id,
                seq=record.seq,
                kept=lambda: document_file.read(path / _DOCUMENTS),
                now_micros=now_micros(),
                default_quota=self._default_quota,
            )
            try:
                restored = await self._store.write(write)
            except DamagedSegmentError as error:  # between the check and now
                raise _damaged(collection.id, str(error)) from error
        self._store.forget_catalog()
        self._restored(restored.collection)
        SNAPSHOTS.labels(done="restored").inc()
        return restored

    async def delete(self, tenant: str, name: str, snapshot_id: str) -> None:
        """Deletes a snapshot.

        Raises:
            NotFoundError: there is no such collection or snapshot.
        """
        collection = await self._store.resolve_afresh(tenant, name)
        await asyncio.to_thread(self._record, collection, snapshot_id)
        await asyncio.to_thread(self._remove, collection.id, snapshot_id)

    async def forget(self, collection_id: int) -> None:
        """Deletes all snapshots of a collection that was deleted."""
        await asyncio.to_thread(shutil.rmtree, self._of(collection_id), ignore_errors=True)

    async def expire(self) -> None:
        """Deletes snapshots past their time, again and again; runs until it is cancelled."""
        while True:
            try:
                await asyncio.to_thread(self._sweep)
            except OSError as error:
                get_logger().warning("cannot delete old snapshots", **exception_fields(error))
            await asyncio.sleep(_SWEEP_SECONDS)

    def _of(self, collection_id: int) -> Path:
        return self._folder / str(collection_id)

    def _records(self, collection: Collection) -> list[Record]:
        """Returns the snapshots of a collection, the newest first; damaged ones are left out."""
        found: list[Record] = []
        with contextlib.suppress(FileNotFoundError):
            for path in self._of(collection.id).iterdir():
                record = _read(path)
                is_its_own = (
                    record is not None
                    and record.collection_created_micros == collection.created_micros
                )
                if record is not None and is_its_own:
                    found.append(record)
        return sorted(found, key=lambda each: (each.seq, each.created_micros), reverse=True)

    def _record(self, collection: Collection, snapshot_id: str) -> Record:
        found = [each for each in self._records(collection) if each.snapshot_id == snapshot_id]
        if not found or found[0].is_expired:
            is_damaged = snapshot_id.isalnum() and (self._of(collection.id) / snapshot_id).is_dir()
            if is_damaged and not found:
                raise _damaged(collection.id, "its description cannot be read")
            raise NotFoundError(
                Reason.SNAPSHOT_NOT_FOUND,
                "the collection has no such snapshot: list_snapshots names those it has",
                metadata={"collection": collection.name},
            )
        return found[0]

    def _make_room(self, collection: Collection) -> None:
        self._sweep()
        if len(self._records(collection)) >= self._most:
            raise ResourceExhaustedError(
                Reason.QUOTA_EXCEEDED,
                f"the collection has {self._most} snapshots: delete one first",
                metadata={"quota": "snapshots", "limit": str(self._most)},
            )

    def _write(
        self,
        connection: Connection,
        collection: Collection,
        snapshot_id: str,
        retention_seconds: float | None,
    ) -> Record:
        current = restoring.position(connection, collection)
        made = self._of(collection.id) / f"{snapshot_id}{_TEMPORARY}"
        try:
            made.mkdir(parents=True, mode=0o700)
            parts = restoring.read_all(connection, collection.id)
            count = document_file.write(made / _DOCUMENTS, parts)
            record = Record(
                snapshot_id,
                collection.id,
                collection.created_micros,
                collection.name,
                current,
                now_micros(),
                count,
                (made / _DOCUMENTS).stat().st_size,
                document_file.digest(made / _DOCUMENTS),
                retention_seconds,
            )
            files.seal(made, {}, {"record": asdict(record)})
            files.publish(made, self._of(collection.id) / snapshot_id)
        except OSError as error:
            shutil.rmtree(made, ignore_errors=True)
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise ResourceExhaustedError(
                    Reason.STORAGE_FULL, "the disk is full: nothing was written"
                ) from error
            raise
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
        return record

    def _check(self, path: Path, collection_id: int) -> None:
        """Reads every byte of a snapshot against its checksums."""
        try:
            manifest = files.read_manifest(path)
            for name in manifest["files"]:
                files.check_file(path, name, manifest, is_deep=True)
            is_same = document_file.digest(path / _DOCUMENTS) == manifest["record"]["checksum"]
        except (DamagedSegmentError, OSError, KeyError) as error:
            raise _damaged(collection_id, str(error)) from error
        if not is_same:
            raise _damaged(collection_id, "the documents were changed")

    def _sweep(self) -> None:
        """Deletes snapshots past their time, and what was left half written long ago."""
        with contextlib.suppress(FileNotFoundError):
            for path in [each for folder in self._folder.iterdir() for each in folder.iterdir()]:
                if path.suffix == _TEMPORARY:
                    with contextlib.suppress(FileNotFoundError):
                        if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                            shutil.rmtree(path, ignore_errors=True)
                    continue
                record = _read(path)
                if record is not None and record.is_expired:
                    self._remove(record.collection_id, record.snapshot_id)

    def _remove(self, collection_id: int, snapshot_id: str) -> None:
        path = self._of(collection_id) / snapshot_id
        # Out of sight at once; a half deleted folder must not look like a damaged snapshot.
        gone = path.with_name(f"{snapshot_id}{_TEMPORARY}")
        with contextlib.suppress(FileNotFoundError):
            path.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
        SNAPSHOTS.labels(done="deleted").inc()

    @contextlib.asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        if self._busy.locked():
            raise UnavailableError(
                Reason.NOT_READY,
                "another snapshot is being written or restored",
                retry_after_seconds=5.0,
            )
        async with self._busy:
            yield

    async def _here(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


def _read(path: Path) -> Record | None:
    """Returns what a folder says of its snapshot; None when it cannot be read."""
    if path.suffix == _TEMPORARY:
        return None
    try:
        return Record(**files.read_manifest(path)["record"])
    except (DamagedSegmentError, KeyError, TypeError):
        return None


def _damaged(collection_id: int, why: str) -> DataLossError:
    SNAPSHOTS_DAMAGED.inc()
    get_logger().error("a snapshot is damaged", collection_id=collection_id, why=why)
    return DataLossError(
        Reason.DATA_CORRUPTED,
        "the snapshot's files are damaged: nothing was changed; restore another one",
        metadata={"collection_id": str(collection_id)},
    )
