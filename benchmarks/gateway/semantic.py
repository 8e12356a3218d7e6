"""Semantic hits over the real services: embedding, search, proof, no model asked."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from cairn.embedding.v1 import embedding_service_pb2 as embedding
from cairn.embedding.v1 import embedding_service_pb2_grpc as embedding_rpc
from cairn.retrieval.v1 import retrieval_service_pb2 as retrieval
from cairn.retrieval.v1 import retrieval_service_pb2_grpc as retrieval_rpc
from cairn.types.v1 import scope_pb2, vector_pb2

from benchmarks.gateway.load import Plan, send
from benchmarks.gateway.processes import (
    Door,
    Measured,
    free_port,
    gateway,
    listening,
    mock_engine,
    service,
)
from benchmarks.gateway.rows import all_latencies, check, latency_rows, row

_TOPICS = [
    "granite",
    "basalt",
    "marble",
    "slate",
    "gneiss",
    "obsidian",
    "pumice",
    "limestone",
    "sandstone",
    "shale",
    "quartzite",
    "dolomite",
    "chalk",
    "flint",
    "gypsum",
    "halite",
    "peridotite",
    "gabbro",
    "diorite",
    "rhyolite",
]
_FACTS = ("hardness", "density", "colour", "origin", "price", "weight", "age", "grain")
SCOPE = scope_pb2.Scope(tenant="default", principals=["everyone"], actor="service:bench")
_OPTIONS = [("grpc.max_receive_message_length", 256 << 20)]


@dataclass(frozen=True, slots=True)
class Services:
    """The real services behind a gateway."""

    embedding: embedding_rpc.EmbeddingServiceStub
    retrieval: retrieval_rpc.RetrievalServiceStub
    targets: dict[str, str]
    processes: Mapping[str, Measured]
    """What they take, by name."""


@contextlib.asynccontextmanager
async def services(folder: Path) -> AsyncIterator[Services]:
    """Runs embedding and retrieval, with an engine that writes at once."""
    async with contextlib.AsyncExitStack() as stack:
        mock = await stack.enter_async_context(mock_engine("services"))
        targets = dict.fromkeys(("generation", "ingestion"), f"127.0.0.1:{mock}")
        channels = {}
        processes = {}
        for name in ("embedding", "retrieval"):
            port = free_port()
            settings = {"PORT": str(port), "DATA_DIR": str(folder)}
            processes[name] = await stack.enter_async_context(service(name, settings))
            await listening(port)
            targets[name] = f"127.0.0.1:{port}"
            channel = grpc.aio.insecure_channel(targets[name], options=_OPTIONS)
            channels[name] = await stack.enter_async_context(channel)
        stub = embedding_rpc.EmbeddingServiceStub(channels["embedding"])
        await _loaded(stub)
        found = retrieval_rpc.RetrievalServiceStub(channels["retrieval"])
        yield Services(stub, found, targets, processes)


async def _loaded(stub: embedding_rpc.EmbeddingServiceStub) -> None:
    """Waits until the default model can be used."""
    for _ in range(240):
        try:
            await stub.Embed(embedding.EmbedRequest(scope=SCOPE, texts=["x"]), timeout=10)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            await asyncio.sleep(0.5)
        else:
            return


async def measure(*, seconds: float) -> list[dict[str, Any]]:
    """Returns rows for questions that were answered in other words before."""
    with tempfile.TemporaryDirectory(prefix="cairn-bench-") as name:
        folder = Path(name)
        async with services(folder) as behind:
            await _fill(behind)
            async with gateway(folder, behind.targets) as door:
                return await _measured(door, seconds)


async def _fill(behind: Services) -> None:
    texts = [
        f"The {fact} of {topic} is told here: {topic} has a {fact} of {number}."
        for number, (topic, fact) in enumerate(
            (topic, fact) for topic in _TOPICS for fact in _FACTS
        )
    ]
    options = embedding.EmbedOptions(kind=embedding.INPUT_KIND_DOCUMENT)
    answer = await behind.embedding.Embed(
        embedding.EmbedRequest(scope=SCOPE, options=options, texts=texts), timeout=120
    )
    size = len(answer.vectors.data) // len(texts)
    settings = retrieval.CollectionSettings(
        dimensions=answer.vectors.dimensions, embedding_model=answer.model
    )
    await behind.retrieval.CreateCollection(
        retrieval.CreateCollectionRequest(scope=SCOPE, name="default", settings=settings)
    )
    documents = []
    for number, text in enumerate(texts):
        vector = vector_pb2.Vector(
            data=answer.vectors.data[number * size : (number + 1) * size],
            element_type=answer.vectors.element_type,
            dimensions=answer.vectors.dimensions,
        )
        chunk = retrieval.Chunk(chunk_id="c0", start=0, end=len(text), vector=vector)
        documents.append(retrieval.Document(document_id=f"d{number}", text=text, chunks=[chunk]))
    await behind.retrieval.Upsert(
        retrieval.UpsertRequest(scope=SCOPE, collection="default", documents=documents)
    )


async def _measured(door: Door, seconds: float) -> list[dict[str, Any]]:
    pairs = [(topic, fact) for topic in _TOPICS for fact in _FACTS]
    first = [_query(f"What is the {fact} of {topic}?") for topic, fact in pairs]
    # Each paraphrase of its own is embedded and searched for; it never hits the exact cache twice.
    again = [
        _query(f"{polite} what {fact} the {topic} has, what is the {fact} of {topic}")
        if not polite
        else _query(f"{polite} what the {fact} of {topic} is")
        for polite in _POLITE
        for topic, fact in pairs
    ]
    written = await send(Plan(door.port, door.key, first, 2, len(first) / 20))
    check(written)
    await asyncio.sleep(0.5)
    seen = await send(
        Plan(door.port, door.key, again, 2, seconds, per_second=20, keeps_timings=True)
    )
    check(seen)
    count = sum(seen["statuses"].values())
    return [
        row(
            "query, semantic hit",
            "share of semantic hits",
            seen["cached"].get("semantic", 0) / count,
        ),
        *latency_rows("query, semantic hit, whole request", all_latencies(seen)),
    ]


_POLITE = ("Please tell me", "Could you say", "I would like to know", "Can you explain", "Show me")


def _query(text: str) -> dict[str, Any]:
    return {"path": "/v1/query", "body": {"query": text}}
