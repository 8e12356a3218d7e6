"""Embedders behind OpenAI-compatible endpoints: several of them in order of preference.

An endpoint that fails is left alone for a while and the next one asked at once; when all have
failed, the request waits, with jitter, and tries again. What an endpoint refuses as bad input is
not tried elsewhere.

The endpoint's tokenizer is not known here: "ids" are the characters of the text, and tokens are
counted as one for four characters.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np

from services.embedding.encoder import (
    LocatedTokens,
    ModelInfo,
    Output,
    TokenArray,
    Tokens,
    VectorArray,
)
from services.embedding.metrics import REMOTE_ATTEMPTS
from services.embedding.options import InputKind
from services.rpc.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    Reason,
    StartupError,
    UnavailableError,
)
from services.rpc.logs import get_logger

_CHARACTERS_PER_TOKEN = 4
_FIRST_PAUSE_SECONDS = 0.5
_MAX_PAUSE_SECONDS = 30.0
_MAX_ANSWER_BYTES = 256 * 1024 * 1024
_BAD_INPUT = frozenset({400, 413, 422})
"""Statuses that speak of the texts. All others but 200 speak of the endpoint."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model is served."""

    url: str
    """Up to and without "/embeddings", such as "https://host/v1"."""
    model: str
    """Model to ask for there."""
    api_key: str = ""
    """Sent as a bearer token; empty: none."""


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """A model served elsewhere. All endpoints serve the same weights."""

    endpoints: tuple[Endpoint, ...]
    """In order of preference."""
    dimensions: int
    revision: str = ""
    """To be changed whenever the endpoints change their weights under the same name."""
    max_characters: int = 32_000
    """Longer texts are cut (or refused) here."""
    supports_dimensions: bool = False
    query_prompt: str = ""
    document_prompt: str = ""
    timeout_seconds: float = 30.0
    """For one attempt."""
    rounds: int = 3
    """Times that all endpoints are tried."""
    concurrency: int = 8
    """Requests at once."""


@dataclass(slots=True)
class _Health:
    pause: float = _FIRST_PAUSE_SECONDS
    resume_at: float = 0.0


class _AttemptFailed(Exception):  # noqa: N818 - the next endpoint is asked
    """Ends an attempt."""

    def __init__(self, why: str, retry_after: float = 0.0) -> None:
        super().__init__(why)
        self.retry_after = retry_after


class RemoteEncoder:
    """See the module's text. Belongs to one loop.

    Args:
        remote: The model.
        clock: Seconds, as `time.monotonic`.
        transport: Replaces the network in tests.
    """

    def __init__(
        self,
        remote: RemoteModel,
        *,
        clock: Callable[[], float] = time.monotonic,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        if not remote.endpoints:
            raise StartupError("a remote model needs at least one endpoint")
        self.places = remote.concurrency
        self._remote = remote
        self._clock = clock
        self._health = {endpoint: _Health() for endpoint in remote.endpoints}
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(remote.timeout_seconds, connect=5.0),
            limits=httpx.Limits(max_connections=2 * remote.concurrency),
            follow_redirects=False,
            transport=transport,
        )
        prompts = {
            InputKind.QUERY: remote.query_prompt,
            InputKind.DOCUMENT: remote.document_prompt,
        }
        self.info = ModelInfo(
            revision=_revision(remote),
            dimensions=remote.dimensions,
            max_tokens=max(1, remote.max_characters // _CHARACTERS_PER_TOKEN),
            vocabulary_size=0x110000,
            engine="remote",
            device="remote",
            precision="unknown",
            supports_dimensions=remote.supports_dimensions,
            prompts={kind: prompt for kind, prompt in prompts.items() if prompt},
            outputs=frozenset({Output.POOLED}),
            reads_ids=False,
        )

    def tokenize(self, texts: Sequence[str], kind: InputKind) -> list[Tokens]:
        """See `TextModel`; ids are characters."""
        prompt = self.info.prompts.get(kind, "")
        return [self._characters(prompt + text) for text in texts]

    def locate(self, texts: Sequence[str], kind: InputKind) -> list[LocatedTokens]:
        """Refuses: the service checks `outputs` before it asks."""
        raise _texts_only("token vectors")

    def adopt(self, ids: TokenArray) -> Tokens:
        """Refuses: the service checks `reads_ids` before it asks."""
        raise _texts_only("ids")

    def count(self, texts: Sequence[str]) -> list[int]:
        """Estimates tokens."""
        return [_estimate(len(text)) for text in texts]

    async def encode_concurrently(
        self, batch: Sequence[TokenArray], output: Output
    ) -> list[VectorArray]:
        """See `ConcurrentEncoder`."""
        del output  # there is only one
        texts = [ids.astype("<u4").tobytes().decode("utf-32-le") for ids in batch]
        last: _AttemptFailed | None = None
        for attempt in range(self._remote.rounds):
            for endpoint in self._healthy_first():
                try:
                    vectors = await self._ask(endpoint, texts)
                except _AttemptFailed as failure:
                    last = failure
                    self._mark_failed(endpoint, failure)
                else:
                    self._health[endpoint] = _Health()
                    return vectors
            if attempt + 1 < self._remote.rounds:
                longest = min(_FIRST_PAUSE_SECONDS * 2**attempt, _MAX_PAUSE_SECONDS)
                pause = max(random.uniform(0, longest), last.retry_after if last else 0.0)  # noqa: S311 - no secret
                await asyncio.sleep(min(pause, _MAX_PAUSE_SECONDS))
        raise UnavailableError(
            Reason.DEPENDENCY_UNAVAILABLE,
            f"no endpoint of the model answers ({last})",
            retry_after_seconds=max(1.0, last.retry_after if last else 0.0),
        )

    async def disconnect(self) -> None:
        """See `ConcurrentEncoder`."""
        await self._client.aclose()

    def close(self) -> None:
        """Holds nothing but connections, which are closed by now."""

    def _characters(self, text: str) -> Tokens:
        ids = np.frombuffer(text.encode("utf-32-le"), dtype="<u4").astype(np.int32)
        kept = ids[: self._remote.max_characters]
        return Tokens(
            kept,
            is_truncated=len(kept) < len(ids),
            content_count=len(kept),
            stated_count=_estimate(len(kept)),
        )

    def _healthy_first(self) -> list[Endpoint]:
        """Returns those to ask, in order; all, when all of them failed lately."""
        now = self._clock()
        healthy = [each for each in self._remote.endpoints if self._health[each].resume_at <= now]
        return healthy or list(self._remote.endpoints)

    def _mark_failed(self, endpoint: Endpoint, failure: _AttemptFailed) -> None:
        health = self._health[endpoint]
        pause = max(health.pause * random.uniform(0.5, 1.0), failure.retry_after)  # noqa: S311 - no secret
        health.resume_at = self._clock() + min(pause, _MAX_PAUSE_SECONDS)
        health.pause = min(2 * health.pause, _MAX_PAUSE_SECONDS)
        get_logger().warning("an embedding endpoint failed", reason=str(failure))

    async def _ask(self, endpoint: Endpoint, texts: Sequence[str]) -> list[VectorArray]:
        headers = {"Authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else {}
        body = {"model": endpoint.model, "input": list(texts), "encoding_format": "float"}
        try:
            async with asyncio.timeout(self._remote.timeout_seconds):
                response = await self._client.post(
                    f"{endpoint.url.rstrip('/')}/embeddings", json=body, headers=headers
                )
        except (httpx.HTTPError, TimeoutError) as error:
            REMOTE_ATTEMPTS.labels("unreachable").inc()
            raise _AttemptFailed(type(error).__name__) from error
        if response.status_code in _BAD_INPUT:
            REMOTE_ATTEMPTS.labels("refused").inc()
            raise InvalidArgumentError.for_field(
                "texts",
                f"the model's endpoint refuses them (HTTP {response.status_code}): a text may be "
                "too long for it",
            )
        if response.status_code != httpx.codes.OK:
            REMOTE_ATTEMPTS.labels("failed").inc()
            raise _AttemptFailed(f"HTTP {response.status_code}", _retry_after(response))
        try:
            vectors = self._vectors(response, len(texts))
        except (ValueError, TypeError, KeyError, IndexError, binascii.Error) as error:
            REMOTE_ATTEMPTS.labels("malformed").inc()
            raise _AttemptFailed(f"a malformed answer: {type(error).__name__}") from error
        REMOTE_ATTEMPTS.labels("ok").inc()
        return vectors

    def _vectors(self, response: httpx.Response, count: int) -> list[VectorArray]:
        """Reads an answer.

        Raises:
            ValueError: It is none, or not of this model.
        """
        if len(response.content) > _MAX_ANSWER_BYTES:
            raise ValueError("too large")
        data = response.json()["data"]
        rows: list[VectorArray | None] = [None] * count
        for place, each in enumerate(data):
            rows[int(each.get("index", place))] = _vector(each["embedding"])
        found = [row for row in rows if row is not None]
        if len(found) != count or any(len(row) != self.info.dimensions for row in found):
            raise ValueError("not one vector of the stated dimensions for each text")
        return found


def _texts_only(what: str) -> FailedPreconditionError:
    return FailedPreconditionError(
        Reason.NOT_SUPPORTED, f"a model behind an endpoint takes texts and gives vectors: no {what}"
    )


def _vector(embedding: Any) -> VectorArray:
    if isinstance(embedding, str):  # some endpoints send base64 whatever is asked for
        return np.frombuffer(base64.b64decode(embedding, validate=True), "<f4").astype(np.float32)
    return np.array(embedding, dtype=np.float32)


def _estimate(characters: int) -> int:
    return max(1, -(-characters // _CHARACTERS_PER_TOKEN))


def _retry_after(response: httpx.Response) -> float:
    try:
        return max(0.0, min(float(response.headers.get("Retry-After", "0")), _MAX_PAUSE_SECONDS))
    except ValueError:
        return 0.0


def _revision(remote: RemoteModel) -> str:
    parts = [remote.revision, str(remote.dimensions), remote.endpoints[0].model]
    return hashlib.sha256("\n".join(["remote", *parts]).encode()).hexdigest()
