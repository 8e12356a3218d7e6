"""What callers may do with sources and web addresses."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from services.ingestion.document import DocumentHeader, content_of
from services.ingestion.intake import Submitted
from services.ingestion.sources.model import (
    ItemFailedError,
    ItemGoneError,
    Problem,
    Source,
    SourceStatus,
    SyncRequest,
    SyncState,
)
from services.ingestion.sources.settings_check import Allowed, check_address, check_source
from services.ingestion.validation import check_collection, check_header
from services.rpc.errors import InvalidArgumentError, NotFoundError, Reason, ServiceError

if TYPE_CHECKING:
    from services.ingestion.deletion_query import DeletionQueries
    from services.ingestion.intake import Intake
    from services.ingestion.jobs.model import Accepted
    from services.ingestion.sources.model import StoredItem
    from services.ingestion.sources.store import SourceStore
    from services.ingestion.sources.web import WebFetcher
    from services.rpc.scope import Scope

MAX_FETCHED = 100
MAX_PATHS = 1000
_MAX_PATH_CHARACTERS = 8192
_FETCHES_AT_ONCE = 8
_WATCH_SECONDS = 0.25
_DELETE_BATCH = 500


class SourceDesk:
    """Keeps sources and fetches web addresses.

    Args:
        store: Where sources are kept.
        allowed: What the service is set up to read from.
        intake: Takes documents in.
        deletions: Takes them out.
        fetcher: Fetches web addresses.
        max_sources: Most sources of a tenant.
    """

    def __init__(
        self,
        store: SourceStore,
        allowed: Allowed,
        intake: Intake,
        deletions: DeletionQueries,
        fetcher: WebFetcher,
        *,
        max_sources: int = 1000,
    ) -> None:
        self._store = store
        self._allowed = allowed
        self._intake = intake
        self._deletions = deletions
        self._fetcher = fetcher
        self._max_sources = max_sources

    async def put(self, scope: Scope, source: Source) -> tuple[Source, SourceStatus, bool]:
        """Creates a source or replaces its settings; returns it, its state, and whether it is new.

        Raises:
            InvalidArgumentError: something in it is wrong.
            FailedPreconditionError: the service is not set up to read from there.
        """
        source = check_source(source, self._allowed)
        status, is_created = await self._store.put(
            scope.tenant, int(scope.tenant_class), source, most=self._max_sources
        )
        return source, status, is_created

    async def get(self, scope: Scope, name: str) -> tuple[Source, SourceStatus]:
        """Returns a source.

        Raises:
            NotFoundError: there is none of this name.
        """
        _check_name(name)
        return await self._store.get(scope.tenant, name)

    async def list_page(
        self, scope: Scope, size: int, token: str
    ) -> tuple[list[tuple[Source, SourceStatus]], str]:
        """Returns a page of sources and the token of the next."""
        return await self._store.list_page(scope.tenant, size, token)

    async def list_items(
        self, scope: Scope, name: str, *, failed_only: bool, size: int, token: str
    ) -> tuple[list[StoredItem], str]:
        """Returns a page of a source's items and the token of the next.

        Raises:
            NotFoundError: there is no such source.
        """
        _check_name(name)
        return await self._store.list_items(
            scope.tenant, name, failed_only=failed_only, size=size, token=token
        )

    async def sync(self, scope: Scope, name: str, request: SyncRequest) -> tuple[int, SourceStatus]:
        """Records that a source is to be gone through; returns the number it will have.

        Raises:
            NotFoundError: there is no such source.
        """
        _check_name(name)
        if len(request.paths) > MAX_PATHS:
            raise InvalidArgumentError.for_field(
                "paths",
                f"has {len(request.paths)} entries, {MAX_PATHS} are allowed; leave it empty",
                Reason.TOO_LARGE,
            )
        for index, path in enumerate(request.paths):
            if not path or len(path) > _MAX_PATH_CHARACTERS or "\x00" in path:
                raise InvalidArgumentError.for_field(
                    f"paths[{index}]", f"must have 1 to {_MAX_PATH_CHARACTERS} characters"
                )
        return await self._store.request_sync(scope.tenant, name, request)

    async def watch(self, scope: Scope, name: str, sync_number: int) -> AsyncIterator[SourceStatus]:
        """Yields a source's state whenever it changes, until a synchronisation has ended.

        Args:
            scope: Whose source.
            name: Its name.
            sync_number: The synchronisation waited for; 0: the last that was asked for.

        Raises:
            NotFoundError: there is no such source, or no longer.
        """
        _check_name(name)
        last: SourceStatus | None = None
        while True:
            _, status = await self._store.get(scope.tenant, name)
            sync_number = sync_number or status.requested_sync_number
            if status != last:
                yield status
                last = status
            if _has_ended(status, sync_number):
                return
            await asyncio.sleep(_WATCH_SECONDS)

    async def delete(self, scope: Scope, name: str, *, keep_documents: bool) -> int:
        """Deletes a source, with its documents unless they are to be kept; returns how many.

        Raises:
            NotFoundError: there is no such source.
            UnavailableError: retrieval does not answer; the source is still there, and rests.
        """
        _check_name(name)
        await self._store.pause(scope.tenant, name)
        count = 0
        if not keep_documents:
            by_collection: dict[str, list[str]] = defaultdict(list)
            for collection, document_id in await self._store.documents_of(scope.tenant, name):
                by_collection[collection].append(document_id)
            for collection, ids in by_collection.items():
                count += await self._delete_documents(scope, collection, ids)
        await self._store.delete(scope.tenant, name)
        return count

    async def fetch(
        self, scope: Scope, collection: str, urls: Sequence[str], header: DocumentHeader
    ) -> list[Accepted | ServiceError | Problem]:
        """Fetches and submits; one result per address.

        Raises:
            InvalidArgumentError: an address or the header is wrong: nothing is fetched.
            ResourceExhaustedError: the queue is full.
        """
        self._check_fetch(collection, urls, header)
        gate = asyncio.Semaphore(_FETCHES_AT_ONCE)

        async def one(url: str) -> Accepted | ServiceError | Problem:
            async with gate:
                return await self._fetch_one(scope, collection, url, header)

        return list(await asyncio.gather(*(one(url) for url in urls)))

    def _check_fetch(self, collection: str, urls: Sequence[str], header: DocumentHeader) -> None:
        check_collection(collection)
        if not 1 <= len(urls) <= MAX_FETCHED:
            raise InvalidArgumentError.for_field(
                "urls", f"has {len(urls)} entries, 1 to {MAX_FETCHED} are allowed"
            )
        for index, url in enumerate(urls):
            check_address(url, f"urls[{index}]")
        for name in ("document_id", "uri", "file_name"):
            if getattr(header, name):
                raise InvalidArgumentError.for_field(
                    f"header.{name}", "comes from the address; leave it out"
                )
        if header.idempotency_key and len(urls) > 1:
            raise InvalidArgumentError.for_field(
                "header.idempotency_key", "is for a single address only"
            )
        check_header(header, content_of(b""), "header")

    async def _fetch_one(
        self, scope: Scope, collection: str, url: str, header: DocumentHeader
    ) -> Accepted | ServiceError | Problem:
        try:
            fetched = await self._fetcher.fetch(url)
        except ItemGoneError:
            return Problem("FETCH_FAILED", "the server has nothing at this address")
        except ItemFailedError as error:
            return error.problem
        except ServiceError as error:
            return error
        assert fetched is not None
        header = dataclasses.replace(
            header,
            uri=url,
            file_name=fetched.file_name,
            content_type=header.content_type or fetched.content_type,
        )
        document = Submitted(header, fetched.content, "header", "content")
        (result,) = await self._intake.submit(scope, collection, [document])
        return result

    async def _delete_documents(self, scope: Scope, collection: str, ids: Sequence[str]) -> int:
        count = 0
        for start in range(0, len(ids), _DELETE_BATCH):
            part = ids[start : start + _DELETE_BATCH]
            try:
                deleted = await self._deletions.delete(scope, collection, part)
            except NotFoundError as error:
                if error.reason is not Reason.COLLECTION_NOT_FOUND:
                    raise
                continue
            count += deleted.count
        return count


def _check_name(name: str) -> None:
    check_collection(name, "name")


def _has_ended(status: SourceStatus, sync_number: int) -> bool:
    report = status.report
    if report is not None and report.sync_number >= sync_number and report.ended_us:
        return True
    # Nothing will come of it: the source rests.
    return status.state is SyncState.IDLE and not status.next_sync_us
