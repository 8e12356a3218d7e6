"""Goes through sources when they are due; one process at a time has a source."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from services.ingestion.failpoint import Failpoint
from services.ingestion.failures import FailureReason, LeaseLostError
from services.ingestion.sources.folder import FolderReader
from services.ingestion.sources.model import Problem, SourceFailedError, SourceKind
from services.ingestion.sources.object_store import ObjectStoreReader
from services.ingestion.sources.sync import Synchronisation
from services.ingestion.sources.web import WebReader
from services.rpc.errors import ServiceError
from services.rpc.logs import exception_fields, get_logger

if TYPE_CHECKING:
    from types import TracebackType

    from services.ingestion.deletion import Deletions
    from services.ingestion.intake import Intake
    from services.ingestion.sources.model import Source, SyncLease
    from services.ingestion.sources.reader import SourceReader
    from services.ingestion.sources.store import SourceStore
    from services.ingestion.sources.web import WebFetcher

_HEARTBEATS_PER_LEASE = 5
_STORE_DOWN_SECONDS = 2.0
_NO_FAILPOINT = Failpoint("")
_FAILED_SECONDS = 15.0
"""A source that failed is tried again after this, or after its interval when that is longer."""


@dataclass(frozen=True, slots=True)
class Readers:
    """Makes the reader of a source.

    Args:
        fetcher: Fetches web addresses.
        spool_folder: Where large items lie while they are submitted.
        max_bytes: Largest item.
        max_items: Most items of an object store.
        credentials: What object stores are opened with, by name.
    """

    fetcher: WebFetcher
    spool_folder: Path
    max_bytes: int
    max_items: int
    credentials: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def open(self, source: Source) -> SourceReader:
        """Returns the reader.

        Raises:
            SourceFailedError: the credentials are not there any more.
        """
        if source.kind is SourceKind.FOLDER:
            return FolderReader(source, self.max_bytes, self.spool_folder)
        if source.kind is SourceKind.URL:
            return WebReader(source, self.fetcher)
        if source.credentials and source.credentials not in self.credentials:
            raise SourceFailedError(
                "NOT_SUPPORTED", "the service does not know its credentials", is_retryable=False
            )
        return ObjectStoreReader(
            source,
            self.credentials.get(source.credentials, {}),
            max_bytes=self.max_bytes,
            max_items=self.max_items,
            spool_folder=self.spool_folder,
        )


def parse_credentials(text: str) -> dict[str, dict[str, Any]]:
    """Reads `{"name": {"key": …, "secret": …, "endpoint_url": …}}`.

    Raises:
        ValueError: it is something else. The text never holds a part of it.
    """
    try:
        plain = json.loads(text or "{}")
    except ValueError:
        raise ValueError("is not JSON") from None
    if not isinstance(plain, dict) or not all(isinstance(each, dict) for each in plain.values()):
        raise ValueError("is not an object of objects")
    return plain


class SourceSchedule:
    """Goes through sources until it is closed.

    Args:
        store: Says which are due.
        readers: Make their readers.
        intake: Takes documents in.
        deletions: Takes them out.
        owner: Name of this process in the leases.
        concurrency: Sources at once.
        poll_seconds: How often to look for sources that are due.
        failpoint: Where tests kill the process.
    """

    def __init__(
        self,
        store: SourceStore,
        readers: Readers,
        intake: Intake,
        deletions: Deletions,
        *,
        owner: str,
        concurrency: int = 2,
        poll_seconds: float = 1.0,
        failpoint: Failpoint = _NO_FAILPOINT,
    ) -> None:
        self._failpoint = failpoint
        self._store = store
        self._readers = readers
        self._intake = intake
        self._deletions = deletions
        self._owner = owner
        self._concurrency = concurrency
        self._poll_seconds = poll_seconds
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._loop()) for _ in range(self._concurrency)]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _loop(self) -> None:
        while True:
            lease = None
            try:
                lease = await self._store.claim(self._owner)
                if lease is not None:
                    await self._go_through(lease)
            except ServiceError as error:
                get_logger().warning("sources wait", reason=error.reason.value)
                await asyncio.sleep(_STORE_DOWN_SECONDS)
            except Exception as error:  # noqa: BLE001 - the loop must outlive whatever happens
                get_logger().error("a source failed", **exception_fields(error))
                await asyncio.sleep(_STORE_DOWN_SECONDS)
            if lease is None:
                await asyncio.sleep(self._poll_seconds)

    async def _go_through(self, lease: SyncLease) -> None:
        """Goes through one source; its report says how it went."""
        problem: Problem | None = None
        try:
            async with self._kept(lease):
                reader = self._readers.open(lease.source)
                await Synchronisation(
                    lease, reader, self._store, self._intake, self._deletions, self._failpoint
                ).run()
        except LeaseLostError:
            return
        except SourceFailedError as error:
            problem = error.problem
        except ServiceError as error:
            problem = Problem(error.reason.value, error.message, is_retryable=True)
        except Exception as error:  # noqa: BLE001 - recorded with the source
            get_logger().error("a source failed", **exception_fields(error))
            problem = Problem(
                FailureReason.INTERNAL,
                "a fault of the ingestion service; its log has the details",
                is_retryable=True,
            )
        await self._conclude(lease, problem)

    async def _conclude(self, lease: SyncLease, problem: Problem | None) -> None:
        interval = lease.source.sync_interval_seconds
        if problem is not None and interval is not None:
            interval = max(interval, _FAILED_SECONDS)
        report = dataclasses.replace(lease.report, problem=problem)
        with contextlib.suppress(LeaseLostError):
            await self._store.finish(lease, report, None if lease.source.is_paused else interval)
        level = "info" if problem is None else "warning"
        if problem is not None or report.submitted_count or report.removed_count:
            getattr(get_logger(), level)(
                "source synchronised",
                tenant=lease.tenant,
                name=lease.source.name,
                reason=problem.reason if problem else "",
                submitted=report.submitted_count,
                removed=report.removed_count,
                failed=report.failed_count,
            )

    @contextlib.asynccontextmanager
    async def _kept(self, lease: SyncLease) -> AsyncIterator[None]:
        """Keeps the lease while the block runs; ends the block when it is lost.

        Raises:
            LeaseLostError: it was lost.
        """
        work = asyncio.current_task()
        assert work is not None
        is_lost = False

        async def beat() -> None:
            nonlocal is_lost
            while True:
                await asyncio.sleep(self._store.lease_seconds / _HEARTBEATS_PER_LEASE)
                try:
                    await self._store.extend(lease)
                except LeaseLostError:
                    is_lost = True
                    work.cancel()
                    return
                except ServiceError as error:
                    get_logger().warning(
                        "a source's lease cannot be extended", reason=error.reason.value
                    )

        heart = asyncio.create_task(beat())
        try:
            yield
        except asyncio.CancelledError:
            if not is_lost:
                raise
            raise LeaseLostError from None
        finally:
            if is_lost:
                work.uncancel()
            heart.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await heart
