"""Every operation leaves an entry, whatever the surface; no entry holds what was asked."""

from __future__ import annotations

import json
from typing import Any

import grpc
import grpc.aio
import pytest
from cairn.gateway.v1 import gateway_service_pb2 as pb
from cairn.gateway.v1 import gateway_service_pb2_grpc as rpc
from sqlalchemy import text

from services.gateway.store.audit_store import AuditStore
from services.rpc.errors import Reason, UnavailableError
from services.sql.engine import open_engine, sqlite_url
from tests.integration.gateway.test_permissions import Holder, ask, call, home
from tests.kit.gateway import RunningGateway
from tests.kit.permissions import GRPC, REST
from tests.kit.valid_requests import gateway_requests

CANARY = "merger with Initech"


async def test_every_route_and_method_leaves_an_entry(gw: RunningGateway) -> None:
    admin = Holder("admin", gw.key, level=4)
    async with gw.client(None) as client:
        description = (await client.get("/openapi.json")).json()
        routes = {
            operation["operationId"]: (method.upper(), path)
            for path, methods in description["paths"].items()
            for method, operation in methods.items()
        }
        trace_ids = {}
        for name, rule in REST.items():
            response = await ask(client, *routes[name], name, rule, admin)
            is_found = response.status_code != 404
            trace_ids[response.headers["x-trace-id"]] = name, rule, is_found
    async with grpc.aio.insecure_channel(gw.grpc_target) as channel:
        stub = rpc.GatewayServiceStub(channel)
        requests = gateway_requests()
        for method in pb.DESCRIPTOR.services_by_name["GatewayService"].methods:
            await call(stub, method, home(requests[method.name]), gw.key)
    entries = await all_entries(gw)
    noted = {entry["trace_id"]: entry for entry in entries}
    for trace_id, (name, rule, is_found) in trace_ids.items():
        assert trace_id in noted, name
        if is_found:  # else looking for it was all that happened
            assert rule.operation in acts(noted[trace_id]), (name, noted[trace_id])
    over_grpc = {act for entry in entries if entry["surface"] == "grpc" for act in acts(entry)}
    assert {REST[GRPC[name]].operation for name in GRPC} <= over_grpc
    async with gw.client() as client:
        report = (await client.get("/v1/audit/verify")).json()
    assert (report["is_intact"], report["is_complete"]) == (True, True)


async def test_a_change_that_cannot_be_noted_is_answered_with_the_reason(
    gw: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_store: AuditStore, _events: object) -> None:
        raise UnavailableError(Reason.DEPENDENCY_UNAVAILABLE, "the database does not answer")

    async with gw.client() as client:
        with monkeypatch.context() as broken:
            broken.setattr(AuditStore, "append", fail)
            for path in ("/v1/collections", "/v1/keys"):
                response = await client.post(path, json={"name": "fresh"})
                assert (response.status_code, response.json()["reason"]) == (
                    503,
                    "DEPENDENCY_UNAVAILABLE",
                )
        assert (await client.post("/v1/collections", json={"name": "fresh"})).status_code == 201
    done = [each["action"] for each in await all_entries(gw)]
    assert done.count("create_collection") == 2, "what was done is noted later"


async def test_refusals_are_noted_with_their_reason(gw: RunningGateway) -> None:
    viewer = await gw.make_key(role="viewer")
    async with gw.client(viewer) as client:
        await client.delete("/v1/collections/default")
    async with gw.client("crn_nonsense") as client:
        await client.get("/v1/me")
    (entry,) = [each for each in await all_entries(gw) if each["action"] == "delete_collection"]
    assert entry["outcome"] == "ROLE_REQUIRED"
    assert entry["actor"] == f"key:{viewer.split('_')[1]}"
    assert entry["collection"] == "default"
    (refused,) = await all_entries(gw, of_installation=True)
    assert (refused["outcome"], refused["details"]["kind"]) == ("CREDENTIAL_INVALID", "key")


async def test_no_text_and_no_identifier_reaches_the_log(gw: RunningGateway) -> None:
    async with gw.client() as client:
        await client.post("/v1/query", json={"query": f"the {CANARY}"})
        await client.post("/v1/query", json={"query": f"the {CANARY}", "stream": True})
        await client.post("/v1/search", json={"query": CANARY, "filter": f'kind = "{CANARY}"'})
        await client.post(
            "/v1/documents",
            json={"documents": [{"text": CANARY, "title": CANARY, "document_id": CANARY}]},
        )
        await client.get(f"/v1/documents/{CANARY}")
        await client.post(
            "/openai/v1/chat/completions",
            json={"model": "cairn", "messages": [{"role": "user", "content": CANARY}]},
        )
        await client.post(
            "/v1/feedback", json={"trace_id": "0" * 32, "rating": "up", "comment": CANARY}
        )
        found = await client.get("/v1/audit", params={"subject": f"query:the {CANARY}"})
    assert [entry["action"] for entry in found.json()["entries"]] == ["query", "query"]
    document = {each.split(":")[0] for each in found.json()["entries"][0]["subjects"]}
    assert document == {"query", "document"}
    engine = open_engine(sqlite_url(gw.settings.data_dir / "gateway" / "gateway.db"))
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT * FROM gateway_audit_entries")).all()
    engine.dispose()
    assert len(rows) >= 7
    assert "Initech" not in str(rows)
    assert "merger" not in str(rows)


def acts(entry: dict[str, Any]) -> set[str]:
    """Returns what a request did."""
    details = entry["details"]
    return {str(entry["action"]), *str(details.get("actions", "")).split(",")}


async def all_entries(gw: RunningGateway, **parameters: bool) -> list[dict[str, Any]]:
    """Returns every entry of the chain."""
    async with gw.client() as client:
        response = await client.get("/v1/audit/export", params=parameters)
    return [json.loads(json.loads(line)["body"]) for line in response.text.splitlines()]
