"""Measures against values worked out by hand."""

import math

import pytest

from cli.evaluation.metrics import (
    contains_answer,
    mean,
    ndcg,
    normalized,
    recall,
    reciprocal_rank,
    without_markers,
)

GRADES = {"a": 3, "b": 1, "c": 2, "bad": 0, "worse": -1}


def test_ndcg_is_graded():
    # Gains 1, 0, 3 at ranks 1 to 3; ideal 3, 2, 1.
    gained = 1 / math.log2(2) + 3 / math.log2(4)
    ideal = 3 / math.log2(2) + 2 / math.log2(3) + 1 / math.log2(4)
    assert ndcg(["b", "x", "a"], GRADES, 10) == pytest.approx(gained / ideal)
    assert gained / ideal == pytest.approx(2.5 / 4.761860)


def test_ndcg_of_the_ideal_order_is_one_and_of_none_zero():
    assert ndcg(["a", "c", "b", "x"], GRADES, 10) == pytest.approx(1.0)
    assert ndcg(["x", "bad", "worse"], GRADES, 10) == 0.0
    assert ndcg([], GRADES, 10) == 0.0
    assert ndcg(["a"], {}, 10) == 0.0


def test_ndcg_counts_only_its_depth_on_both_sides():
    assert ndcg(["x", "a"], GRADES, 1) == 0.0
    assert ndcg(["a", "x"], GRADES, 1) == 1.0


def test_recall():
    assert recall(["x", "c", "a"], GRADES, 2) == pytest.approx(1 / 3)
    assert recall(["x", "c", "a"], GRADES, 3) == pytest.approx(2 / 3)
    assert recall(["bad"], {"bad": 0}, 5) == 0.0


def test_reciprocal_rank():
    assert reciprocal_rank(["bad", "x", "b", "a"], GRADES, 10) == pytest.approx(1 / 3)
    assert reciprocal_rank(["bad", "x", "b"], GRADES, 2) == 0.0


def test_mean_of_nothing_is_nothing():
    assert mean([]) is None
    assert mean([True, False, True, True]) == 0.75


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("The  Normans' a-priori\nview!", "normans priori view"),
        ("10th–11th centuries", "10th 11th centuries"),
        ("ＦＵＬＬ width", "full width"),
        ("灯塔，建于1920年。", "灯塔建于1920年"),
        ("theatre", "theatre"),
    ],
)
def test_normalized(text: str, plain: str):
    assert normalized(text) == plain


def test_an_answer_is_contained_whatever_its_case_and_punctuation():
    assert contains_answer("It lies in the FRANCE.", ["Spain", "France"])
    assert contains_answer("他生于北京。", ["北京"])
    assert not contains_answer("It lies in Spain.", ["France"])
    assert not contains_answer("anything", ["", "the", "…"])


def test_markers_are_no_part_of_an_answer():
    assert without_markers("Ninety days. [1] More [12][3].") == "Ninety days. More."
