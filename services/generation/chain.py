"""Engines in order: the next one steps in as long as the caller has seen no text.

The order depends on the request's class, which the caller states or a rule finds. Each engine has
a breaker: one that fails, hangs or is slow is skipped until a request that tries it succeeds.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.generation import metrics
from services.generation.engine import (
    Delta,
    Engine,
    FinishReason,
    GenerationRequest,
    ModelInfo,
    Outcome,
    RequestClass,
    TokenLogprob,
    TokenUsage,
)
from services.generation.patience import Patience
from services.generation.prompt import REFUSAL, find_template
from services.generation.prompt_guard import guarded, may_repeat
from services.rpc import semconv
from services.rpc.breaker import Breaker, BreakerCall, BreakerRules, BreakerState
from services.rpc.deadline import MARGIN_SECONDS, remaining_seconds
from services.rpc.errors import (
    Code,
    DeadlineExceededError,
    InternalError,
    NotFoundError,
    Reason,
    ServiceError,
    UnavailableError,
    UnimplementedError,
)
from services.rpc.logs import exception_fields, get_logger
from services.rpc.metrics import series
from services.rpc.telemetry import span

if TYPE_CHECKING:
    from opentelemetry.trace import Span

_FAILOVER_CODES = frozenset({Code.UNAVAILABLE, Code.RESOURCE_EXHAUSTED, Code.INTERNAL})
"""Errors that say something of the engine, not of the request."""
_SHARE_OF_DEADLINE = 0.6
"""What an engine may use of the remaining time for its first text while another could step in."""
_LEAST_PATIENCE_SECONDS = 1.0
"""A caller in a greater hurry than this tells nothing of the engine."""


@dataclass(frozen=True, slots=True)
class Started:
    """An engine has taken the request."""

    engine: str
    model: str
    prompt_template: str
    usage: TokenUsage | None = None
    """Tokens when the first text came, where the engine knows."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of an answer."""

    outcome: Outcome
    engine: str
    model: str
    fallback_reason: str
    """Why earlier engines did not serve, what the serving one had to do without; empty: nothing."""
    logprobs: tuple[TokenLogprob, ...] = ()
    """Of the whole text, when asked for and no Deltas had them."""


ChainEvent = Started | Delta | Finished
Classify = Callable[[GenerationRequest], RequestClass]


class _FirstTextTimeoutError(UnavailableError):
    """The engine gave no text in time; the next one may."""

    def __init__(self, waited_seconds: float) -> None:
        super().__init__(Reason.NOT_READY, "the engine gave no text in time")
        self.is_engines_fault = waited_seconds >= _LEAST_PATIENCE_SECONDS


class Chain:
    """See the module's text.

    Args:
        engines: Engines by name.
        orders: Names of engines for each class of request, the preferred one first. All must be in
            `engines`.
        first_text_seconds: Time an engine has for its first text when another one could step in.
        slow_seconds: A first text that takes longer counts against an engine that has another one
            behind it; requests that wait longer while none is answered, against any.
        classify: Finds the class of a request that states none; None: it is DEFAULT.
    """

    def __init__(
        self,
        engines: Mapping[str, Engine],
        orders: Mapping[RequestClass, Sequence[str]],
        *,
        first_text_seconds: float,
        slow_seconds: float = 4.0,
        classify: Classify | None = None,
    ) -> None:
        self._engines = dict(engines)
        self._orders = {each: tuple(order) for each, order in orders.items()}
        self._first_text_seconds = first_text_seconds
        self._classify = classify
        has_next = {name for order in self._orders.values() for name in order[:-1]}
        self._breakers = {
            name: Breaker(name, _breaker_rules(slow_seconds, has_next=name in has_next))
            for name in engines
        }

    @property
    def engines(self) -> tuple[Engine, ...]:
        """All engines, those of the default chain first, in its order."""
        names = dict.fromkeys([*self._orders[RequestClass.DEFAULT], *self._engines])
        return tuple(self._engines[name] for name in names)

    @property
    def default_engines(self) -> tuple[Engine, ...]:
        """Those that serve requests of class DEFAULT, in order."""
        return tuple(self._engines[name] for name in self._orders[RequestClass.DEFAULT])

    def models(self) -> list[ModelInfo]:
        """Describes every model."""
        found: list[ModelInfo] = []
        for engine in self.engines:
            info = engine.model_info()
            is_open = self._breakers[engine.name].state is BreakerState.OPEN
            found.append(dataclasses.replace(info, is_ready=info.is_ready and not is_open))
        return found

    def find(self, model: str) -> Engine:
        """Returns the engine that serves a model, asked for by the model's or the engine's name.

        Raises:
            NotFoundError: None does.
        """
        if not model:
            return self.engines[0]
        for engine in self.engines:
            if model in (engine.model_info().name, engine.name):
                return engine
        known = ", ".join(engine.model_info().name for engine in self.engines)
        raise NotFoundError(Reason.MODEL_NOT_FOUND, f"no such model; known are {known}")

    async def generate(
        self, request: GenerationRequest
    ) -> AsyncGenerator[Started | Delta | Finished, None]:
        """Yields Started, Deltas (only when streaming) and Finished.

        Raises:
            ServiceError: No engine could serve; the error is the first engine's own.
        """
        engines = self._able(request)
        if find_template(request.prompt_template).needs_passages and not request.passages:
            for event in _refusal(engines[0], request):
                yield event
            return
        skipped: list[str] = []
        first_error: ServiceError | None = None
        for position, engine in enumerate(engines):
            call = self._breakers[engine.name].enter()
            if call is None:
                skipped.append(self._skip(engine, "breaker_open"))
                continue
            events = self._guarded(engine, call, request, is_last=position == len(engines) - 1)
            has_shown = False
            try:
                async with contextlib.aclosing(events):
                    async for event in events:
                        if isinstance(event, Finished):
                            event = _with_reasons(event, skipped)  # noqa: PLW2901 - the changed event goes on
                        has_shown = has_shown or not isinstance(event, Started)
                        yield event
            except ServiceError as error:
                if has_shown or error.code not in _FAILOVER_CODES:
                    raise
                first_error = first_error or error
                skipped.append(self._skip(engine, _reason(error)))
            else:
                return
        raise first_error or UnavailableError(
            Reason.NOT_READY,
            f"no engine takes requests now ({'; '.join(skipped)})",
            retry_after_seconds=1.0,
        )

    def class_of(self, request: GenerationRequest) -> RequestClass:
        """Returns the class of a request: the stated one, or the one that its question needs."""
        if request.request_class is not None:
            return request.request_class
        return RequestClass.DEFAULT if self._classify is None else self._classify(request)

    def _able(self, request: GenerationRequest) -> list[Engine]:
        """Returns the engines that could serve the request, in order."""
        if request.model:
            order = [self.find(request.model)]
        else:
            order = [self._engines[name] for name in self._orders[self.class_of(request)]]
        needs_passages = find_template(request.prompt_template).needs_passages
        if needs_passages and not request.passages:
            return order
        able = [engine for engine in order if not engine.unsupported(request)]
        if not able:
            raise UnimplementedError(Reason.NOT_SUPPORTED, order[0].unsupported(request))
        return able

    def _skip(self, engine: Engine, reason: str) -> str:
        series(metrics.FAILOVERS, engine.name, reason).inc()
        return f"{engine.name}: {reason}"

    def _guarded(
        self, engine: Engine, call: BreakerCall, request: GenerationRequest, *, is_last: bool
    ) -> AsyncGenerator[ChainEvent, None]:
        """Runs one engine, which does not tell its instructions."""
        events = self._attempt(engine, call, request, is_last=is_last)
        return guarded(events, request) if may_repeat(engine.name, request) else events

    async def _attempt(
        self, engine: Engine, call: BreakerCall, request: GenerationRequest, *, is_last: bool
    ) -> AsyncGenerator[Started | Delta | Finished, None]:
        """Runs one engine; books success and failure on its breaker."""
        began = time.monotonic()
        model = engine.model_info().name
        request = dataclasses.replace(request, may_fail_over=not is_last)
        deltas = metrics.DELTAS.labels(engine.name)
        patience = Patience()
        patience.limit(self._first_text_limit(is_last=is_last))
        shown: list[str] = []
        logprobs: list[TokenLogprob] = []
        usage: TokenUsage | None = None
        is_first = True
        with (
            self._booked(engine, call),
            contextlib.closing(patience),
            span(f"chat {model}", attributes=_attributes(engine, model, request)) as current,
        ):
            async with contextlib.aclosing(engine.generate(request)) as source:
                while True:
                    try:
                        event = await patience.next(source)
                    except TimeoutError:
                        if is_first:
                            raise _no_text(time.monotonic() - began, is_last=is_last) from None
                        written = "".join(shown)
                        event = Outcome(FinishReason.DEADLINE, written, usage or TokenUsage())
                    usage = event.usage or usage
                    if is_first:
                        is_first = False
                        patience.limit(_time_to_write())
                        call.succeeded()
                        _describe_start(engine, current, time.monotonic() - began)
                        yield Started(engine.name, model, request.prompt_template, usage)
                    if isinstance(event, Delta):
                        deltas.inc()
                        shown.append(event.text)
                        if request.stream:
                            yield event
                        else:
                            logprobs.extend(event.logprobs)
                    else:
                        _record(engine.name, event, time.monotonic() - began)
                        _describe(current, model, event)
                        reason = event.degraded_reason
                        yield Finished(event, engine.name, model, reason, tuple(logprobs))
                        return

    @contextlib.contextmanager
    def _booked(self, engine: Engine, call: BreakerCall) -> Iterator[None]:
        """Books how the block ends: on the breaker, unless it was before, and in the metrics."""
        series(metrics.RUNNING, engine.name).inc()
        try:
            yield
        except ServiceError as error:
            series(metrics.REQUESTS, engine.name, error.reason.value.lower()).inc()
            if _is_engines_fault(error):
                call.failed()
            raise
        except (asyncio.CancelledError, GeneratorExit):
            series(metrics.REQUESTS, engine.name, "cancelled").inc()
            raise
        except Exception as error:
            call.failed()
            series(metrics.REQUESTS, engine.name, "internal").inc()
            get_logger().error("engine failed", engine=engine.name, **exception_fields(error))
            raise InternalError(Reason.INTERNAL, "the engine failed") from error
        finally:
            call.ignored()
            series(metrics.RUNNING, engine.name).dec()
            series(metrics.BREAKER_STATE, engine.name).set(self._breakers[engine.name].state)

    def _first_text_limit(self, *, is_last: bool) -> float | None:
        """Returns the seconds an engine has for its first text; None: for ever."""
        if is_last:
            return _time_to_write()
        left = remaining_seconds()
        if left is None:
            return self._first_text_seconds
        return min(self._first_text_seconds, left * _SHARE_OF_DEADLINE)


def _time_to_write() -> float | None:
    """Returns the seconds until the text must end, so that it still reaches the caller."""
    left = remaining_seconds()
    return None if left is None else left - MARGIN_SECONDS


def _breaker_rules(slow_seconds: float, *, has_next: bool) -> BreakerRules:
    """Returns when an engine's breaker opens: slowness is a reason only where there is another."""
    if has_next:
        return BreakerRules(failures_in_row=4, slow_seconds=slow_seconds)
    return BreakerRules(failures_in_row=5, slow_seconds=4 * slow_seconds, slow_share=1.1)


def _no_text(waited_seconds: float, *, is_last: bool) -> ServiceError:
    """Returns the error of an engine that gave no text while there was time."""
    if not is_last:
        return _FirstTextTimeoutError(waited_seconds)
    return DeadlineExceededError(
        Reason.DEADLINE_EXCEEDED,
        "the deadline passed before the engine gave any text",
        metadata={"stage": "generation"},
    )


def _reason(error: ServiceError) -> str:
    """Returns why an engine did not serve, for `fallback_reason`."""
    if isinstance(error, _FirstTextTimeoutError):
        return "first_text_late"
    return error.reason.value.lower()


def _is_engines_fault(error: ServiceError) -> bool:
    """Whether an error counts against the engine."""
    if isinstance(error, _FirstTextTimeoutError):
        return error.is_engines_fault
    return error.code in {Code.UNAVAILABLE, Code.INTERNAL}


def _refusal(engine: Engine, request: GenerationRequest) -> Iterator[Started | Delta | Finished]:
    """Yields the answer to a question over passages when there are none: no engine needs to run."""
    model = engine.model_info().name
    yield Started(engine.name, model, request.prompt_template)
    if request.stream:
        yield Delta(REFUSAL)
    series(metrics.REQUESTS, engine.name, FinishReason.REFUSED.value).inc()
    yield Finished(Outcome(FinishReason.REFUSED, REFUSAL), engine.name, model, "")


def _with_reasons(event: Finished, skipped: Sequence[str]) -> Finished:
    reasons = [*skipped, event.fallback_reason] if event.fallback_reason else skipped
    return dataclasses.replace(event, fallback_reason="; ".join(reasons))


def _attributes(
    engine: Engine, model: str, request: GenerationRequest
) -> dict[str, str | int | float | bool]:
    sampling = request.sampling
    wanted = {
        semconv.GEN_AI_REQUEST_MAX_TOKENS: sampling.max_tokens,
        semconv.GEN_AI_REQUEST_TEMPERATURE: sampling.temperature,
        semconv.GEN_AI_REQUEST_TOP_P: sampling.top_p,
        semconv.GEN_AI_REQUEST_SEED: sampling.seed,
    }
    return {
        semconv.GEN_AI_OPERATION_NAME: "chat",
        semconv.GEN_AI_PROVIDER_NAME: engine.name,
        semconv.GEN_AI_REQUEST_MODEL: model,
        semconv.GEN_AI_REQUEST_STREAM: request.stream,
        "cairn.generation.passages": len(request.passages),
        "cairn.generation.prompt_template": request.prompt_template,
        **{key: value for key, value in wanted.items() if value is not None},
    }


def _describe_start(engine: Engine, current: Span, seconds: float) -> None:
    series(metrics.TTFT_SECONDS, engine.name).observe(seconds)
    current.set_attribute(semconv.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK, seconds)


def _describe(current: Span, model: str, outcome: Outcome) -> None:
    usage = outcome.usage
    current.set_attribute(semconv.GEN_AI_RESPONSE_MODEL, model)
    current.set_attribute(semconv.GEN_AI_RESPONSE_FINISH_REASONS, (outcome.finish_reason.value,))
    current.set_attribute(semconv.GEN_AI_USAGE_INPUT_TOKENS, usage.prompt_tokens)
    current.set_attribute(semconv.GEN_AI_USAGE_OUTPUT_TOKENS, usage.completion_tokens)
    current.set_attribute(semconv.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS, usage.cached_prompt_tokens)


def _record(engine: str, outcome: Outcome, seconds: float) -> None:
    series(metrics.REQUESTS, engine, outcome.finish_reason.value).inc()
    series(metrics.DURATION_SECONDS, engine).observe(seconds)
    if outcome.cost is not None:
        series(metrics.COST, engine, outcome.cost.currency).inc(outcome.cost.amount)
    usage = outcome.usage
    for kind, count in (
        ("prompt", usage.prompt_tokens),
        ("cached_prompt", usage.cached_prompt_tokens),
        ("completion", usage.completion_tokens),
    ):
        series(metrics.TOKENS, engine, kind).inc(count)
