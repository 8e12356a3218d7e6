"""Lets callers in: who is it, and is it within its rate?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.rpc.errors import Reason, UnauthenticatedError
from services.rpc.logs import bind_tenant

if TYPE_CHECKING:
    from services.gateway.edge.limits import Allowance, RateLimiter
    from services.gateway.identity import Caller
    from services.gateway.store.key_store import KeyStore

_SCHEME = "bearer "


@dataclass(frozen=True, slots=True)
class Admitted:
    """A caller whose credential holds."""

    caller: Caller
    allowance: Allowance
    """May say no: the surface tells the headers before it refuses."""


class Door:
    """Accepts credentials and counts requests.

    Args:
        keys: Where credentials are known.
        limiter: Counts.
    """

    def __init__(self, keys: KeyStore, limiter: RateLimiter) -> None:
        self._keys = keys
        self._limiter = limiter

    async def admit(self, authorization: str | None) -> Admitted:
        """Returns the caller of a request.

        Args:
            authorization: "Bearer crn_…", or None when there is no such header.

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
        caller = await self._keys.accept(authorization[len(_SCHEME) :].strip())
        bind_tenant(caller.scope.tenant)
        return Admitted(caller, await self._limiter.take(caller.key_id))
