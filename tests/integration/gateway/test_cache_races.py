"""Caches over real retrieval replicas: writers and readers at once, each through replicas of its own."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cairn.retrieval.v1 import retrieval_service_pb2 as pb

from services.gateway.caches.answers import AnswerStore
from services.gateway.caches.identity import EngineIdentity
from services.gateway.caches.pipeline import CachedPipeline
from services.gateway.caches.positions import Positions
from services.gateway.caches.store import BoundedStore
from services.gateway.clients.retrieval_client import RetrievalClient
from services.gateway.pipeline.ports import Embedded, Finished, Started, Vector
from services.gateway.pipeline.rag import RagPipeline
from services.gateway.requests import Question, RecommendAsk, SearchAsk
from services.gateway.usage import PriceTable, Usage
from services.rpc.channel import open_channel
from services.rpc.scope import Scope
from tests.kit.pipeline_fakes import FakeServices
from tests.kit.retrieval import (
    Service,
    create,
    direction,
    document,
    retrieval_service,
    scope,
    upsert,
    vector,
)

NUMBERS = direction(0)
ANNA = Scope("acme", ("user:anna",), "key:anna")
BEN = Scope("acme", ("user:ben",), "key:ben")
QUESTION = Question.checked("Which number does the notice say?", collection="docs")
PARAPHRASE = Question.checked("please tell me which number the notice says", collection="docs")
SEARCH = SearchAsk.checked("notice number", collection="docs")


class Models(FakeServices):
    """One vector for all texts; the answer is the best passage's first sentence."""

    async def embed_queries(self, scope: Scope, texts: Sequence[str], model: str) -> Embedded:
        one = Vector(vector(NUMBERS).data, 1, len(NUMBERS))
        return Embedded(tuple(one for _ in texts), "", Usage())

    async def generate(self, scope: Scope, prompt: Any, timeout_seconds: float) -> Any:
        await self._meet("generate", prompt)
        sentence = prompt.passages[0].passage.text.partition(".")[0]
        text = f"{sentence} [1]."
        yield Started("vllm", "tiny")
        yield Finished(text, "stop", "vllm", "tiny", Usage(completion_tokens=1))


@dataclass
class Fleet:
    """Two gateways, each before a retrieval replica of its own, over one database."""

    stores: tuple[Service, Service]
    gateways: tuple[CachedPipeline, CachedPipeline]

    async def write(self, by: int, number: int, *readers: str) -> None:
        text = f"The notice says number {number}. It hangs at the door."
        made = document("notice", [text], vectors=[NUMBERS], acl=readers)
        await upsert(self.stores[by], made)

    def hits(self, name: str) -> int:
        return sum(each.figures()[name]["hits"] for each in self.gateways)


@contextlib.asynccontextmanager
async def one_gateway(target: str) -> AsyncIterator[CachedPipeline]:
    async with open_channel(target, health_service=None) as channel:
        retrieval, models = RetrievalClient(channel), Models()
        pipeline = RagPipeline(
            embedder=models,
            reranker=models,
            retriever=retrieval,
            generator=models,
            prices=PriceTable(),
        )
        yield CachedPipeline(
            pipeline,
            positions=Positions(retrieval),
            identity=EngineIdentity(models),
            answers=AnswerStore(1 << 22, 3600, 0.9),
            results=BoundedStore("retrieval", 1 << 22, 3600),
            seconds=20,
            currency="USD",
        )


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    url = f"sqlite:///{tmp_path}/retrieval.db"
    async with (
        retrieval_service(url) as one,
        retrieval_service(url) as two,
        one_gateway(one.target) as left,
        one_gateway(two.target) as right,
    ):
        await create(one)
        yield Fleet((one, two), (left, right))


def number_in(text: str) -> int:
    """The number an answer or a passage tells; -1: none."""
    found = re.search(r"number (\d+)", text)
    return int(found.group(1)) if found else -1


async def numbers_read(gateway: CachedPipeline, reader: Scope) -> list[int]:
    """What a reader is told, in every way, with -1 for nothing."""
    answer, like, found = await asyncio.gather(
        gateway.answer(reader, QUESTION),
        gateway.answer(reader, PARAPHRASE),
        gateway.search(reader, SEARCH),
    )
    best = found.passages[0].passage.text if found.passages else ""
    return [number_in(answer.answer), number_in(like.answer), number_in(best)]


async def race(fleet: Fleet, count: int) -> None:
    """Writes `count` versions; after each, and all the time besides, nobody reads an older one."""
    acknowledged = 0
    may_ben = True
    is_over = False
    read = told_ben = 0

    async def read_on(gateway: CachedPipeline) -> None:
        nonlocal read
        while not is_over:
            since = acknowledged
            for number in await numbers_read(gateway, ANNA):
                assert number >= since, f"was told {number} after {since} was acknowledged"
            read += 1
            await asyncio.sleep(0)

    await fleet.write(0, 0, "user:anna", "user:ben")
    async with asyncio.TaskGroup() as group:
        for gateway in fleet.gateways:
            group.create_task(read_on(gateway))
        try:
            for number in range(1, count + 1):
                may_ben = number % 3 != 0
                readers = ("user:anna", "user:ben") if may_ben else ("user:anna",)
                await fleet.write(number % 2, number, *readers)
                acknowledged = number
                for gateway in fleet.gateways:
                    told = await gateway.answer(BEN, PARAPHRASE if number % 2 else QUESTION)
                    seen = number_in(told.answer)
                    if may_ben and seen == -1:  # a view that lags misses what is new to Ben
                        assert told.cached == ""
                        continue
                    told_ben += may_ben
                    assert seen == (number if may_ben else -1)
                    assert bool(told.passages) is may_ben
                if number % 5 == 0:  # long enough for caches to be full of this version
                    before = fleet.hits("exact") + fleet.hits("retrieval")
                    while fleet.hits("exact") + fleet.hits("retrieval") < before + 4:
                        await asyncio.sleep(0.002)
        finally:
            is_over = True
    assert read > count / 10
    assert told_ben > count / 4, "of four thirds: some views lag, not all"
    assert fleet.hits("exact") > count / 10, "the caches were in use"
    assert fleet.hits("retrieval") > count / 10


async def test_a_changed_document_never_serves_a_stale_answer(fleet: Fleet):
    await race(fleet, 60)


@pytest.mark.long
@pytest.mark.timeout(570)
async def test_a_changed_document_never_serves_a_stale_answer_in_1000_races(fleet: Fleet):
    await race(fleet, 1_000)


async def test_a_paraphrase_hits_for_who_may_read_and_never_for_who_may_not(fleet: Fleet):
    await fleet.write(0, 7, "user:anna")
    gateway = fleet.gateways[0]
    assert (await gateway.answer(ANNA, QUESTION)).cached == ""
    again = await gateway.answer(ANNA, PARAPHRASE)
    assert (again.cached, number_in(again.answer)) == ("semantic", 7)
    for question in (QUESTION, PARAPHRASE):
        told = await gateway.answer(BEN, question)
        assert (told.cached, told.passages, told.citations) == ("", (), ())
        assert "7" not in told.answer
    await fleet.write(0, 7, "user:anna", "user:ben")
    assert number_in((await gateway.answer(BEN, PARAPHRASE)).answer) == 7


async def test_documents_that_end_are_not_told_of_from_caches(fleet: Fleet):
    gateway = fleet.gateways[0]
    ending = document("notice", ["The notice says number 9."], vectors=[NUMBERS])
    ending.time_to_live.FromMilliseconds(1_500)
    await upsert(fleet.stores[0], ending)
    everyone = Scope("acme", ("everyone",), "key:e")
    assert number_in((await gateway.answer(everyone, QUESTION)).answer) == 9
    async with asyncio.timeout(30):
        while (await gateway.answer(everyone, QUESTION)).passages:
            await asyncio.sleep(0.1)
    assert (await gateway.search(everyone, SEARCH)).passages == ()


async def test_recommendations_follow_rights_and_writes(fleet: Fleet):
    for name, acl in (("a", "user:anna"), ("b", "user:anna"), ("c", "user:ben")):
        await upsert(fleet.stores[0], document(name, [name], vectors=[NUMBERS], acl=[acl]))
    ask = RecommendAsk.checked(collection="docs", positive_ids=["a"])
    gateway = fleet.gateways[1]

    async def found() -> tuple[str, list[str]]:
        result = await gateway.recommend(ANNA, ask)
        return result.cached, [each.passage.document_id for each in result.passages]

    async with asyncio.timeout(20):
        while (await found())[0] != "exact":
            await asyncio.sleep(0.02)
    assert await found() == ("exact", ["b"])
    await fleet.stores[0].stub.Delete(
        pb.DeleteRequest(scope=scope(), collection="docs", document_ids=["b"])
    )
    assert await found() == ("", [])
