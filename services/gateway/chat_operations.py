"""Plain chat: a conversation with a model, without passages."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from services.gateway.identity import Caller, Operation
from services.gateway.pipeline.ports import Finished, Started, Wrote
from services.gateway.pipeline.run import Run
from services.rpc.errors import DeadlineExceededError, Reason, UnavailableError
from services.rpc.telemetry import current_trace_id

if TYPE_CHECKING:
    from services.gateway.clients.generation_client import GenerationClient, GenerationModel
    from services.gateway.metering import Metering
    from services.gateway.pipeline.ports import Prompt
    from services.gateway.usage import Usage

EmitText = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model wrote."""

    text: str
    finish_reason: str
    """ "stop", "length", "refused" or "deadline"."""
    engine: str
    model: str
    usage: Usage
    trace_id: str


class ChatOperations:
    """Everything a caller may ask of models directly.

    Args:
        generation: The generation service.
        metering: Reserves and meters what requests use.
        seconds: Time for an answer; an earlier deadline of the running request goes first.
    """

    def __init__(self, generation: GenerationClient, metering: Metering, seconds: float) -> None:
        self._generation = generation
        self._metering = metering
        self._seconds = seconds

    async def models(self, caller: Caller) -> tuple[GenerationModel, ...]:
        """Returns the models in the order of the default chain."""
        caller.require(Operation.QUERY)
        return await self._generation.models(caller.scope)

    async def complete(
        self, caller: Caller, prompt: Prompt, emit: EmitText | None = None
    ) -> Completion:
        """Lets a model write; `emit` gets its text as it comes.

        Raises:
            ServiceError: the request is wrong, or no engine answers.
        """
        caller.require(Operation.QUERY)
        prompt = replace(prompt, is_live=emit is not None)
        written: list[str] = []

        async def show(text: str) -> None:
            written.append(text)
            if emit is not None:
                await emit(text)

        expected = self._metering.writing(prompt, is_stream=emit is not None)
        async with self._metering.request(caller, Operation.QUERY, expected=expected):
            run = Run(caller.scope, "chat", self._seconds)
            async with run.stage("generate", share=1.0):
                finished = await self._write(run, prompt, written, show)
            if not written and finished.text:  # it came as a whole
                await show(finished.text)
        return Completion(
            text="".join(written),
            finish_reason=finished.finish_reason,
            engine=finished.engine,
            model=finished.model,
            usage=finished.usage,
            trace_id=current_trace_id(),
        )

    async def _write(
        self, run: Run, prompt: Prompt, written: list[str], show: EmitText
    ) -> Finished:
        started, finished = Started("", ""), None
        seconds = run.share_seconds(1.0)
        async with contextlib.aclosing(
            self._generation.generate(run.scope, prompt, seconds)
        ) as events:
            try:
                async for event in events:
                    match event:
                        case Started():
                            started = event
                            run.meter.begin_writing(event.model, event.usage, prompt.characters)
                        case Wrote(text=text):
                            run.meter.wrote(text, event.completion_tokens)
                            await show(text)
                        case Finished():
                            finished = event
                            run.meter.end_writing(event.usage)
            except DeadlineExceededError:
                # What was written is worth more than an error in its place.
                if not written:
                    raise
                run.meter.keep_written()
                return Finished("", "deadline", started.engine, started.model, run.usage)
        if finished is None:
            raise UnavailableError(
                Reason.DEPENDENCY_UNAVAILABLE,
                "the generation service ended without finishing its answer",
            )
        return finished
