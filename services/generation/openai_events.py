"""What an OpenAI-compatible endpoint sends, as values: streamed pieces, whole answers, errors."""

from __future__ import annotations

import json
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

_MAX_LINE_CHARACTERS = 4_000_000


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
            for piece in _of_chunk(json.loads(await response.aread())):
                yield piece
            return
        async for data in _events(response):
            if data == "[DONE]":  # some send no other end
                yield Piece(finish_reason="stop")
                return
            for piece in _of_chunk(json.loads(data)):
                yield piece
    except (httpx.HTTPError, json.JSONDecodeError) as error:
        raise broken_off(f"broke off ({type(error).__name__})") from error
    except (AttributeError, TypeError, KeyError, ValueError) as error:
        raise broken_off("is no chat completion") from error


async def _events(response: httpx.Response) -> AsyncIterator[str]:
    """Yields the data of each server-sent event."""
    async for line in response.aiter_lines():
        if len(line) > _MAX_LINE_CHARACTERS:
            raise ValueError("an event is too long")
        if not line.startswith("data:"):
            continue
        yield line.removeprefix("data:").strip()


def _of_chunk(chunk: Mapping[str, Any]) -> Iterator[Piece]:
    if chunk.get("error"):
        raise UnavailableError(
            Reason.DEPENDENCY_UNAVAILABLE, "the endpoint reported an error in its stream"
        )
    usage = _usage(chunk.get("usage"))
    if usage is not None:
        yield Piece(usage=usage)
    for choice in chunk.get("choices") or ():
        said = choice.get("delta") or choice.get("message") or {}
        text = said.get("content") or said.get("refusal") or ""
        if not isinstance(text, str):
            raise TypeError("content is no text")
        finish = choice.get("finish_reason") or ""
        if said.get("refusal") and finish:
            finish = "content_filter"
        yield Piece(text, finish, logprobs=_logprobs(choice))


def _usage(usage: Mapping[str, Any] | None) -> TokenUsage | None:
    if not usage:
        return None
    details = usage.get("prompt_tokens_details") or {}
    return TokenUsage(
        prompt_tokens=int(usage.get("prompt_tokens") or 0),
        cached_prompt_tokens=int(details.get("cached_tokens") or 0),
        completion_tokens=int(usage.get("completion_tokens") or 0),
    )


def _logprobs(choice: Mapping[str, Any]) -> tuple[TokenLogprob, ...]:
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
            Reason.INVALID_FIELD, f"the endpoint refused the request (HTTP {status})"
        )
    # 401, 403 and 404 are our configuration's fault, not the caller's: another engine may serve.
    return UnavailableError(
        Reason.DEPENDENCY_UNAVAILABLE,
        f"the endpoint answered HTTP {status}",
        metadata={"status": str(status)},
        retry_after_seconds=retry_after_seconds(response.headers),
    )
