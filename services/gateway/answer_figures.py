"""Quality of answers as it can be seen while they are given, for dashboards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.rpc.instruments import Counter, Histogram
from services.rpc.metrics import series

if TYPE_CHECKING:
    from services.gateway.answer import Answer, SearchResult

_ANSWERS = Counter(
    "cairn_gateway_answers_total",
    "Answers given, by outcome: answered, refused, or empty where no passage was found.",
    ["outcome"],
)
_SEARCHES = Counter(
    "cairn_gateway_searches_total",
    "Searches and recommendations answered, by whether anything was found.",
    ["outcome"],
)
_GROUNDED = Histogram(
    "cairn_gateway_answer_grounded",
    "Support of answers by what they cite, 0 to 1; refusals left out.",
    buckets=(0.2, 0.35, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0),
)
_CITATIONS = Counter(
    "cairn_gateway_citations_total",
    "Citations in answers: verbatim spans of passages. Those removed are counted apart.",
)


def note_answer(answer: Answer) -> None:
    """Counts an answer, however it came about."""
    if not answer.passages:
        series(_ANSWERS, "empty").inc()
    elif answer.refused:
        series(_ANSWERS, "refused").inc()
    else:
        series(_ANSWERS, "answered").inc()
        _GROUNDED.observe(answer.grounded)
        _CITATIONS.inc(len(answer.citations))


def note_search(result: SearchResult) -> None:
    """Counts a search or a recommendation."""
    series(_SEARCHES, "found" if result.passages else "empty").inc()
