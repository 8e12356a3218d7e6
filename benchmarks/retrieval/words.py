"""Keyword search: our BM25 over posting lists against tantivy, under filters, in one run.

    python -m benchmarks.retrieval.words [--passages 100000] [--data ../shared/data] [--json]

Both get the same terms (tantivy indexes the words our analyser made, split at spaces), so that what
is compared is the engine and not the analysis. Queries per CPU-second on one thread, rounds
interleaved; the filter is an access list and a share of the collection, pushed down as fields in
tantivy, as a mask in ours. Quality is nDCG@10 on labelled sets, each engine with its own BM25.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tantivy

from services.filters.ast import Equals
from services.filters.values import FieldType
from services.retrieval.keyword.analysis import Analyzer, analyzer
from services.retrieval.store.changes import DocumentState
from services.retrieval.store.chunk_table import ChunkEntry
from services.retrieval.view import masks
from services.retrieval.view.rows import Rows, Snapshot

SHARES = {"p01": 0.01, "p10": 0.1, "p50": 0.5, "all": 1.0}
TOP = 10
ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage and which shares of the collection it is in."""

    key: str
    text: str
    shares: frozenset[str]


class Ours:
    """The posting lists of a view."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._rows = Rows(1, "english")
        self._rows.ensure_fields({"share": FieldType.TAGS}.items())
        for start in range(0, len(passages), 1000):
            self._rows.append([_state(each) for each in passages[start : start + 1000]])
        self._rows.seal()
        self._seq = 1
        self.snapshot: Snapshot = self._rows.publish(1, 1, ())
        self.fields = {"share": FieldType.TAGS}

    def search(self, text: str, share: str) -> list[str]:
        """Returns the keys of the best passages."""
        snapshot = self.snapshot
        tree = None if share == "all" else Equals("share", share)
        allowed = masks.allowed(snapshot, ("everyone",), tree, self.fields, 0)
        scores = snapshot.rows.keywords.scores(
            snapshot, ((text, 1.0),), snapshot.live_chunk_mask, allowed
        )
        if allowed.count < len(scores) // 4:
            rows = allowed.ids[scores[allowed.ids] > 0]
        else:
            rows = np.flatnonzero((scores > 0) & allowed.mask)
        found = scores[rows]
        if len(rows) > TOP:
            best = np.argpartition(found, -TOP)[-TOP:]
            rows, found = rows[best], found[best]
        order = np.lexsort((rows, -found))
        ids = snapshot.rows.ids
        return [ids[row] for row in snapshot.document_of[rows[order]].tolist()]

    def update(self, passages: Sequence[Passage]) -> None:
        """Replaces passages; the next search finds the new ones."""
        self._rows.append([_state(each) for each in passages])
        self._seq += 1
        self.snapshot = self._rows.publish(self._seq, self._seq, ())


class Tantivy:
    """A tantivy index on disk with its filters as fields."""

    def __init__(self, passages: Sequence[Passage], folder: Path) -> None:
        self._analyzer: Analyzer = analyzer("english")
        builder = tantivy.SchemaBuilder()
        builder.add_text_field("key", stored=True, tokenizer_name="raw", index_option="basic")
        builder.add_text_field("body", tokenizer_name="words", index_option="freq")
        builder.add_text_field("acl", tokenizer_name="raw", index_option="basic")
        builder.add_text_field("share", tokenizer_name="raw", index_option="basic")
        self._schema = builder.build()
        self._index = tantivy.Index(self._schema, path=str(folder))
        words = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build()
        self._index.register_tokenizer("words", words)
        self._writer = self._index.writer(heap_size=128 << 20, num_threads=1)
        for each in passages:
            self._writer.add_document(self._document(each))
        self._writer.commit()
        self._writer.wait_merging_threads()
        self._writer = self._index.writer(heap_size=128 << 20, num_threads=1)
        self._index.reload()
        self._searcher = self._index.searcher()

    def search(self, text: str, share: str) -> list[str]:
        """Returns the keys of the best passages."""
        terms = self._analyzer.query(text)
        if not terms:
            return []
        should = [
            (tantivy.Occur.Should, tantivy.Query.term_query(self._schema, "body", term, "freq"))
            for term in dict.fromkeys(terms)
        ]
        parts = [
            (tantivy.Occur.Must, tantivy.Query.boolean_query(should)),
            (tantivy.Occur.Must, self._filter("acl", "everyone")),
        ]
        if share != "all":
            parts.append((tantivy.Occur.Must, self._filter("share", share)))
        found = self._searcher.search(tantivy.Query.boolean_query(parts), TOP, count=False)
        return [self._searcher.doc(address)["key"][0] for _, address in found.hits]

    def update(self, passages: Sequence[Passage]) -> None:
        """Replaces passages; the next search finds the new ones."""
        for each in passages:
            self._writer.delete_documents_by_term("key", each.key)
            self._writer.add_document(self._document(each))
        self._writer.commit()
        self._index.reload()
        self._searcher = self._index.searcher()

    def _filter(self, field: str, value: str) -> Any:
        query = tantivy.Query.term_query(self._schema, field, value, "basic")
        return tantivy.Query.const_score_query(query, 0.0)

    def _document(self, each: Passage) -> Any:
        terms = " ".join(self._analyzer.document(each.text).counted)
        return tantivy.Document(
            key=[each.key], body=[terms], acl=["everyone"], share=sorted(each.shares)
        )


def _state(each: Passage) -> DocumentState:
    return DocumentState(
        document_id=each.key,
        version=1,
        title="",
        uri="",
        text=each.text,
        metadata={"share": each.shares},
        acl=("everyone",),
        expires_micros=None,
        chunks=(ChunkEntry("c0", 0, len(each.text), (), 0),),
        vectors=b"\0\0\x80?",
    )


def main() -> None:
    """Prints the table, or with --json one object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--json", action="store_true", dest="as_json")
    options = parser.parse_args()
    rows = measure(options.passages, options.queries, options.data)
    if options.as_json:
        print(json.dumps({"bench": "retrieval.words", "rows": rows}))
        return
    for row in rows:
        print("{case:24} {metric:22} ours {ours:10.4g}  tantivy {tantivy:10.4g}".format(**row))


def measure(passages: int, queries: int, data: Path) -> list[dict[str, Any]]:
    """Returns one row for each case and figure."""
    rng = random.Random(1)
    texts, questions = _texts(data, passages, rng)
    corpus = [
        Passage(f"p{n}", text, frozenset(k for k, v in SHARES.items() if rng.random() < v))
        for n, text in enumerate(texts)
    ]
    asked = [rng.choice(questions) for _ in range(queries)]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        ours, other = Ours(corpus), Tantivy(corpus, Path(folder))
        rows += [_speed(ours, other, asked, share) for share in SHARES]
        rows.append(_updates(ours, other, corpus, rng))
        rows.append(_speed(ours, other, asked, "p10", " after updates"))
    labelled = [data / name for name in ("squad", "cranfield")]
    rows += [_quality(folder) for folder in labelled if folder.exists()]
    return rows


def _speed(
    ours: Ours, other: Tantivy, asked: Sequence[str], share: str, note: str = ""
) -> dict[str, Any]:
    figures: dict[str, list[float]] = {"ours": [], "tantivy": []}
    engines: dict[str, Callable[[str, str], list[str]]] = {
        "ours": ours.search,
        "tantivy": other.search,
    }
    for each in asked[:20]:
        ours.search(each, share), other.search(each, share)
    for _ in range(ROUNDS):
        for name, search in engines.items():
            began = time.thread_time()
            for each in asked:
                search(each, share)
            figures[name].append(len(asked) / (time.thread_time() - began))
    return {
        "case": f"filter {share}{note}",
        "metric": "queries per CPU-second",
        **{name: float(np.median(each)) for name, each in figures.items()},
    }


def _updates(
    ours: Ours, other: Tantivy, corpus: Sequence[Passage], rng: random.Random
) -> dict[str, Any]:
    """100 replaced passages, searchable afterwards."""
    figures: dict[str, list[float]] = {"ours": [], "tantivy": []}
    for _ in range(10):
        changed = rng.sample(list(corpus), 100)
        for name, update in (("ours", ours.update), ("tantivy", other.update)):
            began = time.perf_counter()
            update(changed)
            figures[name].append((time.perf_counter() - began) * 1000)
    return {
        "case": "100 upserts, searchable",
        "metric": "ms",
        **{name: float(np.median(each)) for name, each in figures.items()},
    }


def _quality(folder: Path) -> dict[str, Any]:
    corpus = [json.loads(line) for line in (folder / "corpus.jsonl").open()]
    queries = [json.loads(line) for line in (folder / "queries.jsonl").open()]
    wanted: dict[str, dict[str, float]] = {}
    for line in (folder / "qrels.tsv").read_text().splitlines()[1:]:
        query, key, grade = line.split("\t")
        wanted.setdefault(query, {})[key] = float(grade)
    passages = [
        Passage(each["_id"], f"{each.get('title', '')}\n{each['text']}", frozenset({"all"}))
        for each in corpus
    ]
    scores: dict[str, list[float]] = {"ours": [], "tantivy": []}
    with tempfile.TemporaryDirectory() as path:
        ours, other = Ours(passages), Tantivy(passages, Path(path))
        for query in queries:
            truth = wanted.get(query["_id"])
            if truth:
                scores["ours"].append(_ndcg(ours.search(query["text"], "all"), truth))
                scores["tantivy"].append(_ndcg(other.search(query["text"], "all"), truth))
    return {
        "case": folder.name,
        "metric": "nDCG@10",
        **{name: float(np.mean(each)) for name, each in scores.items()},
    }


def _ndcg(found: Sequence[str], truth: dict[str, float]) -> float:
    gained = sum(max(truth.get(key, 0.0), 0.0) / math.log2(n + 2) for n, key in enumerate(found))
    best = sorted((max(each, 0.0) for each in truth.values()), reverse=True)[:TOP]
    ideal = sum(grade / math.log2(n + 2) for n, grade in enumerate(best))
    return gained / ideal if ideal else 0.0


def _texts(data: Path, count: int, rng: random.Random) -> tuple[list[str], list[str]]:
    """Returns passages and questions: real words in their real frequencies, put together anew."""
    corpus = data / "squad" / "corpus.jsonl"
    if corpus.exists():
        sentences = [
            sentence
            for line in corpus.open()
            for sentence in json.loads(line)["text"].split(". ")
            if sentence
        ]
        questions = [json.loads(line)["text"] for line in (data / "squad" / "queries.jsonl").open()]
        return [". ".join(rng.choices(sentences, k=5)) for _ in range(count)], questions
    words = [f"word{n}" for n in range(30_000)]
    weights = [1 / (n + 3) for n in range(len(words))]
    texts = [" ".join(rng.choices(words, weights, k=110)) for _ in range(count)]
    return texts, [" ".join(rng.choices(words, weights, k=6)) for _ in range(300)]


if __name__ == "__main__":
    main()
