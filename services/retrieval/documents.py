"""Documents and chunks as the domain sees them.

They are values, made once and not changed. They are not frozen dataclasses, for these take seven
times as long to make, and a write at full speed makes thirty thousand a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.filters.values import Value

EVERYONE = "everyone"
"""Principal that every caller of a tenant acts as."""


@dataclass(slots=True)
class Chunk:
    """A searchable part of a document."""

    chunk_id: str
    """Unique in the document."""
    start: int
    """First character in the document's text, in Unicode code points."""
    end: int
    """Character after the last one."""
    vector: bytes
    """Little-endian float32, as many as the collection has dimensions."""
    heading_path: tuple[str, ...] = ()
    """Headings above it, outermost first."""
    page: int = 0
    """Page of the source it starts on, from 1; 0: none."""
    token_codes: bytes = b""
    """Compressed token vectors; kept, not read here."""


@dataclass(slots=True)
class Document:
    """One version of a document with its chunks."""

    document_id: str
    title: str = ""
    uri: str = ""
    text: str = ""
    metadata: Mapping[str, Value | None] = field(default_factory=dict)
    acl: tuple[str, ...] = ()
    """Principals who may read it; never empty once stored."""
    chunks: tuple[Chunk, ...] = ()
    content_hash: str = ""
    expires_micros: int | None = None
    """When it stops being readable, microseconds since 1970; None: never."""
    version: int = 0
    """Assigned when written; rises with each replacement."""
    committed_micros: int = 0
    """Assigned when written."""
