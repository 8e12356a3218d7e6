"""What an engine is: the values it reads and writes, the protocol, and a deterministic fake."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from services.rpc.errors import Reason, ServiceError, UnavailableError, UnimplementedError
from services.rpc.scope import Scope


class Role(enum.StrEnum):
    """Who says a message."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


class RequestClass(enum.Enum):
    """Which chain of engines serves a request."""

    CHEAP = "cheap"
    DEFAULT = "default"
    STRONG = "strong"


class FinishReason(enum.Enum):
    """Why a text ended."""

    STOP = "stop"
    LENGTH = "length"
    REFUSED = "refused"
    DEADLINE = "deadline"


class EngineState(enum.Enum):
    """What an engine does with requests."""

    SERVING = "serving"
    PAUSED = "paused"
    """Running requests stand still, new ones wait."""
    DRAINED = "drained"
    """Running requests have ended, new ones are refused."""
    ASLEEP = "asleep"
    """Drained, and the accelerator's memory is free."""


class OutputForm(enum.Enum):
    """A form that the text must have."""

    JSON_SCHEMA = "json_schema"
    REGEX = "regex"
    CHOICES = "choices"
    GRAMMAR = "grammar"


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk of a document to answer from."""

    text: str
    title: str = ""
    document_id: str = ""
    chunk_id: str = ""
    ordinal: int = 0
    """Position of the chunk in its document, from 0."""
    heading_path: tuple[str, ...] = ()
    """Headings above the chunk, outermost first."""
    token_codes: bytes = b""
    """Its stored token vectors, for who compares sentences with the question; empty: none."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are picked; None follows the engine's default."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logprobs: int = 0
    """Alternatives per token whose log-probabilities are wanted; 0: none."""


@dataclass(frozen=True, slots=True)
class StructuredOutput:
    """Form of the text: the schema, expression or grammar, or the choices."""

    form: OutputForm
    text: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A question with what is known about it, as `request_checks` has passed it."""

    scope: Scope
    messages: tuple[Message, ...]
    """The conversation; the last message is the user's question."""
    passages: tuple[Passage, ...] = ()
    """Passages to answer from, the best first."""
    request_id: str = ""
    model: str = ""
    request_class: RequestClass | None = RequestClass.DEFAULT
    """None: the caller states none, a rule decides."""
    sampling: Sampling = field(default_factory=Sampling)
    structured_output: StructuredOutput | None = None
    adapter: str = ""
    prompt_template: str = ""
    """Full name with version, such as "answer@1"."""
    stream: bool = False
    min_support: float | None = None
    """Least support of an answer that is copied, 0..1; None: as the engine is set up."""
    pause_seconds: float = 0.0
    """Least time between two pieces of a stream; 0: as the engine is set up."""
    may_fail_over: bool = True
    """Whether another engine could step in: then the engine tells when it has its first text."""

    @property
    def question(self) -> str:
        """The last message's text."""
        return self.messages[-1].content


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token and the natural logarithm of its probability."""

    token: str
    logprob: float
    alternatives: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class QuotedSpan:
    """A verbatim span of a passage that a marker of the answer stands for."""

    marker: int
    """Number in the answer: 1 for "[1]"."""
    passage_index: int
    """Position of the passage in the request, from 0."""
    start: int
    """First character in the passage's text, in Unicode code points."""
    end: int
    """Character after the last one."""
    support: float
    """How well the span supports the answer, 0..1."""


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens read and written."""

    prompt_tokens: int = 0
    cached_prompt_tokens: int = 0
    """The part of prompt_tokens that the engine's prefix cache held."""
    completion_tokens: int = 0
    rerank_tokens: int = 0
    """Tokens the embedding service read to score spans."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Money."""

    amount: float
    currency: str
    """ISO 4217 code."""


@dataclass(frozen=True, slots=True)
class Delta:
    """More text."""

    text: str
    logprobs: tuple[TokenLogprob, ...] = ()
    usage: TokenUsage | None = None
    """Tokens so far, this piece included, where the engine knows."""
    completion_tokens: int = 0
    """Tokens of this piece; 0: the engine does not know."""


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds per step."""

    queue_seconds: float = 0.0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    admission_seconds: float = 0.0
    """Waiting in the tenants' queue, before the engine."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a text."""

    finish_reason: FinishReason
    text: str
    """The whole text, deltas included."""
    usage: TokenUsage = field(default_factory=TokenUsage)
    quoted_spans: tuple[QuotedSpan, ...] = ()
    timings: Timings = field(default_factory=Timings)
    degraded_reason: str = ""
    """What the engine had to do without, such as "embedding_unavailable"; empty: nothing."""
    cost: Cost | None = None
    """What the tokens cost, where the engine has prices."""
    support: float | None = None
    """How well the best span that was found answers, 0..1; None: the engine does not copy."""
    left_out_repeats: int = 0
    """Stretches of the text that repeated the instructions and were left out of it."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model that an engine serves."""

    name: str
    engine: str
    max_context_tokens: int
    """Tokens of prompt and answer together; 0: unbounded."""
    is_ready: bool
    adapters: tuple[str, ...] = ()
    cache_usage: float | None = None
    """Share of the prefix cache in use, 0..1; None: the engine has none."""
    state: EngineState | None = None
    """What it does with requests; None: it knows no states."""
    queued_requests: int = 0
    """Requests that wait for it."""
    running_requests: int = 0
    """Requests it works on."""


class Engine(Protocol):
    """Writes answers. All methods are safe to call from many tasks of one event loop."""

    @property
    def name(self) -> str:
        """Name in settings, results and metrics."""
        ...

    def model_info(self) -> ModelInfo:
        """Describes the model that is served."""
        ...

    def unsupported(self, request: GenerationRequest) -> str:
        """Says in one sentence why this engine can never serve such a request; empty: it can."""
        ...

    async def start(self) -> None:
        """Loads and warms up; returns when the engine can serve."""
        ...

    async def wait_dead(self) -> None:
        """Returns when the engine has died for good; engines that cannot die wait for ever."""
        ...

    def generate(self, request: GenerationRequest) -> AsyncGenerator[Delta | Outcome, None]:
        """Yields Deltas (only when `request.stream`) and then one Outcome.

        Closing the generator or cancelling its consumer stops the work.

        Raises:
            ServiceError: UnavailableError, ResourceExhaustedError and InternalError invite the next
                engine; others are final.
        """
        ...

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Counts the tokens of each text, without special tokens."""
        ...

    async def load_adapter(self, name: str, source: str) -> None:
        """Loads a LoRA adapter from a local folder or hub id."""
        ...

    async def unload_adapter(self, name: str) -> None:
        """Unloads a LoRA adapter."""
        ...

    async def close(self) -> None:
        """Stops all work and frees what the engine holds."""
        ...


@runtime_checkable
class Stateful(Protocol):
    """An engine that can be paused, drained and put to sleep."""

    async def set_state(self, state: EngineState) -> None:
        """Brings the engine into a state; returns when it is.

        Raises:
            UnimplementedError: This engine never can.
        """
        ...


def no_adapters(engine: str) -> UnimplementedError:
    """Returns the error of an engine that knows no adapters."""
    return UnimplementedError(
        Reason.NOT_SUPPORTED,
        f"engine {engine!r} has no LoRA adapters; configure the vllm engine with enable_lora",
    )


class FakeEngine:
    """Deterministic engine for tests: echoes the question word by word.

    Args:
        name: Name of the engine.
        words: What it says; None: the question's words.
        token_seconds: Pause before each word, which lets tests cancel in the middle.
        failure: Raised instead of the word number `fail_at`.
        fail_at: See `failure`.
    """

    def __init__(
        self,
        name: str = "fake",
        *,
        words: Sequence[str] | None = None,
        token_seconds: float = 0.0,
        failure: ServiceError | None = None,
        fail_at: int = 0,
    ) -> None:
        self._name = name
        self._words = words
        self._token_seconds = token_seconds
        self.failure = failure
        self._fail_at = fail_at
        self._dead = asyncio.Event()
        self.words_written = 0
        """Words over all requests: stops rising when a cancel has arrived."""
        self.requests = 0
        self.is_closed = False

    @property
    def name(self) -> str:
        """Name of the engine."""
        return self._name

    def model_info(self) -> ModelInfo:
        """Describes the fake model."""
        return ModelInfo(f"{self._name}-model", self._name, 0, is_ready=not self._dead.is_set())

    def unsupported(self, request: GenerationRequest) -> str:
        """Supports all but adapters."""
        return "the fake engine has no adapters" if request.adapter else ""

    async def start(self) -> None:
        """Is ready at once."""

    async def wait_dead(self) -> None:
        """Returns after `kill`."""
        await self._dead.wait()

    def kill(self) -> None:
        """Makes the engine die."""
        self._dead.set()

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Delta | Outcome, None]:
        """Echoes."""
        self.requests += 1
        if self._dead.is_set():
            raise UnavailableError(Reason.NOT_READY, "the fake engine is dead")
        words = list(self._words) if self._words is not None else request.question.split()
        limit = request.sampling.max_tokens
        written: list[str] = []
        for number, word in enumerate(words[:limit]):
            if self.failure is not None and number == self._fail_at:
                raise self.failure
            await asyncio.sleep(self._token_seconds)
            self.words_written += 1
            written.append(word if not written else f" {word}")
            if request.stream:
                yield Delta(written[-1])
        if self.failure is not None and self._fail_at >= len(written):
            raise self.failure
        is_cut = limit is not None and limit < len(words)
        yield Outcome(
            FinishReason.LENGTH if is_cut else FinishReason.STOP,
            "".join(written),
            TokenUsage(
                prompt_tokens=sum(len(message.content.split()) for message in request.messages),
                completion_tokens=len(written),
            ),
        )

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Counts words."""
        return [len(text.split()) for text in texts]

    async def load_adapter(self, name: str, source: str) -> None:
        """Has none."""
        raise no_adapters(self._name)

    async def unload_adapter(self, name: str) -> None:
        """Has none."""
        raise no_adapters(self._name)

    async def close(self) -> None:
        """Counts as closed."""
        self.is_closed = True
