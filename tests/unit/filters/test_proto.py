"""Filters keep their meaning through protobuf, and malformed messages are refused precisely."""

from __future__ import annotations

import pytest
from cairn.types.v1 import metadata_pb2 as pb
from hypothesis import given
from hypothesis import strategies as st

from services.filters.ast import And, ContainsAll, Equals, Exists, Not, OneOf, Or, Prefix, Range
from services.filters.proto import from_proto, to_proto, value_from_proto, value_to_proto
from services.filters.values import Timestamp
from services.rpc.errors import InvalidArgumentError, Reason

names = st.sampled_from(["a", "b", "größe"])
texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=5)
values = st.one_of(
    texts,
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.builds(Timestamp, st.integers(-(10**15), 10**15)),
    st.frozensets(texts, max_size=3),
)
lists = st.lists(values, max_size=3).map(tuple)
leaves = st.one_of(
    st.builds(Equals, names, values),
    st.builds(OneOf, names, lists),
    st.builds(ContainsAll, names, lists),
    st.builds(Range, names, gte=values),
    st.builds(Range, names, gt=values, lt=values),
    st.builds(Exists, names),
    st.builds(Prefix, names, texts),
)
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(And, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Not, inner),
    ),
    max_leaves=6,
)


@given(trees)
def test_a_tree_survives_the_round_trip(tree):
    assert from_proto(to_proto(tree)) == tree


@given(values)
def test_a_value_survives_the_round_trip(value):
    found = value_from_proto(value_to_proto(value), "v")
    assert found == value
    assert type(found) is type(value)


def nested(depth: int) -> pb.Filter:
    message = pb.Filter(exists="a")
    for _ in range(depth - 1):
        message = pb.Filter(negation=message)
    return message


@pytest.mark.parametrize(
    "message",
    [
        pb.Filter(),
        pb.Filter(negation=pb.Filter()),
        pb.Filter(all_of=pb.FilterList(filters=[pb.Filter()])),
        pb.Filter(exists=""),
        pb.Filter(equals=pb.FieldValue(field="a")),
        pb.Filter(equals=pb.FieldValue(value=pb.MetadataValue(integer=1))),
        pb.Filter(equals=pb.FieldValue(field="a", value=pb.MetadataValue(float=float("nan")))),
        pb.Filter(range=pb.FieldRange(field="a")),
        pb.Filter(range=pb.FieldRange(field="a", gte=pb.MetadataValue())),
        nested(17),
        nested(60),
        pb.Filter(all_of=pb.FilterList(filters=[pb.Filter(exists="a")] * 600)),
        pb.Filter(one_of=pb.FieldValues(field="a", values=[pb.MetadataValue(integer=1)] * 10_001)),
    ],
)
def test_malformed_filters_are_refused(message):
    with pytest.raises(InvalidArgumentError) as caught:
        from_proto(message, "options.filter")
    assert caught.value.reason is Reason.INVALID_FILTER
    assert caught.value.violations[0].field == "options.filter"


def test_depth_16_is_allowed():
    assert from_proto(nested(16))


@pytest.mark.parametrize(
    "message",
    [
        pb.MetadataValue(float=float("inf")),
        pb.MetadataValue(keyword="a\0b"),
        pb.MetadataValue(timestamp={"seconds": 10**12}),
        pb.MetadataValue(timestamp={"seconds": 1, "nanos": -1}),
        pb.MetadataValue(timestamp={"seconds": 1, "nanos": 2_000_000_000}),
    ],
)
def test_values_that_cannot_be_stored_are_refused(message):
    with pytest.raises(InvalidArgumentError):
        value_from_proto(message, "documents[0].metadata")
