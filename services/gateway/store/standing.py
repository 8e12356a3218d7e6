"""What a credential's owner may do: grants of keys, users and groups, resolved to permissions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from services.gateway.identity.directory import RoleGrant, Standing
from services.gateway.identity.grants import Grant
from services.gateway.identity.permissions import Operation, Role
from services.gateway.store.identity_tables import grants, members, roles, tenants, users
from services.rpc.scope import TenantClass

if TYPE_CHECKING:
    from sqlalchemy import Connection

_BUILTIN = {role.label: role.permissions for role in Role if role is not Role.CUSTOM}
_BY_LABEL = {operation.label: operation for operation in Operation}


def replace_grants(
    connection: Connection, tenant: str, subject: str, given: Iterable[RoleGrant]
) -> None:
    """Makes these the subject's grants."""
    connection.execute(delete(grants).where(grants.c.tenant == tenant, grants.c.subject == subject))
    rows = {
        (each.role, collection): None for each in given for collection in each.collections or ("",)
    }
    if rows:
        connection.execute(
            grants.insert(),
            [
                {"tenant": tenant, "subject": subject, "role": role, "collection": collection}
                for role, collection in rows
            ],
        )


def read_grants(
    connection: Connection, tenant: str, subjects: Iterable[str]
) -> dict[str, tuple[RoleGrant, ...]]:
    """Returns the grants of each subject that has any."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    names = list(subjects)
    for start in range(0, len(names), 500):
        rows = connection.execute(
            select(grants.c.subject, grants.c.role, grants.c.collection)
            .where(grants.c.tenant == tenant, grants.c.subject.in_(names[start : start + 500]))
            .order_by(grants.c.role, grants.c.collection)
        ).all()
        for subject, role, collection in rows:
            found[subject][role].append(collection)
    return {
        subject: tuple(
            # One row for all collections makes the others say nothing new.
            RoleGrant(role, () if "" in named else tuple(named))
            for role, named in by_role.items()
        )
        for subject, by_role in found.items()
    }


def standing(
    connection: Connection,
    tenant: str,
    *,
    key_id: str = "",
    user_id: str = "",
    claimed_groups: Sequence[str] = (),
) -> Standing:
    """Returns what is known of a credential's owner.

    Args:
        connection: Database.
        tenant: Whose credential it is.
        key_id: The key, when it is one.
        user_id: The key's user or the token's subject; empty: none. A key's user must be known, a
            token's subject need not.
        claimed_groups: Groups that the token names.
    """
    row = connection.execute(select(tenants).where(tenants.c.tenant == tenant)).first()
    if row is None:
        return Standing(is_open=False, tenant_class=TenantClass.STANDARD)
    tenant_class = TenantClass(row.tenant_class)
    is_open, name, joined = not row.is_disabled, "", tuple(claimed_groups)
    subjects = [f"key:{key_id}"] if key_id else []
    if user_id:
        user = connection.execute(
            select(users).where(users.c.tenant == tenant, users.c.user_id == user_id)
        ).first()
        is_open = is_open and (not key_id if user is None else not user.is_disabled)
        name = user.name if user is not None else ""
        own = connection.scalars(
            select(members.c.group_name)
            .where(members.c.tenant == tenant, members.c.user_id == user_id)
            .order_by(members.c.group_name)
        )
        joined = tuple(dict.fromkeys((*own, *joined)))
        subjects.append(f"user:{user_id}")
    subjects += [f"group:{group}" for group in joined]
    given = read_grants(connection, tenant, subjects)
    named = {each.role for every in given.values() for each in every}
    known = known_roles(connection, tenant, named)

    def resolved(chosen: Iterable[str]) -> tuple[Grant, ...]:
        return tuple(
            Grant(each.role, known[each.role], each.collections)
            for subject in chosen
            for each in given.get(subject, ())
            if each.role in known
        )

    key = f"key:{key_id}"
    return Standing(
        is_open=is_open,
        tenant_class=tenant_class,
        groups=joined,
        own_grants=resolved([key]) if key_id else (),
        user_grants=resolved(each for each in subjects if each != key),
        user_name=name,
    )


def known_roles(
    connection: Connection, tenant: str, names: Iterable[str]
) -> dict[str, frozenset[Operation]]:
    """Returns what each of the roles allows that there are, built-in or of the tenant."""
    known = {name: _BUILTIN[name] for name in names if name in _BUILTIN}
    others = [name for name in names if name not in _BUILTIN]
    if others:
        rows = connection.execute(
            select(roles.c.role, roles.c.permissions).where(
                roles.c.tenant == tenant, roles.c.role.in_(others)
            )
        ).all()
        known |= {name: frozenset(operations_of(labels)) for name, labels in rows}
    return known


def operations_of(labels: Iterable[str]) -> tuple[Operation, ...]:
    """Returns the operations; labels of a newer version are passed over."""
    return tuple(_BY_LABEL[label] for label in labels if label in _BY_LABEL)
