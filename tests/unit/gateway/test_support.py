"""Words, sentences and support in several languages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.pipeline.support import best_span, support
from services.gateway.pipeline.words import content_words, numbers, sentence_spans


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("One. Two! Three?", 3),
        ('He said "stop." Then he left.', 2),
        ("第一句。第二句！", 2),
        ("- item one\n- item two\n\nA paragraph", 3),
        ("no end", 1),
        ("", 0),
        (" \n ", 0),
        ("Version 1.5 is out.", 1),
    ],
)
def test_sentences(text: str, count: int) -> None:
    assert len(sentence_spans(text)) == count


@given(st.text(max_size=300))
def test_sentence_spans_are_ordered_and_inside(text: str) -> None:
    end = 0
    for start, stop in sentence_spans(text):
        assert end <= start < stop <= len(text)
        assert text[start:stop] == text[start:stop].strip()
        end = stop


@given(st.text(max_size=80), st.text(max_size=300))
def test_support_and_spans_hold_for_any_text(sentence: str, source: str) -> None:
    assert 0.0 <= support(sentence, source) <= 1.0
    start, end = best_span(sentence, source)
    assert 0 <= start <= end <= len(source)


def test_support_orders_texts_as_people_would() -> None:
    source = "The drain delay is 2 seconds by default. Health says not serving during it."
    exact = support("The drain delay is 2 seconds by default.", source)
    near = support("By default the drain takes a delay of 2 seconds.", source)
    wrong_number = support("The drain delay is 20 seconds by default.", source)
    other = support("Bananas ripen faster in paper bags.", source)
    assert exact == 1.0
    assert exact > near > wrong_number > other == 0.0


def test_two_sentences_are_quoted_when_both_are_needed() -> None:
    source = "Keys live 90 days. Rotation overlaps for one week. Cats sleep."
    start, end = best_span("Keys live 90 days and rotation overlaps one week", source)
    assert source[start:end] == "Keys live 90 days. Rotation overlaps for one week."


def test_scripts_without_spaces_are_compared_by_pairs() -> None:
    assert content_words("花崗岩") == ["花崗", "崗岩"]
    assert support("花崗岩是火成岩", "花崗岩是一種火成岩。") > 0.5


def test_numbers_ignore_separators_of_thousands() -> None:
    assert numbers("1,000 and 2.5 and 3.") == {"1000", "2.5", "3"}
