"""Collections as vector stores: OpenAI's names for what the gateway does anyway."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from services.gateway.identity import Caller, Operation
from services.gateway.library import STATES, Collection, Document, NewCollection
from services.gateway.requests import NewDocument
from services.gateway.store.vector_store_labels import FileBatch, Label
from services.gateway.texts import check_collection, check_range, check_text
from services.rpc.errors import InvalidArgumentError, NotFoundError, Reason, ServiceError

if TYPE_CHECKING:
    from services.gateway.file_operations import FileOperations
    from services.gateway.operations import Operations
    from services.gateway.passages import Metadata
    from services.gateway.store.vector_store_labels import VectorStoreLabels

MAX_BATCH_FILES = 500
MAX_METADATA = 16
IN_PROGRESS = ("queued", "running")
_WALK_PAGE = 1_000
_MAX_WALK_PAGES = 100
_MAX_TOKENS = 2_048
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class FileCounts:
    """How many files are how far."""

    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.in_progress + self.completed + self.failed + self.cancelled


@dataclass(frozen=True, slots=True)
class VectorStore:
    """A collection with its label."""

    collection: Collection
    label: Label
    counts: FileCounts


@dataclass(frozen=True, slots=True)
class FileLink:
    """A file to add to a vector store."""

    file_id: str
    attributes: Metadata
    acl: tuple[str, ...] = ()


class VectorStoreOperations:
    """Everything a caller may ask about vector stores.

    Args:
        operations: What the gateway does.
        files: Kept files.
        labels: Names, metadata, batches.
    """

    def __init__(
        self, operations: Operations, files: FileOperations, labels: VectorStoreLabels
    ) -> None:
        self._operations = operations
        self._files = files
        self._labels = labels
        self._tokens: OrderedDict[tuple[object, ...], str] = OrderedDict()

    async def create(
        self, caller: Caller, name: str, metadata: Mapping[str, str], description: str = ""
    ) -> VectorStore:
        """Creates an empty vector store."""
        label = _label(name, metadata)
        collection = await self._operations.collections.create(
            caller,
            NewCollection(name=f"vs_{secrets.token_hex(12)}", description=description or name),
        )
        await self._labels.put(caller.scope.tenant, collection.name, label)
        return VectorStore(collection, label, FileCounts())

    async def get(self, caller: Caller, store_id: str) -> VectorStore:
        """Returns a vector store.

        Raises:
            NotFoundError: there is none.
        """
        collection = await self._operations.collections.get(caller, store_name(store_id))
        labels = await self._labels.of(caller.scope.tenant, [collection.name])
        return VectorStore(
            collection,
            labels.get(collection.name, Label(collection.name)),
            await self._counts(caller, collection),
        )

    async def all(self, caller: Caller) -> list[VectorStore]:
        """Returns every vector store, newest first, without counting what is on its way."""
        found: list[Collection] = []
        token = ""
        for _ in range(_MAX_WALK_PAGES):
            page = await self._operations.collections.list(caller, _WALK_PAGE, token)
            found.extend(page.entries)
            token = page.next_page_token
            if not token:
                break
        labels = await self._labels.of(caller.scope.tenant, [each.name for each in found])
        found.sort(key=lambda each: (_moment(each.created_at), each.name), reverse=True)
        return [
            VectorStore(
                each,
                labels.get(each.name, Label(each.name)),
                FileCounts(completed=each.document_count),
            )
            for each in found
        ]

    async def update(
        self,
        caller: Caller,
        store_id: str,
        name: str | None,
        metadata: Mapping[str, str] | None,
    ) -> VectorStore:
        """Changes name and metadata; None leaves them as they are."""
        caller.require(Operation.CREATE_COLLECTION, store_name(store_id))
        store = await self.get(caller, store_id)
        label = _label(
            store.label.name if name is None else name,
            store.label.metadata if metadata is None else metadata,
        )
        await self._labels.put(caller.scope.tenant, store.collection.name, label)
        return replace(store, label=label)

    async def delete(self, caller: Caller, store_id: str) -> None:
        """Deletes a vector store with what was made of its files; the files stay."""
        await self._operations.collections.delete(caller, store_name(store_id))
        await self._labels.forget(caller.scope.tenant, store_id)

    async def add_file(self, caller: Caller, store_id: str, link: FileLink) -> Document:
        """Takes a kept file in.

        Raises:
            ServiceError: there is no such file, or it cannot be taken in.
        """
        name = store_name(store_id)
        caller.require(Operation.INGEST, name)
        document = await self._new_document(caller, link)
        await self._operations.collections.get(caller, name)
        (submission,) = await self._operations.submit(caller, name, [document])
        assert submission.document is not None  # a lone refusal is an error already
        return replace(submission.document, metadata=link.attributes)

    async def get_file(
        self, caller: Caller, store_id: str, file_id: str, *, with_text: bool = False
    ) -> Document:
        """Returns a file of a vector store: a document."""
        return await self._operations.get_document(
            caller, store_name(store_id), file_id, with_text=with_text
        )

    async def remove_file(self, caller: Caller, store_id: str, file_id: str) -> None:
        """Takes a file out of a vector store; the file itself stays."""
        await self._operations.delete_document(caller, store_name(store_id), file_id)

    async def list_files(
        self,
        caller: Caller,
        store_id: str,
        *,
        states: Sequence[str] = (),
        limit: int = 20,
        after: str = "",
        is_ascending: bool = False,
    ) -> tuple[list[Document], bool]:
        """Returns files of a vector store in order of their times, and whether there are more."""
        name = store_name(store_id)
        await self._operations.collections.get(caller, name)
        if is_ascending:
            return await self._oldest_first(caller, name, states, limit, after)
        scope = caller.scope
        place = (scope.tenant, scope.actor, scope.principals, name, tuple(states))
        known = self._tokens.get((*place, after), "") if after else ""
        token, skip_to = known, "" if known else after
        found: list[Document] = []
        for _ in range(_MAX_WALK_PAGES):
            size = _WALK_PAGE if skip_to else limit - len(found)
            page = await self._operations.list_documents(caller, name, states, size, token)
            entries, skip_to = _behind(page.entries, skip_to)
            found.extend(entries)
            token = page.next_page_token
            if not token or len(found) >= limit:
                break
        if skip_to:
            raise InvalidArgumentError.for_field("after", "is not a file of this list")
        has_more = len(found) > limit or bool(token)
        if token and len(found) == limit:
            self._remember((*place, found[-1].document_id), token)
        return found[:limit], has_more

    async def add_batch(
        self, caller: Caller, store_id: str, links: Sequence[FileLink]
    ) -> tuple[FileBatch, FileCounts]:
        """Takes several kept files in; a bad one fails alone."""
        check_range("file_ids (entries)", len(links), 1, MAX_BATCH_FILES)
        name = store_name(store_id)
        caller.require(Operation.INGEST, name)
        await self._operations.collections.get(caller, name)
        gate = asyncio.Semaphore(_AT_ONCE)

        async def add(link: FileLink) -> tuple[str, str] | None:
            async with gate:
                try:
                    await self.add_file(caller, name, link)
                except (InvalidArgumentError, NotFoundError) as error:
                    return error.reason.value, error.message
            return None

        outcomes = await asyncio.gather(*(add(link) for link in links))
        pairs = list(zip(links, outcomes, strict=True))
        batch = FileBatch(
            batch_id=f"vsfb_{secrets.token_hex(12)}",
            collection=name,
            entries=tuple(link.file_id for link, failure in pairs if failure is None),
            failures={link.file_id: failure for link, failure in pairs if failure is not None},
            created_at=datetime.now(UTC),
        )
        await self._labels.add_batch(caller.scope.tenant, batch)
        return batch, FileCounts(in_progress=len(batch.entries), failed=len(batch.failures))

    async def get_batch(
        self, caller: Caller, store_id: str, batch_id: str
    ) -> tuple[FileBatch, FileCounts]:
        """Returns a batch and how far its files are."""
        documents = await self.batch_files(caller, store_id, batch_id)
        batch = await self._batch(caller, store_id, batch_id)
        states = [each.state for each in documents.values()]
        waiting = sum(state in IN_PROGRESS for state in states)
        failed = states.count("dead_letter")
        cancelled = states.count("cancelled") + (
            len(batch.entries) - len(documents) if batch.is_cancelled else 0
        )
        done = len(batch.entries) - waiting - failed - cancelled
        return batch, FileCounts(waiting, done, failed + len(batch.failures), cancelled)

    async def batch_files(
        self, caller: Caller, store_id: str, batch_id: str
    ) -> dict[str, Document]:
        """Returns the documents of a batch that the caller may see."""
        batch = await self._batch(caller, store_id, batch_id)
        wanted, found, token = set(batch.entries), {}, ""
        for _ in range(_MAX_WALK_PAGES):
            if not wanted - set(found):
                break
            page = await self._operations.list_documents(
                caller, batch.collection, (), _WALK_PAGE, token
            )
            found.update(
                {each.document_id: each for each in page.entries if each.document_id in wanted}
            )
            token = page.next_page_token
            if not token:
                break
        return found

    async def cancel_batch(
        self, caller: Caller, store_id: str, batch_id: str
    ) -> tuple[FileBatch, FileCounts]:
        """Takes back what of a batch is not taken in yet."""
        caller.require(Operation.DELETE_DOCUMENT, store_name(store_id))
        for document in (await self.batch_files(caller, store_id, batch_id)).values():
            if document.state in IN_PROGRESS:
                await self._operations.delete_document(
                    caller, document.collection, document.document_id
                )
        await self._labels.cancel_batch(caller.scope.tenant, batch_id)
        return await self.get_batch(caller, store_id, batch_id)

    async def _new_document(self, caller: Caller, link: FileLink) -> NewDocument:
        file = await self._files.get(caller, link.file_id)
        return NewDocument(
            content=b"",
            document_id=file.file_id,
            uri=file.file_name,
            content_type=file.content_type,
            file_name=file.file_name,
            metadata=link.attributes,
            acl=link.acl,
            file=self._files.content(file),
        )

    async def _batch(self, caller: Caller, store_id: str, batch_id: str) -> FileBatch:
        caller.require(Operation.READ_DOCUMENTS, store_name(store_id))
        check_text("batch_id", batch_id, limit=512)
        batch = await self._labels.find_batch(caller.scope.tenant, store_name(store_id), batch_id)
        if batch is None:
            raise NotFoundError(Reason.JOB_NOT_FOUND, "there is no such batch")
        return batch

    async def _counts(self, caller: Caller, collection: Collection) -> FileCounts:
        async def count(*states: str) -> int:
            try:
                page = await self._operations.list_documents(
                    caller, collection.name, states, _WALK_PAGE
                )
            except ServiceError:  # figures are a convenience: the store is there all the same
                return 0
            return len(page.entries)

        waiting, failed, cancelled = await asyncio.gather(
            count(*IN_PROGRESS), count("dead_letter"), count("cancelled")
        )
        return FileCounts(waiting, collection.document_count, failed, cancelled)

    async def _oldest_first(
        self, caller: Caller, name: str, states: Sequence[str], limit: int, after: str
    ) -> tuple[list[Document], bool]:
        found: list[Document] = []
        token = ""
        for _ in range(_MAX_WALK_PAGES):
            page = await self._operations.list_documents(caller, name, states, _WALK_PAGE, token)
            found.extend(page.entries)
            token = page.next_page_token
            if not token:
                break
        found.reverse()
        rest, skip_to = _behind(found, after)
        if skip_to:
            raise InvalidArgumentError.for_field("after", "is not a file of this list")
        return list(rest[:limit]), len(rest) > limit

    def _remember(self, place: tuple[object, ...], token: str) -> None:
        self._tokens[place] = token
        while len(self._tokens) > _MAX_TOKENS:
            self._tokens.popitem(last=False)


def states_of(status: str) -> tuple[str, ...]:
    """Returns the states that a status of a vector store's file stands for; none: all."""
    return {
        "": (),
        "in_progress": IN_PROGRESS,
        "completed": ("ready",),
        "failed": ("dead_letter",),
        "cancelled": ("cancelled",),
    }[status]


def status_of(state: str) -> str:
    """Returns the status that a document's state is called by."""
    assert state in STATES
    return {"ready": "completed", "dead_letter": "failed", "cancelled": "cancelled"}.get(
        state, "in_progress"
    )


def store_name(store_id: str) -> str:
    """Returns the collection that a vector store is.

    Raises:
        NotFoundError: it cannot be one.
    """
    if not store_id:
        raise InvalidArgumentError.for_field("vector_store_id", "must not be empty")
    try:
        return check_collection(store_id, "vector_store_id")
    except InvalidArgumentError:
        raise NotFoundError(Reason.COLLECTION_NOT_FOUND, "there is no such vector store") from None


def _label(name: str, metadata: Mapping[str, str]) -> Label:
    check_text("name", name, limit=512)
    check_range("metadata (entries)", len(metadata), 0, MAX_METADATA)
    for key, value in metadata.items():
        check_text("metadata", key, limit=64, required=True)
        check_text(f"metadata.{key}", value, limit=512)
    return Label(name, metadata)


def _behind(entries: Sequence[Document], skip_to: str) -> tuple[Sequence[Document], str]:
    """Returns the entries behind the one that is named, and the name while it is not found."""
    if not skip_to:
        return entries, ""
    for place, each in enumerate(entries):
        if each.document_id == skip_to:
            return entries[place + 1 :], ""
    return (), skip_to


def _moment(moment: datetime | None) -> datetime:
    if moment is None:
        return datetime.min.replace(tzinfo=UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
