"""Series stay bounded whatever callers send: each label has values of its own, and no others."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from cairn.generation.v1 import generation_service_pb2 as generation
from cairn.generation.v1 import generation_service_pb2_grpc as generation_rpc
from cairn.retrieval.v1 import retrieval_service_pb2 as retrieval
from cairn.retrieval.v1 import retrieval_service_pb2_grpc as retrieval_rpc
from cairn.types.v1 import scope_pb2

from monitoring.catalogue import catalogue
from tests.kit.metric_labels import bound, families_of, scraped, series_of, unbounded
from tests.kit.suite import Suite, ingest_text

FLOOD = 500
MOST_NEW = 100
"""Series that may appear meanwhile, of work that goes on beside the flood: a rare status, say."""


@pytest.fixture(scope="module")
def routes(suite: Suite) -> set[str]:
    """The routes that the gateway serves."""
    with suite.client() as client:
        paths = client.get("/openapi.json").json()["paths"]
    hidden = {"/", "/assets/{name:path}", "/favicon.ico", "/openapi.json", "/mcp"}
    return hidden | {form for path in paths for form in _forms(path)}


def _forms(path: str) -> Iterator[str]:
    """As the description names a path, and as a route does whose last parameter may hold slashes."""
    yield path
    head, end, tail = path.rpartition("}")
    yield f"{head}:path{end}{tail}" if end else path


def _flood_http(suite: Suite, name: str, count: int) -> None:
    """Sends routes, methods, collections, users and headers that nobody knows."""
    with suite.client() as client:
        for number in range(count):
            unknown = f"flood-{name}-{number}"
            assert client.get(f"/v1/{unknown}/documents").status_code == 404
            assert client.request(unknown.upper(), "/v1/query").status_code in {400, 405}
            body = {"query": "x", "collection": unknown, "mode": "keyword"}
            headers = {"X-Request-Id": unknown, "User-Agent": unknown}
            assert client.post("/v1/search", json=body, headers=headers).status_code == 404


def _flood_grpc(suite: Suite, name: str, count: int) -> None:
    """Calls services and methods that nobody knows, and known ones for tenants nobody knows."""
    services = ("gateway", "embedding", "retrieval", "generation", "ingestion")
    for service in services:
        with grpc.insecure_channel(suite.address(service)) as channel:
            for number in range(-(-count // len(services))):
                method = f"/cairn.flood{number}.v1.{name}Service/Flood{number}"
                with pytest.raises(grpc.RpcError) as raised:
                    channel.unary_unary(method)(
                        b"", timeout=30, metadata=suite.credentials(service)
                    )
                assert "UNIMPLEMENTED" in str(raised.value)
    with (
        grpc.insecure_channel(suite.address("retrieval")) as to_retrieval,
        grpc.insecure_channel(suite.address("generation")) as to_generation,
    ):
        for number in range(count):
            scope = scope_pb2.Scope(
                tenant=f"flood-{name}-{number}",
                principals=["everyone", f"user:flood-{number}"],
                actor=f"user:flood-{number}",
            )
            retrieval_rpc.RetrievalServiceStub(to_retrieval).ListCollections(
                retrieval.ListCollectionsRequest(scope=scope),
                timeout=30,
                metadata=suite.credentials("retrieval"),
            )
            generation_rpc.GenerationServiceStub(to_generation).ListModels(
                generation.ListModelsRequest(scope=scope),
                timeout=30,
                metadata=suite.credentials("generation"),
            )


def test_every_label_of_every_metric_has_a_bound() -> None:
    without = [
        f"{metric.name}: {label}"
        for metric in catalogue().values()
        for label in metric.labels
        if bound(metric.name.removesuffix("_total"), label) is None
    ]
    assert not without, "say in tests/kit/metric_labels.py which values these may have"


def test_a_value_that_is_not_foreseen_is_found() -> None:
    page = (
        "# TYPE cairn_retrieval_queries_total counter\n"
        'cairn_retrieval_queries_total{outcome="found"} 1\n'
        'cairn_retrieval_queries_total{outcome="what a caller wrote"} 1\n'
        "# TYPE cairn_gateway_tenant_tokens_total counter\n"
    ) + "".join(
        f'cairn_gateway_tenant_tokens_total{{tenant="t{number}",kind="prompt"}} 1\n'
        for number in range(102)
    )
    assert unbounded(families_of(page), ()) == [
        "cairn_retrieval_queries: outcome is what a caller wrote",
        "cairn_gateway_tenant_tokens: tenant has 102 values, more than 101",
    ]


def test_labels_have_the_values_they_may_have(suite: Suite, routes: set[str]) -> None:
    ingest_text(suite, labels="# Labels\n\nA label names what a series is of.")
    suite.query("What is a label?", bypass_cache=True)
    for service, page in scraped(suite).items():
        assert not unbounded(families_of(page), routes), service


def test_a_flood_of_names_that_nobody_knows_adds_no_series(suite: Suite, routes: set[str]) -> None:
    _flood_http(suite, "first", 1)  # now the statuses of what is unknown have been seen
    _flood_grpc(suite, "first", 1)
    before = scraped(suite)
    _flood_http(suite, "second", FLOOD)
    _flood_grpc(suite, "second", FLOOD)

    for service, page in scraped(suite).items():
        families = families_of(page)
        assert not unbounded(families, routes), service
        assert "flood" not in page.lower(), service
        new = series_of(families) - series_of(families_of(before[service]))
        assert len(new) <= MOST_NEW, (service, sorted(map(str, new))[:10])
