"""Management of keys by admins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from services.gateway.audit.trail import note_detail
from services.gateway.identity.credentials import EVERYONE
from services.gateway.identity.directory import RoleGrant
from services.gateway.identity.grant_checks import check_may_give, checked_grants
from services.gateway.identity.grants import builtin_grant
from services.gateway.identity.permissions import Operation, Role
from services.gateway.identity.tenancy import (
    MAX_ID_CHARACTERS,
    check_name,
    managed_tenant,
    reach,
)
from services.gateway.keys import ApiKey, KeyKind, new_key
from services.gateway.texts import check_range, check_text
from services.rpc.errors import InvalidArgumentError, NotFoundError

if TYPE_CHECKING:
    from services.gateway.identity.caller import Caller
    from services.gateway.store.directory import Directory
    from services.gateway.store.key_rows import KeyRows
    from services.gateway.store.key_store import KeyStore

OVERLAP_SECONDS = 86_400
"""Unless said otherwise, former secrets are accepted this long after a rotation."""

MAX_OVERLAP_SECONDS = 90 * 86_400
_MAX_PRINCIPALS = 256
_MAX_DAYS = 3_650


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key to make."""

    name: str
    role: str = ""
    """Built-in role for everything. Empty: what `grants` say; without any, what the user may do;
    without a user, viewer."""
    grants: tuple[RoleGrant, ...] = ()
    principals: tuple[str, ...] | None = None
    """What it reads as besides itself; None: everyone."""
    tenant: str = ""
    """Empty: the caller's own."""
    user_id: str = ""
    kind: str = "user"
    expires_in_days: int | None = None


class KeyDesk:
    """Makes, lists, rotates and revokes keys.

    Args:
        rows: Where keys live.
        keys: Accepts keys, and is told what changed.
        directory: Knows users and roles.
    """

    def __init__(self, rows: KeyRows, keys: KeyStore, directory: Directory) -> None:
        self._rows = rows
        self._keys = keys
        self._directory = directory

    async def create(self, caller: Caller, new: NewKey) -> tuple[ApiKey, str]:
        """Returns a fresh key and its text, which is nowhere kept.

        Raises:
            InvalidArgumentError: a field is wrong.
            PermissionDeniedError: the tenant is not the caller's to serve, or the key could do what
                the caller may not.
        """
        caller.require(Operation.MANAGE_KEYS)
        owner = managed_tenant(caller, new.tenant)
        check_name("name", new.name)
        role = await self._role(caller, owner, new)
        grants = await checked_grants(caller, owner, new.grants, self._directory)
        text, parsed = new_key()
        created = datetime.now(UTC)
        if new.expires_in_days is not None:
            check_range("expires_in_days", new.expires_in_days, 1, _MAX_DAYS)
        key = ApiKey(
            key_id=parsed.key_id,
            tenant=owner,
            name=new.name,
            role=role,
            principals=_principals(new.principals, parsed.key_id),
            created_at=created,
            expires_at=created + timedelta(days=new.expires_in_days)
            if new.expires_in_days
            else None,
            user_id=new.user_id,
            kind=_kind(new.kind),
            grants=grants,
        )
        await self._rows.add(key, parsed)
        self._keys.forget(key.key_id)
        _note(key.key_id)
        return await self._rows.get(key.key_id, owner), text

    async def list_keys(self, caller: Caller, tenant: str = "") -> tuple[ApiKey, ...]:
        """Returns the keys of the caller's tenant, or of another for home admins."""
        caller.require(Operation.MANAGE_KEYS)
        owner = managed_tenant(caller, tenant)
        await self._keys.flush()
        return await self._rows.list_keys(owner)

    async def get(self, caller: Caller, key_id: str) -> ApiKey:
        """Returns a key of the caller's tenant, or of any for home admins.

        Raises:
            NotFoundError: there is none.
        """
        caller.require(Operation.MANAGE_KEYS)
        _note(_checked(key_id))
        await self._keys.flush()
        return await self._rows.get(key_id, reach(caller))

    async def rotate(
        self, caller: Caller, key_id: str, overlap_seconds: int = OVERLAP_SECONDS
    ) -> tuple[ApiKey, str]:
        """Gives a key one more secret; returns the key and its new text.

        Args:
            caller: Who asks.
            key_id: The key.
            overlap_seconds: How long the former secrets go on being accepted; 0: they end now.

        Raises:
            NotFoundError: there is no such live key.
            PermissionDeniedError: the key may do what the caller may not.
        """
        caller.require(Operation.MANAGE_KEYS)
        _note(_checked(key_id))
        check_range("overlap_seconds", overlap_seconds, 0, MAX_OVERLAP_SECONDS)
        key = await self._rows.get(key_id, reach(caller))
        await self._check_may_use(caller, key)
        text, parsed = new_key(key_id)
        overlap = timedelta(seconds=overlap_seconds)
        rotated = await self._rows.rotate(key_id, reach(caller), parsed, overlap)
        self._keys.forget(key_id)
        return rotated, text

    async def revoke(self, caller: Caller, key_id: str, secret_id: str = "") -> None:
        """Revokes a key of the caller's tenant, or of any for home admins; or one of its secrets.

        Raises:
            NotFoundError: there is no such live one.
        """
        caller.require(Operation.MANAGE_KEYS)
        _note(_checked(key_id))
        check_text("secret_id", secret_id, limit=64)
        if secret_id:
            note_detail("secret_id", secret_id)
            await self._rows.revoke_secret(key_id, reach(caller), secret_id)
        else:
            await self._rows.revoke(key_id, reach(caller))
        self._keys.forget(key_id)

    async def _role(self, caller: Caller, owner: str, new: NewKey) -> Role:
        """Returns the role to store, after looking that the caller may give it."""
        if new.user_id:
            await self._check_user(caller, owner, new.user_id)
        if new.role and new.grants:
            raise InvalidArgumentError.for_field("role", "give either a role or grants")
        if new.grants or (new.user_id and not new.role):
            return Role.CUSTOM
        try:
            role = Role.named(new.role or Role.VIEWER.label)
        except KeyError:
            raise InvalidArgumentError.for_field(
                "role", "must be viewer, editor, operator or admin; others go into grants"
            ) from None
        check_may_give(caller, [builtin_grant(role)])
        return role

    async def _check_user(self, caller: Caller, tenant: str, user_id: str) -> None:
        check_name("user_id", user_id, MAX_ID_CHARACTERS)
        try:
            await self._directory.get_user(tenant, user_id)
        except NotFoundError as error:
            raise InvalidArgumentError.for_field("user_id", error.message) from None
        owner = await self._directory.standing_of(tenant, user_id)
        check_may_give(caller, owner.user_grants)

    async def _check_may_use(self, caller: Caller, key: ApiKey) -> None:
        """Refuses a secret of a key that may more than the caller: it would be a way up."""
        if key.role is not Role.CUSTOM:
            check_may_give(caller, [builtin_grant(key.role)])
            return
        found = await self._directory.resolve(key.tenant, key.grants)
        check_may_give(caller, [each for each in found if each is not None])
        if key.user_id:
            owner = await self._directory.standing_of(key.tenant, key.user_id)
            check_may_give(caller, owner.user_grants)


def _principals(given: Sequence[str] | None, key_id: str) -> tuple[str, ...]:
    if given is None:
        given = (EVERYONE,)
    check_range("principals (entries)", len(given), 0, _MAX_PRINCIPALS)
    for index, principal in enumerate(given):
        check_name(f"principals[{index}]", principal, 256)
    return tuple(dict.fromkeys((*given, f"key:{key_id}")))


def _kind(text: str) -> KeyKind:
    try:
        return KeyKind(text or KeyKind.USER)
    except ValueError:
        raise InvalidArgumentError.for_field("kind", "must be 'user' or 'service'") from None


def _checked(key_id: str) -> str:
    return check_text("key_id", key_id, limit=64, required=True)


def _note(key_id: str) -> None:
    note_detail("managed_key", key_id)
