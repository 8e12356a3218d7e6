"""JSON as the standard has it."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.edge.strict_json import MAX_DEPTH, parse_json
from services.rpc.errors import InvalidArgumentError

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_what_is_json_is_read(value: object) -> None:
    assert parse_json(json.dumps(value).encode()) == value
    assert parse_json(json.dumps(value, ensure_ascii=False).encode()) == value


@given(st.binary(max_size=60))
def test_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(InvalidArgumentError):
        assert parse_json(data) == json.loads(data)


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "[Infinity]",
        '{"a": -Infinity}',
        "1e999",
        '"\\ud800"',
        '{"a": ["x", {"b": "\\udc00"}]}',
        '{"\\ud800": 1}',
        "9" * 5_000,
        "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
        "[" * 100_000,
        "",
        "{",
        "nul",
        '{"a": 1, "a": 1}',
        '[{"b": {"a": 1, "c": 2, "a": 3}}]',
        '{"\\ud800": 1, "\\ud800": 2}',
    ],
)
def test_what_is_not_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_json(text.encode())


def test_pairs_of_surrogates_are_one_character() -> None:
    assert parse_json(b'"\\ud83d\\ude00"') == "\N{GRINNING FACE}"
