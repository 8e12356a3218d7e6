"""The retrieval service in this process, behind real gRPC, and short ways to make its requests."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from cairn.retrieval.v1 import retrieval_service_pb2 as pb
from cairn.retrieval.v1 import retrieval_service_pb2_grpc as rpc
from cairn.types.v1 import metadata_pb2, scope_pb2, vector_pb2
from google.rpc import error_details_pb2, status_pb2

from services.filters.parser import parse
from services.filters.proto import to_proto, value_to_proto
from services.retrieval.administration import Administration
from services.retrieval.library import Library
from services.retrieval.search import Searcher
from services.retrieval.servicer import RetrievalServicer
from services.retrieval.settings import RetrievalSettings
from services.retrieval.snapshots.archive import Archive
from services.retrieval.store.store import Store
from services.retrieval.transfer import Exporter
from services.retrieval.view.keeper import Keeper, KeeperSettings
from services.retrieval.view.merging import Shape
from services.rpc.admission import Admission
from services.rpc.server import RpcServer
from services.rpc.telemetry import start_telemetry

DIMENSIONS = 8


@dataclass
class Service:
    """A running service and its parts."""

    stub: Any
    store: Store
    keeper: Keeper
    target: str


@contextlib.asynccontextmanager
async def retrieval_service(
    url: str,
    *,
    graph_rows: int = 20_000,
    max_queries: int = 512,
    poll_seconds: float = 0.02,
    max_bytes: int = 1 << 30,
) -> AsyncIterator[Service]:
    """Runs the service over a database, on a free port."""
    settings = RetrievalSettings(port=0, metrics_port=0, drain_delay_seconds=0, grace_seconds=1)
    telemetry = start_telemetry("retrieval", settings)
    # No builder stands back here: beside other tests it would hardly get to run.
    keeping = KeeperSettings(
        poll_seconds, max_bytes, Shape(graph_rows=graph_rows), build_niceness=0
    )
    async with await Store.open(url) as store, Keeper(store, keeping) as keeper:
        searcher = Searcher(store, keeper, 2)
        files = tempfile.TemporaryDirectory(prefix="snapshots-")
        archive = Archive(store, restored=keeper.follow, folder=Path(files.name), most=4)
        servicer = RetrievalServicer(
            Library(store, keeper),
            searcher,
            Administration(store, keeper),
            Exporter(store, keeper),
            Admission(max_queries, "retrieval_queries"),
            Admission(256 << 20, "retrieval_write_bytes"),
            archive,
        )
        server = RpcServer(
            settings, telemetry, service_names=["cairn.retrieval.v1.RetrievalService"]
        )
        rpc.add_RetrievalServiceServicer_to_server(servicer, server.grpc)
        port = await server.start()
        server.set_ready(True)
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                stub = rpc.RetrievalServiceStub(channel)
                yield Service(stub, store, keeper, f"127.0.0.1:{port}")
        finally:
            await server.stop()
            await searcher.close()
            await archive.close()
            files.cleanup()
            telemetry.shutdown()


def scope(*principals: str, tenant: str = "acme") -> scope_pb2.Scope:
    """A scope; without principals that of everyone."""
    return scope_pb2.Scope(
        tenant=tenant, principals=principals or ["everyone"], actor="service:test"
    )


def vector(numbers: Iterable[float]) -> vector_pb2.Vector:
    """A float32 vector."""
    array = np.asarray(list(numbers), "<f4")
    return vector_pb2.Vector(
        data=array.tobytes(),
        element_type=vector_pb2.ELEMENT_TYPE_FLOAT32,
        dimensions=len(array),
    )


def direction(seed: int, dimensions: int = DIMENSIONS) -> list[float]:
    """A vector that depends on the seed only."""
    return np.random.default_rng(seed).normal(size=dimensions).tolist()


def document(
    document_id: str,
    texts: Sequence[str] = ("some words",),
    *,
    vectors: Sequence[Iterable[float]] | None = None,
    acl: Sequence[str] = (),
    title: str = "",
    uri: str = "",
    **metadata: Any,
) -> pb.Document:
    """A document whose chunks are the given texts, one after the other."""
    chunks = []
    at = 0
    for number, text in enumerate(texts):
        numbers = direction(number) if vectors is None else vectors[number]
        chunks.append(
            pb.Chunk(chunk_id=f"c{number}", start=at, end=at + len(text), vector=vector(numbers))
        )
        at += len(text) + 1
    return pb.Document(
        document_id=document_id,
        title=title,
        uri=uri,
        text="\n".join(texts),
        acl=acl,
        chunks=chunks,
        metadata={name: value_to_proto(value) for name, value in metadata.items()},
    )


def condition(text: str) -> metadata_pb2.Filter:
    """A filter from its text form."""
    return to_proto(parse(text))


async def create(
    service: Service,
    name: str = "docs",
    tenant: str = "acme",
    dimensions: int = DIMENSIONS,
    **settings: Any,
) -> pb.CreateCollectionResponse:
    """Creates a collection."""
    return await service.stub.CreateCollection(
        pb.CreateCollectionRequest(
            scope=scope(tenant=tenant),
            name=name,
            settings=pb.CollectionSettings(dimensions=dimensions, **settings),
        )
    )


async def upsert(
    service: Service, *documents: pb.Document, name: str = "docs", **more: Any
) -> pb.UpsertResponse:
    """Writes documents."""
    more.setdefault("scope", scope())
    return await service.stub.Upsert(pb.UpsertRequest(collection=name, documents=documents, **more))


async def search(
    service: Service,
    text: str = "",
    numbers: Iterable[float] | None = None,
    *,
    by: scope_pb2.Scope | None = None,
    name: str = "docs",
    **options: Any,
) -> pb.SearchResponse:
    """Searches with a text, a vector, or both."""
    query = pb.Query(text=text, vector=None if numbers is None else vector(numbers))
    return await service.stub.Search(
        pb.SearchRequest(
            scope=by or scope(),
            collection=name,
            query=query,
            options=pb.SearchOptions(**options),
        )
    )


def ids(response: pb.SearchResponse) -> list[str]:
    """The documents found, best first."""
    return [each.passage.document_id for each in response.passages]


def reason(error: grpc.aio.AioRpcError) -> str:
    """The machine-readable reason of an error."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            status = status_pb2.Status.FromString(value)
            for detail in status.details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info):
                    return info.reason
    return ""
