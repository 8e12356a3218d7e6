"""Measures of rankings and answers, as trec_eval and SQuAD's own script define them."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_MARKER = re.compile(r"\s?\[\d+\]")


def ndcg(ranking: Sequence[str], grades: Mapping[str, int], depth: int) -> float:
    """Returns the normalised discounted cumulative gain, 0..1; the gain is the grade itself.

    Args:
        ranking: Document ids, best first.
        grades: Grade of each judged document; above 0 is relevant.
        depth: Ranks that count.
    """
    gains = [max(0, grades.get(document_id, 0)) for document_id in ranking[:depth]]
    best = _discounted(
        sorted((grade for grade in grades.values() if grade > 0), reverse=True)[:depth]
    )
    return _discounted(gains) / best if best else 0.0


def _discounted(gains: Sequence[int]) -> float:
    return math.fsum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))


def recall(ranking: Sequence[str], grades: Mapping[str, int], depth: int) -> float:
    """Returns the share of the relevant documents within the first `depth`, 0..1."""
    relevant = {document_id for document_id, grade in grades.items() if grade > 0}
    return len(relevant.intersection(ranking[:depth])) / len(relevant) if relevant else 0.0


def reciprocal_rank(ranking: Sequence[str], grades: Mapping[str, int], depth: int) -> float:
    """Returns 1 / rank of the first relevant document, 0 when none is within `depth`."""
    for rank, document_id in enumerate(ranking[:depth], start=1):
        if grades.get(document_id, 0) > 0:
            return 1.0 / rank
    return 0.0


def mean(values: Sequence[float]) -> float | None:
    """Returns the mean; None where there is nothing to take it of."""
    return math.fsum(values) / len(values) if values else None


def without_markers(answer: str) -> str:
    """Returns an answer without its citation markers: `[1]`, `[2]`."""
    return _MARKER.sub("", answer).strip()


def normalized(text: str) -> str:
    """Returns text in one case, without punctuation, English articles and runs of spaces."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    bare = "".join(" " if unicodedata.category(each) == "Pd" else each for each in folded)
    bare = "".join(each for each in bare if not unicodedata.category(each).startswith("P"))
    return " ".join(_ARTICLES.sub(" ", bare).split())


def contains_answer(text: str, answers: Sequence[str]) -> bool:
    """Returns whether one of the answers stands in the text, both normalised."""
    inside = normalized(text)
    return any((wanted := normalized(answer)) and wanted in inside for answer in answers)
