"""`cairn tenants|users|groups|roles|keys|audit` against a real gateway."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import update

from services.gateway.store.audit_tables import entries
from services.sql.engine import WRITES, open_engine, sqlite_url
from tests.kit.gateway import RunningGateway

ROOT = Path(__file__).parents[3]


@dataclass
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str


async def cairn(gw: RunningGateway, *arguments: str, key: str = "") -> Done:
    """Runs the program with the admin's key, or another."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("CAIRN_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "cli",
        *arguments,
        cwd=ROOT,
        env={**known, "CAIRN_URL": gw.url, "CAIRN_API_KEY": key or gw.key, "COLUMNS": "200"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return Done(process.returncode or 0, out.decode(), err.decode())


async def test_people_and_their_keys(gw: RunningGateway) -> None:
    async def good(*arguments: str, key: str = "") -> Done:
        done = await cairn(gw, *arguments, key=key)
        assert done.code == 0, done.err
        return done

    await good("tenants", "put", "acme", "--class", "premium")
    await good("roles", "put", "asker", "--permission", "query", "--permission", "search")
    await good("groups", "put", "staff", "--grant", "asker@default,hr-*")
    await good("users", "put", "ada", "--name", "Ada", "--group", "staff")
    secret = (await good("keys", "create", "ada's laptop", "--user", "ada")).out.strip()
    listed = await asyncio.gather(
        good("tenants", "list"),
        good("roles", "list"),
        good("groups", "list"),
        good("users", "list"),
        good("keys", "list"),
        good("search", "granite", key=secret),
    )
    for wanted, done in zip(
        ("premium", "query, search", "asker@default,hr-*", "staff", "ada's laptop", "granite"),
        listed,
        strict=True,
    ):
        assert wanted in done.out.replace("Granite", "granite"), done.out
    key_id = secret.split("_")[1]
    second = (await good("keys", "rotate", key_id, "--overlap-hours", "1")).out.strip()
    shown = json.loads((await good("keys", "show", key_id, "--json")).out)["key"]
    assert len(shown["secrets"]) == 2
    await good("keys", "revoke", key_id, "--secret", shown["secrets"][-1]["secret_id"])
    refused = await cairn(gw, "search", "granite", key=secret)
    assert refused.code != 0
    assert "CREDENTIAL_INVALID" in refused.err
    await good("search", "granite", key=second)
    missing = await cairn(gw, "users", "delete", "nobody")
    assert missing.code != 0
    assert "SUBJECT_NOT_FOUND" in missing.err


async def test_audit_is_listed_exported_and_verified(gw: RunningGateway, tmp_path: Path) -> None:
    async with gw.client() as client:
        for number in range(5):
            await client.post("/v1/search", json={"query": f"secret plan {number}"})
    checked = await cairn(gw, "audit", "verify")
    assert checked.code == 0, checked.err
    seq, _, digest = checked.out.strip().partition(":")
    assert int(seq) >= 5
    assert len(digest) == 64
    listed, found, exported = await asyncio.gather(
        cairn(gw, "audit", "list", "--action", "search"),
        cairn(gw, "audit", "list", "--subject", "query:secret plan 3", "--json"),
        cairn(gw, "audit", "export", str(tmp_path / "audit.jsonl")),
    )
    assert listed.out.count("search") == 5
    (entry,) = json.loads(found.out)["entries"]
    assert (entry["action"], entry["collection"]) == ("search", "default")
    assert exported.code == 0
    lines = (tmp_path / "audit.jsonl").read_text().splitlines()
    assert len(lines) >= 5
    assert "secret plan" not in "".join(lines)
    engine = open_engine(sqlite_url(gw.settings.data_dir / "gateway" / "gateway.db"))
    with engine.execution_options(**WRITES).connect() as connection, connection.begin():
        connection.execute(update(entries).where(entries.c.seq == 3).values(actor="key:nobody"))
    engine.dispose()
    broken = await cairn(gw, "audit", "verify")
    assert broken.code == 1
    assert "Entry 3 is broken" in broken.out
