"""What the service does with collections and documents: store and views together."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from services.retrieval import browse
from services.retrieval.browse import Place
from services.retrieval.collections import Alias, Collection, CollectionSettings
from services.retrieval.queries import Passage
from services.retrieval.store import catalog, contents, counts, documents, passages
from services.retrieval.store.store import now_micros
from services.rpc.errors import InvalidArgumentError, Reason, ServiceError
from services.rpc.logs import exception_fields, get_logger

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from services.filters.ast import Filter
    from services.filters.values import Value
    from services.retrieval.documents import Document
    from services.retrieval.search import Reach
    from services.retrieval.store.changes import Change
    from services.retrieval.store.counts import Quota
    from services.retrieval.store.documents import Deleted, Written
    from services.retrieval.store.store import Store
    from services.retrieval.view.keeper import Keeper
    from services.retrieval.view.view import Published, View

_EXPIRY_SECONDS = 30.0
"""Between two sweeps for documents past their time; they are invisible before."""
_EXPIRED_PER_SWEEP = 1000
_DELETE_ROUNDS = 3
_SCROLL_TRIES = 8
_SCROLL_PAUSE_SECONDS = 0.01
_DELETED_PER_WRITE = 1000
"""Documents of one transaction at most: other writers wait behind it, and a full disk has only so
much space for its log."""


@dataclass(frozen=True, slots=True)
class Stats:
    """Figures of a collection on this replica."""

    documents: int
    chunks: int
    tombstones: int
    view_bytes: int
    committed_seq: int
    visible_seq: int
    index: str
    saved_seq: int = 0
    """Write that the view's files hold; 0: there are none."""
    stored_bytes: int = 0
    """Of the documents in the store, as quotas count them."""


@dataclass(frozen=True, slots=True)
class DocumentPage:
    """A page of documents."""

    documents: list[Document]
    next_token: str


@dataclass(frozen=True, slots=True)
class PassagePage:
    """A page of chunks."""

    collection: str
    passages: list[Passage]
    next_token: str
    vectors: NDArray[np.float32] | None = None
    """(passages, dimensions), when they were asked for."""


def _chunk_page(
    published: Published, reach: Reach, tree: Filter | None, after: Place | None, size: int
) -> list[passages.Wanted]:
    mask = browse.visible(published, reach.principals, tree, now_micros())
    return browse.chunk_page(published.snapshot, mask, after, size)


class Library:
    """Collections and documents of all tenants.

    Args:
        store: The truth.
        keeper: Views of it.
        default_quota: What tenants may store that were given no quota of their own.
    """

    def __init__(
        self, store: Store, keeper: Keeper, *, default_quota: Quota = counts.UNLIMITED
    ) -> None:
        self._store = store
        self._keeper = keeper
        self._default_quota = default_quota
        self._has_dropped = asyncio.Event()

    async def create(
        self, tenant: str, name: str, settings: CollectionSettings
    ) -> tuple[Collection, bool]:
        """Creates a collection; returns it and whether it was there before."""
        return await self._store.change_catalog(
            lambda c: catalog.create(c, tenant, name, settings, now_micros())
        )

    async def describe(self, tenant: str, name: str) -> tuple[Collection, Stats]:
        """Returns a collection with its figures."""
        collection = await self._store.resolve_afresh(tenant, name)
        held = await self._store.read(lambda c: counts.read(c, collection.id))
        if held is None:
            raise catalog.not_found(name)
        view = self._keeper.loaded(collection.id)
        if view is None:
            return collection, Stats(
                documents=held.checksum.documents,
                chunks=held.checksum.chunks,
                tombstones=0,
                view_bytes=0,
                committed_seq=held.seq,
                visible_seq=0,
                index="not loaded: it loads when searched",
                stored_bytes=held.nbytes,
            )
        snapshot = view.published.snapshot
        return collection, Stats(
            documents=snapshot.live_documents,
            chunks=snapshot.live_chunks,
            tombstones=snapshot.dead_chunks,
            view_bytes=view.nbytes,
            committed_seq=collection.seq,
            visible_seq=snapshot.tenant_seq,
            index=view.describe(),
            saved_seq=view.saved_seq,
            stored_bytes=held.nbytes,
        )

    async def list_collections(
        self, tenant: str, size: int, token: str
    ) -> tuple[list[Collection], str]:
        """Returns a page of collections and the next page's token."""
        after = _read_name_token(token)
        found = await self._store.read(lambda c: catalog.list_page(c, tenant, after, size + 1))
        has_more = len(found) > size
        return found[:size], _name_token(found[size - 1].name) if has_more else ""

    async def drop(self, tenant: str, name: str) -> None:
        """Deletes a collection with everything in it."""
        await self._store.change_catalog(lambda c: catalog.drop(c, tenant, name), frees_space=True)
        self._has_dropped.set()

    async def set_alias(self, tenant: str, alias: Alias) -> str:
        """Points an alias at a collection; returns the one it stood for before, or ""."""
        return await self._store.change_catalog(lambda c: catalog.set_alias(c, tenant, alias))

    async def delete_alias(self, tenant: str, name: str) -> None:
        """Removes an alias."""
        await self._store.change_catalog(lambda c: catalog.delete_alias(c, tenant, name))

    async def list_aliases(self, tenant: str) -> list[Alias]:
        """Returns the tenant's aliases."""
        return await self._store.read(lambda c: catalog.list_aliases(c, tenant))

    async def upsert(
        self,
        tenant: str,
        name: str,
        new: Sequence[Document],
        expected_version: int = 0,
        expected_versions: Sequence[int] = (),
    ) -> Written:
        """Writes documents; once this returns, they are committed and this replica finds them.

        Args:
            tenant: Owner of the collection.
            name: Collection or alias.
            new: Whole documents, each id once.
            expected_version: Version all must have; 0: any, -1: must not exist.
            expected_versions: The same for each document by itself, or nothing.
        """
        written = await self._store.write(
            partial(
                documents.upsert,
                tenant=tenant,
                name=name,
                new=new,
                expected_version=expected_version,
                expected_versions=expected_versions,
                default_quota=self._default_quota,
                check=partial(_check_dimensions, new),
                now_micros=now_micros(),
            )
        )
        await self._take_in(written.collection, written.change)
        return written

    async def delete(
        self, tenant: str, name: str, ids: Sequence[str], tree: Filter | None
    ) -> Deleted:
        """Deletes documents by id or by filter."""
        if tree is None:
            deleted = await self._store.write(
                lambda c: documents.delete_by_ids(c, tenant, name, ids), frees_space=True
            )
            await self._take_in(deleted.collection, deleted.change)
            return deleted
        return await self._delete_matching(tenant, name, tree)

    async def _delete_matching(self, tenant: str, name: str, tree: Filter) -> Deleted:
        total = 0
        deleted: Deleted | None = None
        for _ in range(_DELETE_ROUNDS):
            collection = await self._store.resolve_afresh(tenant, name)
            doomed = await self._matching(collection, tree)
            if deleted is not None and not doomed:
                break
            ids, count = list(doomed), 0
            for first in range(0, max(len(ids), 1), _DELETED_PER_WRITE):
                # A document replaced since then may not match any more: its version protects it.
                part = {each: doomed[each] for each in ids[first : first + _DELETED_PER_WRITE]}
                deleted = await self._delete_versions(tenant, name, part)
                await self._take_in(deleted.collection, deleted.change)
                count += deleted.count
            total += count
            if count == len(doomed):
                break
        if deleted is None:
            raise catalog.not_found(name)
        return documents.Deleted(deleted.collection, deleted.change, total)

    async def _delete_versions(self, tenant: str, name: str, doomed: dict[str, int]) -> Deleted:
        """Deletes those of the documents that still have their versions."""
        return await self._store.write(
            lambda c: documents.delete_by_ids(c, tenant, name, list(doomed), versions=doomed),
            frees_space=True,
        )

    async def _matching(self, collection: Collection, tree: Filter) -> dict[str, int]:
        """Returns ids and versions of all documents that match, whoever may read them."""
        view = await self._keeper.current_view(collection)
        return await asyncio.to_thread(browse.matching_live, view.published, tree)

    async def read(
        self,
        reach: Reach,
        name: str,
        ids: Sequence[str],
        *,
        with_text: bool,
        with_chunks: bool,
        with_vectors: bool,
        with_codes: bool = True,
    ) -> tuple[Collection, list[Document]]:
        """Returns the documents that exist and may be read."""
        collection = await self._store.resolve_afresh(reach.tenant, name)
        found = await self._store.read(
            partial(
                contents.read,
                collection_id=collection.id,
                ids=ids,
                may_read=partial(_shares, frozenset(reach.principals)),
                now_micros=now_micros(),
                with_text=with_text,
                with_chunks=with_chunks,
                with_vectors=with_vectors,
                with_codes=with_codes,
            )
        )
        return collection, found

    async def count(self, reach: Reach, name: str, tree: Filter | None) -> tuple[int, int]:
        """Returns the numbers of documents and chunks."""
        view = await self._view(reach, name)

        def work() -> tuple[int, int]:
            published = view.published
            mask = browse.visible(published, reach.principals, tree, now_micros())
            return browse.count(published.snapshot, mask)

        return await asyncio.to_thread(work)

    async def facet(
        self, reach: Reach, name: str, field: str, tree: Filter | None, limit: int
    ) -> list[tuple[Value, int]]:
        """Returns a field's values with their numbers of documents."""
        view = await self._view(reach, name)

        def work() -> list[tuple[Value, int]]:
            published = view.published
            mask = browse.visible(published, reach.principals, tree, now_micros())
            return browse.facet(published, field, mask, limit)

        return await asyncio.to_thread(work)

    async def scroll_documents(
        self,
        reach: Reach,
        name: str,
        tree: Filter | None,
        size: int,
        token: str,
        *,
        with_vectors: bool = False,
    ) -> DocumentPage:
        """Returns a page of documents, without text; with chunks if their vectors are wanted."""
        view = await self._view(reach, name)
        published = view.published
        key = browse.page_key("documents", published.collection.id, tree)
        after = browse.decode_token(token, key)

        def page() -> list[str]:
            mask = browse.visible(published, reach.principals, tree, now_micros())
            return browse.document_page(published.snapshot, mask, after, size)

        ids = await asyncio.to_thread(page)
        found = await self._store.read(
            partial(
                contents.read,
                collection_id=published.collection.id,
                ids=ids,
                may_read=partial(_shares, frozenset(reach.principals)),
                now_micros=now_micros(),
                with_text=False,
                with_chunks=with_vectors,
                with_vectors=with_vectors,
            )
        )
        is_full = len(ids) == size
        return DocumentPage(found, browse.encode_token(Place(ids[-1]), key) if is_full else "")

    async def scroll_chunks(
        self,
        reach: Reach,
        name: str,
        tree: Filter | None,
        size: int,
        token: str,
        *,
        with_vectors: bool = False,
    ) -> PassagePage:
        """Returns a page of chunks."""
        tries = 0
        while True:
            tries += 1
            view = await self._view(reach, name)
            published = view.published
            key = browse.page_key("chunks", published.collection.id, tree)
            after = browse.decode_token(token, key)
            page = partial(_chunk_page, published, reach, tree, after, size)
            wanted = await asyncio.to_thread(page)
            fetch = partial(
                passages.fetch,
                collection_id=published.collection.id,
                wanted=wanted,
                with_metadata=True,
            )
            found: list[Passage | None] = await self._store.read(fetch) if wanted else []
            if tries == _SCROLL_TRIES or all(each is not None for each in found):
                break
            # Replaced between the look at the view and the one at the store: the new version is
            # about to be seen, and a page without either would be neither state.
            await asyncio.sleep(_SCROLL_PAUSE_SECONDS)
        whole = [each for each in found if each is not None]
        vectors = None
        if with_vectors:
            vectors = await asyncio.to_thread(browse.vectors_of, published.snapshot, whole)
        next_token = ""
        if len(wanted) == size:
            next_token = browse.encode_token(Place(wanted[-1].document_id, wanted[-1].ordinal), key)
        return PassagePage(published.collection.name, whole, next_token, vectors)

    async def position(self, tenant: str, name: str) -> Collection:
        """Returns a collection whose `seq` is where its log stands in the store now.

        Raises:
            NotFoundError: the tenant has none of that name.
            UnavailableError: the store does not say.
        """
        return await self._store.newest(tenant, name)

    async def expire(self) -> None:
        """Deletes what is invisible already: documents past their time, dropped collections.

        Runs until it is cancelled.
        """
        while True:
            try:
                await self.purge()
                await self.expire_once()
            except Exception as error:  # noqa: BLE001 - it stays invisible; the next sweep tries again
                get_logger().warning("cannot delete what is past", **exception_fields(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_EXPIRY_SECONDS):
                    await self._has_dropped.wait()
            self._has_dropped.clear()

    async def purge(self) -> None:
        """Deletes the documents of dropped collections, some at a time."""
        while await self._store.read(catalog.has_dropped):
            await self._store.write(
                lambda c: catalog.purge(c, _DELETED_PER_WRITE), frees_space=True
            )

    async def expire_once(self) -> None:
        """Deletes documents past their time."""
        rows = await self._store.read(
            lambda c: documents.expired(c, now_micros(), _EXPIRED_PER_SWEEP)
        )
        groups: dict[tuple[str, str], dict[str, int]] = {}
        for tenant, name, document_id, version in rows:
            groups.setdefault((tenant, name), {})[document_id] = version
        for (tenant, name), versions in groups.items():
            deleted = await self._delete_versions(tenant, name, versions)
            await self._take_in(deleted.collection, deleted.change)

    async def _view(self, reach: Reach, name: str) -> View:
        """Returns a view that has seen everything committed by now."""
        collection = await self._store.resolve_afresh(reach.tenant, name)
        return await self._keeper.current_view(collection)

    async def _take_in(self, collection: Collection, change: Change) -> None:
        try:
            await self._keeper.take_in(collection, change)
        except ServiceError as error:
            # It is committed, which is what the answer promises; searches will wait for it.
            get_logger().warning("a write is not visible yet", **exception_fields(error))
            self._keeper.require(collection.id, change.seq)


def _check_dimensions(new: Sequence[Document], collection: Collection) -> None:
    expected = collection.settings.dimensions
    for index, document in enumerate(new):
        for place, chunk in enumerate(document.chunks):
            if len(chunk.vector) != 4 * expected:
                raise InvalidArgumentError.for_field(
                    f"documents[{index}].chunks[{place}].vector",
                    f"has {len(chunk.vector) // 4} dimensions, the collection has {expected}",
                    Reason.DIMENSION_MISMATCH,
                )


def _shares(principals: frozenset[str], acl: tuple[str, ...]) -> bool:
    return not principals.isdisjoint(acl)


def _name_token(name: str) -> str:
    return base64.urlsafe_b64encode(f"n:{name}".encode()).decode()


def _read_name_token(token: str) -> str:
    if not token:
        return ""
    try:
        found = base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        found = ""
    if not found.startswith("n:"):
        raise InvalidArgumentError.for_field(
            "page_token",
            "is not one that this list returned: begin again without it",
            Reason.INVALID_PAGE_TOKEN,
        )
    return found[2:]
