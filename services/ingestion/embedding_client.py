"""The embedding service, through its RPCs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cairn.embedding.v1 import embedding_service_pb2 as pb
from cairn.embedding.v1 import embedding_service_pb2_grpc as rpc
from cairn.types.v1 import vector_pb2

from services.ingestion.ports import EmbeddedTexts, ModelInfo
from services.rpc.errors import InternalError, NotFoundError, Reason
from services.rpc.scope_proto import scope_to_proto

if TYPE_CHECKING:
    import grpc

    from services.rpc.scope import Scope

_SHORT_SECONDS = 10.0
_EMBED_SECONDS = 120.0
_MODELS_SECONDS = 10.0
"""A newly loaded model is seen within this time."""


class EmbeddingClient:
    """Calls the embedding service."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = rpc.EmbeddingServiceStub(channel)
        self._models: dict[str, ModelInfo] = {}
        self._models_until = 0.0

    async def model(self, scope: Scope, name: str) -> ModelInfo:
        """Returns a loaded model (see `ports.Embedder`)."""
        if name not in self._models or time.monotonic() >= self._models_until:
            await self._load_models(scope)
        if name not in self._models:
            raise NotFoundError(
                Reason.MODEL_NOT_FOUND,
                f"the embedding model {name!r} is not loaded"
                if name
                else "no embedding model is loaded",
                metadata={"model": name},
            )
        return self._models[name]

    async def _load_models(self, scope: Scope) -> None:
        answer = await self._stub.ListModels(
            pb.ListModelsRequest(scope=scope_to_proto(scope)), timeout=_SHORT_SECONDS
        )
        models: dict[str, ModelInfo] = {}
        for model in answer.models:
            if model.is_cross_encoder:
                continue
            info = ModelInfo(
                model.name,
                model.revision,
                model.dimensions,
                model.max_tokens,
                model.supports_token_codes,
            )
            models[model.name] = info
            if model.is_default or "" not in models:
                models[""] = info
        self._models = models
        self._models_until = time.monotonic() + _MODELS_SECONDS

    async def count_tokens(self, scope: Scope, model: str, texts: Sequence[str]) -> list[int]:
        """Returns the tokens of each text (see `ports.Embedder`)."""
        answer = await self._stub.CountTokens(
            pb.CountTokensRequest(scope=scope_to_proto(scope), model=model, texts=texts),
            timeout=_SHORT_SECONDS,
        )
        if len(answer.token_counts) != len(texts):
            raise InternalError(Reason.INTERNAL, "the embedding service counted other texts")
        return list(answer.token_counts)

    async def embed(
        self,
        scope: Scope,
        model: str,
        texts: Sequence[str],
        *,
        is_urgent: bool = False,
        with_codes: bool = False,
    ) -> EmbeddedTexts:
        """Returns the vectors of document texts (see `ports.Embedder`)."""
        answer = await self._stub.Embed(
            pb.EmbedRequest(
                scope=scope_to_proto(scope),
                options=pb.EmbedOptions(
                    model=model,
                    kind=pb.INPUT_KIND_DOCUMENT,
                    lane=pb.LANE_INTERACTIVE if is_urgent else pb.LANE_BULK,
                    truncation=pb.TRUNCATION_REFUSE,
                    element_type=vector_pb2.ELEMENT_TYPE_FLOAT32,
                ),
                texts=texts,
                include_token_codes=with_codes,
            ),
            timeout=_EMBED_SECONDS,
        )
        width = answer.vectors.dimensions * 4
        if width == 0 or len(answer.vectors.data) != width * len(texts):
            raise InternalError(Reason.INTERNAL, "the embedding service answered another shape")
        if len(answer.token_codes) not in {0, len(texts)}:
            raise InternalError(Reason.INTERNAL, "the embedding service sent other token codes")
        refusals = {
            place: report.error.message or report.error.reason
            for place, report in enumerate(answer.reports)
            if report.HasField("error")
        }
        data = answer.vectors.data
        return EmbeddedTexts(
            tuple(
                b"" if place in refusals else data[place * width : (place + 1) * width]
                for place in range(len(texts))
            ),
            refusals,
            answer.model_revision,
            tuple(answer.token_codes),
        )
