"""Random corpora, access lists, filters and queries: nothing outside the allowed set is ever found, and
exact search equals brute force written here without the service's code."""

from __future__ import annotations

import math
import random
from collections import Counter

import numpy as np
import pytest

from services.retrieval.collections import CollectionSettings, IndexType
from services.retrieval.documents import Document
from services.retrieval.library import Library
from services.retrieval.queries import (
    FusionMethod,
    Query,
    RecallClass,
    SearchMode,
    SearchOptions,
)
from services.retrieval.search import Reach, Searcher
from services.retrieval.store.store import Store
from services.retrieval.view.keeper import Keeper, KeeperSettings
from services.retrieval.view.merging import Shape
from services.sql.engine import sqlite_url
from tests.kit.corpora import (
    DIMENSIONS,
    PRINCIPALS,
    TENANTS,
    WORDS,
    Key,
    allowed_chunks,
    dense_scores,
    keyword_scores,
    random_document,
    random_filter,
    top,
)


@pytest.fixture(
    params=[
        pytest.param(100_000, id="memtable"),
        pytest.param(60, id="segments"),
    ]
)
async def world(request, tmp_path):
    """A searcher over two tenants' random collections that were written, rewritten and deleted."""
    graph_rows = request.param
    rng = random.Random(graph_rows)
    shape = Shape(graph_rows=graph_rows)
    settings = KeeperSettings(poll_seconds=0.02, shape=shape, build_niceness=0)
    async with (
        await Store.open(sqlite_url(tmp_path / "a.db")) as store,
        Keeper(store, settings) as keeper,
    ):
        library = Library(store, keeper)
        searcher = Searcher(store, keeper, 2)
        corpora: dict[str, dict[str, Document]] = {}
        for tenant in TENANTS:
            index = IndexType.HNSW_SQ8 if tenant == "acme" else IndexType.HNSW
            await library.create(tenant, "docs", CollectionSettings(DIMENSIONS, index_type=index))
            corpus = corpora[tenant] = {}
            collection = await store.resolve(tenant, "docs")
            for round_number in range(3):
                numbers = rng.sample(range(150), 110)
                new = [random_document(rng, number) for number in numbers]
                await library.upsert(tenant, "docs", new, 0)
                corpus.update({each.document_id: each for each in new})
                gone = rng.sample(sorted(corpus), 12)
                await library.delete(tenant, "docs", gone, None)
                for each in gone:
                    del corpus[each]
                if round_number == 0:
                    view = await keeper.view(collection)
                    if graph_rows < 1000:
                        view.build_segment()
        yield searcher, corpora, rng, graph_rows < 1000
        await searcher.close()


async def test_every_answer_lies_inside_what_is_allowed_and_exact_is_exact(world):
    searcher, corpora, rng, has_graph = world
    plans: Counter[str] = Counter()
    segments: set[str] = set()
    for _ in range(250):
        tenant = rng.choice(TENANTS)
        corpus = corpora[tenant]
        principals = tuple(rng.sample(PRINCIPALS, rng.randint(0, 3)))
        tree = random_filter(rng) if rng.random() < 0.7 else None
        mode = rng.choice(list(SearchMode))
        recall = rng.choice(list(RecallClass))
        text = " ".join(rng.choices([*WORDS, "unknown"], k=rng.randint(1, 4)))
        query = np.array([rng.gauss(0, 1) for _ in range(DIMENSIONS)])
        options = SearchOptions(
            mode=mode,
            top_k=rng.choice([1, 5, 30]),
            filter=tree,
            recall=recall,
            candidates=rng.choice([10, 100]),
            fusion=rng.choice(list(FusionMethod)),
            max_per_document=rng.choice([0, 0, 1]),
        )
        unit = (query / np.linalg.norm(query)).astype(np.float32)
        [answer] = await searcher.search(
            Reach(tenant, principals),
            "docs",
            [Query(((text, 1.0),), unit)],
            options,
            lambda _: None,
        )
        plans.update(step.plan for step in answer.steps)
        segments.update(step.segment for step in answer.steps)
        allowed = allowed_chunks(corpus, principals, tree)
        found = [(each.document_id, each.ordinal) for each in answer.passages]
        assert len(set(found)) == len(found)
        assert set(found) <= set(allowed), (tree, principals)
        assert answer.allowed_count == len(allowed)
        for passage in answer.passages:
            document = corpus[passage.document_id]
            assert passage.text == document.text[passage.start : passage.end]
        check_scores(answer, options, corpus, allowed, query, text)
    assert plans["exact"] > 0
    assert any(step.startswith("segment") for step in segments) == has_graph
    assert plans["bm25"] > 0


def check_scores(answer, options, corpus, allowed, query, text) -> None:
    """Compares the scores with brute force: sorted lists of scores do not depend on how ties fall."""
    got = [scores.final for scores in answer.hits.scores()]
    assert got == sorted(got, reverse=True)
    is_exact = options.recall is RecallClass.EXACT or all(
        s.plan in {"exact", "skip", "bm25"} for s in answer.steps
    )
    near = dense_scores(query, allowed)
    words = keyword_scores(text, corpus, allowed)
    for passage, scores in zip(answer.passages, answer.hits.scores(), strict=True):
        key = (passage.document_id, passage.ordinal)
        if scores.dense is not None:
            assert scores.dense == pytest.approx(near[key], abs=1e-5)
        if scores.keyword is not None:
            assert scores.keyword == pytest.approx(words[key], rel=1e-4)
    if options.mode is SearchMode.HYBRID or (options.mode is SearchMode.DENSE and not is_exact):
        return
    truth = near if options.mode is SearchMode.DENSE else words
    if options.max_per_document:
        best: dict[str, float] = {}
        for (document_id, _), score in truth.items():
            best[document_id] = max(best.get(document_id, -math.inf), score)
        expected = sorted(best.values(), reverse=True)[: options.top_k]
    else:
        expected = top(truth, options.top_k)
    assert got == pytest.approx(expected, abs=1e-4)


async def test_hybrid_equals_fusion_by_hand(world):
    searcher, corpora, rng, _ = world
    corpus = corpora["acme"]
    for _ in range(40):
        principals = ("everyone", "user:a")
        tree = random_filter(rng) if rng.random() < 0.5 else None
        text = " ".join(rng.choices(WORDS, k=3))
        query = np.array([rng.gauss(0, 1) for _ in range(DIMENSIONS)])
        unit = (query / np.linalg.norm(query)).astype(np.float32)
        options = SearchOptions(
            mode=SearchMode.HYBRID,
            top_k=10,
            filter=tree,
            recall=RecallClass.EXACT,
            dense_weight=0.4,
        )
        [answer] = await searcher.search(
            Reach("acme", principals),
            "docs",
            [Query(((text, 1.0),), unit)],
            options,
            lambda _: None,
        )
        allowed = allowed_chunks(corpus, principals, tree)
        fused: dict[Key, float] = {}
        for weight, scores in [
            (0.4, dense_scores(query, allowed)),
            (0.6, keyword_scores(text, corpus, allowed)),
        ]:
            best = dict(sorted(scores.items(), key=lambda pair: -pair[1])[:100])
            values = list(best.values())
            spread = float(np.std(values)) if values else 0.0
            for key, score in best.items():
                share = 1.0 if spread < 1e-9 else (score - min(values)) / spread
                fused[key] = fused.get(key, 0.0) + weight * share
        got = [scores.final for scores in answer.hits.scores()]
        assert got == pytest.approx(top(fused, 10), abs=2e-3)


async def test_graphs_find_nearly_all(world):
    searcher, corpora, rng, _ = world
    corpus = corpora["acme"]
    hits = wanted = 0
    for _ in range(40):
        query = np.array([rng.gauss(0, 1) for _ in range(DIMENSIONS)])
        unit = (query / np.linalg.norm(query)).astype(np.float32)
        options = SearchOptions(mode=SearchMode.DENSE, top_k=10)
        [answer] = await searcher.search(
            Reach("acme", tuple(PRINCIPALS)), "docs", [Query((), unit)], options, lambda _: None
        )
        truth = dense_scores(query, allowed_chunks(corpus, tuple(PRINCIPALS), None))
        best = set(sorted(truth, key=lambda key: -truth[key])[:10])
        found = {(each.document_id, each.ordinal) for each in answer.passages}
        hits += len(best & found)
        wanted += len(best)
    assert hits / wanted >= 0.98
