"""Lets callers in: who is it, and is it within its rate?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from prometheus_client import Counter

from services.rpc.errors import Reason, UnauthenticatedError
from services.rpc.logs import bind_tenant
from services.rpc.telemetry import span

if TYPE_CHECKING:
    from services.gateway.audit.log import AuditLog
    from services.gateway.identity import Caller
    from services.gateway.limits.allowance import Allowance
    from services.gateway.limits.gate import Gate

_SCHEME = "bearer "
_KEY_PREFIX = "crn_"
_REFUSED = Counter(
    "cairn_gateway_credentials_refused_total",
    "Credentials that opened nothing.",
    ["kind"],
)


class Credentials(Protocol):
    """Knows whose a kind of credential is."""

    async def accept(self, credential: str, /) -> Caller:
        """Returns the caller.

        Raises:
            UnauthenticatedError: it is nobody's.
        """
        ...


@dataclass(frozen=True, slots=True)
class Admitted:
    """A caller whose credential holds."""

    caller: Caller
    allowance: Allowance
    """May say no: the surface tells the headers before it refuses."""


class Door:
    """Accepts credentials and counts requests.

    Args:
        keys: Knows API keys.
        limiter: Counts.
        tokens: Knows tokens of identity providers; None: none are accepted.
        audit: Where refused credentials are noted; None: nowhere.
    """

    def __init__(
        self,
        keys: Credentials,
        limiter: Gate,
        tokens: Credentials | None = None,
        audit: AuditLog | None = None,
    ) -> None:
        self._keys = keys
        self._limiter = limiter
        self._tokens = tokens
        self._audit = audit

    async def admit(self, authorization: str | None) -> Admitted:
        """Returns the caller of a request.

        Args:
            authorization: "Bearer crn_…" or "Bearer <token>", or None when there is no such header.

        Raises:
            UnauthenticatedError: no credential, or not a valid one.
        """
        if not authorization:
            raise UnauthenticatedError(
                Reason.CREDENTIAL_MISSING,
                "send an API key: Authorization: Bearer crn_…",
            )
        if not authorization.lower().startswith(_SCHEME):
            raise UnauthenticatedError(
                Reason.CREDENTIAL_INVALID, "the credential must be an API key: Bearer crn_…"
            )
        with span("auth") as auth:
            caller = await self._accept(authorization[len(_SCHEME) :].strip())
            auth.set_attribute("cairn.tenant", caller.scope.tenant)
        bind_tenant(caller.scope.tenant)
        with span("limits"):
            allowance = await self._limiter.admit(caller)
        return Admitted(caller, allowance)

    async def _accept(self, credential: str) -> Caller:
        # Keys have a prefix of their own; tokens have two dots. What is neither is taken for a key.
        is_token = not credential.startswith(_KEY_PREFIX) and credential.count(".") == 2
        try:
            if is_token and self._tokens is not None:
                return await self._tokens.accept(credential)
            return await self._keys.accept(credential)
        except UnauthenticatedError:
            kind = "token" if is_token else "key"
            _REFUSED.labels(kind).inc()
            if self._audit is not None:
                self._audit.note_refused(kind)
            raise
