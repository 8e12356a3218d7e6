"""Texts to token ids by the `tokenizers` library, cut to a model's limit."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from tokenizers import Tokenizer

from services.embedding.encoder import LocatedTokens, TokenArray, Tokens

_CHUNK_CHARACTERS = 200_000
"""Texts are split this many characters at a time, to bound the memory of their encodings."""
_CHARACTERS_PER_TOKEN = 16
"""A text with more characters per token of the limit is tried by its beginning first."""
_WORD_END = re.compile(r"\s(?=[0-9A-Za-z])")
"""Where a word-wise tokenizer can be cut in two: what stands before is split the same without the
rest, and no combining mark follows."""


class TextTokenizer:
    """Splits texts as the model was trained.

    Args:
        path: A `tokenizer.json`.
        max_tokens: Limit of the model, special tokens included. The limit and the padding that
            the file may state are ignored: all-MiniLM-L6-v2's file says 128, its model 256.

    Raises:
        ValueError: The file is no tokenizer.
    """

    def __init__(self, path: Path, max_tokens: int) -> None:
        self._set_up(path.read_text(encoding="utf-8"), max_tokens)

    @classmethod
    def of_json(cls, text: str, max_tokens: int) -> Self:
        """Makes one of the content of a `tokenizer.json`. Raises as the constructor does."""
        made = cls.__new__(cls)
        made._set_up(text, max_tokens)  # noqa: SLF001 - its own
        return made

    def _set_up(self, text: str, max_tokens: int) -> None:
        description = json.loads(text)
        try:
            self._tokenizer: Any = Tokenizer.from_str(text)
        except Exception as error:  # the library raises bare Exception
            raise ValueError("tokenizer.json cannot be read") from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.max_tokens = max_tokens
        self._is_word_wise = (description.get("pre_tokenizer") or {}).get(
            "type"
        ) == "BertPreTokenizer"
        self._tail = _trailing_specials(self._tokenizer)
        self._specials = self._tokenizer.num_special_tokens_to_add(is_pair=False)

    def tokenize(self, texts: Sequence[str], prompt: str = "") -> list[Tokens]:
        """Splits texts and drops what is over the limit, keeping the special tokens at the end."""
        result: list[Tokens] = []
        for chunk in _chunks([self._head_of(prompt + text) for text in texts]):
            result += [
                self._cut(np.array(encoding.ids, dtype=np.int32))
                for encoding in self._tokenizer.encode_batch_fast(chunk)
            ]
        self._mend_cut_heads(texts, prompt, result)
        return result

    def locate(self, texts: Sequence[str], prompt: str = "") -> list[LocatedTokens]:
        """Splits texts as `tokenize` does, with the place of each token in its text."""
        heads = [self._head_of(prompt + text) for text in texts]
        result: list[LocatedTokens] = []
        for chunk in _chunks(heads):
            result += [
                self._located(encoding, len(prompt))
                for encoding in self._tokenizer.encode_batch(chunk)
            ]
        for index, located in enumerate(result):
            full = len(prompt) + len(texts[index])
            if len(heads[index]) < full and not located.tokens.is_truncated:
                encoding = self._tokenizer.encode(prompt + texts[index])
                result[index] = self._located(encoding, len(prompt))
        return result

    def count(self, texts: Sequence[str]) -> list[int]:
        """Counts tokens without any limit, special tokens included."""
        return [
            len(encoding)
            for chunk in _chunks(texts)
            for encoding in self._tokenizer.encode_batch_fast(chunk)
        ]

    def adopt(self, ids: TokenArray) -> Tokens:
        """Cuts ids that were split elsewhere."""
        return self._cut(ids)

    def _cut(self, ids: TokenArray) -> Tokens:
        limit = self.max_tokens
        if len(ids) <= limit:
            return Tokens(ids, is_truncated=False, content_count=max(0, len(ids) - self._specials))
        kept = np.concatenate((ids[: limit - self._tail], ids[len(ids) - self._tail :]))
        return Tokens(kept, is_truncated=True, content_count=limit - self._specials)

    def _located(self, encoding: Any, prompt_characters: int) -> LocatedTokens:
        ids = np.array(encoding.ids, dtype=np.int32)
        tokens = self._cut(ids)
        is_content = np.array(encoding.special_tokens_mask, dtype=np.int8) == 0
        offsets = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2) - prompt_characters
        rows = np.flatnonzero(is_content & (offsets[:, 1] > 0))
        if tokens.is_truncated:
            rows = rows[rows < len(tokens.ids) - self._tail]
        return LocatedTokens(
            tokens=Tokens(tokens.ids, tokens.is_truncated, len(rows)),
            rows=rows,
            starts=np.maximum(offsets[rows, 0], 0),
            ends=offsets[rows, 1],
        )

    def _head_of(self, text: str) -> str:
        """Returns the beginning of a long text, which nearly always has tokens enough."""
        characters = _CHARACTERS_PER_TOKEN * self.max_tokens
        if not self._is_word_wise or len(text) <= 2 * characters:
            return text
        cut = _WORD_END.search(text, characters, 2 * characters)
        return text if cut is None else text[: cut.start()]

    def _mend_cut_heads(self, texts: Sequence[str], prompt: str, result: list[Tokens]) -> None:
        """Splits a text as a whole where its beginning was mostly blanks, or says it was cut."""
        for index, tokens in enumerate(result):
            text = prompt + texts[index]
            if not tokens.is_truncated and len(self._head_of(text)) < len(text):
                ids = np.array(self._tokenizer.encode(text).ids, dtype=np.int32)
                result[index] = self._cut(ids)


def _trailing_specials(tokenizer: Any) -> int:
    """Counts the special tokens that the model wants at the end."""
    mask = tokenizer.encode("a").special_tokens_mask
    count = 0
    for is_special in reversed(mask):
        if not is_special:
            break
        count += 1
    return count


def _chunks(texts: Sequence[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    characters = 0
    for text in texts:
        if chunk and characters + len(text) > _CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
        chunk.append(text)
        characters += len(text)
    if chunk:
        yield chunk
