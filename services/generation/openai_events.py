"""What an OpenAI-compatible endpoint sends, as values: streamed pieces, whole answers, errors."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from services.generation.endpoint_limits import retry_after_seconds
from services.generation.engine import TokenLogprob, TokenUsage
from services.rpc.errors import (
    InvalidArgumentError,
    Reason,
    ResourceExhaustedError,
    ServiceError,
    UnavailableError,
)

_MAX_EVENT_BYTES = 4_000_000
"""Also of an answer that comes whole."""
_MAX_WHY_CHARACTERS = 300
_MAX_TOKENS = 1_000_000_000
"""No answer has more: a count beyond it, or below 0, is a mistake of the endpoint's."""


@dataclass(frozen=True, slots=True)
class Piece:
    """More of an answer."""

    text: str = ""
    finish_reason: str = ""
    """As the endpoint spells it; empty: it goes on."""
    usage: TokenUsage | None = None
    logprobs: tuple[TokenLogprob, ...] = ()

    def then(self, later: Piece) -> Piece:
        """Returns what is known at the end of a later piece, without text."""
        return Piece("", self.finish_reason or later.finish_reason, later.usage or self.usage)


def broken_off(why: str) -> UnavailableError:
    """Returns the error of an answer that cannot be used."""
    return UnavailableError(Reason.DEPENDENCY_UNAVAILABLE, f"the endpoint's answer {why}")


async def pieces_of(response: httpx.Response) -> AsyncGenerator[Piece, None]:
    """Yields the pieces of an answer, be it streamed or, against our wish, whole.

    Raises:
        UnavailableError: it breaks off, reports an error or is no chat completion.
    """
    try:
        if response.headers.get("content-type", "").startswith("application/json"):
            for piece in _of_chunk(json.loads(await _whole(response))):
                yield piece
            return
        has_text = False
        async for data in _events(response):
            if data == b"[DONE]":
                if has_text:  # some send no other end
                    yield Piece(finish_reason="stop")
                return
            for piece in _of_chunk(json.loads(data)):
                has_text = has_text or bool(piece.text)
                yield piece
    except (httpx.HTTPError, json.JSONDecodeError) as error:
        raise broken_off(f"broke off ({type(error).__name__})") from error
    except (
        AttributeError,
        TypeError,
        KeyError,
        ValueError,
        ArithmeticError,
        RecursionError,
    ) as error:
        raise broken_off("is no chat completion") from error


async def _whole(response: httpx.Response) -> bytes:
    """Returns an answer's body."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > _MAX_EVENT_BYTES:
            raise ValueError("an answer is too long")
    return bytes(body)


async def _events(response: httpx.Response) -> AsyncIterator[bytes]:
    """Yields the data of each server-sent event, its lines joined."""
    held = b""
    data: list[bytes] = []
    size = 0
    async for chunk in response.aiter_bytes():
        *lines, held = (held + chunk).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                data.append(line[5:].strip())
                size += len(line)
            elif not line.strip() and data:
                yield b"\n".join(data)
                data, size = [], 0
        if size + len(held) > _MAX_EVENT_BYTES:
            raise ValueError("an event is too long")
    if held.startswith(b"data:"):
        data.append(held[5:].strip())
    if data:  # its end was cut off: what is JSON all the same was whole
        yield b"\n".join(data)


def _of_chunk(chunk: Mapping[str, Any]) -> Iterator[Piece]:
    if chunk.get("error"):
        raise UnavailableError(
            Reason.DEPENDENCY_UNAVAILABLE, "the endpoint reported an error in its stream"
        )
    usage = _usage(chunk.get("usage"))
    if usage is not None:
        yield Piece(usage=usage)
    for choice in chunk.get("choices") or ():
        if choice.get("index"):
            continue  # one answer was asked for
        said = choice.get("delta") or choice.get("message") or {}
        text = _text(said.get("content") or said.get("refusal") or "")
        finish = choice.get("finish_reason") or ""
        if not isinstance(finish, str):
            raise TypeError("finish_reason is no text")
        if said.get("refusal") and finish:
            finish = "content_filter"
        yield Piece(text, finish, logprobs=_logprobs(choice))


def _text(content: Any) -> str:
    """Returns a text, given as such or in parts, without halves of surrogate pairs."""
    if isinstance(content, list):
        parts = [part for part in content if part.get("type") == "text"]
        content = "".join([part["text"] for part in parts])
    if not isinstance(content, str):
        raise TypeError("this is no text")
    return content.encode("utf-8", "replace").decode() if not content.isascii() else content


def _usage(usage: Mapping[str, Any] | None) -> TokenUsage | None:
    if not usage:
        return None
    details = usage.get("prompt_tokens_details") or {}
    counts = (
        int(usage.get("prompt_tokens") or 0),
        int(details.get("cached_tokens") or 0),
        int(usage.get("completion_tokens") or 0),
    )
    if not all(0 <= count <= _MAX_TOKENS for count in counts):
        return None  # as if it reported none: then they are estimated
    prompt, cached, completion = counts
    return TokenUsage(prompt, min(cached, prompt), completion)


def _logprobs(choice: Mapping[str, Any]) -> tuple[TokenLogprob, ...]:
    content = (choice.get("logprobs") or {}).get("content") or ()
    return tuple(
        _logprob(token, tuple(_logprob(other) for other in token.get("top_logprobs") or ()))
        for token in content
    )


def _logprob(token: Mapping[str, Any], others: tuple[TokenLogprob, ...] = ()) -> TokenLogprob:
    logprob = token["logprob"]
    if not isinstance(logprob, int | float) or math.isnan(logprob):
        raise TypeError("a logarithm is no number")
    return TokenLogprob(_text(token["token"]), float(logprob), others)


def status_error(response: httpx.Response, content: bytes) -> ServiceError:
    """Returns the error for an HTTP status that is not 200."""
    status = response.status_code
    if status in {httpx.codes.TOO_MANY_REQUESTS, httpx.codes.REQUEST_TIMEOUT}:
        return ResourceExhaustedError(
            Reason.OVERLOADED,
            f"the endpoint has no room (HTTP {status})",
            retry_after_seconds=retry_after_seconds(response.headers),
        )
    if status in {httpx.codes.BAD_REQUEST, httpx.codes.UNPROCESSABLE_ENTITY}:
        if b"context" in content and b"length" in content:
            return InvalidArgumentError(
                Reason.CONTEXT_TOO_LONG, "the prompt is longer than the endpoint's model reads"
            )
        return InvalidArgumentError(
            Reason.INVALID_FIELD, f"the endpoint refused the request (HTTP {status}){_why(content)}"
        )
    # 401, 403 and 404 are our configuration's fault, not the caller's: another engine may serve.
    return UnavailableError(
        Reason.DEPENDENCY_UNAVAILABLE,
        f"the endpoint answered HTTP {status}",
        metadata={"status": str(status)},
        retry_after_seconds=retry_after_seconds(response.headers),
    )


def _why(content: bytes) -> str:
    """Returns what an endpoint says is wrong with a request, to be appended; often nothing."""
    try:
        said = json.loads(content)["error"]["message"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return f": {_text(said)[:_MAX_WHY_CHARACTERS]}" if isinstance(said, str) else ""
