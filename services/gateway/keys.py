"""API keys: `crn_<key id>_<secret>_<checksum>`.

The key id is stable and may be shown; the secret has 256 random bits, so a keyed hash is enough (a
slow one protects guessable passwords only). The checksum lets scanners and the gateway tell a
mistyped key from an unknown one without a look into the store.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import re
import secrets
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.gateway.identity.directory import RoleGrant
    from services.gateway.identity.permissions import Role

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_CHARACTERS = 12
_SECRET_CHARACTERS = 43
"""62**43 > 2**256."""
_CHECKSUM_CHARACTERS = 6
_KEY = re.compile(
    rf"(crn_([0-9A-Za-z]{{{_ID_CHARACTERS}}})_([0-9A-Za-z]{{{_SECRET_CHARACTERS}}}))"
    rf"_([0-9A-Za-z]{{{_CHECKSUM_CHARACTERS}}})"
)


class KeyKind(enum.StrEnum):
    """Whose key it is."""

    USER = "user"
    """Of people and programs outside."""
    SERVICE = "service"
    """Of callers that belong to the installation: jobs, probes, evaluations."""


@dataclass(frozen=True, slots=True)
class KeySecret:
    """What is told of one of a key's secrets."""

    secret_id: str
    """Identifier within the key."""
    created_at: datetime
    expires_at: datetime | None = None
    """When it ends because another one took over."""
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is stored of a key, without its secrets."""

    key_id: str
    """Stable: rotation changes the secret alone, so limits, accounts and audit go on."""
    tenant: str
    name: str
    role: Role
    """CUSTOM: what its grants say; without any, what its user may do."""
    principals: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    """When one of its secrets was last accepted, within a minute."""
    user_id: str = ""
    """Whose key it is: it never may more than that user. Empty: nobody's."""
    kind: KeyKind = KeyKind.USER
    grants: tuple[RoleGrant, ...] = ()
    secrets: tuple[KeySecret, ...] = ()
    """Newest first."""


@dataclass(frozen=True, slots=True)
class ParsedKey:
    """A key that is well-formed; whether it is valid, the store knows."""

    key_id: str
    secret: str


def new_key(key_id: str = "") -> tuple[str, ParsedKey]:
    """Returns a fresh key as text and in parts; with a key's id, a further secret of that key."""
    key_id = key_id or "".join(secrets.choice(_ALPHABET) for _ in range(_ID_CHARACTERS))
    secret = "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_CHARACTERS))
    body = f"crn_{key_id}_{secret}"
    return f"{body}_{_checksum(body)}", ParsedKey(key_id, secret)


def parse_key(text: str) -> ParsedKey | None:
    """Returns the parts of a key; None when it is malformed or its checksum is wrong."""
    match = _KEY.fullmatch(text)
    if match is None or _checksum(match.group(1)) != match.group(4):
        return None
    return ParsedKey(match.group(2), match.group(3))


def secret_hash(pepper: bytes, parsed: ParsedKey) -> str:
    """Returns what is stored in place of the secret; useless without the pepper."""
    message = f"{parsed.key_id}:{parsed.secret}".encode()
    return hmac.digest(pepper, message, "sha256").hex()


class Peppers:
    """Secrets that hashes are made with, kept outside the database.

    Args:
        current: New hashes are made with it.
        former: Older ones; a key that is used is hashed anew.
    """

    def __init__(self, current: bytes, former: Sequence[bytes] = ()) -> None:
        self.current = current
        self._former = tuple(former)

    @property
    def all(self) -> tuple[bytes, ...]:
        """The current one first."""
        return (self.current, *self._former)

    def hashes(self, parsed: ParsedKey) -> Iterator[str]:
        """Yields what the secret would be stored as, by the current pepper first."""
        return (secret_hash(pepper, parsed) for pepper in self.all)


def pepper_id(pepper: bytes) -> str:
    """Returns a name for the pepper, to tell a changed pepper from a wrong secret."""
    return hashlib.sha256(b"cairn pepper id:" + pepper).hexdigest()[:12]


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = []
    for _ in range(_CHECKSUM_CHARACTERS):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
