"""What the service does: texts in, vectors, token vectors or counts out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from services.embedding.cache import CachedVector, VectorCache
from services.embedding.embed_job import Clock, EmbedJob, TextReport, Texts, Timings, refused
from services.embedding.encoder import LocatedTokens, Output, Tokens, VectorArray
from services.embedding.intake import Outcome, Runner, Work
from services.embedding.limits import RequestLimits
from services.embedding.metrics import FAILED, TRUNCATED
from services.embedding.models import LoadedModel, Models
from services.embedding.options import Caller, EmbedOptions, InputKind, Lane, Truncation
from services.embedding.recent_queries import RecentQueries
from services.embedding.splitting import CHUNK_TEXTS, Splitter
from services.embedding.token_codes import MAX_CODE_BYTES, encode, model_mark
from services.embedding.token_pooling import MAX_FACTOR
from services.embedding.token_vectors import (
    TokenVectors,
    check_output,
    locate,
    run_tokens,
    token_vectors,
)
from services.embedding.vectors import bytes_per_row, normalize, shorten
from services.rpc import semconv
from services.rpc.errors import InvalidArgumentError, Reason
from services.rpc.telemetry import span

_MATRIX_BYTES = 32 * 1024 * 1024
"""Token vectors of one request in memory at once: 85 texts of 256 tokens, at 384 dimensions."""
_MOST_READINGS = 4
_LONGEST_QUESTION = 400
"""Characters of a text whose token vectors are kept: some 150 kB at most."""


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
    token_codes: list[bytes]
    """One per text, empty for a failed one; none at all where they were not asked for, or the model
    gives no token vectors."""


class Embedder:
    """The domain of the service. Belongs to one loop.

    Args:
        models: The loaded models.
        splitter: Tokenising threads.
        cache: Vectors seen before.
        limits: Bounds of a request.
        recent: Told the token vectors of questions; None: nobody wants them.
    """

    def __init__(
        self,
        models: Models,
        splitter: Splitter,
        cache: VectorCache,
        limits: RequestLimits,
        recent: RecentQueries | None = None,
    ) -> None:
        self.models = models
        self.limits = limits
        self._recent = recent or RecentQueries()
        self._splitter = splitter
        self._cache = cache

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
            check_output(model, Output.POOLED, "vectors")
            dimensions = _dimensions(model, options.dimensions)
            code_bytes = MAX_CODE_BYTES if options.with_token_codes else 0
            self.limits.check_response(
                "texts", len(texts) * (bytes_per_row(dimensions, options.element_type) + code_bytes)
            )
            job = EmbedJob(texts, options, caller, model.encoder)
            attributes = _attributes(model, len(texts))
            with span(f"embeddings {model.name}", attributes=attributes) as current:
                await self._fill(job, model.runner)
                current.set_attribute(semconv.GEN_AI_USAGE_INPUT_TOKENS, job.encoded_tokens)
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
            token_codes=job.codes,
        )

    async def _fill(self, job: EmbedJob, runner: Runner) -> None:
        """Fills the rows and reports of a job: from the cache, else from the model."""
        await self._splitter.keyed(
            job.options.lane, job.size, lambda: job.check_and_key(self.limits)
        )
        known = await self._cache.get(
            [key for key in job.keys if key is not None], with_codes=job.with_codes
        )
        missing: list[int] = []
        for index, key in enumerate(job.keys):
            if key is None:
                continue
            cached = known.get(key)
            if cached is None:
                missing.append(index)
            else:
                job.answer_from_cache(index, cached)
        if job.with_codes:
            await self._run_coded(job, runner, missing)
            return
        if _is_question(job, missing):
            await self._run_question(job, runner, missing)
            return
        tokens = await self._split(job, missing)
        running = [index for index in missing if job.accept(index, tokens[index])]
        outcomes = await _run(job, runner, Output.POOLED, running, tokens)
        self._keep(job, running, outcomes)

    async def _run_coded(self, job: EmbedJob, runner: Runner, indexes: Sequence[int]) -> None:
        """Runs texts whose token codes are wanted, so many that their matrices stay small."""
        model, mark = job.encoder, model_mark(job.encoder.info.revision)
        lane = job.options.lane
        located, tokens, running = await self._locate(job, indexes)
        for part in _windows(running, tokens, 4 * model.info.dimensions):
            outcomes = await _run(job, runner, Output.POOLED_AND_TOKENS, part, tokens)
            rows = {
                index: outcome.result[1:][located[index].rows]
                for index, outcome in zip(part, outcomes, strict=True)
                if outcome.result is not None
            }
            coded = await self._splitter.in_thread(
                lane, lambda rows=rows: {index: encode(each, mark) for index, each in rows.items()}
            )
            for index, code in coded.items():
                job.codes[index] = code
            self._keep(job, part, outcomes)

    async def _run_question(self, job: EmbedJob, runner: Runner, indexes: Sequence[int]) -> None:
        """Runs a question, and keeps the vectors of its tokens: candidates are scored by them next.

        They come from the same pass, and cost a hundredth of another one.
        """
        located, tokens, running = await self._locate(job, indexes)
        outcomes = await _run(job, runner, Output.POOLED_AND_TOKENS, running, tokens)
        pooled: list[Outcome] = []
        for index, outcome in zip(running, outcomes, strict=True):
            result, key = outcome.result, job.keys[index]
            if result is not None and key is not None:
                self._recent.put(key, result[1:][located[index].rows])
                outcome = replace(outcome, result=result[0])  # noqa: PLW2901 - what is kept of it
            pooled.append(outcome)
        self._keep(job, running, pooled)

    async def _locate(
        self, job: EmbedJob, indexes: Sequence[int]
    ) -> tuple[dict[int, LocatedTokens], dict[int, Tokens], list[int]]:
        """Splits texts; returns what became of each, and which go on to the model."""
        options = job.options
        texts = [text for index in indexes if isinstance(text := job.texts[index], str)]
        split = await locate(
            self._splitter, job.encoder, texts, options.kind, options.lane, job.clock
        )
        located = dict(zip(indexes, split, strict=True))
        tokens = {index: each.tokens for index, each in located.items()}
        return located, tokens, [index for index in indexes if job.accept(index, tokens[index])]

    def _keep(self, job: EmbedJob, indexes: Sequence[int], outcomes: Sequence[Outcome]) -> None:
        """Takes what the model returned, and remembers it."""
        fresh: list[tuple[bytes, CachedVector]] = []
        for index, outcome in zip(indexes, outcomes, strict=True):
            entry = job.answer_from_model(index, outcome)
            key = job.keys[index]
            if entry is not None and key is not None:
                fresh.append((key, entry))
        self._cache.put(fresh)

    async def _split(self, job: EmbedJob, indexes: Sequence[int]) -> dict[int, Tokens]:
        """Splits the texts at `indexes` into tokens."""
        encoder, kind = job.encoder, job.options.kind
        given = [job.texts[index] for index in indexes]
        texts = [text for text in given if isinstance(text, str)]
        if not texts:
            ids = (encoder.adopt(np.array(text, dtype=np.int32)) for text in given)
            return dict(zip(indexes, ids, strict=True))
        started = time.monotonic()
        split = await self._splitter.in_chunks(
            texts, job.options.lane, lambda chunk: encoder.tokenize(chunk, kind)
        )
        job.clock.tokenize_seconds += time.monotonic() - started
        return dict(zip(indexes, split, strict=True))

    # -- token vectors and counts --------------------------------------------------------------

    async def encode_tokens(
        self,
        texts: Sequence[str],
        options: EmbedOptions,
        caller: Caller,
        pooling_factor: float = 0.0,
    ) -> tuple[list[TokenVectors], LoadedModel, int]:
        """Returns the token vectors of each text, the model, and the tokens that it read.

        Args:
            texts: What to encode.
            options: How; dimensions and normalisation do not apply.
            caller: For whom.
            pooling_factor: How many times fewer vectors to return; up to 1: all of them.

        Raises:
            InvalidArgumentError: A text is too long or refused, or the answer would be too large.
            NotFoundError: No such model.
            ResourceExhaustedError: Too much waits already.
        """
        self.limits.check_count("texts", len(texts))
        if not 0 <= pooling_factor <= MAX_FACTOR:  # NaN is neither
            raise InvalidArgumentError.for_field(
                "pooling_factor", f"must be 0 to {MAX_FACTOR:g}, not {pooling_factor:g}"
            )
        for index, text in enumerate(texts):
            self.limits.check_text(f"texts[{index}]", text)
        with self.models.lease(options.model) as model:
            check_output(model, Output.TOKENS, "token vectors")
            encoder, clock = model.encoder, Clock()
            located = await locate(
                self._splitter, encoder, texts, options.kind, options.lane, clock
            )
            for index, each in enumerate(located):
                if each.tokens.is_truncated and options.truncation is Truncation.REFUSE:
                    raise refused(f"texts[{index}]", encoder)
            rows = sum(len(each.rows) for each in located)
            row_bytes = bytes_per_row(encoder.info.dimensions, options.element_type)
            self.limits.check_response("texts", rows * row_bytes)
            vectors = await run_tokens(model, located, options.lane, caller, clock)
        tokens = sum(len(each.tokens.ids) for each in located)
        found = await self._splitter.in_thread(
            options.lane,
            lambda: [
                token_vectors(each, rows, pooling_factor)
                for each, rows in zip(located, vectors, strict=True)
            ],
        )
        return found, model, tokens

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
            lane = Lane.BULK if len(texts) > CHUNK_TEXTS else Lane.INTERACTIVE
            return await self._splitter.in_chunks(texts, lane, model.encoder.count), model


async def _run(
    job: EmbedJob,
    runner: Runner,
    output: Output,
    indexes: Sequence[int],
    tokens: Mapping[int, Tokens],
) -> list[Outcome]:
    """Runs texts of a job."""
    started = time.monotonic()
    outcomes = await runner.run(
        job.encoder,
        output,
        [Work(tokens[index].ids, job.keys[index], tokens[index].stated_count) for index in indexes],
        lane=job.options.lane,
        caller=job.caller,
    )
    job.clock.add(outcomes, time.monotonic() - started)
    return outcomes


def _windows(
    indexes: Sequence[int], tokens: Mapping[int, Tokens], row_bytes: int
) -> Iterator[list[int]]:
    """Yields the indexes in groups whose token vectors take up to `_MATRIX_BYTES`."""
    group: list[int] = []
    size = 0
    for index in indexes:
        needed = row_bytes * len(tokens[index].ids)
        if group and size + needed > _MATRIX_BYTES:
            yield group
            group, size = [], 0
        group.append(index)
        size += needed
    if group:
        yield group


def _is_question(job: EmbedJob, indexes: Sequence[int]) -> bool:
    """Whether these are readings of a question that somebody waits for."""
    options, info = job.options, job.encoder.info
    texts = [job.texts[index] for index in indexes]
    return (
        options.kind is InputKind.QUERY
        and options.lane is Lane.INTERACTIVE
        and 0 < len(texts) <= _MOST_READINGS
        and Output.POOLED_AND_TOKENS in info.outputs
        and info.joins_outputs
        and all(isinstance(text, str) and len(text) <= _LONGEST_QUESTION for text in texts)
    )


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
        semconv.GEN_AI_OPERATION_NAME: "embeddings",
        semconv.GEN_AI_PROVIDER_NAME: "cairn",
        semconv.GEN_AI_REQUEST_MODEL: model.name,
        semconv.GEN_AI_EMBEDDINGS_DIMENSION_COUNT: model.encoder.info.dimensions,
        "cairn.texts": texts,
    }
