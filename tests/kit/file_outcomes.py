"""What a file can come to: text and structure, or a reason against it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ready:
    """A file that is read."""

    content_type: str
    phrases: tuple[str, ...]
    """Texts that stand in it, in this order."""
    cells: tuple[str, ...] = ()
    """Rows of its tables, as lines."""
    headings: tuple[str, ...] = ()
    pages: tuple[tuple[str, int], ...] = ()
    """A text and the page of the block it stands in."""
    under: tuple[tuple[str, str], ...] = ()
    """A text and a heading above it."""
    absent: tuple[str, ...] = ()
    title: str = ""
    warning: str = ""
    once: tuple[str, ...] = ()
    """Texts that stand in it exactly once."""
    kinds: tuple[tuple[str, str], ...] = ()
    """A text and the kind of its block."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that is not read."""

    reason: str
    words: str
    """In the message: what is wrong or how to mend it."""
