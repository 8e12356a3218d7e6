"""Management of tenants, users, groups and roles by admins."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from services.gateway.audit.trail import note_subjects
from services.gateway.identity.directory import RoleGrant, TenantRole
from services.gateway.identity.grant_checks import check_may_give, checked_grants
from services.gateway.identity.grants import Grant
from services.gateway.identity.permissions import Operation, Role
from services.gateway.identity.tenancy import (
    MAX_ID_CHARACTERS,
    check_name,
    is_home,
    managed_tenant,
)
from services.gateway.pages import Page, page_size_of
from services.gateway.texts import check_range, check_text
from services.rpc.errors import (
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    Reason,
)
from services.rpc.scope import TenantClass

if TYPE_CHECKING:
    from services.gateway.identity.caller import Caller
    from services.gateway.identity.directory import Group, Tenant, User
    from services.gateway.store.directory import Directory

_ROLE = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_MAX_DESCRIPTION = 1_000
_MAX_GROUPS = 256
_BUILTIN = tuple(role for role in Role if role is not Role.CUSTOM)
_CLASSES = {each.name.lower(): each for each in TenantClass}

T = TypeVar("T")


class IdentityDesk:
    """What admins may do with those who belong to an installation.

    Args:
        directory: Where they are kept.
        changed: Called after each change: what credentials allow is to be looked up anew.
    """

    def __init__(self, directory: Directory, changed: Callable[[], None]) -> None:
        self._directory = directory
        self._changed = changed

    async def list_tenants(
        self, caller: Caller, page_size: int = 0, page_token: str = ""
    ) -> Page[Tenant]:
        """Returns a page of tenants: all for home admins, their own for others."""
        caller.require(Operation.MANAGE_USERS)
        only = None if is_home(caller) else caller.scope.tenant
        size, after = page_size_of(page_size), _after(page_token)
        found = await self._directory.list_tenants(only, after, size + 1)
        return _page(found, size, lambda each: each.tenant)

    async def get_tenant(self, caller: Caller, tenant: str) -> Tenant:
        """Returns a tenant.

        Raises:
            NotFoundError: there is none.
        """
        caller.require(Operation.MANAGE_USERS)
        found = await self._directory.list_tenants(managed_tenant(caller, tenant), "", 1)
        if not found:
            raise NotFoundError(Reason.SUBJECT_NOT_FOUND, "there is no such tenant")
        return found[0]

    async def put_tenant(
        self,
        caller: Caller,
        tenant: str,
        *,
        name: str = "",
        tenant_class: str = "",
        is_disabled: bool = False,
    ) -> tuple[Tenant, bool]:
        """Creates or changes a tenant; returns it and whether it is new.

        Raises:
            PermissionDeniedError: the caller is no home admin.
        """
        caller.require(Operation.MANAGE_TENANTS)
        check_name("tenant", tenant)
        if not is_home(caller):
            raise PermissionDeniedError(
                Reason.ROLE_REQUIRED, "only admins of the home tenant manage tenants"
            )
        if name:
            check_name("name", name, MAX_ID_CHARACTERS)
        if tenant_class and tenant_class not in _CLASSES:
            raise InvalidArgumentError.for_field(
                "tenant_class", f"must be one of {', '.join(_CLASSES)}"
            )
        if is_disabled and tenant == caller.scope.tenant:
            raise InvalidArgumentError.for_field(
                "is_disabled", "nobody could enable the home tenant again"
            )
        changed = await self._directory.put_tenant(
            tenant,
            name=name or tenant,
            tenant_class=_CLASSES[tenant_class or "standard"],
            is_disabled=is_disabled,
        )
        self._changed()
        return changed

    async def list_users(
        self, caller: Caller, tenant: str = "", page_size: int = 0, page_token: str = ""
    ) -> Page[User]:
        """Returns a page of users."""
        caller.require(Operation.MANAGE_USERS)
        owner = managed_tenant(caller, tenant)
        size, after = page_size_of(page_size), _after(page_token)
        found = await self._directory.list_users(owner, after, size + 1)
        return _page(found, size, lambda each: each.user_id)

    async def get_user(self, caller: Caller, user_id: str, tenant: str = "") -> User:
        """Returns a user.

        Raises:
            NotFoundError: there is none.
        """
        caller.require(Operation.MANAGE_USERS)
        owner = managed_tenant(caller, tenant)
        return await self._directory.get_user(owner, _subject("user_id", user_id, "user"))

    async def put_user(
        self,
        caller: Caller,
        user_id: str,
        *,
        tenant: str = "",
        name: str = "",
        groups: Sequence[str] = (),
        grants: Sequence[RoleGrant] = (),
        is_disabled: bool = False,
    ) -> tuple[User, bool]:
        """Creates or replaces a user; returns it and whether it is new.

        Raises:
            InvalidArgumentError: a field is wrong.
            PermissionDeniedError: what is given is more than the caller may do.
        """
        caller.require(Operation.MANAGE_USERS)
        owner = managed_tenant(caller, tenant)
        _subject("user_id", user_id, "user")
        check_text("name", name, limit=MAX_ID_CHARACTERS)
        check_range("groups (entries)", len(groups), 0, _MAX_GROUPS)
        for index, group in enumerate(groups):
            check_name(f"groups[{index}]", group, MAX_ID_CHARACTERS)
        given = await checked_grants(caller, owner, grants, self._directory)
        inherited = await self._directory.standing_of(owner, "", groups)
        check_may_give(caller, inherited.user_grants)
        changed = await self._directory.put_user(
            owner, user_id, name=name, groups=groups, grants=given, is_disabled=is_disabled
        )
        self._changed()
        return changed

    async def delete_user(self, caller: Caller, user_id: str, tenant: str = "") -> None:
        """Deletes a user; keys of it are refused. To keep tokens out, disable the user instead.

        Raises:
            NotFoundError: there is none.
        """
        caller.require(Operation.MANAGE_USERS)
        owner = managed_tenant(caller, tenant)
        await self._directory.delete_user(owner, _subject("user_id", user_id, "user"))
        self._changed()

    async def list_groups(
        self, caller: Caller, tenant: str = "", page_size: int = 0, page_token: str = ""
    ) -> Page[Group]:
        """Returns a page of groups."""
        caller.require(Operation.MANAGE_USERS)
        owner = managed_tenant(caller, tenant)
        size, after = page_size_of(page_size), _after(page_token)
        found = await self._directory.list_groups(owner, after, size + 1)
        return _page(found, size, lambda each: each.group)

    async def get_group(self, caller: Caller, group: str, tenant: str = "") -> Group:
        """Returns a group.

        Raises:
            NotFoundError: there is none.
        """
        caller.require(Operation.MANAGE_USERS)
        owner = managed_tenant(caller, tenant)
        return await self._directory.get_group(owner, _subject("group", group, "group"))

    async def put_group(
        self,
        caller: Caller,
        group: str,
        *,
        tenant: str = "",
        description: str = "",
        grants: Sequence[RoleGrant] = (),
    ) -> tuple[Group, bool]:
        """Creates or replaces a group; its members stay. Returns it and whether it is new."""
        caller.require(Operation.MANAGE_USERS)
        owner = managed_tenant(caller, tenant)
        _subject("group", group, "group")
        check_text("description", description, limit=_MAX_DESCRIPTION)
        given = await checked_grants(caller, owner, grants, self._directory)
        changed = await self._directory.put_group(
            owner, group, description=description, grants=given
        )
        self._changed()
        return changed

    async def delete_group(self, caller: Caller, group: str, tenant: str = "") -> None:
        """Deletes a group.

        Raises:
            NotFoundError: there is none.
        """
        caller.require(Operation.MANAGE_USERS)
        owner = managed_tenant(caller, tenant)
        await self._directory.delete_group(owner, _subject("group", group, "group"))
        self._changed()

    async def list_roles(self, caller: Caller, tenant: str = "") -> tuple[TenantRole, ...]:
        """Returns the built-in roles, then those of the tenant."""
        caller.require(Operation.MANAGE_USERS)
        own = await self._directory.list_roles(managed_tenant(caller, tenant))
        return (*(_builtin(role) for role in _BUILTIN), *own)

    async def get_role(self, caller: Caller, role: str, tenant: str = "") -> TenantRole:
        """Returns a role.

        Raises:
            NotFoundError: there is none.
        """
        for each in await self.list_roles(caller, tenant):
            if each.role == role:
                return each
        raise NotFoundError(Reason.SUBJECT_NOT_FOUND, "there is no such role in this tenant")

    async def put_role(
        self,
        caller: Caller,
        role: str,
        *,
        tenant: str = "",
        description: str = "",
        permissions: Sequence[str] = (),
    ) -> tuple[TenantRole, bool]:
        """Creates or replaces a role of the tenant; returns it and whether it is new.

        Raises:
            InvalidArgumentError: a field is wrong, or the role is built in.
            PermissionDeniedError: it allows what the caller may not do.
        """
        caller.require(Operation.MANAGE_USERS)
        owner = managed_tenant(caller, tenant)
        _check_own_role(role)
        check_text("description", description, limit=_MAX_DESCRIPTION)
        check_range("permissions (entries)", len(permissions), 1, len(Operation))
        allowed = []
        for index, label in enumerate(permissions):
            try:
                allowed.append(Operation.labelled(label))
            except KeyError:
                raise InvalidArgumentError.for_field(
                    f"permissions[{index}]", "is not an operation; see /v1/roles"
                ) from None
        check_may_give(caller, [Grant(role, frozenset(allowed))])
        changed = await self._directory.put_role(
            owner, role, description=description, permissions=allowed
        )
        self._changed()
        return changed

    async def delete_role(self, caller: Caller, role: str, tenant: str = "") -> None:
        """Deletes a role of the tenant.

        Raises:
            NotFoundError: there is none.
            FailedPreconditionError: somebody has it.
        """
        caller.require(Operation.MANAGE_USERS)
        owner = managed_tenant(caller, tenant)
        _check_own_role(role)
        await self._directory.delete_role(owner, role)
        self._changed()


def _subject(field: str, text: str, kind: str) -> str:
    check_name(field, text, MAX_ID_CHARACTERS)
    note_subjects(kind, (text,))
    return text


def _check_own_role(role: str) -> None:
    if not _ROLE.fullmatch(role):
        raise InvalidArgumentError.for_field(
            "role", "must be 1 to 63 of a-z, 0-9, '-' and '_', beginning with a letter"
        )
    if role in {each.label for each in Role}:
        raise InvalidArgumentError.for_field("role", "is built in and stays as it is")
    note_subjects("role", (role,))


def _builtin(role: Role) -> TenantRole:
    return TenantRole(
        tenant="",
        role=role.label,
        description=_DESCRIPTIONS[role],
        permissions=tuple(each for each in Operation if each in role.permissions),
        is_builtin=True,
    )


_DESCRIPTIONS = {
    Role.VIEWER: "Reads and asks.",
    Role.EDITOR: "Also brings documents in and takes them out.",
    Role.OPERATOR: "Also deletes collections, manages sources, and sees usage and all documents.",
    Role.ADMIN: "Also manages tenants, users, groups, roles and keys, and reads the audit log.",
}


def _page(found: tuple[T, ...], size: int, key: Callable[[T], str]) -> Page[T]:
    """Returns a page of what was asked for with one entry more."""
    entries = found[:size]
    if len(found) <= size:
        return Page(entries, "")
    return Page(entries, base64.urlsafe_b64encode(key(entries[-1]).encode()).decode())


def _after(token: str) -> str:
    check_text("page_token", token, limit=2_048)
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode("utf-8")
    except ValueError:
        raise InvalidArgumentError.for_field(
            "page_token", "is not one this list returned", Reason.INVALID_PAGE_TOKEN
        ) from None
