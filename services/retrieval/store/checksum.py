"""What the documents of a collection add up to, in whichever order they came.

The truth and every view of it keep one each. Two that differ at the same sequence number mean that
a view lost, kept or doubled something.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

_MASK = (1 << 64) - 1
_SIGN = 1 << 63

Counted = tuple[str, int, int]
"""Id, version and number of chunks of a document."""


def document_checksum(document_id: str, version: int, chunk_count: int) -> int:
    """Returns 64 bits that stand for one version of a document."""
    key = f"{version}:{chunk_count}:{document_id}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little")


@dataclass(frozen=True, slots=True)
class Checksum:
    """Counts, and the exclusive or and the sum of the documents' own checksums."""

    documents: int = 0
    chunks: int = 0
    xor: int = 0
    """0 to 2^64 - 1."""
    sum: int = 0
    """Modulo 2^64: tells what the exclusive or does not, a document that is there twice."""

    def changed(
        self, *, added: Iterable[Counted] = (), removed: Iterable[Counted] = ()
    ) -> Checksum:
        """Returns the checksum with further documents and without others that were in it."""
        documents, chunks, xor, total = self.documents, self.chunks, self.xor, self.sum
        for document_id, version, count in added:
            each = document_checksum(document_id, version, count)
            documents += 1
            chunks += count
            xor ^= each
            total += each
        for document_id, version, count in removed:
            each = document_checksum(document_id, version, count)
            documents -= 1
            chunks -= count
            xor ^= each
            total -= each
        return Checksum(documents, chunks, xor, total & _MASK)

    def add(self, document_id: str, version: int, chunk_count: int) -> Checksum:
        """Returns the checksum with one more document."""
        return self.changed(added=[(document_id, version, chunk_count)])

    def remove(self, document_id: str, version: int, chunk_count: int) -> Checksum:
        """Returns the checksum without one of its documents."""
        return self.changed(removed=[(document_id, version, chunk_count)])

    def __str__(self) -> str:
        """Returns it for logs."""
        return f"{self.documents}/{self.chunks}/{self.xor:016x}/{self.sum:016x}"


def to_signed(value: int) -> int:
    """Returns 64 bits as the signed number that SQL stores."""
    return value - (1 << 64) if value & _SIGN else value


def to_unsigned(value: int) -> int:
    """Returns what `to_signed` stored."""
    return value & _MASK
