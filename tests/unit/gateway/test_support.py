"""Words, sentences and support in several languages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.pipeline.support import MIN_SUPPORT, best_span, support
from services.gateway.pipeline.words import (
    content_words,
    numbers,
    sentence_spans,
    without_list_marks,
)


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


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2,500", "2.500"),
        ("2’500", "2500"),
        ("12\u202f500", "12,500"),
        ("1.234,56", "1,234.56"),
        ("3,5", "3.5"),
        ("२५००", "2500"),
        ("٢٬٥٠٠", "2500"),
    ],
)
def test_a_number_is_the_same_however_its_country_writes_it(one: str, other: str) -> None:
    assert numbers(one) == numbers(other)
    assert len(numbers(one)) == 1


@pytest.mark.parametrize(
    ("sentence", "source"),
    [
        ("Notice is 3 months.", "The notice takes three months."),
        ("Die Kaution beträgt 2 Mieten.", "Die Kaution beträgt zwei Mieten."),
        ("Der Beginn ist der 1. Oktober 2025.", "Der Beginn ist am 01.10.2025, Oktober."),
        ("It begins on October 1, 2025.", "It begins: October, 2025-10-01."),
    ],
)
def test_a_number_that_the_source_writes_otherwise_is_not_invented(
    sentence: str, source: str
) -> None:
    assert support(sentence, source) > MIN_SUPPORT
    assert support(sentence.replace("2", "7").replace("1", "8").replace("3", "9"), source) <= 0.2


def test_numbers_that_differ_stay_different() -> None:
    different = ["2.5", "25", "0.125", "125", "8.14.2", "8142", "10.0.0.1"]
    assert len({number for each in different for number in numbers(each)}) == len(different)


def test_words_and_sentences_of_scripts_with_signs() -> None:
    assert content_words("पुस्तकालय बंद है।") == ["पुस्तक", "बंद", "है"]
    text = "पहला वाक्य। दूसरा वाक्य।"
    assert [text[start:end] for start, end in sentence_spans(text)] == ["पहला वाक्य।", "दूसरा वाक्य।"]


@pytest.mark.parametrize(
    ("source", "invented", "said"),
    [
        (
            "Der Mieter kann mit einer Frist von drei Monaten kündigen und die Kaution ist fällig.",
            "Die Elefanten sind mit dem Zug von der Küste und der Insel gekommen.",
            "Die Kaution ist fällig, und der Mieter kann mit Frist kündigen.",
        ),
        (
            "El arroz se cuece en la olla con el caldo y la sal.",
            "La luna se ve en el cielo con los planetas y las estrellas.",
            "En la olla se cuece el arroz con la sal.",
        ),
    ],
)
def test_function_words_carry_nothing_in_any_language(
    source: str, invented: str, said: str
) -> None:
    assert support(invented, source) < MIN_SUPPORT / 2
    assert support(said, source) > 2 * MIN_SUPPORT


def test_what_counts_the_items_of_a_list_is_no_number_of_them() -> None:
    text = "Do this: 1. Close the valve. 2. Wait.\n- Then go.\n10. It costs 900."
    said = [without_list_marks(text[start:end]) for start, end in sentence_spans(text)]
    assert said == ["Do this:", "Close the valve.", "Wait.", "Then go.", "It costs 900."]
