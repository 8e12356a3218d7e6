"""Markers are resolved to verbatim spans, however the text is cut into pieces."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.gateway.pipeline.citations import CitationWriter
from services.gateway.pipeline.ports import Quote
from services.gateway.pipeline.support import mean_support, support
from services.gateway.requests import Verification
from tests.kit.pipeline_fakes import passage

ONE = passage("Granite is hard. It forms when magma cools slowly below ground.", "one", start=100)
TWO = passage("Basalt cools quickly. It sells for 250 euros a ton.", "two")
DOCUMENTS = {"one": " " * 100 + ONE.passage.text, "two": TWO.passage.text}


def write(
    text: str,
    verification: Verification = Verification.DROP,
    quotes: tuple[Quote, ...] = (),
) -> CitationWriter:
    writer = CitationWriter((ONE, TWO), verification, "How does granite form?", quotes)
    writer.feed(text)
    writer.finish()
    return writer


def check_verbatim(writer: CitationWriter) -> None:
    for citation in writer.citations:
        document = DOCUMENTS[citation.document_id]
        assert citation.text == document[citation.start : citation.end]
        assert citation.text


def grounded(writer: CitationWriter) -> float:
    claims = writer.sentence_claims()
    return mean_support((each.sentence, support(each.sentence, each.source)) for each in claims)


def test_marker_cites_the_best_sentence() -> None:
    writer = write("Slowly cooling magma forms it [1].")
    assert writer.text == "Slowly cooling magma forms it [1]."
    (citation,) = writer.citations
    assert citation.text == "It forms when magma cools slowly below ground."
    assert citation.start == 100 + len("Granite is hard. ")
    check_verbatim(writer)


def test_markers_count_from_one_in_order_of_first_use() -> None:
    writer = write("Basalt cools quickly [2]. Granite is hard [1]. Basalt cools quickly [2].")
    assert re.findall(r"\[(\d+)\]", writer.text) == ["1", "2", "1"]
    assert [c.document_id for c in writer.citations] == ["two", "one"]


def test_two_spans_of_one_passage_have_two_markers() -> None:
    writer = write("Granite is hard [1]. It forms when magma cools slowly below ground [1].")
    assert [c.marker for c in writer.citations] == [1, 2]
    assert {c.document_id for c in writer.citations} == {"one"}


@pytest.mark.parametrize("marker", ["[9]", "[0]", "[3, 7]"])
def test_unknown_markers_go_and_are_counted(marker: str) -> None:
    writer = write(f"Granite is hard {marker}.")
    assert writer.text == "Granite is hard."
    assert writer.citations == []
    assert writer.removed["unknown"] >= 1


def test_a_marker_behind_removed_ones_stands_where_they_stood() -> None:
    assert write("Granite is hard [9][2][1].").text == "Granite is hard [1]."
    assert write("Granite is hard[9][1].").text == "Granite is hard[1]."
    both = write("Granite is hard [9][8]. Basalt cools quickly [2].").text
    assert both == "Granite is hard. Basalt cools quickly [1]."


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("Granite is hard [1]. Basalt cools quickly [2].", [(0, 20), (21, 46)]),
        ("Granite is hard. [1] Basalt cools quickly. [2]", [(0, 20), (21, 46)]),
        ("Granite is hard.[1][2]  Basalt cools.", [(0, 22), (24, 37)]),
        ("Granite is hard? Basalt cools! [2]\n\nMore.", [(0, 16), (17, 34), (36, 41)]),
        ("[1] Granite is hard", [(0, 19)]),
    ],
)
def test_places_of_sentences_with_their_markers(text: str, places: list[tuple[int, int]]) -> None:
    writer = CitationWriter((ONE, TWO), Verification.ANNOTATE)
    writer.text = text
    assert [(each.start, each.end) for each in writer.sentence_claims()] == places


def test_several_numbers_in_one_marker() -> None:
    writer = write("Granite is hard and basalt cools quickly [1, 2].")
    assert writer.text.endswith("[1][2].")


def test_what_is_unsupported_goes_unless_only_annotated() -> None:
    sentence = "Elephants migrate across savannas every winter [1]."
    assert write(sentence).text == ""
    assert write(sentence).removed == {"unsupported": 1}
    assert write(sentence).sentences_removed == 1
    annotated = write(sentence, Verification.ANNOTATE)
    assert annotated.text == sentence
    assert annotated.citations[0].support < 0.35


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        # Cited wrongly, but another passage carries it: the sentence stays, the marker goes.
        (
            "Basalt cools quickly [1]. Granite is hard [1].",
            "Basalt cools quickly. Granite is hard [1].",
        ),
        # Nothing is cited: words stay, a number that nobody gave does not.
        ("It is a rock. It weighs 912 kilograms. It is hard.", "It is a rock. It is hard."),
        ("It sells for 250 euros. More follows.", "It sells for 250 euros. More follows."),
        (
            "Steps:\n1. Basalt cools quickly [2].\n2. It weighs 912 kilograms [2].",
            "Steps:\n1. Basalt cools quickly [1].",
        ),
        # Markers behind the full stop, gone or not, belong to the sentence before it.
        ("The moon is made of cheese. [1] Granite is hard. [1]", "Granite is hard. [1]"),
        ("The moon is made of cheese.[9] Granite is hard.[1]", "Granite is hard.[1]"),
        ("月は遠いです。[9]Granite is hard [1].", "Granite is hard [1]."),
        ("चाँद दूर है। [9] Granite is hard [1].", "Granite is hard [1]."),
    ],
)
def test_invented_sentences_are_left_out(text: str, kept: str) -> None:
    writer = write(text)
    assert writer.text == kept
    assert {int(n) for n in re.findall(r"\[(\d)\]", kept)} == {c.marker for c in writer.citations}
    for engine in (Verification.ANNOTATE, Verification.REFUSE):
        assert write(text, engine).sentences_removed == 0


def test_a_sentence_is_shown_when_it_is_complete() -> None:
    writer = CitationWriter((ONE, TWO), Verification.DROP)
    assert writer.feed("It sells for 900 eu") == ""
    assert writer.feed("ros [2]. Granite is hard [1]. Ba") == "Granite is hard [1]."
    assert writer.feed("salt cools") == ""
    assert writer.finish() == " Basalt cools"
    # Without an end in sight, text is not held back for ever.
    endless = CitationWriter((ONE, TWO), Verification.DROP)
    assert endless.feed("stone " * 1_000).startswith("stone")


def test_an_invented_number_is_not_supported() -> None:
    assert write("It sells for 900 euros a ton [2].").removed == {"unsupported": 1}
    assert write("It sells for 250 euros a ton [2].").citations[0].support == 1.0


def test_quotes_name_their_spans() -> None:
    quotes = (Quote(1, 1, 0, 21, 0.9), Quote(2, 0, 0, 16, 0.8))
    writer = write("Basalt cools quickly. [1] Granite is hard. [2]", quotes=quotes)
    assert [c.text for c in writer.citations] == ["Basalt cools quickly.", "Granite is hard."]
    assert grounded(writer) == 1.0
    check_verbatim(writer)


@pytest.mark.parametrize(
    "quote",
    [Quote(1, 5, 0, 3, 1.0), Quote(1, 0, 5, 5, 1.0), Quote(1, 0, 0, 10_000, 1.0)],
)
def test_quotes_that_lie_are_removed(quote: Quote) -> None:
    writer = write("Granite is hard. [1]", quotes=(quote,))
    assert writer.citations == []
    assert writer.text == "Granite is hard."
    assert sum(writer.removed.values()) == 1


def test_passage_whose_offsets_do_not_fit_its_text_is_not_cited() -> None:

    broken = replace(ONE, passage=replace(ONE.passage, end=ONE.passage.end + 5))
    writer = CitationWriter((broken,), Verification.DROP)
    writer.feed("Granite is hard [1].")
    writer.finish()
    assert writer.citations == []


def test_grounded_counts_sentences_without_citation_as_unsupported() -> None:
    assert grounded(write("Granite is hard [1]. Cats are far off.")) == 0.5
    # Longer sentences weigh more.
    longer = write("Granite is hard [1]. The moon is far away.")
    assert grounded(longer) == pytest.approx(13 / 29)
    assert grounded(write("Granite is hard. [1] Basalt cools quickly. [2]")) == 1.0


TEXTS = st.lists(
    st.sampled_from(
        [
            "Granite is hard",
            " [1]",
            "[2]",
            " [9]",
            "[1, 2]",
            ".",
            " ",
            "[",
            "]",
            "[12",
            "a[i]",
            "Basalt cools quickly",
            "[2023]",
            "\n",
            "中文。",
        ]
    ),
    max_size=12,
).map("".join)


@given(TEXTS, st.lists(st.integers(1, 5), max_size=60))
@example(" [1]中文。Granite is hard[12中文。Granite is hard", [3, 5])
def test_pieces_make_no_difference(text: str, sizes: list[int]) -> None:
    whole = write(text)
    writer = CitationWriter((ONE, TWO), Verification.DROP, "How does granite form?")
    shown, position = "", 0
    for size in sizes:
        shown += writer.feed(text[position : position + size])
        position += size
    shown += writer.feed(text[position:])
    shown += writer.finish()
    assert shown == writer.text == whole.text
    assert writer.citations == whole.citations
    check_verbatim(writer)
    known = {citation.marker for citation in writer.citations}
    assert known == set(range(1, len(known) + 1))
    assert {int(n) for n in re.findall(r"\[(\d{1,3})\]", writer.text)} <= known | {2023}


def test_removal_never_makes_a_marker_of_what_stands_around() -> None:
    assert "[12]" not in write("Granite is hard [12[9]].").text
    assert write("Granite is hard [12[9]].").citations == []
