"""One search from request to passages: view, mask, ranking, proof that hits are still the truth."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from services.retrieval.dense import Planner
from services.retrieval.metrics import SEARCHES_REPEATED
from services.retrieval.queries import (
    Answer,
    Passage,
    Query,
    Scores,
    SearchMode,
    SearchOptions,
)
from services.retrieval.ranking import Ranking, rank
from services.retrieval.store.passages import Wanted, fetch
from services.retrieval.view import masks
from services.rpc.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    Reason,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from sqlalchemy import Connection

    from services.retrieval.collections import Collection
    from services.retrieval.store.store import Store
    from services.retrieval.view.keeper import Keeper
    from services.retrieval.view.rows import Snapshot
    from services.retrieval.view.view import Published

T = TypeVar("T")

_ATTEMPTS = 3
"""Times a search is repeated because documents it found were replaced meanwhile."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What a request may read."""

    tenant: str
    principals: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Likeness:
    """What recommended documents should be like."""

    positive_ids: tuple[str, ...]
    negative_ids: tuple[str, ...]
    positive_vectors: tuple[NDArray[np.float32], ...]
    """Unit vectors."""


class Searcher:
    """Searches collections.

    Args:
        store: The truth.
        keeper: Views of it.
        planner: Where scans end and graphs begin.
        threads: Searches that run at once.
    """

    def __init__(self, store: Store, keeper: Keeper, planner: Planner, threads: int = 4) -> None:
        self._store = store
        self._keeper = keeper
        self._planner = planner
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

        def run(published: Published) -> list[Answer]:
            allowed = _allowed_chunks(published, reach, options)
            rankings = rank(
                published.snapshot, queries, allowed, options, self._planner, self._helpers
            )
            return self._answers(published, rankings, allowed, options)

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
        options = replace(options, mode=SearchMode.DENSE, max_per_document=1)

        def run(published: Published) -> list[Answer]:
            snapshot = published.snapshot
            readable = masks.readable(snapshot, reach.principals, _now_micros())
            query = _mean_query(snapshot, likeness, readable)
            allowed = _allowed_chunks(published, reach, options).copy()
            for each in (*likeness.positive_ids, *likeness.negative_ids):
                row = snapshot.row_of(each)
                if row is not None:
                    allowed[snapshot.chunks_of(row)] = False
            rankings = rank(snapshot, [query], allowed, options, self._planner, self._helpers)
            return self._answers(published, rankings, allowed, options)

        return (await self._repeat(reach, name, options, check, run))[0]

    async def _repeat(
        self,
        reach: Reach,
        name: str,
        options: SearchOptions,
        check: Callable[[Collection], None],
        run: Callable[[Published], list[Answer]],
    ) -> list[Answer]:
        """Runs a search on the newest view; again when what it found was replaced meanwhile."""
        answers: list[Answer] = []
        for attempt in range(_ATTEMPTS):
            collection = await self._store.resolve(reach.tenant, name)
            check(collection)
            try:
                if attempt == 0:
                    view = await self._keeper.view(collection, options.min_seq)
                else:
                    view = await self._keeper.current_view(collection)
            except NotFoundError:
                # The name may stand for another collection by now.
                self._store.forget_catalog()
                collection = await self._store.resolve(reach.tenant, name)
                view = await self._keeper.view(collection, options.min_seq)
            published = view.published
            answers = await self._in_thread(lambda published=published: run(published))
            if not any("superseded" in answer.dropped for answer in answers):
                break
            SEARCHES_REPEATED.inc()
            self._store.forget_catalog()
        return answers

    def _answers(
        self,
        published: Published,
        rankings: Sequence[Ranking],
        allowed: NDArray[np.bool_],
        options: SearchOptions,
    ) -> list[Answer]:
        """Reads the text of all hits, in this thread."""
        snapshot = published.snapshot
        wanted = [_wanted(snapshot, hit.row) for each in rankings for hit in each.hits]
        found: Mapping[Wanted, Passage | None] = {}
        if wanted:
            unique = list(dict.fromkeys(wanted))

            def read(connection: Connection) -> list[Passage | None]:
                return fetch(
                    connection,
                    published.collection.id,
                    unique,
                    with_metadata=options.include_metadata,
                )

            found = dict(zip(unique, self._store.reader.run_here(read), strict=True))
        allowed_count = int(np.count_nonzero(allowed))
        return [_answer(published, ranking, found, allowed_count) for ranking in rankings]

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


def _allowed_chunks(
    published: Published, reach: Reach, options: SearchOptions
) -> NDArray[np.bool_]:
    return masks.allowed(
        published.snapshot,
        reach.principals,
        options.filter,
        published.collection.settings.fields,
        _now_micros(),
    ).mask


def _wanted(snapshot: Snapshot, row: int) -> Wanted:
    document = int(snapshot.document_of[row])
    version = int(snapshot.rows.versions.rows(snapshot.document_count)[document])
    return Wanted(snapshot.rows.ids[document], version, int(snapshot.ordinals[row]))


def _answer(
    published: Published,
    ranking: Ranking,
    found: Mapping[Wanted, Passage | None],
    allowed_count: int,
) -> Answer:
    snapshot = published.snapshot
    passages: list[tuple[Passage, Scores]] = []
    dropped = dict(ranking.dropped)
    for hit in ranking.hits:
        passage = found.get(_wanted(snapshot, hit.row))
        if passage is None:
            dropped["superseded"] = dropped.get("superseded", 0) + 1
        else:
            passages.append((passage, hit.scores))
    return Answer(
        passages=passages,
        steps=ranking.steps,
        allowed_count=allowed_count,
        dropped=dropped,
        vectors_scanned=ranking.scanned,
        collection=published.collection.name,
        generation=snapshot.seq,
        visible_seq=snapshot.tenant_seq,
    )


def _mean_query(snapshot: Snapshot, likeness: Likeness, readable: NDArray[np.bool_]) -> Query:
    """Returns the mean of what is liked less the mean of what is not."""
    liked = [
        *likeness.positive_vectors,
        *_document_vectors(snapshot, likeness.positive_ids, readable),
    ]
    disliked = _document_vectors(snapshot, likeness.negative_ids, readable)
    if not liked:
        raise NotFoundError(
            Reason.DOCUMENT_NOT_FOUND, "none of the positive documents exists with a vector"
        )
    vector = np.mean(liked, axis=0)
    if disliked:
        vector = vector - np.mean(disliked, axis=0)
    length = float(np.linalg.norm(vector))
    vector = vector / length if length > 0 else vector
    return Query(vector=vector.astype(np.float32))


def _document_vectors(
    snapshot: Snapshot, ids: Sequence[str], readable: NDArray[np.bool_]
) -> list[NDArray[np.float32]]:
    """Returns the mean vectors of the documents that may be read; others do not exist here."""
    found = []
    for each in ids:
        row = snapshot.row_of(each)
        if row is not None and readable[row] and len(snapshot.chunks_of(row)):
            found.append(snapshot.vectors[snapshot.chunks_of(row)].mean(axis=0))
    return found


def _now_micros() -> int:
    return time.time_ns() // 1000
