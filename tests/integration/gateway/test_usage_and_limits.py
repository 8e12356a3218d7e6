"""Usage and limits as callers meet them, over HTTP and gRPC."""

from __future__ import annotations

import asyncio
import csv
import io
from typing import Any

import grpc
import httpx
import pytest
from cairn.gateway.v1 import gateway_service_pb2 as pb
from cairn.gateway.v1 import gateway_service_pb2_grpc as rpc
from cairn.gateway.v1 import limits_pb2
from google.rpc import error_details_pb2, status_pb2

from services.rpc.status import DETAILS_KEY
from tests.kit.gateway import RunningGateway, running_gateway

QUERY = {"query": "How does granite form?"}
DOCUMENT = {"documents": [{"document_id": "a", "text": "0123456789"}]}


async def put(client: httpx.AsyncClient, **rule: Any) -> httpx.Response:
    body = {"subject": "tenant", "period": "month", "amount": 1, **rule}
    return await client.put("/v1/limits/rules", json=body)


async def limits_of(client: httpx.AsyncClient) -> dict[str, Any]:
    found = (await client.get("/v1/limits")).json()["limits"]
    return {f"{each['subject']}-{each['resource']}-{each['period']}": each for each in found}


async def settled(client: httpx.AsyncClient, name: str, used: float) -> dict[str, Any]:
    """Waits until a limit shows so much as used: what was reserved is settled after the answer."""
    state: dict[str, Any] = {}
    for _ in range(250):
        state = (await limits_of(client))[name]
        if state["used"] == used:
            return state
        await asyncio.sleep(0.02)
    raise AssertionError(state)


async def test_limits_are_seen_set_and_removed(gw: RunningGateway) -> None:
    other = await gw.make_key(role="admin")
    async with gw.client() as client:
        found = (await client.get("/v1/limits")).json()
        assert (found["tenant"], found["tier"]) == ("default", "standard")
        state = (await limits_of(client))["key-requests-second"]
        assert (state["amount"], state["burst"], state["source"]) == (200, 1_000, "tier")
        rule = {"subject": "key", "resource": "requests", "period": "hour"}
        assert (await put(client, **rule, amount=3, burst=3)).status_code == 200
        responses = [await client.get("/v1/limits") for _ in range(4)]
        assert [each.status_code for each in responses] == [200, 200, 200, 429]
        policy = responses[0].headers["ratelimit-policy"]
        assert '"key-requests-second";q=1000;w=5' in policy
        assert '"key-requests-hour";q=3;w=3600' in policy
        assert '"key-requests-hour";r=2;' in responses[0].headers["ratelimit"]
        assert responses[3].headers["ratelimit-remaining"] == "0"
        assert int(responses[3].headers["retry-after"]) > 1_000
    async with gw.client(other) as client:
        rules = (await client.get("/v1/limits/rules")).json()["rules"]
        assert {"hour", "second"} <= {each["period"] for each in rules}
        assert (await client.delete("/v1/limits/rules", params=rule)).status_code == 204
        assert (await client.delete("/v1/limits/rules", params=rule)).status_code == 404
    async with gw.client() as client:
        assert (await client.get("/v1/limits")).status_code == 200


async def test_a_token_budget_is_reserved_and_settled(gw: RunningGateway) -> None:
    async with gw.client() as client:
        # A question reserves 1,024 tokens for its answer and some for its passages.
        assert (await put(client, resource="tokens", amount=4_000)).status_code == 200
        answer = await client.post("/v1/query", json=QUERY)
        assert answer.status_code == 200
        usage = answer.json()["usage"]
        used = sum(
            usage[f"{name}_tokens"] for name in ("embedding", "rerank", "prompt", "completion")
        )
        assert used > 100
        await settled(client, "tenant-tokens-month", used)
        assert (await put(client, resource="tokens", amount=1_000)).status_code == 200
        refused = await client.post("/v1/query", json=QUERY)
        problem = refused.json()
        assert (refused.status_code, problem["reason"]) == (429, "QUOTA_EXCEEDED")
        assert problem["retry_after_seconds"] > 0
        policy = refused.headers["ratelimit-policy"]
        assert '"tenant-tokens-month";q=1000;w=2592000' in policy
        # What is refused uses nothing.
        await settled(client, "tenant-tokens-month", used)
        assert (await client.post("/v1/search", json=QUERY)).status_code == 200
    async with grpc.aio.insecure_channel(gw.grpc_target) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await rpc.GatewayServiceStub(channel).Query(
                pb.QueryRequest(query="How does granite form?"),
                metadata=(("authorization", f"Bearer {gw.key}"),),
            )
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    details = _details(caught.value)
    assert details[error_details_pb2.RetryInfo].retry_delay.seconds > 0
    (violation,) = details[error_details_pb2.QuotaFailure].violations
    assert violation.subject == "tenant:default"


async def test_money_is_limited_and_alerted(tmp_path: Any) -> None:
    options = {
        "price_prompt": 1_000.0,
        "price_completion": 2_000.0,
        "model_prices": {"tiny": {"completion": 5_000.0}},
    }
    async with running_gateway(tmp_path, **options) as gw, gw.client() as client:
        # 100 prompt tokens at 0.001 and 12 written ones at 0.005: 0.16.
        assert (await put(client, resource="cost", amount=25)).status_code == 200
        answer = (await client.post("/v1/query", json=QUERY)).json()
        assert answer["cost"] == {"amount": 0.16, "currency": "USD"}
        await settled(client, "tenant-cost-month", 0.16)
        total = (await client.get("/v1/usage")).json()["total"]
        assert total["cost"]["amount"] == total["cost_parts"]["generation"] == 0.16
        assert (await put(client, resource="cost", amount=0.19)).status_code == 200
        refused = await client.post("/v1/query", json=QUERY)
        assert refused.json()["reason"] == "QUOTA_EXCEEDED"
        found: list[dict[str, Any]] = []
        for _ in range(200):
            found = (await client.get("/v1/usage/alerts")).json()["alerts"]
            if found:
                break
            await asyncio.sleep(0.05)
        assert {(each["kind"], each["threshold"], each["limit"]) for each in found} == {
            ("budget", 0.5, 0.19),
            ("budget", 0.8, 0.19),
        }


async def test_documents_bytes_and_what_is_stored_are_limited(gw: RunningGateway) -> None:
    async with gw.client() as client:
        await put(client, resource="documents", period="day", amount=2)
        await put(client, resource="bytes", period="day", amount=25)
        two = {"documents": [{"document_id": str(i), "text": "0123456789"} for i in range(2)]}
        assert (await client.post("/v1/documents", json=two)).status_code == 202
        await settled(client, "tenant-bytes-day", 20)
        await settled(client, "tenant-documents-day", 2)
        refused = await client.post("/v1/documents", json=DOCUMENT)
        assert (refused.status_code, refused.json()["reason"]) == (429, "QUOTA_EXCEEDED")
        await put(client, resource="documents", period="day", amount=9)
        assert (await client.post("/v1/documents", json=DOCUMENT)).status_code == 429
        await put(client, resource="bytes", period="day", amount=None)
        assert (await client.post("/v1/documents", json=DOCUMENT)).status_code == 202
        await put(client, resource="vectors", period="stored", amount=2)
        full = await client.post("/v1/documents", json=DOCUMENT)
        assert (full.status_code, full.json()["retry_after_seconds"]) == (429, None)
        assert (await limits_of(client))["tenant-vectors-stored"]["remaining"] == 0


async def test_bytes_of_files_that_lie_on_disk_count(gw: RunningGateway) -> None:
    files = {"file": ("large.txt", b"x" * 2_000_000, "text/plain")}
    async with gw.client() as client:
        await put(client, resource="bytes", period="day", amount=3_000_000)
        assert (await client.post("/v1/documents", files=files)).status_code == 202
        await settled(client, "tenant-bytes-day", 2_000_000)
        refused = await client.post("/v1/documents", files=files)
        assert (refused.status_code, refused.json()["reason"]) == (429, "QUOTA_EXCEEDED")
        (row,) = (await client.get("/v1/usage?group_by=operation")).json()["rows"]
        assert (row["document_count"], row["byte_count"]) == (1, 2_000_000)


async def test_retrieval_holds_a_tenant_to_what_it_may_store(gw: RunningGateway) -> None:
    """Whichever way vectors come in, ingestion, sources or an import, they end there."""

    def quotas() -> list[tuple[str, int | None, int | None]]:
        return [
            (
                each.scope.tenant,
                each.quota.max_vectors if each.quota.HasField("max_vectors") else None,
                each.quota.max_bytes if each.quota.HasField("max_bytes") else None,
            )
            for each in gw.down.retrieval.search.requests("SetQuota")
        ]

    async with gw.client() as client:
        await put(client, resource="vectors", period="stored", amount=100)
        await put(client, resource="bytes", period="stored", amount=5_000)
        await put(client, resource="vectors", period="stored", amount=100, mode="shadow")
        await put(client, resource="vectors", period="day", amount=7)
        rule = {"subject": "tenant", "resource": "bytes", "period": "stored"}
        assert (await client.delete("/v1/limits/rules", params=rule)).is_success
    assert quotas() == [
        ("default", 100, None),
        ("default", 100, 5_000),
        ("default", None, 5_000),
        ("default", None, None),
    ]


async def test_streams_at_once_are_limited(gw: RunningGateway) -> None:
    gw.down.generation.between_seconds = 0.3
    async with gw.client() as client:
        await put(client, resource="streams", period="at_once", amount=1)
        body = {**QUERY, "stream": True}
        async with client.stream("POST", "/v1/query", json=body) as first:
            await anext(first.aiter_lines())
            second = await client.post("/v1/query", json=body)
            assert "RATE_LIMITED" in second.text
        await settled(client, "tenant-streams-at_once", 0)
        assert "event: response" in (await client.post("/v1/query", json=body)).text


async def test_soft_and_shadow_limits_let_through(gw: RunningGateway) -> None:
    async with gw.client() as client:
        rule = {"subject": "key", "resource": "requests", "amount": 0}
        await put(client, **rule, period="day", mode="soft")
        await put(client, **rule, period="month", mode="shadow")
        response = await client.get("/v1/limits")
        assert response.status_code == 200
        assert response.headers["x-cairn-limit-warning"] == "key-requests-day"
        assert "month" not in response.headers["ratelimit"]


async def test_who_may_set_which_limits(gw: RunningGateway) -> None:
    admin = await gw.make_key(role="admin", tenant="acme")
    viewer = await gw.make_key(role="viewer", tenant="acme")
    async with gw.client(viewer) as client:
        assert (await client.get("/v1/limits")).json()["tenant"] == "acme"
        assert (await client.get("/v1/limits", params={"user": "ann"})).status_code == 403
        assert (await put(client, subject="key", resource="tokens")).status_code == 403
        assert (await client.get("/v1/usage")).status_code == 403
    async with gw.client(admin) as client:
        assert (await put(client, subject="key", resource="tokens")).status_code == 200
        assert (await put(client, subject="user", subject_id="ann", resource="cost")).json()[
            "subject_id"
        ] == "user:ann"
        for forbidden in (
            {"subject": "tenant"},
            {"subject": "key", "tier": "standard"},
            {"subject": "key", "tenant": "default"},
        ):
            assert (await put(client, **forbidden, resource="tokens")).status_code == 403
    async with gw.client() as client:
        tier = {"tier": "standard", "subject": "key", "resource": "streams", "period": "at_once"}
        assert (await put(client, **tier, amount=7)).status_code == 200
        others = (await client.get("/v1/limits", params={"tenant": "acme"})).json()["limits"]
        assert {each["resource"]: each["amount"] for each in others}["streams"] == 256
        for wrong in ({"tier": "gold"}, {"subject": "team"}, {"burst": 5}, {"amount": -1}):
            assert (await put(client, resource="tokens", **wrong)).status_code == 400


async def test_usage_by_any_dimension_as_rows_csv_and_single_requests(gw: RunningGateway) -> None:
    viewer = await gw.make_key(role="viewer")
    async with gw.client(viewer) as client:
        for _ in range(3):
            assert (await client.post("/v1/search", json=QUERY)).status_code == 200
    async with gw.client() as client:
        assert (await client.post("/v1/query", json=QUERY)).status_code == 200
        assert (await client.post("/v1/documents", json=DOCUMENT)).status_code == 202
        report = (
            await client.get("/v1/usage", params={"group_by": "operation,user,collection"})
        ).json()
        counts = {
            (row["operation"], row["collection"]): row["request_count"] for row in report["rows"]
        }
        assert counts == {
            ("query", "default"): 1,
            ("search", "default"): 3,
            ("ingest", "default"): 1,
        }
        assert len({row["user"] for row in report["rows"]}) == 2
        assert report["total"]["request_count"] == 5
        assert report["total"]["document_count"] == 1
        text = await client.get("/v1/usage", headers={"accept": "text/csv"})
        assert text.headers["content-type"].startswith("text/csv")
        lines = list(csv.DictReader(io.StringIO(text.text)))
        assert sum(int(line["request_count"]) for line in lines) == 5
        assert "usage.prompt_tokens" in lines[0]
        empty = await client.get("/v1/usage", params={"operation": "none", "format": "csv"})
        assert len(empty.text.splitlines()) == 1
        page = (await client.get("/v1/usage/events", params={"page_size": 3})).json()
        rest = await client.get("/v1/usage/events", params={"page_token": page["next_page_token"]})
        events = page["events"] + rest.json()["events"]
        assert [each["operation"] for each in events] == ["ingest", "query", *["search"] * 3]
        assert all(each["trace_id"] for each in events)
        check = (await client.get("/v1/usage/check")).json()
        assert check["is_exact"] is True
        for wrong in (
            {"group_by": "day,moon"},
            {"from_day": "yesterday"},
            {"from_day": "2026-02-01", "to_day": "2026-01-01"},
        ):
            assert (await client.get("/v1/usage", params=wrong)).status_code == 400
        bad = await client.get("/v1/usage/events", params={"page_token": "x"})
        assert bad.json()["reason"] == "INVALID_PAGE_TOKEN"


async def test_a_stream_that_its_caller_leaves_is_metered(gw: RunningGateway) -> None:
    gw.down.generation.between_seconds = 0.2
    async with gw.client() as client:
        body = {**QUERY, "stream": True}
        async with client.stream("POST", "/v1/query", json=body) as response:
            async for line in response.aiter_lines():
                if "event: delta" in line:
                    break
        found: list[dict[str, Any]] = []
        for _ in range(200):
            found = (await client.get("/v1/usage/events")).json()["events"]
            if found:
                break
            await asyncio.sleep(0.05)
        (event,) = found
        assert event["outcome"] == "cancelled"
        assert event["is_estimated"]
        assert event["usage"]["prompt_tokens"] > 0
        assert event["usage"]["completion_tokens"] > 0


async def test_grpc_says_the_same(gw: RunningGateway) -> None:
    metadata = (("authorization", f"Bearer {gw.key}"),)
    async with gw.client() as client, grpc.aio.insecure_channel(gw.grpc_target) as channel:
        stub = rpc.GatewayServiceStub(channel)
        await client.post("/v1/query", json=QUERY)
        over_http = (await client.get("/v1/usage", params={"group_by": "collection"})).json()
        usage = await stub.GetUsage(pb.GetUsageRequest(group_by=["collection"]), metadata=metadata)
        assert [row.collection for row in usage.rows] == ["default"]
        assert usage.total.usage.prompt_tokens == over_http["total"]["usage"]["prompt_tokens"]
        events = await stub.ListUsageEvents(pb.ListUsageEventsRequest(), metadata=metadata)
        assert [each.outcome for each in events.events] == ["ok"]
        rule = limits_pb2.LimitRule(
            subject="key", resource="tokens", period="day", amount=9, mode="shadow"
        )
        request = limits_pb2.SetLimitRequest(rule=rule)
        assert (await stub.SetLimit(request, metadata=metadata)).rule.updated_by
        limits = await stub.GetLimits(limits_pb2.GetLimitsRequest(), metadata=metadata)
        (state,) = [each for each in limits.limits if each.rule.resource == "tokens"]
        assert (state.rule.amount, state.rule.mode, state.source) == (9, "shadow", "tenant")
        listed = await stub.ListLimitRules(limits_pb2.ListLimitRulesRequest(), metadata=metadata)
        assert any(each.resource == "tokens" and each.amount == 9 for each in listed.rules)
        delete = limits_pb2.DeleteLimitRequest(rule=rule)
        await stub.DeleteLimit(delete, metadata=metadata)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.DeleteLimit(delete, metadata=metadata)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        wrong = limits_pb2.SetLimitRequest(rule=limits_pb2.LimitRule(subject="key"))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.SetLimit(wrong, metadata=metadata)
        (violation,) = _details(caught.value)[error_details_pb2.BadRequest].field_violations
        assert violation.field == "rule.resource"


def _details(error: grpc.aio.AioRpcError) -> dict[type, Any]:
    status = status_pb2.Status()
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY:
            assert isinstance(value, bytes)
            status.ParseFromString(value)
    kinds = {
        kind.DESCRIPTOR.full_name: kind
        for kind in (
            error_details_pb2.RetryInfo,
            error_details_pb2.QuotaFailure,
            error_details_pb2.BadRequest,
        )
    }
    found = {}
    for detail in status.details:
        kind = kinds.get(detail.TypeName())
        if kind is not None:
            message = kind()
            detail.Unpack(message)
            found[kind] = message
    return found
