"""API keys: `crn_<key id>_<secret>_<checksum>`.

The key id is stable and may be shown; the secret has 256 random bits, so a keyed hash is enough (a
slow one protects guessable passwords only). The checksum lets scanners and the gateway tell a
mistyped key from an unknown one without a look into the store.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import zlib
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.gateway.identity import Role
    from services.rpc.scope import TenantClass

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_CHARACTERS = 12
_SECRET_CHARACTERS = 43
"""62**43 > 2**256."""
_CHECKSUM_CHARACTERS = 6
_KEY = re.compile(
    rf"(crn_([0-9A-Za-z]{{{_ID_CHARACTERS}}})_([0-9A-Za-z]{{{_SECRET_CHARACTERS}}}))"
    rf"_([0-9A-Za-z]{{{_CHECKSUM_CHARACTERS}}})"
)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is stored of a key, without its secrets."""

    key_id: str
    tenant: str
    name: str
    role: Role
    principals: tuple[str, ...]
    tenant_class: TenantClass
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ParsedKey:
    """A key that is well-formed; whether it is valid, the store knows."""

    key_id: str
    secret: str


def new_key() -> tuple[str, ParsedKey]:
    """Returns a fresh key as text and in parts."""
    key_id = "".join(secrets.choice(_ALPHABET) for _ in range(_ID_CHARACTERS))
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
    return hmac.new(pepper, message, hashlib.sha256).hexdigest()


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
