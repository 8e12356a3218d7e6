"""What callers may do with sources, web addresses and many documents at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from services.gateway.arrivals import arrived, arriving
from services.gateway.identity import Caller, Operation
from services.gateway.pages import Page, page_size_of
from services.gateway.requests import MAX_PRINCIPALS, parse_filter
from services.gateway.sources import MAX_URLS, DeleteAsk, Enrichment, Source
from services.gateway.submissions import check_accepted
from services.gateway.texts import check_collection, check_range, check_text
from services.rpc.errors import InvalidArgumentError

if TYPE_CHECKING:
    from services.gateway.clients.source_client import SourceClient
    from services.gateway.library import Submission
    from services.gateway.metering import Metering
    from services.gateway.passages import Metadata
    from services.gateway.sources import (
        DeleteResult,
        SourceEntry,
        SourceItem,
        SourceStatus,
    )

_MAX_URL_CHARACTERS = 8_192


class SourceOperations:
    """Everything a caller may ask about sources.

    Args:
        ingestion: The ingestion service.
        metering: Reserves and meters what requests use.
    """

    def __init__(self, ingestion: SourceClient, metering: Metering) -> None:
        self._ingestion = ingestion
        self._metering = metering

    async def fetch(
        self,
        caller: Caller,
        collection: str,
        urls: Sequence[str],
        metadata: Metadata,
        acl: Sequence[str],
    ) -> tuple[Submission, ...]:
        """Has documents fetched; a bad address fails alone.

        Raises:
            InvalidArgumentError: none could be accepted.
        """
        collection = check_collection(collection)
        caller.require(Operation.INGEST, collection)
        check_range("urls (entries)", len(urls), 1, MAX_URLS)
        for index, url in enumerate(urls):
            check_text(f"urls[{index}]", url, limit=_MAX_URL_CHARACTERS, required=True)
        check_range("acl (entries)", len(acl), 0, MAX_PRINCIPALS)
        async with self._metering.request(
            caller, Operation.INGEST, collection, arriving(len(urls), 0)
        ) as meter:
            submissions = await self._ingestion.fetch(caller.scope, collection, urls, metadata, acl)
            arrived(meter, ((each, 0) for each in submissions))
        check_accepted(submissions, "urls")
        return submissions

    async def delete_documents(
        self, caller: Caller, collection: str, ask: DeleteAsk
    ) -> DeleteResult:
        """Deletes documents by filter, source or owner, whoever may read them."""
        collection = check_collection(collection)
        caller.require(Operation.DELETE_DOCUMENTS, collection)
        check_text("source", ask.source, limit=_MAX_URL_CHARACTERS)
        check_text("owner", ask.owner, limit=_MAX_URL_CHARACTERS)
        tree = parse_filter(ask.filter)
        if (tree is not None) + bool(ask.source) + bool(ask.owner) != 1:
            raise InvalidArgumentError.for_field(
                "filter", "give exactly one of filter, source and owner"
            )
        return await self._ingestion.delete(
            caller.scope, collection, tree=tree, source=ask.source, owner=ask.owner
        )

    async def put(self, caller: Caller, source: Source) -> tuple[SourceEntry, bool]:
        """Creates a source or replaces it; returns it and whether it is new."""
        caller.require(Operation.MANAGE_SOURCES)
        return await self._ingestion.put(caller.scope, source)

    async def get(self, caller: Caller, name: str) -> SourceEntry:
        """Returns a source with its state."""
        caller.require(Operation.SYNC_SOURCE)
        return await self._ingestion.get(caller.scope, name)

    async def list_sources(
        self, caller: Caller, page_size: int = 0, page_token: str = ""
    ) -> Page[SourceEntry]:
        """Returns a page of sources."""
        caller.require(Operation.SYNC_SOURCE)
        check_text("page_token", page_token, limit=2_048)
        entries, token = await self._ingestion.list_page(
            caller.scope, page_size_of(page_size), page_token
        )
        return Page(entries, token)

    async def list_items(
        self,
        caller: Caller,
        name: str,
        *,
        failed_only: bool = False,
        page_size: int = 0,
        page_token: str = "",
    ) -> Page[SourceItem]:
        """Returns a page of what was found in a source, whoever may read its documents."""
        caller.require(Operation.MANAGE_SOURCES)
        check_text("page_token", page_token, limit=20_000)
        items, token = await self._ingestion.list_items(
            caller.scope,
            name,
            failed_only=failed_only,
            page_size=page_size_of(page_size),
            page_token=page_token,
        )
        return Page(items, token)

    async def sync(
        self,
        caller: Caller,
        name: str,
        paths: Sequence[str] = (),
        *,
        is_full: bool = False,
        allow_empty: bool = False,
    ) -> tuple[int, SourceStatus]:
        """Asks for a synchronisation; returns its number and the source's state."""
        caller.require(Operation.MANAGE_SOURCES if allow_empty else Operation.SYNC_SOURCE)
        return await self._ingestion.sync(
            caller.scope, name, paths, is_full=is_full, allow_empty=allow_empty
        )

    async def delete(self, caller: Caller, name: str, *, keep_documents: bool) -> int:
        """Deletes a source; returns how many documents went with it."""
        caller.require(Operation.MANAGE_SOURCES)
        return await self._ingestion.delete_source(
            caller.scope, name, keep_documents=keep_documents
        )

    async def enrichment(self, caller: Caller, collection: str) -> Enrichment:
        """Returns what is found out about the documents of a collection."""
        collection = check_collection(collection, "name")
        caller.require(Operation.READ_COLLECTIONS, collection)
        return await self._ingestion.enrichment(caller.scope, collection)

    async def set_enrichment(
        self, caller: Caller, collection: str, settings: Enrichment | None
    ) -> Enrichment:
        """Sets it, and returns it; None: as the service is set up."""
        collection = check_collection(collection, "name")
        caller.require(Operation.MANAGE_SOURCES, collection)
        await self._ingestion.set_enrichment(caller.scope, collection, settings)
        return await self._ingestion.enrichment(caller.scope, collection)
