"""One search over Milvus: lists from there, chosen as in the local backend, proven by SQL."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from services.retrieval.collections import IndexType
from services.retrieval.keyword.analysis import analyzer
from services.retrieval.likeness import as_candidates
from services.retrieval.metrics import SEARCHES_REPEATED
from services.retrieval.milvus import choosing, expressions, truth
from services.retrieval.milvus.choosing import Hit, wanted
from services.retrieval.milvus.rows import encode_words
from services.retrieval.milvus.server import MAX_RESULTS, Ask, Found, index_name
from services.retrieval.queries import (
    Answer,
    PlanStep,
    Query,
    RecallClass,
    SearchMode,
    SearchOptions,
)
from services.retrieval.store.store import now_micros
from services.rpc.errors import FailedPreconditionError, NotFoundError, Reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.retrieval.collections import Collection
    from services.retrieval.likeness import Likeness
    from services.retrieval.milvus.follower import Applied, Follower
    from services.retrieval.milvus.server import Server
    from services.retrieval.milvus.truth import Proof
    from services.retrieval.search import Reach
    from services.retrieval.store.store import Store

T = TypeVar("T")

_ATTEMPTS = 3
_SCANNED_ROWS = 50_000
"""Rows that an exact search reads from Milvus and compares here; more are refused."""


@dataclass(frozen=True, slots=True)
class _Round:
    """One attempt: a state of Milvus' rows, and what may be found in it."""

    applied: Applied
    reach: Reach
    options: SearchOptions
    where: str
    is_strong: bool
    """Whether every write of any client must be seen."""
    steps: list[PlanStep]

    @property
    def kind(self) -> IndexType:
        return self.applied.collection.settings.index_type

    @property
    def depth(self) -> int:
        """Rows wanted of each list; with groups, the documents."""
        options = self.options
        if options.mode is SearchMode.HYBRID:
            return max(options.candidates, options.top_k * max(1, options.per_document))
        if options.diversity:
            return max(4 * options.top_k, 100)
        return options.top_k

    def ask(self, kind: IndexType) -> Ask:
        # Milvus groups one list by itself; fused lists are grouped here.
        options = self.options
        is_grouped = options.per_document and options.mode is not SearchMode.HYBRID
        return Ask(
            condition=self.where,
            limit=min(self.depth, MAX_RESULTS),
            recall=options.recall,
            index_type=kind,
            per_document=options.per_document if is_grouped else 0,
            with_vectors=options.diversity > 0 or options.include_vectors,
            is_strong=self.is_strong,
        )

    def note(self, plan: str, why: str, began: float) -> None:
        duration = (time.perf_counter() - began) * 1000
        self.steps.append(PlanStep("milvus", plan, why, 0, 0, duration, recall=self.options.recall))


class MilvusSearcher:
    """Searches collections.

    Args:
        store: The truth.
        server: Milvus.
        follower: Tells how far Milvus has come.
        threads: Searches that run at once.
    """

    def __init__(self, store: Store, server: Server, follower: Follower, threads: int = 4) -> None:
        self._store = store
        self._server = server
        self._follower = follower
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="milvus-search")

    async def close(self) -> None:
        """Ends the threads."""
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)

    async def search(
        self,
        reach: Reach,
        name: str,
        queries: Sequence[Query],
        options: SearchOptions,
        check: Callable[[Collection], None],
    ) -> list[Answer]:
        """Returns one answer for each query.

        Args:
            reach: What may be read.
            name: Collection or alias.
            queries: What to look for.
            options: How.
            check: Refuses queries that do not fit the collection by raising.
        """

        def run(applied: Applied, is_strong: bool) -> list[Answer]:
            where = _where(applied.collection, reach, options)
            return self._answers(_Round(applied, reach, options, where, is_strong, []), queries)

        return await self._repeat(reach, name, options, check, run)

    async def recommend(
        self,
        reach: Reach,
        name: str,
        likeness: Likeness,
        options: SearchOptions,
        check: Callable[[Collection], None],
    ) -> Answer:
        """Returns the best passage of each document that is like some and unlike others."""
        options = replace(options, mode=SearchMode.DENSE, max_per_document=1, group_size=0)
        past, known = likeness.history, likeness.known_ids

        def run(applied: Applied, is_strong: bool) -> list[Answer]:
            query = self._store.reader.run_here(
                lambda c: truth.mean_query(c, applied.collection, reach, likeness)
            )
            where = _where(applied.collection, reach, options)
            if known:
                where = expressions.every(where, f"not ({expressions.documents(known)})")
            this = _Round(applied, reach, options, where, is_strong, [])
            if past is None:
                return self._answers(this, [query])
            this = replace(
                this, options=replace(as_candidates(options, past), include_vectors=True)
            )
            found = choosing.choose(self._near(this, [query])[0], [], this.options)
            tastes = self._store.reader.run_here(
                partial(truth.past_vectors, collection=applied.collection, reach=reach, past=past)
            )
            hits = choosing.by_history(found[0], *tastes, past.weight, options)
            return self._proven(replace(this, options=options), [(hits, found[1])])

        return (await self._repeat(reach, name, options, check, run))[0]

    async def _repeat(
        self,
        reach: Reach,
        name: str,
        options: SearchOptions,
        check: Callable[[Collection], None],
        run: Callable[[Applied, bool], list[Answer]],
    ) -> list[Answer]:
        """Runs a search; again, on the newest rows, when what it found was replaced meanwhile."""
        answers: list[Answer] = []
        for attempt in range(_ATTEMPTS):
            collection = await self._store.resolve(reach.tenant, name)
            check(collection)
            try:
                applied = await self._state(collection, options, is_first=attempt == 0)
            except NotFoundError:
                # The name may stand for another collection by now.
                self._store.forget_catalog()
                collection = await self._store.resolve(reach.tenant, name)
                applied = await self._state(collection, options, is_first=attempt == 0)
            is_strong = attempt > 0 or options.min_seq > 0
            answers = await self._in_thread(lambda a=applied, s=is_strong: run(a, s))
            if not any("superseded" in answer.dropped for answer in answers):
                break
            SEARCHES_REPEATED.inc()
            self._store.forget_catalog()
        return answers

    async def _state(
        self, collection: Collection, options: SearchOptions, *, is_first: bool
    ) -> Applied:
        if is_first:
            return await self._follower.at_least(collection, options.min_seq)
        return await self._follower.current(collection)

    def _answers(self, this: _Round, queries: Sequence[Query]) -> list[Answer]:
        near = self._near(this, queries)
        by_words = self._by_words(this, queries)
        ranked = [
            choosing.choose(dense, keyword, this.options)
            for dense, keyword in zip(near, by_words, strict=True)
        ]
        return self._proven(this, ranked)

    def _proven(
        self, this: _Round, ranked: Sequence[tuple[list[Hit], dict[str, int]]]
    ) -> list[Answer]:
        """Returns the answers of what is the truth, and counts what is not."""
        asked = list(dict.fromkeys(wanted(hit.found) for hits, _ in ranked for hit in hits))
        proof = truth.Proof({}, {})
        if asked:
            proof = self._store.reader.run_here(
                lambda c: truth.prove(c, this.applied.collection, this.reach, asked, this.options)
            )
        return [_answer(this, hits, dropped, proof) for hits, dropped in ranked]

    def _near(self, this: _Round, queries: Sequence[Query]) -> list[list[Found]]:
        """Returns the list by vector for each query."""
        if this.options.mode is SearchMode.KEYWORD:
            return [[] for _ in queries]
        began = time.perf_counter()
        vectors = np.stack([query.vector for query in queries if query.vector is not None])
        if this.options.recall is RecallClass.EXACT and this.kind is not IndexType.FLAT:
            found = self._scan(this, vectors)
            this.note("exact", "the recall class is exact: rows are read and compared here", began)
        else:
            collection = this.applied.collection
            found = self._server.near(collection, vectors, this.ask(this.kind))
            this.note(index_name(this.kind), "the collection's index in Milvus", began)
        return [choosing.ordered(each) for each in found]

    def _by_words(self, this: _Round, queries: Sequence[Query]) -> list[list[Found]]:
        """Returns the list by words for each query; several texts are mixed by their weights."""
        if this.options.mode is SearchMode.DENSE:
            return [[] for _ in queries]
        began = time.perf_counter()
        collection = this.applied.collection
        cut = analyzer(collection.settings.language).query
        texts = [
            (place, encode_words(terms), weight)
            for place, query in enumerate(queries)
            for text, weight in query.texts
            if (terms := cut(text))
        ]
        lists: list[list[tuple[list[Found], float]]] = [[] for _ in queries]
        if texts:
            ask = this.ask(IndexType.AUTO)
            answers = self._server.with_words(collection, [text for _, text, _ in texts], ask)
            for (place, _, weight), answer in zip(texts, answers, strict=True):
                lists[place].append((answer, weight))
        this.note("bm25", "words are scored by Milvus", began)
        return [choosing.mixed(each) for each in lists]

    def _scan(self, this: _Round, vectors: NDArray[np.float32]) -> list[list[Found]]:
        """Returns exact lists, which Milvus' graphs and lists do not offer."""
        collection = this.applied.collection
        count = self._server.count(collection, this.where)
        if count > _SCANNED_ROWS:
            raise FailedPreconditionError(
                Reason.NOT_SUPPORTED,
                f"{count} rows match: over Milvus, an exact search compares {_SCANNED_ROWS} at "
                "most; narrow the filter, or create the collection with a FLAT index",
                metadata={"limit": str(_SCANNED_ROWS), "size": str(count)},
            )
        rows = list(self._server.vectors(collection, this.where))
        if not rows:
            return [[] for _ in vectors]
        scores = vectors @ np.array([row.vector for row in rows], np.float32).T
        # Some documents may have to be passed over: then all rows stay.
        depth = len(rows) if this.options.per_document else this.depth
        return [
            [
                replace(rows[at], score=float(line[at]))
                for at in np.argsort(-line, kind="stable")[:depth]
            ]
            for line in scores
        ]

    async def _in_thread(self, fn: Callable[[], T]) -> T:
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: context.run(fn))


def _where(collection: Collection, reach: Reach, options: SearchOptions) -> str:
    parts = [expressions.CHUNKS, expressions.scope(reach, now_micros())]
    if options.filter is not None:
        fields = collection.settings.fields
        parts.append(expressions.condition(options.filter, fields, "options.filter"))
    return expressions.every(*parts)


def _answer(this: _Round, hits: Sequence[Hit], dropped: dict[str, int], proof: Proof) -> Answer:
    kept = [hit for hit in hits if wanted(hit.found) in proof.passages]
    choosing.count(dropped, "superseded", len(hits) - len(kept))
    options = this.options
    vectors = None
    if options.include_vectors:
        vectors = np.array([hit.found.vector for hit in kept], np.float32)
        vectors = vectors.reshape(len(kept), this.applied.collection.settings.dimensions)
    first = kept[: options.token_codes_top_k]
    return Answer(
        passages=[proof.passages[wanted(hit.found)] for hit in kept],
        hits=choosing.columns(kept),
        steps=list(this.steps),
        allowed_count=0,
        dropped=dropped,
        vectors_scanned=0,
        collection=this.applied.collection.name,
        generation=this.applied.seq,
        visible_seq=this.applied.tenant_seq,
        vectors=vectors,
        token_codes=[proof.token_codes.get(wanted(hit.found), b"") for hit in first],
        groups=choosing.groups(kept) if options.group_size else [],
    )
