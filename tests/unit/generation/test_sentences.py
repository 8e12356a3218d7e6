"""Sentences and their offsets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.generation.sentences import (
    MAX_SENTENCE_CHARACTERS,
    MAX_SENTENCE_WORDS,
    BlockKind,
    count_words,
    split_sentences,
)


def texts(text: str) -> list[str]:
    return [text[each.start : each.end] for each in split_sentences(text)]


@pytest.mark.parametrize(
    "text",
    [
        "It was made by Dr. J. R. Smith in the U.S. in 1999.",
        "Version 3.5 is out, e.g. for Linux.",
        "Yahoo! is a company.",
        "See fig. 3 and no. 7 of the list.",
        "Das Mietverhältnis beginnt am 1. Oktober 2025 im 3. Obergeschoss.",
        "Nach Art. 5 Abs. 2 gilt Nr. 7 des Vertrags.",
        "Sözleşme 2. Bölüm ile ilgili ve bu da var.",
    ],
)
def test_abbreviations_do_not_end_a_sentence(text: str) -> None:
    assert texts(text) == [text]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        (
            "Der Zug hält an Gleis 12. Der nächste nicht.",
            ["Der Zug hält an Gleis 12.", "Der nächste nicht."],
        ),
        ("The train stops at 12. Passengers wait.", ["The train stops at 12.", "Passengers wait."]),
        ("Das ist keine Art. Es ist Kunst.", ["Das ist keine Art.", "Es ist Kunst."]),
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ('"Really?" he said. Then he left.', ['"Really?" he said.', "Then he left."]),
        ("He said “go.” She went.", ["He said “go.”", "She went."]),
        ("中文句子。第二句！第三句", ["中文句子。", "第二句！", "第三句"]),
        ("هل هذا صحيح؟ نعم.", ["هل هذا صحيح؟", "نعم."]),
        ("A fact.[3] Another one.", ["A fact.", "Another one."]),
        ("wrapped\nline. Next\none.", ["wrapped\nline.", "Next\none."]),
        ("First paragraph\n\nSecond paragraph", ["First paragraph", "Second paragraph"]),
    ],
)
def test_sentences_end_where_a_reader_would_end_them(text: str, sentences: list[str]) -> None:
    assert texts(text) == sentences


def test_layout_marks_of_markdown_stay_outside_the_spans() -> None:
    text = (
        "## Install it\n\n1. Clone the project. Enter it.\n2. Run it\n   twice\n- [ ] stop\n"
        "> a quote\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```bash\nmake demo\n# done\n```\n---\n"
    )

    assert texts(text) == [
        "Install it",
        "Clone the project.",
        "Enter it.",
        "Run it\n   twice",
        "stop",
        "a quote",
        "a | b",
        "1 | 2",
        "make demo\n# done",
    ]
    kinds = [each.kind for each in split_sentences(text)]
    assert kinds[0] is BlockKind.HEADING
    assert kinds[-1] is BlockKind.CODE
    assert kinds[1:5] == [BlockKind.LIST_ITEM] * 4


def test_an_open_code_block_ends_with_the_text() -> None:
    assert texts("Run:\n```\nmake demo") == ["Run:", "make demo"]


@pytest.mark.parametrize("unit", ["word ", "some, words; here\n", "字", "x", "a,"])
def test_long_runs_without_a_sentence_end_are_cut(unit: str) -> None:
    pieces = texts(unit * 5000)

    assert len(pieces) > 5
    for piece in pieces:
        assert count_words(piece) <= MAX_SENTENCE_WORDS
        assert len(piece) <= MAX_SENTENCE_CHARACTERS


@given(
    st.text(
        alphabet=st.sampled_from("aB3 .!?。\n#-*|`>[]()1,;字\u0301\U0001f600\t\"'"), max_size=300
    )
)
def test_spans_are_ordered_disjoint_and_hold_a_word(text: str) -> None:
    before = 0
    for each in split_sentences(text):
        assert before <= each.start < each.end <= len(text)
        shown = text[each.start : each.end]
        assert shown == shown.strip()
        assert any(character.isalnum() for character in shown)
        before = each.end


def test_words_are_counted_in_scripts_without_spaces() -> None:
    assert count_words("one two  three") == 3
    assert count_words("中文句子") == 2
    assert count_words("") == 0
