"""About how many bytes kept values take."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.gateway.answer import Answer, SearchResult
    from services.gateway.passages import ScoredPassage

_ENTRY_BYTES = 1_000
"""Keys, dataclasses and the store's own records."""
_PASSAGE_BYTES = 700
_CITATION_BYTES = 500
_VALUE_BYTES = 100


def answer_bytes(answer: Answer) -> int:
    """Returns about the bytes of an answer."""
    citations = sum(
        _CITATION_BYTES + sys.getsizeof(each.text) + sys.getsizeof(each.title)
        for each in answer.citations
    )
    size = _ENTRY_BYTES + sys.getsizeof(answer.answer) + citations
    return size + _passages_bytes(answer.passages)


def result_bytes(result: SearchResult) -> int:
    """Returns about the bytes of a result."""
    return _ENTRY_BYTES + _passages_bytes(result.passages)


def _passages_bytes(passages: Iterable[ScoredPassage]) -> int:
    size = 0
    for each in passages:
        passage = each.passage
        size += _PASSAGE_BYTES + sys.getsizeof(passage.text)
        size += sum(
            _VALUE_BYTES + len(name) + _value_bytes(value)
            for name, value in passage.metadata.items()
        )
    return size


def _value_bytes(value: object) -> int:
    if isinstance(value, frozenset):
        return sum(_VALUE_BYTES + len(str(each)) for each in value)
    return sys.getsizeof(value)
