"""Documents in one file, each with everything it was written with.

For each document: the lengths of a head and a body (two little-endian numbers of 64 bits), the head
in JSON, and the body: vectors, then token codes, of all chunks one after the other.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from services.retrieval.documents import Chunk, Document
from services.retrieval.store import codec
from services.retrieval.vectors import DamagedSegmentError

_LENGTHS = struct.Struct("<QQ")
_PART = 256
_PART_BYTES = 16 << 20
_BUFFER_BYTES = 4 << 20


def write(path: Path, parts: Iterable[Sequence[Document]]) -> int:
    """Writes documents; returns how many.

    Raises:
        OSError: the disk is full or broken.
    """
    count = 0
    with path.open("xb", buffering=_BUFFER_BYTES) as file:
        for part in parts:
            for document in part:
                _write_one(file, document)
            count += len(part)
    return count


def read(path: Path) -> Iterator[list[Document]]:
    """Yields the documents of a file, part by part.

    Raises:
        DamagedSegmentError: the file ends too early, or is not such a file.
    """
    part: list[Document] = []
    size = 0
    with path.open("rb", buffering=_BUFFER_BYTES) as file:
        while lengths := file.read(_LENGTHS.size):
            try:
                head, body = (_exactly(file, length) for length in _LENGTHS.unpack(lengths))
                part.append(_document(json.loads(head), body))
            except (struct.error, ValueError, KeyError, TypeError, OverflowError) as error:
                raise DamagedSegmentError(
                    f"{path.name} cannot be read: {type(error).__name__}"
                ) from error
            size += len(head) + len(body)
            if len(part) >= _PART or size > _PART_BYTES:
                yield part
                part, size = [], 0
    if part:
        yield part


def digest(path: Path) -> str:
    """Returns a checksum over a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _write_one(file: IO[bytes], document: Document) -> None:
    chunks = document.chunks
    head = {
        "id": document.document_id,
        "version": document.version,
        "title": document.title,
        "uri": document.uri,
        "text": document.text,
        "metadata": codec.dump_metadata(document.metadata),
        "acl": document.acl,
        "content_hash": document.content_hash,
        "expires_micros": document.expires_micros,
        "chunks": [
            [
                *(chunk.chunk_id, chunk.start, chunk.end, chunk.heading_path, chunk.page),
                *(len(chunk.vector), len(chunk.token_codes)),
            ]
            for chunk in chunks
        ],
    }
    raw = json.dumps(head, separators=(",", ":")).encode()
    body = [*(chunk.vector for chunk in chunks), *(chunk.token_codes for chunk in chunks)]
    file.write(_LENGTHS.pack(len(raw), sum(map(len, body))))
    file.write(raw)
    file.writelines(body)


def _document(head: dict[str, Any], body: bytes) -> Document:
    described = head["chunks"]
    vector_at, codes_at = 0, sum(each[5] for each in described)
    chunks: list[Chunk] = []
    for chunk_id, start, end, heading_path, page, vector_bytes, code_bytes in described:
        chunks.append(
            Chunk(
                chunk_id,
                start,
                end,
                body[vector_at : vector_at + vector_bytes],
                tuple(heading_path),
                page,
                body[codes_at : codes_at + code_bytes],
            )
        )
        vector_at += vector_bytes
        codes_at += code_bytes
    return Document(
        document_id=head["id"],
        title=head["title"],
        uri=head["uri"],
        text=head["text"],
        metadata=codec.load_metadata(head["metadata"]),
        acl=tuple(head["acl"]),
        chunks=tuple(chunks),
        content_hash=head["content_hash"],
        expires_micros=head["expires_micros"],
        version=head["version"],
    )


def _exactly(file: IO[bytes], length: int) -> bytes:
    data = file.read(length)
    if len(data) != length:
        raise ValueError("the file is cut")
    return data
