"""Identity providers whose tokens are accepted, as the operator configures them."""

from __future__ import annotations

import ipaddress
import json
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

ALGORITHMS = ("EdDSA", "ES256", "ES384", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
"""Signatures with a private key the gateway does not have. Never HS*: its key would be the public
one, which anyone has."""

Algorithm = Literal["EdDSA", "ES256", "ES384", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]


class Issuer(BaseModel):
    """An identity provider."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    issuer: Annotated[str, Field(min_length=1, max_length=512)]
    """What tokens say in `iss`, to the character."""
    audience: Annotated[str, Field(min_length=1, max_length=512)]
    """What tokens must name in `aud`."""
    jwks_url: str = ""
    """Where its public keys are; empty: as its OpenID configuration says."""
    algorithms: tuple[Algorithm, ...] = ("EdDSA", "ES256", "RS256")
    """Signatures that are accepted."""
    tenant: str = ""
    """Tenant of all its users."""
    tenant_claim: str = ""
    """Claim that names the tenant, instead of `tenant`; dots lead into objects."""
    tenants: tuple[str, ...] = ()
    """Tenants that the claim may name; empty: any that there is."""
    groups_claim: str = "groups"
    """Claim that lists groups; dots lead into objects."""
    name_claim: str = "name"
    """Claim with a name for people."""
    default_role: Literal["", "viewer", "editor", "operator"] = ""
    """What each of its users may do; empty: what the directory grants to user and groups."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if bool(self.tenant) == bool(self.tenant_claim):
            raise ValueError("give either tenant or tenant_claim")
        if not self.algorithms:
            raise ValueError("algorithms must not be empty")
        check_url(self.jwks_url or self.issuer)
        return self


def read_issuers(text: str) -> tuple[Issuer, ...]:
    """Returns the issuers of a JSON list.

    Raises:
        ValueError: it is none, or one of them cannot be used.
    """
    if not text.strip():
        return ()
    try:
        issuers = TypeAdapter(tuple[Issuer, ...]).validate_python(json.loads(text))
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error.msg}") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{place}: {first['msg']}") from None
    if len({each.issuer for each in issuers}) < len(issuers):
        raise ValueError("names an issuer twice")
    return issuers


def check_url(url: str) -> None:
    """Lets an address pass that keys may be fetched from: nobody on the way may change them.

    Raises:
        ValueError: it is neither https nor on this machine.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.username or not host:
        raise ValueError("a key address must be https://host/…, without credentials")
    if parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host)):
        return
    raise ValueError("a key address must be https (http on this machine alone)")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
