"""What the service does: texts in, vectors, token vectors, scores or counts out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from services.embedding.batcher import Batcher, Work
from services.embedding.cache import CachedVector, VectorCache
from services.embedding.embed_job import Clock, EmbedJob, TextReport, Texts, Timings, refused
from services.embedding.encoder import Encoder, LocatedTokens, Output, Tokens, VectorArray
from services.embedding.limits import RequestLimits
from services.embedding.metrics import FAILED, TRUNCATED
from services.embedding.models import LoadedModel, Models
from services.embedding.options import Caller, EmbedOptions, InputKind, Lane, Truncation
from services.embedding.rerank import late_interaction_score, token_weights
from services.embedding.vectors import bytes_per_row, normalize, shorten
from services.rpc.errors import InvalidArgumentError, Reason
from services.rpc.telemetry import span

T = TypeVar("T")

_INLINE_CHARACTERS = 1000
"""Fewer characters are split in the loop: 0.1 ms, which a change of threads costs as well."""
_CHUNK_TEXTS = 64
"""Texts split at a time, so that a cancelled request stops soon and lanes take turns."""
_RERANK_WINDOW = 64
"""Passages whose token vectors are in memory at once: 64 of 256 tokens take 25 MB."""


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """Vectors of a request."""

    vectors: VectorArray
    """(texts, dimensions); the row of a failed text is zero."""
    reports: list[TextReport]
    model: str
    revision: str
    encoded_tokens: int
    """Tokens that went through the model for this request."""
    cache_hits: int
    timings: Timings


@dataclass(frozen=True, slots=True, eq=False)
class TokenVectors:
    """Contextual vectors of one text."""

    located: LocatedTokens
    vectors: VectorArray
    """(tokens, dimensions), rows of length 1, special tokens left out."""


@dataclass(frozen=True, slots=True, eq=False)
class Reranked:
    """Scores of passages, in their order."""

    scores: list[float]
    model: str
    read_tokens: int
    timings: Timings


class Embedder:
    """The domain of the service. Belongs to one loop.

    Args:
        models: The loaded models.
        batcher: Runs them.
        cache: Vectors seen before.
        limits: Bounds of a request.
    """

    def __init__(
        self, models: Models, batcher: Batcher, cache: VectorCache, limits: RequestLimits
    ) -> None:
        self.models = models
        self.limits = limits
        self._batcher = batcher
        self._cache = cache
        # One thread each: a large request must not hold up the splitting of a query.
        self._threads = {
            lane: ThreadPoolExecutor(1, thread_name_prefix=f"tokenize-{lane.name.lower()}")
            for lane in Lane
        }

    @property
    def max_queued_tokens(self) -> int:
        """Tokens that may wait over all requests."""
        return sum(self._batcher.limits.max_tokens(lane) for lane in Lane)

    def close(self) -> None:
        """Ends the tokenising threads."""
        for executor in self._threads.values():
            executor.shutdown(wait=False, cancel_futures=True)

    # -- vectors -------------------------------------------------------------------------------

    async def embed(
        self,
        texts: Texts,
        options: EmbedOptions,
        caller: Caller,
    ) -> Embedded:
        """Embeds texts, or texts that the caller split into ids of the model's vocabulary.

        Raises:
            InvalidArgumentError: No texts, too many, or dimensions the model does not have.
            NotFoundError: No such model.
            ResourceExhaustedError: Too much waits already.
        """
        self.limits.check_count("texts", len(texts))
        with self.models.lease(options.model) as model:
            dimensions = _dimensions(model, options.dimensions)
            self.limits.check_response(
                "texts", len(texts) * bytes_per_row(dimensions, options.element_type)
            )
            job = EmbedJob(texts, options, caller, model.encoder)
            with span(f"embeddings {model.name}", attributes=_attributes(model, len(texts))):
                await self._fill(job)
        vectors = shorten(job.vectors, options.dimensions)
        if options.is_normalized:
            vectors = normalize(vectors)
        for report in job.reports:
            if report.error is not None and report.error.reason is not Reason.INTERNAL:
                FAILED.labels(report.error.reason.value).inc()
            elif report.is_truncated:
                TRUNCATED.inc()
        return Embedded(
            vectors=vectors,
            reports=job.reports,
            model=model.name,
            revision=model.encoder.info.revision,
            encoded_tokens=job.encoded_tokens,
            cache_hits=sum(report.is_cached for report in job.reports),
            timings=job.clock.timings(),
        )

    async def _fill(self, job: EmbedJob) -> None:
        """Fills the rows and reports of a job: from the cache, else from the model."""
        if job.size <= _INLINE_CHARACTERS:
            job.check_and_key(self.limits)
        else:
            await self._in_thread(job.options.lane, lambda: job.check_and_key(self.limits))
        missing: list[int] = []
        for index, key in enumerate(job.keys):
            if key is None:
                continue
            cached = self._cache.get(key)
            if cached is None:
                missing.append(index)
            else:
                job.answer_from_cache(index, cached)
        tokens = await self._split(job, missing)
        running = [index for index in missing if job.accept(index, tokens[index])]
        started = time.monotonic()
        outcomes = await self._batcher.run(
            job.encoder,
            Output.POOLED,
            [Work(tokens[index].ids, job.keys[index]) for index in running],
            lane=job.options.lane,
            deadline=job.caller.deadline,
        )
        job.clock.add(outcomes, time.monotonic() - started)
        fresh: list[tuple[bytes, CachedVector]] = []
        for index, outcome in zip(running, outcomes, strict=True):
            entry = job.answer_from_model(index, outcome)
            key = job.keys[index]
            if entry is not None and key is not None:
                fresh.append((key, entry))
        self._cache.put(fresh)

    async def _split(self, job: EmbedJob, indexes: Sequence[int]) -> dict[int, Tokens]:
        """Splits the texts at `indexes` into tokens."""
        encoder, kind = job.encoder, job.options.kind
        given = {index: job.texts[index] for index in indexes}
        texts = [text for text in given.values() if isinstance(text, str)]
        started = time.monotonic()
        split = await self._in_chunks(
            texts, job.options.lane, lambda chunk: encoder.tokenize(chunk, kind)
        )
        job.clock.tokenize_seconds += time.monotonic() - started
        of_texts = iter(split)
        return {
            index: next(of_texts)
            if isinstance(text, str)
            else encoder.adopt(np.array(text, dtype=np.int32))
            for index, text in given.items()
        }

    # -- token vectors and scores --------------------------------------------------------------

    async def encode_tokens(
        self, texts: Sequence[str], options: EmbedOptions, caller: Caller
    ) -> tuple[list[TokenVectors], LoadedModel, int]:
        """Returns the token vectors of each text, the model, and the tokens that it read.

        Raises:
            InvalidArgumentError: A text is too long or refused, or the answer would be too large.
            NotFoundError: No such model.
            ResourceExhaustedError: Too much waits already.
        """
        self.limits.check_count("texts", len(texts))
        for index, text in enumerate(texts):
            self.limits.check_text(f"texts[{index}]", text)
        with self.models.lease(options.model) as model:
            encoder, clock = model.encoder, Clock()
            located = await self._locate(encoder, texts, options.kind, options.lane, clock)
            for index, each in enumerate(located):
                if each.tokens.is_truncated and options.truncation is Truncation.REFUSE:
                    raise refused(f"texts[{index}]", encoder)
            rows = sum(len(each.rows) for each in located)
            row_bytes = bytes_per_row(encoder.info.dimensions, options.element_type)
            self.limits.check_response("texts", rows * row_bytes)
            vectors = await self._token_vectors(encoder, located, options.lane, caller, clock)
        tokens = sum(len(each.tokens.ids) for each in located)
        return [*map(TokenVectors, located, vectors)], model, tokens

    async def rerank(
        self,
        query: str,
        passages: Sequence[str],
        *,
        model_name: str,
        lane: Lane,
        word_weights: Sequence[float],
        caller: Caller,
    ) -> Reranked:
        """Scores passages by late interaction; a passage without tokens scores 0.

        Raises:
            InvalidArgumentError: The query is empty, a text too long, or weights do not fit.
            NotFoundError: No such model.
            ResourceExhaustedError: Too much waits already.
        """
        self.limits.check_count("passages", len(passages))
        self.limits.check_text("query", query)
        for index, passage in enumerate(passages):
            self.limits.check_text(f"passages[{index}]", passage)
        clock, scores, tokens = Clock(), [], 0
        with self.models.lease(model_name) as model:
            encoder = model.encoder
            (located,) = await self._locate(encoder, [query], InputKind.QUERY, lane, clock)
            if not len(located.rows):
                raise InvalidArgumentError.for_field(
                    "query", "has no word to look for", Reason.EMPTY_TEXT
                )
            weights = token_weights(query, located, word_weights)
            (vectors,) = await self._token_vectors(encoder, [located], lane, caller, clock)
            for begin in range(0, len(passages), _RERANK_WINDOW):
                window = passages[begin : begin + _RERANK_WINDOW]
                found = await self._locate(encoder, window, InputKind.DOCUMENT, lane, clock)
                matrices = await self._token_vectors(encoder, found, lane, caller, clock)
                scores += await self._in_thread(
                    lane,
                    lambda rows=matrices: [
                        late_interaction_score(vectors, weights, matrix) for matrix in rows
                    ],
                )
                tokens += sum(len(each.tokens.ids) for each in found)
        return Reranked(scores, model.name, tokens + len(located.tokens.ids), clock.timings())

    async def count_tokens(
        self, texts: Sequence[str], model_name: str
    ) -> tuple[list[int], LoadedModel]:
        """Counts the tokens of each text, special ones included, without the model's limit.

        Raises:
            InvalidArgumentError: No texts, too many, or one too long.
            NotFoundError: No such model.
        """
        self.limits.check_count("texts", len(texts))
        for index, text in enumerate(texts):
            self.limits.check_text(f"texts[{index}]", text)
        with self.models.lease(model_name) as model:
            lane = Lane.BULK if len(texts) > _CHUNK_TEXTS else Lane.INTERACTIVE
            return await self._in_chunks(texts, lane, model.encoder.count), model

    async def _locate(
        self, encoder: Encoder, texts: Sequence[str], kind: InputKind, lane: Lane, clock: Clock
    ) -> list[LocatedTokens]:
        started = time.monotonic()
        located = await self._in_chunks(texts, lane, lambda chunk: encoder.locate(chunk, kind))
        clock.tokenize_seconds += time.monotonic() - started
        return located

    async def _token_vectors(
        self,
        encoder: Encoder,
        located: Sequence[LocatedTokens],
        lane: Lane,
        caller: Caller,
        clock: Clock,
    ) -> list[VectorArray]:
        """Returns the rows of the callers' tokens; a text without any costs no pass."""
        filled = [index for index, each in enumerate(located) if len(each.rows)]
        started = time.monotonic()
        outcomes = await self._batcher.run(
            encoder,
            Output.TOKENS,
            [Work(located[index].tokens.ids) for index in filled],
            lane=lane,
            deadline=caller.deadline,
        )
        clock.add(outcomes, time.monotonic() - started)
        empty = np.zeros((0, encoder.info.dimensions), dtype=np.float32)
        result = [empty] * len(located)
        for index, outcome in zip(filled, outcomes, strict=True):
            if outcome.error is not None or outcome.result is None:
                raise outcome.error or AssertionError("an outcome without result has an error")
            result[index] = outcome.result[located[index].rows]
        return result

    async def _in_chunks(
        self, texts: Sequence[str], lane: Lane, split: Callable[[Sequence[str]], list[T]]
    ) -> list[T]:
        """Splits texts in the lane's thread, a chunk at a time; a few short ones right here."""
        if sum(map(len, texts)) <= _INLINE_CHARACTERS:
            return split(texts) if texts else []
        result: list[T] = []
        for begin in range(0, len(texts), _CHUNK_TEXTS):
            chunk = texts[begin : begin + _CHUNK_TEXTS]
            result += await self._in_thread(lane, lambda part=chunk: split(part))
        return result

    async def _in_thread(self, lane: Lane, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads[lane], work)


def _dimensions(model: LoadedModel, wanted: int) -> int:
    """Returns the length of the vectors.

    Raises:
        InvalidArgumentError: The model has no such leading dimensions.
    """
    info = model.encoder.info
    if wanted in (0, info.dimensions):
        return info.dimensions
    if not info.supports_dimensions:
        raise InvalidArgumentError.for_field(
            "options.dimensions",
            f"{wanted}: {model.name} was not trained for fewer than its {info.dimensions} "
            "dimensions; leave it 0",
            Reason.DIMENSION_MISMATCH,
        )
    if wanted > info.dimensions:
        raise InvalidArgumentError.for_field(
            "options.dimensions",
            f"{wanted}: {model.name} has {info.dimensions} dimensions",
            Reason.DIMENSION_MISMATCH,
        )
    return wanted


def _attributes(model: LoadedModel, texts: int) -> dict[str, str | int]:
    return {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "cairn",
        "gen_ai.request.model": model.name,
        "gen_ai.embeddings.dimension.count": model.encoder.info.dimensions,
        "cairn.texts": texts,
    }
