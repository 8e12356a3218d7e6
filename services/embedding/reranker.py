"""Scores passages against a query: by late interaction or by a cross-encoder."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from services.embedding.cache import cache_key
from services.embedding.embed_job import Clock, Timings, text_content
from services.embedding.encoder import LocatedTokens, Output, PairModel, Tokens, VectorArray
from services.embedding.intake import Work
from services.embedding.late_interaction import late_interaction_score, token_weights
from services.embedding.limits import RequestLimits
from services.embedding.metrics import RERANKED
from services.embedding.models import LoadedModel, Models
from services.embedding.options import Caller, InputKind, Lane
from services.embedding.recent_queries import RecentQueries
from services.embedding.splitting import Splitter
from services.embedding.token_codes import (
    TokenCode,
    code_of,
    coded_scores,
    coded_span_scores,
    decode,
    model_mark,
)
from services.embedding.token_vectors import check_output, locate, run_tokens
from services.rpc import semconv
from services.rpc.errors import InvalidArgumentError, Reason
from services.rpc.metrics import series
from services.rpc.telemetry import span

T = TypeVar("T")

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
    encoded_passages: int = 0
    """Passages that were read, by late interaction; the others had codes."""
    unusable_codes: int = 0
    """Of another model or revision, or malformed."""


@dataclass(frozen=True, slots=True)
class PassageSpan:
    """A stretch of a passage."""

    passage: int
    """Position of the passage in the request."""
    start: int
    """First character, in Unicode code points."""
    end: int


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
    spans: Sequence[PassageSpan] = ()
    """Stretches to score instead of whole passages, as they are read within their passage."""


@dataclass(frozen=True, slots=True, eq=False)
class _Question:
    """The query as late interaction reads it."""

    vectors: VectorArray
    weights: npt.NDArray[np.float32]


@dataclass(slots=True, eq=False)
class _Reading:
    """What is read of one request."""

    model: LoadedModel
    lane: Lane
    caller: Caller
    clock: Clock
    tokens: int = 0
    """That the model read."""


class Reranker:
    """Belongs to one loop.

    Args:
        models: The loaded models.
        splitter: Tokenising threads.
        limits: Bounds of a request.
        recent: Token vectors of the queries embedded or scored last; None: its own.
    """

    def __init__(
        self,
        models: Models,
        splitter: Splitter,
        limits: RequestLimits,
        recent: RecentQueries | None = None,
    ) -> None:
        self._models = models
        self._splitter = splitter
        self._limits = limits
        self._recent = recent or RecentQueries()

    async def rerank(
        self,
        query: str,
        passages: Sequence[str],
        options: RerankOptions,
        caller: Caller,
        codes: Sequence[bytes] = (),
    ) -> Reranked:
        """Scores passages; one without anything to read scores 0 by late interaction.

        Args:
            query: What to score against.
            passages: The passages.
            options: How to score.
            caller: For whom.
            codes: Token codes of the passages, one each, empty for none; or none at all. Passages
                whose code is of use are not read.

        Raises:
            InvalidArgumentError: The query is empty, a text too long, or weights or codes do not
                fit.
            NotFoundError: No such model, or no cross-encoder is loaded.
            FailedPreconditionError: The model cannot score that way.
            ResourceExhaustedError: Too much waits already.
        """
        self._limits.check_count("passages", len(passages))
        self._limits.check_text("query", query)
        for index, passage in enumerate(passages):
            self._limits.check_text(f"passages[{index}]", passage)
        if codes and len(codes) != len(passages):
            raise InvalidArgumentError.for_field(
                "passage_token_codes",
                f"has {len(codes)} codes for {len(passages)} passages; give one per passage, empty "
                "where there is none, or none at all",
            )
        self._check_spans(passages, options.spans)
        name, method = self._choose(options)
        with (
            self._models.lease(name) as model,
            span(f"rerank {model.name}", attributes=_attributes(model, method, len(passages))),
        ):
            if method is RerankMethod.CROSS_ENCODER:
                if options.spans:
                    raise InvalidArgumentError.for_field(
                        "spans", "are for late interaction: a cross-encoder reads whole texts"
                    )
                return await self._score_pairs(model, query, passages, options, caller)
            return await self._score_tokens(model, query, passages, options, caller, codes)

    def _check_spans(self, passages: Sequence[str], spans: Sequence[PassageSpan]) -> None:
        if spans:
            self._limits.check_count("spans", len(spans))
        for index, each in enumerate(spans):
            is_there = each.passage < len(passages)
            if not is_there or not each.start < each.end <= len(passages[each.passage]):
                raise InvalidArgumentError.for_field(
                    f"spans[{index}]", "is no stretch of one of the passages"
                )

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
        codes: Sequence[bytes],
    ) -> Reranked:
        check_output(model, Output.TOKENS, "token vectors")
        reading = _Reading(model, options.lane, caller, Clock())
        (located,) = await locate(
            self._splitter, model.encoder, [query], InputKind.QUERY, options.lane, reading.clock
        )
        if not len(located.rows):
            raise _empty_query()
        weights = token_weights(query, located, options.word_weights)
        vectors = await self._query_rows(reading, query, located)
        question = _Question(vectors, weights)
        known = _decoded(codes, model)
        if options.spans:
            scores, unread = await self._score_spans(reading, question, passages, known, options)
        elif known:
            held, unread = await self._completed(reading, passages, known)
            scores = await self._splitter.in_thread(
                options.lane, lambda: coded_scores(vectors, weights, held)
            )
        else:
            unread = list(range(len(passages)))
            scores = await self._read(
                reading, passages, lambda rows: late_interaction_score(vectors, weights, rows)
            )
        unusable = sum(bool(codes[place]) for place in unread) if codes else 0
        _count(len(passages) - len(unread), len(unread) - unusable, unusable)
        return Reranked(
            scores,
            model.name,
            RerankMethod.LATE_INTERACTION,
            reading.tokens,
            reading.clock.timings(),
            encoded_passages=len(unread),
            unusable_codes=unusable,
        )

    async def _query_rows(
        self, reading: _Reading, query: str, located: LocatedTokens
    ) -> VectorArray:
        """Returns the token vectors of the query; it may have been embedded or scored just now."""
        info = reading.model.encoder.info
        key = cache_key(
            tenant=reading.caller.tenant,
            revision=info.revision,
            prompt=info.prompts.get(InputKind.QUERY, ""),
            content=text_content(query),
        )
        known = self._recent.get(key)
        if known is not None:
            return known
        (rows,) = await run_tokens(
            reading.model, [located], reading.lane, reading.caller, reading.clock
        )
        reading.tokens += len(located.tokens.ids)
        self._recent.put(key, rows)
        return rows

    async def _score_spans(
        self,
        reading: _Reading,
        question: _Question,
        passages: Sequence[str],
        known: dict[int, TokenCode],
        options: RerankOptions,
    ) -> tuple[list[float], list[int]]:
        """Scores stretches of passages by their codes; also returns which passages were read."""
        encoder, lane = reading.model.encoder, reading.lane
        found: list[LocatedTokens] = await locate(
            self._splitter, encoder, passages, InputKind.DOCUMENT, lane, reading.clock
        )
        # A code of another number of tokens is that of another text.
        fitting = {
            place: code
            for place, code in known.items()
            if code.token_count == len(found[place].rows)
        }
        held, unread = await self._completed(reading, passages, fitting)
        scores = await self._splitter.in_thread(
            reading.lane, lambda: _span_scores(question, held, found, options.spans)
        )
        return scores, unread

    async def _completed(
        self, reading: _Reading, passages: Sequence[str], known: dict[int, TokenCode]
    ) -> tuple[list[TokenCode], list[int]]:
        """Returns a code for each passage, and which had to be read for theirs.

        Those that are read now are scored by their signs as well: scores must compare.
        """
        unread = [place for place in range(len(passages)) if place not in known]
        made = await self._read(reading, [passages[place] for place in unread], code_of)
        codes = known | dict(zip(unread, made, strict=True))
        return [codes[place] for place in range(len(passages))], unread

    async def _read(
        self, reading: _Reading, passages: Sequence[str], make: Callable[[VectorArray], T]
    ) -> list[T]:
        """Returns what is made of the token vectors of each passage, a window of them at a time."""
        made: list[T] = []
        splitter, model, lane = self._splitter, reading.model, reading.lane
        for begin in range(0, len(passages), _WINDOW):
            window = passages[begin : begin + _WINDOW]
            found: list[LocatedTokens] = await locate(
                splitter, model.encoder, window, InputKind.DOCUMENT, lane, reading.clock
            )
            matrices = await run_tokens(model, found, lane, reading.caller, reading.clock)
            made += await splitter.in_thread(
                lane, lambda rows=matrices: [make(each) for each in rows]
            )
            reading.tokens += sum(len(each.tokens.ids) for each in found)
        return made

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


def _decoded(codes: Sequence[bytes], model: LoadedModel) -> dict[int, TokenCode]:
    """Returns the bits of the codes that are of use, by their places."""
    info = model.encoder.info
    mark = model_mark(info.revision)
    decoded = (
        (place, decode(code, mark, info.dimensions)) for place, code in enumerate(codes) if code
    )
    return {place: each for place, each in decoded if each is not None}


def _span_scores(
    question: _Question,
    codes: Sequence[TokenCode],
    located: Sequence[LocatedTokens],
    spans: Sequence[PassageSpan],
) -> list[float]:
    scores = [0.0] * len(spans)
    of_passage: dict[int, list[int]] = {}
    for index, stretch in enumerate(spans):
        of_passage.setdefault(stretch.passage, []).append(index)
    for passage, indexes in of_passage.items():
        if not codes[passage].token_count:
            continue
        tokens = located[passage]
        stretches = [
            (
                int(np.searchsorted(tokens.ends, spans[index].start, side="right")),
                int(np.searchsorted(tokens.starts, spans[index].end, side="left")),
            )
            for index in indexes
        ]
        found = coded_span_scores(question.vectors, question.weights, codes[passage], stretches)
        for index, score in zip(indexes, found, strict=True):
            scores[index] = score
    return scores


def _count(coded: int, without: int, unusable: int) -> None:
    series(RERANKED, "stored").inc(coded)
    series(RERANKED, "computed").inc(without)
    series(RERANKED, "unusable").inc(unusable)


def _pairs_with(model: LoadedModel, query: str):  # noqa: ANN202 - a closure over both
    encoder = model.encoder
    assert isinstance(encoder, PairModel)

    def split(passages: Sequence[str]) -> list[Tokens]:
        return encoder.tokenize_pairs(query, passages)

    return split


def _attributes(model: LoadedModel, method: RerankMethod, passages: int) -> dict[str, str | int]:
    return {
        semconv.GEN_AI_OPERATION_NAME: "rerank",
        semconv.GEN_AI_PROVIDER_NAME: "cairn",
        semconv.GEN_AI_REQUEST_MODEL: model.name,
        semconv.GEN_AI_RERANK_CANDIDATE_COUNT: passages,
        "cairn.rerank.method": method.name.lower(),
    }


def _empty_query() -> InvalidArgumentError:
    return InvalidArgumentError.for_field("query", "has no word to look for", Reason.EMPTY_TEXT)
