"""PARSED → CHUNKED: text to chunks, none of which the embedding model would cut."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from services.ingestion.anchoring import Former
from services.ingestion.chunker import (
    Chunk,
    ChunkerSettings,
    chunk_document,
    embedding_text,
    split_chunk,
)
from services.ingestion.failures import FailureReason, StageFailedError
from services.ingestion.jobs.store import BULK_LINGER_SECONDS
from services.ingestion.sharing import SharedCalls
from services.ingestion.stages.dependency import calling, is_refusal
from services.ingestion.stages.work import CHUNKS, ChunkPlan, Work, aside
from services.rpc.scope import Scope

if TYPE_CHECKING:
    from services.ingestion.ports import CollectionInfo, Embedder, Index, ModelInfo

MAX_CHUNKS = 20_000
"""Chunks retrieval takes in one write."""

_COUNT_BATCH = 256
MAX_CODED_CHUNKS = 1024
"""Chunks of one document, from its first, that get token codes: 8 MiB of them. A document travels
in one message, and what has no codes is read when it is reranked."""
MAX_PREFIX_CHARACTERS = 256
"""Longest title-and-headings line before a chunk. The gateway reads found chunks in the same form,
to rerank those without token codes (`services/gateway/pipeline/rerank.py`); a test compares."""
_KNOWN_SECONDS = 1.0
"""A collection that is dropped and made anew is seen within this time; what was cut for the former
one in between is refused by retrieval and cut again."""
_MAX_KNOWN = 10_000


class ChunkStage:
    """Cuts a document and counts the tokens of the pieces.

    Args:
        embedder: Counts tokens.
        index: Knows which model the collection has.
        settings: Sizes.
        with_codes: Whether chunks get token codes, where the model gives them.
    """

    def __init__(
        self,
        embedder: Embedder,
        index: Index,
        settings: ChunkerSettings,
        *,
        with_codes: bool = True,
    ) -> None:
        self._embedder = embedder
        self._index = index
        self._settings = settings
        self._with_codes = with_codes
        self._models: dict[tuple[str, str], tuple[ModelInfo, float]] = {}
        self._resolving = SharedCalls[tuple[str, str], "Work", "ModelInfo"](
            self._resolve_shared, most=_MAX_KNOWN
        )
        self._counting = SharedCalls[tuple[Scope, str, bool], Sequence[str], list[int]](
            self._count_shared,
            most=_COUNT_BATCH,
            weigh=len,
            linger_seconds=BULK_LINGER_SECONDS,
            is_urgent=lambda key: key[2],
            parts_on=is_refusal,
        )

    async def run(self, work: Work) -> tuple[str, bytes]:
        """Makes the plan.

        Raises:
            StageFailedError: the model is not loaded or not the collection's, or the document is
                too large.
            DependencyDownError: a service does not answer.
        """
        parsed = await work.load_parsed()
        model = await self._model(work)
        with_codes = self._with_codes and model.gives_token_codes
        before = await work.load_former(self._index, with_codes=with_codes)
        former = Former(before.text, before.chunks) if before is not None else None
        chunks = await aside(len(parsed.text), chunk_document, parsed, self._settings, former)
        prefix_limit = min(MAX_PREFIX_CHARACTERS, model.max_tokens)
        while True:
            fitting = await self._fit(work, model, chunks, prefix_limit)
            if fitting is not None:
                break
            # Not even the smallest piece fits behind its headings: they must be shorter.
            if prefix_limit == 0:
                raise StageFailedError(
                    FailureReason.TOO_LARGE, "a part of the text does not fit into the model"
                )
            prefix_limit //= 2
        if len(fitting) > MAX_CHUNKS:
            raise StageFailedError(
                FailureReason.TOO_LARGE,
                f"the document makes {len(fitting)} chunks, {MAX_CHUNKS} are allowed; split it",
            )
        plan = ChunkPlan(
            tuple(fitting),
            model.name,
            model.revision,
            model.dimensions,
            prefix_limit,
            min(len(fitting), MAX_CODED_CHUNKS) if with_codes else 0,
        )
        work.chunk_count = len(fitting)
        return CHUNKS, await aside(len(parsed.text), work.set_plan, plan)

    async def _model(self, work: Work) -> ModelInfo:
        """Returns the collection's model, asked for once a moment and not for every document."""
        key = (work.lease.job.key.tenant, work.lease.job.key.collection)
        return self._known_model(key) or await self._resolving.ask(key, work)

    async def _resolve_shared(
        self, key: tuple[str, str], works: Sequence[Work]
    ) -> Sequence[ModelInfo]:
        model = self._known_model(key)
        if model is None:
            _, model = await resolve_model(works[0], self._embedder, self._index)
            if len(self._models) >= _MAX_KNOWN:
                self._models.clear()
            self._models[key] = (model, time.monotonic() + _KNOWN_SECONDS)
        return [model] * len(works)

    def _known_model(self, key: tuple[str, str]) -> ModelInfo | None:
        model, until = self._models.get(key, (None, 0.0))
        return model if until > time.monotonic() else None

    async def _fit(
        self, work: Work, model: ModelInfo, chunks: Sequence[Chunk], prefix_limit: int
    ) -> list[Chunk] | None:
        """Splits chunks until none is over the model's limit; None when one cannot be split."""
        text = (await work.load_parsed()).text
        fitting: dict[int, list[Chunk]] = {}
        # (place in the document, parts of it that are still to be counted)
        open_chunks = [(place, chunk) for place, chunk in enumerate(chunks)]
        while open_chunks:
            texts = [
                embedding_text(work.title, chunk, text, max_prefix_characters=prefix_limit)
                for _, chunk in open_chunks
            ]
            counts = await self._count(work, model, texts)
            too_long = []
            for (place, chunk), count in zip(open_chunks, counts, strict=True):
                if count <= model.max_tokens:
                    fitting.setdefault(place, []).append(chunk)
                    continue
                parts = split_chunk(text, chunk)
                if parts == [chunk]:
                    return None
                too_long.extend((place, part) for part in parts)
            open_chunks = too_long
        return [
            chunk
            for place in sorted(fitting)
            for chunk in sorted(fitting[place], key=lambda part: part.start)
        ]

    async def _count(self, work: Work, model: ModelInfo, texts: Sequence[str]) -> list[int]:
        counts: list[int] = []
        for batch in _batches(texts, _COUNT_BATCH):
            key = (work.scope, model.name, work.is_express)
            with calling("embedding", FailureReason.EMBEDDING_REFUSED):
                counts += await self._counting.ask(key, batch)
        return counts

    async def _count_shared(
        self, key: tuple[Scope, str, bool], texts: Sequence[Sequence[str]]
    ) -> list[list[int]]:
        scope, model, _ = key
        together = [text for some in texts for text in some]
        counts = iter(await self._embedder.count_tokens(scope, model, together))
        return [list(itertools.islice(counts, len(some))) for some in texts]


async def resolve_model(
    work: Work, embedder: Embedder, index: Index
) -> tuple[CollectionInfo, ModelInfo]:
    """Returns the document's collection, created when it is missing, and its model.

    Raises:
        StageFailedError: the model is not loaded, or is another revision than the vectors'.
        DependencyDownError: a service does not answer.
    """
    name = work.lease.job.key.collection
    with calling("retrieval", FailureReason.INDEX_REFUSED):
        collection = await index.find_collection(work.scope, name)
    wanted = collection.embedding_model if collection is not None else ""
    with calling("embedding", FailureReason.MODEL_NOT_FOUND):
        model = await embedder.model(work.scope, wanted)
    if collection is None:
        with calling("retrieval", FailureReason.INDEX_REFUSED):
            collection = await index.create_collection(work.scope, name, model)
    revision = collection.embedding_model_revision
    if collection.dimensions != model.dimensions or (revision and revision != model.revision):
        raise StageFailedError(
            FailureReason.MODEL_MISMATCH,
            f"the vectors of collection {name!r} come from another revision of model "
            f"{model.name!r} than the one that is loaded; load that one, or migrate the collection",
        )
    return collection, model


def _batches(items: Sequence[str], size: int) -> Iterable[Sequence[str]]:
    return (items[start : start + size] for start in range(0, len(items), size))
