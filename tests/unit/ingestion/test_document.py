"""Documents as they are submitted: pieces, fingerprints, stored metadata."""

from __future__ import annotations

import dataclasses
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.filters.values import Timestamp
from services.ingestion.document import (
    PIECE_BYTES,
    Content,
    ContentCollector,
    DocumentHeader,
    DocumentKey,
    Priority,
    content_of,
    fingerprint,
    metadata_from_json,
    metadata_to_json,
)
from services.ingestion.failpoint import Failpoint

KEY = DocumentKey("t", "c", "d")


@pytest.mark.parametrize("sizes", [[], [0], [1], [PIECE_BYTES], [7, PIECE_BYTES * 2, 9], [1] * 50])
def test_content_is_cut_into_pieces_and_loses_nothing(sizes):
    data = [bytes([number % 251]) * size for number, size in enumerate(sizes)]
    collector = ContentCollector()
    for part in data:
        collector.add(part)
    content = collector.finish()
    whole = b"".join(data)
    assert b"".join(content.pieces) == whole
    assert all(len(piece) == PIECE_BYTES for piece in content.pieces[:-1])
    assert content.size_bytes == len(whole)
    assert content.digest == hashlib.sha256(whole).hexdigest()


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
    st.builds(Timestamp, st.integers(-(2**60), 2**60)),
    st.frozensets(st.text()),
)


@given(st.dictionaries(st.text(), values))
def test_metadata_survives_storing_with_its_types(metadata):
    read = metadata_from_json(metadata_to_json(metadata))
    assert read == metadata
    assert {name: type(value) for name, value in read.items()} == {
        name: type(value) for name, value in metadata.items()
    }


@pytest.mark.parametrize(
    "change",
    [
        {"title": "other"},
        {"uri": "other"},
        {"acl": ("user:x",)},
        {"metadata": {"a": 1}},
        {"file_name": "b.md"},
        {"content_type": "text/plain"},
    ],
)
def test_whatever_shapes_the_index_changes_the_fingerprint(change):
    content = content_of(b"text")
    header = DocumentHeader(title="t")
    assert fingerprint(KEY, header, content) != fingerprint(
        KEY, dataclasses.replace(header, **change), content
    )


def test_order_and_urgency_do_not_change_the_fingerprint():
    content = content_of(b"text")
    one = DocumentHeader(acl=("a", "b"), metadata={"x": 1, "y": True})
    other = DocumentHeader(
        acl=("b", "a"),
        metadata={"y": True, "x": 1},
        priority=Priority.HIGH,
        idempotency_key="k",
    )
    assert fingerprint(KEY, one, content) == fingerprint(KEY, other, content)
    assert fingerprint(KEY, one, content) != fingerprint(
        KEY, dataclasses.replace(one, metadata={"x": 1, "y": 1}), content
    )
    assert fingerprint(KEY, one, content) != fingerprint(KEY, one, Content((), "", 0))


@pytest.mark.parametrize("spec", ["parsed", "nowhere:crash", "parsed:hang"])
def test_unknown_failpoints_are_refused(spec):
    with pytest.raises(ValueError, match="unknown failpoint"):
        Failpoint(spec)


def test_without_a_failpoint_every_place_is_passed():
    for place in Failpoint.PLACES:
        Failpoint("").reach(place)


def test_large_content_lies_on_disk_and_is_read_again_and_again(tmp_path):
    collector = ContentCollector(tmp_path / "spool")
    data = bytes(range(256)) * 4096  # 1 MiB
    for _ in range(6):
        collector.add(data)
    collector.add(b"end")
    content = collector.finish()
    assert not list((tmp_path / "spool").iterdir()), "the file has no name"
    for _ in range(2):
        pieces = list(content.pieces)
        assert [len(piece) for piece in pieces] == [PIECE_BYTES] * 6 + [3]
        assert hashlib.sha256(b"".join(pieces)).hexdigest() == content.digest
    assert content.head == data[:4096]


def test_small_content_stays_in_memory(tmp_path):
    collector = ContentCollector(tmp_path / "spool")
    collector.add(b"small")
    assert collector.finish().pieces == (b"small",)
    assert not (tmp_path / "spool").exists()
