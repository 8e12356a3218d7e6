"""EmbeddingService: messages to domain values and back, nothing else."""

from __future__ import annotations

import asyncio
import enum
import functools
import time
from collections.abc import AsyncIterator
from typing import TypeVar

import grpc
from cairn.embedding.v1 import embedding_service_pb2 as pb
from cairn.embedding.v1 import embedding_service_pb2_grpc as rpc
from cairn.types.v1 import scope_pb2, usage_pb2, vector_pb2

from services.embedding.embed_job import TextReport, Timings
from services.embedding.embedder import Embedded, Embedder
from services.embedding.encoder import Output
from services.embedding.intake import BatcherLimits
from services.embedding.models import LoadedModel
from services.embedding.options import (
    Caller,
    ElementType,
    EmbedOptions,
    InputKind,
    Lane,
    Truncation,
)
from services.embedding.reranker import PassageSpan, Reranker, RerankMethod, RerankOptions
from services.embedding.token_vectors import TokenVectors
from services.embedding.vectors import PackedVectors, pack
from services.rpc.deadline import remaining_seconds
from services.rpc.errors import (
    FieldViolation,
    InvalidArgumentError,
    Reason,
    ResourceExhaustedError,
    ServiceError,
)
from services.rpc.scope import TenantClass
from services.rpc.scope_proto import scope_from_proto

E = TypeVar("E", bound=enum.IntEnum)
D = TypeVar("D")

_WEIGHTS = {TenantClass.PREMIUM: 4.0, TenantClass.STANDARD: 2.0, TenantClass.FREE: 1.0}
"""Shares of tenants while the engine is busy."""
_STREAM_WINDOW = 2
"""Batches of one stream in work at once: one runs, one waits."""
_PATIENCE_SECONDS = 300.0
"""Longest that work of a call without deadline waits, and a batch of a stream for a full queue."""
_CANCEL_SECONDS = 5.0
_REMEMBERED_BYTES = 512
"""Options up to this size are remembered as they were read."""
_MAX_MODEL_NAME_CHARACTERS = 1024


class EmbeddingServicer(rpc.EmbeddingServiceServicer):
    """The service's face.

    Args:
        embedder: The domain behind it.
        reranker: Scores passages.
        queue: Bounds of the queue, to be told.
    """

    def __init__(self, embedder: Embedder, reranker: Reranker, queue: BatcherLimits) -> None:
        self._embedder = embedder
        self._reranker = reranker
        self._queue = queue

    async def Embed(  # noqa: N802 - the contract's name
        self, request: pb.EmbedRequest, context: grpc.aio.ServicerContext
    ) -> pb.EmbedResponse:
        """Embeds texts; a bad one fails alone."""
        return await self._embed(request, _caller(request.scope))

    async def EmbedStream(  # noqa: N802 - the contract's name
        self,
        request_iterator: AsyncIterator[pb.EmbedStreamRequest],
        context: grpc.aio.ServicerContext,
    ) -> AsyncIterator[pb.EmbedStreamResponse]:
        """Embeds batch after batch. A full queue makes the stream wait instead of failing."""
        # Read and answer side by side: a client may wait for each answer before it sends on.
        answers: asyncio.Queue[tuple[int, asyncio.Task[pb.EmbedResponse]] | None] = asyncio.Queue(
            _STREAM_WINDOW - 1
        )
        running: set[asyncio.Task[pb.EmbedResponse]] = set()

        async def read() -> None:
            first: pb.EmbedRequest | None = None
            try:
                async for message in request_iterator:
                    first = _with_defaults(message.request, first)
                    task = asyncio.create_task(self._embed_patiently(message.request))
                    running.add(task)
                    await answers.put((message.batch_id, task))
            finally:
                await answers.put(None)

        reader = asyncio.create_task(read())
        try:
            while (entry := await answers.get()) is not None:
                batch_id, task = entry
                response = await task
                running.discard(task)
                yield pb.EmbedStreamResponse(batch_id=batch_id, response=response)
            await reader
        finally:
            for task in (reader, *running):
                task.cancel()
            await asyncio.wait((reader, *running), timeout=_CANCEL_SECONDS)

    async def EncodeTokens(  # noqa: N802 - the contract's name
        self, request: pb.EncodeTokensRequest, context: grpc.aio.ServicerContext
    ) -> pb.EncodeTokensResponse:
        """Returns one vector per token."""
        caller = _caller(request.scope)
        options = _options(request.options)
        texts, model, tokens = await self._embedder.encode_tokens(
            request.texts, options, caller, request.pooling_factor
        )
        return pb.EncodeTokensResponse(
            texts=[_token_vectors(text, options.element_type) for text in texts],
            model=model.name,
            usage=usage_pb2.Usage(embedding_tokens=tokens),
        )

    async def Rerank(  # noqa: N802 - the contract's name
        self, request: pb.RerankRequest, context: grpc.aio.ServicerContext
    ) -> pb.RerankResponse:
        """Scores passages against a query."""
        caller = _caller(request.scope)
        options = RerankOptions(
            model=_model_name(request.model, "model"),
            method=_enum(RerankMethod, request.method, "method", None),
            lane=_enum(Lane, request.lane, "lane", Lane.INTERACTIVE),
            word_weights=request.query_word_weights,
            spans=[PassageSpan(each.passage_index, each.start, each.end) for each in request.spans],
        )
        reranked = await self._reranker.rerank(
            request.query, request.passages, options, caller, request.passage_token_codes
        )
        return pb.RerankResponse(
            scores=reranked.scores,
            model=reranked.model,
            method=pb.RerankMethod.Name(reranked.method),
            usage=usage_pb2.Usage(rerank_tokens=reranked.read_tokens),
            timings=_timings(reranked.timings),
            encoded_passages=reranked.encoded_passages,
            unusable_codes=reranked.unusable_codes,
        )

    async def CountTokens(  # noqa: N802 - the contract's name
        self, request: pb.CountTokensRequest, context: grpc.aio.ServicerContext
    ) -> pb.CountTokensResponse:
        """Counts tokens before any truncation."""
        scope_from_proto(request.scope)
        counts, model = await self._embedder.count_tokens(
            request.texts, _model_name(request.model, "model")
        )
        return pb.CountTokensResponse(token_counts=counts, model=model.name)

    async def ListModels(  # noqa: N802 - the contract's name
        self, request: pb.ListModelsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListModelsResponse:
        """Lists the loaded models, the default one first."""
        scope_from_proto(request.scope)
        limits = self._embedder.limits
        return pb.ListModelsResponse(
            models=[self._model(model) for model in self._embedder.models.list()],
            limits=pb.EmbeddingLimits(
                max_texts=limits.max_texts,
                max_text_characters=limits.max_text_characters,
                max_queued_tokens=sum(self._queue.max_tokens(lane) for lane in Lane),
            ),
        )

    async def LoadModel(  # noqa: N802 - the contract's name
        self, request: pb.LoadModelRequest, context: grpc.aio.ServicerContext
    ) -> pb.LoadModelResponse:
        """Loads a model beside the others."""
        scope_from_proto(request.scope)
        model = await self._embedder.models.load(
            request.name, request.source, request.engine, make_default=request.make_default
        )
        return pb.LoadModelResponse(model=self._model(model))

    async def UnloadModel(  # noqa: N802 - the contract's name
        self, request: pb.UnloadModelRequest, context: grpc.aio.ServicerContext
    ) -> pb.UnloadModelResponse:
        """Unloads a model once what runs on it has ended."""
        scope_from_proto(request.scope)
        await self._embedder.models.unload(request.name)
        return pb.UnloadModelResponse()

    async def _embed(self, request: pb.EmbedRequest, caller: Caller) -> pb.EmbedResponse:
        options = _options(request.options, with_token_codes=request.include_token_codes)
        if request.token_ids and request.include_token_codes:
            raise InvalidArgumentError.for_field(
                "include_token_codes", "needs texts: of token_ids it is not known which are special"
            )
        if request.texts and request.token_ids:
            raise InvalidArgumentError(
                Reason.INVALID_FIELD,
                "texts and token_ids exclude each other: send one of them",
                violations=[
                    FieldViolation("texts", "excludes token_ids"),
                    FieldViolation("token_ids", "excludes texts"),
                ],
            )
        texts = request.texts or [each.ids for each in request.token_ids]
        embedded = await self._embedder.embed(texts, options, caller)
        return _embed_response(embedded, options.element_type)

    async def _embed_patiently(self, request: pb.EmbedRequest) -> pb.EmbedResponse:
        """Embeds a batch of a stream; waits for a while as long as the queue is full."""
        caller = _caller(request.scope)
        give_up_at = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                return await self._embed(request, caller)
            except ResourceExhaustedError as error:
                if time.monotonic() > give_up_at:
                    raise
                await asyncio.sleep(error.retry_after_seconds or 1.0)

    def _model(self, model: LoadedModel) -> pb.Model:
        info = model.encoder.info
        return pb.Model(
            name=model.name,
            revision=info.revision,
            dimensions=info.dimensions,
            max_tokens=info.max_tokens,
            supports_dimensions=info.supports_dimensions,
            engine=info.engine,
            device=info.device,
            precision=info.precision,
            is_default=model.name == self._embedder.models.default_name,
            is_cross_encoder=info.is_cross_encoder,
            supports_token_codes=Output.POOLED_AND_TOKENS in info.outputs,
        )


def _with_defaults(request: pb.EmbedRequest, first: pb.EmbedRequest | None) -> pb.EmbedRequest:
    """Fills scope and options that a later message leaves out; returns the first message."""
    if first is None:
        return request
    if not request.HasField("scope"):
        request.scope.CopyFrom(first.scope)
    if not request.HasField("options"):
        request.options.CopyFrom(first.options)
    return first


def _caller(message: scope_pb2.Scope) -> Caller:
    scope = scope_from_proto(message)
    remaining = remaining_seconds()
    if remaining is None:
        remaining = _PATIENCE_SECONDS
    return Caller(
        tenant=scope.tenant,
        deadline=time.monotonic() + remaining,
        weight=_WEIGHTS.get(scope.tenant_class, 1.0),
    )


def _enum(kind: type[E], value: int, field: str, unspecified: D) -> E | D:
    """Returns the member of a number.

    Raises:
        InvalidArgumentError: No such member.
    """
    if value == 0:
        return unspecified
    try:
        return kind(value)
    except ValueError:
        raise InvalidArgumentError.for_field(
            field,
            f"{value} is not one of {', '.join(f'{each.value} ({each.name})' for each in kind)}",
        ) from None


def _options(message: pb.EmbedOptions, *, with_token_codes: bool = False) -> EmbedOptions:
    serialised = message.SerializeToString()
    if len(serialised) > _REMEMBERED_BYTES:
        return _read_options(message, with_token_codes=with_token_codes)
    return _remembered_options(serialised, with_token_codes)


@functools.lru_cache(maxsize=1024)
def _remembered_options(serialised: bytes, with_token_codes: bool) -> EmbedOptions:
    """Reads options once: the same ones come again and again."""
    message = pb.EmbedOptions.FromString(serialised)
    return _read_options(message, with_token_codes=with_token_codes)


def _read_options(message: pb.EmbedOptions, *, with_token_codes: bool) -> EmbedOptions:
    kind = _enum(InputKind, message.kind, "options.kind", InputKind.DOCUMENT)
    usual_lane = Lane.INTERACTIVE if kind is InputKind.QUERY else Lane.BULK
    return EmbedOptions(
        model=_model_name(message.model, "options.model"),
        kind=kind,
        lane=_enum(Lane, message.lane, "options.lane", usual_lane),
        truncation=_enum(Truncation, message.truncation, "options.truncation", Truncation.END),
        dimensions=message.dimensions,
        is_normalized=not message.skip_normalization,
        element_type=_enum(
            ElementType, message.element_type, "options.element_type", ElementType.FLOAT32
        ),
        with_token_codes=with_token_codes,
    )


def _model_name(name: str, field: str) -> str:
    if len(name) > _MAX_MODEL_NAME_CHARACTERS:
        raise InvalidArgumentError.for_field(
            field,
            f"is no model's name: it has {len(name)} characters, "
            f"and names have at most {_MAX_MODEL_NAME_CHARACTERS}",
            Reason.TOO_LARGE,
        )
    return name


def _embed_response(embedded: Embedded, element_type: ElementType) -> pb.EmbedResponse:
    return pb.EmbedResponse(
        vectors=_vector_batch(pack(embedded.vectors, element_type)),
        reports=[_report(report) for report in embedded.reports],
        model=embedded.model,
        model_revision=embedded.revision,
        usage=usage_pb2.Usage(
            embedding_tokens=embedded.encoded_tokens,
            embedding_cache_hits=embedded.cache_hits,
        ),
        timings=_timings(embedded.timings),
        token_codes=embedded.token_codes,
    )


def _vector_batch(packed: PackedVectors) -> vector_pb2.VectorBatch:
    return vector_pb2.VectorBatch(
        data=packed.data,
        element_type=vector_pb2.ElementType.Name(packed.element_type),
        dimensions=packed.dimensions,
        count=packed.count,
        scales=packed.scales,
    )


def _report(report: TextReport) -> pb.TextReport:
    return pb.TextReport(
        token_count=report.token_count,
        is_truncated=report.is_truncated,
        is_cached=report.is_cached,
        error=None if report.error is None else _text_error(report.error),
    )


def _text_error(error: ServiceError) -> pb.TextError:
    return pb.TextError(reason=error.reason.value, message=error.message)


def _token_vectors(text: TokenVectors, element_type: ElementType) -> pb.TokenVectors:
    return pb.TokenVectors(
        vectors=_vector_batch(pack(text.vectors, element_type)),
        starts=text.starts.tolist(),
        ends=text.ends.tolist(),
        is_truncated=text.is_truncated,
    )


def _timings(timings: Timings) -> pb.EmbedTimings:
    return pb.EmbedTimings(
        tokenize_ms=timings.tokenize_seconds * 1000,
        queue_ms=timings.queue_seconds * 1000,
        inference_ms=timings.inference_seconds * 1000,
    )
