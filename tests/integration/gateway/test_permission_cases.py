"""Random documents, access lists, filters, callers and questions through every surface, twice and at
once so that caches and single flight take part: no byte of what a caller may not read comes out.

Every document carries a word of its own in text, title, address and metadata; the fake engine copies
what it is given, so the word would come out by any path that leads to it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import re
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from cairn.generation.v1 import generation_service_pb2 as generation
from cairn.retrieval.v1 import retrieval_service_pb2 as retrieval
from cairn.types.v1 import scope_pb2

from services.sql.engine import sqlite_url
from tests.kit.downstream import DIMENSIONS, FakeGeneration, running_downstream
from tests.kit.gateway import RunningGateway, running_gateway
from tests.kit.retrieval import Service, direction, document, retrieval_service, upsert
from tests.kit.surfaces import ANSWERS, READS, Caller, Case

SECRET = re.compile(rb"secret(\d+)x")
PRINCIPALS = ["user:a", "user:b", "user:c", "group:x", "group:y"]
TENANTS = ["acme", "other"]
QUERIES = [
    "how does granite form",
    "granite form how does",
    "where is basalt found",
    "basalt where is found",
    "rocks of the north",
    "the rocks of north",
]
FILTERS = ["", "", "", 'kind = "memo"', "year >= 2020", 'kind = "memo" AND year < 2023']
SURFACES = {**ANSWERS, **READS}
AT_ONCE = 16


class CopyingGeneration(FakeGeneration):
    """Writes out what it was given."""

    async def Generate(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        text = " ".join(
            f"{each.passage.text} [{number}]." for number, each in enumerate(request.passages, 1)
        )
        yield generation.GenerateResponse(started=generation.Started(engine="vllm", model="tiny"))
        yield generation.GenerateResponse(delta=generation.Delta(text=text))
        finished = generation.Finished(
            finish_reason=generation.FINISH_REASON_STOP, text=text, engine="vllm", model="tiny"
        )
        yield generation.GenerateResponse(finished=finished)


class World:
    """Two tenants' documents and who may read them."""

    def __init__(self, service: Service, rng: random.Random) -> None:
        self._service = service
        self._rng = rng
        self._next = 0
        self.readers: dict[int, tuple[str, frozenset[str]]] = {}
        """Tenant and access list of each secret that is still in a document."""
        self._secrets: dict[tuple[str, str], int] = {}

    async def write(self, tenant: str, document_id: str) -> None:
        """Writes a document, or replaces it by one with another secret and other readers."""
        self._next += 1
        number = self._next
        acl = self._rng.sample(PRINCIPALS, self._rng.randint(1, 3))
        word = f"secret{number}x"
        texts = [f"{self._rng.choice(QUERIES)} {word}.", f"More of {word} about rocks."]
        response = await upsert(
            self._service,
            document(
                document_id,
                texts,
                vectors=[direction(number + part, DIMENSIONS) for part in range(2)],
                acl=acl,
                title=f"Title {word}",
                uri=f"docs/{word}.md",
                kind=self._rng.choice(["memo", "note"]),
                year=self._rng.randint(2018, 2025),
                word=word,
            ),
            scope=scope_pb2.Scope(tenant=tenant, principals=["everyone"], actor="service:test"),
        )
        reader = scope_pb2.Scope(tenant=tenant, principals=PRINCIPALS, actor="service:test")
        seen = retrieval.SearchRequest(
            scope=reader,
            collection="docs",
            query=retrieval.Query(text="rocks"),
            options=retrieval.SearchOptions(
                mode=retrieval.SEARCH_MODE_KEYWORD, top_k=1, min_seq=response.seq
            ),
        )
        await self._service.stub.Search(seen)
        # From here on nobody may see what was there before.
        self.readers.pop(self._secrets.get((tenant, document_id), 0), None)
        self._secrets[tenant, document_id] = number
        self.readers[number] = (tenant, frozenset(acl))

    def may_read(self, secret: int, tenant: str, principals: frozenset[str]) -> bool:
        """Whether a caller may see a secret now."""
        owner, acl = self.readers.get(secret, ("", frozenset()))
        return owner == tenant and bool(acl & principals)


@contextlib.asynccontextmanager
async def running_world(
    folder: Path, rng: random.Random
) -> AsyncIterator[tuple[RunningGateway, World]]:
    async with contextlib.AsyncExitStack() as stack:
        service = await stack.enter_async_context(
            retrieval_service(sqlite_url(folder / "retrieval.db"), graph_rows=60)
        )
        down = await stack.enter_async_context(running_downstream(generation=CopyingGeneration()))
        down.targets["retrieval"] = service.target
        gw = await stack.enter_async_context(
            running_gateway(
                folder / "gateway",
                down=down,
                rate_per_second=1e6,
                rate_burst=1_000_000,
                log_level="error",
            )
        )
        world = World(service, rng)
        for tenant in TENANTS:
            async with gw.client(await gw.make_key(tenant=tenant, role="admin")) as client:
                made = await client.post("/v1/collections", json={"name": "docs"})
                assert made.status_code == 201, made.text
            for number in range(40):
                await world.write(tenant, f"d{number}")
        yield gw, world


async def leaks_of(folder: Path, seed: int, cases: int) -> tuple[Counter[str], list[str]]:
    """Runs random cases; returns how often each surface and cache took part, and what leaked."""
    rng = random.Random(seed)
    seen: Counter[str] = Counter()
    leaks: list[str] = []
    async with contextlib.AsyncExitStack() as stack:
        gw, world = await stack.enter_async_context(running_world(folder, rng))
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(gw.grpc_target))
        callers = []
        for tenant in TENANTS:
            for _ in range(8):
                principals = rng.sample(PRINCIPALS, rng.randint(1, 3))
                key = await gw.make_key(tenant=tenant, role="viewer", principals=principals)
                http = await stack.enter_async_context(gw.client(key))
                caller = Caller(http, channel, key)
                callers.append((caller, tenant, frozenset(principals)))

        async def one(surface: str, case: Case, who: tuple[Caller, str, frozenset[str]]) -> None:
            caller, tenant, principals = who
            answer = await SURFACES[surface](caller, case)
            found = {int(each) for each in SECRET.findall(answer)}
            seen[surface] += 1
            seen["answers with documents"] += bool(found)
            for cached in (b"exact", b"semantic"):
                seen[cached.decode()] += b'"cached":"' + cached + b'"' in answer
            leaks.extend(
                f"{surface}: secret {secret} to {sorted(principals)} of {tenant}"
                for secret in found
                if not world.may_read(secret, tenant, principals)
            )

        in_turn = itertools.cycle(rng.sample(list(SURFACES), len(SURFACES)))
        while sum(seen[surface] for surface in SURFACES) < cases:
            if rng.random() < 0.3:
                await world.write(rng.choice(TENANTS), f"d{rng.randrange(40)}")
            case = Case(
                query=rng.choice(QUERIES),
                collection="docs",
                filter=rng.choice(FILTERS),
                document_id=f"d{rng.randrange(40)}",
                top_k=rng.choice([3, 5]),
            )
            surfaces = [next(in_turn) for _ in range(AT_ONCE // 2)]
            # The same question at once from callers with different rights, and again.
            for _ in range(2):
                await asyncio.gather(
                    *(
                        one(surface, case, who)
                        for surface in surfaces
                        for who in rng.sample(callers, 2)
                    )
                )
    return seen, leaks


def check(seen: Counter[str], leaks: list[str], cases: int) -> None:
    assert not leaks, "\n".join(leaks[:20])
    assert set(SURFACES) <= set(seen)
    assert sum(seen[surface] for surface in SURFACES) >= cases
    assert seen["answers with documents"] > cases // 4, seen
    assert seen["exact"] > 0, "no answer came from the exact cache"


@pytest.mark.timeout(300)
async def test_no_surface_and_no_cache_leaks(tmp_path: Path) -> None:
    check(*await leaks_of(tmp_path, seed=1, cases=300), cases=300)


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_no_surface_and_no_cache_leaks_in_ten_thousand_cases(tmp_path: Path) -> None:
    seen, leaks = await leaks_of(tmp_path, seed=2, cases=10_000)
    check(seen, leaks, cases=10_000)
    assert seen["semantic"] > 0, seen
