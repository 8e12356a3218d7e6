"""The generation service: answers as a flow of text."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cairn.generation.v1 import generation_service_pb2 as pb
from cairn.generation.v1 import generation_service_pb2_grpc as rpc

from services.gateway.clients.passages_proto import passages_to_proto, usage_from_proto
from services.gateway.pipeline.ports import Finished, Prompt, Quote, Started, Wrote
from services.gateway.requests import Speaker
from services.rpc.scope_proto import scope_to_proto

if TYPE_CHECKING:
    import grpc

    from services.rpc.scope import Scope

_TIMEOUT_SECONDS = 10.0
_FINISH_REASONS = {
    pb.FINISH_REASON_STOP: "stop",
    pb.FINISH_REASON_LENGTH: "length",
    pb.FINISH_REASON_REFUSED: "refused",
    pb.FINISH_REASON_DEADLINE: "deadline",
}
_ROLES = {Speaker.USER: pb.ROLE_USER, Speaker.ASSISTANT: pb.ROLE_ASSISTANT}


@dataclass(frozen=True, slots=True)
class GenerationModel:
    """A model that an engine serves."""

    name: str
    engine: str
    is_ready: bool


class GenerationClient:
    """Calls `cairn.generation.v1.GenerationService`.

    Args:
        channel: To its replicas.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = rpc.GenerationServiceStub(channel)

    async def generate(
        self, scope: Scope, prompt: Prompt, timeout_seconds: float
    ) -> AsyncGenerator[Started | Wrote | Finished]:
        """Yields Started, any number of Wrote, then Finished. Closing it stops the engine.

        Raises:
            ServiceError: the service does not answer, or refuses the request.
        """
        call = self._stub.Generate(_request(scope, prompt), timeout=timeout_seconds)
        finished: Finished | None = None
        async with _cancelling(call) as responses:
            async for response in responses:
                match response.WhichOneof("event"):
                    case "started":
                        yield Started(response.started.engine, response.started.model)
                    case "delta":
                        if response.delta.text:
                            yield Wrote(response.delta.text)
                    case "finished":
                        # Read on to the status: leaving here would cancel a call that succeeded.
                        finished = _finished(response.finished)
                    case _:
                        pass
        if finished is not None:
            yield finished

    async def models(self, scope: Scope) -> tuple[GenerationModel, ...]:
        """Returns the models in the order of the default chain.

        Raises:
            ServiceError: the service does not answer.
        """
        response = await self._stub.ListModels(
            pb.ListModelsRequest(scope=scope_to_proto(scope)), timeout=_TIMEOUT_SECONDS
        )
        return tuple(GenerationModel(m.name, m.engine, m.is_ready) for m in response.models)

    async def identity(self, scope: Scope) -> str:
        """Returns a text that changes with the models, their engines and their prompts.

        Raises:
            ServiceError: the service does not answer.
        """
        response = await self._stub.ListModels(
            pb.ListModelsRequest(scope=scope_to_proto(scope)), timeout=_TIMEOUT_SECONDS
        )
        models = [(each.name, each.engine, sorted(each.adapters)) for each in response.models]
        return repr((response.prompt_version, models))


@contextlib.asynccontextmanager
async def _cancelling(call: Any) -> AsyncIterator[Any]:
    """Cancels the call however the block ends: whoever stops reading wants no more."""
    try:
        yield call
    finally:
        cancel = getattr(call, "cancel", None)
        if cancel is not None:
            cancel()


def _request(scope: Scope, prompt: Prompt) -> pb.GenerateRequest:
    messages = [
        pb.Message(role=_ROLES[turn.speaker], content=turn.text)
        for turn in prompt.history
        if turn.text.strip()
    ]
    if prompt.instructions.strip():
        messages.insert(0, pb.Message(role=pb.ROLE_SYSTEM, content=prompt.instructions))
    messages.append(pb.Message(role=pb.ROLE_USER, content=prompt.query))
    return pb.GenerateRequest(
        scope=scope_to_proto(scope),
        request_id=prompt.request_id,
        model=prompt.model,
        messages=messages,
        passages=passages_to_proto(prompt.passages),
        sampling=_sampling(prompt),
        structured_output=(
            pb.StructuredOutput(json_schema=prompt.sampling.json_schema)
            if prompt.sampling.json_schema
            else None
        ),
        stream=True,
    )


def _sampling(prompt: Prompt) -> pb.Sampling:
    more = prompt.sampling
    return pb.Sampling(
        max_tokens=prompt.max_tokens,
        temperature=prompt.temperature,
        top_p=more.top_p,
        seed=more.seed,
        stop=more.stop,
        frequency_penalty=more.frequency_penalty,
        presence_penalty=more.presence_penalty,
    )


def _finished(message: pb.Finished) -> Finished:
    return Finished(
        text=message.text,
        finish_reason=_FINISH_REASONS.get(message.finish_reason, "stop"),
        engine=message.engine,
        model=message.model,
        usage=usage_from_proto(message.usage),
        fallback_reason=message.fallback_reason,
        quotes=tuple(
            Quote(span.marker, span.passage_index, span.start, span.end, span.support)
            for span in message.quoted_spans
        ),
    )
