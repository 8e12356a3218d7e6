"""recall@10 is measured on real searches, against exact ones."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
from prometheus_client import REGISTRY

from services.retrieval.queries import Query, RecallClass, SearchMode, SearchOptions
from services.retrieval.recall_sample import RecallSample
from services.retrieval.search import Reach

REACH = Reach("acme", ())
VECTOR = np.ones(4, np.float32) / 2


@dataclass
class Lossy:
    """Finds ten passages exactly, and eight of them otherwise."""

    asked: list[SearchOptions] = field(default_factory=list)
    seq: int = 7
    moves: bool = False

    async def search(self, reach: Any, name: str, queries: Any, options: Any, check: Any) -> Any:
        self.asked.append(options)
        if self.moves:
            self.seq += 1
        count = 10 if options.recall is RecallClass.EXACT else 8
        found = [SimpleNamespace(chunk_id=f"c{index}") for index in range(count)]
        return [SimpleNamespace(passages=found, generation=1, visible_seq=self.seq)]


def counted() -> tuple[float, float]:
    return tuple(
        REGISTRY.get_sample_value(f"cairn_retrieval_recall_{each}_total") or 0.0
        for each in ("expected", "found")
    )


async def test_what_the_usual_search_misses_is_counted() -> None:
    before = counted()
    await RecallSample(Lossy()).measure(
        REACH, "c", Query(vector=VECTOR), SearchOptions(SearchMode.HYBRID)
    )
    expected, found = counted()
    assert (expected - before[0], found - before[1]) == (10, 8)


async def test_a_collection_that_changed_meanwhile_says_nothing() -> None:
    before = counted()
    lossy = Lossy(moves=True)
    await RecallSample(lossy).measure(
        REACH, "c", Query(vector=VECTOR), SearchOptions(SearchMode.DENSE)
    )
    assert counted() == before
    assert {each.mode for each in lossy.asked} == {SearchMode.DENSE}


async def test_only_now_and_then_and_never_on_the_way_of_an_answer() -> None:
    now = 0.0
    lossy = Lossy()
    sample = RecallSample(lossy, 10.0, lambda: now)

    async def search(options: SearchOptions, query: Query) -> None:
        await sample.search(REACH, "c", [query], options, lambda _: None)

    running = asyncio.create_task(sample.run())
    query = Query((("words", 1.0),), VECTOR)
    await search(SearchOptions(SearchMode.KEYWORD), Query((("words", 1.0),)))
    await search(SearchOptions(SearchMode.DENSE, recall=RecallClass.EXACT), query)
    assert len(lossy.asked) == 2, "neither could differ from an exact search"
    for _ in range(5):
        await search(SearchOptions(SearchMode.HYBRID), query)
    while len(lossy.asked) < 9:
        await asyncio.sleep(0)
    assert len(lossy.asked) == 9, "five searches, and one of them twice more"
    now = 11.0
    await search(SearchOptions(SearchMode.HYBRID), query)
    while len(lossy.asked) < 12:
        await asyncio.sleep(0)
    running.cancel()
