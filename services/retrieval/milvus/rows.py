"""Document versions as rows of a Milvus collection, and what does not fit into one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from services.filters.values import INT64_MAX, FieldType
from services.retrieval.keyword.analysis import analyzer
from services.retrieval.milvus.fitting import DOCUMENT_ID, URI, builtin
from services.retrieval.milvus.tokens import (
    MAX_TEXT_BYTES,
    document_token,
    field_token,
    ordered,
    reader_token,
    tenant_token,
    token,
    value_token,
)
from services.rpc.errors import InvalidArgumentError, Reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.filters.values import Value
    from services.retrieval.collections import Collection
    from services.retrieval.documents import Document
    from services.retrieval.store.changes import DocumentState

MAX_MARKS = 4096
"""Elements of an array field in Milvus."""
MAX_KEYS_BYTES = 65_536
"""Bytes of a JSON field in Milvus."""
MAX_WORDS_BYTES = 65_535
"""Bytes of a text field in Milvus; further words of a chunk are not found."""
WORD_CHARACTERS = 17


def rows(collection: Collection, state: DocumentState) -> list[dict[str, Any]]:
    """Returns a row for each chunk, or one without a vector for a document without chunks.

    Args:
        collection: Whose fields say how metadata is kept.
        state: The document version.
    """
    marks, keys = _marks_and_keys(collection, state)
    key = document_token(state.document_id)
    expires = state.expires_micros
    common = {
        "document": state.document_id,
        "document_key": key,
        "version": state.version,
        "chunk_count": len(state.chunks),
        "expires": INT64_MAX if expires is None else expires,
        "marks": marks,
        "keys": keys,
    }
    dimensions = collection.settings.dimensions
    if not state.chunks:
        nothing = np.zeros(dimensions, np.float32)
        return [common | _row(key, state.version, -1, nothing, "")]
    vectors = _units(np.frombuffer(state.vectors, "<f4").reshape(-1, dimensions))
    cut = partial(words, language=collection.settings.language)
    return [
        common
        | _row(
            key,
            state.version,
            ordinal,
            vectors[ordinal],
            cut("\n".join((state.title, *chunk.heading_path, state.text[chunk.start : chunk.end]))),
        )
        for ordinal, chunk in enumerate(state.chunks)
    ]


def words(text: str, language: str) -> str:
    """Returns a text's terms as tokens that every analyser of Milvus keeps as they are."""
    terms = analyzer(language).document(text)
    return encode_words([*terms.counted, *terms.extra])


def encode_words(terms: Sequence[str]) -> str:
    """Returns terms as tokens, as many as fit."""
    return " ".join(word(each) for each in terms[: MAX_WORDS_BYTES // (WORD_CHARACTERS + 1)])


def word(term: str) -> str:
    """Returns the token of a term: a letter and hexadecimal digits."""
    return "w" + token("word", term)[: WORD_CHARACTERS - 1]


def check(documents: Sequence[Document]) -> None:
    """Refuses documents that Milvus cannot keep, before anything is written.

    Raises:
        InvalidArgumentError: a keyword is too long, or there are too many values.
    """
    for index, document in enumerate(documents):
        path = f"documents[{index}]"
        count = len(document.acl) + 4
        nbytes = _key_bytes(len(document.document_id.encode()), len(document.uri.encode()))
        for name, value in document.metadata.items():
            if isinstance(value, frozenset):
                count += len(value) + 1
                continue
            count += 2
            size = len(value.encode("utf-8", "surrogatepass")) if isinstance(value, str) else 8
            if size > MAX_TEXT_BYTES:
                raise _too_large(f"{path}.metadata[{name!r}]", "bytes", size, MAX_TEXT_BYTES)
            nbytes += _key_bytes(size)
        if len(document.uri.encode()) > MAX_TEXT_BYTES:
            raise _too_large(f"{path}.uri", "bytes", len(document.uri.encode()), MAX_TEXT_BYTES)
        if count > MAX_MARKS:
            raise _too_large(path, "readers, tags and values together", count, MAX_MARKS)
        if nbytes > MAX_KEYS_BYTES:
            raise _too_large(f"{path}.metadata", "bytes to filter by", nbytes, MAX_KEYS_BYTES)


def _marks_and_keys(
    collection: Collection, state: DocumentState
) -> tuple[list[str], dict[str, str]]:
    marks = [tenant_token(collection.tenant), *map(reader_token, sorted(set(state.acl)))]
    keys: dict[str, str] = {}
    values: list[tuple[str, FieldType, Value]] = [
        (builtin(DOCUMENT_ID), FieldType.KEYWORD, state.document_id)
    ]
    if state.uri:
        values.append((builtin(URI), FieldType.KEYWORD, state.uri))
    values += _typed(collection.settings.fields, state.metadata)
    for name, kind, value in values:
        key = field_token(name)
        marks.append(key)
        if isinstance(value, frozenset):
            marks += [value_token(name, kind, tag) for tag in sorted(value)]
            continue
        marks.append(value_token(name, kind, value))
        if kind is not FieldType.BOOL:
            keys[key] = ordered(kind, value)
    return marks, keys


def _typed(
    fields: Mapping[str, FieldType], metadata: Mapping[str, Value | None]
) -> list[tuple[str, FieldType, Value]]:
    return [
        (name, fields[name], value)
        for name, value in metadata.items()
        if value is not None and name in fields
    ]


def _row(
    key: str, version: int, ordinal: int, vector: NDArray[np.float32], text: str
) -> dict[str, Any]:
    return {
        "pk": f"{key}-{version}-{ordinal}",
        "ordinal": ordinal,
        "vector": vector,
        "words": text,
    }


def _units(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    wide = vectors.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    np.divide(wide, lengths, out=wide, where=lengths > 0)
    return wide.astype(np.float32)


def _key_bytes(*sizes: int) -> int:
    """Returns the bytes of ordered values in JSON: two digits a byte, the key and quotes."""
    per_key = len(json.dumps({"0" * 32: ""}))
    return sum(2 * size + per_key for size in sizes)


def _too_large(path: str, what: str, size: int, limit: int) -> InvalidArgumentError:
    return InvalidArgumentError.for_field(
        path, f"has {size} {what}, Milvus keeps {limit}", Reason.TOO_LARGE
    )
