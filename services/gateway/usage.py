"""What a request consumed and what that costs."""

from __future__ import annotations

import contextlib
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

PICOS = 10**12
"""Money is added up in whole millionths of a millionth, so that no sum depends on its order."""

_CHARACTERS_PER_TOKEN = 4
"""Where an engine did not come to say how many tokens it wrote."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Counts over all services, named as `cairn.types.v1.Usage` names them."""

    embedding_tokens: int = 0
    rerank_tokens: int = 0
    prompt_tokens: int = 0
    cached_prompt_tokens: int = 0
    completion_tokens: int = 0
    vectors_scanned: int = 0
    embedding_cache_hits: int = 0

    @property
    def tokens(self) -> int:
        """Tokens that limits count: all that a model read or wrote."""
        return (
            self.embedding_tokens + self.rerank_tokens + self.prompt_tokens + self.completion_tokens
        )

    def __add__(self, other: Usage) -> Usage:
        # Field by field: it is done for each piece of a stream.
        return Usage(
            self.embedding_tokens + other.embedding_tokens,
            self.rerank_tokens + other.rerank_tokens,
            self.prompt_tokens + other.prompt_tokens,
            self.cached_prompt_tokens + other.cached_prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.vectors_scanned + other.vectors_scanned,
            self.embedding_cache_hits + other.embedding_cache_hits,
        )


USAGE_VALUES: Callable[[Usage], tuple[int, ...]] = operator.attrgetter(*Usage.__match_args__)
"""The counts of a usage in the order of its fields; a tenth of what `astuple` takes."""


@dataclass(frozen=True, slots=True)
class Cost:
    """A price."""

    amount: float
    currency: str
    """ISO 4217 code."""


@dataclass(frozen=True, slots=True)
class CostParts:
    """A price in whole picos of the currency, by what it was for."""

    embedding: int = 0
    retrieval: int = 0
    rerank: int = 0
    generation: int = 0

    @property
    def total(self) -> int:
        """The whole price."""
        return self.embedding + self.retrieval + self.rerank + self.generation


COST_VALUES: Callable[[CostParts], tuple[int, ...]] = operator.attrgetter(*CostParts.__match_args__)
"""The parts of a price in the order of its fields."""


@dataclass(frozen=True, slots=True)
class ModelPrices:
    """Prices of one model per million tokens; None: as in the table's own line."""

    embedding: float | None = None
    rerank: float | None = None
    prompt: float | None = None
    cached_prompt: float | None = None
    completion: float | None = None


@dataclass(frozen=True, slots=True)
class _Rates:
    """Prices of one token, or one vector compared, in whole picos."""

    embedding: int
    rerank: int
    prompt: int
    cached_prompt: int
    completion: int
    retrieval: int


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Prices per million. Cached prompt tokens have their own, usually lower, price."""

    embedding: float = 0.0
    rerank: float = 0.0
    prompt: float = 0.0
    cached_prompt: float = 0.0
    completion: float = 0.0
    currency: str = "USD"
    retrieval: float = 0.0
    """Of vectors compared."""
    models: Mapping[str, ModelPrices] = field(default_factory=dict)
    """Prices of models that cost something else."""
    _usual_rates: _Rates = field(init=False, repr=False, compare=False)
    _rates: Mapping[str, _Rates] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Asked for several times a request: worked out once.
        object.__setattr__(self, "_usual_rates", self._rates_of(ModelPrices()))
        rates = {model: self._rates_of(own) for model, own in self.models.items()}
        object.__setattr__(self, "_rates", rates)

    def parts(self, usage: Usage, model: str = "") -> CostParts:
        """Returns the price of what was consumed, by what it was for.

        Args:
            usage: What was consumed.
            model: By which model.
        """
        rates = self._rates.get(model, self._usual_rates)
        uncached = max(0, usage.prompt_tokens - usage.cached_prompt_tokens)
        return CostParts(
            embedding=usage.embedding_tokens * rates.embedding,
            retrieval=usage.vectors_scanned * rates.retrieval,
            rerank=usage.rerank_tokens * rates.rerank,
            generation=uncached * rates.prompt
            + usage.cached_prompt_tokens * rates.cached_prompt
            + usage.completion_tokens * rates.completion,
        )

    def cost(self, usage: Usage, model: str = "") -> Cost:
        """Returns the price of what was consumed."""
        return Cost(self.parts(usage, model).total / PICOS, self.currency)

    def _rates_of(self, own: ModelPrices) -> _Rates:
        return _Rates(
            retrieval=_picos(self.retrieval),
            **{
                name: _picos(getattr(self, name) if price is None else price)
                for name, price in ((each, getattr(own, each)) for each in own.__match_args__)
            },
        )


def _picos(price_per_million: float) -> int:
    """Returns the price of one in whole picos."""
    return round(price_per_million * 1e6)


class Meter:
    """What the running request has consumed so far.

    Args:
        checkpoint: Keeps what is known so far, in case the process dies.
        progress: Keeps that more was written.
    """

    def __init__(
        self,
        checkpoint: Callable[[Meter], None] | None = None,
        progress: Callable[[Meter], None] | None = None,
    ) -> None:
        self.usage = Usage()
        self.model = ""
        self.document_count = 0
        self.byte_count = 0
        self.vector_count = 0
        self.is_estimated = False
        """Whether a part of the usage is estimated, because its engine did not come to tell it."""
        self.writing = Usage()
        """What an answer that is being written has consumed so far."""
        self._checkpoint = checkpoint
        self._progress = progress
        self._holders = 0
        self._close: Callable[[Meter], None] | None = None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keeps the meter open during the block, which may outlive the request that began it."""
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
            if not self._holders and self._close is not None:
                self._close(self)

    def end(self, close: Callable[[Meter], None]) -> None:
        """Closes the meter, or has it closed once nobody holds it.

        Args:
            close: Is given the meter. It must not hold it: two objects that refer to each other
                are only found by the collector, and it holds all requests up.
        """
        if self._holders:
            self._close = close
        else:
            close(self)

    @property
    def total(self) -> Usage:
        """What was consumed, with what is being written."""
        return self.usage + self.writing

    def begin_writing(self, model: str, read: Usage, prompt_characters: int) -> None:
        """Notes that an engine reads the prompt.

        Args:
            model: That reads it.
            read: What reading took; nothing: the engine does not say.
            prompt_characters: Of the prompt, to estimate by.
        """
        self.model = model
        self.is_estimated = not read.prompt_tokens
        self.writing = read
        if not read.prompt_tokens:
            self.writing = Usage(prompt_tokens=_tokens(prompt_characters))
        if self._checkpoint is not None:
            self._checkpoint(self)

    def wrote(self, text: str, completion_tokens: int = 0) -> None:
        """Notes more text, before anybody sees it.

        Args:
            text: What was written.
            completion_tokens: Its tokens; 0: the engine does not say.
        """
        self.is_estimated = self.is_estimated or not completion_tokens
        self.writing += Usage(completion_tokens=completion_tokens or _tokens(len(text)))
        if self._progress is not None:
            self._progress(self)

    def keep_written(self) -> None:
        """Takes what was written so far for what was consumed: the engine says nothing more."""
        self.usage += self.writing
        self.writing = Usage()

    def end_writing(self, usage: Usage) -> None:
        """Takes over what the engine says it consumed."""
        self.usage += usage
        self.writing = Usage()
        self.is_estimated = False


def _tokens(characters: int) -> int:
    return math.ceil(characters / _CHARACTERS_PER_TOKEN)


RUNNING: ContextVar[Meter | None] = ContextVar("cairn_gateway_meter", default=None)
"""Meter of the request that runs; set by the ledger alone."""


def current_meter() -> Meter:
    """Returns the meter of the running request; one of its own where nothing is metered."""
    return RUNNING.get() or Meter()
