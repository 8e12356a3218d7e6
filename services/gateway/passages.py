"""What search returns and answers cite: passages with their scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from services.filters.values import Value

Metadata: TypeAlias = "Mapping[str, Value | None]"
"""Typed metadata; None is null: present, without value."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk of one version of a document; `text` is the document's text[start:end]."""

    chunk_id: str
    document_id: str
    document_version: int
    collection: str
    ordinal: int
    start: int
    """First character in the document's text, in Unicode code points."""
    end: int
    """Character after the last one."""
    text: str
    title: str = ""
    uri: str = ""
    heading_path: tuple[str, ...] = ()
    metadata: Metadata = field(default_factory=dict)
    page: int = 0
    """Page of the source the chunk starts on, from 1; 0: none."""


@dataclass(frozen=True, slots=True)
class Scores:
    """How a passage came to its place; None where it was not found by that way."""

    dense: float | None = None
    keyword: float | None = None
    fused: float | None = None
    rerank: float | None = None
    final: float = 0.0
    """The order follows it."""


@dataclass(frozen=True, slots=True)
class ScoredPassage:
    """A passage and its scores."""

    passage: Passage
    scores: Scores
