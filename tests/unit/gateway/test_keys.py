"""Keys, their store, rotation, the first start."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, MetaData, select
from sqlalchemy import text as sql

from services.gateway.bootstrap import ensure_admin_key, read_or_make, read_or_make_pepper
from services.gateway.identity import Caller, Grant, Operation, Role
from services.gateway.identity.desk import IdentityDesk
from services.gateway.identity.directory import RoleGrant
from services.gateway.key_desk import KeyDesk, NewKey
from services.gateway.keys import Peppers, new_key, parse_key, secret_hash
from services.gateway.store import tables
from services.gateway.store.directory import Directory
from services.gateway.store.key_rows import MAX_LIVE_SECRETS, KeyRows
from services.gateway.store.key_store import CACHE_SECONDS, KeyStore
from services.gateway.store.schemas import ensure_identity_tables
from services.rpc.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    StartupError,
    UnauthenticatedError,
)
from services.rpc.scope import Scope, TenantClass
from services.sql.engine import open_engine
from services.sql.reader import Reader
from services.sql.schema import ensure_schema
from services.sql.writer import GroupWriter
from tests.kit.postgres import database_url

__all__ = ["database_url"]

ADMIN = Caller("home", Role.ADMIN, Scope("default", ("everyone",), "key:home"))
PEPPER = b"p" * 32


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Parts:
    """A replica of the gateway, as far as keys go."""

    engine: Engine
    reader: Reader
    writer: GroupWriter
    clock: Clock
    peppers: Peppers

    def __post_init__(self) -> None:
        self.store = KeyStore(self.reader, self.writer, self.peppers, self.clock)
        self.rows = KeyRows(self.reader, self.writer, self.peppers)
        self.directory = Directory(self.reader, self.writer)
        self.desk = KeyDesk(self.rows, self.store, self.directory)
        self.people = IdentityDesk(self.directory, self.store.forget_all)

    def replica(self, peppers: Peppers | None = None) -> Parts:
        """Another one, over the same database."""
        return Parts(self.engine, self.reader, self.writer, Clock(), peppers or self.peppers)

    async def make(self, **fields: Any) -> tuple[str, str]:
        """Returns identifier and text of a fresh key."""
        key, secret = await self.desk.create(ADMIN, NewKey(**{"name": "x", **fields}))
        return key.key_id, secret


@pytest.fixture
async def parts(database_url: str) -> AsyncIterator[Parts]:
    engine = open_engine(database_url)
    ensure_identity_tables(engine)
    async with GroupWriter(engine) as writer, Reader(engine, 1) as reader:
        yield Parts(engine, reader, writer, Clock(), Peppers(PEPPER))
    engine.dispose()


def test_keys_parse_and_mistyped_ones_do_not() -> None:
    text, parsed = new_key()
    assert parse_key(text) == parsed
    assert text.startswith("crn_")
    for index in (5, 20, 40, len(text) - 1):
        other = "x" if text[index] != "x" else "y"
        assert parse_key(text[:index] + other + text[index + 1 :]) is None
    for broken in ("", "crn_", text[:-1], text + "0", text.upper(), f" {text}", "\ud800"):
        assert parse_key(broken) is None


def test_hash_depends_on_pepper_and_secret() -> None:
    (_, one), (_, two) = new_key(), new_key()
    assert secret_hash(PEPPER, one) == secret_hash(PEPPER, one)
    assert len({secret_hash(PEPPER, one), secret_hash(PEPPER, two), secret_hash(b"q", one)}) == 3


async def test_key_life(parts: Parts) -> None:
    key_id, text = await parts.make(name="ci", role="editor", tenant="acme")
    caller = await parts.store.accept(text)
    assert (caller.scope.tenant, caller.role) == ("acme", Role.EDITOR)
    assert caller.scope.principals == ("everyone", f"key:{key_id}")
    rows = await parts.reader.run(lambda c: c.execute(select(tables.key_secrets)).all())
    parsed = parse_key(text)
    assert parsed is not None
    assert all(parsed.secret not in str(row) for row in rows)
    await parts.desk.revoke(ADMIN, key_id)
    with pytest.raises(UnauthenticatedError):
        await parts.store.accept(text)


async def test_revocation_elsewhere_bites_when_the_cache_ends(parts: Parts) -> None:
    key_id, text = await parts.make()
    await parts.store.accept(text)
    await parts.replica().desk.revoke(ADMIN, key_id)
    await parts.store.accept(text)
    parts.clock.now += CACHE_SECONDS + 0.1
    with pytest.raises(UnauthenticatedError):
        await parts.store.accept(text)
    assert CACHE_SECONDS < 5


async def test_rotation_keeps_the_key_and_both_secrets_for_a_while(parts: Parts) -> None:
    key_id, old = await parts.make(role="editor")
    await parts.store.accept(old)
    key, new = await parts.desk.rotate(ADMIN, key_id, overlap_seconds=60)
    assert key.key_id == key_id
    assert parse_key(new) != parse_key(old)
    for text in (old, new):
        assert (await parts.store.accept(text)).key_id == key_id
    assert [each.expires_at is None for each in key.secrets] == [True, False]
    later = parts.replica()
    later.store = KeyStore(
        parts.reader,
        parts.writer,
        parts.peppers,
        now=lambda: datetime.now(UTC) + timedelta(seconds=61),
    )
    assert (await later.store.accept(new)).key_id == key_id
    with pytest.raises(UnauthenticatedError):
        await later.store.accept(old)


async def test_a_secret_made_elsewhere_is_accepted_at_once(parts: Parts) -> None:
    key_id, old = await parts.make()
    await parts.store.accept(old)  # the cache does not know the next one
    _, new = await parts.replica().desk.rotate(ADMIN, key_id)
    assert (await parts.store.accept(new)).key_id == key_id


async def test_wrong_secrets_of_a_known_key_are_looked_for_once(parts: Parts) -> None:
    key_id, text = await parts.make()
    await parts.store.accept(text)
    wrong, _ = new_key(key_id)
    parts.clock.now += 0.1
    asked = _count_reads(parts)
    for _ in range(20):
        parts.clock.now += 0.01
        with pytest.raises(UnauthenticatedError):
            await parts.store.accept(wrong)
    assert len(asked) == 1
    assert (await parts.store.accept(text)).key_id == key_id


async def test_many_at_once_ask_the_store_once(parts: Parts) -> None:
    _, text = await parts.make()
    asked = _count_reads(parts)
    await asyncio.gather(*(parts.store.accept(text) for _ in range(100)))
    assert len(asked) == 1


async def test_rotation_without_overlap_ends_the_old_secret_now(parts: Parts) -> None:
    key_id, old = await parts.make()
    _, new = await parts.desk.rotate(ADMIN, key_id, overlap_seconds=0)
    assert (await parts.store.accept(new)).key_id == key_id
    with pytest.raises(UnauthenticatedError):
        await parts.store.accept(old)


async def test_live_secrets_are_bounded_and_each_can_be_revoked(parts: Parts) -> None:
    key_id, first = await parts.make()
    for _ in range(MAX_LIVE_SECRETS - 1):
        await parts.desk.rotate(ADMIN, key_id)
    with pytest.raises(FailedPreconditionError, match="live secrets"):
        await parts.desk.rotate(ADMIN, key_id)
    oldest = (await parts.desk.get(ADMIN, key_id)).secrets[-1]
    await parts.desk.revoke(ADMIN, key_id, oldest.secret_id)
    with pytest.raises(UnauthenticatedError):
        await parts.store.accept(first)
    with pytest.raises(NotFoundError):
        await parts.desk.revoke(ADMIN, key_id, oldest.secret_id)
    await parts.desk.rotate(ADMIN, key_id)


async def test_use_is_written_for_key_and_secret(parts: Parts) -> None:
    key_id, old = await parts.make()
    await parts.store.accept(old)
    before = (await parts.desk.get(ADMIN, key_id)).last_used_at
    _, new = await parts.desk.rotate(ADMIN, key_id)
    await parts.store.accept(new)
    key = await parts.desk.get(ADMIN, key_id)
    assert before is not None
    assert key.last_used_at is not None
    assert key.last_used_at > before
    newest, oldest = key.secrets
    assert (newest.last_used_at, oldest.last_used_at) == (key.last_used_at, before)


async def test_wrong_secret_pepper_and_age_are_refused(parts: Parts) -> None:
    key_id, text = await parts.make()
    with pytest.raises(UnauthenticatedError):
        await parts.replica(Peppers(b"other pepper here")).store.accept(text)
    with pytest.raises(UnauthenticatedError):
        await parts.store.accept(new_key()[0])
    old_text, parsed = new_key()
    key = await parts.rows.get(key_id, None)
    old = replace(key, key_id=parsed.key_id, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    await parts.rows.add(old, parsed)
    with pytest.raises(UnauthenticatedError):
        await parts.store.accept(old_text)


async def test_a_new_pepper_takes_over_as_keys_are_used(parts: Parts) -> None:
    key_id, text = await parts.make()
    both = parts.replica(Peppers(b"n" * 32, [PEPPER]))
    assert (await both.store.accept(text)).key_id == key_id
    await both.store.flush()
    assert (await both.store.accept(text)).key_id == key_id
    only_new = parts.replica(Peppers(b"n" * 32))
    assert (await only_new.store.accept(text)).key_id == key_id
    with pytest.raises(UnauthenticatedError):
        await parts.replica().store.accept(text)


async def test_desk_keeps_tenants_apart(parts: Parts) -> None:
    desk = parts.desk
    other = Caller("x", Role.ADMIN, Scope("acme", ("everyone",), "key:x"))
    key_id, _ = await parts.make(role="admin")
    with pytest.raises(PermissionDeniedError):
        await desk.create(other, NewKey("x", tenant="default"))
    for call in (desk.get, desk.rotate, desk.revoke):
        with pytest.raises(NotFoundError, match="no live key"):
            await call(other, key_id)
    assert await desk.list_keys(other) == ()
    viewer = Caller("v", Role.VIEWER, ADMIN.scope)
    with pytest.raises(PermissionDeniedError):
        await desk.create(viewer, NewKey("x"))
    bad: list[dict[str, Any]] = [
        {"name": ""},
        {"name": "a\nb"},
        {"name": "x", "principals": ("",)},
        {"name": "x", "role": "king"},
        {"name": "x", "role": "viewer", "grants": (RoleGrant("viewer"),)},
        {"name": "x", "grants": (RoleGrant("nobody"),)},
        {"name": "x", "grants": (RoleGrant("viewer", ("Not A Name",)),)},
        {"name": "x", "user_id": "unknown"},
        {"name": "x", "kind": "robot"},
    ]
    for fields in bad:
        with pytest.raises(InvalidArgumentError):
            await desk.create(ADMIN, NewKey(**fields))


async def test_nobody_gives_what_they_may_not_do(parts: Parts) -> None:
    helper = replace(
        ADMIN,
        role=Role.CUSTOM,
        grants=(
            Grant("keys", frozenset({Operation.MANAGE_KEYS, Operation.MANAGE_USERS})),
            Grant("viewer", Role.VIEWER.permissions, ("hr-*",)),
        ),
    )
    admin_id, _ = await parts.make(role="admin")
    await parts.people.put_user(ADMIN, "boss", grants=[RoleGrant("admin")])
    await parts.people.put_group(ADMIN, "bosses", grants=[RoleGrant("operator")])
    for new in (
        NewKey("x", role="viewer"),
        NewKey("x", role="admin"),
        NewKey("x", grants=(RoleGrant("viewer", ("sales",)),)),
        NewKey("x", grants=(RoleGrant("editor", ("hr-a",)),)),
        NewKey("x", user_id="boss"),
    ):
        with pytest.raises(PermissionDeniedError):
            await parts.desk.create(helper, new)
    with pytest.raises(PermissionDeniedError):
        await parts.desk.rotate(helper, admin_id)
    with pytest.raises(PermissionDeniedError):
        await parts.people.put_user(helper, "me", groups=["bosses"])
    with pytest.raises(PermissionDeniedError):
        await parts.people.put_role(helper, "mine", permissions=["delete_collection"])
    await parts.desk.create(helper, NewKey("x", grants=(RoleGrant("viewer", ("hr-a",)),)))


async def test_grants_bound_a_key_to_collections(parts: Parts) -> None:
    await parts.people.put_role(ADMIN, "asker", permissions=["query", "read_collections"])
    _, text = await parts.make(
        grants=(RoleGrant("asker", ("faq",)), RoleGrant("editor", ("team-*",)))
    )
    caller = await parts.store.accept(text)
    assert caller.role is Role.CUSTOM
    assert caller.may(Operation.QUERY, "faq")
    assert not caller.may(Operation.SEARCH, "faq")
    assert caller.may(Operation.INGEST, "team-a")
    assert not caller.may(Operation.INGEST, "faq")
    assert not caller.may(Operation.QUERY, "default")
    assert not caller.may(Operation.QUERY)
    assert caller.may(Operation.READ_COLLECTIONS)
    assert not caller.may(Operation.READ_USAGE)


async def test_a_users_key_may_what_the_user_may_and_reads_as_its_groups(parts: Parts) -> None:
    await parts.people.put_group(ADMIN, "staff", grants=[RoleGrant("viewer")])
    await parts.people.put_user(
        ADMIN, "ada", groups=["staff"], grants=[RoleGrant("editor", ("notes",))]
    )
    key_id, text = await parts.make(user_id="ada")
    caller = await parts.store.accept(text)
    assert caller.scope.principals == ("everyone", f"key:{key_id}", "user:ada", "group:staff")
    assert (caller.scope.actor, caller.user_id) == ("user:ada", "ada")
    assert caller.may(Operation.QUERY, "anything")
    assert caller.may(Operation.INGEST, "notes")
    assert not caller.may(Operation.INGEST, "other")
    _, lesser = await parts.make(user_id="ada", role="viewer")
    assert not (await parts.store.accept(lesser)).may(Operation.INGEST, "notes")
    await parts.people.put_user(ADMIN, "ada", groups=[], is_disabled=False)
    demoted = await parts.store.accept(text)
    assert "group:staff" not in demoted.scope.principals
    assert not demoted.may(Operation.QUERY, "anything")
    await parts.people.put_user(ADMIN, "ada", groups=["staff"], is_disabled=True)
    with pytest.raises(UnauthenticatedError):
        await parts.store.accept(text)
    await parts.people.put_user(ADMIN, "ada", groups=["staff"])
    await parts.store.accept(text)
    await parts.people.delete_user(ADMIN, "ada")
    with pytest.raises(UnauthenticatedError):
        await parts.store.accept(text)


async def test_tenants_have_a_class_and_can_be_shut(parts: Parts) -> None:
    _, text = await parts.make(tenant="acme")
    assert (await parts.store.accept(text)).scope.tenant_class is TenantClass.STANDARD
    await parts.people.put_tenant(ADMIN, "acme", tenant_class="premium")
    assert (await parts.store.accept(text)).scope.tenant_class is TenantClass.PREMIUM
    await parts.people.put_tenant(ADMIN, "acme", is_disabled=True)
    with pytest.raises(UnauthenticatedError):
        await parts.store.accept(text)
    other = Caller("x", Role.ADMIN, Scope("acme", (), "key:x"))
    with pytest.raises(PermissionDeniedError):
        await parts.people.put_tenant(other, "acme")
    assert [each.tenant for each in (await parts.people.list_tenants(other)).entries] == ["acme"]
    with pytest.raises(InvalidArgumentError, match="nobody could enable"):
        await parts.people.put_tenant(ADMIN, "default", is_disabled=True)


async def test_roles_in_use_stay(parts: Parts) -> None:
    await parts.people.put_role(ADMIN, "asker", permissions=["query"])
    await parts.people.put_group(ADMIN, "staff", grants=[RoleGrant("asker")])
    with pytest.raises(FailedPreconditionError):
        await parts.people.delete_role(ADMIN, "asker")
    await parts.people.delete_group(ADMIN, "staff")
    await parts.people.delete_role(ADMIN, "asker")
    with pytest.raises(NotFoundError):
        await parts.people.get_role(ADMIN, "asker")
    for name in ("admin", "custom", "Not A Role"):
        with pytest.raises(InvalidArgumentError):
            await parts.people.put_role(ADMIN, name, permissions=["query"])


async def test_lists_have_pages(parts: Parts) -> None:
    for index in range(5):
        await parts.people.put_user(ADMIN, f"user {index}", groups=[f"g{index}"])
    found, token = [], ""
    while True:
        page = await parts.people.list_users(ADMIN, page_size=2, page_token=token)
        found += [each.user_id for each in page.entries]
        token = page.next_page_token
        if not token:
            break
    assert found == [f"user {index}" for index in range(5)]
    assert len((await parts.people.list_groups(ADMIN)).entries) == 5
    with pytest.raises(InvalidArgumentError):
        await parts.people.list_users(ADMIN, page_token="!")


async def test_keys_of_before_go_on_after_the_upgrade(database_url: str) -> None:
    engine = open_engine(database_url)
    old = MetaData()
    for table in (tables.api_keys, tables.key_secrets, tables.marks):
        copy = table.to_metadata(old)
        for name in ("user_id", "kind", "secret_id", "expires_at", "last_used_at"):
            if name in copy.c and not (table is tables.api_keys and name.endswith("_at")):
                copy._columns.remove(copy.c[name])
    ensure_schema(engine, old, 1, component=tables.COMPONENT)
    key_text, parsed = new_key()
    with engine.begin() as connection:
        connection.execute(
            sql(
                "INSERT INTO gateway_api_keys (key_id, tenant, name, role, principals, tenant_class,"
                " created_at) VALUES (:key_id, 'acme', 'old', 2, '[\"everyone\"]', 2, :at)"
            ),
            {"key_id": parsed.key_id, "at": tables.time_text(datetime.now(UTC))},
        )
        connection.execute(
            sql(
                "INSERT INTO gateway_key_secrets (secret_hash, key_id, pepper_id, created_at)"
                " VALUES (:hash, :key_id, 'x', :at)"
            ),
            {
                "hash": secret_hash(PEPPER, parsed),
                "key_id": parsed.key_id,
                "at": tables.time_text(datetime.now(UTC)),
            },
        )
    ensure_identity_tables(engine)
    async with GroupWriter(engine) as writer, Reader(engine, 1) as reader:
        parts = Parts(engine, reader, writer, Clock(), Peppers(PEPPER))
        await parts.directory.adopt_tenants()
        caller = await parts.store.accept(key_text)
        assert (caller.scope.tenant, caller.role) == ("acme", Role.EDITOR)
        (secret,) = (await parts.desk.get(ADMIN, parsed.key_id)).secrets
        assert len(secret.secret_id) == 12
        await parts.desk.rotate(ADMIN, parsed.key_id)
    engine.dispose()


async def test_first_start_makes_one_key_however_often_it_runs(
    parts: Parts, tmp_path: Path
) -> None:
    folder = tmp_path / "gateway"
    await asyncio.gather(*(ensure_admin_key(parts.rows, parts.store, folder) for _ in range(4)))
    key_text = (folder / "admin.key").read_text().strip()
    caller = await parts.store.accept(key_text)
    assert caller.role is Role.ADMIN
    assert len(await parts.rows.list_keys(None)) == 1
    (folder / "admin.key").unlink()
    await ensure_admin_key(parts.rows, parts.store, folder)
    assert not (folder / "admin.key").exists()


async def test_start_after_a_crash_takes_the_written_key(parts: Parts, tmp_path: Path) -> None:
    key_text, _ = new_key()
    read_or_make(tmp_path / "admin.key", key_text)
    await ensure_admin_key(parts.rows, parts.store, tmp_path)
    assert (await parts.store.accept(key_text)).role is Role.ADMIN


async def test_given_admin_key_is_not_written(parts: Parts, tmp_path: Path) -> None:
    key_text, _ = new_key()
    await ensure_admin_key(parts.rows, parts.store, tmp_path, key_text)
    assert (await parts.store.accept(key_text)).role is Role.ADMIN
    assert list(tmp_path.glob("admin.key*")) == []


async def test_nonsense_in_place_of_a_key_is_told(parts: Parts, tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="is no key"):
        await ensure_admin_key(parts.rows, parts.store, tmp_path, "hunter2")


def test_pepper_is_private_and_stays(tmp_path: Path) -> None:
    first = read_or_make_pepper(tmp_path)
    assert read_or_make_pepper(tmp_path) == first
    assert stat.S_IMODE((tmp_path / "pepper").stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pepper"]
    (tmp_path / "pepper").write_text("short")
    with pytest.raises(StartupError):
        read_or_make_pepper(tmp_path)


def _count_reads(parts: Parts) -> list[object]:
    """Returns a list that grows with each read of the store."""
    asked: list[object] = []
    run = parts.reader.run

    async def counted(fn: Any) -> Any:
        asked.append(fn)
        return await run(fn)

    parts.store._reader = type("Counted", (), {"run": staticmethod(counted)})()  # type: ignore[assignment]
    return asked
