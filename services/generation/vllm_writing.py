"""A text as vLLM writes it: pieces become deltas, tokens are accounted for, the end an outcome."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.generation.engine import (
    Delta,
    FinishReason,
    GenerationRequest,
    Outcome,
    OutputForm,
    TokenUsage,
)
from services.generation.engine_spans import EngineTimes, observe, record_spans, timings
from services.generation.fair_queue import FairQueue, Ticket
from services.generation.prompt import MarkerRewriter
from services.generation.token_accounts import Reservation, charged_tokens
from services.generation.vllm_prompts import PreparedPrompt
from services.rpc.errors import (
    DeadlineExceededError,
    InvalidArgumentError,
    Reason,
    UnavailableError,
)


class Writing:
    """See the module's text.

    Args:
        request: What was asked.
        prompt: As the engine reads it.
        queue: Is told when the prompt has been read.
        ticket: The request's place in it.
        reservation: Tokens booked for it.
    """

    def __init__(
        self,
        request: GenerationRequest,
        prompt: PreparedPrompt,
        queue: FairQueue,
        ticket: Ticket,
        reservation: Reservation,
    ) -> None:
        self._request = request
        self._prompt_tokens = len(prompt.token_ids)
        self._rewriter = MarkerRewriter(prompt.markers)
        self._queue = queue
        self._ticket = ticket
        self._reservation = reservation
        self._texts: list[str] = []
        self._cached_tokens = 0
        self._completion_tokens = 0
        self._untold_tokens = 0
        self._last: Any = None
        self._is_recorded = False
        """Whether the engine's steps are spans."""
        self.is_time_over = False
        """Set when the deadline, not the engine, ends the text."""

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to come."""
        return self.is_time_over or (self._last is not None and self._last.finished)

    @property
    def _must_be_json(self) -> bool:
        """Whether the text is JSON when it ends by itself."""
        wanted = self._request.structured_output
        is_json = wanted is not None and wanted.form is OutputForm.JSON_SCHEMA
        return is_json and not self._request.sampling.stop

    @property
    def usage(self) -> TokenUsage:
        """Tokens so far; none before the first is written, also where an end has been told."""
        if not self._completion_tokens:
            return TokenUsage()
        return TokenUsage(self._prompt_tokens, self._cached_tokens, self._completion_tokens)

    def take(self, outputs: Sequence[Any], values: Any) -> Delta | None:
        """Takes what the engine wrote and returns what there is to show; None: nothing yet.

        Args:
            outputs: As `TokenStream` hands them out, in order.
            values: The module that translates vLLM's values.
        """
        if not outputs:
            return None
        if self._last is None:
            self._queue.read(self._ticket)
        self._last = last = outputs[-1]
        self._cached_tokens = last.num_cached_tokens or 0
        if len(outputs) == 1:
            piece = last.outputs[0]
            text, tokens = piece.text, len(piece.token_ids)
        else:
            text = "".join([output.outputs[0].text for output in outputs])
            tokens = sum([len(output.outputs[0].token_ids) for output in outputs])
        self._completion_tokens += tokens
        self._untold_tokens += tokens
        text = self._rewriter.feed(text)
        if self.is_over:
            text += self._rewriter.finish()
        usage = self.usage
        self._reservation.correct(usage)
        logprobs = ()
        if self._request.sampling.logprobs:
            logprobs = tuple(
                each for output in outputs for each in values.token_logprobs(output.outputs[0])
            )
        if not text and not logprobs:
            return None
        self._texts.append(text)
        untold, self._untold_tokens = self._untold_tokens, 0
        return Delta(text, logprobs, usage, untold)

    def outcome(self, values: Any) -> Outcome:
        """Returns how the text ended.

        Raises:
            ServiceError: It ended by the engine's fault, or before there was any text.
        """
        last = self._last
        if self.is_time_over and not self._completion_tokens:
            # vLLM makes an output of an abort, too: one without anything in it.
            raise DeadlineExceededError(
                Reason.DEADLINE_EXCEEDED,
                "the deadline passed before the engine gave any text",
                metadata={"stage": "generation"},
            )
        if last is None:
            raise UnavailableError(Reason.NOT_READY, "the engine ended the request")
        text = "".join(self._texts)
        form = self._request.structured_output
        if form is not None and last.outputs[0].finish_reason == "error":
            # It had passed when it came: some forms cannot be followed from some place on only.
            raise InvalidArgumentError.for_field(
                f"structured_output.{form.form.value}",
                "the engine cannot follow this form to an end; make it simpler",
            )
        reason = (
            FinishReason.DEADLINE
            if self.is_time_over
            else values.finish_reason(last.outputs[0].finish_reason, text)
        )
        if reason is FinishReason.STOP and not text and self._must_be_json:
            # The grammar let nothing through: {"$ref": "#"} has no value, and vLLM does not say so.
            raise InvalidArgumentError.for_field(
                "structured_output.json_schema", "no JSON value is valid under this schema"
            )
        times: EngineTimes = values.engine_times(last)
        took = timings(times, self._ticket.waited_seconds)
        observe(took, self._completion_tokens)
        record_spans(times)
        self._is_recorded = True
        return Outcome(reason, text, self.usage, timings=took)

    def settle(self, values: Any) -> None:
        """Settles the accounts with what was really read and written, however it ended.

        Args:
            values: The module that translates vLLM's values.
        """
        if self._last is not None and not self._is_recorded:
            # The caller has left, or the engine failed: what was done until then is seen, too.
            record_spans(values.engine_times(self._last))
        usage = self.usage
        has_ended = self.is_over and not self.is_time_over
        self._reservation.settle(usage, has_ended=has_ended)
        if has_ended:
            self._ticket.written_tokens = usage.completion_tokens
        self._ticket.used_tokens = charged_tokens(usage)
