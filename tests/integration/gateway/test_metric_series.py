"""Tenants and users beyond count add no series to the gateway's metrics beyond their cap."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import httpx
import pytest
from prometheus_client import REGISTRY, generate_latest

from services.rpc import metrics
from services.rpc.metrics import MAX_TENANTS, OTHER_TENANTS
from tests.kit.downstream import MODEL
from tests.kit.gateway import RunningGateway
from tests.kit.metric_labels import families_of, series_of

TENANTS = 500
AT_ONCE = 20
Series = set[tuple[str, frozenset[tuple[str, str]]]]


def ours() -> Series:
    return series_of(families_of(generate_latest(REGISTRY).decode()))


def named(series: Series) -> set[str]:
    """Tenants that metrics name."""
    found = (dict(labels).get("tenant") for _, labels in series)
    return {tenant for tenant in found if tenant}


async def posted(
    client: httpx.AsyncClient, path: str, bodies: Sequence[dict[str, str]], keys: Sequence[str]
) -> list[httpx.Response]:
    """Posts each body with its key, some at once."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(body: dict[str, str], key: str) -> httpx.Response:
        async with gate:
            headers = {"Authorization": f"Bearer {key}"}
            return await client.post(path, json=body, headers=headers)

    return await asyncio.gather(*(one(*each) for each in zip(bodies, keys, strict=True)))


@pytest.fixture(autouse=True)
def _forgets_the_flood(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this process names is for all its tests: those after the flood name theirs, too."""
    monkeypatch.setattr(metrics.TENANTS, "_named", set(metrics.TENANTS._named))


@pytest.mark.timeout(180)
async def test_tenants_are_named_up_to_the_cap_and_counted_together_beyond(
    gw: RunningGateway,
) -> None:
    def asked(rock: str, count: int) -> list[dict[str, str]]:
        return [
            {"model": MODEL, "user": f"{rock}-{number}", "input": f"How does {rock} {number} form?"}
            for number in range(count)
        ]

    async with gw.client() as client:
        wanted = [{"name": "k", "tenant": f"flood-{n}", "role": "viewer"} for n in range(TENANTS)]
        made = await posted(client, "/v1/keys", wanted, [gw.key] * TENANTS)
        keys = [each.json()["secret"] for each in made]
        answers = await posted(client, "/openai/v1/embeddings", asked("granite", TENANTS), keys)
        assert {each.status_code for each in answers} == {200}
        before = ours()
        assert OTHER_TENANTS in named(before)
        assert len(named(before)) <= MAX_TENANTS + 1

        await posted(client, "/openai/v1/embeddings", asked("basalt", 50), keys[-50:])

    assert named(ours()) == named(before)
    assert not [each for each in ours() if "basalt" in str(each) or "granite" in str(each)]
