"""Dates and personal identifiers of texts."""

from __future__ import annotations

import datetime as dt
import time

import pytest

from services.ingestion.enrichment.dates import find_days
from services.ingestion.enrichment.personal import IdentifierHasher, find_identifiers
from services.ingestion.enrichment.replacing import replace_in_document
from services.ingestion.parsers.parsed import Block, ParsedDocument, pack, unpack
from services.languages.telling import language_of_text


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("on 2026-01-31.", {(2026, 1, 31)}),
        ("2026/1/5 and 31.12.1999", {(2026, 1, 5), (1999, 12, 31)}),
        ("31 January 2026; March 1st, 2025", {(2026, 1, 31), (2025, 3, 1)}),
        ("am 3. Oktober 1990", {(1990, 10, 3)}),
        ("le 14 juillet 1789, el 2 de mayo de 1808", {(1789, 7, 14), (1808, 5, 2)}),
        ("13/02/2026 and 02/13/2026", {(2026, 2, 13)}),
        ("01/02/2026", set()),
        ("2026-02-30, 99.99.2026, 10.0.0.1, 1.2.3-2026, May 2026", set()),
    ],
)
def test_days(text, days):
    assert {(day.year, day.month, day.day) for day in find_days(text)} == days


def test_days_are_found_across_windows():
    text = "x" * 65_530 + " 2026-01-31 " + "y" * 65_000 + " 1999-12-31"
    assert find_days(text) == {dt.date(2026, 1, 31), dt.date(1999, 12, 31)}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("write to Ann.Lee+x@Mail.Example.co.uk.", [("email", "ann.lee+x@mail.example.co.uk")]),
        ("not@valid, a@b, @x.org, x@@y.org", []),
        ("IBAN DE89 3704 0044 0532 0130 00 und", [("iban", "DE89370400440532013000")]),
        ("GB82WEST12345698765432", [("iban", "GB82WEST12345698765432")]),
        ("DE89 3704 0044 0532 0130 01", []),
        ("card 4111 1111 1111 1111, 5500-0000-0000-0004",
         [("card", "4111111111111111"), ("card", "5500000000000004")]),
        ("4111 1111 1111 1112 and 1234567890123456", []),
        ("call +49 (30) 1234-5678 or 0049 30 12345678",
         [("phone", "+493012345678"), ("phone", "+493012345678")]),
        ("(415) 555-2671 / 415-555-2671", [("phone", "+14155552671"), ("phone", "+14155552671")]),
        ("ssn 123-45-6789 but not 000-12-3456", [("ssn", "123-45-6789")]),
        ("version 1.2.3, 2026-01-31, 192.168.100.200, ISBN 978-3-16-148410-0", []),
    ],
)  # fmt: skip
def test_identifiers(text, found):
    assert [(each.kind, each.value) for each in find_identifiers(text)] == found


def test_hashes_need_the_key_and_are_the_tenants_own():
    one = IdentifierHasher(b"k1")
    digest = one.hash("t", "email", "a@b.org")
    assert digest == one.hash("t", "email", "a@b.org")
    others = {
        one.hash("u", "email", "a@b.org"),
        one.hash("t", "phone", "a@b.org"),
        IdentifierHasher(b"k2").hash("t", "email", "a@b.org"),
    }
    assert digest not in others
    assert "a@b" not in digest


def test_replacing_moves_every_block_with_its_text():
    text = "# Ann ann@x.org\n\nCall +49 30 12345678 now.\n\nEnd."
    heading = text.index("\n")
    body, end = text.index("Call"), text.index("End")
    parsed = ParsedDocument(
        text,
        (
            Block("heading", 2, heading, ("Ann ann@x.org",)),
            Block("paragraph", body, end - 2, ("Ann ann@x.org",)),
            Block("paragraph", end, len(text), ("Ann ann@x.org",)),
        ),
        title="Ann ann@x.org",
        metadata={"author": "ann@x.org", "tags": ("a", "ann@x.org")},
    )
    replaced = replace_in_document(parsed, find_identifiers(text), lambda each: f"[{each.kind}]")
    assert "ann@x.org" not in repr(replaced)
    assert "12345678" not in repr(replaced)
    parts = [replaced.text[block.start : block.end] for block in replaced.blocks]
    assert parts == ["Ann [email]", "Call [phone] now.", "End."]
    assert replaced.blocks[0].heading_path == ("Ann [email]",)
    assert unpack(pack(replaced)) == replaced


def test_long_and_hostile_texts_are_gone_through_quickly():
    for text in ("a" * 2_000_000, "1 " * 500_000, "a@" * 500_000, "+1" * 500_000, "DE89" * 300_000):
        started = time.process_time()
        find_identifiers(text)
        find_days(text)
        language_of_text(text)
        assert time.process_time() - started < 10, text[:10]
