"""Caches before the pipeline: what hits, what never may, and what is computed once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from services.gateway.answer import AnswerDelta, PassagesFound
from services.gateway.caches.answers import AnswerStore
from services.gateway.caches.identity import REFRESH_SECONDS, EngineIdentity
from services.gateway.caches.pipeline import CachedPipeline
from services.gateway.caches.policy import CachePolicy, enter_policy, policy_of
from services.gateway.caches.positions import Positions
from services.gateway.caches.store import BoundedStore
from services.gateway.pipeline.rag import RagPipeline
from services.gateway.requests import Question, RecommendAsk, SearchAsk
from services.gateway.usage import PriceTable
from services.rpc.deadline import deadline_in
from services.rpc.errors import DeadlineExceededError, NotFoundError, Reason, UnavailableError
from services.rpc.scope import Scope
from tests.kit.pipeline_fakes import SCOPE, FakeServices, passage

GRANITE = "Granite is an igneous rock. It forms when magma cools slowly."


class Clock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


def services(**more: Any) -> FakeServices:
    fake = FakeServices([passage(GRANITE, "granite"), passage("Sand is loose.", "sand", final=0.5)])
    fake.pieces = ["Granite is an igneous rock. [1]"]
    for name, value in more.items():
        setattr(fake, name, value)
    return fake


def cached(
    fake: FakeServices, *, answer_bytes: int = 1 << 20, clock: Clock | None = None, **more: Any
) -> CachedPipeline:
    pipeline = RagPipeline(
        embedder=fake, reranker=fake, retriever=fake, generator=fake, prices=PriceTable()
    )
    clock = clock or Clock()
    return CachedPipeline(
        pipeline,
        positions=Positions(fake),
        identity=EngineIdentity(fake, clock),
        answers=AnswerStore(answer_bytes, 60.0, more.get("threshold", 0.9)),
        results=BoundedStore("retrieval", 1 << 20, 60.0, clock=clock),
        seconds=5.0,
        currency="USD",
    )


def count(fake: FakeServices, name: str) -> int:
    return sum(called == name for called, _ in fake.calls)


def ask(query: str = "What is granite?", **more: Any) -> Question:
    return Question.checked(query, **more)


async def test_the_same_question_is_answered_once():
    fake = services()
    pipeline = cached(fake)
    first = await pipeline.answer(SCOPE, ask())
    again = await pipeline.answer(SCOPE, ask("What  is granite?\n"))
    assert (first.cached, again.cached) == ("", "exact")
    assert again.answer == first.answer
    assert again.citations == first.citations
    assert again.passages == first.passages
    assert again.cached_age_seconds >= 0
    assert again.usage == replace(again.usage, embedding_tokens=0, completion_tokens=0)
    assert first.usage.completion_tokens == 5
    assert count(fake, "generate") == count(fake, "search") == 1
    assert set(again.timings_ms) == {"cache", "total"}
    assert pipeline.figures()["exact"]["hits"] == 1


async def test_a_cached_answer_is_shown_as_a_stream():
    fake = services()
    pipeline = cached(fake)
    await pipeline.answer(SCOPE, ask())
    shown: list[Any] = []

    async def emit(event: Any) -> None:
        shown.append(event)

    answer = await pipeline.answer(SCOPE, ask(), emit)
    first = PassagesFound(answer.passages, "exact", answer.cached_age_seconds)
    assert shown == [first, AnswerDelta(answer.answer)]


@pytest.mark.parametrize(
    "other",
    [
        Scope("globex", SCOPE.principals, SCOPE.actor),
        Scope(SCOPE.tenant, ("everyone", "user:b"), SCOPE.actor),
        Scope(SCOPE.tenant, (), SCOPE.actor),
    ],
)
async def test_callers_who_may_read_other_things_never_share(other: Scope):
    fake = services()
    pipeline = cached(fake)
    await pipeline.answer(SCOPE, ask())
    await pipeline.search(SCOPE, SearchAsk.checked("granite"))
    assert (await pipeline.answer(other, ask())).cached == ""
    assert (await pipeline.search(other, SearchAsk.checked("granite"))).cached == ""
    assert count(fake, "generate") == 2


async def test_callers_who_may_read_the_same_share_whoever_they_are():
    fake = services()
    pipeline = cached(fake)
    one = Scope("acme", ("group:a", "everyone"), "key:1")
    other = Scope("acme", ("everyone", "group:a", "everyone"), "key:2")
    await pipeline.answer(one, ask())
    assert (await pipeline.answer(other, ask())).cached == "exact"


@pytest.mark.parametrize(
    "other",
    [
        {"filter_text": 'kind = "rock"'},
        {"top_k": 3},
        {"model": "large"},
        {"max_tokens": 7},
        {"instructions": "Be brief."},
        {"rerank": False},
        {"collection": "other"},
    ],
)
async def test_whatever_changes_the_answer_changes_the_key(other: dict[str, Any]):
    fake = services()
    pipeline = cached(fake)
    await pipeline.answer(SCOPE, ask())
    assert (await pipeline.answer(SCOPE, ask(**other))).cached == ""


async def test_a_write_ends_everything_kept_of_its_collection():
    fake = services()
    pipeline = cached(fake)
    await pipeline.answer(SCOPE, ask())
    await pipeline.search(SCOPE, SearchAsk.checked("granite"))
    fake.generation += 1
    assert (await pipeline.answer(SCOPE, ask())).cached == ""
    assert (await pipeline.search(SCOPE, SearchAsk.checked("granite"))).cached == ""
    figures = pipeline.figures()
    assert (figures["exact"]["entries"], figures["retrieval"]["entries"]) == (1, 1)


async def test_other_models_and_prompts_answer_anew():
    fake, clock = services(), Clock()
    pipeline = cached(fake, clock=clock)
    await pipeline.answer(SCOPE, ask())
    fake.answers_as = "large, prompts v2"
    clock.time += REFRESH_SECONDS
    assert (await pipeline.answer(SCOPE, ask())).cached == ""


async def test_results_of_a_view_that_lags_are_not_kept():
    fake = services()
    search = fake.search

    async def lagging(scope: Scope, plan: Any) -> Any:
        return replace(await search(scope, plan), is_current=False)

    fake.search = lagging  # type: ignore[method-assign]
    pipeline = cached(fake)
    for _ in range(2):
        assert (await pipeline.answer(SCOPE, ask())).cached == ""
        assert (await pipeline.search(SCOPE, SearchAsk.checked("granite"))).cached == ""


async def test_a_result_ends_when_a_document_does(monkeypatch: pytest.MonkeyPatch):
    fake = services()
    search = fake.search

    async def ending(scope: Scope, plan: Any) -> Any:
        return replace(await search(scope, plan), valid_until=1.0)

    fake.search = ending  # type: ignore[method-assign]
    pipeline = cached(fake)
    for _ in range(2):
        assert (await pipeline.answer(SCOPE, ask())).cached == ""


async def test_less_than_was_asked_for_is_not_kept():
    fake = services(errors={"rerank": UnavailableError(Reason.DEPENDENCY_UNAVAILABLE, "away")})
    pipeline = cached(fake)
    first = await pipeline.answer(SCOPE, ask())
    assert first.degraded == ("rerank_skipped",)
    fake.errors = {}
    again = await pipeline.answer(SCOPE, ask())
    assert (again.cached, again.degraded) == ("", ())


async def test_without_a_position_nothing_is_taken_from_caches():
    fake = services()
    pipeline = cached(fake)
    await pipeline.answer(SCOPE, ask())
    fake.errors = {"position": UnavailableError(Reason.DEPENDENCY_UNAVAILABLE, "away")}
    assert (await pipeline.answer(SCOPE, ask())).cached == ""
    fake.errors = {"identity": UnavailableError(Reason.DEPENDENCY_UNAVAILABLE, "away")}
    assert (await pipeline.answer(SCOPE, ask())).cached == "exact"  # known for a little while
    missing = NotFoundError(Reason.COLLECTION_NOT_FOUND, "none")
    fake.errors = {"position": missing, "search": missing}
    with pytest.raises(NotFoundError):
        await pipeline.answer(SCOPE, ask())


@pytest.mark.parametrize(
    ("headers", "policy"),
    [
        ([], CachePolicy.ON),
        ([("x-cairn-cache", "OFF")], CachePolicy.OFF),
        ([("cache-control", "no-store")], CachePolicy.OFF),
        ([("cache-control", "max-age=0, no-cache")], CachePolicy.REFRESH),
        ([("cache-control", "no-cache"), ("x-cairn-cache", "off")], CachePolicy.OFF),
        ([("x-cairn-cache", "nonsense"), ("accept", "off")], CachePolicy.ON),
    ],
)
def test_headers_say_what_caches_may_do(headers: list[tuple[str, str]], policy: CachePolicy):
    assert policy_of(headers) is policy


async def test_a_caller_may_pass_caches_by_or_renew_them():
    fake = services()
    pipeline = cached(fake)
    await pipeline.answer(SCOPE, ask())
    enter_policy(CachePolicy.OFF)
    assert (await pipeline.answer(SCOPE, ask())).cached == ""
    assert (await pipeline.search(SCOPE, SearchAsk.checked("granite"))).cached == ""
    enter_policy(CachePolicy.REFRESH)
    fake.pieces = ["Granite is hard. [1]"]
    renewed = await pipeline.answer(SCOPE, ask())
    assert renewed.cached == ""
    enter_policy(CachePolicy.ON)
    assert (await pipeline.answer(SCOPE, ask())).answer == renewed.answer
    assert (await pipeline.answer(SCOPE, ask(bypass_cache=True))).cached == ""
    assert (await pipeline.answer(SCOPE, ask(explain=True))).cached == ""
    assert (await pipeline.answer(SCOPE, ask(temperature=0.7))).cached == ""


async def test_equal_questions_at_once_are_computed_once_and_all_see_the_stream():
    fake = services(delays={"generate": 0.05})
    pipeline = cached(fake)
    shown: list[list[Any]] = [[] for _ in range(8)]

    async def one(place: int) -> Any:
        async def emit(event: Any) -> None:
            shown[place].append(event)

        return await pipeline.answer(SCOPE, ask(), emit)

    answers = await asyncio.gather(*(one(place) for place in range(8)))
    assert count(fake, "generate") == 1
    assert count(fake, "position") <= 2, "positions are asked for together, too"
    assert len({answer.answer for answer in answers}) == 1
    assert sorted(events[0].cached for events in shown) == ["", *["exact"] * 7]
    assert all(events[1:] == shown[0][1:] for events in shown)
    assert all(events[0].passages == shown[0][0].passages for events in shown)
    assert len(shown[0]) >= 2
    assert sum(answer.usage.completion_tokens for answer in answers) == 5, "counted once"


async def test_who_leaves_does_not_take_the_work_from_the_others():
    fake = services(delays={"generate": 0.1})
    pipeline = cached(fake)
    first = asyncio.create_task(pipeline.answer(SCOPE, ask()))
    while not count(fake, "generate"):
        await asyncio.sleep(0)
    second = asyncio.create_task(pipeline.answer(SCOPE, ask()))
    await asyncio.sleep(0.02)
    first.cancel()
    answer = await second
    assert answer.answer
    assert count(fake, "generate") == 1


async def test_when_all_leave_the_work_ends():
    fake = services(delays={"generate": 30})
    pipeline = cached(fake)
    asking = [asyncio.create_task(pipeline.answer(SCOPE, ask())) for _ in range(3)]
    while not count(fake, "generate"):
        await asyncio.sleep(0)
    (work,) = [flight.task for flight in pipeline._answer_flights._flights.values()]
    for each in asking:
        each.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    assert work is not None
    with pytest.raises(asyncio.CancelledError):
        await work
    assert not pipeline._answer_flights._flights


async def test_a_hurried_request_does_not_spoil_the_answer_of_a_patient_one():
    fake = services(delays={"search": 0.3})
    pipeline = cached(fake)

    async def hurried() -> Any:
        with deadline_in(0.25):
            return await pipeline.answer(SCOPE, ask())

    first = asyncio.create_task(hurried())
    while not count(fake, "search"):
        await asyncio.sleep(0)
    patient = asyncio.create_task(pipeline.answer(SCOPE, ask()))
    with pytest.raises(DeadlineExceededError):
        await first
    assert (await patient).degraded == ()


async def test_recommendations_are_kept_too():
    fake = services()
    pipeline = cached(fake)
    wanted = RecommendAsk.checked(positive_ids=["a"], filter_text='kind = "rock"')
    first = await pipeline.recommend(SCOPE, wanted)
    again = await pipeline.recommend(SCOPE, wanted)
    assert (first.cached, again.cached) == ("", "exact")
    other = RecommendAsk.checked(
        positive_ids=["a"], negative_ids=["b"], filter_text='kind = "rock"'
    )
    assert (await pipeline.recommend(SCOPE, other)).cached == ""


async def test_the_store_stays_within_its_bytes():
    fake = services()
    pipeline = cached(fake, answer_bytes=40_000)
    for number in range(60):
        await pipeline.answer(SCOPE, ask(f"What is granite number {number}?"))
    figures = pipeline.figures()["exact"]
    assert 1 < figures["entries"] < 60
    assert figures["bytes"] <= 40_000
    assert pipeline.figures()["semantic"]["entries"] <= figures["entries"]
    assert (await pipeline.answer(SCOPE, ask("What is granite number 59?"))).cached == "exact"
    assert (await pipeline.answer(SCOPE, ask("What is granite number 0?"))).cached == ""


async def test_what_nothing_is_kept_for_asks_for_no_position():
    fake = services()
    pipeline = cached(fake)
    for number in range(5):
        await pipeline.search(SCOPE, SearchAsk.checked(f"granite {number}"))
        await pipeline.answer(SCOPE, ask(f"What is granite {number}?"))
    assert count(fake, "position") == 1
    assert (await pipeline.search(SCOPE, SearchAsk.checked("granite 4"))).cached == "exact"
    assert (await pipeline.answer(SCOPE, ask("What is granite 4?"))).cached == "exact"
    assert count(fake, "position") == 3  # nothing is shown without one


async def test_what_was_computed_after_an_unseen_write_is_not_kept_as_of_before_it():
    fake = services()
    pipeline = cached(fake)
    old = SearchAsk.checked("granite")
    await pipeline.search(SCOPE, old)
    fake.generation = 2  # written by another replica, a reader's right taken away, say
    fake.passages = fake.passages[:1]
    new = await pipeline.search(SCOPE, SearchAsk.checked("sand"))
    assert len(new.passages) == 1
    again = await pipeline.search(SCOPE, old)
    assert (again.cached, len(again.passages)) == ("", 1)
    fake.generation = 3
    fake.passages = ()
    assert not (await pipeline.search(SCOPE, old)).passages
    assert not (await pipeline.search(SCOPE, SearchAsk.checked("sand"))).passages


async def test_who_joins_a_computation_asks_whether_it_is_of_the_newest_state():
    fake = services(delays={"search": 0.05})
    pipeline = cached(fake)
    await pipeline.search(SCOPE, SearchAsk.checked("sand"))
    first = asyncio.create_task(pipeline.search(SCOPE, SearchAsk.checked("granite")))
    await asyncio.sleep(0.01)
    fake.generation = 2
    later = [
        asyncio.create_task(pipeline.search(SCOPE, SearchAsk.checked("granite"))) for _ in range(5)
    ]
    await first
    found = [await each for each in later]
    assert [each.cached for each in found].count("") == 1  # it joined the old one by no means
    assert count(fake, "search") == 3


async def test_positions_are_asked_anew_for_who_comes_later():
    """A request is never told a position from before it came."""
    fake = services(delays={"position": 0.05})
    positions = Positions(fake)
    first = asyncio.create_task(positions.read(SCOPE, "docs"))
    await asyncio.sleep(0.01)
    fake.generation = 2  # a write is acknowledged; the first call is under way
    later = [asyncio.create_task(positions.read(SCOPE, "docs")) for _ in range(20)]
    await first
    assert {(await each).generation for each in later} == {2}
    assert count(fake, "position") == 2
    assert not positions._running
    assert not positions._next
