"""Documents of a write: the short look and the long one find the same in order, and the same in it."""

from __future__ import annotations

import numpy as np
import pytest
from cairn.retrieval.v1 import retrieval_service_pb2 as pb
from cairn.types.v1 import metadata_pb2, vector_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from services.retrieval import documents_from_proto, limits
from services.rpc.errors import InvalidArgumentError

names = st.sampled_from(
    ["", "a", "b", "kind", "document_id", "x" * 129, "n\0l", "x" * 300, "x" * 600]
)
texts = st.sampled_from(["", "granite", "a\0b", "🏔️ e\u0301", "x" * 5000, "x" * 9000])
numbers = st.sampled_from([1.0, -2.5, 0.0, -0.0, float("nan"), float("inf")])
VALUES = [
    metadata_pb2.MetadataValue(),
    metadata_pb2.MetadataValue(keyword="x"),
    metadata_pb2.MetadataValue(keyword="x\0"),
    metadata_pb2.MetadataValue(keyword="x" * (limits.MAX_KEYWORD_CHARACTERS + 1)),
    metadata_pb2.MetadataValue(integer=-5),
    metadata_pb2.MetadataValue(float=0.5),
    metadata_pb2.MetadataValue(float=float("nan")),
    metadata_pb2.MetadataValue(bool=False),
    metadata_pb2.MetadataValue(timestamp=Timestamp(seconds=5, nanos=1000)),
    metadata_pb2.MetadataValue(timestamp=Timestamp(seconds=2**60)),
    metadata_pb2.MetadataValue(tags=metadata_pb2.Tags(values=["a", "b", "a"])),
    metadata_pb2.MetadataValue(tags=metadata_pb2.Tags(values=["x"] * 2 + ["y\0"])),
    metadata_pb2.MetadataValue(tags=metadata_pb2.Tags(values=map(str, range(1001)))),
]


@st.composite
def vectors(draw: st.DrawFn) -> vector_pb2.Vector:
    values = draw(st.lists(numbers, max_size=3))
    data = np.array(values, "<f4").tobytes()
    if draw(st.integers(0, 9)) == 0:
        data = data[1:]
    kind = draw(st.sampled_from([0, 1, 1, 1, 1, 2, 3, 9]))
    dimensions = draw(st.sampled_from([len(values)] * 6 + [0, 2, 9000]))
    return vector_pb2.Vector(data=data, element_type=kind, dimensions=dimensions, scale=1)


@st.composite
def documents(draw: st.DrawFn) -> pb.Document:
    """Mostly in order: each draws one or two of its oddities."""
    odd = draw(st.sets(st.integers(0, 11), max_size=2))

    def maybe(number: int, strategy: st.SearchStrategy, plain: object) -> object:
        return draw(strategy) if number in odd else plain

    chunks = [
        pb.Chunk(
            chunk_id=maybe(0, names, f"c{n}"),
            start=maybe(1, st.integers(-1, 9), 0),
            end=maybe(2, st.integers(-1, 9), 7),
            page=maybe(3, st.integers(-1, 2), 1),
            vector=maybe(4, vectors(), _vector([1.0, n, -2.0])),
            heading_path=maybe(5, st.lists(texts, max_size=66), ["Top", "Sub"]),
            token_codes=maybe(6, st.sampled_from([b"", b"x" * 8193]), b"codes"),
        )
        for n in range(draw(st.integers(0, 3)))
    ]
    return pb.Document(
        document_id=maybe(7, names, draw(st.text("abcdef", min_size=1, max_size=12))),
        title=maybe(8, texts, "A title"),
        uri=maybe(8, texts, "u/x.md"),
        text=maybe(9, texts, "granite and gneiss"),
        content_hash=maybe(8, names, "hash"),
        metadata=maybe(
            10,
            st.dictionaries(names, st.sampled_from(VALUES), max_size=4),
            {"kind": VALUES[1], "year": VALUES[4]},
        ),
        acl=maybe(11, st.lists(names, max_size=12), ["everyone", "user:a", "everyone"]),
        chunks=chunks,
    )


@given(st.lists(documents(), min_size=1, max_size=3))
def test_a_short_look_finds_what_a_long_one_finds(messages):
    try:
        long = [documents_from_proto._document(each, "d") for each in messages]
    except InvalidArgumentError:
        long = None
    try:
        short = documents_from_proto._read(messages)
    except InvalidArgumentError:
        short = None
    assert short == long


def test_only_what_is_odd_is_read_field_by_field(monkeypatch):
    def message(document_id, **more):
        return pb.Document(
            document_id=document_id,
            text="granite",
            acl=["user:a"],
            metadata={"kind": VALUES[1], "tags": VALUES[10], "at": VALUES[8], "none": VALUES[0]},
            chunks=[pb.Chunk(chunk_id="c", end=7, vector=_vector([0.0, 1.0]), heading_path=["H"])],
            **more,
        )

    read_long = []
    one = documents_from_proto._document

    def watched(message, path):
        read_long.append(path)
        return one(message, path)

    monkeypatch.setattr(documents_from_proto, "_document", watched)
    odd = message("b", expires_at={"seconds": 2_000_000_000})
    found = documents_from_proto.documents([message("a"), odd, message("c")])
    assert read_long == ["documents[1]"]
    assert [each.document_id for each in found] == ["a", "b", "c"]
    assert [each.expires_micros for each in found] == [None, 2_000_000_000_000_000, None]


@pytest.mark.parametrize("values", [[float("nan"), 1.0], [float("inf"), 1.0], [0.0, 0.0]])
def test_one_bad_vector_among_many_is_named(values):
    messages = [
        pb.Document(
            document_id=f"d{n}",
            text="x",
            chunks=[pb.Chunk(chunk_id="c", end=1, vector=_vector(values if n == 1 else [1.0, n]))],
        )
        for n in range(3)
    ]
    with pytest.raises(InvalidArgumentError) as caught:
        documents_from_proto.documents(messages)
    assert "documents[1].chunks[0].vector" in caught.value.message


def _vector(values: list[float]) -> vector_pb2.Vector:
    data = np.array(values, "<f4").tobytes()
    return vector_pb2.Vector(data=data, element_type=1, dimensions=len(values))
