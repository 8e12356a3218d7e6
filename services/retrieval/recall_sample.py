"""Measures recall@10 on real searches: now and then one is run again, as it was and exactly.

Only passages' ids are compared and only counts are kept. A search whose collection changed between
the two says nothing and is left out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from services.retrieval.metrics import RECALL_EXPECTED, RECALL_FOUND
from services.retrieval.queries import RecallClass, SearchMode, SearchOptions
from services.rpc.errors import ServiceError
from services.rpc.logs import exception_fields, get_logger

if TYPE_CHECKING:
    from services.retrieval.backend import CollectionSearcher
    from services.retrieval.collections import Collection
    from services.retrieval.likeness import Likeness
    from services.retrieval.queries import Answer, Query
    from services.retrieval.search import Reach

TOP_K = 10
INTERVAL_SECONDS = 10.0
"""Least time between two samples."""
LARGEST_SHARE = 0.01
"""Of the time: the longer an exact search takes, the fewer are made."""


class RecallSample:
    """A searcher that samples what passes through it.

    Args:
        searcher: Answers.
        interval_seconds: Least time between two samples.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        searcher: CollectionSearcher,
        interval_seconds: float = INTERVAL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._searcher = searcher
        self._interval_seconds = interval_seconds
        self._clock = clock
        self._due = clock()
        self._next: asyncio.Queue[tuple[Reach, str, Query, SearchOptions]] = asyncio.Queue(1)

    async def search(
        self,
        reach: Reach,
        name: str,
        queries: Sequence[Query],
        options: SearchOptions,
        check: Callable[[Collection], None],
    ) -> list[Answer]:
        """Returns one answer for each query."""
        answers = await self._searcher.search(reach, name, queries, options, check)
        if self._clock() >= self._due and self._next.empty():
            self._take(reach, name, queries[0], options)
        return answers

    async def recommend(
        self,
        reach: Reach,
        name: str,
        likeness: Likeness,
        options: SearchOptions,
        check: Callable[[Collection], None],
    ) -> Answer:
        """Returns the best passage of each document that is like some and unlike others."""
        return await self._searcher.recommend(reach, name, likeness, options, check)

    async def run(self) -> None:
        """Measures what was sampled, until cancelled."""
        while True:
            sample = await self._next.get()
            try:
                await self.measure(*sample)
            except ServiceError:
                pass  # the collection is gone, or the store away: there is nothing to measure
            except Exception as error:  # noqa: BLE001 - measuring must not end the service
                get_logger().error("recall cannot be measured", **exception_fields(error))

    async def measure(self, reach: Reach, name: str, query: Query, options: SearchOptions) -> None:
        """Runs a search as it was and exactly, and counts what the first found of the second."""
        began = self._clock()
        wanted = replace(
            options,
            mode=SearchMode.DENSE,
            top_k=TOP_K,
            score_threshold=None,
            max_per_document=0,
            group_size=0,
            diversity=0.0,
            omit_text=True,
            include_vectors=False,
            include_metadata=False,
            token_codes_top_k=0,
        )
        exactly = replace(wanted, recall=RecallClass.EXACT)
        (exact,) = await self._searcher.search(reach, name, [query], exactly, _anything)
        (usual,) = await self._searcher.search(reach, name, [query], wanted, _anything)
        took = self._clock() - began
        self._due = self._clock() + max(self._interval_seconds, took / LARGEST_SHARE)
        if (exact.generation, exact.visible_seq) != (usual.generation, usual.visible_seq):
            return
        expected = {each.chunk_id for each in exact.passages}
        RECALL_EXPECTED.inc(len(expected))
        RECALL_FOUND.inc(len(expected & {each.chunk_id for each in usual.passages}))

    def _take(self, reach: Reach, name: str, query: Query, options: SearchOptions) -> None:
        if query.vector is None or options.recall is RecallClass.EXACT:
            return
        self._due = self._clock() + self._interval_seconds
        self._next.put_nowait((reach, name, replace(query, texts=()), options))


def _anything(_collection: Collection) -> None:
    """The search passed its checks when it was made."""
