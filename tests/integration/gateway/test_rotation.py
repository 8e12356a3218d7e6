"""Keys and providers' keys change under load, over three replicas: no request fails; what is
revoked is refused everywhere within five seconds."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from cairn.gateway.v1 import gateway_service_pb2_grpc as rpc
from cairn.gateway.v1 import identity_pb2 as pb

from tests.kit.downstream import running_downstream
from tests.kit.gateway import RunningGateway, running_gateway
from tests.kit.identity_provider import IdentityProvider, SigningKey, running_provider

REVOKED_SECONDS = 5.0


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    with running_provider() as running:
        yield running


@pytest.fixture
async def replicas(
    tmp_path: Path, provider: IdentityProvider
) -> AsyncIterator[list[RunningGateway]]:
    """Three gateways over one database."""
    setting = provider.setting(tenant="default", default_role="viewer")
    async with contextlib.AsyncExitStack() as stack:
        down = await stack.enter_async_context(running_downstream())
        yield [
            await stack.enter_async_context(
                running_gateway(
                    tmp_path, down=down, jwt_issuers=setting, rate_burst=10**6, rate_per_second=1e6
                )
            )
            for _ in range(3)
        ]


class Load:
    """Requests on every replica, over both surfaces, with whatever credential is the newest."""

    def __init__(self, replicas: list[RunningGateway], credential: Callable[[], str]) -> None:
        self._replicas, self._credential = replicas, credential
        self.outcomes: Counter[Any] = Counter()
        self._is_over = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            for replica in self._replicas:
                for _ in range(2):
                    group.create_task(self._over_http(replica))
                group.create_task(self._over_grpc(replica))
            yield
            self._is_over = True

    async def further(self, count: int) -> None:
        """Waits until so many more requests were answered."""
        wanted = self.outcomes.total() + count
        while self.outcomes.total() < wanted:
            await asyncio.sleep(0.01)

    async def _over_http(self, replica: RunningGateway) -> None:
        async with replica.client(None) as client:
            while not self._is_over:
                headers = {"Authorization": f"Bearer {self._credential()}"}
                response = await client.get("/v1/me", headers=headers)
                self.outcomes[response.status_code] += 1

    async def _over_grpc(self, replica: RunningGateway) -> None:
        async with grpc.aio.insecure_channel(replica.grpc_target) as channel:
            stub = rpc.GatewayServiceStub(channel)
            while not self._is_over:
                metadata = (("authorization", f"Bearer {self._credential()}"),)
                try:
                    await stub.GetCaller(pb.GetCallerRequest(), metadata=metadata, timeout=20)
                    self.outcomes[200] += 1
                except grpc.aio.AioRpcError as error:
                    self.outcomes[error.code()] += 1


async def test_a_key_rotates_without_a_failed_request(replicas: list[RunningGateway]) -> None:
    first = await replicas[0].make_key(role="viewer")
    key_id = first.split("_")[1]
    secrets = [first]
    load = Load(replicas, lambda: secrets[-1])
    async with load.running(), replicas[1].client() as admin:
        for _ in range(4):
            await load.further(60)
            response = await admin.post(f"/v1/keys/{key_id}/rotate", json={"overlap_seconds": 60})
            secrets.append(response.json()["secret"])
        await load.further(120)
    assert set(load.outcomes) == {200}
    async with replicas[2].client() as admin:
        key = (await admin.get(f"/v1/keys/{key_id}")).json()["key"]
    assert key["key_id"] == key_id
    assert len(key["secrets"]) == 5


async def test_a_providers_keys_rotate_without_a_failed_request(
    replicas: list[RunningGateway], provider: IdentityProvider
) -> None:
    tokens = [provider.token()]
    load = Load(replicas, lambda: tokens[-1])
    async with load.running():
        for number in range(4):
            await load.further(60)
            provider.keys.append(SigningKey(f"key {number}"))
            tokens.append(provider.token())
        await load.further(120)
    assert set(load.outcomes) == {200}
    assert provider.fetch_count <= 3 * 12


async def test_what_is_revoked_is_refused_everywhere_within_five_seconds(
    replicas: list[RunningGateway], provider: IdentityProvider
) -> None:
    async with replicas[0].client() as admin:
        assert (await admin.put("/v1/users/kim", json={"grants": []})).status_code == 201
        kept = await replicas[0].make_key(role="viewer")
        revoked = await replicas[0].make_key(role="viewer")
        rotated = await replicas[0].make_key(role="viewer")
        users = await replicas[0].make_key(user_id="kim", role="viewer")
        shut = await replicas[0].make_key(role="viewer", tenant="acme")
        token = provider.token("ada")
        gone = {"key": revoked, "secret": rotated, "user": users, "tenant": shut, "token": token}
        for replica in replicas:
            for credential in (kept, *gone.values()):
                assert await status(replica, credential) in {200, 403}
        old = await replicas[0].make_key(role="viewer")
        assert await status(replicas[1], old) == 200
        for method, path, body in (
            ("DELETE", f"/v1/keys/{revoked.split('_')[1]}", None),
            ("POST", f"/v1/keys/{rotated.split('_')[1]}/rotate", {"overlap_seconds": 0}),
            ("PUT", "/v1/users/kim", {"is_disabled": True}),
            ("PUT", "/v1/users/ada", {"is_disabled": True}),
            ("PUT", "/v1/tenants/acme", {"is_disabled": True}),
        ):
            response = await admin.request(method, path, json=body)
            assert response.is_success, response.text
    done = time.monotonic()
    waiting = {(name, index) for name in gone for index in range(len(replicas))}
    while waiting and time.monotonic() < done + 3 * REVOKED_SECONDS:
        for name, index in sorted(waiting):
            if await status(replicas[index], gone[name]) == 401:
                waiting.discard((name, index))
        await asyncio.sleep(0.05)
    assert waiting == set()
    assert time.monotonic() - done < REVOKED_SECONDS
    for replica in replicas:
        assert await status(replica, kept) == 200


async def status(replica: RunningGateway, credential: str) -> int:
    """Returns how a replica answers a credential."""
    async with replica.client(credential) as client:
        return (await client.get("/v1/me")).status_code
