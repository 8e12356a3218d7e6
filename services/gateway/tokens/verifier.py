"""Accepts tokens of identity providers: JWTs signed with a key that the provider lists."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
import weakref
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt

from services.gateway.identity.credentials import caller_of_token
from services.gateway.identity.permissions import Role
from services.gateway.tokens.key_set import REFRESH_SECONDS, KeySet
from services.rpc.errors import Reason, ServiceError, UnauthenticatedError
from services.rpc.logs import get_logger

if TYPE_CHECKING:
    from services.gateway.identity import Caller
    from services.gateway.store.directory import Directory
    from services.gateway.tokens.issuers import Issuer
    from services.gateway.tokens.key_set import Fetch

CACHE_SECONDS = 3.0
"""A user or tenant that was disabled, or lost a grant, is refused after this time."""

LEEWAY_SECONDS = 30
_MAX_TOKEN_CHARACTERS = 16_384
_MAX_GROUPS = 256
_MAX_ID_CHARACTERS = 200
_CACHE_ENTRIES = 20_000
_REQUIRED = ["exp", "iat", "aud", "iss", "sub"]


@dataclass(frozen=True, slots=True)
class _Claims:
    """What a token proves."""

    tenant: str
    subject: str
    groups: tuple[str, ...]
    name: str
    expires_at: float
    """Seconds since 1970, leeway included."""


@dataclass(frozen=True, slots=True)
class _Trusted:
    """A provider and its keys."""

    issuer: Issuer
    keys: KeySet


class TokenVerifier:
    """Accepts tokens.

    Args:
        issuers: Whose.
        directory: Knows tenants, users and grants.
        fetch: Reads the providers' documents.
        clock: Monotonic seconds, for caches.
        now: Seconds since 1970.
    """

    def __init__(
        self,
        issuers: Sequence[Issuer],
        directory: Directory,
        fetch: Fetch,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._trusted = {
            each.issuer: _Trusted(each, KeySet(each, fetch, clock)) for each in issuers
        }
        self._directory = directory
        self._clock = clock
        self._now = now
        self._claims: OrderedDict[tuple[bytes, int], _Claims] = OrderedDict()
        self._callers: OrderedDict[tuple[str, _Claims], tuple[float, Caller | None]] = OrderedDict()

        self._locks: weakref.WeakValueDictionary[tuple[str, _Claims], asyncio.Lock] = (
            weakref.WeakValueDictionary()
        )

    async def accept(self, token: str) -> Caller:
        """Returns who the token is for.

        Raises:
            UnauthenticatedError: it proves nothing; why, is told as far as it helps its owner.
            UnavailableError: the provider's keys are not known and it does not answer.
        """
        trusted, header = self._issuer_of(token)
        claims = await self._verified(token, trusted, header)
        caller = await self._caller(trusted.issuer, claims)
        if caller is None:
            raise _refused("its user or tenant is unknown or disabled")
        return caller

    def forget_all(self) -> None:
        """Has every user looked up anew: something was changed here."""
        self._callers.clear()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Asks each provider for its keys regularly while the block runs."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_refresh(each.keys)) for each in self._trusted.values()]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()

    def _issuer_of(self, token: str) -> tuple[_Trusted, Mapping[str, Any]]:
        """Returns whom to ask about a token: nothing in it is believed yet."""
        if len(token) > _MAX_TOKEN_CHARACTERS:
            raise _refused("it is too long")
        try:
            header = jwt.get_unverified_header(token)
            claims = jwt.decode(token, options={"verify_signature": False})
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise _refused("it cannot be read") from None
        issuer = claims.get("iss")
        trusted = self._trusted.get(issuer) if isinstance(issuer, str) else None
        if trusted is None:
            raise _refused("its issuer is not accepted here")
        if header.get("alg") not in trusted.issuer.algorithms:
            raise _refused("its signature is of a kind that is not accepted")
        return trusted, header

    async def _verified(self, token: str, trusted: _Trusted, header: Mapping[str, Any]) -> _Claims:
        known = (hashlib.sha256(token.encode()).digest(), trusted.keys.version)
        found = self._claims.get(known)
        if found is None:
            found = await self._verify(token, trusted, header)
            known = (known[0], trusted.keys.version)
            self._claims[known] = found
            while len(self._claims) > _CACHE_ENTRIES:
                self._claims.popitem(last=False)
        if found.expires_at <= self._now():
            self._claims.pop(known, None)
            raise _refused("it has expired")
        return found

    async def _verify(self, token: str, trusted: _Trusted, header: Mapping[str, Any]) -> _Claims:
        key_id, algorithm = header.get("kid", ""), header["alg"]
        key = await trusted.keys.find(key_id) if isinstance(key_id, str) else None
        if key is None or algorithm not in key.algorithms:
            raise _refused("its key is not one of its issuer's")
        try:
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[algorithm],
                audience=trusted.issuer.audience,
                issuer=trusted.issuer.issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": _REQUIRED},
            )
        except jwt.ExpiredSignatureError:
            raise _refused("it has expired") from None
        except jwt.InvalidAudienceError:
            raise _refused("it is for another audience") from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
            raise _refused("its signature or claims are wrong") from None
        return _read(claims, trusted.issuer)

    async def _caller(self, issuer: Issuer, claims: _Claims) -> Caller | None:
        key = (issuer.issuer, claims)
        cached = self._callers.get(key)
        if cached is not None and cached[0] > self._clock():
            return cached[1]
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        async with lock:  # one asks for all
            cached = self._callers.get(key)
            if cached is None or cached[0] <= self._clock():
                cached = await self._look_up(issuer, claims)
                self._callers[key] = cached
                self._callers.move_to_end(key)
                while len(self._callers) > _CACHE_ENTRIES:
                    self._callers.popitem(last=False)
        return cached[1]

    async def _look_up(self, issuer: Issuer, claims: _Claims) -> tuple[float, Caller | None]:
        """Returns until when it holds, and who the user is."""
        until = self._clock() + CACHE_SECONDS
        owner = await self._directory.standing_of(claims.tenant, claims.subject, claims.groups)
        role = Role.named(issuer.default_role) if issuer.default_role else None
        caller = (
            caller_of_token(claims.tenant, claims.subject, owner, role, claims.name)
            if owner.is_open
            else None
        )
        return until, caller


async def _refresh(keys: KeySet) -> None:
    while True:
        try:
            await keys.refresh()
        except ServiceError as error:
            get_logger().warning("an identity provider gives no keys", reason=error.reason.value)
        await asyncio.sleep(REFRESH_SECONDS)


def _read(claims: Mapping[str, Any], issuer: Issuer) -> _Claims:
    """Returns what is used of verified claims.

    Raises:
        UnauthenticatedError: they name no tenant or user that could be one.
    """
    subject = claims["sub"]
    tenant = issuer.tenant or _claim(claims, issuer.tenant_claim)
    if not _is_name(subject) or not _is_name(tenant):
        raise _refused("it names no user or tenant")
    if not issuer.tenant and issuer.tenants and tenant not in issuer.tenants:
        raise _refused("its issuer may not speak for this tenant")
    groups = _claim(claims, issuer.groups_claim)
    if isinstance(groups, str):
        groups = [groups]
    if not isinstance(groups, list):
        groups = []
    if len(groups) > _MAX_GROUPS or not all(_is_name(each) for each in groups):
        raise _refused("its groups are too many, or no names")
    name = _claim(claims, issuer.name_claim)
    return _Claims(
        tenant=tenant,
        subject=subject,
        groups=tuple(sorted(set(groups))),
        name=name if _is_name(name) else "",
        expires_at=float(claims["exp"]) + LEEWAY_SECONDS,
    )


def _claim(claims: Mapping[str, Any], path: str) -> Any:
    """Returns a claim; the name as it stands goes before a path with dots."""
    if not path or path in claims:
        return claims.get(path)
    found: Any = claims
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _is_name(value: Any) -> bool:
    return (
        isinstance(value, str)
        and 0 < len(value) <= _MAX_ID_CHARACTERS
        and value.isprintable()
        and value == value.strip()
    )


def _refused(why: str) -> UnauthenticatedError:
    return UnauthenticatedError(Reason.CREDENTIAL_INVALID, f"the token is refused: {why}")
