"""RetrievalService's calls that carry whole collections: export and import."""
# ruff: noqa: N802 - gRPC names the methods

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

from cairn.retrieval.v1 import retrieval_service_pb2 as pb
from cairn.retrieval.v1 import retrieval_service_pb2_grpc as rpc

from services.retrieval import (
    checks,
    documents_from_proto,
    from_proto,
    limits,
    settings_proto,
    to_proto,
)
from services.retrieval.search import Reach
from services.retrieval.transfer import Export
from services.retrieval.write_stream import Write, in_order
from services.rpc.scope_proto import scope_from_proto

if TYPE_CHECKING:
    from services.retrieval.documents import Document
    from services.retrieval.library import Library
    from services.retrieval.transfer import Exporter
    from services.rpc.admission import Admission

_THREAD_BYTES = 65_536
"""Writes larger than this are read in a thread, so that searches do not wait for it."""


class TransferCalls(rpc.RetrievalServiceServicer):
    """Export and import."""

    _library: Library
    _exporter: Exporter
    _queries: Admission
    _writes: Admission

    async def ExportCollection(
        self, request: pb.ExportCollectionRequest, context: Any
    ) -> AsyncIterator[pb.ExportCollectionResponse]:
        """Streams every document that the scope may read."""
        scope = scope_from_proto(request.scope)
        export = Export(
            Reach(scope.tenant, scope.principals),
            checks.collection_name(request.collection, "collection"),
            from_proto.optional_filter(request.filter, "filter", is_set=request.HasField("filter")),
            request.resume_token,
            checks.number(
                request.batch_size,
                "batch_size",
                1,
                limits.MAX_DOCUMENTS_PER_BATCH,
                limits.DEFAULT_EXPORT_BATCH,
            ),
            request.all_documents,
        )
        async with self._queries.admit(1):
            collection, batches = await self._exporter.open(export)
            yield pb.ExportCollectionResponse(
                collection=to_proto.collection(collection), resume_token=request.resume_token
            )
            async for batch in batches:
                yield pb.ExportCollectionResponse(
                    documents=[
                        to_proto.document(each, with_vectors=True, with_codes=True)
                        for each in batch.documents
                    ],
                    resume_token=batch.token,
                    is_last=batch.is_last,
                )

    async def ImportCollection(
        self, request_iterator: AsyncIterator[pb.ImportCollectionRequest], context: Any
    ) -> AsyncIterator[pb.ImportCollectionResponse]:
        """Writes a flow of exported documents; one acknowledgement per message, in order."""
        tenant = name = ""
        total = 0

        async def begin(message: pb.ImportCollectionRequest, nbytes: int) -> Write[tuple[int, int]]:
            nonlocal tenant, name
            if not name or message.HasField("scope"):
                tenant = scope_from_proto(message.scope).tenant
                name = checks.collection_name(message.collection, "collection")
                if message.HasField("settings"):
                    await self._library.create(
                        tenant, name, settings_proto.settings(message.settings)
                    )
            if not message.documents:
                await self._library.describe(tenant, name)
                return Write(frozenset(), _nothing)
            new = await self._read_documents(message.documents, nbytes)

            async def work(tenant: str = tenant, name: str = name) -> tuple[int, int]:
                return (await self._library.upsert(tenant, name, new)).seq, len(new)

            return Write(frozenset(each.document_id for each in new), work)

        writes = in_order(request_iterator, begin, lambda message: message.ByteSize(), self._writes)
        async with contextlib.aclosing(writes) as done:
            async for seq, count in done:
                total += count
                yield pb.ImportCollectionResponse(seq=seq, document_count=total)

    async def _read_documents(self, messages: Sequence[pb.Document], nbytes: int) -> list[Document]:
        """Returns the documents of a write; in a thread if they are large."""
        if nbytes > _THREAD_BYTES:
            return await asyncio.to_thread(documents_from_proto.documents, messages)
        return documents_from_proto.documents(messages)


async def _nothing() -> tuple[int, int]:
    return 0, 0
