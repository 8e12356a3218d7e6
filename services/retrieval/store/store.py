"""The store of one process: its engine, writer and reader, and the catalog kept at hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from services.retrieval.store import catalog, tables
from services.retrieval.store.position import GONE, Positions
from services.retrieval.store.upgrades import UPGRADES
from services.rpc.errors import Reason, UnavailableError
from services.sql.ballast import Ballast
from services.sql.direct import DirectReads
from services.sql.engine import is_sqlite, open_engine
from services.sql.notices import Notices
from services.sql.reader import Reader
from services.sql.schema import ensure_schema
from services.sql.writer import GroupWriter

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from services.retrieval.collections import Collection

T = TypeVar("T")

_CHANNEL = "cairn_retrieval"
_ATTEMPTS = 5
"""Times a name is resolved again because the catalog changed meanwhile."""
_ASKING_THREADS = 2
"""Connections that are asked for positions, where asking is a round trip."""


def now_micros() -> int:
    """Returns the time in microseconds since 1970."""
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class _Known:
    """A catalog entry and the catalog's version it was read at."""

    collection: Collection
    version: int


class Store:
    """Reads and writes the truth.

    Args:
        engine: Database whose tables exist.
        readers: Reads at once.
        reserve_bytes: Space kept on the disk of a SQLite database for deletes; 0: none.
    """

    def __init__(self, engine: Engine, *, readers: int = 4, reserve_bytes: int = 0) -> None:
        self._engine = engine
        ballast = Ballast(engine, reserve_bytes) if reserve_bytes and is_sqlite(engine) else None
        self.writer = GroupWriter(engine, ballast=ballast)
        self._notices = Notices(engine, _CHANNEL)
        self.reader = Reader(engine, readers)
        self.direct = DirectReads(engine)
        self.is_sqlite = is_sqlite(engine)
        self.positions = Positions(self.direct, is_instant=self.is_sqlite)
        self._asking = ThreadPoolExecutor(_ASKING_THREADS, thread_name_prefix="position")
        self._known: dict[tuple[str, str], _Known] = {}
        self.catalog_version = 0
        """Version of the catalog last seen; entries read before it are not trusted."""

    @classmethod
    async def open(cls, url: str, *, readers: int = 4, reserve_bytes: int = 0) -> Self:
        """Opens the database, creating or upgrading its tables."""
        # Readers, as many searches, three threads of views, the writer.
        engine = open_engine(url, pool_size=2 * readers + 4)
        await asyncio.to_thread(_prepare, engine)
        store = cls(engine, readers=readers, reserve_bytes=reserve_bytes)
        await store.write(catalog.prepare)
        return store

    async def close(self) -> None:
        """Finishes writes and reads, and disconnects."""
        await self._notices.close()
        await self.writer.close()
        await self.reader.close()
        await asyncio.to_thread(self._asking.shutdown, wait=True, cancel_futures=True)
        self.direct.close()
        self._engine.dispose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def write(self, fn: Callable[[Connection], T], *, frees_space: bool = False) -> T:
        """Runs a writing function; returns after its commit.

        Args:
            fn: As `GroupWriter.run` wants it.
            frees_space: Whether it deletes, so that it must work on a full disk.
        """

        def write(connection: Connection) -> T:
            result = fn(connection)
            self._notices.announce(connection)
            return result

        return await self.writer.run(write, frees_space=frees_space)

    async def changed(self, seconds: float) -> None:
        """Waits until another process may have written, at most so long."""
        await self._notices.wait(seconds)

    async def change_catalog(
        self, fn: Callable[[Connection], T], *, frees_space: bool = False
    ) -> T:
        """Runs a function that changes collections or aliases; forgets what was known of them."""
        try:
            return await self.write(fn, frees_space=frees_space)
        finally:
            self.forget_catalog()

    async def read(self, fn: Callable[[Connection], T]) -> T:
        """Runs a reading function on one snapshot."""
        return await self.reader.run(fn)

    async def resolve(self, tenant: str, name: str) -> Collection:
        """Returns the collection of that name or alias; its `seq` may be old.

        Raises:
            NotFoundError: the tenant has none.
        """
        known = self._known.get((tenant, name))
        if known is not None and known.version == self.catalog_version:
            return known.collection
        return await self.resolve_afresh(tenant, name)

    async def resolve_afresh(self, tenant: str, name: str) -> Collection:
        """Returns the collection as it is in the database now."""

        def read(connection: Connection) -> _Known:
            # First the version: what is read after it may be newer than it says, never older.
            version = catalog.version(connection)
            return _Known(catalog.resolve(connection, tenant, name), version)

        known = await self.reader.run(read)
        for _ in range(_ATTEMPTS):
            self.see_catalog(known.version)
            if known.version == self.catalog_version:
                break
            known = await self.reader.run(read)  # something newer was seen meanwhile
        self._known[tenant, name] = known
        return known.collection

    async def newest(self, tenant: str, name: str) -> Collection:
        """Returns the collection of that name or alias with the `seq` it has in the database now.

        Raises:
            NotFoundError: the tenant has none.
            UnavailableError: the database does not say.
        """
        for _ in range(_ATTEMPTS):
            collection = await self.resolve(tenant, name)
            # Of this entry: what others see while the question is on its way is newer than it.
            version = self.catalog_version
            read = partial(self.positions.read, collection.id)
            if self.positions.is_instant:
                found = read()
            else:
                found = await asyncio.get_running_loop().run_in_executor(self._asking, read)
            if found is None:
                break
            if found.seq == GONE:
                self.forget_catalog()
            elif found.catalog_version > version:
                self.see_catalog(found.catalog_version)
            else:
                return replace(collection, seq=found.seq)
        raise UnavailableError(
            Reason.DEPENDENCY_UNAVAILABLE, "the store does not say where the collection stands"
        )

    def see_catalog(self, version: int) -> None:
        """Notes the catalog's version; entries of an older one are forgotten."""
        if version > self.catalog_version:
            self.catalog_version = version
            self._known.clear()

    def forget_catalog(self) -> None:
        """Forgets all entries."""
        self._known.clear()


def _prepare(engine: Engine) -> None:
    ensure_schema(
        engine, tables.metadata, tables.VERSION, component=tables.COMPONENT, upgrades=UPGRADES
    )
