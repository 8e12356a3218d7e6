"""Weighted word overlap."""

from __future__ import annotations

from services.generation.lexical import STOP_WORD_WEIGHT, TermWeights, terms


def test_terms_compare_across_case_endings_and_scripts() -> None:
    assert terms("Indexes indexed INDEXING") == ["index", "index", "index"]
    assert terms("全文検索") == ["全文", "文検", "検索"]
    assert terms("हिन्दी") == ["हिन्दी"]
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
