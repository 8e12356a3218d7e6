"""What filters mean, said as plainly as possible, and random ones over a fixed set of fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from services.filters import ast
from services.filters.values import FieldType, Timestamp, Value

FIELDS = {
    "kind": FieldType.KEYWORD,
    "year": FieldType.INTEGER,
    "score": FieldType.FLOAT,
    "ok": FieldType.BOOL,
    "at": FieldType.TIMESTAMP,
    "tags": FieldType.TAGS,
    "in": FieldType.KEYWORD,
}
"""One field of each type, and one whose name is a word of the text form."""
_TEXTS = ("", "a", "ab", "größe", 'q"\\\n', "ｂ", "ab ")
_WHOLE = (-(2**63), -7, 0, 3, 2**53 + 1, 2**63 - 1)
_DECIMAL = (-3.25, 0.0, 0.5, 3.0, 1e300, 9007199254740993.0)
_MICROS = (-62_135_596_800_000_000, 0, 1, 1_767_225_600_000_000, 253_402_300_799_999_999)
_VALUES: dict[FieldType, tuple[Value, ...]] = {
    FieldType.KEYWORD: _TEXTS,
    FieldType.INTEGER: _WHOLE,
    FieldType.FLOAT: _DECIMAL,
    FieldType.BOOL: (True, False),
    FieldType.TIMESTAMP: tuple(map(Timestamp, _MICROS)),
}
_COMPARED = {**_VALUES, FieldType.INTEGER: (*_WHOLE, 0.5, 3.0), FieldType.FLOAT: (*_DECIMAL, 0, 3)}


def holds(
    tree: ast.Filter, metadata: Mapping[str, Value | None], document_id: str, uri: str = ""
) -> bool:
    """Whether a document matches."""
    if isinstance(tree, ast.And):
        return all(holds(each, metadata, document_id, uri) for each in tree.operands)
    if isinstance(tree, ast.Or):
        return any(holds(each, metadata, document_id, uri) for each in tree.operands)
    if isinstance(tree, ast.Not):
        return not holds(tree.operand, metadata, document_id, uri)
    value = metadata.get(tree.field)
    if tree.field == "document_id":
        value = document_id
    elif tree.field == "uri":
        value = uri or None
    return value is not None and _compares(tree, value)


def _compares(tree: Any, value: Any) -> bool:
    is_set = isinstance(value, frozenset)
    match tree:
        case ast.Exists():
            return True
        case ast.Equals(_, wanted):
            return wanted in value if is_set else value == wanted
        case ast.OneOf(_, values):
            return not value.isdisjoint(values) if is_set else value in values
        case ast.ContainsAll(_, values):
            return value >= set(values)
        case ast.Prefix(_, prefix):
            return value.startswith(prefix)
    return (
        (tree.gte is None or value >= tree.gte)
        and (tree.gt is None or value > tree.gt)
        and (tree.lte is None or value <= tree.lte)
        and (tree.lt is None or value < tree.lt)
    )


@st.composite
def metadata(draw: st.DrawFn) -> dict[str, Value | None]:
    """Metadata with values, nulls and absent fields."""
    found: dict[str, Value | None] = {}
    for name, kind in FIELDS.items():
        state = draw(st.integers(0, 4))
        if state == 0:
            continue
        if state == 1:
            found[name] = None
        elif kind is FieldType.TAGS:
            found[name] = frozenset(draw(st.lists(st.sampled_from(_TEXTS[1:]), max_size=3)))
        else:
            found[name] = draw(st.sampled_from(_VALUES[kind]))
    return found


def _leaf(draw: st.DrawFn) -> ast.Filter:
    name = draw(st.sampled_from([*FIELDS, "document_id", "uri"]))
    kind = FIELDS.get(name, FieldType.KEYWORD)
    values = _TEXTS if kind is FieldType.TAGS else _COMPARED[kind]
    one = st.sampled_from(values)
    several = st.lists(one, max_size=3).map(tuple)
    choices = ["exists", "equals", "one_of"]
    if kind is FieldType.TAGS:
        choices.append("contains_all")
    elif kind is not FieldType.BOOL:
        choices.append("range")
    if kind is FieldType.KEYWORD:
        choices.append("prefix")
    match draw(st.sampled_from(choices)):
        case "exists":
            return ast.Exists(name)
        case "equals":
            return ast.Equals(name, draw(one))
        case "one_of":
            return ast.OneOf(name, draw(several))
        case "contains_all":
            return ast.ContainsAll(name, draw(several))
        case "prefix":
            return ast.Prefix(name, str(draw(one)))
    names = draw(st.lists(st.sampled_from(["gte", "gt", "lte", "lt"]), min_size=1, unique=True))
    return ast.Range(name, **{each: draw(one) for each in names})


@st.composite
def filters(draw: st.DrawFn, depth: int = 3) -> ast.Filter:
    """Filters whose values fit their fields' types."""
    shape = draw(st.sampled_from(["leaf", "leaf", "and", "or", "not"])) if depth else "leaf"
    if shape == "leaf":
        return _leaf(draw)
    inner = filters(depth - 1)
    if shape == "not":
        return ast.Not(draw(inner))
    operands = tuple(draw(st.lists(inner, max_size=3)))
    return ast.And(operands) if shape == "and" else ast.Or(operands)
