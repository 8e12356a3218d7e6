"""Weighted word overlap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.generation.lexical import STOP_WORD_WEIGHT, TermWeights, terms


def test_terms_compare_across_case_endings_and_scripts() -> None:
    assert terms("Indexes indexed INDEXING") == ["index", "index", "index"]
    assert terms("全文検索") == ["全文", "文検", "検索"]
    assert terms("हिन्दी है।") == ["हिन्दी", "है"]
    assert terms("?!") == []


def test_rare_words_weigh_more_and_function_words_little() -> None:
    weights = TermWeights(["the index is a view", "the cache is a view", "the queue waits"])

    assert weights.weight("index") > weights.weight("view")
    assert weights.weight("the") < weights.weight("view") * STOP_WORD_WEIGHT
    assert weights.weight("unseen") > weights.weight("index")


def test_one_positive_weight_per_word_of_the_question() -> None:
    question = "What — exactly — is the   index?"
    found = TermWeights(["the index is a view"]).query_word_weights(question)

    assert len(found) == len(question.split())
    assert all(weight > 0 for weight in found)


def test_overlap_is_the_share_of_the_question_that_a_text_holds() -> None:
    sentences = ["the index is a view", "the cache expires"]
    weights = TermWeights(sentences)
    both, other, none = weights.overlap("index view", [*sentences, "nothing"])

    assert both == 1.0
    assert other == none == 0.0
    assert weights.overlap("?!", sentences) == [0.0, 0.0]


@pytest.mark.parametrize(
    ("question", "sentences", "content"),
    [
        ("Wie hoch ist die Kaltmiete?", ["Die Kaltmiete ist fällig.", "Wer ist die Mieterin?"], 4),
        ("¿Cuánto azúcar lleva la masa?", ["La masa lleva azúcar.", "El pan."], 1),
        ("पुस्तकालय किस दिन बंद रहता है?", ["पुस्तकालय सोमवार को बंद रहता है।"], 0),
        ("Сколько стоит билет в метро?", ["Билет в метро стоит 60 рублей."], 2),
    ],
)
def test_function_words_of_the_questions_language_weigh_little(
    question: str, sentences: list[str], content: int
) -> None:
    words = question.split()
    weights = TermWeights(sentences, question)
    found = dict(zip(words, weights.query_word_weights(question), strict=True))
    asks = [
        word
        for word in words
        if word.lower() in {"wie", "ist", "die", "¿cuánto", "la", "किस", "है?"}
    ]
    asks += [word for word in words if word in {"Сколько", "в"}]
    assert asks
    assert all(found[words[content]] > 1.5 * found[word] for word in asks)


def test_pairs_that_only_ask_weigh_little_where_words_are_not_spaced() -> None:
    for question, text, other in (
        ("玄米は何分かかりますか？", "玄米は90分です。", "洗濯はどのくらいかかりますか。"),
        ("博物馆门票是多少？", "博物馆门票四十元。", "是多少。"),
    ):
        good, bad = TermWeights([text, other], question).overlap(question, [text, other])
        assert good > bad


@given(
    st.lists(st.text("aΣσς İıß.'’東京กa1-_\u0301é", max_size=12), min_size=3, max_size=3),
    st.sampled_from([" ", "\n- ", "\n\n", "", ".", " 2. ", "x", " Σ", "\u2009[3] "]),
    st.text("aΣσς İ東é ", max_size=6),
)
def test_the_terms_of_a_pair_are_those_of_the_whole_text(parts: list[str], gap: str, question: str):
    first, second, other = parts
    pair = f"{first}{gap}{second}"
    usual, noted = (TermWeights([first, second, other], question) for _ in range(2))
    noted.note_pair(first, gap, second)
    assert noted.overlap(question, [pair, other]) == usual.overlap(question, [pair, other])
