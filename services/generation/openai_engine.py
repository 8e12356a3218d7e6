"""Engine over any OpenAI-compatible endpoint, by HTTP with server-sent events.

Attempts are repeated, with jitter, only before the first text. Closing the generator closes the
connection, which is how such endpoints learn of a cancel.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any

import httpx

from services.generation.engine import (
    Delta,
    FinishReason,
    GenerationRequest,
    Message,
    ModelInfo,
    Outcome,
    OutputForm,
    Timings,
    TokenLogprob,
    TokenUsage,
    no_adapters,
)
from services.generation.prompt import REFUSAL, MarkerRewriter, RenderedPrompt, fit
from services.rpc.deadline import remaining_seconds
from services.rpc.errors import (
    InvalidArgumentError,
    Reason,
    ResourceExhaustedError,
    ServiceError,
    UnavailableError,
)

ATTEMPTS = 3
_CHARACTERS_PER_TOKEN = 3.0
"""A cautious guess (English has about 4): the endpoint's tokenizer is not known here."""
_DEFAULT_OUTPUT_TOKENS = 512
_TIMEOUT = httpx.Timeout(connect=5.0, read=60.0, write=10.0, pool=5.0)
_FIRST_BACKOFF_SECONDS = 0.2
_MAX_RETRY_AFTER_SECONDS = 60.0


class OpenAiEngine:
    """See the module's text.

    Args:
        base_url: Up to and without "/chat/completions", such as "http://host:8000/v1".
        api_key: Sent as a bearer token; empty: none.
        model: Model to ask for.
        max_context_tokens: Tokens of prompt and answer together; 0: leave it to the endpoint.
        transport: Replaces the network in tests.
    """

    name = "openai"

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str,
        model: str,
        max_context_tokens: int = 0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._model = model
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
        rewriter = MarkerRewriter(prompt.markers)
        texts: list[str] = []
        usage, finish, first_at = TokenUsage(), "stop", None
        async with contextlib.AsyncExitStack() as stack:
            response = await self._open(stack, self._body(request, prompt))
            async for chunk in _events(response):
                usage = _usage(chunk) or usage
                for choice in chunk.get("choices") or ():
                    finish = choice.get("finish_reason") or finish
                    piece = rewriter.feed((choice.get("delta") or {}).get("content") or "")
                    if piece:
                        first_at = first_at or time.monotonic()
                        texts.append(piece)
                        yield Delta(piece, _logprobs(choice))
        if rest := rewriter.finish():
            texts.append(rest)
            yield Delta(rest)
        text, ended = "".join(texts), time.monotonic()
        first_at = first_at or ended
        yield Outcome(
            _finish_reason(finish, text),
            text,
            usage,
            timings=Timings(0.0, first_at - began, ended - first_at),
        )

    def _prompt(self, request: GenerationRequest) -> RenderedPrompt:
        budget = 0
        if self._max_context_tokens:
            output = request.sampling.max_tokens or _DEFAULT_OUTPUT_TOKENS
            budget = max(1, self._max_context_tokens - output)
        return fit(request, budget, _estimated_tokens)

    def _body(self, request: GenerationRequest, prompt: RenderedPrompt) -> dict[str, Any]:
        sampling = request.sampling
        wanted: dict[str, Any] = {
            "max_tokens": sampling.max_tokens or _DEFAULT_OUTPUT_TOKENS,
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
            "stream_options": {"include_usage": True},
            **{key: value for key, value in wanted.items() if value is not None},
        }

    async def _open(self, stack: contextlib.AsyncExitStack, body: dict[str, Any]) -> httpx.Response:
        """Opens the stream; repeats what may go better the next time."""
        attempt = 1
        while True:
            try:
                return await self._open_once(stack, body)
            except (UnavailableError, ResourceExhaustedError) as error:
                # Jitter: callers that failed together must not come back together.
                pause = random.uniform(0.5, 1.0) * _FIRST_BACKOFF_SECONDS * 2**attempt  # noqa: S311 - spreads load, guards nothing
                pause = max(pause, error.retry_after_seconds or 0.0)
                left = remaining_seconds()
                if attempt == ATTEMPTS or pause > 2.0 or (left is not None and left < 2 * pause):
                    raise
                await asyncio.sleep(pause)
                attempt += 1

    async def _open_once(
        self, stack: contextlib.AsyncExitStack, body: dict[str, Any]
    ) -> httpx.Response:
        request = self._client.build_request("POST", "chat/completions", json=body)
        try:
            response = await self._client.send(request, stream=True)
            if response.status_code == httpx.codes.OK:
                stack.push_async_callback(response.aclose)
                return response
            content = await response.aread()
            await response.aclose()
        except httpx.HTTPError as error:
            raise UnavailableError(
                Reason.DEPENDENCY_UNAVAILABLE,
                f"the endpoint does not answer ({type(error).__name__})",
            ) from error
        raise _status_error(response, content)

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


async def _events(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """Yields the JSON of each server-sent event."""
    try:
        async for line in response.aiter_lines():
            if not line.startswith("data:"):
                continue
            data = line.removeprefix("data:").strip()
            if data == "[DONE]":
                return
            event = json.loads(data)
            if not isinstance(event, dict) or "error" in event:
                raise UnavailableError(
                    Reason.DEPENDENCY_UNAVAILABLE, "the endpoint reported an error in its stream"
                )
            yield event
    except (httpx.HTTPError, json.JSONDecodeError) as error:
        raise UnavailableError(
            Reason.DEPENDENCY_UNAVAILABLE,
            f"the endpoint's stream broke off ({type(error).__name__})",
        ) from error


def _usage(chunk: dict[str, Any]) -> TokenUsage | None:
    usage = chunk.get("usage")
    if not usage:
        return None
    details = usage.get("prompt_tokens_details") or {}
    return TokenUsage(
        prompt_tokens=usage.get("prompt_tokens") or 0,
        cached_prompt_tokens=details.get("cached_tokens") or 0,
        completion_tokens=usage.get("completion_tokens") or 0,
    )


def _logprobs(choice: dict[str, Any]) -> tuple[TokenLogprob, ...]:
    content = (choice.get("logprobs") or {}).get("content") or ()
    return tuple(
        TokenLogprob(
            token["token"],
            token["logprob"],
            tuple(
                TokenLogprob(other["token"], other["logprob"])
                for other in token.get("top_logprobs") or ()
            ),
        )
        for token in content
    )


def _finish_reason(finish: str, text: str) -> FinishReason:
    if finish == "length":
        return FinishReason.LENGTH
    return FinishReason.REFUSED if text.strip().startswith(REFUSAL) else FinishReason.STOP


def _status_error(response: httpx.Response, content: bytes) -> ServiceError:
    """Returns the error for an HTTP status that is not 200."""
    status = response.status_code
    if status in {httpx.codes.TOO_MANY_REQUESTS, httpx.codes.REQUEST_TIMEOUT}:
        return ResourceExhaustedError(
            Reason.OVERLOADED,
            f"the endpoint has no room (HTTP {status})",
            retry_after_seconds=_retry_after_seconds(response),
        )
    if status in {httpx.codes.BAD_REQUEST, httpx.codes.UNPROCESSABLE_ENTITY}:
        if b"context" in content and b"length" in content:
            return InvalidArgumentError(
                Reason.CONTEXT_TOO_LONG, "the prompt is longer than the endpoint's model reads"
            )
        return InvalidArgumentError(
            Reason.INVALID_FIELD, f"the endpoint refused the request (HTTP {status})"
        )
    # 401, 403 and 404 are our configuration's fault, not the caller's: another engine may serve.
    return UnavailableError(
        Reason.DEPENDENCY_UNAVAILABLE,
        f"the endpoint answered HTTP {status}",
        metadata={"status": str(status)},
    )


def _retry_after_seconds(response: httpx.Response) -> float | None:
    try:
        seconds = float(response.headers.get("retry-after", ""))
    except ValueError:
        return None
    return min(max(seconds, 0.0), _MAX_RETRY_AFTER_SECONDS)
