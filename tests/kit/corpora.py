"""Random documents and filters, and brute force over them without the service's code."""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import Any

import numpy as np

from services.filters import ast
from services.filters.values import Timestamp
from services.retrieval.documents import Chunk, Document
from services.retrieval.keyword.analysis import analyzer
from tests.kit.filters import holds

DIMENSIONS = 12
WORDS = [f"word{n}" for n in range(60)]
PRINCIPALS = ["everyone", "user:a", "user:b", "group:x", "group:y", "key:1"]
TENANTS = ["acme", "other"]


def random_document(rng: random.Random, number: int) -> Document:
    """A document with up to three chunks, metadata of each type and an access list."""
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
    """A filter over the fields of the random documents."""
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


Key = tuple[str, int]
"""Document id and ordinal of a chunk."""


def matches(tree: ast.Filter, document: Document) -> bool:
    """Whether a document matches a filter."""
    return holds(tree, document.metadata, document.document_id, document.uri)


def allowed_chunks(
    corpus: dict[str, Document], principals: tuple[str, ...], tree: ast.Filter | None
) -> dict[Key, Chunk]:
    """Chunks that some principals may find under a filter, said as plainly as possible."""
    return {
        (document.document_id, ordinal): chunk
        for document in corpus.values()
        if set(document.acl or ("everyone",)) & set(principals)
        and (tree is None or matches(tree, document))
        for ordinal, chunk in enumerate(document.chunks)
    }


def dense_scores(query: np.ndarray, allowed: dict[Key, Chunk]) -> dict[Key, float]:
    """Cosines, one by one."""
    scores = {}
    for key, chunk in allowed.items():
        other = np.frombuffer(chunk.vector, "<f4").astype(float)
        scores[key] = float(query @ other / np.linalg.norm(other) / np.linalg.norm(query))
    return scores


def keyword_scores(
    text: str, corpus: dict[str, Document], allowed: dict[Key, Chunk]
) -> dict[Key, float]:
    """BM25, one by one."""
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
    """The best scores."""
    return sorted(scores.values(), reverse=True)[:count]
