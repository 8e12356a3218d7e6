"""Every endpoint and every role: allowed or refused as one table says, over REST and gRPC."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import grpc.aio
import httpx
import pytest
from cairn.gateway.v1 import gateway_service_pb2 as pb
from cairn.gateway.v1 import gateway_service_pb2_grpc as rpc

from services.gateway.identity import Operation
from tests.kit.gateway import RunningGateway, running_gateway
from tests.kit.identity_provider import running_provider
from tests.kit.permissions import FILE, GRPC, NONE, PLAIN_MODELS, REST, Rule
from tests.kit.valid_requests import gateway_requests

LEVELS = {"viewer": 1, "editor": 2, "operator": 3, "admin": 4}
OPEN = {"healthz", "readyz"}


class Holder:
    """Somebody with a credential, and what the table lets them do."""

    def __init__(
        self,
        name: str,
        credential: str,
        *,
        level: int = 0,
        here: int = 0,
        operations: frozenset[str] = frozenset(),
    ) -> None:
        self.name, self.credential = name, credential
        self._level, self._here, self._operations = level, here, operations

    def may(self, rule: Rule) -> bool:
        """Whether the rule lets them pass."""
        least = LEVELS[rule.least]
        if self._level >= least or rule.operation in self._operations:
            return True
        return self._here >= least and rule.place != "tenant"


@contextlib.asynccontextmanager
async def holders(gw: RunningGateway, token: str) -> AsyncIterator[list[Holder]]:
    """Makes one of each kind."""
    async with gw.client() as admin:
        asker = {"permissions": ["query", "manage_sources"]}
        assert (await admin.put("/v1/roles/asker", json=asker)).status_code == 201
        tenant = await admin.put("/v1/tenants/acme", json={})
        assert tenant.status_code == 201
        group = {"grants": [{"role": "operator", "collections": ["default", "host*"]}]}
        assert (await admin.put("/v1/groups/keepers", json=group)).status_code == 201
        user = await admin.put("/v1/users/kim", json={"groups": ["keepers"]})
        assert user.status_code == 201
    mine = [{"role": "editor", "collections": ["default", "hostile"]}]
    others = [{"role": "admin", "collections": ["other"]}]
    operations = frozenset({"query", "manage_sources"})
    yield [
        *[
            Holder(role, await gw.make_key(role=role), level=level)
            for role, level in LEVELS.items()
        ],
        Holder("editor of the collection", await gw.make_key(grants=mine), here=2),
        Holder("admin of another collection", await gw.make_key(grants=others)),
        Holder("asker", await gw.make_key(grants=[{"role": "asker"}]), operations=operations),
        Holder("key of a user", await gw.make_key(user_id="kim"), here=3),
        Holder("token", token, level=1),
    ]


@pytest.fixture
def provider() -> Iterator[Any]:
    with running_provider() as running:
        yield running


@pytest.fixture
async def ready(tmp_path: Any, provider: Any) -> AsyncIterator[tuple[RunningGateway, list[Holder]]]:
    setting = provider.setting(tenant="default", default_role="viewer")
    async with (
        running_gateway(tmp_path, jwt_issuers=setting, rate_burst=100_000) as gw,
        holders(gw, provider.token()) as found,
    ):
        yield gw, found


def expected(holder: Holder, rule: Rule) -> bool:
    """Whether the table lets the holder pass."""
    if holder.name == "admin of another collection":
        return rule.place == "anywhere"
    return holder.may(rule)


async def test_each_route_asks_for_what_the_table_says(
    ready: tuple[RunningGateway, list[Holder]],
) -> None:
    gw, found = ready
    async with gw.client(None) as client:
        description = (await client.get("/openapi.json")).json()
        routes = {
            operation["operationId"]: (method.upper(), path)
            for path, methods in description["paths"].items()
            for method, operation in methods.items()
        }
        assert set(routes) - OPEN == set(REST), "the table has a row for each route"
        wrong = []
        for name, rule in REST.items():
            assert Operation.labelled(rule.operation).role.label == rule.least, name
            for holder in found:
                response = await ask(client, *routes[name], name, rule, holder)
                if response.status_code == 401 or response.status_code >= 500:
                    wrong.append(f"{name} by {holder.name}: {response.text}")
                if (response.status_code != 403) != expected(holder, rule):
                    wrong.append(f"{name} by {holder.name}: {response.status_code}")
                if response.status_code == 403:
                    assert "role_required" in response.text.lower()
        assert not wrong, "\n".join(wrong)


async def ask(
    client: httpx.AsyncClient, method: str, path: str, name: str, rule: Rule, holder: Holder
) -> httpx.Response:
    store = "default" if "store" in path or "collections" in path else NONE
    for part, value in (
        ("{name}", store if "collections" in path else "cairn" if "models" in path else "none"),
        ("{store_id}", "default"),
        ("{tenant}", "default"),
        ("{role}", "nobody"),
        ("{group}", "nobody"),
        ("{user_id}", "nobody"),
    ):
        path = path.replace(part, value)
    while "{" in path:
        start = path.index("{")
        path = path[:start] + NONE + path[path.index("}") + 1 :]
    options: dict[str, Any] = {}
    if rule.body is FILE:
        options = {"files": {"file": ("a.txt", FILE)}, "data": {"purpose": "assistants"}}
    elif rule.body is not None:
        options = {"json": rule.body}
    headers = {"Authorization": f"Bearer {holder.credential}"}
    return await client.request(method, path + rule.query, headers=headers, **options)


async def test_each_method_asks_for_what_the_table_says(
    ready: tuple[RunningGateway, list[Holder]],
) -> None:
    gw, found = ready
    service = pb.DESCRIPTOR.services_by_name["GatewayService"]
    assert {method.name for method in service.methods} == {*GRPC, "ListModels"}
    requests = gateway_requests()
    wrong = []
    async with grpc.aio.insecure_channel(gw.grpc_target) as channel:
        stub = rpc.GatewayServiceStub(channel)
        for method in service.methods:
            rule = PLAIN_MODELS if method.name == "ListModels" else REST[GRPC[method.name]]
            for holder in found:
                request = home(requests[method.name])
                code = await call(stub, method, request, holder.credential)
                is_let_in = code is not grpc.StatusCode.PERMISSION_DENIED
                if code is grpc.StatusCode.UNAUTHENTICATED:
                    wrong.append(f"{method.name} by {holder.name}: {code}")
                if is_let_in != expected(holder, rule):
                    wrong.append(f"{method.name} by {holder.name}: {code}")
    assert not wrong, "\n".join(wrong)


def home(request: Any) -> Any:
    """Returns the request for the caller's own tenant: others are for home admins alone."""
    copy = type(request)()
    if copy.DESCRIPTOR.name == "GetLimitsRequest":
        return copy  # its fields ask for somebody else's
    copy.CopyFrom(request)
    if "tenant" in copy.DESCRIPTOR.fields_by_name:
        copy.tenant = "default"
    return copy


async def call(stub: Any, method: Any, request: Any, credential: str) -> grpc.StatusCode:
    metadata = (("authorization", f"Bearer {credential}"),)
    made = getattr(stub, method.name)
    argument = iter([request]) if method.client_streaming else request
    running = made(argument, metadata=metadata, timeout=10)
    try:
        if method.server_streaming:
            async for _ in running:
                pass
        else:
            await running
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def test_lists_leave_out_what_a_grant_does_not_cover(gw: RunningGateway) -> None:
    async with gw.client() as admin:
        names = [
            each["name"] for each in (await admin.get("/v1/collections")).json()["collections"]
        ]
    assert "default" in names
    key = await gw.make_key(grants=[{"role": "viewer", "collections": ["other"]}])
    async with gw.client(key) as client:
        assert (await client.get("/v1/collections")).json()["collections"] == []
        models = (await client.get("/openai/v1/models")).json()["data"]
        assert "cairn/default" not in {each["id"] for each in models}


async def test_only_home_admins_reach_other_tenants(gw: RunningGateway) -> None:
    foreign = await gw.make_key(role="admin", tenant="acme")
    paths = ["/v1/keys", "/v1/users", "/v1/groups", "/v1/roles", "/v1/audit", "/v1/audit/verify"]
    async with gw.client(foreign) as client, gw.client() as home_admin:
        for path in paths:
            refused = await client.get(path, params={"tenant": "default"})
            assert refused.status_code == 403, path
            assert (await client.get(path)).status_code == 200, path
            assert (await home_admin.get(path, params={"tenant": "acme"})).status_code == 200, path
        assert (await client.put("/v1/tenants/acme", json={})).status_code == 403
        assert (await client.get("/v1/tenants/default")).status_code == 403
        listed = (await client.get("/v1/tenants")).json()["tenants"]
    assert [each["tenant"] for each in listed] == ["acme"]
