"""Public keys of an identity provider, as they change."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from services.gateway.tokens.issuers import Issuer
from services.rpc.errors import Reason, ResourceExhaustedError, UnavailableError

REFRESH_SECONDS = 60.0
"""A key that the provider took back is refused after this time."""

GAP_SECONDS = 1.0
"""An unknown key makes the gateway ask again, at most this often: who waits, waits this long."""

STALE_SECONDS = 24 * 3600.0
"""Keys go on being used this long while the provider does not answer."""

_FORGET_SECONDS = 2.0
_MAX_UNKNOWN = 1_000
_MAX_WAITING = 256
_MAX_KEYS = 100
_MIN_RSA_BITS = 2048

_FAMILIES = {
    ("RSA", None): frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
    ("EC", "P-256"): frozenset({"ES256"}),
    ("EC", "P-384"): frozenset({"ES384"}),
    ("OKP", "Ed25519"): frozenset({"EdDSA"}),
}
"""Signatures by type and curve of a key: one key never verifies another type's."""

Fetch = Callable[[str], Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class VerifyKey:
    """A public key, and the signatures it may verify."""

    key: Any = field(repr=False)
    algorithms: frozenset[str]
    document: Mapping[str, Any] = field(repr=False)
    """As the provider lists it."""


class KeySet:
    """Keys of one issuer by their ids.

    Args:
        issuer: The provider.
        fetch: Reads a JSON document.
        clock: Monotonic seconds.
    """

    def __init__(
        self, issuer: Issuer, fetch: Fetch, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._issuer = issuer
        self._fetch = fetch
        self._clock = clock
        self._keys: dict[str, VerifyKey] = {}
        self._unknown: OrderedDict[str, float] = OrderedDict()
        self._lock = asyncio.Lock()
        self._waiting = 0
        self._asked_at = float("-inf")
        self._fetched_at = float("-inf")
        self.version = 0
        """Grows with each change of the keys."""

    async def find(self, key_id: str) -> VerifyKey | None:
        """Returns the key of an id; None: the provider has none.

        A key that is not known is asked for at once, so tokens signed with a provider's new key
        are accepted from the first one on.

        Raises:
            UnavailableError: the key is not known and the provider does not answer.
            ResourceExhaustedError: too many wait for it.
        """
        now = self._clock()
        if now - self._fetched_at > STALE_SECONDS:
            self._keys = {}
        key = self._keys.get(key_id)
        if key is not None or self._unknown.get(key_id, 0.0) > now:
            return key
        if self._waiting >= _MAX_WAITING:
            raise ResourceExhaustedError(
                Reason.OVERLOADED, "too many wait for keys", retry_after_seconds=GAP_SECONDS
            )
        self._waiting += 1
        try:
            await self.refresh(now)
        finally:
            self._waiting -= 1
        key = self._keys.get(key_id)
        if key is None:
            self._unknown[key_id] = self._clock() + _FORGET_SECONDS
            while len(self._unknown) > _MAX_UNKNOWN:
                self._unknown.popitem(last=False)
        return key

    async def refresh(self, not_before: float | None = None) -> None:
        """Asks the provider for its keys.

        Args:
            not_before: What was fetched after this is new enough; None: now.

        Raises:
            UnavailableError: it does not answer.
        """
        wanted = self._clock() if not_before is None else not_before
        async with self._lock:
            if self._asked_at >= wanted and self._fetched_at >= self._asked_at:
                return
            await asyncio.sleep(self._asked_at + GAP_SECONDS - self._clock())
            self._asked_at = self._clock()
            keys = _usable(await self._document(), self._issuer)
            self._fetched_at = self._clock()
            if keys != self._keys:
                self.version += 1
                self._unknown.clear()
            self._keys = keys

    async def _document(self) -> Mapping[str, Any]:
        url = self._issuer.jwks_url
        if not url:
            base = self._issuer.issuer.rstrip("/")
            about = await self._fetch(f"{base}/.well-known/openid-configuration")
            url = about.get("jwks_uri", "")
            if about.get("issuer") != self._issuer.issuer or not isinstance(url, str):
                raise UnavailableError(
                    Reason.DEPENDENCY_UNAVAILABLE,
                    "the identity provider's configuration names another issuer",
                )
        return await self._fetch(url)


def _usable(document: Mapping[str, Any], issuer: Issuer) -> dict[str, VerifyKey]:
    """Returns the keys that may verify: of a kind that the issuer's algorithms use, long enough.

    Raises:
        UnavailableError: there is none.
    """
    listed = document.get("keys")
    found: dict[str, VerifyKey] = {}
    for each in listed[:_MAX_KEYS] if isinstance(listed, list) else ():
        key = _read(each, frozenset(issuer.algorithms)) if isinstance(each, dict) else None
        if key is not None:
            found[str(each.get("kid", ""))] = key
    if not found:
        raise UnavailableError(
            Reason.DEPENDENCY_UNAVAILABLE,
            f"the identity provider lists no key that {', '.join(issuer.algorithms)} could use",
        )
    return found


def _read(document: Mapping[str, Any], accepted: frozenset[str]) -> VerifyKey | None:
    """Returns a key; None for one that nothing may be verified with."""
    kind = document.get("kty")
    possible = _FAMILIES.get((kind, None if kind == "RSA" else document.get("crv")))
    # A private key in public, or one for encryption, is none to trust signatures by.
    if possible is None or document.get("use", "sig") != "sig" or "d" in document:
        return None
    declared = document.get("alg")
    algorithms = accepted & possible & ({declared} if declared else possible)
    if not algorithms:
        return None
    try:
        key = jwt.PyJWK.from_dict(dict(document), min(algorithms)).key
    except (jwt.PyJWTError, ValueError, TypeError):  # one bad key must not hide the others
        return None
    if isinstance(key, RSAPublicKey) and key.key_size < _MIN_RSA_BITS:
        return None
    return VerifyKey(key, frozenset(algorithms), dict(document))
