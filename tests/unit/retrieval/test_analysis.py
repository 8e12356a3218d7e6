"""Terms: stems, kept marks, pairs of characters where words have no spaces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.retrieval.keyword.analysis import LANGUAGES, Analyzer, analyzer


@pytest.mark.parametrize(
    ("language", "text", "query"),
    [
        ("english", "The policies were running", "policy run"),
        ("english", "the user’s guide", "user's guides"),
        ("german", "Die Häuser der Städte", "Haus Stadt"),
        ("french", "les chevaux mangeaient", "manger"),
        ("none", "Running", "running"),
        ("english", "ＦＵＬＬ　ｗｉｄｔｈ", "full width"),
        ("english", "東京都に住む", "東京"),
        ("english", "猫が好き", "猫"),
        ("english", "ภาษาไทยไม่มีช่องว่าง", "ภาษาไทย"),
        ("english", "한국어 문서", "한국어"),
        ("none", "हिन्दी में लिखा", "हिन्दी"),
        ("english", "زيارة المتاحف", "متاحف"),
        ("german", "οι γάτες κοιμούνται", "γάτα"),
        ("english", "error E1234-x in v2.5", "e1234"),
    ],
)
def test_a_query_meets_its_text(language, text, query):
    document = analyzer(language).document(text)
    terms = set(document.counted) | set(document.extra)
    asked = analyzer(language).query(query)
    assert asked
    assert set(asked) & terms
    if language != "german":  # the stemmer leaves Haus and Häuser apart only by their umlaut
        assert set(asked) <= terms


def test_marks_stay_in_their_words():
    assert analyzer("none").document("हिन्दी में").counted == ["हिन्दी", "में"]


def test_unspaced_runs_become_pairs_and_their_length_counts_pairs():
    terms = analyzer("english").document("東京都 tower")
    assert sorted(terms.counted) == ["tower", "京都", "東京"]
    assert terms.extra == ["東", "京", "都"]


def test_stop_words_are_looked_up_only_when_there_is_nothing_else():
    assert analyzer("english").query("what is the granite") == ["granit"]
    assert analyzer("english").query("to be or not to be")


@pytest.mark.parametrize("language", ["english", "arabic"])
def test_function_words_of_arabic_are_left_out_of_questions(language):
    asked = analyzer(language).query("كم عدد المتاحف التي في المدينة؟")
    assert asked == analyzer(language).query("عدد المتاحف المدينة")
    assert analyzer(language).query("كيف هو") == ["كيف", "هو"]
    assert "كم" in analyzer("none").query("كم عدد المتاحف")


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_every_language_can_be_built(language):
    assert Analyzer(language).query("word") != []


@given(st.text(max_size=200))
def test_no_text_makes_it_fail(text):
    analysis = analyzer("english")
    terms = analysis.document(text)
    assert all(terms.counted)
    analysis.query(text)
