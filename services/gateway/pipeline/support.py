"""How well a text carries a sentence, by its words and numbers."""

from __future__ import annotations

import functools
from collections.abc import Iterable

from services.gateway.pipeline.words import (
    content_words,
    known_numbers,
    numbers,
    sentence_spans,
)
from services.languages.telling import language_of_question
from services.languages.words import function_words

MIN_SUPPORT = 0.35
"""Below it a sentence does not count as supported. By meaning that is a mean cosine of its words
under .61; by words alone, more than six of ten are not in the source."""

INVENTED_NUMBER_SUPPORT = 0.2
"""The most that a sentence has whose numbers its source does not have."""

_PAIR_GAIN = 0.1
"""What a second sentence must add to be quoted along."""


def is_copied(sentence: str, source: str) -> bool:
    """Whether the sentence stands in the source as it is, but for case and white space."""
    folded = " ".join(sentence.split()).casefold().rstrip(".!?…。！？।॥؟۔ ")
    return bool(folded) and folded in " ".join(source.split()).casefold()


def support(sentence: str, source: str) -> float:
    """Returns how well `source` carries `sentence`, 0..1.

    1 for a verbatim copy; else the share of its words that the source has. A number that is not in
    the source counts more than any words: unsupported numbers are the commonest invention.
    """
    if is_copied(sentence, source):
        return 1.0
    words = content_words(sentence)
    if not words:
        return 0.0
    # A sentence in German is not carried by "die", "der" and "in".
    joining = _function_words(language_of_question(sentence))
    words = [word for word in words if word not in joining] or words
    known = set(content_words(source))
    share = sum(word in known for word in words) / len(words)
    if numbers(sentence) - known_numbers(source):
        return min(share, INVENTED_NUMBER_SUPPORT)
    return share


@functools.lru_cache(maxsize=64)
def _function_words(language: str) -> frozenset[str]:
    """Returns the function words of a language in the form of `content_words`."""
    return frozenset(part for word in function_words(language) for part in content_words(word))


def mean_support(scored: Iterable[tuple[str, float]]) -> float:
    """Returns the mean support of sentences, 0..1, each as important as it is long."""
    total = weights = 0.0
    for sentence, score in scored:
        weight = sum(map(str.isalnum, sentence))
        total += weight * score
        weights += weight
    return total / weights if weights else 0.0


@functools.lru_cache(maxsize=256)
def best_span(sentence: str, source: str) -> tuple[int, int]:
    """Returns (start, end) of the sentence or two of `source` that carry `sentence` best.

    The whole source when it has no sentences.
    """
    exact = source.find(sentence)
    if sentence and exact >= 0:
        return exact, exact + len(sentence)
    spans = sentence_spans(source)
    if not spans:
        return 0, len(source)
    words = set(content_words(sentence))
    found = [words & set(content_words(source[start:end])) for start, end in spans]
    size = max(1, len(words))
    best = max(range(len(spans)), key=lambda index: len(found[index]))
    score = len(found[best]) / size
    result = spans[best]
    for first in (best - 1, best):
        if 0 <= first < len(spans) - 1:
            both = len(found[first] | found[first + 1]) / size
            if both > score + _PAIR_GAIN:
                score, result = both, (spans[first][0], spans[first + 1][1])
    return result
