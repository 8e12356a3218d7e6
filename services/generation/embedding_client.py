"""Scores spans by the embedding service's Rerank."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from cairn.embedding.v1 import embedding_service_pb2 as pb
from cairn.embedding.v1 import embedding_service_pb2_grpc as rpc

from services.generation.extractive_engine import SpanContext, SpanScores
from services.rpc.deadline import remaining_seconds
from services.rpc.errors import InternalError, Reason
from services.rpc.scope import Scope
from services.rpc.scope_proto import scope_to_proto

TIMEOUT_SECONDS = 5.0
DEADLINE_SHARE = 0.6
"""Of what the request has left: a silent scorer leaves time to answer by words alone."""


class EmbeddingClient:
    """A `SpanScorer` over gRPC.

    Args:
        channel: To the embedding service.
        timeout_seconds: Of one call; the request's own deadline goes first.
    """

    def __init__(
        self, channel: grpc.aio.Channel, *, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        self._stub = rpc.EmbeddingServiceStub(channel)
        self._timeout_seconds = timeout_seconds

    async def score(
        self,
        scope: Scope,
        question: str,
        word_weights: Sequence[float],
        texts: Sequence[str],
        contexts: Sequence[SpanContext | None] = (),
    ) -> SpanScores:
        """Scores texts against a question by late interaction; see `SpanScorer`."""
        passages, codes, spans = _in_context(texts, contexts)
        response: pb.RerankResponse = await self._stub.Rerank(
            pb.RerankRequest(
                scope=scope_to_proto(scope),
                method=pb.RERANK_METHOD_LATE_INTERACTION,
                query=question,
                passages=passages,
                lane=pb.LANE_INTERACTIVE,
                query_word_weights=word_weights,
                passage_token_codes=codes,
                spans=spans,
            ),
            timeout=self._timeout(),
        )
        if len(response.scores) != len(texts):
            raise InternalError(
                Reason.INTERNAL,
                f"embedding scored {len(response.scores)} of {len(texts)} texts",
            )
        return SpanScores(list(response.scores), response.usage.rerank_tokens)

    def _timeout(self) -> float:
        remaining = remaining_seconds()
        if remaining is None:
            return self._timeout_seconds
        return min(self._timeout_seconds, DEADLINE_SHARE * remaining)


def _in_context(
    texts: Sequence[str], contexts: Sequence[SpanContext | None]
) -> tuple[Sequence[str], list[bytes], list[pb.PassageSpan]]:
    """Returns passages, their codes and the stretches of them to score, one for each text.

    Without any context the texts themselves are the passages, and nothing else is needed.
    """
    if not any(contexts):
        return texts, [], []
    places: dict[str, int] = {}
    codes: list[bytes] = []
    spans: list[pb.PassageSpan] = []
    for text, context in zip(texts, contexts, strict=True):
        passage = text if context is None else context.passage
        if passage not in places:
            places[passage] = len(codes)
            codes.append(b"" if context is None else context.token_codes)
        start, end = (0, len(text)) if context is None else (context.start, context.end)
        spans.append(pb.PassageSpan(passage_index=places[passage], start=start, end=end))
    return list(places), codes, spans
