"""Engines that write at once or at a pace: one behind HTTP for peers, one behind gRPC for us.

`python -m benchmarks.gateway.engines http|services PORT`.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
from typing import Any

import grpc
from cairn.embedding.v1 import embedding_service_pb2 as embedding
from cairn.embedding.v1 import embedding_service_pb2_grpc as embedding_rpc
from cairn.generation.v1 import generation_service_pb2 as generation
from cairn.generation.v1 import generation_service_pb2_grpc as generation_rpc
from cairn.retrieval.v1 import retrieval_service_pb2 as retrieval
from cairn.retrieval.v1 import retrieval_service_pb2_grpc as retrieval_rpc
from cairn.types.v1 import passage_pb2, usage_pb2, vector_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

TOKENS = 64
TOKEN_SECONDS = 0.01
"""Pace of a stream."""
WORD = "granite "
PACED, WINDOWED, FAST = "token by token", "by a window", "at full speed"
"""Words of a prompt that choose the form of a stream."""
WINDOW_SECONDS = 0.02
"""The generation service's window, unless a caller asks for a longer one."""
MODEL = "mock"
_DIMENSIONS = 384
_USAGE = usage_pb2.Usage(prompt_tokens=12, completion_tokens=TOKENS)
_PASSAGES = 20


class Generation(generation_rpc.GenerationServiceServicer):
    """Writes `TOKENS` words: one message each with `stream`, all at once without."""

    async def Generate(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Writes."""
        yield generation.GenerateResponse(started=generation.Started(engine="mock", model=MODEL))
        text = WORD * TOKENS
        asked = request.messages[-1].content
        if PACED in asked or WINDOWED in asked or FAST in asked:
            window = max(WINDOW_SECONDS, request.stream_window_ms / 1e3)
            gathered = round(window / TOKEN_SECONDS) if WINDOWED in asked else 1
            pause = 0.0 if FAST in asked else TOKEN_SECONDS
            written = 0
            while written < TOKENS:
                count = min(gathered if written else 1, TOKENS - written)
                written += count
                delta = generation.Delta(text=WORD * count, completion_tokens=count)
                yield generation.GenerateResponse(delta=delta)
                await asyncio.sleep(pause * count)
        elif request.passages:
            text = request.passages[0].passage.text + " [1]"
        yield generation.GenerateResponse(
            finished=generation.Finished(
                text=text,
                engine="mock",
                model=MODEL,
                finish_reason=generation.FINISH_REASON_STOP,
                usage=_USAGE,
            )
        )

    async def ListModels(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Names the model."""
        model = generation.Model(name=MODEL, engine="mock", is_ready=True)
        return generation.ListModelsResponse(models=[model])


class Embedding(embedding_rpc.EmbeddingServiceServicer):
    """Returns the same vector for every text, and scores in order."""

    async def Embed(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Embeds."""
        row = struct.pack(f"<{_DIMENSIONS}f", 1.0, *([0.0] * (_DIMENSIONS - 1)))
        count = len(request.texts)
        return embedding.EmbedResponse(
            vectors=vector_pb2.VectorBatch(
                data=row * count,
                element_type=vector_pb2.ELEMENT_TYPE_FLOAT32,
                dimensions=_DIMENSIONS,
                count=count,
            ),
            reports=[embedding.TextReport(token_count=8)] * count,
            model=MODEL,
        )

    async def Rerank(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Scores."""
        scores = [1.0 / (place + 1) for place in range(len(request.passages))]
        return embedding.RerankResponse(scores=scores)


class Retrieval(retrieval_rpc.RetrievalServiceServicer):
    """Finds the same twenty passages of 160 words for every query."""

    def __init__(self) -> None:
        words = " ".join(f"word{number}" for number in range(150))
        self._answer = retrieval.SearchResponse(
            passages=[
                passage_pb2.ScoredPassage(
                    passage=passage_pb2.Passage(
                        chunk_id=f"c{place}",
                        document_id=f"d{place}",
                        document_version=1,
                        collection="default",
                        end=2_000,
                        text=f"Passage {place} has its own sentence {place}. {words}{place}.",
                        title=f"Document {place}",
                    ),
                    scores=passage_pb2.PassageScores(
                        dense=1 - place / 50, fused=1 - place / 50, final=1 - place / 50
                    ),
                )
                for place in range(_PASSAGES)
            ],
            generation=1,
            is_current=True,
        )

    async def Search(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Searches."""
        return self._answer

    async def Recommend(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Finds the same as `Search`."""
        return retrieval.RecommendResponse(
            passages=self._answer.passages[: request.options.top_k], generation=1, is_current=True
        )

    async def GetPosition(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Stands still."""
        return retrieval.GetPositionResponse(collection=request.collection, generation=1)


class Health(health_pb2_grpc.HealthServicer):
    """Is well."""

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Says so."""
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)

    async def Watch(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Says so, and stays."""
        yield health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
        await asyncio.Event().wait()


class OpenAi(asyncio.Protocol):
    """The least of an OpenAI server: chat completions, plain and as a stream."""

    def __init__(self) -> None:
        self._data = b""
        self._transport: Any = None
        self._writing: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the connection."""
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops writing."""
        if self._writing is not None:
            self._writing.cancel()

    def data_received(self, data: bytes) -> None:
        """Answers every whole request."""
        self._data += data
        while True:
            head, found, rest = self._data.partition(b"\r\n\r\n")
            if not found:
                return
            length = 0
            for line in head.split(b"\r\n"):
                if line.lower().startswith(b"content-length:"):
                    length = int(line[15:])
            if len(rest) < length:
                return
            self._data = rest[length:]
            body = json.loads(rest[:length])
            if body.get("stream"):
                pause = 0.0 if FAST in body["messages"][-1]["content"] else TOKEN_SECONDS
                self._writing = asyncio.get_running_loop().create_task(self._stream(pause))
            else:
                self._transport.write(_WHOLE)

    async def _stream(self, pause: float) -> None:
        self._transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        for _ in range(TOKENS):
            self._transport.write(_chunk({"content": WORD}))
            await asyncio.sleep(pause)
        done = b"data: [DONE]\n\n"
        self._transport.write(_chunk({}, "stop") + b"%x\r\n%b\r\n0\r\n\r\n" % (len(done), done))


def _chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    value = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": MODEL,
        "choices": [choice],
    }
    data = b"data: " + json.dumps(value).encode() + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


def _whole() -> bytes:
    message = {"role": "assistant", "content": WORD * TOKENS}
    usage = {"prompt_tokens": 12, "completion_tokens": TOKENS, "total_tokens": 12 + TOKENS}
    value = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": usage,
    }
    body = json.dumps(value).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


_WHOLE = _whole()


async def _serve(kind: str, port: int) -> None:
    if kind == "http":
        server = await asyncio.get_running_loop().create_server(OpenAi, "127.0.0.1", port)
        await server.serve_forever()
    server = grpc.aio.server()
    generation_rpc.add_GenerationServiceServicer_to_server(Generation(), server)
    embedding_rpc.add_EmbeddingServiceServicer_to_server(Embedding(), server)
    retrieval_rpc.add_RetrievalServiceServicer_to_server(Retrieval(), server)
    health_pb2_grpc.add_HealthServicer_to_server(Health(), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], int(sys.argv[2])))
