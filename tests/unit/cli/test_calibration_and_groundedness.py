"""Thresholds of refusal and the check of answers against people: figures worked out by hand."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.commands.calibrate import _support, read_questions, threshold
from cli.errors import CliError
from cli.evaluation.groundedness import (
    CheckedAnswer,
    JudgedAnswer,
    figures,
    has_judged_answers,
    read_judged_answers,
    run_lines,
)
from cli.evaluation.loading import each_of
from cli.evaluation.metrics import auroc, quantile, ranks, spearman
from cli.evaluation.off_topic import OFF_TOPIC
from cli.gateway_client import Reply


def test_ranks_share_ties() -> None:
    assert ranks([0.3, 0.1, 0.3, 0.2]) == [3.5, 1.0, 3.5, 2.0]


def test_auroc_counts_pairs() -> None:
    assert auroc([0.9, 0.4], [0.1, 0.4]) == (2 + 1 + 0.5) / 4
    assert auroc([1.0], [0.0]) == 1.0
    assert auroc([], [0.0]) is None


def test_spearman_by_hand() -> None:
    assert spearman([1, 2, 3], [10, 20, 30]) == pytest.approx(1.0)
    assert spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1.0)
    assert spearman([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(0.8)
    assert spearman([1, 1], [1, 2]) is None


@given(st.lists(st.floats(0, 1), min_size=1), st.floats(0, 0.5))
def test_at_most_the_share_lies_below_the_quantile(values: list[float], share: float) -> None:
    least = quantile(values, share)
    assert sum(value < least for value in values) <= share * len(values)


def test_the_threshold_is_found_on_one_half_and_judged_on_the_other() -> None:
    own = [0.1, 0.9] + [0.8, 0.7] * 19  # even places: .1 and 19 times .8
    found = threshold(own, [0.79, 0.75, 0.78, 0.9], 0.05)
    assert found["min_support"] == 0.795
    assert found["question_count"] == 40
    assert found["false_refusal_rate"] == 0.95
    assert found["off_topic_refusal_rate"] == 0.5
    assert threshold(own, [], 0.0)["off_topic_refusal_rate"] is None


def test_a_threshold_keeps_away_from_both_kinds_of_questions() -> None:
    own, others = [0.8, 0.7, 0.9, 0.6] * 5, [0.3, 0.35, 0.2, 0.1] * 5
    found = threshold(own, others, 0.05)
    assert found["min_support"] == 0.55
    assert found["false_refusal_rate"] == 0.0
    assert found["off_topic_refusal_rate"] == 1.0
    # Where they overlap, the share of false refusals decides.
    assert threshold([0.5] * 20, [0.6] * 20, 0.05)["min_support"] == 0.5
    assert threshold([0.5] * 20, [0.4999] * 20, 0.05)["min_support"] == 0.4999


@given(st.lists(st.floats(0, 1), min_size=2))
def test_a_threshold_is_cut_before_its_rates_are_told(own: list[float]) -> None:
    found = threshold(own, [], 0.0)
    least = found["min_support"]
    assert least == round(least, 4)
    assert all(score >= least for score in own[::2])
    held_out = own[1::2]
    assert found["false_refusal_rate"] == sum(each < least for each in held_out) / len(held_out)


class _Gateway:
    """Answers one question by a lower rung."""

    async def post(self, path: str, body: dict[str, object]) -> Reply:
        assert path == "/v1/query"
        degraded = ["generation_fallback"] if body["query"] == "fourth?" else []
        answer = {"degraded": degraded, "passages": [{}], "support": 0.5, "engine": "extractive"}
        return Reply(json.dumps(answer))


async def test_answers_of_a_lower_rung_find_no_threshold() -> None:
    ask = functools.partial(_support, cast("Any", _Gateway()), "rocks")
    seen: list[float] = []
    assert await each_of(["first?", "second?"], ask, 2, seen.append) == [0.5, 0.5]
    assert seen == [0.5, 0.5]
    # A plain error, not a group: the program shows it in a sentence.
    with pytest.raises(CliError, match="stood in for another one"):
        await each_of(["third?", "fourth?", "fourth?"], ask, 2, seen.append)


def test_questions_come_as_lines_or_json(tmp_path: Path) -> None:
    path = tmp_path / "q"
    path.write_text('\nPlain?\n{"text": "Json?"}\n{"text": "No.", "answerable": false}\n')
    assert read_questions(path) == ["Plain?", "Json?"]
    path.write_text('{"query": "x"}')
    with pytest.raises(CliError, match="line 1"):
        read_questions(path)
    with pytest.raises(CliError, match="cannot be read"):
        read_questions(tmp_path / "none")


def test_our_own_questions_are_many_and_in_several_scripts() -> None:
    assert len(set(OFF_TOPIC)) == len(OFF_TOPIC) >= 40
    assert sum(not text.isascii() for text in OFF_TOPIC) >= 5


def row(answer: str, *scores: float) -> dict[str, object]:
    return {"response": answer, "contexts": ["c"], "human": {"faithfulness": scores}}


def test_judged_answers_are_read_with_the_mean_of_their_scores(tmp_path: Path) -> None:
    assert not has_judged_answers(tmp_path)
    rows = [row("a", 4, 3), row(" ", 4), row("b", 1)]
    path = tmp_path / "responses.jsonl"
    path.write_text("".join(f"{json.dumps(each)}\n" for each in rows))
    assert has_judged_answers(tmp_path)
    judged = read_judged_answers(tmp_path)
    assert [(each.answer, each.faithfulness) for each in judged] == [("a", 3.5), ("b", 1.0)]
    path.write_text('{"response": "a"}')
    with pytest.raises(CliError, match="line 1"):
        read_judged_answers(tmp_path)


def test_figures_follow_people() -> None:
    checked = [
        CheckedAnswer(JudgedAnswer(number, "a", (), faithful), grounded, ())
        for number, (faithful, grounded) in enumerate([(4.0, 0.9), (3.0, 0.8), (1.0, 0.2)], 1)
    ]
    found = figures(checked)
    assert found["auroc"] == 1.0
    assert found["spearman"] == pytest.approx(1.0)
    assert (found["faithful"], found["unfaithful"]) == (2, 1)
    assert json.loads(run_lines(checked)[0]) == {"line": 1, "grounded": 0.9, "faithfulness": 4.0}
