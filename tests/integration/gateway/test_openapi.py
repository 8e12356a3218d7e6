"""The OpenAPI description is the routes: nothing is missing in it, nothing is made up, and hostile
requests that it leads to meet described answers only."""

from __future__ import annotations

import asyncio
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.routing import Route

from tests.kit.gateway import RunningGateway, running_gateway

ROOMY: dict[str, Any] = {}
OUTSIDE = {"/", "/assets/{name:path}", "/favicon.ico", "/openapi.json", "/mcp"}
"""What is no REST: the console's files, the description itself, and another protocol."""

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


def routes_of(gw: RunningGateway) -> set[tuple[str, str]]:
    """Returns method and path of every route of the running application."""
    exchange: Any = gw.server.http._server.config.app
    app = exchange._app
    found = set()
    for route in app.state.routes:
        assert isinstance(route, Route)
        for method in route.methods or {"*"}:
            found.add((method, re.sub(r":path}", "}", route.path)))
    return found


async def test_every_route_is_described_and_every_description_is_a_route(
    gw: RunningGateway,
) -> None:
    async with gw.client(None) as client:
        description = (await client.get("/openapi.json")).json()
    described = {
        (method.upper(), path)
        for path, operations in description["paths"].items()
        for method in operations
    }
    outside = {re.sub(r":path}", "}", path) for path in OUTSIDE}
    routes = {
        (method, path) for method, path in routes_of(gw) if path not in outside and method != "HEAD"
    }
    assert described == routes


async def test_every_operation_says_what_it_gives_and_what_can_go_wrong(
    gw: RunningGateway,
) -> None:
    async with gw.client(None) as client:
        description = (await client.get("/openapi.json")).json()
    names: Counter[str] = Counter()
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            names[operation["operationId"]] += 1
            good = [code for code in operation["responses"] if code.startswith("2")]
            assert good, (method, path)
            if path in {"/healthz", "/readyz"}:
                continue
            assert operation["security"] == [{"api_key": []}], path
            assert {"400", "401", "403", "404", "429", "500", "503"} <= set(
                operation["responses"]
            ), (method, path)
            for code in good:
                content = operation["responses"][code].get("content", {})
                assert code == "204" or content, (method, path, code)
                for media in content.values():
                    assert media["schema"], (method, path, code)
    assert [name for name, count in names.items() if count > 1] == []


async def hostile_run(gw: RunningGateway, examples: int) -> tuple[int, list[str]]:
    """Sends what the description leads to; returns how many and what was wrong."""
    async with gw.client(None) as client:
        description = (await client.get("/openapi.json")).json()
    return await asyncio.to_thread(send_hostile, description, gw.url, gw.key, examples)


def send_hostile(
    description: dict[str, Any], url: str, key: str, examples: int
) -> tuple[int, list[str]]:
    schema = schemathesis.openapi.from_dict(description)
    config = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=os.environ.get("CAIRN_FUZZ_SEED") is None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    sent = 0
    wrong: list[str] = []
    for result in schema.get_all_operations():
        operation = result.ok()

        def one(case: Any) -> None:
            nonlocal sent
            sent += 1
            response = case.call(base_url=url, headers={"Authorization": f"Bearer {key}"})
            try:
                case.validate_response(response, checks=CHECKS)
            except AssertionError as error:
                wrong.append(
                    f"{case.method} {case.path} {response.status_code}: {str(error)[:600]}"
                )
            except BaseExceptionGroup as group:
                wrong.extend(
                    f"{case.method} {case.path} {response.status_code}: {str(error)[:600]}"
                    for error in group.exceptions
                )

        given(case=operation.as_strategy())(config(one))()
    return sent, wrong


# The gateway draws random numbers in its own thread while a strategy draws in this one.
not_from_strategies = pytest.mark.filterwarnings("ignore:Do not use the `random` module")


@not_from_strategies
async def test_hostile_requests_meet_described_answers(tmp_path: Path) -> None:
    async with running_gateway(tmp_path, **ROOMY) as gw:
        sent, wrong = await hostile_run(gw, examples=4)
    assert not wrong, "\n".join(wrong[:10])
    assert sent > 200


@not_from_strategies
@pytest.mark.long
@pytest.mark.timeout(900)
async def test_many_hostile_requests_meet_described_answers(tmp_path: Path) -> None:
    async with running_gateway(tmp_path, **ROOMY) as gw:
        sent, wrong = await hostile_run(gw, examples=100)
    assert not wrong, "\n".join(wrong[:10])
    assert sent > 4_000
