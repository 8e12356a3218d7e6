"""The chain: each entry's keyed hash covers the entry and the hash before it.

Who can write to the database but does not have the key cannot change, insert, remove or reorder
entries without breaking a link. Cutting off the end is noticed against a checkpoint that was kept
elsewhere, or the head.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

FIRST_HASH = "0" * 64
"""What the first entry of a chain follows."""

_SUBJECT_DIGITS = 32


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """What happened, before it is hashed."""

    tenant: str
    """Empty: the installation."""
    at: datetime
    actor: str
    action: str
    outcome: str
    """"ok", or the reason of the refusal."""
    surface: str
    """"http" or "grpc"."""
    collection: str = ""
    trace_id: str = ""
    subjects: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Kind and plain identifier or text; never stored."""
    details: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """An entry as it is stored."""

    tenant: str
    seq: int
    body: str
    """JSON."""
    hash: str

    @property
    def content(self) -> dict[str, Any]:
        """The entry's fields."""
        found: dict[str, Any] = json.loads(self.body)
        return found


class _Mac:
    """HMAC-SHA-256 with one key, whose first blocks are hashed once.

    The library's own lets the interpreter's lock go for each, however short the text: an entry has
    a dozen of them, and each makes the thread that serves requests stop and this one wait.

    Args:
        key: 64 bytes at most.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        block = key.ljust(64, b"\0")
        self._inner = hashlib.sha256(bytes(each ^ 0x36 for each in block))
        self._outer = hashlib.sha256(bytes(each ^ 0x5C for each in block))

    def hex(self, message: bytes) -> str:
        """Returns the code of a message as 64 digits."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer.hexdigest()


class AuditKeys:
    """Keys of chain and subjects, made from the installation's peppers.

    Args:
        peppers: The current one first; entries written under a former one stay verifiable.
    """

    def __init__(self, peppers: Sequence[bytes]) -> None:
        keys = [_derived(pepper, b"cairn audit chain") for pepper in peppers]
        self._by_id = {_name(key): _Mac(key) for key in keys}
        self._subject_keys = [_Mac(_derived(pepper, b"cairn audit subjects")) for pepper in peppers]
        self.current_id = _name(keys[0])
        """Name of the key that new entries are made with."""

    def knows(self, key_id: str) -> bool:
        """Whether entries made with that key can be verified."""
        return key_id in self._by_id

    def link(self, key_id: str, previous: str, body: str) -> str:
        """Returns the hash of an entry that follows another.

        Raises:
            KeyError: the key is not known.
        """
        message = f"{previous}\n{body}".encode()
        return self._by_id[key_id].hex(message)

    def proof(self, tenant: str, seq: int, last: str) -> str:
        """Returns what proves that a chain was shortened by the gateway and by nobody else."""
        message = f"floor\n{tenant}\n{seq}\n{last}".encode()
        return self._by_id[self.current_id].hex(message)

    def proves(self, proof: str, tenant: str, seq: int, last: str) -> bool:
        """Whether a proof is one of ours."""
        message = f"floor\n{tenant}\n{seq}\n{last}".encode()
        return any(hmac.compare_digest(key.hex(message), proof) for key in self._by_id.values())

    def subject(self, tenant: str, kind: str, text: str) -> str:
        """Returns the keyed hash that stands for something: equal for equal things of a tenant."""
        return self.subjects(tenant, kind, text)[0]

    def subjects(self, tenant: str, kind: str, text: str) -> tuple[str, ...]:
        """Returns all names that something may have in the log, by the current key first."""
        message = f"{tenant}\n{kind}\n{text}".encode("utf-8", "surrogatepass")
        return tuple(f"{kind}:{key.hex(message)[:_SUBJECT_DIGITS]}" for key in self._subject_keys)


def body_of(event: AuditEvent, seq: int, keys: AuditKeys) -> str:
    """Returns the text that is stored and hashed."""
    return json.dumps(
        {
            "seq": seq,
            "tenant": event.tenant,
            "at": event.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "actor": event.actor,
            "action": event.action,
            "collection": event.collection,
            "outcome": event.outcome,
            "surface": event.surface,
            "trace_id": event.trace_id,
            "subjects": [keys.subject(event.tenant, *each) for each in event.subjects],
            "details": dict(event.details),
            "key": keys.current_id,
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )


@dataclass(slots=True)
class Verification:
    """Walks along a chain and stops at the first broken link."""

    keys: AuditKeys
    tenant: str
    seq: int = 0
    """Last entry that was found intact."""
    last: str = FIRST_HASH
    """Its hash."""
    count: int = 0
    broken_seq: int = 0
    """Number of the first broken link; 0: none."""
    problem: str = ""

    def check(self, entry: AuditEntry, columns: Mapping[str, str] | None = None) -> bool:
        """Whether the entry is the one that was written after the last one.

        Args:
            entry: What is stored.
            columns: Fields that are stored beside the body, and must say the same.
        """
        expected = self.seq + 1
        if entry.seq != expected:
            return self._breaks(expected, f"entry {expected} is missing")
        try:
            content = entry.content
            key_id = str(content.get("key"))
        except (ValueError, AttributeError):
            return self._breaks(expected, "its text is no entry")
        if not self.keys.knows(key_id):
            return self._breaks(expected, "it names a key that this installation does not have")
        if not hmac.compare_digest(self.keys.link(key_id, self.last, entry.body), entry.hash):
            return self._breaks(expected, "its hash does not follow from it and the entry before")
        beside = {"seq": entry.seq, "tenant": self.tenant, **(columns or {})}
        for name, value in beside.items():
            if content.get(name) != value:
                return self._breaks(expected, f"its column {name} says something else")
        self.seq, self.last, self.count = entry.seq, entry.hash, self.count + 1
        return True

    def check_end(self, seq: int, last: str) -> bool:
        """Whether the chain ends where its head says."""
        if (self.seq, self.last) == (seq, last):
            return True
        return self._breaks(
            min(self.seq, seq) + 1, f"the log ends at entry {self.seq}, its head says {seq}"
        )

    def _breaks(self, seq: int, problem: str) -> bool:
        self.broken_seq, self.problem = seq, problem
        return False


def _derived(pepper: bytes, purpose: bytes) -> bytes:
    return hmac.digest(pepper, purpose, "sha256")


def _name(key: bytes) -> str:
    return hashlib.sha256(b"cairn audit key:" + key).hexdigest()[:8]
