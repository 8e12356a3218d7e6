"""The door: checks documents and hands those that pass to the queue."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.ingestion.catalog import Catalog
from services.ingestion.document import (
    Content,
    DocumentHeader,
    DocumentKey,
    fingerprint,
    metadata_to_json,
)
from services.ingestion.jobs.model import Accepted, NewJob
from services.ingestion.parsers.recognise import recognise
from services.ingestion.tracing import current_traceparent
from services.ingestion.validation import check_content, check_header
from services.rpc.errors import FailedPreconditionError, NotFoundError, Reason, ServiceError

if TYPE_CHECKING:
    from services.ingestion.jobs.store import JobStore
    from services.ingestion.ports import CollectionInfo, Index
    from services.ingestion.wakeup import Wakeup
    from services.rpc.scope import Scope


_FEW = 4
"""Documents of a request that does not wait behind the large requests of others."""
_CHECKED_AT_ONCE = 8
"""Then others have a turn: a request may have a thousand."""
_GROUP = 64
"""Documents stored at once: they share a commit, in the order they were sent."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """A document as it was sent."""

    header: DocumentHeader
    content: Content
    header_field: str
    """Path of its header in the request, for errors."""
    content_field: str
    """Path of its bytes."""


@dataclass(frozen=True, slots=True)
class _Checked:
    new: NewJob
    content: Content


class Intake:
    """Takes documents in.

    Args:
        store: The queue.
        index: Retrieval, asked whether unchanged documents are really there.
        wakeup: Tells workers.
        max_document_bytes: Largest document.
        creates_collections: Whether a document for a collection that does not exist creates it.
    """

    def __init__(
        self,
        store: JobStore,
        index: Index,
        wakeup: Wakeup,
        *,
        max_document_bytes: int,
        creates_collections: bool = True,
    ) -> None:
        self._store = store
        self._index = index
        self._wakeup = wakeup
        self._catalog = Catalog(index)
        self._max_document_bytes = max_document_bytes
        self._creates_collections = creates_collections

    async def submit(
        self, scope: Scope, collection: str, documents: Sequence[Submitted]
    ) -> list[Accepted | ServiceError]:
        """Takes documents in; each fails alone, with the error in its place.

        Raises:
            ResourceExhaustedError: the queue is full: none was taken in.
        """
        await self._store.check_room(scope.tenant, len(documents))
        if not self._creates_collections:
            await self.existing_name(scope, collection)
        info = await self._catalog.find(scope, collection)
        checked: list[_Checked | ServiceError] = []
        for document in documents:
            checked.append(self._check(scope, collection, info, document))
            if len(checked) % _CHECKED_AT_ONCE == 0:
                await asyncio.sleep(0)
        verified = await self._verify_unchanged(
            scope, [each.new for each in checked if isinstance(each, _Checked)]
        )
        results: list[Accepted | ServiceError] = []
        for start in range(0, len(checked), _GROUP):
            group = checked[start : start + _GROUP]
            results += await asyncio.gather(
                *(self._store_one(each, verified, is_bulk=len(checked) > _FEW) for each in group)
            )
        await self._wakeup.notify()
        return results

    async def _store_one(
        self,
        document: _Checked | ServiceError,
        verified: Mapping[DocumentKey, str],
        *,
        is_bulk: bool,
    ) -> Accepted | ServiceError:
        if isinstance(document, ServiceError):
            return document
        try:
            accepted = await self._store.submit(
                document.new,
                document.content,
                verified.get(document.new.key, ""),
                is_bulk=is_bulk,
            )
        except ServiceError as error:
            return error
        return accepted

    async def own_name(self, scope: Scope, collection: str) -> str:
        """Returns the name of the collection that a name or alias stands for."""
        info = await self._catalog.find(scope, collection)
        return info.name if info is not None else collection

    async def existing_name(self, scope: Scope, collection: str) -> str:
        """Returns the name of the collection that a name or alias stands for.

        Raises:
            NotFoundError: there is no such collection.
            UnavailableError: retrieval does not answer.
        """
        info = await self._index.find_collection(scope, collection)
        if info is None:
            raise NotFoundError(
                Reason.COLLECTION_NOT_FOUND,
                f"no collection {collection!r}",
                metadata={"collection": collection},
            )
        return info.name

    def _check(
        self,
        scope: Scope,
        collection: str,
        info: CollectionInfo | None,
        document: Submitted,
    ) -> _Checked | ServiceError:
        try:
            return self._checked(scope, collection, info, document)
        except ServiceError as error:
            return error

    def _checked(
        self,
        scope: Scope,
        collection: str,
        info: CollectionInfo | None,
        document: Submitted,
    ) -> _Checked:
        check_content(document.content, self._max_document_bytes, document.content_field)
        header = check_header(document.header, document.content, document.header_field)
        if info is not None and info.is_acl_required and not header.acl:
            raise FailedPreconditionError(
                Reason.ACL_REQUIRED,
                f"{document.header_field}.acl: the collection requires an access list and the "
                "document has none; name its readers, or 'everyone'",
            )
        content_type = recognise(
            document.content.head, header.file_name or header.uri, header.content_type
        )
        name = info.name if info is not None else collection
        key = DocumentKey(scope.tenant, name, header.document_id)
        new = NewJob(
            key=key,
            tenant_class=int(scope.tenant_class),
            actor=scope.actor,
            uri=header.uri,
            title=header.title,
            file_name=header.file_name,
            declared_type=header.content_type,
            content_type=content_type,
            metadata_json=metadata_to_json(header.metadata),
            acl_json=json.dumps(header.acl),
            idempotency_key=header.idempotency_key,
            fingerprint=fingerprint(key, header, document.content),
            content_digest=document.content.digest,
            size_bytes=document.content.size_bytes,
            priority=header.priority,
            traceparent=current_traceparent(),
        )
        return _Checked(new, document.content)

    async def _verify_unchanged(
        self, scope: Scope, documents: Sequence[NewJob]
    ) -> dict[DocumentKey, str]:
        """Returns, for documents that retrieval holds as they are sent, the jobs that wrote them.

        Retrieval is asked because a collection can be dropped or restored behind our back.
        """
        candidates = await self._store.ready_documents(
            {document.key: document.fingerprint for document in documents}
        )
        if not candidates:
            return {}
        by_key = {document.key: document for document in documents}
        principals = {"everyone"}
        for candidate in candidates:
            principals.update(json.loads(by_key[candidate.key].acl_json))
        reader = dataclasses.replace(scope, principals=tuple(sorted(principals))[:1000])
        try:
            held = await self._index.get_documents(
                reader,
                candidates[0].key.collection,
                [candidate.key.document_id for candidate in candidates],
            )
        except ServiceError:
            # Taken in again, then: the chunks' vectors will be reused.
            return {}
        versions = {document.document_id: document.version for document in held}
        return {
            candidate.key: candidate.job_id
            for candidate in candidates
            if versions.get(candidate.key.document_id) == candidate.version
        }
