"""One embedding request on its way: a row, a report and a key for each of its texts."""

from __future__ import annotations

import array
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from services.embedding.cache import CachedVector, cache_key
from services.embedding.encoder import AnyEncoder, Output, Tokens, VectorArray
from services.embedding.intake import Outcome
from services.embedding.limits import RequestLimits
from services.embedding.options import Caller, EmbedOptions, Truncation
from services.rpc.errors import InternalError, InvalidArgumentError, Reason, ServiceError

Texts = Sequence[str] | Sequence[Sequence[int]]
"""Texts, or texts that the caller split into ids of the model's vocabulary."""


_OF_ONE_TEXT = (InternalError, InvalidArgumentError)
"""Errors that say nothing about the other texts of a request."""


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time of a request went."""

    tokenize_seconds: float = 0.0
    queue_seconds: float = 0.0
    inference_seconds: float = 0.0
    """Of the passes this request had a part in."""


@dataclass(slots=True)
class Clock:
    """Adds up where the time of one request goes."""

    tokenize_seconds: float = 0.0
    waited_seconds: float = 0.0
    passes: dict[int, float] = field(default_factory=dict)

    def add(self, outcomes: Sequence[Outcome], seconds: float) -> None:
        """Counts a wait for the model."""
        self.waited_seconds += seconds
        for outcome in outcomes:
            if outcome.ran_in is not None:
                self.passes[outcome.ran_in.number] = outcome.ran_in.seconds

    def timings(self) -> Timings:
        """Returns the sums; what was waited and not computed was the queue."""
        inference = sum(self.passes.values())
        return Timings(self.tokenize_seconds, max(0.0, self.waited_seconds - inference), inference)


@dataclass(slots=True)
class TextReport:
    """What happened to one text."""

    token_count: int = 0
    is_truncated: bool = False
    is_cached: bool = False
    error: ServiceError | None = None


class EmbedJob:
    """The state of one request.

    Args:
        texts: What to embed.
        options: How.
        caller: For whom.
        encoder: By which model.
    """

    def __init__(
        self, texts: Texts, options: EmbedOptions, caller: Caller, encoder: AnyEncoder
    ) -> None:
        self.texts = texts
        self.field = "texts" if len(texts) and isinstance(texts[0], str) else "token_ids"
        """Of the request, for errors."""
        self.options = options
        self.caller = caller
        self.encoder = encoder
        self.clock = Clock()
        self.vectors: VectorArray = np.zeros(
            (len(texts), encoder.info.dimensions), dtype=np.float32
        )
        self.reports = [TextReport() for _ in texts]
        self.keys: list[bytes | None] = [None] * len(texts)
        self.encoded_tokens = 0
        self.with_codes = (
            options.with_token_codes and Output.POOLED_AND_TOKENS in encoder.info.outputs
        )
        self.codes: list[bytes] = [b""] * len(texts) if self.with_codes else []

    @property
    def size(self) -> int:
        """Characters, or ids, of all texts."""
        return sum(map(len, self.texts))

    def check_and_key(self, limits: RequestLimits) -> None:
        """Gives each text its key, or an error in its report."""
        info = self.encoder.info
        prompt = info.prompts.get(self.options.kind, "")
        for index in range(len(self.texts)):
            try:
                content = self._content(index, limits)
            except InvalidArgumentError as error:
                self.reports[index].error = error
                continue
            self.keys[index] = cache_key(
                tenant=self.caller.tenant,
                revision=info.revision,
                prompt=prompt,
                content=content,
            )

    def answer_from_cache(self, index: int, entry: CachedVector) -> None:
        """Takes the row from the cache, unless the text is to be refused for its length."""
        report = self.reports[index]
        if entry.is_truncated and self.options.truncation is Truncation.REFUSE:
            report.error = refused(f"{self.field}[{index}]", self.encoder)
            return
        report.token_count, report.is_truncated = entry.token_count, entry.is_truncated
        report.is_cached = True
        self.vectors[index] = entry.vector
        if self.with_codes:
            self.codes[index] = entry.codes

    def accept(self, index: int, tokens: Tokens) -> bool:
        """Returns whether a split text goes on to the model; else its report says why not."""
        report = self.reports[index]
        if tokens.content_count == 0:
            report.error = _empty(f"{self.field}[{index}]")
        elif tokens.is_truncated and self.options.truncation is Truncation.REFUSE:
            report.error = refused(f"{self.field}[{index}]", self.encoder)
        else:
            report.token_count = tokens.count
            report.is_truncated = tokens.is_truncated
            return True
        return False

    def answer_from_model(self, index: int, outcome: Outcome) -> CachedVector | None:
        """Takes the row from the model and returns what to keep; None for a failed text.

        Raises:
            ServiceError: What failed was not this text but the request: its deadline, the engine.
        """
        report = self.reports[index]
        if outcome.error is not None and not isinstance(outcome.error, _OF_ONE_TEXT):
            raise outcome.error
        if outcome.result is None or not _is_finite(outcome.result):
            report.error = outcome.error or _not_finite()
            report.token_count = 0
            if self.with_codes:
                self.codes[index] = b""
            return None
        if not outcome.is_shared:
            self.encoded_tokens += report.token_count
        self.vectors[index] = outcome.result[0] if self.with_codes else outcome.result
        # A copy: the row may be a view that would keep its whole batch in memory.
        vector = self.vectors[index].copy()
        return CachedVector(
            vector,
            report.token_count,
            report.is_truncated,
            self.codes[index] if self.with_codes else b"",
        )

    def _content(self, index: int, limits: RequestLimits) -> bytes:
        """Returns what identifies a text.

        Raises:
            InvalidArgumentError: The text cannot be embedded.
        """
        text = self.texts[index]
        if isinstance(text, str):
            limits.check_text(f"texts[{index}]", text)
            if not text.strip():
                raise _empty(f"texts[{index}]")
            return text_content(text)
        if not self.encoder.info.reads_ids:
            raise InvalidArgumentError.for_field(
                f"token_ids[{index}]", "this model runs elsewhere and reads texts only"
            )
        if not text:
            raise _empty(f"token_ids[{index}]")
        largest = max(text)
        if largest >= self.encoder.info.vocabulary_size:
            raise InvalidArgumentError.for_field(
                f"token_ids[{index}]",
                f"has the id {largest}; the model's vocabulary has "
                f"{self.encoder.info.vocabulary_size}",
            )
        if len(text) > limits.max_text_characters:
            raise InvalidArgumentError.for_field(
                f"token_ids[{index}]", f"has {len(text)} ids", Reason.TOO_LARGE
            )
        return b"i" + array.array("I", text).tobytes()


def text_content(text: str) -> bytes:
    """Returns what identifies a text beside texts that come as ids."""
    return b"t" + text.encode("utf-8")


def refused(field_path: str, encoder: AnyEncoder) -> InvalidArgumentError:
    """Returns the error of a text over the limit that must not be cut."""
    return InvalidArgumentError.for_field(
        field_path,
        f"is over the model's {encoder.info.max_tokens} tokens and truncation is refused: "
        "split it, or allow truncation",
        Reason.TOO_LARGE,
    )


def _is_finite(rows: VectorArray) -> bool:
    """Whether all numbers are, and small enough to be scaled to length 1."""
    flat = rows.ravel()
    return math.isfinite(np.dot(flat, flat))  # half the time of looking at each


def _empty(field_path: str) -> InvalidArgumentError:
    return InvalidArgumentError.for_field(
        field_path, "has nothing that the model could read", Reason.EMPTY_TEXT
    )


def _not_finite() -> InternalError:
    return InternalError(Reason.INTERNAL, "the model returned no finite vector for this text")
