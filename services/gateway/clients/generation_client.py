"""The generation service: answers as a flow of text."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import AsyncGenerator, Awaitable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cairn.generation.v1 import generation_service_pb2 as pb
from cairn.generation.v1 import generation_service_pb2_grpc as rpc

from services.gateway.clients.passages_proto import passages_to_proto, usage_from_proto
from services.gateway.clients.text_window import WINDOW_SECONDS, Gathering, gathered
from services.gateway.pipeline.ports import Finished, Prompt, Quote, Started, Wrote
from services.gateway.requests import Speaker
from services.rpc.errors import ServiceError
from services.rpc.guard import ATTEMPTS
from services.rpc.placement import placement_key
from services.rpc.scope_proto import scope_to_proto

if TYPE_CHECKING:
    import grpc

    from services.rpc.guard import Guard
    from services.rpc.replicas import Replicas, Visit
    from services.rpc.scope import Scope

_TIMEOUT_SECONDS = 10.0
_FINISH_REASONS = {
    pb.FINISH_REASON_STOP: "stop",
    pb.FINISH_REASON_LENGTH: "length",
    pb.FINISH_REASON_REFUSED: "refused",
    pb.FINISH_REASON_DEADLINE: "deadline",
}
_CHARACTERS_PER_TOKEN = 4
_OUTPUT_TOKENS = 256
"""What an answer is taken to be when no limit is given."""
_WINDOW_MS = round(WINDOW_SECONDS * 1e3)
_UNSEEN_WINDOW_MS = 250
"""Where nobody reads along; not longer, for what was written is kept when an engine dies."""
_KEY_PASSAGES = 2
"""Passages that make the key: more would tear questions apart whose prompts begin alike."""
_ROLES = {Speaker.USER: pb.ROLE_USER, Speaker.ASSISTANT: pb.ROLE_ASSISTANT}


@dataclass(frozen=True, slots=True)
class GenerationModel:
    """A model that an engine serves."""

    name: str
    engine: str
    is_ready: bool


class GenerationClient:
    """Calls `cairn.generation.v1.GenerationService`.

    Answers are asked for at the replica that has the prompt's beginning in its cache. One that
    fails before any text has been passed on is asked for again, at another replica.

    Args:
        channel: To its replicas, whichever.
        replicas: To each of them.
        guard: Says what may be repeated.
    """

    def __init__(self, channel: grpc.aio.Channel, replicas: Replicas, guard: Guard) -> None:
        self._stub = rpc.GenerationServiceStub(channel)
        self._replicas = replicas
        self._guard = guard
        self._stubs: dict[str, tuple[grpc.aio.Channel, rpc.GenerationServiceStub]] = {}

    async def generate(
        self, scope: Scope, prompt: Prompt, timeout_seconds: float
    ) -> AsyncGenerator[Started | Wrote | Finished]:
        """Yields Started, any number of Wrote, then Finished. Closing it stops the engine.

        Args:
            scope: On whose behalf.
            prompt: What is asked.
            timeout_seconds: For the whole answer.

        Raises:
            ServiceError: the service does not answer, or refuses the request.
        """
        request = _request(scope, prompt)
        key, tokens = self._key(scope, prompt), _tokens(prompt)
        ends_at = time.monotonic() + timeout_seconds
        self._guard.pay_in()
        failed: list[str] = []
        for attempt in range(1, ATTEMPTS + 1):
            others = () if len(failed) >= len(self._replicas.addresses) else failed
            written: list[Wrote] = []
            has_shown = False
            try:
                with self._replicas.visit(key, tokens, without=others) as visit:
                    failed.append(visit.address)
                    left = ends_at - time.monotonic()
                    events = gathered(functools.partial(self._read, visit, request, left))
                    async with contextlib.aclosing(events):
                        async for event in events:
                            if isinstance(event, Wrote) and not prompt.is_live:
                                written.append(event)
                                continue
                            # Shown to nobody yet: another replica could write it anew.
                            if isinstance(event, Finished):
                                for each in written:
                                    yield each
                            has_shown = has_shown or not isinstance(event, Started)
                            yield event
            except ServiceError as error:
                if (
                    has_shown
                    or attempt == ATTEMPTS
                    or not await self._guard.repeats(error, attempt, ends_at)
                ):
                    for each in written:
                        yield each
                    raise
            else:
                return

    async def _read(
        self, visit: Visit, request: pb.GenerateRequest, left: float, found: Gathering
    ) -> None:
        """Takes in what a replica says; Started together with the first text."""
        started: Started | None = None
        finished: Finished | None = None
        call = self._stub_of(visit).Generate(request, timeout=left)

        def take(response: pb.GenerateResponse) -> Awaitable[object] | None:
            nonlocal started, finished
            match response.WhichOneof("event"):
                case "delta":
                    delta = response.delta
                    started = _started_in(delta) or started
                    if started is not None:
                        found.add(started)
                        started = None
                    if text := delta.text:
                        return found.wrote(text, delta.completion_tokens)
                case "started":
                    started = _started(response.started)
                case "finished":
                    # Read on to the status: leaving here would cancel a call that succeeded.
                    finished = _finished(response.finished)
                case _:
                    pass
            return None

        try:
            if len(self._replicas.addresses) > 1:
                first = await self._guard.hurry(left / 2, left, lambda _: call.read())
            else:
                first = await call.read()
            visit.answered()
            await call.each(first, take)
        finally:
            call.cancel()  # whoever stops reading wants no more
        if started is not None:
            found.add(started)
        if finished is not None:
            found.add(finished)

    def _stub_of(self, visit: Visit) -> rpc.GenerationServiceStub:
        """Returns a replica's stub; making one costs as much as a call."""
        channel, stub = self._stubs.get(visit.address, (None, None))
        if stub is None or channel is not visit.channel:
            known = self._replicas.addresses
            self._stubs = {each: kept for each, kept in self._stubs.items() if each in known}
            stub = rpc.GenerationServiceStub(visit.channel)
            self._stubs[visit.address] = (visit.channel, stub)
        return stub

    def _key(self, scope: Scope, prompt: Prompt) -> bytes | None:
        """Returns what decides between replicas; nothing where there is one."""
        return _key(scope, prompt) if len(self._replicas.addresses) > 1 else None

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


def _key(scope: Scope, prompt: Prompt) -> bytes:
    """Returns what prompts with one beginning share, as far as caches may: never across scopes."""
    passages = sorted((p.passage.document_id, p.passage.ordinal) for p in prompt.passages)
    first = [f"{document_id} {ordinal}" for document_id, ordinal in passages[:_KEY_PASSAGES]]
    if not first:  # a conversation: its first turn stays the same
        first = [prompt.history[0].text if prompt.history else prompt.query]
    owner = [scope.tenant, *sorted(scope.principals)]
    return placement_key(*owner, "", prompt.model, prompt.instructions, *first)


def _tokens(prompt: Prompt) -> float:
    """Returns about how many tokens a request costs."""
    texts = (*(turn.text for turn in prompt.history), *(p.passage.text for p in prompt.passages))
    characters = len(prompt.query) + len(prompt.instructions) + sum(map(len, texts))
    return characters / _CHARACTERS_PER_TOKEN + (prompt.max_tokens or _OUTPUT_TOKENS)


def _request(scope: Scope, prompt: Prompt) -> pb.GenerateRequest:
    messages = [
        pb.Message(role=_ROLES[turn.speaker], content=turn.text)
        for turn in prompt.history
        if turn.text.strip()
    ]
    if prompt.instructions.strip():
        messages.insert(0, pb.Message(role=pb.ROLE_SYSTEM, content=prompt.instructions))
    messages.append(pb.Message(role=pb.ROLE_USER, content=prompt.query))
    passages = passages_to_proto(prompt.passages)
    for each in passages:
        passage = each.passage
        passage.token_codes = prompt.token_codes.get((passage.document_id, passage.chunk_id), b"")
    return pb.GenerateRequest(
        scope=scope_to_proto(scope),
        request_id=prompt.request_id,
        model=prompt.model,
        messages=messages,
        passages=passages,
        sampling=_sampling(prompt),
        structured_output=(
            pb.StructuredOutput(json_schema=prompt.sampling.json_schema)
            if prompt.sampling.json_schema
            else None
        ),
        stream=True,
        start_in_delta=True,
        min_support=prompt.min_support,
        # More often they are not handed on: a message costs the same, whatever its length.
        stream_window_ms=_WINDOW_MS if prompt.is_live else _UNSEEN_WINDOW_MS,
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


def _started(message: pb.Started) -> Started:
    return Started(message.engine, message.model, usage_from_proto(message.usage))


def _started_in(delta: pb.Delta) -> Started | None:
    return _started(delta.started) if delta.HasField("started") else None


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
        support=message.support if message.HasField("support") else None,
        left_out_repeats=message.left_out_repeats,
    )
