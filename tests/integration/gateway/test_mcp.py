"""The official MCP client against the gateway, by the stateless revision and the one before."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx
import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from prometheus_client import REGISTRY

from services.rpc.errors import Reason, UnavailableError
from tests.kit.downstream import TEXT
from tests.kit.gateway import RunningGateway

STATELESS, HANDSHAKE = "2026-07-28", "legacy"


@contextlib.asynccontextmanager
async def client_of(gw: RunningGateway, mode: str, key: str = "") -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {key or gw.key}"}
    async with httpx2.AsyncClient(headers=headers, trust_env=False, timeout=20) as http:
        transport = streamable_http_client(f"{gw.url}/mcp", http_client=http)
        async with Client(transport, mode=mode) as client:
            yield client


@pytest.mark.parametrize("mode", [STATELESS, HANDSHAKE, "auto"])
async def test_every_tool_by_every_revision(gw: RunningGateway, mode: str) -> None:
    async with client_of(gw, mode) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"search", "ask", "ingest", "get", "list_collections"}
        assert tools["search"].input_schema["required"] == ["query"]
        asked = await client.call_tool("ask", {"query": "How does granite form?"})
        found = await client.call_tool("search", {"query": "granite", "top_k": 1})
        taken = await client.call_tool("ingest", {"documents": [{"text": "x", "document_id": "d"}]})
        got = await client.call_tool("get", {"document_id": "rocks/granite.md"})
        listed = await client.call_tool("list_collections", {})
    answer = asked.structured_content
    assert (
        answer["answer"] == "Granite forms when magma cools slowly [1]. Granite is an igneous rock."
    )
    (citation,) = answer["citations"]
    assert citation["text"] == TEXT[citation["start"] : citation["end"]]
    assert "[1] Granite (rocks/granite.md" in text_of(asked)
    assert len(found.structured_content["passages"]) == 1
    assert taken.structured_content["submissions"][0]["document"]["state"] == "queued"
    assert got.structured_content["document"]["text"] == TEXT
    assert listed.structured_content["collections"][0]["name"] == "default"


def text_of(result: Any) -> str:
    return result.content[0].text


@pytest.mark.parametrize("mode", [STATELESS, HANDSHAKE])
async def test_mistakes_are_results_that_say_how_to_mend_them(
    gw: RunningGateway, mode: str
) -> None:
    async with client_of(gw, mode) as client:
        for name, arguments, reason in (
            ("search", {"query": ""}, "EMPTY_TEXT"),
            ("search", {"query": "x", "collection": "absent"}, "COLLECTION_NOT_FOUND"),
            ("search", {"question": "x"}, "INVALID_FIELD"),
            ("search", {"query": "x", "filter": "= ="}, "INVALID_FILTER"),
            ("get", {"document_id": "absent"}, "DOCUMENT_NOT_FOUND"),
        ):
            result = await client.call_tool(name, arguments)
            assert result.is_error
            assert result.structured_content["reason"] == reason
            assert text_of(result).startswith(reason)
        gw.down.retrieval.search.error = UnavailableError(Reason.NOT_READY, "away")
        away = await client.call_tool("ask", {"query": "x"})
        assert away.structured_content["reason"] == "NOT_READY"
        with pytest.raises(MCPError):
            await client.call_tool("drop_tables", {})


async def test_only_who_has_a_key_and_a_role(gw: RunningGateway) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        refused = await http.post(f"{gw.url}/mcp", json={})
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Bearer")
        headers = {"Authorization": f"Bearer {gw.key}"}
        stream = await http.get(f"{gw.url}/mcp", headers=headers)
        assert (stream.status_code, stream.headers["allow"]) == (405, "POST")
        nonsense = await http.post(f"{gw.url}/mcp", headers=headers, content=b"\xff")
        assert 400 <= nonsense.status_code < 500
        labels = {"route": "/mcp", "method": "POST", "status": str(nonsense.status_code)}
        counted = "cairn_http_request_duration_seconds_count"
        assert REGISTRY.get_sample_value(counted, labels), "metrics know the route"
    viewer = await gw.make_key(role="viewer")
    async with client_of(gw, STATELESS, viewer) as client:
        result = await client.call_tool("ingest", {"documents": [{"text": "x"}]})
    assert result.structured_content["reason"] == "ROLE_REQUIRED"
    stranger = await gw.make_key(role="viewer", principals=["group:strangers"])
    async with client_of(gw, STATELESS, stranger) as client:
        found = await client.call_tool("search", {"query": "granite"})
    assert found.structured_content["passages"] == []


@pytest.mark.parametrize("mode", [STATELESS, HANDSHAKE])
async def test_agent_that_leaves_stops_the_engine(gw: RunningGateway, mode: str) -> None:
    gw.down.generation.between_seconds = 5
    async with client_of(gw, mode) as client:
        call = asyncio.create_task(client.call_tool("ask", {"query": "granite"}))
        while not gw.down.generation.generate.calls:
            await asyncio.sleep(0.01)
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await call
    assert await asyncio.wait_for(gw.down.generation.generate.cancelled.wait(), 3)


async def test_deadline_of_the_header_holds(gw: RunningGateway) -> None:
    gw.down.retrieval.search.delay_seconds = 30
    headers = {"Authorization": f"Bearer {gw.key}", "X-Cairn-Timeout-Ms": "300"}
    async with httpx2.AsyncClient(headers=headers, trust_env=False, timeout=20) as http:
        transport = streamable_http_client(f"{gw.url}/mcp", http_client=http)
        async with Client(transport, mode=HANDSHAKE) as client:
            result = await client.call_tool("search", {"query": "granite"})
    assert result.structured_content["reason"] == "DEADLINE_EXCEEDED"


async def test_sdk_is_imported_by_the_first_request_only() -> None:
    code = (
        "import sys, services.gateway.__main__\n"
        "print([m for m in sys.modules if m == 'mcp' or m.startswith(('mcp.', 'mcp_types'))])"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert output.decode().strip() == "[]"
