"""Keys, their store, the first start."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from services.gateway.bootstrap import ensure_admin_key, read_or_make, read_or_make_pepper
from services.gateway.identity import Caller, Role
from services.gateway.key_desk import KeyDesk
from services.gateway.keys import new_key, parse_key, secret_hash
from services.gateway.store import tables
from services.gateway.store.key_store import CACHE_SECONDS, KeyStore
from services.rpc.errors import (
    InvalidArgumentError,
    PermissionDeniedError,
    StartupError,
    UnauthenticatedError,
)
from services.rpc.scope import Scope
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


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def parts(database_url: str) -> AsyncIterator[tuple[Reader, GroupWriter]]:
    engine = open_engine(database_url)
    ensure_schema(engine, tables.metadata, tables.VERSION, component=tables.COMPONENT)
    async with GroupWriter(engine) as writer, Reader(engine, 1) as reader:
        yield reader, writer
    engine.dispose()


@pytest.fixture
def store(parts: tuple[Reader, GroupWriter], clock: Clock) -> KeyStore:
    return KeyStore(*parts, PEPPER, clock)


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


async def test_key_life(store: KeyStore, parts: tuple[Reader, GroupWriter], clock: Clock) -> None:
    key, text = await KeyDesk(store).create(ADMIN, name="ci", role="editor", tenant="acme")
    caller = await store.accept(text)
    assert (caller.scope.tenant, caller.role) == ("acme", Role.EDITOR)
    assert caller.scope.principals == ("everyone", f"key:{key.key_id}")
    rows = await parts[0].run(lambda c: c.execute(select(tables.key_secrets)).all())
    parsed = parse_key(text)
    assert parsed is not None
    assert all(parsed.secret not in str(row) for row in rows)
    await store.revoke(key.key_id, None)
    with pytest.raises(UnauthenticatedError):
        await store.accept(text)


async def test_revocation_elsewhere_bites_when_the_cache_ends(
    store: KeyStore, parts: tuple[Reader, GroupWriter], clock: Clock
) -> None:
    key, text = await KeyDesk(store).create(ADMIN, name="x", role="viewer")
    await store.accept(text)
    await KeyStore(*parts, PEPPER).revoke(key.key_id, "default")
    await store.accept(text)
    clock.now += CACHE_SECONDS + 0.1
    with pytest.raises(UnauthenticatedError):
        await store.accept(text)
    assert CACHE_SECONDS < 5


async def test_wrong_secret_pepper_and_age_are_refused(
    store: KeyStore, parts: tuple[Reader, GroupWriter]
) -> None:

    key, text = await KeyDesk(store).create(ADMIN, name="x", role="viewer")
    with pytest.raises(UnauthenticatedError):
        await KeyStore(*parts, b"other pepper here").accept(text)
    with pytest.raises(UnauthenticatedError):
        await store.accept(new_key()[0])
    old_text, parsed = new_key()
    old = replace(key, key_id=parsed.key_id, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    await store.add(old, parsed)
    with pytest.raises(UnauthenticatedError):
        await store.accept(old_text)


async def test_desk_keeps_tenants_apart(store: KeyStore) -> None:
    desk = KeyDesk(store)
    other = Caller("x", Role.ADMIN, Scope("acme", ("everyone",), "key:x"))
    key, _ = await desk.create(ADMIN, name="home", role="admin")
    with pytest.raises(PermissionDeniedError):
        await desk.create(other, name="x", role="viewer", tenant="default")
    with pytest.raises(Exception, match="no live key"):
        await desk.revoke(other, key.key_id)
    assert await desk.list_keys(other) == ()
    viewer = Caller("v", Role.VIEWER, ADMIN.scope)
    with pytest.raises(PermissionDeniedError):
        await desk.create(viewer, name="x", role="viewer")
    for bad in ({"name": ""}, {"name": "a\nb"}, {"name": "x", "principals": [""]}):
        with pytest.raises(InvalidArgumentError):
            await desk.create(ADMIN, **({"role": "viewer"} | bad))


async def test_first_start_makes_one_key_however_often_it_runs(
    store: KeyStore, tmp_path: Path
) -> None:
    folder = tmp_path / "gateway"
    await asyncio.gather(*(ensure_admin_key(store, folder) for _ in range(4)))
    text = (folder / "admin.key").read_text().strip()
    caller = await store.accept(text)
    assert caller.role is Role.ADMIN
    assert len(await store.list_keys(None)) == 1
    (folder / "admin.key").unlink()
    await ensure_admin_key(store, folder)
    assert not (folder / "admin.key").exists()


async def test_start_after_a_crash_takes_the_written_key(store: KeyStore, tmp_path: Path) -> None:
    text, _ = new_key()
    read_or_make(tmp_path / "admin.key", text)
    await ensure_admin_key(store, tmp_path)
    assert (await store.accept(text)).role is Role.ADMIN


async def test_given_admin_key_is_not_written(store: KeyStore, tmp_path: Path) -> None:
    text, _ = new_key()
    await ensure_admin_key(store, tmp_path, text)
    assert (await store.accept(text)).role is Role.ADMIN
    assert list(tmp_path.glob("admin.key*")) == []


async def test_nonsense_in_place_of_a_key_is_told(store: KeyStore, tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="is no key"):
        await ensure_admin_key(store, tmp_path, "hunter2")


def test_pepper_is_private_and_stays(tmp_path: Path) -> None:
    first = read_or_make_pepper(tmp_path)
    assert read_or_make_pepper(tmp_path) == first
    assert stat.S_IMODE((tmp_path / "pepper").stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pepper"]
    (tmp_path / "pepper").write_text("short")
    with pytest.raises(StartupError):
        read_or_make_pepper(tmp_path)
