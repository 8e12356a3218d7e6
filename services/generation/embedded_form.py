"""The form that a passage was embedded in: under its title and headings."""

from __future__ import annotations

from collections.abc import Sequence

MAX_PREFIX_CHARACTERS = 256
"""Longest title-and-headings line, as in ingestion; outer headings go first."""


def embedded_form(title: str, heading_path: Sequence[str], text: str) -> str:
    """Returns what was embedded for a passage; it ends with the passage's text.

    Token codes belong to this form. Ingestion and the gateway have the same; a test compares.
    """
    names = list(dict.fromkeys(name for name in (title, *heading_path) if name))
    while len(names) > 1 and len(" > ".join(names)) > MAX_PREFIX_CHARACTERS:
        names.pop(1 if len(names) > 2 else 0)
    prefix = " > ".join(names)[:MAX_PREFIX_CHARACTERS]
    return f"{prefix}\n{text}" if prefix else text
