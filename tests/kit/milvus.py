"""Both backends of retrieval over one store: Milvus is Milvus Lite, in a file of this process."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from services.retrieval.library import Library
from services.retrieval.search import Searcher
from services.retrieval.store.store import Store
from services.retrieval.view.keeper import Keeper, KeeperSettings


@dataclass
class Backend:
    """What the servicer calls, over one backend."""

    name: str
    library: Any
    searcher: Any
    store: Store
    follower: Any = None
    server: Any = None


@contextlib.asynccontextmanager
async def local_backend(url: str) -> AsyncIterator[Backend]:
    """The local backend."""
    async with await Store.open(url) as store, Keeper(store, KeeperSettings(0.02)) as keeper:
        searcher = Searcher(store, keeper, threads=2)
        try:
            yield Backend("local", Library(store, keeper), searcher, store)
        finally:
            await searcher.close()


@pytest.fixture(scope="session")
def milvus_lite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Milvus Lite in a file; skips where it is missing. Collections in it never share a name."""
    for module in ("pymilvus", "milvus_lite"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed: the Milvus backend is not tested")
    from services.retrieval.milvus.server import Server  # noqa: PLC0415 - after the check

    # It logs each call that it does not implement with a traceback; the client has another way.
    logging.getLogger("grpc._server").setLevel(logging.CRITICAL)
    server = Server(str(tmp_path_factory.mktemp("milvus") / "lite.db"))
    yield server
    server.close()


@contextlib.asynccontextmanager
async def milvus_backend(url: str, server: Any) -> AsyncIterator[Backend]:
    """The Milvus backend over a server that is running."""
    from services.retrieval.milvus.follower import Follower  # noqa: PLC0415 - an extra
    from services.retrieval.milvus.library import MilvusLibrary  # noqa: PLC0415 - as above
    from services.retrieval.milvus.search import MilvusSearcher  # noqa: PLC0415 - as above

    async with await Store.open(url) as store, Follower(store, server, 0.02) as follower:
        searcher = MilvusSearcher(store, server, follower, 2)
        library = MilvusLibrary(store, follower, server)
        try:
            yield Backend("milvus", library, searcher, store, follower, server)
        finally:
            await searcher.close()
