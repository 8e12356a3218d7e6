"""Engine over any OpenAI-compatible endpoint, by HTTP with server-sent events.

Attempts are repeated, with jitter and under a retry budget, only before the first text. Closing
the generator closes the connection, which is how such endpoints learn of a cancel.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import random
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import httpx

from services.generation.endpoint_limits import EndpointLimits
from services.generation.engine import (
    Delta,
    FinishReason,
    GenerationRequest,
    Message,
    ModelInfo,
    Outcome,
    OutputForm,
    Timings,
    TokenUsage,
    no_adapters,
)
from services.generation.openai_events import (
    Piece,
    broken_off,
    pieces_of,
    status_error,
)
from services.generation.prices import Prices
from services.generation.prompt import REFUSAL, MarkerRewriter, RenderedPrompt, fit
from services.rpc.deadline import remaining_seconds
from services.rpc.errors import (
    Reason,
    ResourceExhaustedError,
    ServiceError,
    UnavailableError,
)
from services.rpc.retry_budget import RetryBudget

ATTEMPTS = 3
_CHARACTERS_PER_TOKEN = 3.0
"""A cautious guess (English has about 4): the endpoint's tokenizer is not known here."""
_DEFAULT_OUTPUT_TOKENS = 512
_TIMEOUT = httpx.Timeout(connect=5.0, read=60.0, write=10.0, pool=5.0)
_FIRST_BACKOFF_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 2.0
"""Whoever has to wait longer is better served by the next engine."""
_RETRY_SECONDS = 1.0
"""When to come back to an endpoint that had no room and does not say for how long."""
_MAX_ERROR_BYTES = 65_536
_MAX_ANSWER_CHARACTERS = 1_000_000
"""Endpoints that write on and on, whatever `max_tokens` is, are not listened to any longer."""


class OpenAiEngine:
    """See the module's text.

    Args:
        base_url: Up to and without "/chat/completions", such as "http://host:8000/v1".
        api_key: Sent as a bearer token; empty: none.
        model: Model to ask for.
        max_context_tokens: Tokens of prompt and answer together; 0: leave it to the endpoint.
        name: Of the engine: there may be several.
        prices: What its tokens cost; None: not known.
        transport: Replaces the network in tests.
    """

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str,
        model: str,
        max_context_tokens: int = 0,
        name: str = "openai",
        prices: Prices | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.name = name
        self._model = model
        self._prices = prices
        self._limits = EndpointLimits()
        self._budget = RetryBudget(name, credit=10.0)
        self._limit_name = "max_tokens"
        """What the endpoint calls the bound of an answer: newer models know another name."""
        self._has_stream_options = True
        self._max_context_tokens = max_context_tokens
        self._client = httpx.AsyncClient(
            base_url=base_url.rstrip("/") + "/",
            headers={"authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=_TIMEOUT,
            transport=transport,
        )

    def model_info(self) -> ModelInfo:
        """Describes the endpoint's model."""
        return ModelInfo(self._model, self.name, self._max_context_tokens, is_ready=True)

    def unsupported(self, request: GenerationRequest) -> str:
        """Knows JSON schemas only, and no adapters."""
        if request.adapter:
            return no_adapters(self.name).message
        output = request.structured_output
        if output is not None and output.form is not OutputForm.JSON_SCHEMA:
            return (
                f"the openai engine supports structured_output.json_schema, not {output.form.value}"
            )
        return ""

    async def start(self) -> None:
        """Has nothing to load; an endpoint that is down is the breaker's affair."""

    async def wait_dead(self) -> None:
        """Cannot die: the endpoint may come back."""
        await asyncio.Event().wait()

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Delta | Outcome, None]:
        """Streams from the endpoint."""
        began = time.monotonic()
        prompt = self._prompt(request)
        body = self._body(request, prompt)
        tokens = _estimated_tokens(prompt.messages) + body[self._limit_name]
        rewriter = MarkerRewriter(prompt.markers)
        texts: list[str] = []
        end = Piece(finish_reason="")
        room = _MAX_ANSWER_CHARACTERS
        first_at: float | None = None
        self._budget.pay_in()
        async with contextlib.aclosing(self._pieces(body, tokens)) as pieces:
            async for piece in pieces:
                end = end.then(piece)
                text = rewriter.feed(piece.text)[:room]
                if text or piece.logprobs:
                    first_at = first_at or time.monotonic()
                    texts.append(text)
                    yield Delta(text, piece.logprobs)
                room -= len(text)
                if room <= 0:
                    end = end.then(Piece(finish_reason="length"))
                    break
        if rest := rewriter.finish():
            texts.append(rest)
            yield Delta(rest)
        text, ended = "".join(texts), time.monotonic()
        first_at = first_at or ended
        usage = end.usage or _estimated_usage(prompt, text)
        yield Outcome(
            _finish_reason(end.finish_reason, text),
            text,
            usage,
            timings=Timings(0.0, first_at - began, ended - first_at),
            cost=None if self._prices is None else self._prices.cost(usage),
        )

    async def _pieces(self, body: dict[str, Any], tokens: float) -> AsyncGenerator[Piece, None]:
        """Yields what the endpoint sends; asks again while it has sent no text."""
        attempt = 1
        while True:
            has_text = False
            try:
                async with contextlib.AsyncExitStack() as stack:
                    response = await self._open(stack, body, tokens)
                    is_ended = False
                    async with contextlib.aclosing(pieces_of(response)) as pieces:
                        async for piece in pieces:
                            has_text = has_text or bool(piece.text)
                            is_ended = is_ended or bool(piece.finish_reason)
                            yield piece
                    if not is_ended:
                        raise broken_off("ended without a finish reason")
            except (UnavailableError, ResourceExhaustedError) as error:
                if has_text or not await self._repeats(error, attempt):
                    if isinstance(error, ResourceExhaustedError):
                        error.retry_after_seconds = error.retry_after_seconds or _RETRY_SECONDS
                    raise
                attempt += 1
            else:
                return

    async def _repeats(self, error: ServiceError, attempt: int) -> bool:
        """Returns whether a failed attempt is to be repeated, after a pause."""
        # Jitter: callers that failed together must not come back together.
        pause = random.uniform(0.5, 1.0) * _FIRST_BACKOFF_SECONDS * 2**attempt  # noqa: S311 - spreads load, guards nothing
        pause = max(pause, error.retry_after_seconds or 0.0)
        left = remaining_seconds()
        if attempt == ATTEMPTS or pause > _LONGEST_PAUSE_SECONDS:
            return False
        if (left is not None and left < 2 * pause) or not self._budget.take():
            return False
        await asyncio.sleep(pause)
        return True

    def _prompt(self, request: GenerationRequest) -> RenderedPrompt:
        budget = 0
        if self._max_context_tokens:
            output = request.sampling.max_tokens or _DEFAULT_OUTPUT_TOKENS
            budget = max(1, self._max_context_tokens - output)
        return fit(request, budget, _estimated_tokens)

    def _body(self, request: GenerationRequest, prompt: RenderedPrompt) -> dict[str, Any]:
        sampling = request.sampling
        wanted: dict[str, Any] = {
            self._limit_name: sampling.max_tokens or _DEFAULT_OUTPUT_TOKENS,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "seed": sampling.seed,
            "stop": list(sampling.stop) or None,
            "presence_penalty": sampling.presence_penalty,
            "frequency_penalty": sampling.frequency_penalty,
        }
        if sampling.logprobs:
            wanted |= {"logprobs": True, "top_logprobs": sampling.logprobs}
        if request.structured_output is not None:
            schema = json.loads(request.structured_output.text)
            wanted["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": True, "schema": schema},
            }
        messages = [{"role": each.role.value, "content": each.content} for each in prompt.messages]
        return {
            "model": self._model,
            "messages": messages,
            "stream": True,
            **({"stream_options": {"include_usage": True}} if self._has_stream_options else {}),
            **{key: value for key, value in wanted.items() if value is not None},
        }

    async def _open(
        self, stack: contextlib.AsyncExitStack, body: dict[str, Any], tokens: float
    ) -> httpx.Response:
        """Opens the stream, when the endpoint's limits allow it.

        Raises:
            ServiceError: the endpoint does not answer, has no room, or refuses the request.
        """
        wait = self._limits.wait_seconds(tokens)
        if wait > 0:
            raise ResourceExhaustedError(
                Reason.OVERLOADED,
                "the endpoint's rate limit is used up",
                retry_after_seconds=wait,
            )
        self._limits.sent(tokens)
        response, content = await self._send(stack, body)
        if content is None:
            return response
        if self._adapt(body, response, content):
            response, content = await self._send(stack, body)
            if content is None:
                return response
        error = status_error(response, content)
        if isinstance(error, ResourceExhaustedError):
            self._limits.refused(error.retry_after_seconds)
        raise error

    async def _send(
        self, stack: contextlib.AsyncExitStack, body: dict[str, Any]
    ) -> tuple[httpx.Response, bytes | None]:
        """Sends the request; returns the answer, and its body when it is no success."""
        request = self._client.build_request("POST", "chat/completions", json=body)
        try:
            response = await self._client.send(request, stream=True)
            stack.push_async_callback(response.aclose)
            self._limits.note(response.headers)
            if response.status_code == httpx.codes.OK:
                return response, None
            content = b""
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > _MAX_ERROR_BYTES:
                    break
        except httpx.HTTPError as error:
            raise UnavailableError(
                Reason.DEPENDENCY_UNAVAILABLE,
                f"the endpoint does not answer ({type(error).__name__})",
            ) from error
        return response, content

    def _adapt(self, body: dict[str, Any], response: httpx.Response, content: bytes) -> bool:
        """Returns whether the request was changed to what the endpoint says it wants."""
        if response.status_code != httpx.codes.BAD_REQUEST:
            return False
        if b"max_completion_tokens" in content and "max_tokens" in body:
            self._limit_name = "max_completion_tokens"
            body[self._limit_name] = body.pop("max_tokens")
            return True
        if b"stream_options" in content and "stream_options" in body:
            self._has_stream_options = False
            del body["stream_options"]
            return True
        return False

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Estimates from the length: the endpoint's tokenizer is not known here."""
        return [math.ceil(len(text) / _CHARACTERS_PER_TOKEN) for text in texts]

    async def load_adapter(self, name: str, source: str) -> None:
        """Has none."""
        raise no_adapters(self.name)

    async def unload_adapter(self, name: str) -> None:
        """Has none."""
        raise no_adapters(self.name)

    async def close(self) -> None:
        """Closes connections."""
        await self._client.aclose()


def _estimated_tokens(messages: Sequence[Message]) -> int:
    return sum(math.ceil(len(each.content) / _CHARACTERS_PER_TOKEN) + 8 for each in messages)


def _estimated_usage(prompt: RenderedPrompt, text: str) -> TokenUsage:
    """Returns about what an endpoint that reports no usage has used."""
    return TokenUsage(
        prompt_tokens=_estimated_tokens(prompt.messages),
        completion_tokens=math.ceil(len(text) / _CHARACTERS_PER_TOKEN),
    )


def _finish_reason(finish: str, text: str) -> FinishReason:
    if finish in {"length", "max_tokens"}:
        return FinishReason.LENGTH
    if finish == "content_filter" or text.strip().startswith(REFUSAL):
        return FinishReason.REFUSED
    return FinishReason.STOP
