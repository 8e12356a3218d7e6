"""CHUNKED → EMBEDDED: vectors for the chunks that the former version did not have."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from services.ingestion.chunker import Chunk, embedding_text
from services.ingestion.failures import (
    DependencyDownError,
    FailureReason,
    Stage,
    StageFailedError,
)
from services.ingestion.stages.dependency import calling

if TYPE_CHECKING:
    from services.ingestion.ports import EmbeddedTexts, Embedder, Index
    from services.ingestion.stages.work import ChunkPlan, Work

_BATCH = 32
"""Texts of one request, and what a crash costs at most: requests of all workers meet in the
embedding service's own batches."""
_BUSY_ATTEMPTS = 8
_BUSY_SECONDS = 5.0


class EmbedStage:
    """Embeds the chunks of a document.

    Args:
        embedder: Makes vectors.
        index: Has those of the former version.
    """

    def __init__(self, embedder: Embedder, index: Index) -> None:
        self._embedder = embedder
        self._index = index

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
        for start in range(0, len(missing), _BATCH):
            places = missing[start : start + _BATCH]
            answer = await self._embed(work, plan, [texts[place] for place in places])
            await work.save_vectors(dict(zip(places, answer.vectors, strict=True)))

    async def _embed(self, work: Work, plan: ChunkPlan, texts: Sequence[str]) -> EmbeddedTexts:
        answer = await self._embed_patiently(work, plan, texts)
        if plan.model_revision and answer.revision != plan.model_revision:
            raise StageFailedError(
                FailureReason.MODEL_MISMATCH,
                "another revision of the embedding model was loaded meanwhile",
                is_retryable=True,
                restart_from=Stage.PARSED,
            )
        if answer.refusals:
            reason = next(iter(answer.refusals.values()))
            raise StageFailedError(
                FailureReason.EMBEDDING_REFUSED,
                f"the embedding service refused {len(answer.refusals)} chunks: {reason}",
                is_retryable=True,
                restart_from=Stage.PARSED,
            )
        return answer

    async def _embed_patiently(
        self, work: Work, plan: ChunkPlan, texts: Sequence[str]
    ) -> EmbeddedTexts:
        """Embeds; while the service is merely full, waits here instead of giving the job back."""
        for _ in range(_BUSY_ATTEMPTS):
            try:
                with calling("embedding", FailureReason.EMBEDDING_REFUSED):
                    return await self._embedder.embed(work.scope, plan.model, texts)
            except DependencyDownError as error:
                if error.retry_after_seconds is None or error.retry_after_seconds > _BUSY_SECONDS:
                    raise
                await asyncio.sleep(error.retry_after_seconds)
        raise DependencyDownError("embedding", "embedding: it stays full", _BUSY_SECONDS)

    async def _reusable(
        self, work: Work, plan: ChunkPlan, texts: Sequence[str]
    ) -> dict[int, bytes]:
        """Returns vectors of the version in retrieval whose embedded text is the same."""
        key = work.lease.job.key
        if work.lease.indexed_version == 0:
            return {}
        with calling("retrieval", FailureReason.INDEX_REFUSED):
            collection = await self._index.find_collection(work.scope, key.collection)
            if collection is None or collection.embedding_model_revision != plan.model_revision:
                return {}
            held = await self._index.get_documents(
                work.readers, key.collection, [key.document_id], with_chunks=True
            )
        if not held:
            return {}
        former = held[0]
        width = plan.dimensions * 4
        vectors = {
            _digest(
                embedding_text(
                    former.title,
                    Chunk(chunk.start, chunk.end, chunk.heading_path),
                    former.text,
                    max_prefix_characters=plan.max_prefix_characters,
                )
            ): chunk.vector
            for chunk in former.chunks
            if len(chunk.vector) == width
        }
        return {
            place: vectors[digest]
            for place, text in enumerate(texts)
            if (digest := _digest(text)) in vectors
        }


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
