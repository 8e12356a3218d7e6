"""Which class of engine a question needs, where the caller does not say: by rule, in microseconds.

A question is simple when it asks for one fact: short, one question, no conversation before it and
no form asked for. It is complex when it asks to compare, explain, derive or sum up, asks several
things, or is long. Words are looked for in English, German, French and Spanish; in other languages
length and marks decide, and most questions are neither.
"""

from __future__ import annotations

import re

from services.generation.engine import GenerationRequest, RequestClass, Role

SIMPLE_WORDS = 14
"""A question for one fact is hardly longer."""
COMPLEX_WORDS = 60
COMPLEX_PASSAGES = 20
"""So many passages are read for a survey, not for a fact."""

_COMPLEX = re.compile(
    r"\b(?:"
    r"compar\w+|contrast\w*|versus|vs|differen\w+|trade-?offs?|pros|cons|why|explain\w*"
    r"|analy[sz]\w+|summari[sz]\w+|summary|evaluat\w+|assess\w*|justif\w+|prove|derive"
    r"|implications?|step by step"
    r"|vergleich\w*|unterschied\w*|warum|wieso|weshalb|erklär\w*|erläuter\w*|bewert\w*"
    r"|pourquoi|expliqu\w+|différen\w+|résum\w+"
    r"|por qué|explic\w+|diferen\w+|resum\w+"
    r")\b",
    re.IGNORECASE,
)
_QUESTION_MARKS = re.compile(r"[?？؟]")
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
_CHARACTERS_PER_WORD = 2.5
"""Of scripts without spaces between words."""


def class_of(request: GenerationRequest) -> RequestClass:
    """Returns the class of a request whose caller named none."""
    question = request.question
    words = _word_count(question)
    if (
        words > COMPLEX_WORDS
        or len(request.passages) > COMPLEX_PASSAGES
        or len(_QUESTION_MARKS.findall(question)) > 1
        or _COMPLEX.search(question)
    ):
        return RequestClass.STRONG
    has_history = any(each.role is not Role.SYSTEM for each in request.messages[:-1])
    if words <= SIMPLE_WORDS and not has_history and request.structured_output is None:
        return RequestClass.CHEAP
    return RequestClass.DEFAULT


def _word_count(text: str) -> float:
    unspaced = len(_UNSPACED.findall(text))
    return len(text.split()) + unspaced / _CHARACTERS_PER_WORD
