"""The pipeline with its caches before it: same requests, same answers, less work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from services.gateway.answer import Answer, AnswerDelta, PassagesFound, SearchResult, passages_of
from services.gateway.caches import keys, sizes
from services.gateway.caches.answers import AnswerStore, Asked
from services.gateway.caches.flights import Flight, Flights, Publish
from services.gateway.caches.policy import CachePolicy, current_policy
from services.gateway.caches.positions import SeenPositions
from services.gateway.caches.store import BoundedStore, Kept
from services.gateway.usage import Cost, Usage
from services.rpc.deadline import deadline_in, remaining_seconds
from services.rpc.errors import DeadlineExceededError, NotFoundError, ServiceError
from services.rpc.instruments import Counter
from services.rpc.metrics import series
from services.rpc.telemetry import current_span, current_trace_id, span

if TYPE_CHECKING:
    from services.gateway.caches.identity import EngineIdentity
    from services.gateway.caches.positions import Position, Positions
    from services.gateway.pipeline.ports import Retrieved
    from services.gateway.pipeline.rag import Emit, RagPipeline
    from services.gateway.requests import Question, RecommendAsk, SearchAsk
    from services.rpc.scope import Scope

T = TypeVar("T", Answer, SearchResult)

ASK_SHARE = 0.1
"""Part of the deadline that asking for positions may take; then the request goes on without."""

_LOOKUPS = Counter(
    "cairn_gateway_cache_lookups_total",
    "Looks into caches, by what came of them.",
    ["cache", "outcome"],
)
_KEPT_REASONS = frozenset({"stop", "refused"})


@dataclass(slots=True)
class _Provenance:
    """What a result was made from, noted while it was made."""

    found: Retrieved | None = None

    def note(self, found: Retrieved) -> None:
        """Notes what retrieval found."""
        self.found = found

    def is_of(self, position: Position) -> bool:
        """Whether it is the truth of the position."""
        found = self.found
        return found is not None and found.is_current and found.generation == position.generation


class CachedPipeline:
    """Answers from caches where that cannot be told from answering afresh, except by the clock.

    What is kept is shown after a question to retrieval alone, where the collection's log stands
    now; values are kept under that position, so what was written on whichever replica before a
    request came is never hidden from it. Where nothing is kept that could be shown, nothing is
    asked: `SeenPositions`.

    Args:
        pipeline: Computes.
        positions: Knows where collections stand.
        identity: Knows who answers.
        answers: Kept answers.
        results: Kept results of searches and recommendations.
        seconds: Deadline of a request that has none.
        currency: Of the cost of an answer that cost nothing.
    """

    def __init__(
        self,
        pipeline: RagPipeline,
        *,
        positions: Positions,
        identity: EngineIdentity,
        answers: AnswerStore,
        results: BoundedStore[SearchResult],
        seconds: float,
        currency: str,
    ) -> None:
        self._pipeline = pipeline
        self._identity = identity
        self._answers = answers
        self._results = results
        self._seconds = seconds
        self._free = Cost(0.0, currency)
        self._answer_flights: Flights[Answer] = Flights()
        self._result_flights: Flights[SearchResult] = Flights()
        self._counts: dict[str, dict[str, int]] = {}
        self._seen = SeenPositions(positions)

    def figures(self) -> dict[str, dict[str, int]]:
        """Returns hits, misses, entries and bytes of each cache of this replica since its start."""
        held = {
            "exact": (len(self._answers.store), self._answers.store.size_bytes),
            "semantic": (len(self._answers.similar), 0),
            "retrieval": (len(self._results), self._results.size_bytes),
        }
        return {
            name: {
                "hits": self._counts.get(name, {}).get("hit", 0),
                "misses": self._counts.get(name, {}).get("miss", 0),
                "joined": self._counts.get(name, {}).get("joined", 0),
                "entries": entries,
                "bytes": size,
            }
            for name, (entries, size) in held.items()
        }

    async def answer(self, scope: Scope, question: Question, emit: Emit | None = None) -> Answer:
        """Returns the answer to a question; see `RagPipeline.answer`."""
        policy = CachePolicy.OFF if question.bypass_cache else current_policy()
        is_varied = question.temperature is not None and question.temperature > 0
        if policy is CachePolicy.OFF or question.explain or is_varied:
            self._count("exact", "bypass")
            return await self._pipeline.answer(scope, question, emit)
        began = time.perf_counter()
        asked: Asked | None = None
        with span("cache"):
            try:
                asked = await self._within(self._asked(scope, question))
            except NotFoundError:
                self._count("exact", "error")  # the pipeline says it in its own words
            except (ServiceError, TimeoutError):
                self._count("exact", "error")
            kept = self._answers.store.find(asked.key) if asked is not None else None
        looked_ms = (time.perf_counter() - began) * 1e3
        if asked is None:
            return await self._pipeline.answer(scope, question, emit)
        if kept is not None and policy is CachePolicy.ON:
            self._count("exact", "hit")
            answer = self._again(kept, looked_ms)
            await _show(answer, emit)
            return answer

        async def work(publish: Publish) -> Answer:
            return await self._write(scope, question, asked, publish, policy)

        answer = await self._shared(self._answer_flights, asked.key, work, emit, policy, "exact")
        return replace(answer, timings_ms=_with_look(answer.timings_ms, looked_ms))

    async def search(self, scope: Scope, ask: SearchAsk) -> SearchResult:
        """Returns passages, best first; see `RagPipeline.search`."""
        if ask.explain:
            return await self._pipeline.search(scope, ask)
        return await self._result(
            scope,
            ask.collection,
            lambda position: keys.search_key(scope, position, ask),
            lambda note: self._pipeline.search(scope, ask, note),
        )

    async def recommend(self, scope: Scope, ask: RecommendAsk) -> SearchResult:
        """Returns documents like others; see `RagPipeline.recommend`."""
        return await self._result(
            scope,
            ask.collection,
            lambda position: keys.recommend_key(scope, position, ask),
            lambda note: self._pipeline.recommend(scope, ask, note),
        )

    async def _asked(self, scope: Scope, question: Question) -> Asked:
        identity = await self._identity.read(scope)

        def is_new(position: Position) -> bool:
            key = Asked.of(scope, question, position, identity).key
            return self._answers.store.find(key) is None and self._answer_flights.find(key) is None

        position = await self._seen.read(scope, question.collection, is_new)
        self._answers.store.advance(keys.place_of(scope, position))
        return Asked.of(scope, question, position, identity)

    async def _write(
        self,
        scope: Scope,
        question: Question,
        asked: Asked,
        publish: Publish,
        policy: CachePolicy,
    ) -> Answer:
        """Computes an answer, or takes that of a question that asks for the same."""
        provenance = _Provenance()

        def recall(found: Retrieved) -> Answer | None:
            provenance.note(found)
            if policy is not CachePolicy.ON or not provenance.is_of(asked.position):
                return None
            known = self._answers.recall(asked, found)
            self._count("semantic", "miss" if known is None else "hit")
            if known is None:
                return None
            kept, similarity = known
            return replace(
                self._again(kept, 0.0), cached="semantic", cached_similarity=round(similarity, 4)
            )

        answer = await self._pipeline.answer(scope, question, publish, recall)
        found = provenance.found
        if not provenance.is_of(asked.position):
            self._seen.forget(scope, question.collection)
        elif (
            found is not None
            and not answer.cached
            and not answer.degraded
            and answer.finish_reason in _KEPT_REASONS
        ):
            self._answers.keep(asked, answer, found)
        return answer

    async def _result(
        self,
        scope: Scope,
        collection: str,
        key_at: Callable[[Position], str],
        compute: Callable[[Callable[[Retrieved], None]], Awaitable[SearchResult]],
    ) -> SearchResult:
        policy = current_policy()
        provenance = _Provenance()
        if policy is CachePolicy.OFF:
            self._count("retrieval", "bypass")
            return await compute(provenance.note)

        known: dict[Position, str] = {}

        def key_of(position: Position) -> str:
            if position not in known:
                known[position] = key_at(position)
            return known[position]

        def is_new(position: Position) -> bool:
            key = key_of(position)
            return self._results.find(key) is None and self._result_flights.find(key) is None

        began = time.perf_counter()
        with span("cache"):
            position = await self._stands(scope, collection, is_new)
        if position is None:
            return await compute(provenance.note)
        place, key = keys.place_of(scope, position), key_of(position)
        self._results.advance(place)
        kept = self._results.find(key)
        looked_ms = (time.perf_counter() - began) * 1e3
        if kept is not None and policy is CachePolicy.ON:
            self._count("retrieval", "hit")
            return self._found_again(kept, looked_ms)

        async def work(_: Publish) -> SearchResult:
            result = await compute(provenance.note)
            found = provenance.found
            if not provenance.is_of(position):
                self._seen.forget(scope, collection)
            elif found is not None and not result.degraded:
                size = sizes.result_bytes(result)
                self._results.keep(key, result, place, size, found.valid_until)
            return result

        result = await self._shared(self._result_flights, key, work, None, policy, "retrieval")
        return replace(result, timings_ms=_with_look(result.timings_ms, looked_ms))

    async def _stands(
        self, scope: Scope, collection: str, is_new: Callable[[Position], bool]
    ) -> Position | None:
        """Returns where a collection stands, as `SeenPositions.read`; None: retrieval is away."""
        # Most often nothing is asked; a deadline for it would take longer than the look.
        seen = self._seen.seen(scope, collection, is_new)
        if seen is not None:
            return seen
        try:
            return await self._within(self._seen.read(scope, collection, is_new))
        except (ServiceError, TimeoutError):
            self._count("retrieval", "error")
            return None

    async def _shared(
        self,
        flights: Flights[T],
        key: str,
        work: Callable[[Publish], Awaitable[T]],
        emit: Publish | None,
        policy: CachePolicy,
        name: str,
    ) -> T:
        """Computes once for all who ask the same now."""
        seconds = self._budget_seconds()
        flight = flights.find(key) if policy is CachePolicy.ON else None
        if flight is not None and (joined := await self._join(flights, key, flight, emit, seconds)):
            self._count(name, "joined")
            return self._shared_copy(joined)
        self._count(name, "miss")
        if flight is not None or policy is not CachePolicy.ON:
            return await work(_publishing(emit))  # its like just failed, or it must be fresh
        flight = flights.begin(key, seconds, work)
        return await flights.follow(key, flight, emit)

    async def _join(
        self,
        flights: Flights[T],
        key: str,
        flight: Flight[T],
        emit: Publish | None,
        seconds: float,
    ) -> T | None:
        """Returns what another one's computation comes to; None when one's own may do better.

        Whoever has less time than this request may have failed, or got less, for that reason only.
        """
        shown = False

        async def show(event: Any) -> None:
            nonlocal shown
            shown = True
            assert emit is not None
            is_first = isinstance(event, PassagesFound) and not event.cached
            await emit(replace(event, cached="exact") if is_first else event)

        is_equal = flight.seconds >= seconds - 0.5
        if not is_equal and emit is not None:
            return None  # what was shown cannot be taken back
        try:
            result = await flights.follow(key, flight, None if emit is None else show)
        except DeadlineExceededError:
            if shown or is_equal:
                raise
            return None
        return result if is_equal or not result.degraded else None

    def _again(self, kept: Kept[Answer], looked_ms: float) -> Answer:
        """Returns a kept answer as an answer to the running request."""
        looked_ms = round(looked_ms, 3)
        return replace(
            kept.value,
            timings_ms={"cache": looked_ms, "total": looked_ms},
            usage=Usage(),
            cost=self._free,
            trace_id=current_trace_id(),
            cached="exact",
            cached_age_seconds=round(self._answers.store.age_seconds(kept), 3),
        )

    def _found_again(self, kept: Kept[SearchResult], looked_ms: float) -> SearchResult:
        looked_ms = round(looked_ms, 3)
        return replace(
            kept.value,
            timings_ms={"cache": looked_ms, "total": looked_ms},
            usage=Usage(),
            trace_id=current_trace_id(),
            cached="exact",
            cached_age_seconds=round(self._results.age_seconds(kept), 3),
        )

    def _shared_copy(self, result: T) -> T:
        """Returns another one's result as this request's: what it consumed is counted once."""
        own: dict[str, Any] = {"usage": Usage(), "trace_id": current_trace_id()}
        if isinstance(result, Answer):
            own["cost"] = self._free
        return replace(result, cached=result.cached or "exact", **own)

    async def _within(self, wanted: Awaitable[Any]) -> Any:
        seconds = self._budget_seconds() * ASK_SHARE
        with deadline_in(seconds):
            async with asyncio.timeout(seconds):
                return await wanted

    @property
    def seconds(self) -> float:
        """Deadline of a request that has none or a later one."""
        return self._seconds

    def _budget_seconds(self) -> float:
        remaining = remaining_seconds()
        return self._seconds if remaining is None else min(self._seconds, max(0.0, remaining))

    def _count(self, name: str, outcome: str) -> None:
        series(_LOOKUPS, name, outcome).inc()
        current_span().set_attribute(f"cairn.cache.{name}", outcome)
        counts = self._counts.setdefault(name, {})
        counts[outcome] = counts.get(outcome, 0) + 1


def _with_look(timings_ms: Mapping[str, float], looked_ms: float) -> dict[str, float]:
    """Returns the timings with the look into the cache, which the total is to hold too."""
    total = timings_ms.get("total", 0.0) + looked_ms
    return {"cache": round(looked_ms, 3), **timings_ms, "total": round(total, 3)}


def _publishing(emit: Publish | None) -> Publish:
    async def publish(event: Any) -> None:
        if emit is not None:
            await emit(event)

    return publish


async def _show(answer: Answer, emit: Emit | None) -> None:
    if emit is not None:
        await emit(passages_of(answer))
        if answer.answer:
            await emit(AnswerDelta(answer.answer))
