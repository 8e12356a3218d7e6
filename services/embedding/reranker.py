"""Scores passages against a query: by late interaction or by a cross-encoder."""

from __future__ import annotations

import enum
import time
from collections.abc import Sequence
from dataclasses import dataclass

from services.embedding.embed_job import Clock, Timings
from services.embedding.encoder import LocatedTokens, Output, PairModel, Tokens
from services.embedding.intake import Work
from services.embedding.late_interaction import late_interaction_score, token_weights
from services.embedding.limits import RequestLimits
from services.embedding.models import LoadedModel, Models
from services.embedding.options import Caller, InputKind, Lane
from services.embedding.splitting import Splitter
from services.embedding.token_vectors import check_output, locate, run_tokens
from services.rpc.errors import InvalidArgumentError, Reason

_WINDOW = 64
"""Passages whose token vectors are in memory at once: 64 of 256 tokens take 25 MB."""


class RerankMethod(enum.IntEnum):
    """How query and passage are read, numbered as in the contract; 0 leaves it to the service."""

    LATE_INTERACTION = 1
    CROSS_ENCODER = 2


@dataclass(frozen=True, slots=True, eq=False)
class Reranked:
    """Scores of passages, in their order."""

    scores: list[float]
    model: str
    method: RerankMethod
    read_tokens: int
    timings: Timings


@dataclass(frozen=True, slots=True)
class RerankOptions:
    """How to score."""

    model: str = ""
    """Name of a loaded model; empty for the default one of the method."""
    method: RerankMethod | None = None
    """None: a cross-encoder where one is loaded (or named), else late interaction."""
    lane: Lane = Lane.INTERACTIVE
    word_weights: Sequence[float] = ()
    """Weight of each word of the query, for late interaction."""


class Reranker:
    """Belongs to one loop.

    Args:
        models: The loaded models.
        splitter: Tokenising threads.
        limits: Bounds of a request.
    """

    def __init__(self, models: Models, splitter: Splitter, limits: RequestLimits) -> None:
        self._models = models
        self._splitter = splitter
        self._limits = limits

    async def rerank(
        self, query: str, passages: Sequence[str], options: RerankOptions, caller: Caller
    ) -> Reranked:
        """Scores passages; one without anything to read scores 0 by late interaction.

        Raises:
            InvalidArgumentError: The query is empty, a text too long, or weights do not fit.
            NotFoundError: No such model, or no cross-encoder is loaded.
            FailedPreconditionError: The model cannot score that way.
            ResourceExhaustedError: Too much waits already.
        """
        self._limits.check_count("passages", len(passages))
        self._limits.check_text("query", query)
        for index, passage in enumerate(passages):
            self._limits.check_text(f"passages[{index}]", passage)
        name, method = self._choose(options)
        with self._models.lease(name) as model:
            if method is RerankMethod.CROSS_ENCODER:
                return await self._score_pairs(model, query, passages, options, caller)
            return await self._score_tokens(model, query, passages, options, caller)

    def _choose(self, options: RerankOptions) -> tuple[str, RerankMethod]:
        """Returns the model's name and the method."""
        if options.model:
            is_pair = self._models.get(options.model).encoder.info.is_cross_encoder
            own = RerankMethod.CROSS_ENCODER if is_pair else RerankMethod.LATE_INTERACTION
            return options.model, options.method or own
        if options.method is RerankMethod.LATE_INTERACTION:
            return "", options.method
        cross_encoder = self._models.first_cross_encoder()
        if options.method is RerankMethod.CROSS_ENCODER or cross_encoder:
            return self._models.required_cross_encoder(), RerankMethod.CROSS_ENCODER
        return "", RerankMethod.LATE_INTERACTION

    async def _score_tokens(
        self,
        model: LoadedModel,
        query: str,
        passages: Sequence[str],
        options: RerankOptions,
        caller: Caller,
    ) -> Reranked:
        check_output(model, Output.TOKENS, "token vectors")
        clock, lane, splitter = Clock(), options.lane, self._splitter
        (located,) = await locate(splitter, model, [query], InputKind.QUERY, lane, clock)
        if not len(located.rows):
            raise _empty_query()
        weights = token_weights(query, located, options.word_weights)
        (vectors,) = await run_tokens(model, [located], lane, caller, clock)
        scores: list[float] = []
        tokens = len(located.tokens.ids)
        for begin in range(0, len(passages), _WINDOW):
            window = passages[begin : begin + _WINDOW]
            found: list[LocatedTokens] = await locate(
                splitter, model, window, InputKind.DOCUMENT, lane, clock
            )
            matrices = await run_tokens(model, found, lane, caller, clock)
            scores += await splitter.in_thread(
                lane,
                lambda rows=matrices: [
                    late_interaction_score(vectors, weights, matrix) for matrix in rows
                ],
            )
            tokens += sum(len(each.tokens.ids) for each in found)
        method = RerankMethod.LATE_INTERACTION
        return Reranked(scores, model.name, method, tokens, clock.timings())

    async def _score_pairs(
        self,
        model: LoadedModel,
        query: str,
        passages: Sequence[str],
        options: RerankOptions,
        caller: Caller,
    ) -> Reranked:
        check_output(model, Output.SCORE, "scores of query and passage together")
        if not query.strip():
            raise _empty_query()
        clock = Clock()
        started = time.monotonic()
        pairs = await self._splitter.in_chunks(passages, options.lane, _pairs_with(model, query))
        clock.tokenize_seconds += time.monotonic() - started
        started = time.monotonic()
        outcomes = await model.runner.run(
            model.encoder,
            Output.SCORE,
            [Work(pair.ids) for pair in pairs],
            lane=options.lane,
            caller=caller,
        )
        clock.add(outcomes, time.monotonic() - started)
        scores: list[float] = []
        for outcome in outcomes:
            if outcome.error is not None or outcome.result is None:
                raise outcome.error or AssertionError("an outcome without result has an error")
            scores.append(float(outcome.result[0]))
        tokens = sum(len(pair.ids) for pair in pairs)
        return Reranked(scores, model.name, RerankMethod.CROSS_ENCODER, tokens, clock.timings())


def _pairs_with(model: LoadedModel, query: str):  # noqa: ANN202 - a closure over both
    encoder = model.encoder
    assert isinstance(encoder, PairModel)

    def split(passages: Sequence[str]) -> list[Tokens]:
        return encoder.tokenize_pairs(query, passages)

    return split


def _empty_query() -> InvalidArgumentError:
    return InvalidArgumentError.for_field("query", "has no word to look for", Reason.EMPTY_TEXT)
