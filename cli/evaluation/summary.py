"""Figures of an evaluation, and the run files that others can score."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cli.errors import CliError
from cli.evaluation import metrics
from cli.evaluation.asking import Answered, Ranked

if TYPE_CHECKING:
    from cli.evaluation.dataset import EvalQuery

_LEAST_STEP = 1e-6


def ranking_figures(
    queries: Mapping[str, EvalQuery], results: Sequence[Ranked]
) -> dict[str, float | None]:
    """Returns means over the queries that have a relevant document."""
    rows: dict[str, list[float]] = {}
    for result in results:
        grades = queries[result.query_id].grades
        ids = [document_id for document_id, _ in result.documents]
        figures = {
            "ndcg@10": metrics.ndcg(ids, grades, 10),
            "recall@5": metrics.recall(ids, grades, 5),
            "recall@10": metrics.recall(ids, grades, 10),
            "recall@100": metrics.recall(ids, grades, 100),
            "mrr@10": metrics.reciprocal_rank(ids, grades, 10),
        }
        for name, value in figures.items():
            rows.setdefault(name, []).append(value)
    return {name: metrics.mean(values) for name, values in rows.items()}


def answer_figures(
    queries: Mapping[str, EvalQuery], results: Sequence[Answered], citations: Sequence[bool]
) -> dict[str, float | int | None]:
    """Returns figures of answers.

    Args:
        queries: By id.
        results: Their answers.
        citations: For each citation of all answers, whether it stands where it says.
    """
    answerable = [each for each in results if queries[each.query_id].is_answerable]
    unanswerable = [each for each in results if queries[each.query_id].is_answerable is False]
    labelled = [each for each in answerable if queries[each.query_id].answers]
    given = [each for each in results if not each.is_refused]
    texts = {each.query_id: metrics.without_markers(each.answer) for each in given}
    contained = [
        each.query_id in texts
        and metrics.contains_answer(texts[each.query_id], queries[each.query_id].answers)
        for each in labelled
    ]
    found = [
        any(metrics.contains_answer(text, queries[each.query_id].answers) for text in each.passages)
        for each in labelled
    ]
    return {
        "answer_containment": metrics.mean(contained),
        "answer_in_passages": metrics.mean(found),
        "mean_answer_words": metrics.mean([len(text.split()) for text in texts.values()]),
        "refusal_rate_answerable": metrics.mean([each.is_refused for each in answerable]),
        "refusal_rate_unanswerable": metrics.mean([each.is_refused for each in unanswerable]),
        "grounded": metrics.mean([each.grounded for each in given]),
        "citation_validity": metrics.mean(citations),
        "citations": len(citations),
    }


def degradations(results: Iterable[Ranked | Answered]) -> dict[str, int]:
    """Returns how many results were less than asked for, by what was missing."""
    return steps_of(result.degraded for result in results)


def steps_of(degraded: Iterable[Iterable[str]]) -> dict[str, int]:
    """Returns how many of the answers have each step."""
    return dict(Counter(step for steps in degraded for step in set(steps)))


def percentile(values: Sequence[float], percent: int) -> float | None:
    """Returns the value that `percent` of the values do not exceed."""
    if not values:
        return None
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def check_run_names(names: Iterable[str]) -> None:
    """Refuses ids of queries and documents that a TREC run cannot hold.

    Raises:
        CliError: one has a space.
    """
    for name in names:
        if len(name.split()) != 1:
            raise CliError(f"--run: a TREC run cannot hold the id {name!r}: it has a space")


def trec_run(results: Sequence[Ranked], tag: str) -> Iterable[str]:
    """Yields the lines of a TREC run: query, Q0, document, rank, score, tag.

    Scorers sort by score alone, so equal scores are made to fall with the rank.

    Raises:
        CliError: as of `check_run_names`.
    """
    for result in results:
        former = float("inf")
        for rank, (document_id, score) in enumerate(result.documents, start=1):
            former = min(round(score, 6), former - _LEAST_STEP)
            check_run_names((result.query_id, document_id))
            yield f"{result.query_id} Q0 {document_id} {rank} {former:.6f} {tag}"


def answer_run(results: Sequence[Answered]) -> Iterable[str]:
    """Yields a JSON object per answer."""
    for result in results:
        line: dict[str, Any] = {
            "query_id": result.query_id,
            "answer": result.answer,
            "citations": list(result.citations),
            "refused": result.is_refused,
        }
        yield json.dumps(line, ensure_ascii=False)
