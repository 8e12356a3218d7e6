"""The same requests through every surface of a gateway, as plain bytes to look for secrets in."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc.aio
import httpx
from cairn.gateway.v1 import gateway_service_pb2 as pb
from cairn.gateway.v1 import gateway_service_pb2_grpc as rpc

MCP_HEADERS = {
    "accept": "application/json, text/event-stream",
    "mcp-protocol-version": "2026-07-28",
}


@dataclass(frozen=True)
class Case:
    """What one caller asks."""

    query: str
    collection: str
    filter: str
    document_id: str
    top_k: int


class Caller:
    """One key on one gateway.

    Args:
        http: Client with the key.
        channel: gRPC to the same gateway.
        key: The key.
    """

    def __init__(self, http: httpx.AsyncClient, channel: grpc.aio.Channel, key: str) -> None:
        self._http = http
        self._stub: Any = rpc.GatewayServiceStub(channel)
        self._metadata = (("authorization", f"Bearer {key}"),)

    async def post(self, path: str, body: Any, **headers: str) -> bytes:
        """Sends JSON; answers and errors alike are bytes."""
        return (await self._http.post(path, json=body, headers=headers)).content

    async def get(self, path: str, **parameters: Any) -> bytes:
        """Reads."""
        return (await self._http.get(path, params=parameters)).content

    async def tool(self, name: str, arguments: Any) -> bytes:
        """Calls a tool over MCP."""
        meta = {
            "io.modelcontextprotocol/protocolVersion": MCP_HEADERS["mcp-protocol-version"],
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        call = {"name": name, "arguments": arguments, "_meta": meta}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
        headers = {**MCP_HEADERS, "mcp-method": "tools/call", "mcp-name": name}
        return (await self._http.post("/mcp", json=body, headers=headers)).content

    async def call(self, method: str, request: Any) -> bytes:
        """Calls over gRPC; of an error its text and details."""
        try:
            found = getattr(self._stub, method)(request, metadata=self._metadata)
            if method.startswith("Stream"):
                return b"".join([each.SerializeToString() async for each in found])
            return (await found).SerializeToString()
        except grpc.aio.AioRpcError as error:
            trailers = b"".join(
                value if isinstance(value, bytes) else value.encode()
                for _, value in error.trailing_metadata() or ()
            )
            return (error.details() or "").encode() + trailers


def query_body(case: Case, **more: Any) -> dict[str, Any]:
    """A question over REST."""
    return {
        "query": case.query,
        "collection": case.collection,
        "filter": case.filter,
        "top_k": case.top_k,
        **more,
    }


def query_message(case: Case) -> pb.QueryRequest:
    """A question over gRPC."""
    return pb.QueryRequest(
        query=case.query, collection=case.collection, filter=case.filter, top_k=case.top_k
    )


def chat_body(case: Case, **more: Any) -> dict[str, Any]:
    """A question as a chat completion."""
    return {
        "model": f"cairn/{case.collection}",
        "messages": [{"role": "user", "content": case.query}],
        "filter": case.filter,
        "top_k": case.top_k,
        **more,
    }


def response_body(case: Case, **more: Any) -> dict[str, Any]:
    """A question as a response."""
    tool = {
        "type": "file_search",
        "vector_store_ids": [case.collection],
        "max_num_results": case.top_k,
    }
    return {
        "model": "cairn",
        "input": case.query,
        "tools": [tool],
        "include": ["file_search_call.results"],
        **more,
    }


def _documents(case: Case) -> str:
    return f"/v1/documents/{case.document_id}"


def _store(case: Case) -> str:
    return f"/openai/v1/vector_stores/{case.collection}"


ANSWERS: dict[str, Callable[[Caller, Case], Awaitable[bytes]]] = {
    "rest": lambda c, x: c.post("/v1/query", query_body(x)),
    "sse": lambda c, x: c.post("/v1/query", query_body(x, stream=True)),
    "grpc": lambda c, x: c.call("Query", query_message(x)),
    "grpc stream": lambda c, x: c.call(
        "StreamQuery", pb.StreamQueryRequest(query=query_message(x))
    ),
    "chat": lambda c, x: c.post("/openai/v1/chat/completions", chat_body(x)),
    "chat stream": lambda c, x: c.post("/openai/v1/chat/completions", chat_body(x, stream=True)),
    "responses": lambda c, x: c.post("/openai/v1/responses", response_body(x)),
    "responses stream": lambda c, x: c.post("/openai/v1/responses", response_body(x, stream=True)),
    "mcp ask": lambda c, x: c.tool("ask", query_body(x)),
}
"""Ways to an answer."""

READS: dict[str, Callable[[Caller, Case], Awaitable[bytes]]] = {
    "search": lambda c, x: c.post("/v1/search", query_body(x, explain=True)),
    "recommend": lambda c, x: c.post(
        "/v1/recommend", {"positive_ids": [x.document_id], "collection": x.collection}
    ),
    "document": lambda c, x: c.get(_documents(x), collection=x.collection),
    "documents": lambda c, x: c.get("/v1/documents", collection=x.collection, page_size=50),
    "grpc search": lambda c, x: c.call(
        "Search",
        pb.SearchRequest(query=x.query, collection=x.collection, filter=x.filter, top_k=x.top_k),
    ),
    "grpc recommend": lambda c, x: c.call(
        "Recommend",
        pb.RecommendRequest(collection=x.collection, positive_ids=[x.document_id], top_k=x.top_k),
    ),
    "grpc document": lambda c, x: c.call(
        "GetDocument",
        pb.GetDocumentRequest(collection=x.collection, document_id=x.document_id),
    ),
    "grpc documents": lambda c, x: c.call(
        "ListDocuments", pb.ListDocumentsRequest(collection=x.collection, page_size=50)
    ),
    "store search": lambda c, x: c.post(
        f"{_store(x)}/search", {"query": x.query, "max_num_results": x.top_k}
    ),
    "store files": lambda c, x: c.get(f"{_store(x)}/files", limit=50),
    "store content": lambda c, x: c.get(f"{_store(x)}/files/{x.document_id}/content"),
    "mcp search": lambda c, x: c.tool("search", query_body(x)),
    "mcp get": lambda c, x: c.tool(
        "get", {"document_id": x.document_id, "collection": x.collection}
    ),
}
"""Ways to documents and passages."""


def chunks_of(surface: str, answer: bytes) -> list[str]:
    """Returns the chunks that an answer was written from, in order, as its surface tells them."""
    if surface.startswith("grpc"):
        # Messages one after the other read as one: of a oneof the last stays.
        message = (
            pb.StreamQueryResponse.FromString(answer).response
            if surface == "grpc stream"
            else pb.QueryResponse.FromString(answer)
        )
        return [each.passage.chunk_id for each in message.passages]
    if surface.endswith("stream") or surface == "sse":
        value = _last_event(surface, answer)
    else:
        value = json.loads(answer)
    if surface in {"rest", "sse"}:
        return [each["passage"]["chunk_id"] for each in value["passages"]]
    if surface == "mcp ask":
        found = value["result"]["structuredContent"]["passages"]
        return [each["passage"]["chunk_id"] for each in found]
    if surface.startswith("chat"):
        choice = value["choices"][0]
        found = choice.get("message") or choice["delta"]
        return [each["chunk_id"] for each in found["passages"]]
    return [each["chunk_id"] for each in value["output"][0]["results"]]


def _last_event(surface: str, answer: bytes) -> Any:
    data = [
        line.removeprefix(b"data: ")
        for line in answer.splitlines()
        if line.startswith(b"data: ") and b"[DONE]" not in line
    ]
    value = json.loads(data[-1])
    return value["response"] if surface == "responses stream" else value
