"""Functions that enrich documents, well and badly."""

from __future__ import annotations

import datetime as dt
import os
import time
from typing import Any


def invoice_fields(document: dict[str, Any]) -> dict[str, Any]:
    """Adds a field of each type, and prints, which must not matter."""
    print("a hook may print")
    return {
        "customer": "theirs",
        "words": len(document["text"].split()),
        "is_long": False,
        "seen": [document["metadata"]["language"], document["document_id"], document["title"]],
        "due": dt.date(2026, 1, 31),
    }


def breaks(document: dict[str, Any]) -> None:
    """Raises an error that quotes the document."""
    raise KeyError(document["text"])


def hangs(document: dict[str, Any]) -> None:
    """Never ends."""
    time.sleep(3600)


def dies(document: dict[str, Any]) -> None:
    """Takes its process along."""
    os._exit(3)


def odd(document: dict[str, Any]) -> dict[str, Any]:
    """Returns what cannot be stored."""
    return {"field": object()}
