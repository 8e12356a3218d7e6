"""Random corpora, access lists, filters and queries: nothing outside the allowed set is ever found, and
exact search equals brute force written here without the service's code."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from services.filters import ast
from services.filters.values import Timestamp
from services.retrieval.collections import CollectionSettings, IndexType
from services.retrieval.documents import Chunk, Document
from services.retrieval.keyword.analysis import analyzer
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
from services.retrieval.view.view import Shape
from services.sql.engine import sqlite_url

DIMENSIONS = 12
WORDS = [f"word{n}" for n in range(60)]
PRINCIPALS = ["everyone", "user:a", "user:b", "group:x", "group:y", "key:1"]
TENANTS = ["acme", "other"]


@dataclass
class Corpus:
    """Documents as they should be, per tenant."""

    documents: dict[str, dict[str, Document]]


def random_document(rng: random.Random, number: int) -> Document:
    metadata: dict[str, Any] = {}
    if rng.random() < 0.8:
        metadata["kind"] = rng.choice(["policy", "memo", "note", "größe"])
    if rng.random() < 0.7:
        metadata["year"] = rng.randint(2018, 2026)
    if rng.random() < 0.5:
        metadata["score"] = rng.choice([0.5, 1.0, 2.0, -3.25])
    if rng.random() < 0.5:
        metadata["ok"] = rng.random() < 0.5
    if rng.random() < 0.5:
        metadata["at"] = Timestamp(rng.randint(0, 10) * 10**15)
    if rng.random() < 0.6:
        metadata["tags"] = frozenset(
            rng.sample(["red", "blue", "green", "black"], rng.randint(0, 3))
        )
    if rng.random() < 0.1:
        metadata["kind"] = None
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(1, 12))) for _ in range(rng.randint(0, 3))]
    chunks, at = [], 0
    for index, text in enumerate(texts):
        vector = np.array([rng.gauss(0, 1) for _ in range(DIMENSIONS)], "<f4")
        chunks.append(Chunk(f"c{index}", at, at + len(text), vector.tobytes()))
        at += len(text) + 1
    return Document(
        document_id=f"d{number:04}",
        title=rng.choice(["", "word1 title", "word2"]),
        uri=rng.choice(["", f"x/{number}", f"y/{number}"]),
        text="\n".join(texts),
        metadata=metadata,
        acl=tuple(rng.sample(PRINCIPALS, rng.randint(0, 3))),
        chunks=tuple(chunks),
    )


def random_filter(rng: random.Random, depth: int = 0) -> ast.Filter:
    if depth < 3 and rng.random() < 0.45:
        operands = tuple(random_filter(rng, depth + 1) for _ in range(rng.randint(0, 3)))
        if rng.random() < 0.3:
            return ast.Not(random_filter(rng, depth + 1))
        return ast.And(operands) if rng.random() < 0.5 else ast.Or(operands)
    return rng.choice(
        [
            lambda: ast.Equals("kind", rng.choice(["policy", "memo", "größe", "none"])),
            lambda: ast.Equals("year", rng.choice([2020, 2021.0, 2021.5])),
            lambda: ast.OneOf("year", (2019, 2022, 2025)),
            lambda: ast.OneOf("kind", ()),
            lambda: ast.Range("year", gte=rng.randint(2017, 2027)),
            lambda: ast.Range("year", gt=2019.5, lt=rng.choice([2023, 2023.5])),
            lambda: ast.Range("score", lte=1),
            lambda: ast.Range("kind", gte="n"),
            lambda: ast.Range("at", lt=Timestamp(5 * 10**15)),
            lambda: ast.Equals("ok", rng.random() < 0.5),
            lambda: ast.Exists(rng.choice(["kind", "year", "tags", "ok", "at", "uri"])),
            lambda: ast.Prefix("kind", rng.choice(["p", "gr", ""])),
            lambda: ast.Prefix("uri", "x/"),
            lambda: ast.Equals("tags", "red"),
            lambda: ast.OneOf("tags", ("red", "black")),
            lambda: ast.ContainsAll("tags", ("red", "blue")),
            lambda: ast.ContainsAll("tags", ()),
            lambda: ast.OneOf("document_id", ("d0003", "d0017", "nothing")),
        ]
    )()


def holds(tree: ast.Filter, document: Document) -> bool:
    """What a filter means, said as plainly as possible."""
    if isinstance(tree, ast.And):
        return all(holds(each, document) for each in tree.operands)
    if isinstance(tree, ast.Or):
        return any(holds(each, document) for each in tree.operands)
    if isinstance(tree, ast.Not):
        return not holds(tree.operand, document)
    builtin = {"document_id": document.document_id, "uri": document.uri or None}
    value = builtin.get(tree.field, document.metadata.get(tree.field))
    if value is None:
        return False
    if isinstance(tree, ast.Exists):
        return True
    if isinstance(tree, ast.Equals):
        return tree.value in value if isinstance(value, frozenset) else value == tree.value
    if isinstance(tree, ast.OneOf):
        if isinstance(value, frozenset):
            return not value.isdisjoint(tree.values)
        return value in tree.values
    if isinstance(tree, ast.ContainsAll):
        return value >= set(tree.values)
    if isinstance(tree, ast.Prefix):
        return value.startswith(tree.prefix)
    return (
        (tree.gte is None or value >= tree.gte)
        and (tree.gt is None or value > tree.gt)
        and (tree.lte is None or value <= tree.lte)
        and (tree.lt is None or value < tree.lt)
    )


Key = tuple[str, int]


def allowed_chunks(
    corpus: dict[str, Document], principals: tuple[str, ...], tree: ast.Filter | None
) -> dict[Key, Chunk]:
    return {
        (document.document_id, ordinal): chunk
        for document in corpus.values()
        if set(document.acl or ("everyone",)) & set(principals)
        and (tree is None or holds(tree, document))
        for ordinal, chunk in enumerate(document.chunks)
    }


def dense_scores(query: np.ndarray, allowed: dict[Key, Chunk]) -> dict[Key, float]:
    scores = {}
    for key, chunk in allowed.items():
        other = np.frombuffer(chunk.vector, "<f4").astype(float)
        scores[key] = float(query @ other / np.linalg.norm(other) / np.linalg.norm(query))
    return scores


def keyword_scores(
    text: str, corpus: dict[str, Document], allowed: dict[Key, Chunk]
) -> dict[Key, float]:
    analysis = analyzer("english")
    bags = {
        (document.document_id, ordinal): Counter(
            analysis.document(f"{document.title}\n{document.text[chunk.start : chunk.end]}").counted
        )
        for document in corpus.values()
        for ordinal, chunk in enumerate(document.chunks)
    }
    mean = sum(sum(bag.values()) for bag in bags.values()) / max(len(bags), 1)
    scores: dict[Key, float] = {}
    for term in analysis.query(text):
        frequency = sum(1 for bag in bags.values() if term in bag)
        if not frequency:
            continue
        idf = math.log(1 + (len(bags) - frequency + 0.5) / (frequency + 0.5))
        for key in allowed:
            tf = bags[key][term]
            if tf:
                norm = 1.2 * (1 - 0.75 + 0.75 * sum(bags[key].values()) / mean)
                scores[key] = scores.get(key, 0.0) + idf * tf * 2.2 / (tf + norm)
    return scores


def top(scores: dict[Key, float], count: int) -> list[float]:
    return sorted(scores.values(), reverse=True)[:count]


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
    settings = KeeperSettings(poll_seconds=0.02, shape=shape)
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
    is_exact = options.recall is RecallClass.EXACT or all(s.plan in {"exact", "skip", "bm25"} for s in answer.steps)
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
