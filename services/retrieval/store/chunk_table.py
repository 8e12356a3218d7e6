"""The chunks of a document packed into one column, each readable without the others.

    records  count x (start, end, page, id at, id bytes, headings at, headings bytes), uint32
    heap     the ids and heading paths (JSON) in UTF-8, positions counted from its beginning

Neighbours mostly stand under the same headings: these are in the heap once.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from services.retrieval.documents import Chunk
from services.retrieval.store import codec

_RECORD = struct.Struct("<7I")


class ChunkEntry(NamedTuple):
    """A chunk without its vector."""

    chunk_id: str
    start: int
    end: int
    heading_path: tuple[str, ...]
    page: int


def pack(chunks: Sequence[Chunk]) -> bytes:
    """Returns the packed form of a document's chunks, in their order."""
    records: list[bytes] = []
    heap: list[bytes] = []
    at = 0
    former: tuple[str, ...] = ()
    headings_at = headings_bytes = 0
    for chunk in chunks:
        name = chunk.chunk_id.encode()
        heap.append(name)
        name_at = at
        at += len(name)
        if chunk.heading_path != former:
            former = chunk.heading_path
            headings = codec.dump_texts(former).encode() if former else b""
            heap.append(headings)
            headings_at, headings_bytes = at, len(headings)
            at += headings_bytes
        records.append(
            _RECORD.pack(
                chunk.start, chunk.end, chunk.page, name_at, len(name), headings_at, headings_bytes
            )
        )
    return b"".join((*records, *heap))


def entry(packed: bytes, count: int, ordinal: int) -> ChunkEntry:
    """Returns one chunk.

    Args:
        packed: What `pack` returned.
        count: Chunks in it.
        ordinal: Which, from 0; less than `count`.
    """
    start, end, page, name_at, name_bytes, headings_at, headings_bytes = _RECORD.unpack_from(
        packed, ordinal * _RECORD.size
    )
    heap = count * _RECORD.size
    name = packed[heap + name_at : heap + name_at + name_bytes].decode()
    headings: tuple[str, ...] = ()
    if headings_bytes:
        first = heap + headings_at
        headings = codec.load_texts(packed[first : first + headings_bytes].decode())
    return ChunkEntry(name, start, end, headings, page)


def unpack(packed: bytes, count: int) -> list[ChunkEntry]:
    """Returns all chunks in their order."""
    return [entry(packed, count, ordinal) for ordinal in range(count)]
