"""Figures over many queries, and files that others can score."""

import json

import pytest

from cli.errors import CliError
from cli.evaluation.asking import Answered, Ranked
from cli.evaluation.dataset import EvalQuery
from cli.evaluation.summary import (
    answer_figures,
    answer_run,
    degradations,
    percentile,
    ranking_figures,
    trec_run,
)


def ranked(query_id: str, *documents: tuple[str, float], degraded: tuple[str, ...] = ()) -> Ranked:
    return Ranked(query_id, documents, degraded, 1.0)


def answered(query_id: str, text: str, *, refused: bool = False, passage: str = "") -> Answered:
    return Answered(
        query_id, text, ({"marker": 1},), refused, 0.5, (passage,), degraded=(), milliseconds=1.0
    )


QUERIES = {
    "q1": EvalQuery("q1", "x", ("France",), is_answerable=True, grades={"a": 1}),
    "q2": EvalQuery("q2", "x", ("Spain",), is_answerable=True, grades={"b": 1}),
    "q3": EvalQuery("q3", "x", is_answerable=False),
    "q4": EvalQuery("q4", "x"),
}


def test_ranking_figures_are_means_over_queries():
    results = [ranked("q1", ("a", 2.0), ("b", 1.0)), ranked("q2", ("x", 2.0), ("b", 1.0))]
    figures = ranking_figures(QUERIES, results)
    assert figures["mrr@10"] == pytest.approx((1 + 1 / 2) / 2)
    assert figures["recall@5"] == 1.0
    assert figures["ndcg@10"] == pytest.approx((1 + 0.6309298) / 2)


def test_answer_figures():
    results = [
        answered("q1", "It is France [1].", passage="France lies there."),
        answered("q2", "Nothing to say.", refused=True, passage="Spain."),
        answered("q3", "Something long said here [1]"),
        answered("q4", "No.", refused=True),
    ]
    figures = answer_figures(QUERIES, results, [True, False, True, True])
    assert figures["answer_containment"] == 0.5, "a refusal holds no answer"
    assert figures["answer_in_passages"] == 1.0
    assert figures["mean_answer_words"] == pytest.approx((3 + 4) / 2)
    assert figures["refusal_rate_answerable"] == 0.5
    assert figures["refusal_rate_unanswerable"] == 0.0
    assert figures["grounded"] == 0.5
    assert figures["citation_validity"] == 0.75


def test_figures_without_anything_to_measure_are_empty():
    figures = answer_figures(QUERIES, [], [])
    assert figures["answer_containment"] is None
    assert figures["citation_validity"] is None


def test_degradations_count_results():
    results = [ranked("q1", degraded=("a", "b")), ranked("q2", degraded=("a",)), ranked("q3")]
    assert degradations(results) == {"a": 2, "b": 1}


def test_percentile():
    assert percentile([], 50) is None
    assert percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert percentile([3.0, 1.0, 2.0], 95) == 3.0


def test_scores_of_a_trec_run_fall_with_the_rank():
    results = [ranked("q1", ("a", 1.0), ("b", 1.0), ("c", -0.5))]
    assert list(trec_run(results, "tag")) == [
        "q1 Q0 a 1 1.000000 tag",
        "q1 Q0 b 2 0.999999 tag",
        "q1 Q0 c 3 -0.500000 tag",
    ]


def test_a_trec_run_holds_no_ids_with_spaces():
    with pytest.raises(CliError, match="cannot hold the id 'a b'"):
        list(trec_run([ranked("q1", ("a b", 1.0))], "tag"))


def test_an_answer_run_has_a_line_per_answer():
    (line,) = answer_run([answered("q1", "中\n文")])
    assert json.loads(line) == {
        "query_id": "q1",
        "answer": "中\n文",
        "citations": [{"marker": 1}],
        "refused": False,
    }
