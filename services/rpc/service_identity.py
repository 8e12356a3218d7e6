"""Who of the installation calls: tokens that services sign with a secret they share.

A token names its caller, the service it is meant for and when it ends, and carries a keyed hash
over the three. A caller makes one per service and uses it for half its life; a service remembers
those it has checked, so that a call costs both a look into a table. The gateway's own service is
not among them: people and programs come there with keys.

    a token: "v1.gateway.embedding.1767225600.<hash>"
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

from prometheus_client import Counter

from services.rpc.errors import (
    PermissionDeniedError,
    Reason,
    ServiceError,
    StartupError,
    UnauthenticatedError,
)

if TYPE_CHECKING:
    from services.rpc.interceptors.call import Proceed, ServerCall
    from services.rpc.settings import ServiceSettings

HEADER = "x-cairn-service-token"
OPERATOR = "operator"
"""Whoever looks after the installation: the `cairn` program, people with `buf curl`."""
LIFE_SECONDS = 600
MAX_LIFE_SECONDS = 24 * 3600
"""Of tokens made by hand; one that ends later is refused, however it was made."""
MIN_SECRET_CHARACTERS = 32

_SLACK_SECONDS = 60
"""Two machines' clocks may differ by so much."""
_VERSION = "v1"
_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
_MAX_TOKEN_CHARACTERS = 300
_REMEMBERED = 1_000
_REFUSED = Counter(
    "cairn_rpc_callers_refused_total",
    "Calls of which no service of the installation was known as the caller.",
    ["reason"],
)


class ServiceIdentity:
    """Makes and checks tokens.

    Args:
        name: Of the caller, "gateway".
        secret: Tokens are made with it.
        former: Other secrets whose tokens are accepted: those of before, and one that is to come.
        now: Seconds since 1970.
    """

    def __init__(
        self,
        name: str,
        secret: str,
        former: Sequence[str] = (),
        now: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self._key = _key(secret)
        self._keys = (self._key, *map(_key, former))
        self._now = now
        self._made: dict[str, tuple[float, str]] = {}
        self._checked: OrderedDict[tuple[str, str], tuple[float, str]] = OrderedDict()

    def token_for(self, method: str) -> str | None:
        """Returns the token of a call; None for methods that ask for none.

        Args:
            method: "cairn.embedding.v1.EmbeddingService/Embed".
        """
        audience = audience_of(method)
        if not audience:
            return None
        made = self._made.get(audience)
        now = self._now()
        if made is None or made[0] <= now:
            token = self.sign(audience, LIFE_SECONDS)
            made = self._made[audience] = (now + LIFE_SECONDS / 2, token)
        return made[1]

    def sign(self, audience: str, life_seconds: float) -> str:
        """Returns a fresh token.

        Args:
            audience: Service that it is for, "embedding".
            life_seconds: When it ends, from now on.
        """
        body = f"{_VERSION}.{self.name}.{audience}.{int(self._now() + life_seconds)}"
        return f"{body}.{_hash(self._key, body)}"

    def caller(self, token: str | None, audience: str) -> str:
        """Returns who made a token.

        Raises:
            UnauthenticatedError: there is none, or it is not valid for this service now.
        """
        now = self._now()
        known = self._checked.get((token or "", audience))
        if known is None:
            known = self._check(token, audience)
            assert token is not None
            self._checked[token, audience] = known
            if len(self._checked) > _REMEMBERED:
                self._checked.popitem(last=False)
        ends, name = known
        if not now - _SLACK_SECONDS < ends <= now + MAX_LIFE_SECONDS + _SLACK_SECONDS:
            raise _refused("the service token has ended, or the machines' clocks differ")
        return name

    def _check(self, token: str | None, audience: str) -> tuple[float, str]:
        if not token:
            raise UnauthenticatedError(
                Reason.CREDENTIAL_MISSING,
                f"only services of the installation may call: send {HEADER}, "
                "which `cairn keys service-token` prints",
            )
        body, _, given = token.rpartition(".")
        parts = body.split(".")
        if len(token) > _MAX_TOKEN_CHARACTERS or len(parts) != 4 or parts[0] != _VERSION:
            raise _refused("the service token is malformed")
        if not any(
            hmac.compare_digest(_hash(key, body).encode(), given.encode()) for key in self._keys
        ):
            raise _refused("the service token was made with another secret")
        _, name, meant, ends = parts
        if meant != audience:
            raise _refused(f"the service token is for {meant}, not for {audience}")
        return float(ends), name


class CallerCheck:
    """Layer of a server that lets only known callers in.

    Args:
        identity: Checks tokens.
        allowed: Names of callers; the operator always may.
    """

    def __init__(self, identity: ServiceIdentity, allowed: Collection[str]) -> None:
        self._identity = identity
        self._allowed = frozenset({*allowed, OPERATOR})

    async def __call__(self, call: ServerCall, proceed: Proceed) -> Any:
        """Serves a call whose caller is known."""
        try:
            self._check(call)
        except ServiceError as error:
            _REFUSED.labels(error.reason.value).inc()
            raise
        return await proceed()

    def _check(self, call: ServerCall) -> None:
        token = None
        for key, value in call.context.invocation_metadata() or ():
            if key == HEADER and isinstance(value, str):
                token = value
        audience = audience_of(call.method)
        caller = self._identity.caller(token, audience)
        if caller not in self._allowed:
            raise PermissionDeniedError(
                Reason.ROLE_REQUIRED,
                f"{caller} may not call {audience}: "
                f"its callers are {', '.join(sorted(self._allowed))}",
                metadata={"caller": caller},
            )


def identity_of(name: str, settings: ServiceSettings) -> ServiceIdentity | None:
    """Returns the identity that a process is configured with; None: calls are not signed.

    Raises:
        StartupError: a secret is too short.
    """
    secret = settings.internal_secret.get_secret_value()
    former = settings.former_internal_secrets.get_secret_value().split()
    if not secret and not former:
        return None
    prefix = type(settings).model_config.get("env_prefix", "")
    if min(map(len, (secret, *former))) < MIN_SECRET_CHARACTERS:
        raise StartupError(
            f"{prefix}INTERNAL_SECRET: secrets must have {MIN_SECRET_CHARACTERS} characters or "
            "more; `openssl rand -hex 32` makes one"
        )
    return ServiceIdentity(name, secret, former)


def is_caller_name(text: str) -> bool:
    """Whether a text can name a caller."""
    return _NAME.fullmatch(text) is not None


@functools.lru_cache(maxsize=512)
def audience_of(method: str) -> str:
    """Returns the service that a method belongs to; "" for those that ask for no token.

    Args:
        method: "cairn.embedding.v1.EmbeddingService/Embed", with or without a slash before it.
    """
    parts = method.removeprefix("/").split(".", 2)
    return parts[1] if len(parts) == 3 and parts[0] == "cairn" and parts[1] != "gateway" else ""


def _key(secret: str) -> bytes:
    return hmac.digest(secret.encode(), b"cairn service token", hashlib.sha256)


def _hash(key: bytes, body: str) -> str:
    return base64.urlsafe_b64encode(hmac.digest(key, body.encode(), hashlib.sha256)).decode()


def _refused(message: str) -> UnauthenticatedError:
    return UnauthenticatedError(Reason.CREDENTIAL_INVALID, message)
