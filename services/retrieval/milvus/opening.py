"""Connects to Milvus and puts the backend together."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.retrieval.backend import Backend
from services.retrieval.milvus.administration import MilvusAdministration, MilvusExporter
from services.retrieval.milvus.follower import Follower
from services.retrieval.milvus.library import MilvusLibrary
from services.retrieval.milvus.search import MilvusSearcher
from services.retrieval.milvus.server import Server
from services.rpc.errors import StartupError

if TYPE_CHECKING:
    from services.retrieval.store.counts import Quota
    from services.retrieval.store.store import Store

_WAIT_SECONDS = 60.0
"""For a Milvus that is still starting."""
_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where Milvus is."""

    uri: str
    """`http://host:19530`, or a file for Milvus Lite."""
    token: str = field(default="", repr=False)
    prefix: str = "cairn"


@contextlib.asynccontextmanager
async def opened(
    store: Store, place: Place, poll_seconds: float, threads: int, default_quota: Quota
) -> AsyncIterator[Backend]:
    """Yields the backend over a Milvus that answers.

    Raises:
        StartupError: pymilvus is missing, or nothing answers in time.
    """
    server = await _connect(place)
    try:
        async with Follower(store, server, poll_seconds) as follower:
            searcher = MilvusSearcher(store, server, follower, threads)
            library = MilvusLibrary(store, follower, server, default_quota=default_quota)
            try:
                yield Backend(
                    library,
                    searcher,
                    MilvusAdministration(store, follower, server, default_quota=default_quota),
                    MilvusExporter(store, follower, library),
                    _nothing,
                )
            finally:
                await searcher.close()
    finally:
        await asyncio.to_thread(server.close)


async def _connect(place: Place) -> Server:
    give_up = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            return await asyncio.to_thread(Server, place.uri, place.token, place.prefix)
        except StartupError:
            if "://" not in place.uri or time.monotonic() > give_up:
                raise
        await asyncio.sleep(_PAUSE_SECONDS)


async def _nothing() -> None:
    """Milvus keeps its own rows ready."""
