"""Chunks beside the chosen ones: what fits, of the version that was searched, verbatim."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from services.gateway.library import Chunk
from services.gateway.passages import ScoredPassage
from services.gateway.pipeline.neighbours import STEP
from services.gateway.pipeline.ports import StoredChunks
from services.gateway.pipeline.rag import RagPipeline
from services.gateway.pipeline.words import count_tokens
from services.gateway.requests import Question
from services.gateway.usage import PriceTable
from services.rpc.errors import Reason, UnavailableError
from tests.kit.pipeline_fakes import SCOPE, FakeServices, passage

SENTENCES = (
    "Granite forms below ground.",
    "Magma cools slowly there.",
    "Feldspar and quartz grow large.",
    "Builders like the stone.",
)
TEXT = " ".join(SENTENCES)


def stored(name: str, sentences: Sequence[str] = SENTENCES, version: int = 1) -> StoredChunks:
    chunks = []
    for ordinal, sentence in enumerate(sentences):
        start = TEXT.find(sentence)
        chunks.append(
            Chunk(f"{name}-{start}", ordinal, start, start + len(sentence), sentence, (), ordinal)
        )
    return StoredChunks(version, tuple(chunks))


def chosen(place: int, name: str = "a", final: float = 1.0) -> ScoredPassage:
    return passage(SENTENCES[place], name, start=TEXT.find(SENTENCES[place]), final=final)


def services(*passages: ScoredPassage) -> FakeServices:
    fake = FakeServices(passages)
    fake.stored = {"a": stored("a")}
    fake.pieces = ["Magma cools slowly [2]."]
    return fake


def pipeline(fake: FakeServices, tokens: int, seconds: float = 10.0) -> RagPipeline:
    return RagPipeline(
        embedder=fake,
        reranker=fake,
        retriever=fake,
        generator=fake,
        prices=PriceTable(),
        neighbour_tokens=tokens,
        seconds=seconds,
    )


QUESTION = Question.checked("How does granite form?", rerank=False, explain=True)


async def test_neighbours_stand_behind_the_chosen_passages_and_can_be_cited() -> None:
    fake = services(chosen(0))
    answer = await pipeline(fake, 100).answer(SCOPE, QUESTION)
    assert [each.passage.text for each in answer.passages] == list(SENTENCES[:2])
    assert [each.passage.page for each in answer.passages] == [0, 1]
    (citation,) = answer.citations
    assert citation.chunk_id == "a-28"
    assert citation.text == TEXT[citation.start : citation.end] == "Magma cools slowly"
    assert citation.document_version == 1
    (stage,) = (each for each in answer.explanation if each.stage == "neighbours")
    assert stage.candidates == answer.passages
    assert stage.notes == ("a-28 stands beside a-0",)
    finals = [each.scores.final for each in answer.passages]
    assert finals == sorted(finals, reverse=True)
    assert "neighbours" in answer.timings_ms


async def test_the_one_behind_comes_first_and_none_comes_twice() -> None:
    fake = services(chosen(1, final=2.0), chosen(2))
    answer = await pipeline(fake, 100).answer(SCOPE, QUESTION)
    assert [each.passage.text for each in answer.passages] == [
        *(SENTENCES[1], SENTENCES[2]),
        *(SENTENCES[0], SENTENCES[3]),
    ]


async def test_there_is_room_for_so_many_tokens_only() -> None:
    room = count_tokens(SENTENCES[2])
    answer = await pipeline(services(chosen(1)), room).answer(SCOPE, QUESTION)
    assert [each.passage.text for each in answer.passages] == [SENTENCES[1], SENTENCES[2]]
    answer = await pipeline(services(chosen(1)), 1).answer(SCOPE, QUESTION)
    assert len(answer.passages) == 1


async def test_another_version_has_other_places() -> None:
    fake = services(chosen(0))
    fake.stored = {"a": stored("a", version=2)}
    answer = await pipeline(fake, 100).answer(SCOPE, QUESTION)
    assert len(answer.passages) == 1
    assert answer.degraded == ()


async def test_a_chunk_or_document_that_is_gone_has_no_neighbours() -> None:
    gone = replace(chosen(0), passage=replace(chosen(0).passage, chunk_id="gone"))
    fake = services(gone, passage("Basalt is dark.", "b"))
    answer = await pipeline(fake, 100).answer(SCOPE, QUESTION)
    assert len(answer.passages) == 2


async def test_without_them_the_chosen_passages_answer_and_it_is_told() -> None:
    fake = services(chosen(0))
    fake.errors["neighbours"] = UnavailableError(Reason.DEPENDENCY_UNAVAILABLE, "down")
    answer = await pipeline(fake, 100).answer(SCOPE, QUESTION)
    assert answer.degraded == (STEP,)
    assert len(answer.passages) == 1
    fake = services(chosen(0))
    fake.delays["neighbours"] = 60.0
    async with asyncio.timeout(20):
        answer = await pipeline(fake, 100, seconds=2.0).answer(SCOPE, QUESTION)
    assert answer.degraded == (STEP,)


async def test_nobody_is_asked_for_them_by_default() -> None:
    fake = services(chosen(0))
    await pipeline(fake, 0).answer(SCOPE, QUESTION)
    assert "neighbours" not in {name for name, _ in fake.calls}
