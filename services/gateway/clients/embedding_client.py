"""The embedding service: vectors, late-interaction scores, models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cairn.embedding.v1 import embedding_service_pb2 as pb
from cairn.embedding.v1 import embedding_service_pb2_grpc as rpc
from cairn.types.v1 import vector_pb2

from services.gateway.clients.passages_proto import usage_from_proto
from services.gateway.pipeline.ports import Embedded, EncodedTokens, Reranked, Vector
from services.rpc.errors import InternalError, InvalidArgumentError, NotFoundError, Reason
from services.rpc.scope_proto import scope_to_proto

if TYPE_CHECKING:
    import grpc
    import numpy as np
    from numpy.typing import NDArray

    from services.rpc.scope import Scope

_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """A loaded model."""

    name: str
    revision: str
    dimensions: int
    is_default: bool


@dataclass(frozen=True, slots=True)
class EmbeddedTexts:
    """Vectors as clients of `/openai/v1/embeddings` want them: float32, little-endian."""

    rows: tuple[bytes, ...]
    model: str
    tokens: int


class EmbeddingClient:
    """Calls `cairn.embedding.v1.EmbeddingService`.

    Args:
        channel: To its replicas.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = rpc.EmbeddingServiceStub(channel)

    async def embed_queries(self, scope: Scope, texts: Sequence[str], model: str) -> Embedded:
        """Returns one vector per query.

        Raises:
            ServiceError: the service does not answer, or refuses a text.
        """
        response = await self._stub.Embed(
            pb.EmbedRequest(
                scope=scope_to_proto(scope),
                options=pb.EmbedOptions(
                    model=model, kind=pb.INPUT_KIND_QUERY, lane=pb.LANE_INTERACTIVE
                ),
                texts=texts,
            ),
            timeout=_TIMEOUT_SECONDS,
        )
        rows = _rows(response, len(texts))
        batch = response.vectors
        return Embedded(
            tuple(
                Vector(
                    row,
                    batch.element_type,
                    batch.dimensions,
                    batch.scales[index] if batch.scales else 0.0,
                )
                for index, row in enumerate(rows)
            ),
            response.model,
            usage_from_proto(response.usage),
        )

    async def embed_texts(
        self, scope: Scope, texts: Sequence[str], model: str, dimensions: int
    ) -> EmbeddedTexts:
        """Returns float32 vectors of documents.

        Raises:
            ServiceError: the service does not answer, or refuses a text.
        """
        response = await self._stub.Embed(
            pb.EmbedRequest(
                scope=scope_to_proto(scope),
                options=pb.EmbedOptions(
                    model=model,
                    kind=pb.INPUT_KIND_DOCUMENT,
                    lane=pb.LANE_INTERACTIVE,
                    dimensions=dimensions,
                ),
                texts=texts,
            ),
            timeout=_TIMEOUT_SECONDS,
        )
        rows = _rows(response, len(texts))
        tokens = sum(report.token_count for report in response.reports)
        return EmbeddedTexts(tuple(rows), response.model, tokens)

    async def rerank(
        self,
        scope: Scope,
        query: str,
        passages: Sequence[str],
        *,
        codes: Sequence[bytes] = (),
        model: str = "",
        cross_encoder: str = "",
    ) -> Reranked:
        """Returns one score per passage; see `Reranker`.

        Raises:
            ServiceError: the service does not answer.
        """
        response = await self._stub.Rerank(
            pb.RerankRequest(
                scope=scope_to_proto(scope),
                model=cross_encoder or model,
                method=pb.RERANK_METHOD_CROSS_ENCODER
                if cross_encoder
                else pb.RERANK_METHOD_LATE_INTERACTION,
                query=query,
                passages=passages,
                lane=pb.LANE_INTERACTIVE,
                passage_token_codes=codes,
            ),
            timeout=_TIMEOUT_SECONDS,
        )
        if len(response.scores) != len(passages):
            raise InternalError(Reason.INTERNAL, "the reranker sent another count of scores")
        return Reranked(
            tuple(response.scores),
            usage_from_proto(response.usage),
            response.encoded_passages,
            response.unusable_codes,
        )

    async def encode_tokens(self, scope: Scope, texts: Sequence[str]) -> EncodedTokens:
        """Returns the token vectors of each text, as the default model has them.

        Raises:
            ServiceError: the service does not answer, or refuses a text.
        """
        response = await self._stub.EncodeTokens(
            pb.EncodeTokensRequest(
                scope=scope_to_proto(scope),
                options=pb.EmbedOptions(
                    kind=pb.INPUT_KIND_DOCUMENT,
                    lane=pb.LANE_INTERACTIVE,
                    element_type=vector_pb2.ELEMENT_TYPE_FLOAT16,
                ),
                texts=texts,
            ),
            timeout=_TIMEOUT_SECONDS,
        )
        if len(response.texts) != len(texts):
            raise InternalError(
                Reason.INTERNAL, "the embedding service sent another count of texts"
            )
        return EncodedTokens(
            tuple(map(_word_rows, response.texts, texts)),
            usage_from_proto(response.usage),
        )

    async def models(self, scope: Scope) -> tuple[EmbeddingModel, ...]:
        """Returns the loaded models, the default one first.

        Raises:
            ServiceError: the service does not answer.
        """
        response = await self._stub.ListModels(
            pb.ListModelsRequest(scope=scope_to_proto(scope)), timeout=_TIMEOUT_SECONDS
        )
        return tuple(
            EmbeddingModel(model.name, model.revision, model.dimensions, model.is_default)
            for model in response.models
            if not model.is_cross_encoder
        )

    async def model(self, scope: Scope, name: str) -> EmbeddingModel:
        """Returns the model of that name; the default one for an empty name.

        Raises:
            NotFoundError: there is none.
        """
        for model in await self.models(scope):
            if model.name == name or (not name and model.is_default):
                return model
        raise NotFoundError(
            Reason.MODEL_NOT_FOUND,
            f"no embedding model {name!r} is loaded" if name else "no embedding model is loaded",
        )


def _word_rows(message: pb.TokenVectors, text: str) -> NDArray[np.float32]:
    """Returns the vectors of a text's tokens, punctuation left out."""
    import numpy as np  # noqa: PLC0415 - most requests do without it

    batch = message.vectors
    form = "<f2" if batch.element_type == vector_pb2.ELEMENT_TYPE_FLOAT16 else "<f4"
    if len(batch.data) != batch.count * batch.dimensions * int(form[-1]):
        raise InternalError(Reason.INTERNAL, "the embedding service sent vectors of another size")
    rows = np.frombuffer(batch.data, form).astype(np.float32)
    rows = rows.reshape(batch.count, batch.dimensions)
    spans = zip(message.starts, message.ends, strict=True)
    is_word = [any(map(str.isalnum, text[start:end])) for start, end in spans]
    return rows[np.array(is_word, bool)] if len(is_word) == len(rows) else rows


def _rows(response: pb.EmbedResponse, count: int) -> list[bytes]:
    """Returns the vectors' bytes, one per text."""
    for index, report in enumerate(response.reports):
        if report.HasField("error"):
            reason = report.error.reason
            raise _text_error(reason, f"input[{index}]: {report.error.message}")
    batch = response.vectors
    if batch.count != count or count == 0 or len(batch.data) % count:
        raise InternalError(Reason.INTERNAL, "the embedding service sent another count of vectors")
    size = len(batch.data) // count
    return [batch.data[i * size : (i + 1) * size] for i in range(count)]


def _text_error(reason: str, message: str) -> InvalidArgumentError:
    known = reason if reason in Reason.__members__ else Reason.INVALID_FIELD.value
    return InvalidArgumentError(Reason(known), message)
