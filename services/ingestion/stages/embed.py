"""CHUNKED → EMBEDDED: vectors for the chunks that the former version did not have."""

from __future__ import annotations

import asyncio
import bisect
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.ingestion.chunker import Chunk, embedding_text
from services.ingestion.failures import (
    DependencyDownError,
    FailureReason,
    Stage,
    StageFailedError,
)
from services.ingestion.sharing import SharedCalls
from services.ingestion.stages.dependency import calling, is_refusal
from services.ingestion.stages.work import VECTORS
from services.rpc.errors import ResourceExhaustedError

if TYPE_CHECKING:
    from services.ingestion.ports import EmbeddedTexts, Embedder, Index
    from services.ingestion.stages.work import ChunkPlan, Work
    from services.rpc.scope import Scope

BATCH_TEXTS = 128
"""Texts of several documents that a process has embedded at a time: so much a crash costs. They go
in four requests, so that the service has work while it answers one of them; the vectors of one are
stored before another takes its place. Of more texts the service finds those of like lengths for a
pass, and requests, transactions and writes are shared by more documents."""
_REQUESTS_AT_ONCE = 4
_REQUEST_TEXTS = BATCH_TEXTS // _REQUESTS_AT_ONCE
EXPRESS_TEXTS = 8
"""Documents of so few chunks go before the bulk, when their tenant has next to nothing in work."""
_BUSY_ATTEMPTS = 8
_BUSY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Key:
    """Texts that may share a request."""

    scope: Scope
    model: str
    is_urgent: bool
    with_codes: bool


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Chunks of a document that need vectors."""

    work: Work
    plan: ChunkPlan
    places: Sequence[int]
    texts: Sequence[str]
    is_all: bool
    """Whether these are all vectors of the document: then they are stored with its checkpoint."""


class EmbedStage:
    """Embeds the chunks of a document.

    Args:
        embedder: Makes vectors.
        index: Has those of the former version.
    """

    def __init__(self, embedder: Embedder, index: Index) -> None:
        self._embedder = embedder
        self._index = index
        self._embedding = SharedCalls[_Key, _Wanted, None](
            self._embed_and_store,
            most=_REQUEST_TEXTS,
            weigh=lambda wanted: len(wanted.places),
            parts_on=is_refusal,
            calls_at_once=_REQUESTS_AT_ONCE,
        )
        self._bulk_turns = asyncio.Semaphore(_REQUESTS_AT_ONCE)

    async def run(self, work: Work) -> None:
        """Makes and stores the vectors that are missing.

        Raises:
            StageFailedError: the service refused a text, or the model changed meanwhile.
            DependencyDownError: a service does not answer.
        """
        parsed = await work.load_parsed()
        plan = await work.load_plan()
        texts = [
            embedding_text(
                work.title, chunk, parsed.text, max_prefix_characters=plan.max_prefix_characters
            )
            for chunk in plan.chunks
        ]
        known = await work.load_vectors()
        if not known:
            reused = await self._reusable(work, plan, texts)
            if reused:
                await work.save_vectors(reused)
            work.reused_chunk_count = len(reused)
        missing = [place for place in range(len(texts)) if place not in work.vectors]
        is_all = len(missing) == len(texts) and not work.next_vector_part
        is_urgent = work.is_express and is_all and len(missing) <= EXPRESS_TEXTS
        coded = bisect.bisect_left(missing, plan.coded_count)
        parts = [
            (_Key(work.scope, plan.model, is_urgent, with_codes), places)
            for with_codes, some in ((True, missing[:coded]), (False, missing[coded:]))
            for start in range(0, len(some), _REQUEST_TEXTS)
            if (places := some[start : start + _REQUEST_TEXTS])
        ]
        asked = [
            (
                key,
                _Wanted(
                    work,
                    plan,
                    places,
                    [texts[place] for place in places],
                    is_all=is_all and len(parts) == 1,
                ),
            )
            for key, places in parts
        ]
        with calling("embedding", FailureReason.EMBEDDING_REFUSED):
            await self._ask_all(asked)

    async def _ask_all(self, asked: Sequence[tuple[_Key, _Wanted]]) -> None:
        if len(asked) == 1:
            await self._embedding.ask(*asked[0])
            return
        try:
            async with asyncio.TaskGroup() as group:
                for each in asked:
                    group.create_task(self._embedding.ask(*each))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _embed_and_store(
        self, key: _Key, wanted: Sequence[_Wanted]
    ) -> list[Exception | None]:
        """Embeds texts of several documents and stores the vectors with each."""
        if key.is_urgent:
            return await self._embed_now(key, wanted)
        async with self._bulk_turns:
            return await self._embed_now(key, wanted)

    async def _embed_now(self, key: _Key, wanted: Sequence[_Wanted]) -> list[Exception | None]:
        answer = await self._embed_patiently(key, [text for each in wanted for text in each.texts])
        first = 0
        storing = []
        for each in wanted:
            last = first + len(each.texts)
            refusals = [
                reason for place, reason in answer.refusals.items() if first <= place < last
            ]
            vectors = answer.vectors[first:last]
            codes = answer.token_codes[first:last]
            if codes:
                vectors = [vector + code for vector, code in zip(vectors, codes, strict=True)]
            storing.append(_store(each, answer.revision, vectors, refusals))
            first = last
        results = await asyncio.gather(*storing, return_exceptions=True)
        return [_raised(result) for result in results]

    async def _embed_patiently(self, key: _Key, texts: Sequence[str]) -> EmbeddedTexts:
        """Embeds; while the service is merely full, waits here instead of giving the jobs back."""
        for _ in range(_BUSY_ATTEMPTS):
            try:
                return await self._embedder.embed(
                    key.scope,
                    key.model,
                    texts,
                    is_urgent=key.is_urgent,
                    with_codes=key.with_codes,
                )
            except ResourceExhaustedError as error:
                if error.retry_after_seconds is None or error.retry_after_seconds > _BUSY_SECONDS:
                    raise
                await asyncio.sleep(error.retry_after_seconds)
        raise DependencyDownError("embedding", "embedding: it stays full", _BUSY_SECONDS)

    async def _reusable(
        self, work: Work, plan: ChunkPlan, texts: Sequence[str]
    ) -> dict[int, bytes]:
        """Returns vectors of the version in retrieval whose embedded text is the same.

        One without the token codes that the plan wants is made again, with them.
        """
        key = work.lease.job.key
        if work.lease.indexed_version == 0:
            return {}
        with calling("retrieval", FailureReason.INDEX_REFUSED):
            collection = await self._index.find_collection(work.scope, key.collection)
            if collection is None or collection.embedding_model_revision != plan.model_revision:
                return {}
        former = await work.load_former(self._index, with_codes=plan.coded_count > 0)
        if former is None:
            return {}
        width = plan.dimensions * 4
        vectors = {
            _digest(
                embedding_text(
                    former.title,
                    Chunk(chunk.start, chunk.end, chunk.heading_path),
                    former.text,
                    max_prefix_characters=plan.max_prefix_characters,
                )
            ): (chunk.vector, chunk.token_codes)
            for chunk in former.chunks
            if len(chunk.vector) == width
        }
        reused: dict[int, bytes] = {}
        for place, text in enumerate(texts):
            vector, codes = vectors.get(_digest(text), (b"", b""))
            if vector and (codes or place >= plan.coded_count):
                reused[place] = vector + (codes if place < plan.coded_count else b"")
        return reused


async def _store(
    wanted: _Wanted,
    revision: str,
    vectors: Sequence[bytes],
    refusals: Sequence[str],
) -> None:
    if wanted.plan.model_revision and revision != wanted.plan.model_revision:
        raise StageFailedError(
            FailureReason.MODEL_MISMATCH,
            "another revision of the embedding model was loaded meanwhile",
            is_retryable=True,
            restart_from=Stage.PARSED,
        )
    if refusals:
        raise StageFailedError(
            FailureReason.EMBEDDING_REFUSED,
            f"the embedding service refused {len(refusals)} chunks: {refusals[0]}",
            is_retryable=True,
            restart_from=Stage.PARSED,
        )
    made = dict(zip(wanted.places, vectors, strict=True))
    if wanted.is_all:
        wanted.work.vectors.update(made)
        await wanted.work.record((VECTORS, wanted.work.pack_vectors()))
    else:
        await wanted.work.save_vectors(made)


def _raised(result: BaseException | None) -> Exception | None:
    if result is None or isinstance(result, Exception):
        return result
    raise result


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
