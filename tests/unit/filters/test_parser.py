"""The text form of filters reads as people expect, and errors point at the first wrong character."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.filters.ast import (
    And,
    ContainsAll,
    Equals,
    Exists,
    Not,
    OneOf,
    Or,
    Prefix,
    Range,
)
from services.filters.parser import parse
from services.filters.values import Timestamp, format_timestamp, parse_timestamp
from services.rpc.errors import InvalidArgumentError, Reason

NEW_YEAR = Timestamp(1_767_225_600_000_000)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ('doc_type = "policy"', Equals("doc_type", "policy")),
        ("doc_type = 'it\\'s'", Equals("doc_type", "it's")),
        ("n == 3", Equals("n", 3)),
        ("n = -3.5", Equals("n", -3.5)),
        ("n = 1e3", Equals("n", 1000.0)),
        ("draft != TRUE", Not(Equals("draft", True))),
        ("ts >= 2026-01-01", Range("ts", gte=NEW_YEAR)),
        ("ts<2026-01-01T01:00:00+01:00", Range("ts", lt=NEW_YEAR)),
        ("n BETWEEN 1 AND 2", Range("n", gte=1, lte=2)),
        ('lang IN ("en", "de")', OneOf("lang", ("en", "de"))),
        ('lang not in ["en"]', Not(OneOf("lang", ("en",)))),
        ('tags CONTAINS ANY ("a","b")', OneOf("tags", ("a", "b"))),
        ('tags contains all ("a")', ContainsAll("tags", ("a",))),
        ('tags CONTAINS "a"', Equals("tags", "a")),
        ('k STARTS WITH "Q3"', Prefix("k", "Q3")),
        ('k PREFIX "Q3"', Prefix("k", "Q3")),
        ("EXISTS k", Exists("k")),
        ("exists(k)", Exists("k")),
        ("k IS NULL", Not(Exists("k"))),
        ("k IS NOT NULL", Exists("k")),
        ("`in` = 1", Equals("in", 1)),
        ("größe.cm-2 = 1", Equals("größe.cm-2", 1)),
        (
            "a = 1 OR b = 2 AND NOT c = 3",
            Or((Equals("a", 1), And((Equals("b", 2), Not(Equals("c", 3)))))),
        ),
        ("(a = 1 OR b = 2) AND c = 3", And((Or((Equals("a", 1), Equals("b", 2))), Equals("c", 3)))),
        ('u = "\\u00e9\\n"', Equals("u", "é\n")),
    ],
)
def test_reads(text, tree):
    assert parse(text) == tree


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("", 0),
        ("   ", 3),
        ("a", 1),
        ("a =", 3),
        ("a = policy", 4),
        ("a = 1 b = 2", 6),
        ("(a = 1", 6),
        ("a = 1)", 5),
        ('a = "open', 4),
        ("`open = 1", 0),
        ("a IN ()", 6),
        ("a IN (1,)", 8),
        ("a = 99999999999999999999", 4),
        ("a = 1e999", 4),
        ("a = 2026-13-01", 4),
        ("AND a = 1", 0),
        ("a ~ 1", 2),
        ('a = "\\x"', 5),
        ('a = "\\u0000"', 4),
        ('a = "\\ud800"', 4),
        ("k STARTS WITH 3", 14),
        ("a = 1; DROP", 5),
    ],
)
def test_errors_point_at_the_first_wrong_character(text, position):
    with pytest.raises(InvalidArgumentError) as caught:
        parse(text)
    assert caught.value.reason is Reason.INVALID_FILTER
    assert caught.value.metadata["position"] == str(position)
    assert f"character {position + 1}" in caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        "(" * 10_000 + "a = 1" + ")" * 10_000,
        "NOT " * 10_000 + "a = 1",
        " AND ".join(["a = 1"] * 600),
        "a IN (" + ",".join(["1"] * 20_000) + ")",
        "a = " + "1" * 100_000,
    ],
)
def test_limits_hold(text):
    with pytest.raises(InvalidArgumentError) as caught:
        parse(text)
    assert caught.value.reason is Reason.INVALID_FILTER


@given(st.text(max_size=60))
def test_no_text_raises_anything_but_an_invalid_filter(text):
    try:
        parse(text)
    except InvalidArgumentError as error:
        assert error.reason is Reason.INVALID_FILTER  # noqa: PT017 - most texts are wrong, not all


@given(
    st.lists(
        st.sampled_from(
            ["a", "=", "(", ")", "AND", "OR", "NOT", "IN", "1", '"x"', ",", "EXISTS", "<", "IS"]
        ),
        max_size=12,
    )
)
def test_no_row_of_words_raises_anything_but_an_invalid_filter(words):
    try:
        parse(" ".join(words))
    except InvalidArgumentError as error:
        assert error.reason is Reason.INVALID_FILTER  # noqa: PT017 - most texts are wrong, not all


@given(st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999))
def test_timestamps_survive_their_text_form(micros):
    assert parse_timestamp(format_timestamp(Timestamp(micros))) == Timestamp(micros)
