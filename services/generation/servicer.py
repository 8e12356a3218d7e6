"""GenerationService: protobuf to domain values and back."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
from cairn.generation.v1 import generation_service_pb2 as pb
from cairn.generation.v1 import generation_service_pb2_grpc as rpc
from cairn.types.v1 import passage_pb2, usage_pb2

from services.generation.chain import Chain, Finished, Started
from services.generation.engine import (
    Delta,
    EngineState,
    FinishReason,
    GenerationRequest,
    Message,
    OutputForm,
    Passage,
    RequestClass,
    Role,
    Sampling,
    Stateful,
    StructuredOutput,
    TokenLogprob,
)
from services.generation.prompt import default_template, prompt_version
from services.generation.request_checks import (
    MAX_CHARACTERS,
    MAX_TEXTS,
    check_name,
    check_request,
)
from services.rpc.admission import Admission
from services.rpc.errors import InvalidArgumentError, Reason, UnimplementedError
from services.rpc.scope_proto import scope_from_proto

_MOST_WINDOW_MS = 1_000
_ROLES = {
    pb.ROLE_SYSTEM: Role.SYSTEM,
    pb.ROLE_USER: Role.USER,
    pb.ROLE_ASSISTANT: Role.ASSISTANT,
}
_CLASSES = {
    pb.REQUEST_CLASS_UNSPECIFIED: None,
    pb.REQUEST_CLASS_CHEAP: RequestClass.CHEAP,
    pb.REQUEST_CLASS_DEFAULT: RequestClass.DEFAULT,
    pb.REQUEST_CLASS_STRONG: RequestClass.STRONG,
}
_FINISH_REASONS = {
    FinishReason.STOP: pb.FINISH_REASON_STOP,
    FinishReason.LENGTH: pb.FINISH_REASON_LENGTH,
    FinishReason.REFUSED: pb.FINISH_REASON_REFUSED,
    FinishReason.DEADLINE: pb.FINISH_REASON_DEADLINE,
}
_STATES = {
    None: pb.ENGINE_STATE_UNSPECIFIED,
    EngineState.SERVING: pb.ENGINE_STATE_SERVING,
    EngineState.PAUSED: pb.ENGINE_STATE_PAUSED,
    EngineState.DRAINED: pb.ENGINE_STATE_DRAINED,
    EngineState.ASLEEP: pb.ENGINE_STATE_ASLEEP,
}


class GenerationServicer(rpc.GenerationServiceServicer):
    """Serves the contract over a chain of engines.

    Args:
        chain: Engines.
        admission: Bounds the requests in work.
    """

    def __init__(self, chain: Chain, admission: Admission) -> None:
        self._chain = chain
        self._admission = admission

    async def Generate(  # noqa: N802 - named by the contract
        self, request: pb.GenerateRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.GenerateResponse]:
        """Answers as a flow of events."""
        wanted = _request(request)
        check_request(wanted)
        async with self._admission.admit(1):
            events = self._chain.generate(wanted)
            started: Started | None = None
            async with contextlib.aclosing(events):
                async for event in events:
                    if isinstance(event, Started) and request.start_in_delta:
                        started = event  # something follows at once: the chain waits for it
                        continue
                    response = _response(event)
                    if started is not None:
                        if isinstance(event, Delta):
                            response.delta.started.CopyFrom(_response(started).started)
                        else:
                            yield _response(started)
                        started = None
                    yield response

    async def CountTokens(  # noqa: N802 - the contract's name
        self, request: pb.CountTokensRequest, context: grpc.aio.ServicerContext
    ) -> pb.CountTokensResponse:
        """Counts tokens."""
        scope_from_proto(request.scope)
        if not request.texts:
            raise InvalidArgumentError.for_field("texts", "at least one text is needed")
        size = sum(map(len, request.texts))
        if len(request.texts) > MAX_TEXTS or size > MAX_CHARACTERS:
            raise InvalidArgumentError.for_field(
                "texts",
                f"at most {MAX_TEXTS} texts of {MAX_CHARACTERS} characters together",
                Reason.TOO_LARGE,
            )
        engine = self._chain.find(request.model)
        async with self._admission.admit(1):
            counts = await engine.count_tokens(list(request.texts))
        return pb.CountTokensResponse(token_counts=counts, model=engine.model_info().name)

    async def ListModels(  # noqa: N802 - the contract's name
        self, request: pb.ListModelsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListModelsResponse:
        """Lists models in the order of the default chain."""
        scope_from_proto(request.scope)
        return pb.ListModelsResponse(
            models=[
                pb.Model(
                    name=info.name,
                    engine=info.engine,
                    max_context_tokens=info.max_context_tokens,
                    is_ready=info.is_ready,
                    adapters=info.adapters,
                    cache_usage=info.cache_usage,
                    state=_STATES.get(info.state, pb.ENGINE_STATE_UNSPECIFIED),
                    queued_requests=info.queued_requests,
                    running_requests=info.running_requests,
                )
                for info in self._chain.models()
            ],
            prompt_version=prompt_version(),
        )

    async def LoadAdapter(  # noqa: N802 - the contract's name
        self, request: pb.LoadAdapterRequest, context: grpc.aio.ServicerContext
    ) -> pb.LoadAdapterResponse:
        """Loads an adapter into the first engine that knows adapters."""
        scope_from_proto(request.scope)
        check_name("name", request.name)
        if not request.source.strip():
            raise InvalidArgumentError.for_field("source", "must not be empty", Reason.EMPTY_TEXT)
        refusal: UnimplementedError | None = None
        for engine in self._chain.engines:
            try:
                await engine.load_adapter(request.name, request.source)
            except UnimplementedError as error:
                refusal = refusal or error
            else:
                return pb.LoadAdapterResponse()
        raise refusal or _no_engine()

    async def UnloadAdapter(  # noqa: N802 - the contract's name
        self, request: pb.UnloadAdapterRequest, context: grpc.aio.ServicerContext
    ) -> pb.UnloadAdapterResponse:
        """Unloads an adapter."""
        scope_from_proto(request.scope)
        check_name("name", request.name)
        refusal: UnimplementedError | None = None
        for engine in self._chain.engines:
            try:
                await engine.unload_adapter(request.name)
            except UnimplementedError as error:
                refusal = refusal or error
            else:
                return pb.UnloadAdapterResponse()
        raise refusal or _no_engine()

    async def SetEngineState(  # noqa: N802 - the contract's name
        self, request: pb.SetEngineStateRequest, context: grpc.aio.ServicerContext
    ) -> pb.SetEngineStateResponse:
        """Pauses, drains, puts to sleep or wakes an engine."""
        scope_from_proto(request.scope)
        wanted = {number: state for state, number in _STATES.items() if state}.get(request.state)
        if wanted is None:
            raise InvalidArgumentError.for_field(
                "state", f"{request.state} is no state an engine can be brought into"
            )
        engine = self._stateful(request.engine)
        await engine.set_state(wanted)
        return pb.SetEngineStateResponse(engine=engine.name, state=_STATES[wanted])

    def _stateful(self, name: str) -> Any:
        known = {each.name: each for each in self._chain.engines}
        if name and name not in known:
            raise InvalidArgumentError.for_field(
                "engine", f"no such engine; known are {', '.join(known)}"
            )
        for engine in [known[name]] if name else known.values():
            if isinstance(engine, Stateful):
                return engine
        raise UnimplementedError(
            Reason.NOT_SUPPORTED, "only the vllm engine can be paused, drained or put to sleep"
        )


def _no_engine() -> UnimplementedError:
    return UnimplementedError(Reason.NOT_SUPPORTED, "no engine has adapters")


def _request(request: pb.GenerateRequest) -> GenerationRequest:
    scope = scope_from_proto(request.scope)
    if request.request_class not in _CLASSES:
        raise InvalidArgumentError.for_field(
            "request_class", f"{request.request_class} is not a RequestClass"
        )
    return GenerationRequest(
        scope=scope,
        messages=tuple(_message(number, each) for number, each in enumerate(request.messages)),
        passages=tuple(_passage(each.passage) for each in request.passages),
        request_id=request.request_id,
        model=request.model,
        request_class=_CLASSES[request.request_class],
        sampling=_sampling(request.sampling),
        structured_output=_structured_output(request),
        adapter=request.adapter,
        prompt_template=request.prompt_template
        or default_template(has_passages=bool(request.passages)),
        stream=request.stream,
        min_support=request.min_support if request.HasField("min_support") else None,
        pause_seconds=_pause_seconds(request.stream_window_ms),
    )


def _pause_seconds(window_ms: int) -> float:
    if window_ms > _MOST_WINDOW_MS:
        raise InvalidArgumentError.for_field(
            "stream_window_ms", f"{window_ms} is more than {_MOST_WINDOW_MS}"
        )
    return window_ms / 1e3


def _message(number: int, message: pb.Message) -> Message:
    if message.role not in _ROLES:
        raise InvalidArgumentError.for_field(
            f"messages[{number}].role",
            f"{message.role} is not one of ROLE_SYSTEM, ROLE_USER, ROLE_ASSISTANT",
        )
    return Message(_ROLES[message.role], message.content)


def _passage(passage: passage_pb2.Passage) -> Passage:
    return Passage(
        passage.text,
        passage.title,
        passage.document_id,
        passage.chunk_id,
        passage.ordinal,
        tuple(passage.heading_path),
        passage.token_codes,
    )


def _sampling(sampling: pb.Sampling) -> Sampling:
    def optional(field: str):  # noqa: ANN202 - the field's own type
        return getattr(sampling, field) if sampling.HasField(field) else None

    return Sampling(
        max_tokens=optional("max_tokens"),
        temperature=optional("temperature"),
        top_p=optional("top_p"),
        top_k=optional("top_k"),
        seed=optional("seed"),
        stop=tuple(sampling.stop),
        presence_penalty=optional("presence_penalty"),
        frequency_penalty=optional("frequency_penalty"),
        logprobs=sampling.logprobs,
    )


def _structured_output(request: pb.GenerateRequest) -> StructuredOutput | None:
    if not request.HasField("structured_output"):
        return None
    form = request.structured_output.WhichOneof("form")
    if form is None:
        raise InvalidArgumentError.for_field(
            "structured_output.form", "set one of json_schema, regex, choices, grammar"
        )
    if form == "choices":
        choices = tuple(request.structured_output.choices.values)
        return StructuredOutput(OutputForm.CHOICES, choices=choices)
    return StructuredOutput(OutputForm(form), getattr(request.structured_output, form))


def _response(event: Started | Delta | Finished) -> pb.GenerateResponse:
    if isinstance(event, Started):
        usage = None
        if event.usage is not None:
            read = event.usage
            usage = usage_pb2.Usage(
                prompt_tokens=read.prompt_tokens, cached_prompt_tokens=read.cached_prompt_tokens
            )
        return pb.GenerateResponse(
            started=pb.Started(
                engine=event.engine,
                model=event.model,
                prompt_template=event.prompt_template,
                usage=usage,
            )
        )
    if isinstance(event, Delta):
        delta = pb.Delta(text=event.text, completion_tokens=event.completion_tokens)
        if event.logprobs:
            delta.logprobs.extend(_logprob(each) for each in event.logprobs)
        return pb.GenerateResponse(delta=delta)
    return pb.GenerateResponse(finished=_finished(event))


def _finished(event: Finished) -> pb.Finished:
    outcome = event.outcome
    return pb.Finished(
        finish_reason=_FINISH_REASONS[outcome.finish_reason],
        text=outcome.text,
        usage=usage_pb2.Usage(
            prompt_tokens=outcome.usage.prompt_tokens,
            cached_prompt_tokens=outcome.usage.cached_prompt_tokens,
            completion_tokens=outcome.usage.completion_tokens,
            rerank_tokens=outcome.usage.rerank_tokens,
        ),
        engine=event.engine,
        model=event.model,
        fallback_reason=event.fallback_reason,
        cost_amount=None if outcome.cost is None else outcome.cost.amount,
        cost_currency="" if outcome.cost is None else outcome.cost.currency,
        quoted_spans=[
            pb.QuotedSpan(
                marker=span.marker,
                passage_index=span.passage_index,
                start=span.start,
                end=span.end,
                support=span.support,
            )
            for span in outcome.quoted_spans
        ],
        timings=pb.GenerateTimings(
            queue_ms=outcome.timings.queue_seconds * 1000,
            prefill_ms=outcome.timings.prefill_seconds * 1000,
            decode_ms=outcome.timings.decode_seconds * 1000,
            admission_ms=outcome.timings.admission_seconds * 1000,
        ),
        support=outcome.support,
        left_out_repeats=outcome.left_out_repeats,
        logprobs=[_logprob(each) for each in event.logprobs],
    )


def _logprob(token: TokenLogprob) -> pb.TokenLogprob:
    return pb.TokenLogprob(
        token=token.token,
        logprob=token.logprob,
        alternatives=[_logprob(each) for each in token.alternatives],
    )
