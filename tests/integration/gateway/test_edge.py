"""Credentials, errors, limits and slow clients at the HTTP edge."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import httpx
import pytest
from cairn.gateway.v1 import gateway_service_pb2 as pb
from cairn.gateway.v1 import gateway_service_pb2_grpc as rpc
from prometheus_client import REGISTRY

from services.gateway.edge import exchange, http_server
from tests.kit.gateway import RunningGateway, running_gateway
from tests.kit.valkey import Valkey

PROBLEM = {
    "type",
    "title",
    "status",
    "detail",
    "reason",
    "violations",
    "trace_id",
    "retry_after_seconds",
}
JSON = {"content-type": "application/json"}


def check_problem(response: httpx.Response, status: int, reason: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert set(problem) == PROBLEM
    assert problem["reason"] == reason
    assert problem["status"] == status
    assert len(problem["trace_id"]) == 32
    assert response.headers["x-trace-id"] == problem["trace_id"]
    return problem


async def test_admin_key_is_written_once_and_for_its_owner_only(tmp_path: Path) -> None:
    async with running_gateway(tmp_path) as first:
        key = first.key
        path = tmp_path / "gateway" / "admin.key"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    async with running_gateway(tmp_path) as second:
        assert second.key == key
        async with second.client() as client:
            assert (await client.get("/v1/collections")).status_code == 200


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (None, "CREDENTIAL_MISSING"),
        ("Bearer nonsense", "CREDENTIAL_INVALID"),
        ("Basic dXNlcjpwYXNz", "CREDENTIAL_INVALID"),
        ("Bearer crn_000000000000_" + "0" * 43 + "_000000", "CREDENTIAL_INVALID"),
        ("Bearer \xff\xfe", "CREDENTIAL_INVALID"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/collections", "/v1/nowhere", "/openai/v1/models"])
async def test_no_valid_key_no_answer(
    gw: RunningGateway, header: str | None, reason: str, path: str
) -> None:
    headers = {} if header is None else {"authorization": header.encode("latin-1")}
    async with gw.client(None) as client:
        response = await client.get(path, headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")
    if path.startswith("/v1"):
        check_problem(response, 401, reason)
    else:
        assert response.json()["error"]["code"] == reason.lower()


async def test_roles_bound_what_a_key_may_do(gw: RunningGateway) -> None:
    viewer, editor = await gw.make_key(role="viewer"), await gw.make_key(role="editor")
    document = {"documents": [{"text": "hello", "document_id": "a"}]}
    async with gw.client(viewer) as client:
        assert (await client.post("/v1/query", json={"query": "x"})).status_code == 200
        refused = await client.post("/v1/documents", json=document)
        check_problem(refused, 403, "ROLE_REQUIRED")
        check_problem(await client.get("/v1/keys"), 403, "ROLE_REQUIRED")
        check_problem(await client.get("/v1/usage"), 403, "ROLE_REQUIRED")
    async with gw.client(editor) as client:
        assert (await client.post("/v1/documents", json=document)).status_code == 202
        refused = await client.delete("/v1/collections/default")
        check_problem(refused, 403, "ROLE_REQUIRED")


async def test_tenant_comes_from_the_key_alone(gw: RunningGateway) -> None:
    key = await gw.make_key(role="admin", tenant="acme")
    async with gw.client(key) as client:
        await client.post("/v1/search", json={"query": "x"})
        smuggled = await client.post("/v1/search", json={"query": "x", "scope": {"tenant": "b"}})
        check_problem(smuggled, 400, "INVALID_FIELD")
        other = await client.post("/v1/keys", json={"name": "x", "tenant": "default"})
        check_problem(other, 403, "ROLE_REQUIRED")
        listed = (await client.get("/v1/keys")).json()["keys"]
    (search,) = gw.down.retrieval.search.requests("Search")
    assert search.scope.tenant == "acme"
    assert {entry["tenant"] for entry in listed} == {"acme"}


async def test_revoked_key_is_refused_at_once_here(gw: RunningGateway) -> None:
    key = await gw.make_key(role="viewer")
    async with gw.client(key) as client, gw.client() as admin:
        assert (await client.get("/v1/collections")).status_code == 200
        assert (await admin.delete(f"/v1/keys/{key.split('_')[1]}")).status_code == 204
        check_problem(await client.get("/v1/collections"), 401, "CREDENTIAL_INVALID")
        check_problem(await admin.delete("/v1/keys/unknown"), 404, "KEY_NOT_FOUND")


async def test_two_replicas_know_each_others_keys(tmp_path: Path) -> None:
    async with (
        running_gateway(tmp_path) as one,
        running_gateway(tmp_path, down=one.down) as two,
    ):
        key = await one.make_key(role="viewer")
        async with two.client(key) as client:
            assert (await client.get("/v1/collections")).status_code == 200


BAD_QUERIES: list[tuple[bytes, str]] = [
    (b"", "INVALID_FIELD"),
    (b"nonsense", "INVALID_FIELD"),
    (b"[]", "INVALID_FIELD"),
    (b"null", "INVALID_FIELD"),
    (b'"text"', "INVALID_FIELD"),
    (b"{}", "INVALID_FIELD"),
    (b'{"query": ""}', "EMPTY_TEXT"),
    (b'{"query": "  "}', "EMPTY_TEXT"),
    (b'{"query": null}', "INVALID_FIELD"),
    (b'{"query": 5}', "INVALID_FIELD"),
    (b'{"query": ["x"]}', "INVALID_FIELD"),
    (b'{"query": "\\ud800"}', "INVALID_TEXT"),
    (b'{"query": "a\\u0000b"}', "INVALID_TEXT"),
    (b'{"query": "\xff"}', "INVALID_TEXT"),
    (b'{"query": "x", "\\udfff": 1}', "INVALID_TEXT"),
    (b'{"query": "x", "unknown": 1}', "INVALID_FIELD"),
    (b'{"query": "x", "top_k": -1}', "INVALID_FIELD"),
    (b'{"query": "x", "top_k": 999999999999999999999}', "INVALID_FIELD"),
    (b'{"query": "x", "top_k": "5"}', "INVALID_FIELD"),
    (b'{"query": "x", "top_k": true}', "INVALID_FIELD"),
    (b'{"query": "x", "top_k": 1.5}', "INVALID_FIELD"),
    (b'{"query": "x", "temperature": NaN}', "INVALID_FIELD"),
    (b'{"query": "x", "temperature": Infinity}', "INVALID_FIELD"),
    (b'{"query": "x", "temperature": 1e999}', "INVALID_FIELD"),
    (b'{"query": "x", "temperature": 9}', "INVALID_FIELD"),
    (b'{"query": "x", "max_tokens": ' + b"9" * 5000 + b"}", "INVALID_FIELD"),
    (b'{"query": "x", "mode": "psychic"}', "INVALID_FIELD"),
    (b'{"query": "x", "collection": "No Such Name"}', "INVALID_FIELD"),
    (b'{"query": "x", "collection": "../../etc"}', "INVALID_FIELD"),
    (b'{"query": "x", "filter": "((("}', "INVALID_FILTER"),
    (b'{"query": "x", "filter": "a = "}', "INVALID_FILTER"),
    (b'{"query": "x", "history": [{"speaker": "god", "text": "x"}]}', "INVALID_FIELD"),
    (b'{"query": "x", "history": [{"text": "x"}]}', "INVALID_FIELD"),
    (b'{"query": "x", "timeout_ms": 0}', "INVALID_FIELD"),
    (b'{"query": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "INVALID_FIELD"),
    (b'{"query": "x", "history": ' + b"[" * 200 + b"]" * 200 + b"}", "INVALID_FIELD"),
    (json.dumps({"query": "x" * 8_001}).encode(), "TOO_LARGE"),
]


async def test_bad_queries_get_precise_errors(gw: RunningGateway) -> None:
    async with gw.client() as client:
        for body, reason in BAD_QUERIES:
            for stream in (False, True):
                sent = body
                if stream and body.startswith(b'{"query": "x", '):
                    sent = body.replace(b"{", b'{"stream": true, ', 1)
                response = await client.post("/v1/query", content=sent, headers=JSON)
                assert response.status_code == 400, (sent[:80], response.text)
                problem = check_problem(response, 400, reason)
                assert problem["violations"], sent[:80]
    assert gw.down.embedding.embed.calls == []


ROUTES = [
    ("POST", "/v1/search", {"query": "x"}),
    ("POST", "/v1/recommend", {"positive_ids": ["a"]}),
    ("POST", "/v1/documents", {"documents": [{"text": "x"}]}),
    ("POST", "/v1/collections", {"name": "fresh"}),
    ("POST", "/v1/feedback", {"trace_id": "0" * 32, "rating": "up"}),
    ("POST", "/v1/keys", {"name": "x"}),
    ("POST", "/openai/v1/chat/completions", {"model": "cairn", "messages": []}),
    ("POST", "/openai/v1/embeddings", {"input": "x"}),
]
HOSTILE: list[Any] = [None, -1, 1.5, "\ud800", "\x00", [], {}, [None], {"a": 1}, True, "x" * 70_000]


async def test_hostile_fields_never_fault_the_gateway(gw: RunningGateway) -> None:
    async with gw.client() as client:
        for method, path, valid in ROUTES:
            for field in [*valid, "collection", "filter", "top_k", "model", "acl", "unknown"]:
                for value in HOSTILE:
                    body = json.dumps({**valid, field: value}).encode()
                    response = await client.request(method, path, content=body, headers=JSON)
                    assert response.status_code < 500, (path, field, value, response.text)
            for body in (b"", b"{", b"\xff", b"NaN", b"[1]"):
                response = await client.request(method, path, content=body, headers=JSON)
                assert response.status_code == 400, (path, body, response.text)


async def test_routes_methods_types_and_sizes(gw: RunningGateway) -> None:
    async with gw.client() as client:
        check_problem(await client.get("/v1/nowhere"), 404, "ROUTE_NOT_FOUND")
        check_problem(await client.get("/nowhere"), 404, "ROUTE_NOT_FOUND")
        check_problem(await client.get("/assets/../settings.py"), 404, "ROUTE_NOT_FOUND")
        check_problem(await client.get("/assets/%2e%2e/http.py"), 404, "ROUTE_NOT_FOUND")
        wrong = check_problem(await client.get("/v1/query"), 405, "ROUTE_NOT_FOUND")
        assert "GET" in wrong["detail"]
        for path, methods in {
            "/v1/query": "POST",
            "/v1/documents": "DELETE, GET, POST",
            "/v1/documents/a/b": "DELETE, GET",
            "/healthz": "GET, HEAD",
        }.items():
            refused = await client.put(path)
            check_problem(refused, 405, "ROUTE_NOT_FOUND")
            assert refused.headers["allow"] == methods
        for path in ("/", "/healthz", "/readyz"):
            head = await client.head(path)
            assert (head.status_code, head.content) == (200, b"")
        plain = await client.post("/v1/query", content=b"query=x", headers={"content-type": "x/y"})
        check_problem(plain, 415, "UNSUPPORTED_CONTENT_TYPE")
        bare = await client.post("/v1/query", content=b'{"query": "x"}')
        check_problem(bare, 415, "UNSUPPORTED_CONTENT_TYPE")
        large = await client.post("/v1/query", content=b" " * 1_000_001, headers=JSON)
        check_problem(large, 413, "TOO_LARGE")

        async def chunks() -> Any:
            for _ in range(20):
                yield b" " * 100_000

        large = await client.post("/v1/query", content=chunks(), headers=JSON)
        check_problem(large, 413, "TOO_LARGE")
        timeout = {"X-Cairn-Timeout-Ms": "soon"}
        bad = await client.post("/v1/query", json={"query": "x"}, headers=timeout)
        check_problem(bad, 400, "INVALID_FIELD")
        unknown = await client.get("/v1/documents?nonsense=1")
        check_problem(unknown, 400, "INVALID_FIELD")
        page = await client.get("/v1/collections?page_size=-1")
        check_problem(page, 400, "INVALID_FIELD")
        nul = await client.get("/v1/documents/a%00b")
        check_problem(nul, 400, "INVALID_TEXT")
        empty = await client.get("/v1/documents/")
        check_problem(empty, 400, "EMPTY_TEXT")


def _seen(method: str, route: str, status: int) -> float:
    labels = {"method": method, "route": route, "status": str(status)}
    name = "cairn_http_request_duration_seconds_count"
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_who_is_refused_early_counts_for_the_route_that_was_asked_for(
    gw: RunningGateway,
) -> None:
    """Refused before the application looks for a route: at the door, or for a header."""
    places = [
        ("POST", "/v1/query", "/v1/query", 401),
        ("DELETE", "/v1/documents/a/b", "/v1/documents/{document_id:path}", 401),
        ("POST", "/v1/nothing/of/this/name", "unmatched", 401),
        ("POST", "/v1/search", "/v1/search", 400),
    ]
    async with gw.client() as client:
        for method, path, route, status in places:
            before = _seen(method, route, status)
            headers = {"authorization": "Bearer crn_no"} if status == 401 else {}
            headers |= {"x-cairn-timeout-ms": "soon"} if status == 400 else {}
            done = await client.request(method, path, headers=headers)
            assert done.status_code == status, path
            assert _seen(method, route, status) == before + 1, path


async def test_status_pages_and_console_need_no_key(gw: RunningGateway) -> None:
    async with gw.client(None) as client:
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        ready = await client.get("/readyz")
        assert ready.json()["status"] == "ready"
        page = await client.get("/")
        assert page.headers["content-type"].startswith("text/html")
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        again = await client.get("/", headers={"if-none-match": page.headers["etag"]})
        assert again.status_code == 304
        assert (await client.get("/docs")).status_code == 404


async def test_readiness_names_what_is_away(gw: RunningGateway) -> None:
    async with gw.client(None) as client:
        gw.down.servers["generation"].set_ready(False)
        while (view := (await client.get("/readyz")).json())["status"] == "ready":
            await asyncio.sleep(0.05)
        assert (view["status"], view["not_ready"]) == ("degraded", ["generation"])
        gw.down.servers["retrieval"].set_ready(False)
        while (response := await client.get("/readyz")).status_code == 200:
            await asyncio.sleep(0.05)
        assert response.status_code == 503
        assert set(response.json()["not_ready"]) == {"generation", "retrieval"}


async def test_trace_of_the_caller_goes_on(gw: RunningGateway) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    headers = {"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"}
    async with gw.client() as client:
        response = await client.post("/v1/query", json={"query": "x"}, headers=headers)
    assert response.json()["trace_id"] == trace_id
    assert response.headers["x-trace-id"] == trace_id
    assert response.headers["traceresponse"].startswith(f"00-{trace_id}-")


async def _raw(gw: RunningGateway, data: bytes) -> tuple[Any, Any]:
    reader, writer = await asyncio.open_connection("127.0.0.1", gw.server.http.port)
    writer.write(data)
    await writer.drain()
    return reader, writer


async def test_slow_headers_are_cut_off(
    gw: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "HEADER_SECONDS", 0.2)
    reader, writer = await _raw(gw, b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    answer = await asyncio.wait_for(reader.read(), 5)
    assert answer.startswith(b"HTTP/1.1 408 ")
    writer.close()
    silent, writer = await _raw(gw, b"")
    assert await asyncio.wait_for(silent.read(), 5) == b""
    writer.close()


async def test_slow_headers_of_a_kept_connection_are_cut_off(
    gw: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "HEADER_SECONDS", 0.5)
    reader, writer = await _raw(gw, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"200 OK" in await reader.readuntil(b'"ok"}')
    writer.write(b"GET /healthz HT")
    answer = await asyncio.wait_for(reader.read(), 5)
    assert answer.startswith(b"HTTP/1.1 408 ")
    writer.close()


async def test_slow_bodies_are_cut_off(gw: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "BODY_SECONDS", 0.2)
    monkeypatch.setattr(exchange, "LINGER_SECONDS", 0.2)
    head = (
        f"POST /v1/query HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gw.key}\r\n"
        "Content-Type: application/json\r\nContent-Length: 500\r\n\r\n{"
    )
    reader, writer = await _raw(gw, head.encode())
    answer = await asyncio.wait_for(reader.read(), 5)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in answer
    writer.close()


async def test_client_that_does_not_read_is_given_up(
    gw: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "SEND_SECONDS", 0.3)
    before = gw.server.http.connection_count
    reader, writer = await asyncio.open_connection("127.0.0.1", gw.server.http.port, limit=1024)
    writer.write(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 400)
    while gw.server.http.connection_count == before:
        await asyncio.sleep(0.01)
    async with asyncio.timeout(10):
        while gw.server.http.connection_count > before:
            await asyncio.sleep(0.05)
    assert not reader.at_eof()
    writer.close()


async def test_endless_headers_and_garbage_are_refused(gw: RunningGateway) -> None:
    reader, writer = await _raw(gw, b"GET / HTTP/1.1\r\n" + b"X-A: " + b"a" * 400_000)
    assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 431 ")
    writer.close()
    reader, writer = await _raw(gw, b"\x16\x03\x01 this is not HTTP\r\n\r\n")
    assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 400 ")
    writer.close()


async def test_rate_is_shared_by_replicas_and_told(tmp_path: Path, valkey: Valkey) -> None:
    options = {"valkey_url": valkey.url, "rate_per_second": 0.001, "rate_burst": 6}
    async with (
        running_gateway(tmp_path, **options) as one,
        running_gateway(tmp_path, down=one.down, **options) as two,
        one.client() as first,
        two.client() as second,
    ):
        statuses = []
        for client in (first, second) * 4:
            response = await client.get("/v1/usage")
            statuses.append(response.status_code)
        assert statuses == [200] * 6 + [429] * 2
        problem = check_problem(response, 429, "RATE_LIMITED")
        assert problem["retry_after_seconds"] > 0
        assert int(response.headers["retry-after"]) > 0
        assert response.headers["ratelimit-limit"] == "6"
        assert response.headers["ratelimit-remaining"] == "0"
        async with grpc.aio.insecure_channel(one.grpc_target) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await rpc.GatewayServiceStub(channel).GetUsage(
                    pb.GetUsageRequest(), metadata=(("authorization", f"Bearer {one.key}"),)
                )
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_answers_go_on_without_valkey(tmp_path: Path, valkey: Valkey) -> None:
    options = {"valkey_url": valkey.url, "rate_per_second": 0.001, "rate_burst": 20}
    async with running_gateway(tmp_path, **options) as gw, gw.client() as client:
        assert (await client.get("/v1/usage")).headers["ratelimit-remaining"] == "19"
        valkey.freeze()
        frozen = [(await client.get("/v1/usage")).status_code for _ in range(5)]
        assert frozen == [200] * 5
        assert (await client.get("/readyz")).json()["status"] == "ready"
        valkey.thaw()
        valkey.process.kill()
        statuses = [(await client.get("/v1/usage")).status_code for _ in range(17)]
        # This replica took over what was left: nothing is let through twice.
        assert statuses == [200] * 14 + [429] * 3
