"""Globs, rules, and what a source must look like."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from services.ingestion.document import Priority
from services.ingestion.sources.glob import matches
from services.ingestion.sources.model import RemovalPolicy, Rule, Source, SourceKind
from services.ingestion.sources.placement import document_id_of, place
from services.ingestion.sources.rows import source_from_json, source_to_json
from services.ingestion.sources.settings_check import Allowed, check_source
from services.rpc.errors import FailedPreconditionError, InvalidArgumentError

ALLOWED = Allowed(folders=(Path("/srv"),), protocols=("s3",), credentials=("archive",))


@pytest.mark.parametrize(
    ("pattern", "path", "is_match"),
    [
        ("*.md", "a.md", True),
        ("*.md", "deep/er/a.md", True),
        ("*.md", "a.txt", False),
        ("docs/*.md", "docs/a.md", True),
        ("docs/*.md", "docs/deep/a.md", False),
        ("docs/*.md", "other/docs/a.md", False),
        ("docs/**", "docs/deep/a.md", True),
        ("docs/**", "docs2/a.md", False),
        ("**/drafts/**", "drafts/a.md", True),
        ("**/drafts/**", "x/y/drafts/z/a.md", True),
        ("**/drafts/**", "x/draft/a.md", False),
        ("**", "anything/at all", True),
        ("/docs/a.md", "docs/a.md", True),
        ("a?c.txt", "abc.txt", True),
        ("a?c.txt", "ac.txt", False),
        ("[a-c]*.txt", "beta.txt", True),
        ("[!a-c]*.txt", "beta.txt", False),
        ("a[", "a[", True),
        ("*a*b*", "xxaxxbxx", True),
        ("*a*b", "ab", True),
        ("https://example.org/**", "https://example.org/x/y.html", True),
        ("Ä*.md", "Äpfel.md", True),
    ],
)
def test_globs(pattern, path, is_match):
    assert matches(pattern, path) is is_match


def test_no_pattern_makes_matching_slow():
    started = time.process_time()
    assert not matches("*a" * 200 + "b", "a" * 4000)
    assert not matches("/".join(["**", "*a*"] * 100) + "/x", "/".join(["aaa"] * 500))
    assert time.process_time() - started < 5


def test_placements_change_with_their_rules():
    source = Source("s", SourceKind.FOLDER, "/srv/x", acl=("group:a",), metadata={"k": "v"})
    plain = place(source, "a.md")
    assert plain is not None
    assert dict(plain.metadata) == {"k": "v", "source": "s"}
    other = place(Source("s", SourceKind.FOLDER, "/srv/x", acl=("group:b",)), "a.md")
    assert other is not None
    assert plain.digest != other.digest
    assert plain.digest == place(source, "b.md").digest  # type: ignore[union-attr]


def test_ids_are_stable_short_and_printable():
    source = Source("s", SourceKind.FOLDER)
    assert document_id_of(source, "a/b.md") == "s/a/b.md"
    long = document_id_of(source, "x" * 600)
    assert len(long) < 100
    assert long != document_id_of(source, "x" * 601)
    assert document_id_of(source, "a\nb").startswith("s/sha256-")


def test_sources_survive_storing():
    source = Source(
        "s",
        SourceKind.URL,
        urls=("https://example.org/",),
        rules=(
            Rule("*.md", acl=("a",), priority=Priority.HIGH, on_removal=RemovalPolicy.KEEP),
            Rule("**", is_excluded=True, metadata={"n": 1, "t": frozenset({"x"}), "z": None}),
        ),
        metadata={"f": 1.0, "b": True},
        sync_interval_seconds=2.5,
        owner="o",
    )
    assert source_from_json(source_to_json(source)) == source


BAD = {
    "name": (Source("Bad Name", SourceKind.FOLDER, "/srv/x"), "source.name"),
    "relative": (Source("s", SourceKind.FOLDER, "x"), "source.location"),
    "upwards": (Source("s", SourceKind.FOLDER, "/srv/../etc"), "source.location"),
    "urls of a folder": (
        Source("s", SourceKind.FOLDER, "/srv/x", urls=("https://a.org",)),
        "source.urls",
    ),
    "no urls": (Source("s", SourceKind.URL), "source.urls"),
    "loopback": (Source("s", SourceKind.URL, urls=("http://0x7f.1/",)), "source.urls[0]"),
    "twice": (Source("s", SourceKind.URL, urls=("https://a.org/",) * 2), "source.urls"),
    "no bucket": (Source("s", SourceKind.OBJECT_STORE, "s3://"), "source.location"),
    "credentials": (Source("s", SourceKind.OBJECT_STORE, "s3://k:s@b/p"), "source.location"),
    "reserved": (
        Source("s", SourceKind.FOLDER, "/srv/x", metadata={"source": "y"}),
        "source.metadata['source']",
    ),
    "pattern": (Source("s", SourceKind.FOLDER, "/srv/x", rules=(Rule(""),)), "source.rules[0].pattern"),
    "interval": (
        Source("s", SourceKind.FOLDER, "/srv/x", sync_interval_seconds=0.1),
        "source.sync_interval",
    ),
    "acl": (Source("s", SourceKind.FOLDER, "/srv/x", acl=(" ",)), "source.acl[0]"),
    "rules": (
        Source("s", SourceKind.FOLDER, "/srv/x", rules=(Rule("*"),) * 101),
        "source.rules",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_source_names_the_field(name):
    source, field = BAD[name]
    with pytest.raises(InvalidArgumentError) as caught:
        check_source(source, ALLOWED)
    assert caught.value.violations[0].field == field


@pytest.mark.parametrize(
    "source",
    [
        Source("s", SourceKind.FOLDER, "/etc"),
        Source("s", SourceKind.FOLDER, "/srv2/x"),
        Source("s", SourceKind.OBJECT_STORE, "file:///etc"),
        Source("s", SourceKind.OBJECT_STORE, "memory://b/x"),
        Source("s", SourceKind.OBJECT_STORE, "s3://b/x", credentials="other"),
    ],
    ids=lambda source: source.location + source.credentials,
)
def test_what_the_service_is_not_set_up_for_is_refused(source):
    with pytest.raises((FailedPreconditionError, InvalidArgumentError)):
        check_source(source, ALLOWED)
