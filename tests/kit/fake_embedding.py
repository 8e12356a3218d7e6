"""An embedding service that needs no model: vectors are hashes, tokens are words and their pieces."""

# ruff: noqa: N802 - the contract names the methods

from __future__ import annotations

import hashlib
import struct

from cairn.embedding.v1 import embedding_service_pb2 as pb
from cairn.embedding.v1 import embedding_service_pb2_grpc as rpc
from cairn.types.v1 import vector_pb2

from services.rpc.errors import Reason, ServiceError, UnavailableError

DIMENSIONS = 8
MAX_TOKENS = 256


def count_tokens(text: str) -> int:
    """One token per word, one more per six characters of a long one, and two special ones."""
    return 2 + sum(1 + len(word) // 6 for word in text.split())


def vector_of(text: str) -> bytes:
    """The same vector for the same text, of length 1."""
    numbers = [byte - 127.5 for byte in hashlib.sha256(text.encode()).digest()[:DIMENSIONS]]
    length = sum(number * number for number in numbers) ** 0.5
    return struct.pack(f"<{DIMENSIONS}f", *(number / length for number in numbers))


def codes_of(text: str, revision: str = "r1") -> bytes:
    """Token codes of any length, the same for the same text and revision."""
    return b"codes" + hashlib.sha256((revision + text).encode()).digest()[: 8 + len(text) % 20]


class FakeEmbedding(rpc.EmbeddingServiceServicer):
    """Counts what it is asked; can be made to fail."""

    def __init__(self) -> None:
        self.revision = "r1"
        self.max_tokens = MAX_TOKENS
        self.gives_codes = False
        """Whether texts get token codes: see `codes_of`."""
        self.batches: list[list[str]] = []
        """Texts of each Embed call."""
        self.failure: ServiceError | None = None
        self.lanes: set[int] = set()

    def go_down(self) -> None:
        """Answers UNAVAILABLE from now on."""
        self.failure = UnavailableError(Reason.NOT_READY, "the fake is down")

    def come_back(self) -> None:
        """Answers again."""
        self.failure = None

    def _check(self, request) -> None:
        assert request.scope.tenant
        if self.failure is not None:
            raise self.failure

    async def ListModels(self, request, context):
        self._check(request)
        model = pb.Model(
            name="fake",
            revision=self.revision,
            dimensions=DIMENSIONS,
            max_tokens=self.max_tokens,
            is_default=True,
            supports_token_codes=self.gives_codes,
        )
        return pb.ListModelsResponse(models=[model])

    async def CountTokens(self, request, context):
        self._check(request)
        return pb.CountTokensResponse(
            token_counts=[count_tokens(text) for text in request.texts], model="fake"
        )

    async def Embed(self, request, context):
        self._check(request)
        assert request.options.truncation == pb.TRUNCATION_REFUSE
        self.lanes.add(request.options.lane)
        self.batches.append(list(request.texts))
        reports = []
        for text in request.texts:
            count = count_tokens(text)
            report = pb.TextReport(token_count=count)
            if count > self.max_tokens:
                report.error.reason = "TOO_LARGE"
                report.error.message = "over the limit"
            reports.append(report)
        return pb.EmbedResponse(
            vectors=vector_pb2.VectorBatch(
                data=b"".join(vector_of(text) for text in request.texts),
                dimensions=DIMENSIONS,
                count=len(request.texts),
            ),
            reports=reports,
            model="fake",
            model_revision=self.revision,
            token_codes=[
                codes_of(text, self.revision)
                for text in request.texts
                if self.gives_codes and request.include_token_codes
            ],
        )
