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


def ranks(values: Sequence[float]) -> list[float]:
    """Returns the rank of each value, from 1; equal values share the mean of their ranks."""
    order = sorted(range(len(values)), key=lambda place: values[place])
    found = [0.0] * len(values)
    first = 0
    while first < len(order):
        last = first
        while last + 1 < len(order) and values[order[last + 1]] == values[order[first]]:
            last += 1
        for place in order[first : last + 1]:
            found[place] = (first + last) / 2 + 1
        first = last + 1
    return found


def auroc(positive: Sequence[float], negative: Sequence[float]) -> float | None:
    """Returns the chance that a positive has the higher score, ties half; None without both."""
    if not positive or not negative:
        return None
    found = ranks([*positive, *negative])
    above = math.fsum(found[: len(positive)]) - len(positive) * (len(positive) + 1) / 2
    return above / (len(positive) * len(negative))


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Returns the correlation of ranks, -1..1; None where one of them does not vary."""
    one, other = ranks(first), ranks(second)
    if len(set(one)) < 2 or len(set(other)) < 2:
        return None
    middle = (len(one) + 1) / 2
    along = math.fsum((a - middle) * (b - middle) for a, b in zip(one, other, strict=True))
    spread = math.fsum((a - middle) ** 2 for a in one) * math.fsum((b - middle) ** 2 for b in other)
    return along / math.sqrt(spread)


def quantile(values: Sequence[float], share: float) -> float:
    """Returns the value that `share` (0..1) of the values lie below, at most.

    Args:
        values: At least one.
        share: Share of the values.
    """
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


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
