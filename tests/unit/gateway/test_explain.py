"""What a request explains of itself adds up: candidates, reasons, times."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.answer import StageExplanation
from services.gateway.passages import ScoredPassage
from services.gateway.requests import Mode, Question, SearchAsk
from services.rpc.errors import Reason, UnavailableError
from tests.kit.pipeline_fakes import SCOPE, FakeServices, passage
from tests.unit.gateway.test_pipeline import pipeline

WORDS = ("granite", "basalt", "slate", "marble", "magma", "cools", "slowly", "ground", "hard")
PASSAGES = st.lists(
    st.tuples(
        st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join),
        st.sampled_from("abcdef"),
        st.integers(0, 3),
        st.floats(-2, 2),
    ),
    max_size=30,
).map(
    lambda found: list(
        {
            each.passage.chunk_id: each
            for text, name, place, final in found
            for each in [passage(text, name, start=place * 10, final=final)]
        }.values()
    )
)


def fake_of(passages: list[ScoredPassage], late: list[float], *, is_away: bool) -> FakeServices:
    fake = FakeServices(sorted(passages, key=lambda each: -each.scores.final))
    fake.late_scores = late
    fake.pieces = ["Granite [1]."]
    if is_away:
        fake.errors["rerank"] = UnavailableError(Reason.NOT_READY, "away")
    return fake


def check(stages: tuple[StageExplanation, ...], result: tuple[ScoredPassage, ...]) -> None:
    """Each stage keeps or drops, with a reason, what the one before it kept; the last is the end."""
    former: set[str] | None = None
    for stage in stages:
        kept = [each.passage.chunk_id for each in stage.candidates]
        assert len(kept) == len(set(kept))
        assert not set(kept) & set(stage.dropped)
        assert all(stage.dropped.values())
        if former is not None:
            assert set(kept) | set(stage.dropped) == former, stage.stage
        former = set(kept)
        finals = [each.scores.final for each in stage.candidates]
        if stage.stage != "retrieve":
            assert finals == sorted(finals, reverse=True)
    assert stages[-1].candidates == result


@given(
    PASSAGES,
    st.lists(st.floats(-1, 1), min_size=30, max_size=30),
    st.integers(1, 12),
    st.booleans(),
    st.booleans(),
)
async def test_an_answers_stages_reconcile_with_its_passages(
    passages: list[ScoredPassage], late: list[float], top_k: int, rerank: bool, is_away: bool
) -> None:
    fake = fake_of(passages, late, is_away=is_away)
    question = Question.checked("What is granite?", top_k=top_k, rerank=rerank, explain=True)
    answer = await pipeline(fake).answer(SCOPE, question)
    check(answer.explanation, answer.passages)
    assert answer.explanation[0].stage == "retrieve"
    last = "assemble" if answer.refused else "verify"
    assert answer.explanation[-1].stage == last


@given(
    PASSAGES,
    st.lists(st.floats(-1, 1), min_size=30, max_size=30),
    st.integers(1, 30),
    st.booleans(),
    st.booleans(),
)
async def test_a_searchs_stages_reconcile_with_its_passages(
    passages: list[ScoredPassage], late: list[float], top_k: int, rerank: bool, is_away: bool
) -> None:
    fake = fake_of(passages, late, is_away=is_away)
    ask = SearchAsk.checked("granite", top_k=top_k, rerank=rerank, explain=True, mode=Mode.HYBRID)
    result = await pipeline(fake).search(SCOPE, ask)
    check(result.explanation, result.passages)


async def test_stage_times_add_up_to_the_total() -> None:
    fake = FakeServices([passage("Granite is hard.", "granite"), passage("Basalt.", "basalt")])
    fake.pieces = ["Granite is hard [1]."]
    fake.delays = {"embed": 0.1, "search": 0.1, "rerank": 0.1, "generate": 0.2}
    answer = await pipeline(fake).answer(SCOPE, Question.checked("What is granite?"))
    total = answer.timings_ms["total"]
    stages = sum(took for name, took in answer.timings_ms.items() if name != "total")
    assert total >= 500
    assert 0.95 * total <= stages <= total
