"""An encoder without a model: words become vectors by their hash. For tests and dry runs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence

import numpy as np

from services.embedding.encoder import (
    Checkpoint,
    LocatedTokens,
    ModelInfo,
    Output,
    TokenArray,
    Tokens,
    VectorArray,
)
from services.embedding.options import InputKind

_WORD = re.compile(r"\w+|[^\w\s]")
_START, _END = 1, 2
_FIRST_WORD = 3


class HashEncoder:
    """Deterministic vectors in which texts that share words are close.

    Args:
        dimensions: Length of the vectors.
        max_tokens: Limit of the pretended model, special tokens included.
        vocabulary_size: Words are hashed into this many ids.
        prompts: Prompts of the pretended model.
        before_encode: Called with each batch before it is encoded: tests block or raise here.
    """

    def __init__(
        self,
        *,
        dimensions: int = 32,
        max_tokens: int = 64,
        vocabulary_size: int = 50_000,
        prompts: dict[InputKind, str] | None = None,
        before_encode: Callable[[Sequence[TokenArray]], None] | None = None,
    ) -> None:
        self._prompts = dict(prompts or {})
        self._before_encode = before_encode
        self.is_closed = False
        self.info = ModelInfo(
            revision=hashlib.sha256(
                f"hash {dimensions} {max_tokens} {vocabulary_size} {self._prompts}".encode()
            ).hexdigest(),
            dimensions=dimensions,
            max_tokens=max_tokens,
            vocabulary_size=vocabulary_size,
            engine="hash",
            device="cpu",
            precision="float32",
            supports_dimensions=True,
            prompts=self._prompts,
        )

    def tokenize(self, texts: Sequence[str], kind: InputKind) -> list[Tokens]:
        """Splits texts into words and marks."""
        return [located.tokens for located in self.locate(texts, kind)]

    def locate(self, texts: Sequence[str], kind: InputKind) -> list[LocatedTokens]:
        """Splits texts into words and marks, with their places."""
        prompt = self._prompts.get(kind, "")
        return [self._locate(prompt, text) for text in texts]

    def adopt(self, ids: TokenArray) -> Tokens:
        """Cuts ids to the limit."""
        limit = self.info.max_tokens
        kept = ids if len(ids) <= limit else np.append(ids[: limit - 1], ids[-1:])
        return Tokens(kept, len(ids) > limit, max(0, len(kept) - 2))

    def count(self, texts: Sequence[str]) -> list[int]:
        """Counts words, marks and the two special tokens."""
        return [len(_WORD.findall(text)) + 2 for text in texts]

    def encode(
        self, batch: Sequence[TokenArray], output: Output, checkpoint: Checkpoint | None = None
    ) -> list[VectorArray]:
        """Adds up the vectors of the words."""
        if self._before_encode is not None:
            self._before_encode(batch)
        if checkpoint is not None:
            checkpoint()
        matrices = [np.stack([self._vector(int(token)) for token in ids]) for ids in batch]
        if output is Output.TOKENS:
            return matrices
        if output is Output.POOLED_AND_TOKENS:
            return [np.vstack((matrix.mean(axis=0), matrix)) for matrix in matrices]
        return [matrix.mean(axis=0) for matrix in matrices]

    def close(self) -> None:
        """Remembers that it was closed."""
        self.is_closed = True

    def _locate(self, prompt: str, text: str) -> LocatedTokens:
        room = self.info.max_tokens - 2
        found = list(_WORD.finditer(prompt + text))
        words = [self._id(match.group()) for match in found[:room]]
        spans = [(match.start() - len(prompt), match.end() - len(prompt)) for match in found[:room]]
        rows = [row for row, (_, end) in enumerate(spans, start=1) if end > 0]
        return LocatedTokens(
            tokens=Tokens(
                np.array([_START, *words, _END], dtype=np.int32), len(found) > room, len(rows)
            ),
            rows=np.array(rows, dtype=np.intp),
            starts=np.array([max(0, spans[row - 1][0]) for row in rows], dtype=np.int64),
            ends=np.array([spans[row - 1][1] for row in rows], dtype=np.int64),
        )

    def _id(self, word: str) -> int:
        digest = hashlib.blake2b(word.lower().encode("utf-8", "replace"), digest_size=8).digest()
        return _FIRST_WORD + int.from_bytes(digest) % (self.info.vocabulary_size - _FIRST_WORD)

    def _vector(self, token: int) -> VectorArray:
        vector = np.random.default_rng(token).standard_normal(self.info.dimensions, np.float32)
        return vector / np.float32(np.linalg.norm(vector))
