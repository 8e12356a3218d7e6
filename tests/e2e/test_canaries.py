"""No secret and nothing personal in any sink, whatever is put in and whatever fails."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.kit.canaries import Canaries
from tests.kit.traced_suite import Traced, traced_suite

pytestmark = pytest.mark.timeout(240)

SERVICES = ("EMBEDDING", "RETRIEVAL", "GENERATION", "INGESTION", "GATEWAY")


class Sinks:
    """Everything that is written down or told of a request, but for what it asked for."""

    def __init__(self, traced: Traced, canaries: Canaries) -> None:
        self._traced = traced
        self._canaries = canaries
        self.errors: list[str] = []
        self.failures: list[str] = []

    def check(self) -> None:
        """Asserts that no sink shows a canary."""
        logs = {path.name: path.read_text("utf-8", "replace") for path in self._log_paths()}
        assert sum(len(text) for text in logs.values()) > 10_000, "the logs say something"
        spans = self._traced.receiver.spans
        assert len(spans) > 200
        sinks = {
            **{f"log {name}": text for name, text in logs.items()},
            "spans": "\n".join(repr(span) for span in spans),
            "metrics": "\n".join(self._metrics()),
            "errors": "\n".join(self.errors),
            "dead letters": "\n".join(self.failures),
        }
        shown = {
            name: found for name, text in sinks.items() if (found := self._canaries.found_in(text))
        }
        assert not shown
        assert self.errors
        assert self.failures

    def _log_paths(self) -> list[Path]:
        return [Path(each.log) for each in self._traced.suite.state().processes if each.log]

    def _metrics(self) -> list[str]:
        addresses = [each.metrics_address for each in self._traced.suite.state().processes]
        return [
            httpx.get(f"http://{each}/metrics", trust_env=False).text for each in addresses if each
        ]


async def test_no_sink_shows_what_was_put_in(tmp_path: Path) -> None:
    debug = {f"CAIRN_{name}_LOG_LEVEL": "debug" for name in SERVICES}
    canaries = Canaries(11)
    async with traced_suite(tmp_path, **debug) as traced:
        sinks = Sinks(traced, canaries)
        headers = {"Authorization": f"Bearer {traced.suite.api_key}"}
        async with httpx.AsyncClient(
            base_url=traced.suite.http_url, headers=headers, timeout=30, trust_env=False
        ) as client:
            await _ask(client, canaries, sinks)
            await _ask_wrongly(client, canaries, sinks)
            await _hand_in(client, canaries, sinks)
            await _knock(client, canaries, sinks)
        await asyncio.sleep(1.5)  # spans leave each second
        sinks.check()


async def _ask(client: httpx.AsyncClient, canaries: Canaries, sinks: Sinks) -> None:
    """What succeeds, degrades, or runs out of time."""
    for number in range(12):
        body: dict[str, Any] = {
            "query": f"How does granite form, {canaries.make('query')}?",
            "history": [{"speaker": "user", "text": canaries.make("history")}],
            "mode": ("hybrid", "dense", "keyword")[number % 3],
        }
        more = {"baggage": f"who={canaries.make('baggage')}", "user-agent": canaries.make("agent")}
        assert (await client.post("/v1/query", json=body, headers=more)).status_code == 200
        body.pop("history")
        assert (await client.post("/v1/search", json=body)).status_code == 200
        completion = {
            "model": "extractive",
            "messages": [{"role": "user", "content": canaries.make("chat message")}],
        }
        response = await client.post("/openai/v1/chat/completions", json=completion)
        if response.status_code != 200:
            sinks.errors.append(response.text)
    late = {"query": canaries.make("late query"), "model": "silent", "timeout_ms": 1500}
    response = await client.post("/v1/query", json=late)
    assert response.status_code in {200, 400, 503, 504}, response.text
    if response.status_code != 200:
        sinks.errors.append(response.text)
    response = await client.post(
        "/v1/feedback",
        json={"trace_id": "ab" * 16, "rating": "down", "comment": canaries.make("comment")},
    )
    assert response.is_success, response.text


async def _ask_wrongly(client: httpx.AsyncClient, canaries: Canaries, sinks: Sinks) -> None:
    """What is refused: the answer says what is wrong, not what it read."""
    wrong: list[dict[str, Any]] = [
        {"query": canaries.make("query of no collection"), "collection": "no-such"},
        {"query": canaries.make("query too long") * 20_000},
        {"query": canaries.make("query with a wrong field"), "top_k": -1},
        {"query": ["x", canaries.make("list for a text")]},
        {"query": {"nested": canaries.make("object for a text")}},
        {"query": "x", "history": [{"speaker": "nobody", "text": canaries.make("odd history")}]},
        {"query": "x", "filter": f"owner = '{canaries.make('filter')}' and ("},
        {"query": "x", "filter": f"'{canaries.make('filter literal')}"},
    ]
    for body in wrong:
        for path in ("/v1/query", "/v1/search"):
            response = await client.post(path, json=body)
            assert response.status_code in {400, 404, 413, 422}, response.text
            sinks.errors.append(response.text)
    for content in (
        f'{{"query": "{canaries.make("broken json")}',
        f'{{"query": "x", "query": "{canaries.make("double field")}"}}',
        canaries.make("no json"),
    ):
        response = await client.post(
            "/v1/query", content=content, headers={"content-type": "application/json"}
        )
        assert response.status_code == 400
        sinks.errors.append(response.text)


async def _hand_in(client: httpx.AsyncClient, canaries: Canaries, sinks: Sinks) -> None:
    """Documents that are taken in, and documents that fail for good in every way at hand."""
    good = {
        "document_id": "good",
        "text": f"Slate splits. {canaries.make('text')}",
        "title": canaries.make("title"),
        "metadata": {"owner": canaries.make("metadata")},
    }
    response = await client.post("/v1/documents", json={"documents": [good]})
    assert response.status_code < 300, response.text
    broken = {
        "broken.pdf": b"%PDF-1.7\n" + canaries.make("broken pdf").encode() * 50,
        "broken.docx": b"PK\x03\x04" + canaries.make("broken docx").encode() * 50,
        "broken.xlsx": b"PK\x03\x04" + canaries.make("broken xlsx").encode() * 50,
        "broken.json": b'{"a": "' + canaries.make("broken json file").encode(),
        "broken.xml": f"<a><b>{canaries.make('broken xml')}</a>".encode(),
        "broken.epub": b"PK\x03\x04" + canaries.make("broken epub").encode(),
    }
    for name, data in broken.items():
        files = {"file": (f"{canaries.make('file name')}-{name}", data)}
        response = await client.post("/v1/documents", files=files)
        if response.status_code >= 300:
            sinks.errors.append(response.text)
    ended: list[dict[str, Any]] = []
    for _ in range(150):
        listed = (await client.get("/v1/documents", params={"page_size": 100})).json()["documents"]
        ended = [each for each in listed if each["state"] in {"ready", "dead_letter", "failed"}]
        if len(ended) == len(listed):
            break
        await asyncio.sleep(0.2)
    else:
        pytest.fail("documents did not end")
    sinks.failures += [
        json.dumps(
            {
                key: each.get(key)
                for key in ("failure_reason", "failure_message", "failure_stage", "warnings")
            }
        )
        for each in ended
        if each["state"] != "ready"
    ]


async def _knock(client: httpx.AsyncClient, canaries: Canaries, sinks: Sinks) -> None:
    """Wrong credentials, unknown paths, odd methods."""
    for key in (
        f"Bearer {canaries.make('key')}",
        f"Bearer crn_{canaries.make('key body')}",
        f"Basic {canaries.make('basic')}",
        "Bearer eyJhbGciOiJub25lIn0." + canaries.make("token") + ".x",
    ):
        response = await client.post(
            "/v1/query",
            json={"query": canaries.make("query of nobody")},
            headers={"Authorization": key},
        )
        assert response.status_code == 401
        sinks.errors.append(response.text)
    for path in (f"/v1/{canaries.make('path')}", f"/nowhere/{canaries.make('open path')}"):
        response = await client.get(path, params={"token": canaries.make("query string")})
        assert response.status_code == 404
    response = await client.request(canaries.make("method").split("@")[0].split()[0], "/v1/query")
    assert response.status_code >= 400
