"""A filter means the same in every form, and what brute force says it means."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.filters import ast
from services.filters.parser import parse
from services.filters.proto import from_proto, to_proto
from services.filters.text import to_text
from services.filters.values import Value
from services.retrieval.store.changes import DocumentState
from services.retrieval.view import masks
from services.retrieval.view.rows import Rows
from tests.kit.filters import FIELDS, filters, holds, metadata

Documents = list[dict[str, Value | None]]
documents = st.lists(metadata(), min_size=1, max_size=12)


def snapshot_of(found: Documents):
    """A view's state with these documents, every other one with a URI."""
    rows = Rows(4, "none")
    rows.ensure_fields(FIELDS.items())
    rows.append(
        [
            DocumentState(
                document_id=f"d{n}",
                version=1,
                title="",
                uri="ab" if n % 2 else "",
                text="",
                metadata=each,
                acl=("everyone",),
                expires_micros=None,
                chunks=(),
                vectors=b"",
            )
            for n, each in enumerate(found)
        ]
    )
    return rows.publish(1, 1, ())


def meant(tree: ast.Filter, found: Documents) -> list[bool]:
    return [holds(tree, each, f"d{n}", "ab" if n % 2 else "") for n, each in enumerate(found)]


@settings(max_examples=150)
@given(documents, filters())
def test_masks_hold_what_brute_force_says(found: Documents, tree: ast.Filter) -> None:
    assert masks.matching(snapshot_of(found), tree, FIELDS).tolist() == meant(tree, found)


@settings(max_examples=150)
@given(documents, filters())
def test_text_and_message_mean_the_same(found: Documents, tree: ast.Filter) -> None:
    assert from_proto(to_proto(tree)) == tree
    read = parse(to_text(tree))
    assert meant(read, found) == meant(tree, found)
    assert parse(to_text(read)) == read, "what was read once is written and read as it is"


@given(filters())
def test_masks_grow_as_documents_come(tree: ast.Filter) -> None:
    first = snapshot_of([{}, {"kind": "a", "year": 3, "tags": frozenset({"a"})}])
    before = masks.matching(first, tree, FIELDS).tolist()
    rows = first.rows
    rows.append(
        [
            DocumentState(
                document_id="d2", version=1, title="", uri="", text="",
                metadata={"kind": "ab", "ok": True, "score": 0.5}, acl=("everyone",),
                expires_micros=None, chunks=(), vectors=b"",
            )
        ]
    )  # fmt: skip
    after = masks.matching(rows.publish(2, 2, ()), tree, FIELDS).tolist()
    assert after[:2] == before
    assert after[2] == holds(tree, {"kind": "ab", "ok": True, "score": 0.5}, "d2")


@pytest.mark.parametrize(
    "tree",
    [ast.Equals("a`b", 1), ast.Equals("", 1), ast.Equals("tags", frozenset({"a"}))],
)
def test_what_the_text_form_cannot_say_is_refused(tree: ast.Filter) -> None:
    with pytest.raises(ValueError, match="text form"):
        to_text(tree)
