"""Fakes of what the gateway's pipeline calls: no network, told what to answer."""

from __future__ import annotations

import asyncio
import re
import struct
import zlib
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import numpy as np

from services.gateway.caches.positions import Position
from services.gateway.passages import Passage, ScoredPassage, Scores
from services.gateway.pipeline.ports import (
    Embedded,
    EncodedTokens,
    Finished,
    Prompt,
    Quote,
    Reranked,
    Retrieved,
    SearchPlan,
    Started,
    StoredChunks,
    Vector,
    Wrote,
)
from services.gateway.usage import Usage
from services.rpc.errors import ServiceError
from services.rpc.scope import Scope

SCOPE = Scope("acme", ("everyone",), "key:test")


def passage(text: str, name: str = "a", *, start: int = 0, final: float = 1.0) -> ScoredPassage:
    """Returns a passage of the document `name` that begins at `start`."""
    return ScoredPassage(
        Passage(
            chunk_id=f"{name}-{start}",
            document_id=name,
            document_version=1,
            collection="default",
            ordinal=0,
            start=start,
            end=start + len(text),
            text=text,
            uri=f"{name}.md",
        ),
        Scores(fused=final, final=final),
    )


def _vector(row: Sequence[float]) -> Vector:
    return Vector(struct.pack(f"<{len(row)}f", *row), 1, len(row))


def _word_rows(text: str) -> np.ndarray:
    words = re.findall(r"\w+", text.lower())
    rows = np.zeros((len(words), 256), np.float32)
    for row, word in zip(rows, words, strict=True):
        row[zlib.crc32(word.encode()) % 256] = 1
    return rows


class FakeServices:
    """Embedder, reranker, retriever and generator in one."""

    def __init__(self, passages: Sequence[ScoredPassage] = ()) -> None:
        self.passages = tuple(passages)
        self.late_scores: list[float] | None = None
        self.token_codes: tuple[bytes, ...] = ()
        self.rerank_codes: list[tuple[tuple[bytes, ...], str]] = []
        self.pieces: list[str] = []
        self.quotes: tuple[Quote, ...] = ()
        self.engine = "vllm"
        self.finish_reason = "stop"
        self.errors: dict[str, ServiceError] = {}
        self.delays: dict[str, float] = {}
        self.calls: list[tuple[str, Any]] = []
        self.generation = 1
        self.answers_as = "tiny"
        self.vectors: dict[str, tuple[float, ...]] = {}
        self.stored: dict[str, StoredChunks] = {}
        self.rewritten = ""
        self.left_out_repeats = 0

    async def _meet(self, name: str, what: Any) -> None:
        self.calls.append((name, what))
        if name in self.delays:
            await asyncio.sleep(self.delays[name])
        if name in self.errors:
            raise self.errors[name]

    async def embed_queries(self, scope: Scope, texts: Sequence[str], model: str) -> Embedded:
        await self._meet("embed", list(texts))
        rows = [self.vectors.get(text, (1.0,)) for text in texts]
        return Embedded(
            tuple(map(_vector, rows)), model or "fake", Usage(embedding_tokens=len(texts))
        )

    async def rerank(
        self,
        scope: Scope,
        query: str,
        passages: Sequence[str],
        *,
        codes: Sequence[bytes] = (),
        model: str = "",
        cross_encoder: str = "",
    ) -> Reranked:
        await self._meet("rerank", list(passages))
        self.rerank_codes.append((tuple(codes), cross_encoder or model))
        if codes and "codes" in self.errors:
            raise self.errors["codes"]
        scores = self.late_scores or [0.0] * len(passages)
        read = sum(not code for code in codes) if codes else len(passages)
        return Reranked(tuple(scores[: len(passages)]), Usage(rerank_tokens=1), read)

    async def encode_tokens(self, scope: Scope, texts: Sequence[str]) -> EncodedTokens:
        """A token's vector stands for its letters: equal words are equal, others are unlike."""
        await self._meet("ground", list(texts))
        return EncodedTokens(tuple(map(_word_rows, texts)), Usage(embedding_tokens=len(texts)))

    async def search(self, scope: Scope, plan: SearchPlan) -> Retrieved:
        await self._meet("search", plan)
        return Retrieved(
            self.passages[: plan.top_k],
            usage=Usage(vectors_scanned=3),
            generation=self.generation,
            is_current=True,
            token_codes=self.token_codes[: plan.token_codes_top_k],
        )

    async def position(self, scope: Scope, collection: str) -> Position:
        await self._meet("position", collection)
        return Position(collection, self.generation)

    async def identity(self, scope: Scope) -> str:
        await self._meet("identity", None)
        return self.answers_as

    async def embedding_model(self, scope: Scope, collection: str) -> str:
        return "own-model"

    async def recommend(self, scope: Scope, ask: Any) -> Retrieved:
        await self._meet("recommend", ask)
        return Retrieved(
            self.passages[: ask.top_k],
            generation=self.generation,
            is_current=True,
        )

    async def stored_chunks(
        self, scope: Scope, collection: str, document_ids: Sequence[str]
    ) -> dict[str, StoredChunks]:
        await self._meet("neighbours", (collection, list(document_ids)))
        return {each: self.stored[each] for each in document_ids if each in self.stored}

    async def generate(
        self, scope: Scope, prompt: Prompt, timeout_seconds: float
    ) -> AsyncGenerator[Started | Wrote | Finished]:
        if not prompt.passages:
            await self._meet("rewrite", prompt)
            yield Finished(self.rewritten, "stop", "vllm", "tiny", Usage(prompt_tokens=7))
            return
        await self._meet("generate", prompt)
        yield Started(self.engine, "tiny")
        for piece in self.pieces:
            yield Wrote(piece)
        if "finish" in self.errors:
            raise self.errors["finish"]
        yield Finished(
            text="".join(self.pieces),
            finish_reason=self.finish_reason,
            engine=self.engine,
            model="tiny",
            usage=Usage(completion_tokens=5),
            quotes=self.quotes,
            left_out_repeats=self.left_out_repeats,
        )
