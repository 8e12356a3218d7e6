"""One synchronisation: what is new or changed is submitted, what is gone is deleted.

Nothing is concluded from what was not seen: only after a listing that went through to its end are
items that it lacks taken for removed. A source that is suddenly empty is taken for a fault (a
volume that is not mounted) unless the request says otherwise.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.ingestion.sources.model import (
    Fetched,
    Found,
    ItemFailedError,
    ItemGoneError,
    RemovalPolicy,
    SourceFailedError,
    StoredItem,
    SyncRequest,
)
from services.ingestion.sources.placement import Placement, place
from services.ingestion.sources.submit import ItemSubmitter, failed_item, problem_of
from services.rpc.errors import ServiceError
from services.rpc.scope import Scope, TenantClass

if TYPE_CHECKING:
    from services.ingestion.deletion import Deletions
    from services.ingestion.failpoint import Failpoint
    from services.ingestion.intake import Intake
    from services.ingestion.sources.model import SyncLease, SyncReport
    from services.ingestion.sources.reader import SourceReader
    from services.ingestion.sources.store import SourceStore

_READS_AT_ONCE = 16
"""They are submitted together; large ones lie on disk meanwhile."""
_REMOVED_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a synchronisation does."""

    number: int
    """0: it looks at some items only."""
    is_full: bool
    allow_empty: bool
    paths: tuple[str, ...]


@dataclass(slots=True)
class _Outcome:
    """What became of the items of a batch."""

    items: list[StoredItem] = field(default_factory=list)
    unchanged: dict[str, str] = field(default_factory=dict)
    gone: list[StoredItem] = field(default_factory=list)
    moved: list[StoredItem] = field(default_factory=list)
    """Former states of items whose documents are in another collection now."""


class Synchronisation:
    """Goes through one source, once.

    Args:
        lease: The source.
        reader: Lists and reads it.
        store: Remembers items.
        intake: Takes documents in.
        deletions: Takes them out.
        failpoint: Where tests kill the process.
    """

    def __init__(
        self,
        lease: SyncLease,
        reader: SourceReader,
        store: SourceStore,
        intake: Intake,
        deletions: Deletions,
        failpoint: Failpoint,
    ) -> None:
        self._lease = lease
        self._source = lease.source
        self._reader = reader
        self._store = store
        self._deletions = deletions
        self._failpoint = failpoint
        self._scope = Scope(
            tenant=lease.tenant,
            principals=(),
            actor=f"source:{lease.source.name}",
            tenant_class=TenantClass(lease.tenant_class),
        )
        self._submitter = ItemSubmitter(intake, lease.source, self._scope)
        self._plan = _plan(lease)

    @property
    def _report(self) -> SyncReport:
        return self._lease.report

    async def run(self) -> None:
        """Goes through the source; the figures are in the lease's report, step by step.

        Raises:
            SourceFailedError: it could not be gone through.
            LeaseLostError: someone else has it now.
        """
        if self._plan.number:
            await self._run_all()
        else:
            await self._run_some()

    async def _run_all(self) -> None:
        number = self._plan.number
        async for batch in self._reader.scan():
            await self._take(batch)
            self._report.excluded_count += self._reader.excluded_count
            self._reader.excluded_count = 0
        self._report.excluded_count += self._reader.excluded_count
        if not self._report.item_count and not self._plan.allow_empty:
            count = await self._store.count_items(self._lease)
            if count:
                raise SourceFailedError(
                    "SOURCE_EMPTY",
                    f"nothing was found where {count} items were; if that is right, synchronise "
                    "with allow_empty, and their documents are deleted",
                )
        while gone := await self._store.unseen(self._lease, number, _REMOVED_AT_ONCE):
            await self._remove(gone)

    async def _run_some(self) -> None:
        found: list[Found] = []
        missing: list[str] = []
        for path in dict.fromkeys(self._plan.paths):
            item = await self._reader.find(path)
            if item is None:
                missing.append(path)
            else:
                found.append(item)
        await self._take(found)
        known = await self._store.known(self._lease, missing) if missing else {}
        if known:
            await self._remove(list(known.values()))

    async def _take(self, batch: Sequence[Found]) -> None:
        """Submits what changed among items, and remembers them."""
        if not batch:
            return
        placed: list[tuple[Found, Placement]] = []
        for found in batch:
            placement = place(self._source, found.path)
            if placement is None:
                self._report.excluded_count += 1
            else:
                placed.append((found, placement))
        known = await self._store.known(self._lease, [found.path for found, _ in placed])
        self._report.item_count += len(placed)
        outcome = _Outcome()
        gate = asyncio.Semaphore(_READS_AT_ONCE)

        async def one(found: Found, placement: Placement) -> None:
            async with gate:
                await self._take_one(found, placement, known.get(found.path), outcome)

        try:
            async with asyncio.TaskGroup() as group:
                for found, placement in placed:
                    group.create_task(one(found, placement))
        except* SourceFailedError as errors:
            raise errors.exceptions[0] from None
        finally:
            await self._store.remember(
                self._lease, outcome.items, outcome.unchanged, self._plan.number
            )
        self._failpoint.reach("sync-remembered")
        await self._delete([(each.collection, each.document_id) for each in outcome.moved])
        if outcome.gone:
            await self._remove(outcome.gone)

    async def _take_one(
        self, found: Found, placement: Placement, known: StoredItem | None, outcome: _Outcome
    ) -> None:
        if known is not None and not self._plan.is_full and _is_settled(found, placement, known):
            self._keep(found, known, outcome)
            return
        try:
            # The version is told only where nothing else could have changed.
            is_same = known is not None and _is_settled_placement(placement, known)
            wants = is_same and not self._plan.is_full and known is not None
            fetched = await self._reader.read(found, known.version if wants and known else "")
        except ItemGoneError:
            self._report.item_count -= 1
            if known is not None:
                outcome.gone.append(known)
            return
        except ItemFailedError as error:
            self._report.failed_count += 1
            problem = problem_of(error)
            outcome.items.append(failed_item(self._source, found, placement, known, problem))
            return
        if fetched is None:
            assert known is not None
            self._keep(found, known, outcome)
            return
        if known is not None and self._is_same(fetched, placement, known):
            outcome.unchanged[found.path] = fetched.version or found.version
            self._report.unchanged_count += 1
            return
        await self._submit(found, fetched, placement, known, outcome)

    def _keep(self, found: Found, known: StoredItem, outcome: _Outcome) -> None:
        outcome.unchanged[found.path] = known.version
        if known.problem is None:
            self._report.unchanged_count += 1
        else:
            self._report.failed_count += 1

    def _is_same(self, fetched: Fetched, placement: Placement, known: StoredItem) -> bool:
        return (
            not self._plan.is_full
            and known.problem is None
            and known.digest == fetched.content.digest
            and known.placement == placement.digest
        )

    async def _submit(
        self,
        found: Found,
        fetched: Fetched,
        placement: Placement,
        known: StoredItem | None,
        outcome: _Outcome,
    ) -> None:
        result = await self._submitter.submit(found, fetched, placement)
        self._failpoint.reach("sync-submitted")
        if isinstance(result, ServiceError):
            self._report.failed_count += 1
            problem = problem_of(result)
            outcome.items.append(failed_item(self._source, found, placement, known, problem))
            return
        if result.is_unchanged or result.is_duplicate:
            self._report.unchanged_count += 1
        else:
            self._report.submitted_count += 1
        key = result.job.key
        outcome.items.append(
            StoredItem(
                path=found.path,
                collection=key.collection,
                document_id=key.document_id,
                job_id=result.job.job_id,
                version=fetched.version or found.version,
                digest=fetched.content.digest,
                placement=placement.digest,
                size_bytes=fetched.content.size_bytes,
                modified_us=fetched.modified_us or found.modified_us,
                submitted_us=self._store.now_us(),
            )
        )
        if known is not None and known.job_id and known.collection != key.collection:
            outcome.moved.append(known)

    async def _remove(self, gone: Sequence[StoredItem]) -> None:
        """Deletes the documents of items that are gone, where their rule says so."""
        documents = []
        for item in gone:
            placement = place(self._source, item.path)
            # An item that a rule leaves out by now counts as gone: its document goes, too.
            policy = placement.on_removal if placement else self._source.on_removal
            if policy is RemovalPolicy.DELETE and item.job_id:
                documents.append((item.collection, item.document_id))
        self._report.removed_count += len(gone)
        self._report.deleted_count += await self._delete(documents)
        self._failpoint.reach("sync-deleted")
        await self._store.forget(self._lease, [item.path for item in gone])

    async def _delete(self, documents: Sequence[tuple[str, str]]) -> int:
        by_collection: dict[str, list[str]] = defaultdict(list)
        for collection, document_id in documents:
            by_collection[collection].append(document_id)
        for collection, ids in by_collection.items():
            try:
                await self._deletions.delete(self._scope, collection, ids)
            except ServiceError as error:
                # Recorded by the queue all the same, and repeated by its upkeep.
                raise SourceFailedError(error.reason.value, error.message) from error
        return len(documents)


def _plan(lease: SyncLease) -> _Plan:
    """Returns what to do: everything, unless all requests name items."""
    requests = lease.requests or (SyncRequest(),)
    is_all = any(not each.paths for each in requests)
    return _Plan(
        number=lease.report.sync_number if is_all else 0,
        is_full=any(each.is_full for each in requests),
        allow_empty=any(each.allow_empty for each in requests),
        paths=tuple(path for each in requests for path in each.paths),
    )


def _is_settled_placement(placement: Placement, known: StoredItem) -> bool:
    may_retry = known.problem is not None and known.problem.is_retryable
    return known.placement == placement.digest and not may_retry


def _is_settled(found: Found, placement: Placement, known: StoredItem) -> bool:
    """Returns whether there is nothing to read: same version, same rules, no retry due."""
    is_same_version = bool(found.version) and found.version == known.version
    return is_same_version and _is_settled_placement(placement, known)
