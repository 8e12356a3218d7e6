"""Tenants, users, groups, roles and grants in SQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import and_, delete, func, select

from services.gateway.identity.directory import (
    Group,
    RoleGrant,
    Standing,
    Tenant,
    TenantRole,
    User,
)
from services.gateway.identity.grants import Grant
from services.gateway.identity.permissions import Operation
from services.gateway.store.identity_tables import grants, groups, members, roles, tenants, users
from services.gateway.store.standing import (
    known_roles,
    operations_of,
    read_grants,
    replace_grants,
    standing,
)
from services.gateway.store.tables import api_keys, read_time, time_text
from services.rpc.errors import FailedPreconditionError, NotFoundError, Reason
from services.rpc.scope import TenantClass
from services.sql.engine import upserts

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row, Table

    from services.sql.reader import Reader
    from services.sql.writer import GroupWriter


T = TypeVar("T")

_MAX_ROLES = 200
_groups = groups
"""The table: methods have parameters of that name."""


class Directory:
    """Keeps who belongs to an installation.

    Args:
        reader: For look-ups.
        writer: For changes.
        now: The time.
    """

    def __init__(
        self,
        reader: Reader,
        writer: GroupWriter,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._now = now

    async def adopt_tenants(self) -> None:
        """Makes the tenants known that have keys: those made before tenants were kept."""

        def adopt(connection: Connection) -> None:
            for tenant in connection.scalars(select(api_keys.c.tenant).distinct()).all():
                ensure_tenant(connection, tenant, self._now())

        await self._writer.run(adopt)

    async def standing_of(
        self, tenant: str, user_id: str, claimed_groups: Sequence[str] = ()
    ) -> Standing:
        """Returns what is known of a user; see `standing`."""
        return await self._reader.run(
            lambda connection: standing(
                connection, tenant, user_id=user_id, claimed_groups=claimed_groups
            )
        )

    async def list_tenants(self, only: str | None, after: str, limit: int) -> tuple[Tenant, ...]:
        """Returns tenants in order of their identifiers: all, or one."""
        query = select(tenants).where(tenants.c.tenant > after).order_by(tenants.c.tenant)
        if only is not None:
            query = query.where(tenants.c.tenant == only)
        rows = await self._reader.run(lambda c: c.execute(query.limit(limit)).all())
        return tuple(_tenant(row) for row in rows)

    async def put_tenant(
        self, tenant: str, *, name: str, tenant_class: TenantClass, is_disabled: bool
    ) -> tuple[Tenant, bool]:
        """Creates or changes a tenant; returns it and whether it is new."""
        values = {
            "name": name,
            "tenant_class": int(tenant_class),
            "is_disabled": is_disabled,
        }

        def put(connection: Connection) -> tuple[Tenant, bool]:
            is_new = self._put(connection, tenants, {"tenant": tenant}, values)
            row = connection.execute(select(tenants).where(tenants.c.tenant == tenant)).one()
            return _tenant(row), is_new

        return await self._writer.run(put)

    async def list_users(self, tenant: str, after: str, limit: int) -> tuple[User, ...]:
        """Returns users in order of their identifiers."""

        def find(connection: Connection) -> tuple[User, ...]:
            rows = connection.execute(
                select(users)
                .where(users.c.tenant == tenant, users.c.user_id > after)
                .order_by(users.c.user_id)
                .limit(limit)
            ).all()
            return _users(connection, tenant, rows)

        return await self._reader.run(find)

    async def get_user(self, tenant: str, user_id: str) -> User:
        """Returns a user.

        Raises:
            NotFoundError: there is none.
        """

        def find(connection: Connection) -> tuple[User, ...]:
            return _users(connection, tenant, _user_rows(connection, tenant, user_id))

        return _one(await self._reader.run(find), "user")

    async def put_user(
        self,
        tenant: str,
        user_id: str,
        *,
        name: str,
        groups: Sequence[str],
        grants: Sequence[RoleGrant],
        is_disabled: bool,
    ) -> tuple[User, bool]:
        """Creates or replaces a user; returns it and whether it is new. New groups are made."""

        def put(connection: Connection) -> tuple[User, bool]:
            key = {"tenant": tenant, "user_id": user_id}
            is_new = self._put(connection, users, key, {"name": name, "is_disabled": is_disabled})
            mine = and_(members.c.tenant == tenant, members.c.user_id == user_id)
            connection.execute(delete(members).where(mine))
            for group in dict.fromkeys(groups):
                self._put(
                    connection,
                    _groups,
                    {"tenant": tenant, "group_name": group},
                    {"description": ""},
                    replace=False,
                )
                connection.execute(members.insert().values(group_name=group, **key))
            replace_grants(connection, tenant, f"user:{user_id}", grants)
            found = _users(connection, tenant, _user_rows(connection, tenant, user_id))
            return found[0], is_new

        return await self._writer.run(put)

    async def delete_user(self, tenant: str, user_id: str) -> None:
        """Deletes a user with its memberships and grants; keys of it open nothing any more.

        Raises:
            NotFoundError: there is none.
        """

        def remove(connection: Connection) -> int:
            for table in (members, users):
                found = connection.execute(
                    delete(table).where(table.c.tenant == tenant, table.c.user_id == user_id)
                )
            replace_grants(connection, tenant, f"user:{user_id}", ())
            return found.rowcount

        _check_found(await self._writer.run(remove), "user")

    async def list_groups(self, tenant: str, after: str, limit: int) -> tuple[Group, ...]:
        """Returns groups in order of their names."""

        def find(connection: Connection) -> tuple[Group, ...]:
            rows = connection.execute(
                select(_groups)
                .where(_groups.c.tenant == tenant, _groups.c.group_name > after)
                .order_by(_groups.c.group_name)
                .limit(limit)
            ).all()
            return _group_values(connection, tenant, rows)

        return await self._reader.run(find)

    async def get_group(self, tenant: str, group: str) -> Group:
        """Returns a group.

        Raises:
            NotFoundError: there is none.
        """

        def find(connection: Connection) -> tuple[Group, ...]:
            return _group_values(connection, tenant, _group_rows(connection, tenant, group))

        return _one(await self._reader.run(find), "group")

    async def put_group(
        self, tenant: str, group: str, *, description: str, grants: Sequence[RoleGrant]
    ) -> tuple[Group, bool]:
        """Creates or replaces a group; its members stay. Returns it and whether it is new."""

        def put(connection: Connection) -> tuple[Group, bool]:
            key = {"tenant": tenant, "group_name": group}
            is_new = self._put(connection, _groups, key, {"description": description})
            replace_grants(connection, tenant, f"group:{group}", grants)
            found = _group_values(connection, tenant, _group_rows(connection, tenant, group))
            return found[0], is_new

        return await self._writer.run(put)

    async def delete_group(self, tenant: str, group: str) -> None:
        """Deletes a group with its memberships and grants.

        Raises:
            NotFoundError: there is none.
        """

        def remove(connection: Connection) -> int:
            for table in (members, _groups):
                found = connection.execute(
                    delete(table).where(table.c.tenant == tenant, table.c.group_name == group)
                )
            replace_grants(connection, tenant, f"group:{group}", ())
            return found.rowcount

        _check_found(await self._writer.run(remove), "group")

    async def list_roles(self, tenant: str) -> tuple[TenantRole, ...]:
        """Returns the roles that a tenant made, in order of their names."""
        query = select(roles).where(roles.c.tenant == tenant).order_by(roles.c.role)
        rows = await self._reader.run(lambda c: c.execute(query.limit(_MAX_ROLES)).all())
        return tuple(_role(row) for row in rows)

    async def put_role(
        self, tenant: str, role: str, *, description: str, permissions: Sequence[Operation]
    ) -> tuple[TenantRole, bool]:
        """Creates or replaces a role; returns it and whether it is new."""
        values = {
            "description": description,
            "permissions": sorted({each.label for each in permissions}),
        }

        def put(connection: Connection) -> tuple[TenantRole, bool]:
            is_new = self._put(connection, roles, {"tenant": tenant, "role": role}, values)
            count = connection.scalar(
                select(func.count()).select_from(roles).where(roles.c.tenant == tenant)
            )
            if count is not None and count > _MAX_ROLES:
                raise FailedPreconditionError(
                    Reason.STATE_CONFLICT,
                    f"a tenant has at most {_MAX_ROLES} roles of its own: delete one",
                )
            one = and_(roles.c.tenant == tenant, roles.c.role == role)
            return _role(connection.execute(select(roles).where(one)).one()), is_new

        return await self._writer.run(put)

    async def delete_role(self, tenant: str, role: str) -> None:
        """Deletes a role.

        Raises:
            NotFoundError: there is none.
            FailedPreconditionError: somebody has it.
        """

        def remove(connection: Connection) -> int:
            held = connection.scalar(
                select(func.count())
                .select_from(grants)
                .where(grants.c.tenant == tenant, grants.c.role == role)
            )
            if held:
                raise FailedPreconditionError(
                    Reason.STATE_CONFLICT, f"{held} grants give this role: take them back first"
                )
            return connection.execute(
                delete(roles).where(roles.c.tenant == tenant, roles.c.role == role)
            ).rowcount

        _check_found(await self._writer.run(remove), "role")

    async def resolve(self, tenant: str, given: Iterable[RoleGrant]) -> tuple[Grant | None, ...]:
        """Returns what each grant allows; None for roles that there are not."""
        wanted = tuple(given)

        def find(connection: Connection) -> tuple[Grant | None, ...]:
            known = known_roles(connection, tenant, {each.role for each in wanted})
            return tuple(
                Grant(each.role, known[each.role], each.collections) if each.role in known else None
                for each in wanted
            )

        return await self._reader.run(find)

    def _put(
        self,
        connection: Connection,
        table: Table,
        key: dict[str, Any],
        values: dict[str, Any],
        *,
        replace: bool = True,
    ) -> bool:
        """Inserts a row or changes the one there is; returns whether it is new."""
        now = time_text(self._now())
        one = and_(*(table.c[name] == value for name, value in key.items()))
        if connection.execute(select(table.c.created_at).where(one)).first() is not None:
            if replace:
                connection.execute(table.update().where(one).values(updated_at=now, **values))
            return False
        insert = upserts(connection)(table).values(created_at=now, updated_at=now, **key, **values)
        change = {**values, "updated_at": now}
        connection.execute(
            insert.on_conflict_do_update(index_elements=list(key), set_=change)
            if replace
            else insert.on_conflict_do_nothing()
        )
        return True


def ensure_tenant(connection: Connection, tenant: str, now: datetime) -> None:
    """Makes a tenant of the standard class unless there is one."""
    stamp = time_text(now)
    insert = upserts(connection)(tenants).values(
        tenant=tenant,
        name=tenant,
        tenant_class=int(TenantClass.STANDARD),
        is_disabled=False,
        created_at=stamp,
        updated_at=stamp,
    )
    connection.execute(insert.on_conflict_do_nothing())


def _user_rows(connection: Connection, tenant: str, user_id: str) -> Sequence[Row]:
    one = and_(users.c.tenant == tenant, users.c.user_id == user_id)
    return connection.execute(select(users).where(one)).all()


def _users(connection: Connection, tenant: str, rows: Sequence[Row]) -> tuple[User, ...]:
    ids = [row.user_id for row in rows]
    given = read_grants(connection, tenant, [f"user:{each}" for each in ids])
    joined: dict[str, list[str]] = defaultdict(list)
    found = connection.execute(
        select(members.c.user_id, members.c.group_name)
        .where(members.c.tenant == tenant, members.c.user_id.in_(ids))
        .order_by(members.c.group_name)
    ).all()
    for user_id, group in found:
        joined[user_id].append(group)
    return tuple(
        User(
            tenant=tenant,
            user_id=row.user_id,
            name=row.name,
            groups=tuple(joined[row.user_id]),
            grants=given.get(f"user:{row.user_id}", ()),
            is_disabled=bool(row.is_disabled),
            created_at=_time(row.created_at),
            updated_at=_time(row.updated_at),
        )
        for row in rows
    )


def _group_rows(connection: Connection, tenant: str, group: str) -> Sequence[Row]:
    one = and_(groups.c.tenant == tenant, groups.c.group_name == group)
    return connection.execute(select(groups).where(one)).all()


def _group_values(connection: Connection, tenant: str, rows: Sequence[Row]) -> tuple[Group, ...]:
    names = [row.group_name for row in rows]
    given = read_grants(connection, tenant, [f"group:{name}" for name in names])
    counted = connection.execute(
        select(members.c.group_name, func.count().label("count"))
        .where(members.c.tenant == tenant, members.c.group_name.in_(names))
        .group_by(members.c.group_name)
    ).all()
    counts = {row[0]: row[1] for row in counted}
    return tuple(
        Group(
            tenant=tenant,
            group=row.group_name,
            description=row.description,
            grants=given.get(f"group:{row.group_name}", ()),
            member_count=counts.get(row.group_name, 0),
            created_at=_time(row.created_at),
            updated_at=_time(row.updated_at),
        )
        for row in rows
    )


def _tenant(row: Row) -> Tenant:
    return Tenant(
        tenant=row.tenant,
        name=row.name,
        tenant_class=TenantClass(row.tenant_class),
        is_disabled=bool(row.is_disabled),
        created_at=_time(row.created_at),
        updated_at=_time(row.updated_at),
    )


def _role(row: Row) -> TenantRole:
    return TenantRole(
        tenant=row.tenant,
        role=row.role,
        description=row.description,
        permissions=operations_of(row.permissions),
        is_builtin=False,
        created_at=_time(row.created_at),
        updated_at=_time(row.updated_at),
    )


def _time(text: str) -> datetime:
    found = read_time(text)
    assert found is not None
    return found


def _one(found: tuple[T, ...], what: str) -> T:
    if not found:
        raise _missing(what)
    return found[0]


def _check_found(count: int, what: str) -> None:
    if not count:
        raise _missing(what)


def _missing(what: str) -> NotFoundError:
    return NotFoundError(Reason.SUBJECT_NOT_FOUND, f"there is no such {what} in this tenant")
