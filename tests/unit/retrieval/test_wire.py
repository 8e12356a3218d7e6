"""Answers put together from parts are the messages that protobuf itself would write."""

from __future__ import annotations

import numpy as np
import pytest
from cairn.retrieval.v1 import retrieval_service_pb2 as pb
from hypothesis import given
from hypothesis import strategies as st

from services.retrieval import to_proto, wire
from services.retrieval.queries import (
    Answer,
    Group,
    Hits,
    Passage,
    PlanStep,
    SearchMode,
    SearchOptions,
)

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=300)


@st.composite
def answers(draw: st.DrawFn) -> tuple[Answer, SearchOptions]:
    count = draw(st.integers(0, 4))
    mode = draw(st.sampled_from(SearchMode))
    passages = [
        Passage(
            document_id=f"d{n}",
            document_version=draw(st.integers(1, 2**40)),
            chunk_id=draw(texts),
            ordinal=n,
            start=draw(st.integers(0, 2**33)),
            end=2**34,
            text=draw(texts) * draw(st.sampled_from([1, 70])),
            title=draw(texts),
            uri="",
            heading_path=("a", "b") if draw(st.booleans()) else (),
            page=draw(st.integers(0, 9)),
            metadata={"kind": "x", "n": None, "tags": frozenset({"a"})},
        )
        for n in range(count)
    ]
    final = np.array([draw(st.floats(-9, 9, width=32)) for _ in range(count)])
    missing = np.array([draw(st.sampled_from([np.nan, 0.0, 1.5])) for _ in range(count)])
    hits = Hits(np.arange(count), final, keyword=final)
    if mode is SearchMode.DENSE:
        hits = Hits(np.arange(count), final, dense=final)
    elif mode is SearchMode.HYBRID:
        hits = Hits(np.arange(count), final, dense=missing, keyword=missing[::-1], fused=final)
    answer = Answer(
        passages=passages,
        hits=hits,
        steps=[PlanStep("memtable", "exact", "few rows", 9, 8, 0.5, compared=8)],
        allowed_count=8,
        dropped={"below_threshold": 2},
        vectors_scanned=draw(st.integers(0, 2**30)),
        collection="docs",
        generation=draw(st.integers(0, 2**50)),
        visible_seq=draw(st.integers(0, 2**50)),
        vectors=np.ones((count, 3), np.float32) if draw(st.booleans()) else None,
        token_codes=[b"", b"\x01" * 200][:count] if draw(st.booleans()) else [],
        groups=[Group("d0", 0, count)] if count and draw(st.booleans()) else [],
        is_current=draw(st.booleans()),
        valid_until_micros=draw(st.none() | st.integers(0, 2**52)),
    )
    return answer, SearchOptions(mode, omit_text=draw(st.booleans()))


def as_message(value: Answer, options: SearchOptions, *, explain: bool) -> pb.SearchResponse:
    """The answer, built field by field."""
    response = pb.SearchResponse(
        explanation=to_proto.explanation(value) if explain else None,
        generation=value.generation,
        visible_seq=value.visible_seq,
        groups=[to_proto.group(each) for each in value.groups],
        is_current=value.is_current,
        valid_until=to_proto.optional_timestamp(value.valid_until_micros),
    )
    response.usage.vectors_scanned = value.vectors_scanned
    for place, (passage, scores) in enumerate(
        zip(value.passages, value.hits.scores(), strict=True)
    ):
        scored = response.passages.add()
        scored.passage.CopyFrom(
            to_proto.passage(passage, value.collection, omit_text=options.omit_text)
        )
        if value.vectors is not None:
            vector = scored.passage.vector
            vector.data, vector.dimensions = value.vectors[place].tobytes(), 3
            vector.element_type = 1
        if place < len(value.token_codes):
            scored.passage.token_codes = value.token_codes[place]
        for name in ("dense", "keyword", "fused", "final"):
            score = getattr(scores, name)
            if score is not None:
                setattr(scored.scores, name, score)
    return response


@given(answers(), st.booleans())
def test_bytes_are_those_of_the_message(made: tuple[Answer, SearchOptions], explain: bool) -> None:
    value, options = made
    expected = as_message(value, options, explain=explain)
    for _ in range(2):  # the second time from what was remembered
        encoded = wire.answer(value, options, explain=explain)
        assert pb.SearchResponse.FromString(encoded) == expected
    batch = pb.BatchSearchResponse.FromString(wire.batch([encoded, encoded]))
    assert list(batch.responses) == [expected, expected]
    streamed = pb.SearchStreamResponse.FromString(wire.stream_answer(2**40, encoded))
    assert (streamed.search_id, streamed.response) == (2**40, expected)


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 2**21, 2**40])
def test_lengths_are_varints(size: int) -> None:
    encoded = b"\x28" + wire._length(size)
    assert pb.SearchResponse.FromString(encoded).generation == size
