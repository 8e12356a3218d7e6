"""RetrievalService's calls that carry whole collections: export and import."""
# ruff: noqa: N802 - gRPC names the methods

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from cairn.retrieval.v1 import retrieval_service_pb2 as pb
from cairn.retrieval.v1 import retrieval_service_pb2_grpc as rpc

from services.retrieval import checks
from services.rpc.errors import Reason, UnimplementedError
from services.rpc.scope_proto import scope_from_proto


class TransferCalls(rpc.RetrievalServiceServicer):
    """Export and import."""

    async def ExportCollection(
        self, request: pb.ExportCollectionRequest, context: Any
    ) -> AsyncIterator[pb.ExportCollectionResponse]:
        """Streams every document that the scope may read."""
        scope_from_proto(request.scope)
        checks.collection_name(request.collection, "collection")
        raise UnimplementedError(Reason.NOT_SUPPORTED, "this version does not do this")
        yield  # a stream, as the contract says

    async def ImportCollection(
        self, request_iterator: AsyncIterator[pb.ImportCollectionRequest], context: Any
    ) -> AsyncIterator[pb.ImportCollectionResponse]:
        """Writes a flow of exported documents; one acknowledgement per message, in order."""
        async for message in request_iterator:
            scope_from_proto(message.scope)
            checks.collection_name(message.collection, "collection")
            raise UnimplementedError(Reason.NOT_SUPPORTED, "this version does not do this")
            yield  # a stream, as the contract says
