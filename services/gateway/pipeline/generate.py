"""Writes the answer from the passages."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.gateway.pipeline.citations import CitationWriter
from services.gateway.pipeline.grounding import Grounding
from services.gateway.pipeline.ports import Finished, Quote, Started, Wrote
from services.gateway.pipeline.run import OUTAGES
from services.gateway.requests import Verification
from services.rpc import semconv
from services.rpc.errors import DeadlineExceededError, Reason, ServiceError, UnavailableError

if TYPE_CHECKING:
    from services.gateway.pipeline.ports import Generator, Prompt, TokenEncoder
    from services.gateway.pipeline.run import Run

COPYING_ENGINES = frozenset({"extractive"})
"""Engines whose markers are explained only at the end, by the spans they copied."""

ShowText = Callable[[str], Awaitable[None]]


@dataclass(slots=True)
class Draft:
    """What the engine wrote, with its markers resolved."""

    writer: CitationWriter
    grounding: Grounding
    """Compares its sentences with what they cite."""
    finish_reason: str = "stop"
    engine: str = ""
    model: str = ""
    support: float | None = None
    """As in `Finished`."""


class Generate:
    """Lets the generation service write. Rung below: the best passage, verbatim.

    Args:
        generator: The generation service.
        encoder: Compares sentences with what they cite by meaning; None: by words.
    """

    name = "generate"

    def __init__(self, generator: Generator, encoder: TokenEncoder | None = None) -> None:
        self._generator = generator
        self._encoder = encoder

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
        grounding = Grounding(self._encoder, run)
        draft = Draft(_writer(prompt, verification, grounding), grounding)
        # What may still be refused as a whole is not shown before it is verified.
        live = None if verification is Verification.REFUSE else show
        try:
            await self._write(run, prompt, verification, draft, live)
        except OUTAGES as error:
            run.meter.keep_written()
            draft.writer.finish()
            if not draft.writer.text.strip():
                run.degrade("generation_unavailable")
                return _verbatim(prompt, verification, grounding)
            run.degrade("generation_truncated")
            is_late = isinstance(error, DeadlineExceededError)
            draft.finish_reason = "deadline" if is_late else "interrupted"
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
                        await draft.grounding.learn(draft.writer.claims_in(text))
                        shown = draft.writer.feed(text)
                        if is_shown and show is not None and shown:
                            await show(shown)
                    case Finished():
                        finished = event
                    case _:
                        pass
            if finished is None:
                raise _broken_off()
            if finished.quotes or not draft.writer.has_begun:
                draft.writer = _writer(prompt, verification, draft.grounding, finished.quotes)
                await draft.grounding.learn(draft.writer.claims_in(finished.text, is_last=True))
                draft.writer.feed(finished.text)
            else:
                await draft.grounding.learn(draft.writer.claims_in("", is_last=True))
            span.set_attribute(semconv.GEN_AI_RESPONSE_MODEL, finished.model)
            span.set_attribute(semconv.GEN_AI_RESPONSE_FINISH_REASONS, (finished.finish_reason,))
            span.set_attribute(semconv.GEN_AI_USAGE_OUTPUT_TOKENS, finished.usage.completion_tokens)
        _close(run, draft, finished)


def engine_streams(engine: str) -> bool:
    """Whether the engine's text can be resolved as it comes."""
    return engine not in COPYING_ENGINES


def _close(run: Run, draft: Draft, finished: Finished) -> None:
    """Takes over what the engine said at its end."""
    run.meter.end_writing(finished.usage)
    run.meter.model = finished.model
    draft.engine, draft.model = finished.engine, finished.model
    draft.finish_reason = finished.finish_reason
    draft.support = finished.support
    if finished.fallback_reason:
        run.degrade("generation_fallback")
    if finished.left_out_repeats:
        run.degrade("instructions_left_out")
    if finished.finish_reason == "deadline":
        run.degrade("generation_truncated")
    draft.writer.finish()


def _writer(
    prompt: Prompt, verification: Verification, grounding: Grounding, quotes: Sequence[Quote] = ()
) -> CitationWriter:
    return CitationWriter(
        prompt.passages,
        verification,
        prompt.query,
        quotes,
        judge=grounding.support,
        allowed=(prompt.instructions, *(turn.text for turn in prompt.history)),
    )


def _verbatim(prompt: Prompt, verification: Verification, grounding: Grounding) -> Draft:
    """Returns the best passage as the answer."""
    source = prompt.passages[0].passage.text
    text = source.strip()
    start = source.find(text)
    quote = Quote(1, 0, start, start + len(text), 1.0)
    writer = _writer(prompt, verification, grounding, (quote,))
    writer.quote_whole(text)
    return Draft(writer, grounding, "stop", "passage", "passage")


def _broken_off() -> ServiceError:
    return UnavailableError(
        Reason.DEPENDENCY_UNAVAILABLE, "the generation service ended without finishing its answer"
    )
