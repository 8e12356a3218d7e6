"""Metadata of a corpus as a collection can hold it: each field of one type, plain values only.

Nothing here changes what is measured: rankings and answers look at texts. Without it one odd value
in one line would keep the whole set from being loaded.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cli.evaluation.dataset import CorpusDocument

_BUILT_IN = frozenset({"document_id", "uri"})
_MOST_FIELDS = 128
_LONGEST_NAME = 128
_LONGEST_TEXT = 8_192
_MOST_TAGS = 1_000
_MOST_WHOLE = 2**63 - 1


def storable(
    documents: Iterable[CorpusDocument],
) -> tuple[tuple[CorpusDocument, ...], tuple[str, ...]]:
    """Returns documents with the metadata that can be stored, and the fields that lost values."""
    given = tuple(documents)
    types = _types(each.metadata for each in given)
    left_out: dict[str, None] = {}
    kept = tuple(_with_known(each, types, left_out) for each in given)
    return kept, tuple(left_out)


def _types(all_metadata: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Returns the type of each field that has one; whole numbers beside others are numbers."""
    found: dict[str, set[str]] = {}
    for metadata in all_metadata:
        for name, value in metadata.items():
            kind = _type_of(value)
            if kind:
                found.setdefault(name, set()).add(kind)
    types: dict[str, str] = {}
    for name, kinds in found.items():
        if kinds == {"integer", "float"}:
            kinds.remove("integer")
        if len(kinds) == 1 and _is_name(name) and len(types) < _MOST_FIELDS:
            (types[name],) = kinds
    return types


def _with_known(
    document: CorpusDocument, types: Mapping[str, str], left_out: dict[str, None]
) -> CorpusDocument:
    metadata: dict[str, Any] = {}
    for name, value in document.metadata.items():
        if value is None:
            continue
        kind = _type_of(value)
        if kind and types.get(name) == kind:
            metadata[name] = value
        elif kind == "integer" and types.get(name) == "float":
            metadata[name] = float(value)
        else:
            left_out[name] = None
    return replace(document, metadata=metadata)


def _type_of(value: Any) -> str:
    """Returns the type of a value; empty where it cannot be stored."""
    match value:
        case bool():
            return "bool"
        case int() if -_MOST_WHOLE <= value <= _MOST_WHOLE:
            return "integer"
        case float() if math.isfinite(value):
            return "float"
        case str() if len(value) <= _LONGEST_TEXT:
            return "text"
        case list() if _are_tags(value):
            return "tags"
        case _:
            return ""


def _are_tags(values: Sequence[Any]) -> bool:
    return len(values) <= _MOST_TAGS and all(
        isinstance(each, str) and len(each) <= _LONGEST_TEXT for each in values
    )


def _is_name(name: str) -> bool:
    is_plain = bool(name.strip()) and name.isprintable()
    return is_plain and len(name) <= _LONGEST_NAME and name not in _BUILT_IN
