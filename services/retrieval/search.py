"""One search from request to passages: view, mask, ranking, proof that hits are still the truth."""

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

from services.retrieval.collections import Tier
from services.retrieval.completion import Completion, Ranked
from services.retrieval.likeness import (
    Likeness,
    NamedDocuments,
    as_candidates,
    by_history,
    mean_query,
)
from services.retrieval.metrics import SEARCHES_REPEATED
from services.retrieval.queries import (
    Answer,
    Query,
    RecallClass,
    SearchMode,
    SearchOptions,
)
from services.retrieval.ranking import Field, Ranking, may_crowd, rank
from services.retrieval.store.position import GONE
from services.retrieval.vectors import Allowed
from services.retrieval.view import masks
from services.rpc.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    Reason,
)
from services.rpc.telemetry import span

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.retrieval.collections import Collection
    from services.retrieval.store.store import Store
    from services.retrieval.view.keeper import Keeper
    from services.retrieval.view.rows import Snapshot
    from services.retrieval.view.view import Published, View

T = TypeVar("T")

_ATTEMPTS = 6
"""Times a search is repeated because documents it found were replaced meanwhile."""
_INLINE_ROWS = 40_000
"""Rows up to which one exact search (< 1 ms) runs on the event loop: a thread there and back
costs as much."""
_GRAPH_ROWS = 400_000
"""The same for searches that may be approximate."""


_FEW_NAMED = 16
"""Documents that a recommendation names up to which it counts as one search."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What a request may read."""

    tenant: str
    principals: tuple[str, ...]


class Searcher:
    """Searches collections.

    Args:
        store: The truth.
        keeper: Views of it.
        threads: Searches that run at once.
        passage_bytes: About the bytes of passages kept because they were found lately.
    """

    def __init__(
        self,
        store: Store,
        keeper: Keeper,
        threads: int = 4,
        *,
        passage_bytes: int = 64 << 20,
    ) -> None:
        self._store = store
        self._keeper = keeper
        self._completion = Completion(store, passage_bytes)
        keeper.before_replacing(self._completion.carry_over)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="search")
        # A pool of its own: searches waiting for helpers in their own pool could wait for ever.
        self._helpers = ThreadPoolExecutor(threads, thread_name_prefix="search-words")

    async def close(self) -> None:
        """Ends the threads."""
        for pool in (self._pool, self._helpers):
            await asyncio.to_thread(pool.shutdown, wait=True, cancel_futures=True)

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

        def run(published: Published) -> tuple[list[Ranking], Allowed]:
            allowed = _allowed(published, reach, options)
            return rank(self._field(published.snapshot, allowed, options), queries), allowed

        is_single = len(queries) == 1 and options.mode is SearchMode.DENSE
        return await self._repeat(reach, name, options, check, run, is_single=is_single)

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
        past = likeness.history
        candidates = options if past is None else as_candidates(options, past)

        def run(published: Published) -> tuple[list[Ranking], Allowed]:
            snapshot = published.snapshot
            readable = masks.readable(snapshot, reach.principals, _now_micros())
            named = NamedDocuments(snapshot, likeness.known_ids, readable)
            query = mean_query(likeness, named)
            allowed = named.left_out_of(_allowed(published, reach, options))
            rankings = rank(self._field(snapshot, allowed, candidates), [query])
            if past is not None:
                for each in rankings:
                    each.hits = by_history(snapshot, each.hits, past, named, options)
            return rankings, allowed

        is_single = past is None and len(likeness.known_ids) <= _FEW_NAMED
        # A view that is behind may show whom a named document was for before.
        return (
            await self._repeat(
                reach, name, options, check, run, is_single=is_single, may_be_behind=False
            )
        )[0]

    def _field(self, snapshot: Snapshot, allowed: Allowed, options: SearchOptions) -> Field:
        return Field(snapshot, allowed, options, self._helpers)

    async def _repeat(
        self,
        reach: Reach,
        name: str,
        options: SearchOptions,
        check: Callable[[Collection], None],
        run: Callable[[Published], tuple[list[Ranking], Allowed]],
        *,
        is_single: bool,
        may_be_behind: bool = True,
    ) -> list[Answer]:
        """Runs a search on the newest view; again when what it found was replaced meanwhile.

        With `may_be_behind` unset also when the view has not all that was acknowledged.
        """
        answers: list[Answer] | None = None
        for attempt in range(_ATTEMPTS):
            collection = await self._store.resolve(reach.tenant, name)
            # Of this look-up: what others see while the search runs is newer than it.
            version = self._store.catalog_version
            check(collection)
            was_cold = self._keeper.loaded(collection.id) is None
            began = time.perf_counter()
            with span("retrieval.plan"):
                view = await self._view(reach, name, collection, options, is_first=attempt == 0)
            loading_ms = (time.perf_counter() - began) * 1000 if was_cold else 0.0
            if view is None:
                continue
            is_last = attempt + 1 == _ATTEMPTS
            allows_behind = may_be_behind or is_last
            with span("retrieval.rank"):
                if is_single and self._is_quick(view, options):
                    ranked = self._ranked(
                        view, run, version, is_last=is_last, may_be_behind=allows_behind
                    )
                    answers = None if ranked is None else self._completion.at_once(ranked, options)
                    if ranked is not None and answers is None:
                        answers = await self._in_thread(
                            partial(self._completion.complete, ranked, options)
                        )
                else:
                    answers = await self._in_thread(
                        partial(
                            self._answer,
                            view,
                            run,
                            options,
                            version,
                            is_last=is_last,
                            may_be_behind=allows_behind,
                        )
                    )
            if answers is not None and loading_ms:
                answers = [_as_cold(each, loading_ms) for each in answers]
            if answers is not None and not any("superseded" in each.dropped for each in answers):
                break
            SEARCHES_REPEATED.inc()
            self._store.forget_catalog()
            if not is_last:
                answers = None
        if answers is None:
            raise NotFoundError(
                Reason.COLLECTION_NOT_FOUND,
                f"there is no collection {name!r}",
                metadata={"collection": name},
            )
        return answers

    async def _view(
        self,
        reach: Reach,
        name: str,
        collection: Collection,
        options: SearchOptions,
        *,
        is_first: bool,
    ) -> View | None:
        """Returns the view to search; None when the name stands for another collection by now."""
        try:
            if is_first:
                ready = self._keeper.ready(collection, options.min_seq)
                return ready or await self._keeper.view(collection, options.min_seq)
            return await self._keeper.current_view(collection)
        except NotFoundError:
            self._store.forget_catalog()
            await self._store.resolve(reach.tenant, name)
            return None

    def _is_quick(self, view: View, options: SearchOptions) -> bool:
        snapshot = view.published.snapshot
        if not self._store.positions.is_instant or may_crowd(snapshot, options):
            return False
        rows = snapshot.chunk_count
        return rows <= (_INLINE_ROWS if options.recall is RecallClass.EXACT else _GRAPH_ROWS)

    def _answer(
        self,
        view: View,
        run: Callable[[Published], tuple[list[Ranking], Allowed]],
        options: SearchOptions,
        version: int,
        *,
        is_last: bool,
        may_be_behind: bool,
    ) -> list[Answer] | None:
        """Answers in this thread; None as of `_ranked`."""
        ranked = self._ranked(view, run, version, is_last=is_last, may_be_behind=may_be_behind)
        return None if ranked is None else self._completion.complete(ranked, options)

    def _ranked(
        self,
        view: View,
        run: Callable[[Published], tuple[list[Ranking], Allowed]],
        version: int,
        *,
        is_last: bool,
        may_be_behind: bool,
    ) -> Ranked | None:
        """Ranks on the view's newest state; None when that may not be answered from.

        The name may stand for another collection by now, or the view is behind and must not be.
        The log is asked after the search was, and before anything is looked at: what was
        acknowledged before the search began is in a state that is found to be current.
        """
        published = view.published
        newest = self._store.positions.read(published.collection.id)
        if newest is not None:
            if newest.seq == GONE:
                return None
            if newest.catalog_version > version:
                self._store.see_catalog(newest.catalog_version)
                if not is_last:
                    return None
        is_current = newest is not None and self._keeper.is_current(
            published.collection.id, published.snapshot.seq, newest.seq
        )
        if not (is_current or may_be_behind):
            return None
        rankings, allowed = run(published)
        # Whatever an index did: nothing leaves that scope and filter do not allow.
        rows = [ranking.hits.rows for ranking in rankings]
        if not allowed.mask[rows[0] if len(rows) == 1 else np.concatenate(rows)].all():
            raise RuntimeError("a search found rows that are not allowed")
        return Ranked(published, is_current, rankings, allowed)

    async def _in_thread(self, fn: Callable[[], T]) -> T:
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: context.run(fn))


def check_query(
    collection: Collection,
    vectors: Sequence[NDArray[np.float32]],
    embedding_model: str,
    path: str,
) -> None:
    """Refuses vectors that cannot be compared with a collection's.

    Args:
        collection: To be searched.
        vectors: To be compared.
        embedding_model: Name of the model they come from; empty: not told.
        path: Place of the vectors in the request, for errors.

    Raises:
        InvalidArgumentError: another number of dimensions.
        FailedPreconditionError: another embedding model.
    """
    settings = collection.settings
    for vector in vectors:
        if len(vector) != settings.dimensions:
            raise InvalidArgumentError.for_field(
                path,
                f"has {len(vector)} dimensions, the collection has {settings.dimensions}",
                Reason.DIMENSION_MISMATCH,
            )
    if embedding_model and settings.embedding_model not in {"", embedding_model}:
        raise FailedPreconditionError(
            Reason.MODEL_MISMATCH,
            f"the collection was built with {settings.embedding_model!r}, "
            f"the query's vector comes from {embedding_model!r}",
            metadata={"expected": settings.embedding_model, "actual": embedding_model},
        )


def _allowed(published: Published, reach: Reach, options: SearchOptions) -> Allowed:
    return masks.allowed(
        published.snapshot,
        reach.principals,
        options.filter,
        published.collection.settings.fields,
        _now_micros(),
    )


def _as_cold(answer: Answer, loading_ms: float) -> Answer:
    """Returns an answer that says that the index was loaded for it, in its first step how long."""
    steps = [replace(step, tier=Tier.COLD) for step in answer.steps]
    steps[:1] = [replace(step, load_ms=loading_ms) for step in steps[:1]]
    return replace(answer, steps=steps)


def _now_micros() -> int:
    return time.time_ns() // 1000
