"""Word overlap weighted by rarity.

It picks candidates before the costly scoring, and stands in when the scorer cannot be reached.
"""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from services.languages.telling import language_of_question
from services.languages.words import function_words

STOP_WORD_WEIGHT = 0.2
"""Function words keep some weight: without them extraction loses 2 to 3 points (SQuAD)."""

_BASE_WEIGHT = 1.0
"""A term that each sentence holds still counts: a few sentences about one thing all name it."""

_STOP_WORDS = frozenset(
    """
    a an and are as at be but by for from had has have he her his how i if in into is it its of on
    or s she t than that the their them there they this to was we were what when where which who
    whom whose why will with you your did do does can could would should about after before between
    during been being not no nor so such may might must also any some more most much many me my our
    us tell please name called
    """.split()  # noqa: SIM905 - words read best as text
)
_SUFFIXES = ("ing", "edly", "ed", "ies", "es", "s", "ly")
_REMEMBERED_CHARACTERS = 32
_WIDE = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f"
# Combining marks belong to words: Indic vowel signs are not in \w.
_WORD = re.compile(rf"[{_WIDE}]+|[^\W{_WIDE}][\w\u0300-\u036f\u0900-\u0963\u0966-\u0dff'’]*")
_IS_WIDE = re.compile(rf"[{_WIDE}]")
# Pairs that ask or join: Japanese endings are in hiragana, Chinese has words for it.
_WIDE_FUNCTION = re.compile(
    "[\u3041-\u309f何]{2}|[的是了在有和与個个什么甚麼怎样樣為为多少几幾哪谁誰吗嗎呢何时時]{2}"
)


def terms(text: str) -> list[str]:
    """Splits into comparable words: lower case, endings cut, pairs for scripts without spaces."""
    words = _WORD.findall(text.lower())
    if text.isascii():
        return [_stem(word) for word in words]
    found: list[str] = []
    for word in words:
        if _IS_WIDE.match(word):
            found.extend(word[i : i + 2] for i in range(max(1, len(word) - 1)))
        else:
            found.append(_stem(word))
    return found


def _stem(word: str) -> str:
    """Returns a word without its ending; a text has few words that others did not have before."""
    return _remembered_stem(word) if len(word) <= _REMEMBERED_CHARACTERS else _cut(word)


@functools.lru_cache(maxsize=16_384)
def _remembered_stem(word: str) -> str:
    return _cut(word)


def _cut(word: str) -> str:
    word = word.removesuffix("'s").removesuffix("’s")
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 4:
            return word[: -len(suffix)]
    return word


@functools.lru_cache(maxsize=64)
def _stop_terms(language: str) -> frozenset[str]:
    """Returns the function words of a language, as terms; English ones where it is not known."""
    if language in ("", "en"):
        return _STOP_WORDS
    return frozenset(term for word in function_words(language) for term in terms(word))


class TermWeights:
    """Rarity of terms over the sentences of one request.

    Args:
        sentences: Texts to count in.
        question: What is asked; its language says which words are function words.
    """

    def __init__(self, sentences: Iterable[str], question: str = "") -> None:
        self._stop_terms = _stop_terms(language_of_question(question))
        self._document_frequency: Counter[str] = Counter()
        self._sentences = 0
        self._terms: dict[str, set[str]] = {}
        """Of the sentences, most of which are compared by themselves later."""
        for sentence in sentences:
            found = self._terms[sentence] = set(terms(sentence))
            self._document_frequency.update(found)
            self._sentences += 1

    def note_pair(self, first: str, gap: str, second: str) -> None:
        """Takes note of a text made of two of the sentences: its terms are theirs.

        Args:
            first: One of the sentences.
            gap: What stands between them.
            second: The other one.
        """
        # No word goes across white space, nor does any letter's lower case depend on what is there.
        if gap and gap[0].isspace() and gap[-1].isspace():
            found = self._terms[first] | self._terms[second]
            self._terms[f"{first}{gap}{second}"] = (
                found if gap.isspace() else found | set(terms(gap))
            )

    def weight(self, term: str) -> float:
        """Returns the weight of a term of the question: 1 + BM25's IDF, less for function words."""
        frequency = self._document_frequency[term]
        idf = math.log1p((self._sentences - frequency + 0.5) / (frequency + 0.5))
        is_function = term in self._stop_terms or _WIDE_FUNCTION.fullmatch(term) is not None
        return (_BASE_WEIGHT + idf) * (STOP_WORD_WEIGHT if is_function else 1.0)

    def query_word_weights(self, question: str) -> list[float]:
        """Returns one weight per whitespace-separated word of the question, in order."""
        weights: list[float] = []
        for word in question.split():
            found = terms(word)
            weights.append(max((self.weight(term) for term in found), default=0.05))
        return weights

    def overlap(self, question: str, texts: Sequence[str]) -> list[float]:
        """Returns for each text the share of the question's weight whose terms it holds, 0..1."""
        wanted = Counter(terms(question))
        weights = {term: self.weight(term) * count for term, count in wanted.items()}
        total = sum(weights.values())
        if not total:
            return [0.0] * len(texts)
        return [
            sum(weights[term] for term in weights.keys() & self._terms_of(text)) / total
            for text in texts
        ]

    def _terms_of(self, text: str) -> set[str]:
        known = self._terms.get(text)
        return set(terms(text)) if known is None else known
