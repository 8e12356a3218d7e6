"""Random corpora, access lists, filters and queries through every form of search and reading, and over
every kind of index: nothing outside the allowed set comes back, and exact is exact."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from cairn.retrieval.v1 import retrieval_service_pb2 as pb
from cairn.types.v1 import scope_pb2, vector_pb2

from services.filters import ast
from services.filters.proto import to_proto
from services.retrieval.documents import Document
from services.retrieval.to_proto import document as document_to_proto
from services.retrieval.vectors import planner
from services.sql.engine import sqlite_url
from tests.kit.corpora import (
    DIMENSIONS,
    PRINCIPALS,
    WORDS,
    Key,
    allowed_chunks,
    dense_scores,
    matches,
    random_document,
    random_filter,
)
from tests.kit.retrieval import Service, create, retrieval_service, upsert

FEW = ("FLAT", "HNSW_SQ8")
ALL = ("AUTO", "FLAT", "HNSW", "HNSW_SQ8", "IVF_FLAT", "IVF_SQ8", "IVF_PQ", "RABITQ")
EXACT_PLANS = {"exact", "skip", "bm25"}


@dataclass
class World:
    """Collections of each kind of index, and what should be in them."""

    service: Service
    rng: random.Random
    corpora: dict[str, dict[str, Document]]
    plans: Counter[str]


async def write(world: World, name: str, documents: list[Document]) -> None:
    messages = [document_to_proto(each, with_vectors=True) for each in documents]
    await upsert(world.service, *messages, name=name, scope=_scope(("everyone",)))
    world.corpora[name].update({each.document_id: each for each in documents})


async def delete(world: World, name: str, gone: list[str]) -> None:
    await world.service.stub.Delete(
        pb.DeleteRequest(scope=_scope(("everyone",)), collection=name, document_ids=gone)
    )
    for each in gone:
        del world.corpora[name][each]


async def fill(world: World, kind: str) -> None:
    """A collection whose rows lie in a built segment, partly deleted, and in the newest rows."""
    name = kind.lower()
    await create(world.service, name, dimensions=DIMENSIONS)
    world.corpora[name] = {}
    rng = world.rng
    for start in range(0, 240, 120):
        await write(world, name, [random_document(rng, n) for n in range(start, start + 120)])
    if kind != "AUTO":
        async for _ in world.service.stub.OptimizeCollection(
            pb.OptimizeCollectionRequest(
                scope=_scope(()), name=name, index_type=pb.IndexType.Value(f"INDEX_TYPE_{kind}")
            )
        ):
            pass
    await delete(world, name, rng.sample(sorted(world.corpora[name]), 30))
    await write(world, name, [random_document(rng, n) for n in rng.sample(range(260), 40)])


@contextlib.asynccontextmanager
async def world_of(kinds: tuple[str, ...], path: Any) -> AsyncIterator[World]:
    async with retrieval_service(sqlite_url(path / "a.db"), graph_rows=200) as service:
        world = World(service, random.Random(7), {}, Counter())
        for kind in kinds:
            await fill(world, kind)
        yield world


def _scope(principals: tuple[str, ...]) -> scope_pb2.Scope:
    return scope_pb2.Scope(tenant="acme", principals=principals, actor="service:test")


@dataclass
class Case:
    """One question, and the truth about it."""

    world: World
    name: str
    scope: scope_pb2.Scope
    tree: ast.Filter | None
    allowed: dict[Key, Any]
    vector: np.ndarray
    text: str

    @property
    def corpus(self) -> dict[str, Document]:
        return self.world.corpora[self.name]

    @property
    def readable(self) -> dict[str, Document]:
        """Documents that may be read and match, with or without chunks."""
        principals = set(self.scope.principals)
        return {
            key: each
            for key, each in self.corpus.items()
            if set(each.acl or ("everyone",)) & principals
            and (self.tree is None or matches(self.tree, each))
        }

    def options(self, **more: Any) -> pb.SearchOptions:
        tree = None if self.tree is None else to_proto(self.tree)
        return pb.SearchOptions(filter=tree, explain=True, **more)

    def query(self, *, text: bool = False, vector: bool = False) -> pb.Query:
        return pb.Query(
            text=self.text if text else "",
            vector=_vector(self.vector) if vector else None,
        )

    def where(self) -> dict[str, Any]:
        return {"scope": self.scope, "collection": self.name}

    def filtered(self) -> dict[str, Any]:
        return {**self.where(), **({} if self.tree is None else {"filter": to_proto(self.tree)})}

    async def search(self, query: pb.Query, options: pb.SearchOptions) -> pb.SearchResponse:
        response = await self.world.service.stub.Search(
            pb.SearchRequest(**self.where(), query=query, options=options)
        )
        self.check(response)
        return response

    def check(self, response: Any) -> list[Key]:
        """Nothing but what is allowed, each once, in order; returns the keys."""
        keys = [(each.passage.document_id, each.passage.ordinal) for each in response.passages]
        assert len(set(keys)) == len(keys)
        assert set(keys) <= set(self.allowed), (self.name, self.tree, self.scope)
        for each in response.passages:
            document = self.corpus[each.passage.document_id]
            chunk = document.chunks[each.passage.ordinal]
            assert each.passage.chunk_id == chunk.chunk_id
            assert (each.passage.start, each.passage.end) == (chunk.start, chunk.end)
            if each.passage.text:
                assert each.passage.text == document.text[chunk.start : chunk.end]
        self.world.plans.update(step.plan for step in response.explanation.steps)
        return keys


def _vector(numbers: np.ndarray) -> vector_pb2.Vector:
    return vector_pb2.Vector(
        data=numbers.astype("<f4").tobytes(), element_type=1, dimensions=len(numbers)
    )


def is_exact(response: Any) -> bool:
    return all(step.plan in EXACT_PLANS for step in response.explanation.steps)


async def dense(case: Case) -> None:
    rng = case.world.rng
    recall = rng.choice([1, 2, 3])
    count = rng.choice([1, 5, 30])
    limit = rng.choice([0, 0, 1])
    response = await case.search(
        case.query(vector=True),
        case.options(
            top_k=count, recall_class=recall, max_per_document=limit, omit_text=rng.random() < 0.5
        ),
    )
    assert response.explanation.allowed_count == len(case.allowed)
    scores = dense_scores(case.vector, case.allowed)
    got = [each.scores.final for each in response.passages]
    assert got == sorted(got, reverse=True)
    for each in response.passages:
        key = (each.passage.document_id, each.passage.ordinal)
        assert each.scores.dense == pytest.approx(scores[key], abs=1e-5)
    if limit:
        best: dict[str, float] = {}
        for (document_id, _), score in scores.items():
            best[document_id] = max(best.get(document_id, -2), score)
        scores = {(key, 0): score for key, score in best.items()}
    expected = sorted(scores.values(), reverse=True)[:count]
    if recall == 1 or is_exact(response):
        assert got == pytest.approx(expected, abs=1e-5)
    else:
        assert len(got) == len(expected), (case.name, "a place that could be filled stays empty")


async def keyword(case: Case) -> None:
    await case.search(
        case.query(text=True),
        case.options(top_k=20, mode=2, max_per_document=case.world.rng.choice([0, 1])),
    )


async def hybrid(case: Case) -> None:
    await case.search(
        case.query(text=True, vector=True),
        case.options(
            top_k=20,
            mode=3,
            fusion=pb.Fusion(method=case.world.rng.choice([1, 2, 3])),
            max_per_document=case.world.rng.choice([0, 2]),
        ),
    )


async def diverse(case: Case) -> None:
    response = await case.search(
        case.query(vector=True), case.options(top_k=8, diversity=pb.Diversity(strength=0.5))
    )
    if is_exact(response):
        assert len(response.passages) == min(8, len(case.allowed))


async def grouped(case: Case) -> None:
    mode = case.world.rng.choice([1, 2, 3])
    response = await case.search(
        case.query(text=True, vector=True),
        case.options(top_k=5, group_size=2, mode=mode, recall_class=1),
    )
    documents = {document_id for document_id, _ in case.allowed}
    if mode != 2:
        assert len(response.groups) == min(5, len(documents))
    if mode == 1:
        scores = dense_scores(case.vector, case.allowed)
        for group in response.groups:
            own = sorted(
                (score for key, score in scores.items() if key[0] == group.document_id),
                reverse=True,
            )
            found = response.passages[group.first_passage :][: group.passage_count]
            assert [each.scores.final for each in found] == pytest.approx(own[:2], abs=1e-5)


async def batch(case: Case) -> None:
    queries = [case.query(vector=True), case.query(vector=True)]
    response = await case.world.service.stub.BatchSearch(
        pb.BatchSearchRequest(**case.where(), queries=queries, options=case.options(top_k=6))
    )
    first, second = map(case.check, response.responses)
    assert first == second


async def stream(case: Case) -> None:
    async def messages() -> AsyncIterator[pb.SearchStreamRequest]:
        for number in range(2):
            request = pb.SearchRequest(
                **case.where(), query=case.query(text=True), options=case.options(top_k=6)
            )
            yield pb.SearchStreamRequest(search_id=number, request=request)

    async for each in case.world.service.stub.SearchStream(messages()):
        case.check(each.response)


async def recommend(case: Case) -> None:
    known = sorted(case.corpus)
    liked, disliked = case.world.rng.sample(known, 2)
    response = await case.world.service.stub.Recommend(
        pb.RecommendRequest(
            **case.where(),
            positive_ids=[liked],
            negative_ids=[disliked],
            positive_vectors=[_vector(case.vector)],
            options=case.options(top_k=10),
        )
    )
    found = [document_id for document_id, _ in case.check(response)]
    assert len(set(found)) == len(found)
    assert not {liked, disliked} & set(found)


async def scroll(case: Case) -> None:
    unit = case.world.rng.choice([pb.SCROLL_UNIT_DOCUMENT, pb.SCROLL_UNIT_CHUNK])
    found: list[Any] = []
    token = ""
    while True:
        page = await case.world.service.stub.Scroll(
            pb.ScrollRequest(**case.filtered(), unit=unit, page_size=40, page_token=token)
        )
        found += [each.document_id for each in page.documents]
        found += [(each.document_id, each.ordinal) for each in page.passages]
        token = page.next_page_token
        if not token:
            break
    truth = case.readable if unit == pb.SCROLL_UNIT_DOCUMENT else case.allowed
    assert found == sorted(truth)


async def count(case: Case) -> None:
    counted = await case.world.service.stub.Count(pb.CountRequest(**case.filtered()))
    assert counted.chunk_count == len(case.allowed)
    assert counted.document_count == len(case.readable)


async def facet(case: Case) -> None:
    response = await case.world.service.stub.Facet(
        pb.FacetRequest(**case.filtered(), field="year", limit=100)
    )
    got = {each.value.integer: each.document_count for each in response.values}
    years = (each.metadata.get("year") for each in case.readable.values())
    assert got == Counter(year for year in years if year is not None)


async def get(case: Case) -> None:
    wanted = case.world.rng.sample(sorted(case.corpus), 20)
    response = await case.world.service.stub.GetDocuments(
        pb.GetDocumentsRequest(**case.where(), document_ids=wanted)
    )
    readable = replace(case, tree=None).readable
    found = [each.document_id for each in response.documents]
    assert found == [each for each in wanted if each in readable]


async def export(case: Case) -> None:
    request = pb.ExportCollectionRequest(**case.filtered(), batch_size=50)
    found = [
        each.document_id
        async for message in case.world.service.stub.ExportCollection(request)
        for each in message.documents
    ]
    assert found == sorted(case.readable)


async def removal(case: Case) -> None:
    """Who loses a document does not find it again, from the next search on."""
    rng = case.world.rng
    principal = rng.choice(PRINCIPALS)
    own = [each for each in case.corpus.values() if principal in each.acl and each.chunks]
    if not own:
        return
    document = rng.choice(own)
    left = tuple(each for each in document.acl if each != principal) or ("user:nobody",)
    await write(case.world, case.name, [replace(document, acl=left)])
    vector = np.frombuffer(document.chunks[0].vector, "<f4").astype(float)
    after = replace(
        case,
        scope=_scope((principal,)),
        tree=None,
        vector=vector,
        allowed=allowed_chunks(case.corpus, (principal,), None),
    )
    response = await after.search(after.query(vector=True), after.options(top_k=5))
    assert document.document_id not in {e.passage.document_id for e in response.passages}
    await get(after)


FORMS: list[Callable[[Case], Awaitable[None]]] = [
    *(dense, dense, dense, keyword, keyword, hybrid, hybrid, diverse, grouped, batch, stream),
    *(recommend, scroll, count, facet, get, export, removal),
]


def dear_scans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes planners take graphs and lists where over so few rows a scan would be cheapest."""
    rng = random.Random(3)
    plain = planner.exact_cost
    monkeypatch.setattr(planner, "EXACT_ROWS", 0)
    monkeypatch.setattr(planner, "FEW_ROWS", 0)
    monkeypatch.setattr(
        planner, "exact_cost", lambda *about: 1e18 if rng.random() < 0.7 else plain(*about)
    )


async def run(world: World, cases: int) -> None:
    rng = world.rng
    for number in range(cases):
        name = rng.choice(sorted(world.corpora))
        principals = tuple(rng.sample(PRINCIPALS, rng.randint(0, 3)))
        tree = random_filter(rng) if rng.random() < 0.7 else None
        case = Case(
            world,
            name,
            _scope(principals),
            tree,
            allowed_chunks(world.corpora[name], principals, tree),
            np.array([rng.gauss(0, 1) for _ in range(DIMENSIONS)]),
            " ".join(rng.choices([*WORDS, "unknown"], k=rng.randint(1, 4))),
        )
        await FORMS[number % len(FORMS)](case)


async def test_nothing_but_what_is_allowed_in_any_form(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    dear_scans(monkeypatch)
    async with world_of(FEW, tmp_path) as world:
        await run(world, 60 * len(FORMS))
        assert {"exact", "bm25"} <= set(world.plans)
        assert {"graph", "filtered_graph"} & set(world.plans), world.plans


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_nothing_but_what_is_allowed_over_every_kind_of_index(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    dear_scans(monkeypatch)
    async with world_of(ALL, tmp_path) as world:
        await run(world, 600 * len(FORMS))
        print(dict(world.plans))
        assert {"exact", "bm25", "graph", "ivf"} <= set(world.plans), world.plans
