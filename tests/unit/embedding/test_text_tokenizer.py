"""Texts are cut exactly where the library would cut them, however long they are."""

from __future__ import annotations

import numpy as np
import pytest
from tokenizers import Tokenizer

from services.embedding.text_tokenizer import TextTokenizer
from tests.kit.tiny_bert import tiny_bert_folder

LIMIT = 24


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tiny_bert_folder(tmp_path_factory.mktemp("model") / "m") / "tokenizer.json"


@pytest.fixture(scope="module")
def tokenizer(path):
    return TextTokenizer(path, LIMIT)


@pytest.fixture(scope="module")
def library(path):
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.enable_truncation(LIMIT)
    return tokenizer


TEXTS = [
    "granite",
    "granite is a rock",
    "granite " * 22,
    "granite " * 23,
    "the " * 4000,
    " " * 5000 + "slate " * 40,
    "slate" + " " * 50_000 + "basalt",
    ("word\n" * 10 + "\t" * 3000) * 20,
    "a" * 3000,
    "é" * 4000,
    "日本語" * 2000,
    "rock \u0301" * 1000,
    "\x00\u200b\ufeff",
    "",
]


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
@pytest.mark.parametrize("prompt", ["", "query: "])
def test_ids_and_truncation_are_the_librarys(tokenizer, library, text, prompt):
    (tokens,) = tokenizer.tokenize([text], prompt)
    wanted = library.encode(prompt + text)
    assert tokens.ids.tolist() == wanted.ids
    assert tokens.is_truncated == bool(wanted.overflowing)
    assert tokens.content_count == len(wanted.ids) - 2
    (located,) = tokenizer.locate([text], prompt)
    assert located.tokens.ids.tolist() == wanted.ids
    assert located.tokens.is_truncated == tokens.is_truncated


def test_many_texts_keep_their_order(tokenizer):
    texts = ["a " * (number % 30) for number in range(300)] + ["the " * 60_000, "slate"]
    lengths = [len(tokens.ids) for tokens in tokenizer.tokenize(texts)]
    assert lengths == [min(LIMIT, number % 30 + 2) for number in range(300)] + [LIMIT, 3]


def test_places_are_characters_of_the_text(tokenizer):
    text = "🪨 Hard rock"
    (located,) = tokenizer.locate([text], "query: ")
    pieces = [text[a:b] for a, b in zip(located.starts, located.ends, strict=True)]
    assert pieces == ["🪨", "Hard", "rock"]
    assert [located.tokens.ids[row] for row in located.rows][-1] != located.tokens.ids[-1]


def test_places_of_a_truncated_text_leave_the_last_special_token_out(tokenizer):
    (located,) = tokenizer.locate(["rock " * 100])
    assert located.rows.tolist() == list(range(1, LIMIT - 1))
    assert located.ends[-1] == 5 * (LIMIT - 2) - 1


def test_counting_knows_no_limit(tokenizer):
    assert tokenizer.count(["", "granite", "granite " * 1000]) == [2, 3, 1002]


def test_adopted_ids_are_cut_but_keep_their_end(tokenizer):
    tokens = tokenizer.adopt(np.arange(2, 42, dtype=np.int32))
    assert tokens.ids.tolist() == [*range(2, 25), 41]
    assert tokens.is_truncated
    assert not tokenizer.adopt(np.arange(5, dtype=np.int32)).is_truncated
