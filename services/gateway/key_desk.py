"""Management of keys by admins."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from services.gateway.bootstrap import HOME_TENANT
from services.gateway.identity import Caller, Operation, Role
from services.gateway.keys import ApiKey, new_key
from services.gateway.texts import check_text
from services.rpc.errors import InvalidArgumentError, PermissionDeniedError, Reason
from services.rpc.scope import TenantClass

if TYPE_CHECKING:
    from services.gateway.store.key_store import KeyStore

_EVERYONE = "everyone"
_MAX_NAME_CHARACTERS = 128


class KeyDesk:
    """Makes, lists and revokes keys.

    Args:
        store: Where keys live.
    """

    def __init__(self, store: KeyStore) -> None:
        self._store = store

    async def create(
        self,
        caller: Caller,
        *,
        name: str,
        role: str,
        principals: Sequence[str] | None = None,
        tenant: str = "",
        expires_in_days: int | None = None,
    ) -> tuple[ApiKey, str]:
        """Returns a fresh key and its text, which is nowhere kept.

        Raises:
            InvalidArgumentError: a field is wrong.
            PermissionDeniedError: the tenant is not the caller's to serve.
        """
        caller.require(Operation.MANAGE_KEYS)
        owner = self._tenant(caller, tenant) or caller.scope.tenant
        _check_name("name", name, _MAX_NAME_CHARACTERS)
        text, parsed = new_key()
        created = datetime.now(UTC)
        key = ApiKey(
            key_id=parsed.key_id,
            tenant=owner,
            name=name,
            role=Role.named(role),
            principals=_principals(principals, parsed.key_id),
            tenant_class=TenantClass.STANDARD,
            created_at=created,
            expires_at=created + timedelta(days=expires_in_days) if expires_in_days else None,
        )
        await self._store.add(key, parsed)
        return key, text

    async def list_keys(self, caller: Caller, tenant: str = "") -> tuple[ApiKey, ...]:
        """Returns the keys of the caller's tenant, or of another for home admins."""
        caller.require(Operation.MANAGE_KEYS)
        return await self._store.list_keys(self._tenant(caller, tenant) or caller.scope.tenant)

    async def revoke(self, caller: Caller, key_id: str) -> None:
        """Revokes a key of the caller's tenant, or of any for home admins.

        Raises:
            NotFoundError: there is no such live key.
        """
        caller.require(Operation.MANAGE_KEYS)
        check_text("key_id", key_id, limit=64, required=True)
        is_home = caller.scope.tenant == HOME_TENANT
        await self._store.revoke(key_id, None if is_home else caller.scope.tenant)

    def _tenant(self, caller: Caller, tenant: str) -> str:
        if not tenant:
            return ""
        _check_name("tenant", tenant, _MAX_NAME_CHARACTERS)
        if caller.scope.tenant not in {tenant, HOME_TENANT}:
            raise PermissionDeniedError(
                Reason.ROLE_REQUIRED, "only admins of the home tenant serve other tenants"
            )
        return tenant


def _principals(given: Sequence[str] | None, key_id: str) -> tuple[str, ...]:
    if given is None:
        given = (_EVERYONE,)
    for index, principal in enumerate(given):
        _check_name(f"principals[{index}]", principal, 256)
    return tuple(dict.fromkeys((*given, f"key:{key_id}")))


def _check_name(field: str, text: str, limit: int) -> None:
    check_text(field, text, limit=limit, required=True)
    if not text.isprintable() or text != text.strip():
        raise InvalidArgumentError.for_field(
            field, "must be printable, without spaces at its ends", Reason.INVALID_TEXT
        )
