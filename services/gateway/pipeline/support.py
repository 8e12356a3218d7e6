"""How well a text carries a sentence, by its words and numbers."""

from __future__ import annotations

from services.gateway.pipeline.words import content_words, numbers, sentence_spans

MIN_SUPPORT = 0.35
"""Below it a sentence does not count as supported: two words of three are not in the source."""

_INVENTED_NUMBER_SUPPORT = 0.2
_PAIR_GAIN = 0.1
"""What a second sentence must add to be quoted along."""


def support(sentence: str, source: str) -> float:
    """Returns how well `source` carries `sentence`, 0..1.

    1 for a verbatim copy; else the share of its words that the source has. A number that is not in
    the source counts more than any words: unsupported numbers are the commonest invention.
    """
    folded = " ".join(sentence.split()).casefold().rstrip(".!?…。！？ ")
    if not folded:
        return 0.0
    if folded in " ".join(source.split()).casefold():
        return 1.0
    words = content_words(sentence)
    if not words:
        return 0.0
    known = set(content_words(source))
    share = sum(word in known for word in words) / len(words)
    if numbers(sentence) - numbers(source):
        return min(share, _INVENTED_NUMBER_SUPPORT)
    return share


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
