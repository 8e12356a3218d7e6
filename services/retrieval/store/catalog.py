"""Collections, aliases and sequence numbers in SQL."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, text, update

from services.retrieval.collections import Alias, Collection, CollectionSettings
from services.retrieval.store import codec, counts
from services.retrieval.store.tables import (
    aliases,
    catalog,
    collections,
    deletions,
    documents,
    dropped,
    tenants,
    token_codes,
)
from services.rpc.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    NotFoundError,
    Reason,
)
from services.sql.engine import upserts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from services.filters.values import FieldType


_SOME = text(
    "SELECT document_id FROM retrieval_documents WHERE collection_id = :collection LIMIT :limit"
)


def prepare(connection: Connection) -> None:
    """Writes the catalog's one row."""
    connection.execute(
        upserts(connection)(catalog).values(id=1, version=1).on_conflict_do_nothing()
    )


def version(connection: Connection) -> int:
    """Returns the number that rises with every change of the catalog."""
    return connection.scalar(select(catalog.c.version)) or 0


def create(
    connection: Connection, tenant: str, name: str, settings: CollectionSettings, now_micros: int
) -> tuple[Collection, bool]:
    """Creates a collection; returns it and whether it was there before.

    Raises:
        AlreadyExistsError: it exists with other settings, or the name is an alias.
    """
    connection.execute(
        upserts(connection)(tenants).values(tenant=tenant, seq=0).on_conflict_do_nothing()
    )
    lock_tenant(connection, tenant)
    found = _by_name(connection, tenant, name)
    if found is not None:
        if not _is_same(connection, found, settings):
            raise AlreadyExistsError(
                Reason.COLLECTION_EXISTS,
                f"the collection {name!r} exists with other settings",
                metadata={"collection": name},
            )
        return found, True
    if _alias_target(connection, tenant, name) is not None:
        raise AlreadyExistsError(
            Reason.COLLECTION_EXISTS, f"{name!r} is an alias", metadata={"collection": name}
        )
    seq = next_seq(connection, tenant, name)
    connection.execute(
        insert(collections).values(
            tenant=tenant,
            name=name,
            settings=codec.dump_settings(settings),
            fields=codec.dump_fields(settings.fields),
            created_micros=now_micros,
            seq=seq,
        )
    )
    bump(connection)
    created = _by_name(connection, tenant, name)
    if created is None:
        raise NotFoundError(Reason.COLLECTION_NOT_FOUND, f"the collection {name!r} vanished")
    return created, False


def update_settings(
    connection: Connection,
    tenant: str,
    name: str,
    change: Callable[[CollectionSettings], CollectionSettings],
) -> Collection:
    """Changes a collection's settings and returns it.

    Args:
        connection: An open transaction.
        tenant: Owner of the collection.
        name: Collection or alias.
        change: Returns the new settings for the old.

    Raises:
        NotFoundError: the tenant has no such collection.
    """
    lock_tenant(connection, tenant)
    found = resolve(connection, tenant, name)
    settings = change(found.settings)
    connection.execute(
        update(collections)
        .where(collections.c.id == found.id)
        .values(settings=codec.dump_settings(settings), fields=codec.dump_fields(settings.fields))
    )
    bump(connection)
    return replace(found, settings=settings)


def resolve(connection: Connection, tenant: str, name: str) -> Collection:
    """Returns the collection of that name or alias.

    Raises:
        NotFoundError: the tenant has none.
    """
    found = _by_name(connection, tenant, name)
    if found is None:
        target = _alias_target(connection, tenant, name)
        found = None if target is None else by_id(connection, target)
    if found is None:
        raise not_found(name)
    return found


def not_found(name: str) -> NotFoundError:
    """Returns the error for a collection that does not exist."""
    return NotFoundError(
        Reason.COLLECTION_NOT_FOUND,
        f"there is no collection {name!r}",
        metadata={"collection": name},
    )


def by_id(connection: Connection, collection_id: int) -> Collection | None:
    """Returns the collection of that id."""
    row = connection.execute(select(collections).where(collections.c.id == collection_id)).first()
    return None if row is None else _collection(row)


def newest_first(connection: Connection) -> list[Collection]:
    """Returns all collections of all tenants, the newest written first."""
    rows = connection.execute(select(collections).order_by(collections.c.seq.desc()))
    return [_collection(row) for row in rows]


def list_page(connection: Connection, tenant: str, after: str, limit: int) -> list[Collection]:
    """Returns collections in order of their names, beginning after one."""
    # Names are ASCII: sorting here makes the order independent of the database's collation.
    query = select(collections).where(collections.c.tenant == tenant)
    found = sorted(map(_collection, connection.execute(query)), key=lambda each: each.name)
    return [each for each in found if each.name > after][:limit]


def drop(connection: Connection, tenant: str, name: str) -> int:
    """Deletes a collection and its aliases; returns its id. `purge` deletes what was in it.

    Raises:
        NotFoundError: there is none of that name.
        FailedPreconditionError: the name is an alias.
    """
    lock_tenant(connection, tenant)
    found = _by_name(connection, tenant, name)
    if found is None:
        if _alias_target(connection, tenant, name) is not None:
            raise FailedPreconditionError(
                Reason.STATE_CONFLICT,
                f"{name!r} is an alias: delete the collection by its own name",
                metadata={"state": "alias"},
            )
        raise not_found(name)
    next_seq(connection, tenant, name)
    connection.execute(delete(aliases).where(aliases.c.collection_id == found.id))
    connection.execute(delete(collections).where(collections.c.id == found.id))
    connection.execute(insert(dropped).values(collection_id=found.id))
    bump(connection)
    return found.id


def has_dropped(connection: Connection) -> bool:
    """Whether documents of dropped collections are left."""
    return connection.execute(select(dropped.c.collection_id).limit(1)).first() is not None


def purge(connection: Connection, limit: int) -> None:
    """Deletes some documents of collections that were dropped.

    Args:
        connection: An open transaction.
        limit: Documents to delete at most: the transaction of a large collection would hold up all
            writers, and need space that a full disk does not have.
    """
    collection_id = connection.scalar(select(dropped.c.collection_id).limit(1))
    if collection_id is None:
        return
    where = {"collection": collection_id, "limit": limit}
    ids = list(connection.scalars(_SOME, where))
    if ids:
        for table in (token_codes, documents):
            statement = f"DELETE FROM {table.name}"  # noqa: S608 - a name of ours
            counts.execute_for(connection, statement, collection_id, ids)
        return
    for table in (deletions, dropped):
        connection.execute(delete(table).where(table.c.collection_id == collection_id))


def set_alias(connection: Connection, tenant: str, alias: Alias) -> str:
    """Points an alias at a collection; returns the collection it stood for before, or "".

    Raises:
        NotFoundError: there is no such collection.
        AlreadyExistsError: the alias has the name of a collection.
    """
    lock_tenant(connection, tenant)
    target = _by_name(connection, tenant, alias.collection)
    if target is None:
        raise not_found(alias.collection)
    if _by_name(connection, tenant, alias.name) is not None:
        raise AlreadyExistsError(
            Reason.COLLECTION_EXISTS,
            f"{alias.name!r} is a collection",
            metadata={"collection": alias.name},
        )
    former = _alias_target(connection, tenant, alias.name)
    statement = upserts(connection)(aliases).values(
        tenant=tenant, name=alias.name, collection_id=target.id
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["tenant", "name"], set_={"collection_id": target.id}
        )
    )
    bump(connection)
    before = None if former is None else by_id(connection, former)
    return "" if before is None else before.name


def delete_alias(connection: Connection, tenant: str, name: str) -> None:
    """Removes an alias.

    Raises:
        NotFoundError: there is none of that name.
    """
    gone = connection.execute(
        delete(aliases).where(aliases.c.tenant == tenant, aliases.c.name == name)
    )
    if gone.rowcount == 0:
        raise NotFoundError(
            Reason.ALIAS_NOT_FOUND, f"there is no alias {name!r}", metadata={"alias": name}
        )
    bump(connection)


def list_aliases(connection: Connection, tenant: str) -> list[Alias]:
    """Returns the tenant's aliases in order of their names."""
    rows = connection.execute(
        select(aliases.c.name, collections.c.name)
        .join(collections, collections.c.id == aliases.c.collection_id)
        .where(aliases.c.tenant == tenant)
    )
    return sorted((Alias(name, target) for name, target in rows), key=lambda each: each.name)


def lock_tenant(connection: Connection, tenant: str) -> None:
    """Makes the tenant's writers wait for this transaction, whichever process they run in."""
    # An update, not SELECT … FOR UPDATE: SQLite has none, and needs none.
    connection.execute(update(tenants).where(tenants.c.tenant == tenant).values(seq=tenants.c.seq))


_NEXT_SEQ = (
    update(tenants)
    .where(tenants.c.tenant == bindparam("of"))
    .values(seq=tenants.c.seq + 1)
    .returning(tenants.c.seq)
)
"""Each write runs it: making a statement takes as long as SQLite takes to run it."""


def next_seq(connection: Connection, tenant: str, name: str) -> int:
    """Takes the tenant's next sequence number; until the commit no other writer gets one.

    Raises:
        NotFoundError: the tenant never had a collection, so none of that name either.
    """
    seq = connection.scalar(_NEXT_SEQ, {"of": tenant})
    if seq is None:
        raise not_found(name)
    return seq


def set_fields(connection: Connection, collection_id: int, fields: Mapping[str, FieldType]) -> None:
    """Notes the fields' types after new ones were inferred."""
    connection.execute(
        update(collections)
        .where(collections.c.id == collection_id)
        .values(fields=codec.dump_fields(fields))
    )
    bump(connection)


def bump(connection: Connection) -> None:
    """Tells every process that the catalog changed."""
    connection.execute(update(catalog).values(version=catalog.c.version + 1))


_BY_NAME = select(collections).where(
    collections.c.tenant == bindparam("of"), collections.c.name == bindparam("called")
)


def _by_name(connection: Connection, tenant: str, name: str) -> Collection | None:
    row = connection.execute(_BY_NAME, {"of": tenant, "called": name}).first()
    return None if row is None else _collection(row)


def _alias_target(connection: Connection, tenant: str, name: str) -> int | None:
    return connection.scalar(
        select(aliases.c.collection_id).where(aliases.c.tenant == tenant, aliases.c.name == name)
    )


def _collection(row: Row[Any]) -> Collection:
    return Collection(
        id=row.id,
        tenant=row.tenant,
        name=row.name,
        settings=codec.load_settings(row.settings, codec.load_fields(row.fields)),
        created_micros=row.created_micros,
        seq=row.seq,
    )


def _is_same(connection: Connection, found: Collection, wanted: CollectionSettings) -> bool:
    """Whether a collection was declared as wanted.

    Its description and inferred fields do not matter, nor settings that may change later and that
    the request leaves to the service.
    """
    text = connection.scalar(select(collections.c.settings).where(collections.c.id == found.id))
    declared, asked = json.loads(text or "{}"), json.loads(codec.dump_settings(wanted))
    for key in ("index_type", "index_parameters", "tier", "tier_policy", "schema_policy"):
        if not asked.get(key):
            declared.pop(key, None)
            asked.pop(key, None)
    # Fields declared since count as declared; only what is asked for must be so.
    fields, wanted_fields = declared.pop("fields", {}), asked.pop("fields", {})
    for each in (declared, asked):
        each.pop("description", None)
    return declared == asked and wanted_fields.items() <= fields.items()
