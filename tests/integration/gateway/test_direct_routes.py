"""Routes that are served directly answer as they would through the framework."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.gateway.edge.direct import DirectApi
from tests.kit.gateway import RunningGateway

DIRECT = {"/v1/query", "/v1/search", "/v1/recommend", "/openai/v1/chat/completions"}
CHAT = {"model": "cairn", "messages": [{"role": "user", "content": "How does granite form?"}]}
CHANGING = {"trace_id", "timings_ms", "cached_age_seconds", "id", "created"}
REQUESTS = [
    ("/v1/query", {"query": "How does granite form?"}),
    ("/v1/query", {"query": "How does granite form?", "filter": "kind =", "top_k": 3}),
    ("/v1/query", {"query": "", "unknown": 1}),
    ("/v1/query", {"query": 7, "top_k": "many"}),
    ("/v1/query", {"query": "granite", "collection": "missing"}),
    ("/v1/query", ["not", "an", "object"]),
    ("/v1/query", None),
    ("/v1/search", {"query": "granite", "mode": "keyword"}),
    ("/v1/search", {"query": "granite", "mode": "sideways"}),
    ("/v1/recommend", {"positive_ids": ["rocks/granite.md"]}),
    ("/v1/recommend", {"positive_ids": []}),
    ("/openai/v1/chat/completions", CHAT),
    ("/openai/v1/chat/completions", {**CHAT, "messages": []}),
    ("/openai/v1/chat/completions", {**CHAT, "n": 2}),
]
RAW = [
    (b"", "application/json"),
    (b"{", "application/json"),
    (b'{"query": NaN}', "application/json; charset=utf-8"),
    (b'{"query": "granite"}', "application/problem+json"),
    (b'{"query": "granite"}', "text/plain"),
    (b'{"query": "\\ud800"}', "application/json"),
    (b'{"query": "granite"}', ""),
]


def stable(value: Any) -> Any:
    """A body without what differs from request to request."""
    if isinstance(value, dict):
        return {name: stable(each) for name, each in value.items() if name not in CHANGING}
    return value


async def both_ways(
    gw: RunningGateway, monkeypatch: pytest.MonkeyPatch, path: str, body: bytes, media: str
) -> list[tuple[int, str, Any]]:
    seen = []
    async with gw.client() as client:
        for is_direct in (True, False):
            if not is_direct:
                monkeypatch.setattr(DirectApi, "_direct_for", lambda *_: None)
            headers = {"x-cairn-cache": "off", **({"content-type": media} if media else {})}
            response = await client.post(path, content=body, headers=headers)
            kind = response.headers["content-type"]
            seen.append((response.status_code, kind, stable(json.loads(response.content))))
    return seen


@pytest.mark.parametrize(("path", "body"), REQUESTS)
async def test_answers_and_errors_are_the_same(
    gw: RunningGateway, monkeypatch: pytest.MonkeyPatch, path: str, body: Any
) -> None:
    encoded = json.dumps(body).encode()
    directly, otherwise = await both_ways(gw, monkeypatch, path, encoded, "application/json")
    assert directly == otherwise


@pytest.mark.parametrize(("body", "media"), RAW)
async def test_what_is_no_json_is_refused_alike(
    gw: RunningGateway, monkeypatch: pytest.MonkeyPatch, body: bytes, media: str
) -> None:
    directly, otherwise = await both_ways(gw, monkeypatch, "/v1/query", body, media)
    assert directly[0] == otherwise[0]
    assert directly[2].get("reason") == otherwise[2].get("reason")


async def test_the_routes_asked_most_are_among_them(gw: RunningGateway) -> None:
    app: Any = gw.server.http._server.config.app._app
    assert set(app._direct) >= DIRECT


async def test_other_methods_and_parameters_are_the_frameworks_affair(gw: RunningGateway) -> None:
    async with gw.client() as client:
        assert (await client.get("/v1/query")).status_code == 405
        answer = await client.post("/v1/query?x=1", json={"query": "How does granite form?"})
    assert answer.status_code == 200
