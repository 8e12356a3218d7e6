"""On whose behalf a request is made, as the domain sees it."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class TenantClass(enum.IntEnum):
    """Service class of a tenant, numbered as `cairn.types.v1.TenantClass` numbers it."""

    FREE = 1
    STANDARD = 2
    PREMIUM = 3


@dataclass(frozen=True, slots=True)
class Scope:
    """The tenant a request belongs to and the principals it may read as."""

    tenant: str
    """Owner of every collection, document and figure the request may touch. Never empty."""
    principals: tuple[str, ...]
    """What the caller acts as; shares one with a document's access list or cannot read it."""
    actor: str
    """Stable identifier of the credential, for accounting and audit."""
    tenant_class: TenantClass = TenantClass.STANDARD
    """Queues weigh by it."""
