"""What an embedding engine does, whatever runs it."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from services.embedding.options import InputKind

TokenArray = npt.NDArray[np.int32]
VectorArray = npt.NDArray[np.float32]

Checkpoint = Callable[[], None]
"""Called by an encoder between steps of a forward pass: more urgent work may run inside it, and it
may raise to abandon the pass."""


class Output(enum.Enum):
    """What a forward pass returns for each text."""

    POOLED = "pooled"
    """One vector (dimensions,), not normalised."""
    TOKENS = "tokens"
    """One row of length 1 per token, special tokens included: (tokens, dimensions)."""
    POOLED_AND_TOKENS = "pooled and tokens"
    """Both from one pass: the pooled vector as the first row, those of the tokens below it,
    (1 + tokens, dimensions)."""
    SCORE = "score"
    """One number, (1,): how well a passage answers a query. Of cross-encoders alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """One text as a model reads it."""

    ids: TokenArray
    """Token ids, special tokens included, at most `max_tokens` of them."""
    is_truncated: bool
    """Whether tokens were dropped at the end."""
    content_count: int
    """How many of the ids are no special tokens."""
    stated_count: int = 0
    """Tokens to state where `ids` are none, as for models elsewhere; 0: as many as ids."""

    @property
    def count(self) -> int:
        """Tokens, special ones included."""
        return self.stated_count or len(self.ids)


@dataclass(frozen=True, slots=True, eq=False)
class LocatedTokens:
    """One text as a model reads it, with the place of each token in it."""

    tokens: Tokens
    rows: npt.NDArray[np.intp]
    """Which ids stand for the caller's text, not for special tokens or the model's prompt."""
    starts: npt.NDArray[np.int64]
    """First character of each of `rows`, in Unicode code points of the text."""
    ends: npt.NDArray[np.int64]
    """Character after the last one of each of `rows`."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a model is and can do."""

    revision: str
    """Hash over weights and configuration: vectors of different revisions never meet."""
    dimensions: int
    max_tokens: int
    """Tokens it reads at most, special tokens included."""
    vocabulary_size: int
    engine: str
    device: str
    precision: str
    supports_dimensions: bool = False
    """Whether leading dimensions work on their own (Matryoshka)."""
    prompts: dict[InputKind, str] = field(default_factory=dict)
    """Put before the text, by its use."""
    outputs: frozenset[Output] = frozenset({Output.POOLED, Output.TOKENS, Output.POOLED_AND_TOKENS})
    """What it can return."""
    joins_outputs: bool = True
    """Whether POOLED_AND_TOKENS takes one pass, not two."""
    reads_ids: bool = True
    """Whether callers may send ids of its vocabulary instead of texts."""

    @property
    def is_cross_encoder(self) -> bool:
        """Whether it reads query and passage together, and returns a score."""
        return Output.SCORE in self.outputs


class TextModel(Protocol):
    """Splits texts into tokens. May be called from several threads at once."""

    @property
    def info(self) -> ModelInfo:
        """What the model is and can do."""
        ...

    def tokenize(self, texts: Sequence[str], kind: InputKind) -> list[Tokens]:
        """Splits texts, with the prompt of their kind, cut to the model's limit. Blocks."""
        ...

    def locate(self, texts: Sequence[str], kind: InputKind) -> list[LocatedTokens]:
        """Splits texts as `tokenize` does and tells where each token stands. Blocks."""
        ...

    def adopt(self, ids: TokenArray) -> Tokens:
        """Takes ids that the caller split, cut to the model's limit; specials at the ends stay."""
        ...

    def count(self, texts: Sequence[str]) -> list[int]:
        """Counts tokens, special ones included, without any limit. Blocks."""
        ...

    def close(self) -> None:
        """Frees what the model holds. Nothing else is called after it."""
        ...


@runtime_checkable
class PairModel(TextModel, Protocol):
    """A cross-encoder: splits a query with each passage."""

    def tokenize_pairs(self, query: str, passages: Sequence[str]) -> list[Tokens]:
        """Splits pairs; the passage is cut to what the query leaves of the limit. Blocks."""
        ...


class Encoder(TextModel, Protocol):
    """Runs in this process.

    On a CPU `encode` is called from several threads at once, on an accelerator from one; each may
    call it again from within a checkpoint.
    """

    def encode(
        self, batch: Sequence[TokenArray], output: Output, checkpoint: Checkpoint | None = None
    ) -> list[VectorArray]:
        """Runs the model once over all of `batch`; row or matrix i belongs to text i. Blocks.

        Args:
            batch: Ids of each text, as `tokenize` returned them, in any order.
            output: What to return for each text.
            checkpoint: See `Checkpoint`.
        """
        ...


@runtime_checkable
class ConcurrentEncoder(TextModel, Protocol):
    """Runs elsewhere and many batches at once: over the network, or in an engine that batches."""

    @property
    def places(self) -> int:
        """Batches that it is given at once."""
        ...

    async def disconnect(self) -> None:
        """Ends its connections and processes; `close` follows."""
        ...

    async def encode_concurrently(
        self, batch: Sequence[TokenArray], output: Output
    ) -> list[VectorArray]:
        """As `Encoder.encode`; cancelling it ends the work.

        Raises:
            InvalidArgumentError: It refuses one of the texts.
            UnavailableError: It cannot be reached, or fails.
        """
        ...


AnyEncoder = Encoder | ConcurrentEncoder
