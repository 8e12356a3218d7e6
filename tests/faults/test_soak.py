"""Steady use for a while: nothing fails, and nothing grows."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator

import httpx
import psutil
import pytest

from tests.kit.suite import Suite, ingest_text, running_suite

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]

SECONDS = float(os.environ.get("SOAK_SECONDS", "900"))
WARM_UP_SHARE = 0.25
MAX_GROWTH_BYTES = 48 * 1024 * 1024
"""Of one process after its warm-up: caches that still fill, and the allocator's slack."""
MAX_MORE_DESCRIPTORS = 24
DOCUMENT_COUNT = 20


@pytest.fixture(scope="module")
def own_suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    with running_suite(tmp_path_factory.mktemp("soak")) as suite:
        ingest_text(
            suite, granite="# Granite\n\nGranite forms when magma cools slowly below ground."
        )
        yield suite


def _sizes(suite: Suite) -> dict[str, tuple[int, int]]:
    """Resident bytes and open descriptors of each process, by its name and id."""
    sizes = {}
    for each in suite.state().processes:
        process = psutil.Process(each.pid)
        sizes[f"{each.name} {each.pid}"] = (process.memory_info().rss, process.num_fds())
    return sizes


async def _use(client: httpx.AsyncClient, until: float, failures: list[str]) -> int:
    """Asks, searches, and rewrites the same few documents; returns how often."""
    count = 0
    while time.monotonic() < until:
        count += 1
        if count % 5 == 0:
            number = count // 5 % DOCUMENT_COUNT
            text = f"# Note {number}\n\nStone {number} was weighed {count} times."
            document = {"document_id": f"note-{number}", "file_name": "note.md", "text": text}
            path, body = "/v1/documents", {"documents": [document]}
        elif count % 2:
            path, body = "/v1/query", {"query": f"How does granite form, number {count}?"}
        else:
            path, body = "/v1/search", {"query": f"magma {count % 100}"}
        response = await client.post(path, json=body)
        if response.status_code not in {200, 202}:
            failures.append(f"{path}: {response.status_code} {response.text[:200]}")
        await asyncio.sleep(0.05)
    return count


async def test_steady_use_neither_fails_nor_grows(own_suite: Suite) -> None:
    failures: list[str] = []
    headers = {"Authorization": f"Bearer {own_suite.api_key}"}
    async with httpx.AsyncClient(
        base_url=own_suite.http_url, headers=headers, timeout=30, trust_env=False
    ) as client:

        async def run(seconds: float) -> int:
            until = time.monotonic() + seconds
            return sum(await asyncio.gather(*(_use(client, until, failures) for _ in range(3))))

        await run(SECONDS * WARM_UP_SHARE)
        before = _sizes(own_suite)
        count = await run(SECONDS * (1 - WARM_UP_SHARE))
        after = _sizes(own_suite)
    assert not failures, failures[:10]
    assert count > SECONDS
    assert after.keys() == before.keys(), "a process was started again"
    grown = {
        name: (resident - before[name][0], descriptors - before[name][1])
        for name, (resident, descriptors) in after.items()
    }
    assert all(
        size <= MAX_GROWTH_BYTES and descriptors <= MAX_MORE_DESCRIPTORS
        for size, descriptors in grown.values()
    ), grown
