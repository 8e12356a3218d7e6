"""Engines in order: the next one steps in as long as the caller has seen no text."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass

from services.generation import metrics
from services.generation.breaker import Breaker, BreakerState
from services.generation.engine import (
    Delta,
    Engine,
    FinishReason,
    GenerationRequest,
    ModelInfo,
    Outcome,
    RequestClass,
    TokenUsage,
)
from services.generation.prompt import REFUSAL, find_template
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
from services.rpc.telemetry import span

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


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of an answer."""

    outcome: Outcome
    engine: str
    model: str
    fallback_reason: str
    """Why earlier engines did not serve, what the serving one had to do without; empty: nothing."""


ChainEvent = Started | Delta | Finished


class _FirstTextTimeoutError(UnavailableError):
    """The engine gave no text in time; the next one may."""

    def __init__(self, waited_seconds: float) -> None:
        super().__init__(Reason.DEPENDENCY_UNAVAILABLE, "the engine gave no text in time")
        self.is_engines_fault = waited_seconds >= _LEAST_PATIENCE_SECONDS


class Chain:
    """See the module's text.

    Args:
        engines: Engines by name.
        orders: Names of engines for each class of request, the preferred one first. All must be in
            `engines`.
        first_text_seconds: Time an engine has for its first text when another one could step in.
    """

    def __init__(
        self,
        engines: Mapping[str, Engine],
        orders: Mapping[RequestClass, Sequence[str]],
        *,
        first_text_seconds: float,
    ) -> None:
        self._engines = dict(engines)
        self._orders = {each: tuple(order) for each, order in orders.items()}
        self._first_text_seconds = first_text_seconds
        self._breakers = {name: Breaker() for name in engines}

    @property
    def engines(self) -> tuple[Engine, ...]:
        """All engines, those of the default chain first, in its order."""
        names = dict.fromkeys([*self._orders[RequestClass.DEFAULT], *self._engines])
        return tuple(self._engines[name] for name in names)

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
            breaker = self._breakers[engine.name]
            if not breaker.allow():
                skipped.append(self._skip(engine, "breaker_open"))
                continue
            events = self._attempt(engine, request, is_last=position == len(engines) - 1)
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
                skipped.append(self._skip(engine, error.reason.value.lower()))
            else:
                return
        raise first_error or UnavailableError(
            Reason.NOT_READY,
            f"no engine takes requests now ({'; '.join(skipped)})",
            retry_after_seconds=1.0,
        )

    def _able(self, request: GenerationRequest) -> list[Engine]:
        """Returns the engines that could serve the request, in order."""
        if request.model:
            order = [self.find(request.model)]
        else:
            order = [self._engines[name] for name in self._orders[request.request_class]]
        needs_passages = find_template(request.prompt_template).needs_passages
        if needs_passages and not request.passages:
            return order
        able = [engine for engine in order if not engine.unsupported(request)]
        if not able:
            raise UnimplementedError(Reason.NOT_SUPPORTED, order[0].unsupported(request))
        return able

    def _skip(self, engine: Engine, reason: str) -> str:
        metrics.FAILOVERS.labels(engine.name, reason).inc()
        return f"{engine.name}: {reason}"

    async def _attempt(
        self, engine: Engine, request: GenerationRequest, *, is_last: bool
    ) -> AsyncGenerator[Started | Delta | Finished, None]:
        """Runs one engine; books success and failure on its breaker."""
        breaker = self._breakers[engine.name]
        began = time.monotonic()
        model = engine.model_info().name
        booked = False
        metrics.RUNNING.labels(engine.name).inc()
        try:
            with span(f"chat {model}", attributes=_attributes(engine, model, request)) as current:
                source = engine.generate(request)
                shown: list[str] = []
                async with contextlib.aclosing(source):
                    async for event in self._timely(source, request, shown, is_last=is_last):
                        if not shown and not booked:
                            booked = True
                            breaker.succeeded()
                            ttft = time.monotonic() - began
                            metrics.TTFT_SECONDS.labels(engine.name).observe(ttft)
                            current.set_attribute("gen_ai.response.time_to_first_chunk", ttft)
                            yield Started(engine.name, model, request.prompt_template)
                        if isinstance(event, Delta):
                            metrics.DELTAS.labels(engine.name).inc()
                            shown.append(event.text)
                            if request.stream:
                                yield event
                        else:
                            _record(engine.name, event, time.monotonic() - began)
                            _describe(current, model, event)
                            yield Finished(event, engine.name, model, event.degraded_reason)
                            return
        except ServiceError as error:
            metrics.REQUESTS.labels(engine.name, error.reason.value.lower()).inc()
            if _is_engines_fault(error):
                booked = True
                breaker.failed()
            raise
        except (asyncio.CancelledError, GeneratorExit):
            metrics.REQUESTS.labels(engine.name, "cancelled").inc()
            raise
        except Exception as error:
            booked = True
            breaker.failed()
            metrics.REQUESTS.labels(engine.name, "internal").inc()
            get_logger().error("engine failed", engine=engine.name, **exception_fields(error))
            raise InternalError(Reason.INTERNAL, "the engine failed") from error
        finally:
            if not booked:
                breaker.ignored()
            metrics.RUNNING.labels(engine.name).dec()
            metrics.BREAKER_STATE.labels(engine.name).set(breaker.state)

    async def _timely(
        self,
        source: AsyncGenerator[Delta | Outcome, None],
        request: GenerationRequest,
        shown: Sequence[str],
        *,
        is_last: bool,
    ) -> AsyncIterator[Delta | Outcome]:
        """Passes events on; ends the text near the deadline; gives up a slow start if it can."""
        is_first = True
        usage = TokenUsage()
        while True:
            left = remaining_seconds()
            patience = None if left is None else left - MARGIN_SECONDS
            if is_first and not is_last:
                share = self._first_text_seconds
                patience = share if left is None else min(share, left * _SHARE_OF_DEADLINE)
            limit = asyncio.timeout(patience)
            try:
                async with limit:
                    event = await anext(source)
            except TimeoutError:
                if not limit.expired():
                    raise
                if is_first:
                    raise _no_text(patience or 0.0, is_last=is_last) from None
                yield Outcome(FinishReason.DEADLINE, "".join(shown), usage)
                return
            usage = event.usage or usage
            is_first = False
            yield event
            if isinstance(event, Outcome):
                return


def _no_text(waited_seconds: float, *, is_last: bool) -> ServiceError:
    """Returns the error of an engine that gave no text while there was time."""
    if not is_last:
        return _FirstTextTimeoutError(waited_seconds)
    return DeadlineExceededError(
        Reason.DEADLINE_EXCEEDED,
        "the deadline passed before the engine gave any text",
        metadata={"stage": "generation"},
    )


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
    metrics.REQUESTS.labels(engine.name, FinishReason.REFUSED.value).inc()
    yield Finished(Outcome(FinishReason.REFUSED, REFUSAL), engine.name, model, "")


def _with_reasons(event: Finished, skipped: Sequence[str]) -> Finished:
    reasons = [*skipped, event.fallback_reason] if event.fallback_reason else skipped
    return dataclasses.replace(event, fallback_reason="; ".join(reasons))


def _attributes(
    engine: Engine, model: str, request: GenerationRequest
) -> dict[str, str | int | float | bool]:
    sampling = request.sampling
    wanted = {
        "gen_ai.request.max_tokens": sampling.max_tokens,
        "gen_ai.request.temperature": sampling.temperature,
        "gen_ai.request.top_p": sampling.top_p,
        "gen_ai.request.seed": sampling.seed,
    }
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": engine.name,
        "gen_ai.request.model": model,
        "gen_ai.request.stream": request.stream,
        "cairn.generation.passages": len(request.passages),
        "cairn.generation.prompt_template": request.prompt_template,
        **{key: value for key, value in wanted.items() if value is not None},
    }


def _describe(current, model: str, outcome: Outcome) -> None:  # noqa: ANN001 - an OpenTelemetry span
    current.set_attribute("gen_ai.response.model", model)
    current.set_attribute("gen_ai.response.finish_reasons", [outcome.finish_reason.value])
    current.set_attribute("gen_ai.usage.input_tokens", outcome.usage.prompt_tokens)
    current.set_attribute("gen_ai.usage.output_tokens", outcome.usage.completion_tokens)
    current.set_attribute(
        "gen_ai.usage.cache_read.input_tokens", outcome.usage.cached_prompt_tokens
    )


def _record(engine: str, outcome: Outcome, seconds: float) -> None:
    metrics.REQUESTS.labels(engine, outcome.finish_reason.value).inc()
    metrics.DURATION_SECONDS.labels(engine).observe(seconds)
    usage = outcome.usage
    for kind, count in (
        ("prompt", usage.prompt_tokens),
        ("cached_prompt", usage.cached_prompt_tokens),
        ("completion", usage.completion_tokens),
    ):
        metrics.TOKENS.labels(engine, kind).inc(count)
