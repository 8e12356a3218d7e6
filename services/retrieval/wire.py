"""Answers as the bytes of their messages, put together from parts that were encoded before.

Building and encoding the messages of ten passages costs 30 µs and more; a passage that was sent
before is copied here as it was, and its scores, a few bytes, are packed beside it. In protobuf's
encoding a message is its fields one after the other, in any order, each behind its number and
length, so parts can be joined. Tests hold the bytes against those of the messages themselves.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cairn.retrieval.v1 import retrieval_service_pb2 as pb
from cairn.types.v1 import usage_pb2

from services.filters.proto import value_to_proto
from services.retrieval import to_proto, vectors_proto

if TYPE_CHECKING:
    from services.filters.values import Value
    from services.retrieval.queries import Answer, Hits, Passage, SearchOptions

_FIRST = b"\x0a"
"""Tag of a message in field 1: passages of an answer, an answer of a batch, a scored passage's
passage."""
_SCORES = b"\x12"
_DENSE, _KEYWORD, _FUSED, _FINAL = b"\x0d", b"\x15", b"\x1d", b"\x2d"
_VECTOR = b"\x72"
_TOKEN_CODES = b"\x7a"
_STREAM_ANSWER = b"\x12"
_FIGURES = b"\x22%b%b\x28%b\x30%b"
"""Fields usage, generation and visible_seq of an answer."""
_IS_CURRENT = b"\x40\x01"
_PAIR = struct.Struct("<3sf1sf")
_FLOAT = struct.Struct("<f")
_WHOLE, _BARE = "whole", "bare"
_FRAMED = {_WHOLE: "whole, framed", _BARE: "bare, framed"}
_SHORT_KEYWORD_CHARACTERS = 64
_LENGTHS = [bytes([each]) for each in range(128)]


def answer(value: Answer, options: SearchOptions, *, explain: bool) -> bytes:
    """Returns a SearchResponse."""
    found = passages(value, options)
    is_usual = not explain and not value.groups and not value.degraded
    if is_usual and value.valid_until_micros is None:
        figures = _FIGURES % (
            _length(len(scanned := b"\x30" + _length(value.vectors_scanned))),
            scanned,
            _length(value.generation),
            _length(value.visible_seq),
        )
        return found + figures + (_IS_CURRENT if value.is_current else b"")
    rest = pb.SearchResponse(
        explanation=to_proto.explanation(value) if explain else None,
        degraded=value.degraded,
        usage=usage_pb2.Usage(vectors_scanned=value.vectors_scanned),
        generation=value.generation,
        visible_seq=value.visible_seq,
        groups=[to_proto.group(each) for each in value.groups],
        is_current=value.is_current,
        valid_until=to_proto.optional_timestamp(value.valid_until_micros),
    )
    return found + rest.SerializeToString()


def batch(answers: Sequence[bytes]) -> bytes:
    """Returns a BatchSearchResponse of encoded answers."""
    parts = [part for each in answers for part in (_FIRST, _length(len(each)), each)]
    return b"".join(parts)


def stream_answer(search_id: int, response: bytes) -> bytes:
    """Returns a SearchStreamResponse with an encoded answer."""
    head = pb.SearchStreamResponse(search_id=search_id).SerializeToString()
    return b"".join((head, _STREAM_ANSWER, _length(len(response)), response))


def passages(value: Answer, options: SearchOptions) -> bytes:
    """Returns the field `passages` of SearchResponse and RecommendResponse."""
    form = _BARE if options.omit_text else _WHOLE
    name = value.collection
    scores = _scores(value.hits)
    extras = _extras(value)
    if extras is None and value.hits.is_dense_only:
        framed = _FRAMED[form]
        heads = [each.rendered.get(framed) or _frame(each, name, form) for each in value.passages]
        return b"".join([part for pair in zip(heads, scores, strict=True) for part in pair])
    parts: list[bytes] = []
    for place, (each, packed) in enumerate(zip(value.passages, scores, strict=True)):
        known = each.rendered.get(form) or _passage(each, name, form)
        if extras is not None:
            known = _extended(known, extras[place])
        parts += (_FIRST, _length(len(known) + len(packed)), known, packed)
    return b"".join(parts)


def _passage(each: Passage, name: str, form: str) -> bytes:
    """Returns the field `passage` of a ScoredPassage, and remembers it."""
    message = _encoded(each, name, with_text=form == _WHOLE)
    encoded = _FIRST + _length(len(message)) + message
    each.rendered[form] = encoded
    return encoded


def _encoded(each: Passage, name: str, *, with_text: bool) -> bytes:
    """Returns what `to_proto.passage` makes, encoded, in two thirds of the time."""
    texts = [(b"\x0a", each.chunk_id), (b"\x12", each.document_id), (b"\x22", name)]
    if with_text:
        texts += ((b"\x42", each.text), (b"\x4a", each.title), (b"\x52", each.uri))
    parts: list[bytes] = []
    for tag, text in texts:
        if text:
            data = text.encode()
            parts += (tag, _length(len(data)), data)
    for tag, number in (
        (b"\x18", each.document_version),
        (b"\x28", each.ordinal),
        (b"\x30", each.start),
        (b"\x38", each.end),
        (b"\x68", each.page),
    ):
        if number:  # none is negative
            parts += (tag, _length(number))
    if with_text:
        parts += [_field(b"\x5a", heading.encode()) for heading in each.heading_path]
    for key, value in each.metadata.items():
        is_short = isinstance(value, str) and len(value) <= _SHORT_KEYWORD_CHARACTERS
        parts.append(_keyword(key, value) if is_short else _entry(key, value))
    return b"".join(parts)


@functools.lru_cache(maxsize=4096)
def _keyword(key: str, value: str) -> bytes:
    """Returns an entry of metadata; many documents share a few short ones."""
    return _entry(key, value)


def _entry(key: str, value: Value | None) -> bytes:
    """Returns an entry of the field `metadata`."""
    encoded = value_to_proto(value).SerializeToString()
    return _field(b"\x62", _field(b"\x0a", key.encode()) + _field(b"\x12", encoded))


def _field(tag: bytes, data: bytes) -> bytes:
    return tag + _length(len(data)) + data


def _frame(each: Passage, name: str, form: str) -> bytes:
    """Returns what comes before the scores of a dense search, which are of one length."""
    known = each.rendered.get(form) or _passage(each, name, form)
    framed = _FIRST + _length(len(known) + _PAIR.size) + known
    each.rendered[_FRAMED[form]] = framed
    return framed


def _extended(encoded: bytes, extra: bytes) -> bytes:
    """Returns an encoded field `passage` with further fields in its message."""
    start = 1
    while encoded[start] & 0x80:  # the message begins behind its length
        start += 1
    message = memoryview(encoded)[start + 1 :]
    return b"".join((_FIRST, _length(len(message) + len(extra)), message, extra))


def _scores(hits: Hits) -> list[bytes]:
    """Returns the field `scores` of each ScoredPassage."""
    if hits.dense is not None and hits.is_dense_only:
        return [
            _PAIR.pack(b"\x12\x0a\x0d", dense, _FINAL, final)
            for dense, final in zip(hits.dense.tolist(), hits.final.tolist(), strict=True)
        ]
    return [_packed(each.dense, each.keyword, each.fused, each.final) for each in hits.scores()]


def _packed(*values: float | None) -> bytes:
    tags = (_DENSE, _KEYWORD, _FUSED, _FINAL)
    parts = [
        tag + _FLOAT.pack(value)
        for tag, value in zip(tags, values, strict=True)
        if value is not None
    ]
    body = b"".join(parts)
    return _SCORES + _LENGTHS[len(body)] + body


def _extras(value: Answer) -> list[bytes] | None:
    """Returns the fields of passages that differ from search to search; None: there are none."""
    if value.vectors is None and not value.token_codes:
        return None
    found = []
    for place in range(len(value.passages)):
        extra = b""
        if value.vectors is not None:
            row = value.vectors[place]
            vector = vectors_proto.to_message(
                row.astype("<f4", copy=False).tobytes()
            ).SerializeToString()
            extra = _VECTOR + _length(len(vector)) + vector
        if place < len(value.token_codes) and value.token_codes[place]:
            codes = value.token_codes[place]
            extra += _TOKEN_CODES + _length(len(codes)) + codes
        found.append(extra)
    return found


def _length(size: int) -> bytes:
    """Returns a number as protobuf writes lengths."""
    if size < 0x80:
        return _LENGTHS[size]
    if size < 0x4000:
        return bytes((size & 0x7F | 0x80, size >> 7))
    parts = bytearray()
    while size >= 0x80:
        parts.append(size & 0x7F | 0x80)
        size >>= 7
    parts.append(size)
    return bytes(parts)
