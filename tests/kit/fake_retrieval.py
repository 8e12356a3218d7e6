"""A retrieval service that keeps documents in a dictionary: versions and conditions as the real one."""

# ruff: noqa: N802 - the contract names the methods

from __future__ import annotations

import asyncio
from collections import defaultdict

from cairn.retrieval.v1 import retrieval_service_pb2 as pb
from cairn.retrieval.v1 import retrieval_service_pb2_grpc as rpc

from services.filters import proto as filters
from services.filters.values import type_of
from services.rpc.errors import (
    AbortedError,
    InvalidArgumentError,
    NotFoundError,
    Reason,
    ServiceError,
    UnavailableError,
)


class FakeRetrieval(rpc.RetrievalServiceServicer):
    """Holds collections of one tenant each; can be made to fail or to hold writes back."""

    def __init__(self) -> None:
        self.collections: dict[tuple[str, str], pb.Collection] = {}
        self.documents: dict[tuple[str, str], dict[str, pb.Document]] = defaultdict(dict)
        self.aliases: dict[tuple[str, str], str] = {}
        self.upserts: list[tuple[str, int]] = []
        """Document and version of each acknowledged write."""
        self.failure: ServiceError | None = None
        self.write_gate = asyncio.Event()
        """Writes wait for it."""
        self.write_gate.set()
        self.write_waiting = asyncio.Event()
        """Set when a write has begun to wait."""
        self.loses_acknowledgements = 0
        """So many writes are stored but answered with UNAVAILABLE."""
        self._seq = 0

    def go_down(self) -> None:
        """Answers UNAVAILABLE from now on."""
        self.failure = UnavailableError(Reason.NOT_READY, "the fake is down")

    def come_back(self) -> None:
        """Answers again."""
        self.failure = None

    def document(self, document_id: str, collection: str = "docs", tenant: str = "t"):
        """The stored document, or None."""
        return self.documents[tenant, collection].get(document_id)

    def _key(self, request, name: str) -> tuple[str, str]:
        assert request.scope.tenant
        if self.failure is not None:
            raise self.failure
        tenant = request.scope.tenant
        key = (tenant, self.aliases.get((tenant, name), name))
        if key not in self.collections:
            raise NotFoundError(Reason.COLLECTION_NOT_FOUND, "no such collection")
        return key

    async def GetCollection(self, request, context):
        return pb.GetCollectionResponse(
            collection=self.collections[self._key(request, request.name)]
        )

    async def CreateCollection(self, request, context):
        if self.failure is not None:
            raise self.failure
        key = (request.scope.tenant, request.name)
        existed = key in self.collections
        if not existed:
            self.collections[key] = pb.Collection(name=request.name, settings=request.settings)
        return pb.CreateCollectionResponse(
            collection=self.collections[key], already_existed=existed
        )

    async def Upsert(self, request, context):
        key = self._key(request, request.collection)
        if not self.write_gate.is_set():
            self.write_waiting.set()
            await self.write_gate.wait()
        fields = self.collections[key].settings.fields
        versions = []
        for document in request.documents:
            self._check(document, fields)
            held = self.documents[key].get(document.document_id)
            version = held.version if held is not None else 0
            expected = request.expected_version
            if expected and max(0, expected) != version:
                raise AbortedError(Reason.CONFLICT, "another version")
            stored = pb.Document()
            stored.CopyFrom(document)
            stored.version = self._next()
            self.documents[key][document.document_id] = stored
            self.upserts.append((document.document_id, stored.version))
            versions.append(stored.version)
        if self.loses_acknowledgements:
            self.loses_acknowledgements -= 1
            raise UnavailableError(Reason.NOT_READY, "the connection broke")
        return pb.UpsertResponse(seq=self._seq, versions=versions)

    def _check(self, document, fields) -> None:
        for name, value in document.metadata.items():
            wanted = fields.get(name)
            if wanted and type_of(filters.value_from_proto(value, name)) != wanted:
                raise InvalidArgumentError(Reason.TYPE_CONFLICT, f"{name} has another type")
        for chunk in document.chunks:
            assert chunk.start < chunk.end <= len(document.text)
        assert len({chunk.chunk_id for chunk in document.chunks}) == len(document.chunks)

    def _next(self) -> int:
        self._seq += 1
        return self._seq

    async def GetDocuments(self, request, context):
        key = self._key(request, request.collection)
        found = []
        for document_id in request.document_ids:
            held = self.documents[key].get(document_id)
            if held is None or not self._may_read(held, request.scope.principals):
                continue
            copy = pb.Document()
            copy.CopyFrom(held)
            if not request.include_chunks:
                del copy.chunks[:]
            if request.omit_text:
                copy.text = ""
            if not request.include_token_codes:
                for chunk in copy.chunks:
                    chunk.ClearField("token_codes")
            found.append(copy)
        return pb.GetDocumentsResponse(documents=found)

    @staticmethod
    def _may_read(document, principals) -> bool:
        return bool(set(document.acl or ["everyone"]) & set(principals))

    async def Delete(self, request, context):
        key = self._key(request, request.collection)
        ids = request.document_ids
        if request.HasField("filter"):
            ids = [
                each for each, held in self.documents[key].items() if _matches(held, request.filter)
            ]
        count = sum(self.documents[key].pop(each, None) is not None for each in list(ids))
        return pb.DeleteResponse(seq=self._next(), deleted_count=count)

    async def Scroll(self, request, context):
        key = self._key(request, request.collection)
        found = [
            pb.Document(document_id=each)
            for each, held in sorted(self.documents[key].items())
            if self._may_read(held, request.scope.principals) and _matches(held, request.filter)
        ]
        return pb.ScrollResponse(documents=found)


def _matches(document, condition) -> bool:
    """Equality only: what the tests use."""
    return document.metadata[condition.equals.field] == condition.equals.value
