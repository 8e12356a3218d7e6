"""An OpenAI-compatible embeddings endpoint on a port of its own that fails when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import numpy as np

DIMENSIONS = 4


@dataclass(slots=True)
class EmbeddingEndpoint:
    """A running endpoint."""

    port: int = 0
    failures: list[int] = field(default_factory=list)
    """Statuses of the next answers; when they are used up, it answers well."""
    refuses: str = ""
    """Requests with this text get a 400."""
    delay_seconds: float = 0.0
    batches: list[list[str]] = field(default_factory=list)
    """Texts of each request that was answered well."""
    keys: list[str] = field(default_factory=list)
    abandoned: int = 0
    """Connections that ended before their answer."""

    @property
    def url(self) -> str:
        """For settings."""
        return f"http://127.0.0.1:{self.port}/v1"

    def answer(self, texts: list[str], key: str) -> tuple[int, dict[str, object]]:
        """Returns status and body."""
        self.keys.append(key)
        if self.failures:
            return self.failures.pop(0), {"error": {"message": "as told"}}
        if self.refuses and any(self.refuses in text for text in texts):
            return 400, {"error": {"message": "refused"}}
        self.batches.append(texts)
        rows = [{"index": place, "embedding": vector(text)} for place, text in enumerate(texts)]
        return 200, {"data": rows[::-1], "usage": {"total_tokens": 1}}


def vector(text: str) -> list[float]:
    """The vector that the endpoint gives a text."""
    rng = np.random.default_rng(abs(hash(text)) % 2**32)
    return rng.standard_normal(DIMENSIONS).tolist()


@contextlib.asynccontextmanager
async def running_endpoint() -> AsyncIterator[EmbeddingEndpoint]:
    """Serves while the block runs."""
    endpoint = EmbeddingEndpoint()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                headers = dict(
                    line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line
                )
                body = json.loads(await reader.readexactly(int(headers["content-length"])))
                if endpoint.delay_seconds and await _left(reader, endpoint.delay_seconds):
                    endpoint.abandoned += 1
                    break
                status, answer = endpoint.answer(body["input"], headers.get("authorization", ""))
                data = json.dumps(answer).encode()
                writer.write(
                    f"HTTP/1.1 {status} X\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data
                )
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    endpoint.port = server.sockets[0].getsockname()[1]
    try:
        yield endpoint
    finally:
        server.close()


async def _left(reader: asyncio.StreamReader, seconds: float) -> bool:
    """Whether the client closes its connection within the time."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await reader.read(1) == b""
    return False
