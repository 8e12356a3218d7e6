"""Writes the answer from the passages."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.gateway.pipeline.citations import CitationWriter
from services.gateway.pipeline.ports import Finished, Quote, Started, Wrote
from services.gateway.pipeline.run import OUTAGES
from services.gateway.requests import Verification
from services.rpc import semconv
from services.rpc.errors import DeadlineExceededError, Reason, ServiceError, UnavailableError

if TYPE_CHECKING:
    from services.gateway.pipeline.ports import Generator, Prompt
    from services.gateway.pipeline.run import Run

COPYING_ENGINES = frozenset({"extractive"})
"""Engines whose markers are explained only at the end, by the spans they copied."""

ShowText = Callable[[str], Awaitable[None]]


@dataclass(slots=True)
class Draft:
    """What the engine wrote, with its markers resolved."""

    writer: CitationWriter
    finish_reason: str = "stop"
    engine: str = ""
    model: str = ""


class Generate:
    """Lets the generation service write. Rung below: the best passage, verbatim.

    Args:
        generator: The generation service.
    """

    name = "generate"

    def __init__(self, generator: Generator) -> None:
        self._generator = generator

    async def run(
        self, run: Run, prompt: Prompt, verification: Verification, show: ShowText | None
    ) -> Draft:
        """Returns the draft; `show` gets its text as it comes.

        Args:
            run: The request.
            prompt: Question and passages; at least one passage.
            verification: What becomes of unsupported markers.
            show: Takes text that will not change any more.
        """
        draft = Draft(CitationWriter(prompt.passages, verification, prompt.query))
        # What may still be refused as a whole is not shown before it is verified.
        live = None if verification is Verification.REFUSE else show
        try:
            await self._write(run, prompt, verification, draft, live)
        except OUTAGES as error:
            run.meter.keep_written()
            if not draft.writer.text.strip():
                run.degrade("generation_unavailable")
                return _verbatim(prompt, verification)
            run.degrade("generation_truncated")
            is_late = isinstance(error, DeadlineExceededError)
            draft.finish_reason = "deadline" if is_late else "interrupted"
            draft.writer.finish()
        return draft

    async def _write(
        self,
        run: Run,
        prompt: Prompt,
        verification: Verification,
        draft: Draft,
        show: ShowText | None,
    ) -> None:
        is_shown, finished = False, None
        async with (
            run.stage(
                self.name,
                share=1.0,
                attributes={
                    semconv.GEN_AI_OPERATION_NAME: "chat",
                    semconv.GEN_AI_REQUEST_MODEL: prompt.model,
                },
            ) as span,
            contextlib.aclosing(
                self._generator.generate(run.scope, prompt, run.share_seconds(1.0))
            ) as events,
        ):
            async for event in events:
                match event:
                    case Started(engine=engine, model=model):
                        draft.engine, draft.model = engine, model
                        if engine_streams(engine):
                            run.meter.begin_writing(model, event.usage, prompt.characters)
                        is_shown = show is not None and engine not in COPYING_ENGINES
                    case Wrote(text=text) if engine_streams(draft.engine):
                        run.meter.wrote(text, event.completion_tokens)
                        shown = draft.writer.feed(text)
                        if is_shown and show is not None and shown:
                            await show(shown)
                    case Finished():
                        finished = event
                    case _:
                        pass
            if finished is None:
                raise _broken_off()
            span.set_attribute(semconv.GEN_AI_RESPONSE_MODEL, finished.model)
            span.set_attribute(semconv.GEN_AI_RESPONSE_FINISH_REASONS, (finished.finish_reason,))
            span.set_attribute(semconv.GEN_AI_USAGE_OUTPUT_TOKENS, finished.usage.completion_tokens)
        _close(run, prompt, verification, draft, finished)


def engine_streams(engine: str) -> bool:
    """Whether the engine's text can be resolved as it comes."""
    return engine not in COPYING_ENGINES


def _close(
    run: Run, prompt: Prompt, verification: Verification, draft: Draft, finished: Finished
) -> None:
    """Takes over what the engine said at its end."""
    run.meter.end_writing(finished.usage)
    run.meter.model = finished.model
    draft.engine, draft.model = finished.engine, finished.model
    draft.finish_reason = finished.finish_reason
    if finished.fallback_reason:
        run.degrade("generation_fallback")
    if finished.finish_reason == "deadline":
        run.degrade("generation_truncated")
    if finished.quotes or not draft.writer.text:
        draft.writer = CitationWriter(prompt.passages, verification, prompt.query, finished.quotes)
        draft.writer.feed(finished.text)
    draft.writer.finish()


def _verbatim(prompt: Prompt, verification: Verification) -> Draft:
    """Returns the best passage as the answer."""
    source = prompt.passages[0].passage.text
    text = source.strip()
    start = source.find(text)
    quote = Quote(1, 0, start, start + len(text), 1.0)
    writer = CitationWriter(prompt.passages, verification, prompt.query, (quote,))
    # The passage's own brackets must not be read as markers: only the last one is ours.
    writer.text = text
    writer.feed(" [1]")
    writer.finish()
    return Draft(writer, "stop", "passage", "passage")


def _broken_off() -> ServiceError:
    return UnavailableError(
        Reason.DEPENDENCY_UNAVAILABLE, "the generation service ended without finishing its answer"
    )
