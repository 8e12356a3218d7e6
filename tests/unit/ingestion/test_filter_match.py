"""Filters on documents that retrieval does not have yet."""

from __future__ import annotations

import pytest

from services.filters.parser import parse
from services.filters.values import Timestamp
from services.ingestion.filter_match import matches

FIELDS = {
    "kind": "rock",
    "year": 1950,
    "weight": 2.5,
    "is_hard": True,
    "tags": frozenset({"a", "b"}),
    "at": Timestamp(1_767_225_600_000_000),
    "nothing": None,
    "document_id": "d",
}


@pytest.mark.parametrize(
    ("text", "is_match"),
    [
        ('kind = "rock"', True),
        ('kind = "sand"', False),
        ('kind IN ["sand", "rock"]', True),
        ("year >= 1900 AND year < 1951", True),
        ("year > 1950", False),
        ("weight < 3", True),
        ("is_hard = true", True),
        ('year = 1950 OR kind = "x"', True),
        ('NOT kind = "rock"', False),
        ("missing = 1", False),
        ("NOT missing = 1", True),
        ('tags = "a"', True),
        ("at >= 2026-01-01", True),
        ("at < 2026-01-01", False),
        ('year = "1950"', False),
        ("kind > 3", False),
    ],
)  # fmt: skip
def test_conditions(text, is_match):
    tree = parse(text)
    assert matches(tree, FIELDS) is is_match
